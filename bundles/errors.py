"""What the bundles app refuses, and why: one base, a stable `code` each, a message for a person."""

from foundation.errors import AppError, InvalidRequestError


class BundleError(AppError):
    """Base of the bundles app's errors; `code` is stable, the message is for a person."""

    code = "bundle_error"


class SourceNotRegisteredError(BundleError):
    """No evidence source has the name that was asked for."""

    code = "invalid_request"


class InvalidBundleRequestError(InvalidRequestError, BundleError):
    """The request names something that no bundle can be made with; `fields` says which field, and what is wrong."""


class IncidentIdInvalidError(BundleError):
    """The text is not an incident id."""

    code = "incident_id_invalid"


class BundleNotFoundError(BundleError):
    """There is no such bundle, or none that this principal may know of."""

    code = "bundle_not_found"


class BundleUnavailableError(BundleError):
    """The bundle is known, but its file is not where it belongs."""

    code = "bundle_unavailable"


class StoreMismatchError(BundleError):
    """This host's directory is not the store that the database knows: what is absent there may be sound elsewhere."""

    code = "store_mismatch"


class UploadTooLargeError(BundleError):
    """The uploaded file is larger than this deployment takes."""

    code = "upload_too_large"


class UploadNotFoundError(BundleError):
    """There is no such unfinished upload of this principal's: never begun, expired, or swept."""

    code = "upload_not_found"


class UploadOffsetError(BundleError):
    """The next bytes of an upload belong elsewhere; `offset` tells how many are here, of which the sender goes on."""

    code = "upload_offset"

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


class FileTooLargeError(BundleError):
    """The file of a bundle is larger than may be opened on its own."""

    code = "file_too_large"


class FileNotListedError(BundleError):
    """The bundle's manifest lists no such file."""

    code = "file_not_found"


class StorageFullError(BundleError):
    """There is no room left where the file should go."""

    code = "storage_full"


class SampleInTheWayError(BundleError):
    """The synthetic incident would have to overwrite something else."""

    code = "state_conflict"
