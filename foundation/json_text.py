"""JSON text with one field per line, for a person to read.

The text is not parsed and written again: that would change numbers and drop repeated keys.
"""

from __future__ import annotations

import json
import re

DEEPEST_INDENT = 20  # levels; deeper ones are indented alike, so that the result stays small
_PART = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


def indented(text: str, *, letters: bool = False) -> str:
    r"""Valid JSON with two spaces of indentation and nothing else changed.

    Args:
        text: one JSON value.
        letters: whether letters that are written as `\u` escapes are shown as themselves.
    """
    out: list[str] = []
    level, previous = 0, ""
    for part in _PART.findall(text):
        closes = part in ("}", "]")
        level -= closes
        if (closes and previous not in ("{", "[")) or (previous in ("{", "[", ",") and not closes):
            out.append("\n" + "  " * min(level, DEEPEST_INDENT))
        out.append(": " if part == ":" else _with_letters(part) if letters else part)
        level += part in ("{", "[")
        previous = part
    return "".join(out)


def _with_letters(part: str) -> str:
    """A string with its letters as themselves; unchanged if that cannot be written, as with half a surrogate pair."""
    if not part.startswith('"') or "\\u" not in part:
        return part
    shown = json.dumps(json.loads(part), ensure_ascii=False)
    return shown if shown.encode("utf-8", "ignore").decode() == shown else part
