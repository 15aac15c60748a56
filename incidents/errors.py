"""What the incidents app refuses."""

from foundation.errors import AppError


class IncidentNotFoundError(AppError):
    """No job, bundle or restore names this incident."""

    code = "incident_not_found"


class RecordNotFoundError(AppError):
    """The indexed records of an incident have no record of this kind and position."""

    code = "record_not_found"


class ViewInvalidError(AppError):
    """A view cannot be kept: its name or filter is not valid, or there are too many."""

    code = "view_invalid"


class ViewNotFoundError(AppError):
    """The person has no view of this name."""

    code = "view_not_found"


class ColumnUnknownError(AppError):
    """The list of records has no such column."""

    code = "column_unknown"
