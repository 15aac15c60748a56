"""What custody refuses, and why."""


class CustodyError(Exception):
    """Base of the custody app's errors; `code` is stable, the message is for a person."""

    code = "custody_error"


class AccessDeniedError(CustodyError):
    """The principal lacks the permission; says nothing about what exists."""

    code = "permission_denied"
