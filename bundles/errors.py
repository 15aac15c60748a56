"""The errors of the bundles app: one base class, a stable `code` each, a message for a person."""

from foundation.errors import AppError, InvalidRequestError


class BundleError(AppError):
    """Base of the bundles app's errors; `code` is stable, the message is for a person."""

    code = "bundle_error"


class SourceNotRegisteredError(BundleError):
    """No evidence source has the requested name."""

    code = "invalid_request"


class InvalidBundleRequestError(InvalidRequestError, BundleError):
    """A parameter of the request is invalid; `fields` maps its name to what is wrong."""


class IncidentIdInvalidError(BundleError):
    """The text is not an incident id."""

    code = "incident_id_invalid"


class BundleNotFoundError(BundleError):
    """There is no such bundle, or the principal may not see it."""

    code = "bundle_not_found"


class BundleUnavailableError(BundleError):
    """The bundle is registered, but its file is missing or unusable."""

    code = "bundle_unavailable"


class StoreMismatchError(BundleError):
    """This host's directory is not the store that the database knows, so a file missing here may exist elsewhere."""

    code = "store_mismatch"


class UploadTooLargeError(BundleError):
    """The uploaded file is larger than this deployment accepts."""

    code = "upload_too_large"


class UploadNotFoundError(BundleError):
    """The principal has no such upload: it was never begun, has expired, or was swept."""

    code = "upload_not_found"


class UploadOffsetError(BundleError):
    """The bytes do not continue the upload; `offset` is where the sender must continue."""

    code = "upload_offset"

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


class FileTooLargeError(BundleError):
    """The file of a bundle is too large to be opened on its own."""

    code = "file_too_large"


class FileNotListedError(BundleError):
    """The bundle's manifest lists no such file."""

    code = "file_not_found"


class FileNotAsSignedError(BundleError):
    """The file of a bundle, or its manifest, is not what was signed; nothing of it was released."""

    code = "file_not_as_signed"


class StorageFullError(BundleError):
    """There is no room left for the file."""

    code = "storage_full"


class SampleInTheWayError(BundleError):
    """The synthetic incident would have to overwrite something else."""

    code = "state_conflict"
