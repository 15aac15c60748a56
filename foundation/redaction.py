"""Removes credentials from text and values before they are logged or stored.

Recognized in texts by their shape (a URL's user part, an Authorization header, `password=`, a private key) and in
fields by name. It is a safety net: callers must still not log secrets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

REDACTED = "[redacted]"

_NAMES = (
    r"(?:(?:\w*_)?pass|\w*pass(?:word|wd|phrase)|\w*secret(?:_?key)?|(?:proxy-)?authorization|(?:set-)?cookie"
    r"|session_?id|(?:access|refresh|api|auth|bearer|id|csrf)?[_-]?token|\w*api[_-]?key|private[_-]?key|credentials?)"
)
_SECRET_NAME = re.compile(rf"(?:x-)?{_NAMES}", re.IGNORECASE)
# Each group 1 is kept, what follows it is cut.
_SHAPES = (
    re.compile(
        r"(-----BEGIN [A-Z ]*PRIVATE KEY-----)(?:.*?-----END [A-Z ]*PRIVATE KEY-----|.*\Z)", re.DOTALL | re.IGNORECASE
    ),
    re.compile(r"(\b[a-z][a-z0-9+.-]{0,30}://)[^\s/?#\"'<>]*@", re.IGNORECASE),
    # the header's value, whatever its scheme, to the end of the line or of the quotes it stands in
    re.compile(r"(\b(?:proxy-)?authorization[\"']?\s*[:=]\s*[\"']?)[^\r\n\"']+", re.IGNORECASE),
    re.compile(r"(\b(?:set-)?cookie[\"']?\s*[:=]\s*[\"']?)[^\r\n\"']+", re.IGNORECASE),
    re.compile(r"(\b(?i:bearer|basic)\s+)(?=\S*[0-9A-Z=])[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(
        rf"((?<![\w-])(?:x-)?{_NAMES}[\"']?\s*[:=]\s*)(?!\[redacted)(?:\"[^\"]*\"|'[^']*'|[^\s&;,\"'}}\]]+)",
        re.IGNORECASE,
    ),
)


def redact_text(text: str) -> str:
    """`text` without the credentials in it."""
    for shape in _SHAPES:
        text = shape.sub(_cut, text)
    return text


def redact_value(value: Any, name: str = "") -> Any:
    """`value`, and all within it, without credentials.

    Args:
        value: anything that may be a log line's field.
        name: what it is called; a secret's name hides the whole value.
    """
    if _SECRET_NAME.fullmatch(name) and value is not None:
        return REDACTED
    if isinstance(value, Mapping):
        return {key: redact_value(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact_value(item) for item in value]
    if isinstance(value, bytes):
        return redact_text(value.decode("utf-8", "replace"))
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact_text(str(value))


def _cut(match: re.Match[str]) -> str:
    return f"{match[1]}{REDACTED}{'@' if match[0].endswith('@') and match[1].endswith('://') else ''}"
