"""What restoring refuses, and why."""

from __future__ import annotations

from collections.abc import Mapping

from foundation.errors import AppError


class RestoreError(AppError):
    """Base of the rehydration app's errors; `code` is stable, the message is for a person."""

    code = "restore_error"


class RestoreRequestError(RestoreError):
    """The request makes no sense as it stands: both or neither of two fields, or a digest that is none."""

    code = "invalid_request"

    def __init__(self, message: str, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.fields = dict(fields or {})


class BundlePathInvalidError(RestoreError):
    """The path does not lead to a bundle file of ours. One message for every cause, so that it reveals nothing."""

    code = "bundle_path_invalid"

    def __init__(self) -> None:
        super().__init__("bundle_path must name a bundle file inside the bundle directory (OUTPUT_DIR).")


class SignatureRequiredError(RestoreError):
    """The signature may not be skipped here, or not by this principal."""

    code = "signature_required"


class RestoreRequestNotFoundError(RestoreError):
    """There is no such request, or it is somebody else's."""

    code = "restore_request_not_found"

    def __init__(self) -> None:
        super().__init__("There is no such request for a restore.")


class RestoreRequestDecidedError(RestoreError):
    """The request is done or declined already."""

    code = "restore_request_decided"
