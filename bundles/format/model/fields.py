"""Type checks for the fields of a manifest or a signature; a wrong field raises `manifest_invalid`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bundles.format.model import paths
from bundles.format.model.canonical import MAX_INTEGER
from bundles.format.model.errors import BundleRejectedError
from bundles.format.model.limits import Limits

_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOMENT = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])-([0-2][0-9]|3[01])T([01][0-9]|2[0-3])(:[0-5][0-9]){2}\.[0-9]{6}Z")


def mapping(value: Any, what: str) -> Mapping[str, Any]:
    """`value` as an object."""
    if not isinstance(value, dict):
        raise invalid(f"{what} is not an object")
    return value


def listing(value: Any, what: str) -> list[Any]:
    """`value` as an array."""
    if not isinstance(value, list):
        raise invalid(f"{what} is not an array")
    return value


def text(value: Any, what: str) -> str:
    """`value` as a string that is valid Unicode (no lone surrogates)."""
    if not isinstance(value, str):
        raise invalid(f"{what} is not a string")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise invalid(f"{what} contains a lone surrogate") from error
    return value


def integer(value: Any, what: str, *, low: int = 0) -> int:
    """`value` as an integer from `low` to 2^63 - 1."""
    if type(value) is not int or not low <= value <= MAX_INTEGER:
        raise invalid(f"{what} is not a whole number in range")
    return value


def sha256_hex(value: Any, what: str) -> str:
    """`value` as 64 lower-case hex digits."""
    if not isinstance(value, str) or _SHA256.fullmatch(value) is None:
        raise invalid(f"{what} is not a SHA-256 in hex")
    return value


def moment(value: Any, what: str) -> str:
    """`value` as a time: RFC 3339 in UTC with six decimals."""
    if not isinstance(value, str) or _MOMENT.fullmatch(value) is None:
        raise invalid(f"{what} is not a time in UTC with six decimals")
    try:
        moment_of(value)
    except ValueError as error:
        raise invalid(f"{what} is not a calendar date") from error
    return value


def moment_of(text: str) -> datetime:
    """A field checked by `moment` as a datetime."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def invalid(why: str) -> BundleRejectedError:
    """`manifest_invalid`, with the reason."""
    return BundleRejectedError("manifest_invalid", f"The manifest is malformed: {why}.")


def member_path(value: Any, limits: Limits) -> str:
    """`value` as the path of a payload member."""
    path = text(value, "a path")
    fault = paths.path_fault(path, max_bytes=limits.path_bytes)
    if fault:
        raise BundleRejectedError("path_invalid", f"The manifest has a path that no bundle can contain: {fault}.")
    return path


def exact(fields: Mapping[str, Any], expected: set[str], what: str) -> None:
    """Refuse missing and unknown fields."""
    if fields.keys() != expected:
        wrong = sorted(str(name)[:40] for name in fields.keys() ^ expected)[:3]
        raise invalid(f"{what} has missing or unknown fields: {', '.join(wrong)!r}")
