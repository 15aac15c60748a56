"""What the incidents app refuses."""

from foundation.errors import AppError


class IncidentNotFoundError(AppError):
    """No job, bundle or restore names this incident."""

    code = "incident_not_found"
