"""The base of every error that this product raises on purpose."""

from __future__ import annotations

from collections.abc import Mapping


class AppError(Exception):
    """An error with a stable `code` and a message for a person.

    Attributes:
        code: stable; its HTTP status and advice stand in the error catalogue.
        fields: for each wrong field of a request, what is wrong with it.
        headers: what an HTTP answer adds to its own headers.
    """

    code = "internal_error"
    fields: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}


class AccessDeniedError(AppError):
    """The principal lacks the permission; says nothing about what exists.

    Args:
        message: for a person.
        permission: the one that is lacking, such as `jobs.cancel_job`; the site names the roles that have it.
    """

    code = "permission_denied"

    def __init__(self, message: str = "", permission: str = "") -> None:
        super().__init__(message)
        self.permission = permission


class InvalidRequestError(AppError):
    """A request that cannot be stored or makes no sense.

    Args:
        message: for a person.
        fields: for each wrong field, what is wrong with it.
    """

    code = "invalid_request"

    def __init__(self, message: str, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.fields = dict(fields or {})
