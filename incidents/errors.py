"""What the incidents app refuses."""

from foundation.errors import AppError


class IncidentNotFoundError(AppError):
    """No job, bundle or restore names this incident."""

    code = "incident_not_found"


class RecordNotFoundError(AppError):
    """The indexed records of an incident have no record of this kind and position."""

    code = "record_not_found"
