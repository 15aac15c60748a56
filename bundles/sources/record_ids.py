"""Which ids a record of a source may have: any text without control characters, or a whole number."""

from __future__ import annotations

from typing import Any

MAX_ID_CHARACTERS = 1024
ID_RULE = f"it must be a whole number, or a text of 1 to {MAX_ID_CHARACTERS} characters without control characters"


def usable_id(value: Any) -> bool:
    """Whether `value` can be the id of a record; ids need not be unique."""
    if isinstance(value, str):
        if not 0 < len(value) <= MAX_ID_CHARACTERS:
            return False
        return value.isprintable() or not any(_is_control(character) for character in value)
    return isinstance(value, int) and not isinstance(value, bool)


def _is_control(character: str) -> bool:
    return character < " " or "\x7f" <= character <= "\x9f"
