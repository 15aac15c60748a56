"""The errors of imports; codes are stable."""

from bundles.errors import BundleError


class IntakeNotFoundError(BundleError):
    """There is no such delivered file here, or it was discarded."""

    code = "intake_not_found"


class IntakePathError(BundleError):
    """A path is not that of a regular file below ORCH_INTAKE_DIR."""

    code = "intake_path_invalid"


class MappingNotFoundError(BundleError):
    """No mapping of columns is saved under this name."""

    code = "mapping_not_found"


class IntakeInUseError(BundleError):
    """An active job reads the delivered file."""

    code = "state_conflict"
