"""The first and last UUID or SHA-256 that begin with given hexadecimal digits: one range of an index."""

from __future__ import annotations

import re
from uuid import UUID

UUID_PREFIX = re.compile(r"[0-9a-f]{6,32}")
DIGEST_PREFIX = re.compile(r"[0-9a-f]{6,64}")


def uuid_range(prefix: str) -> tuple[UUID, UUID] | None:
    """The first and last UUID that begin with `prefix` (6 to 32 digits, no hyphens); None for any other text."""
    if not UUID_PREFIX.fullmatch(prefix):
        return None
    return UUID(prefix.ljust(32, "0")), UUID(prefix.ljust(32, "f"))


def digest_range(prefix: str) -> tuple[str, str] | None:
    """The first and last SHA-256 that begin with `prefix` (6 to 64 digits); None for any other text."""
    return (prefix.ljust(64, "0"), prefix.ljust(64, "f")) if DIGEST_PREFIX.fullmatch(prefix) else None
