"""JSON text with one field per line, for a person to read."""

from __future__ import annotations

import json
import re

_PART = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^{}\[\],:"\s]+')
_CLOSED_BY = {"{": "}", "[": "]"}


def indented(text: str) -> str:
    """Valid JSON with two spaces of indentation; numbers keep their text, and letters are written as themselves.

    Args:
        text: one JSON value.
    """
    parts = _PART.findall(text)
    written: list[str] = []
    depth = 0
    for place, part in enumerate(parts):
        after = parts[place + 1] if place + 1 < len(parts) else ""
        if part in _CLOSED_BY:
            written.append(part)
            if after != _CLOSED_BY[part]:
                depth += 1
                written.append("\n" + "  " * depth)
        elif part in "}]":
            if parts[place - 1] not in _CLOSED_BY or _CLOSED_BY[parts[place - 1]] != part:
                depth -= 1
                written.append("\n" + "  " * depth)
            written.append(part)
        elif part == ",":
            written.append(",\n" + "  " * depth)
        elif part == ":":
            written.append(": ")
        else:
            written.append(_readable(part))
    return "".join(written)


def _readable(part: str) -> str:
    if not part.startswith('"') or "\\u" not in part:
        return part
    written = json.dumps(json.loads(part), ensure_ascii=False)
    return written if written.isascii() or written.encode("utf-8", "ignore").decode() == written else part
