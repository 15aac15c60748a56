"""Where the searched words are in a text, and the part of a record that shows them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bundles.format.model import paths
from bundles.timelines.terms import WORD

BEFORE, LONGEST = 60, 240  # characters of an excerpt before the first match, and in all
MOST_DEPTH = 8
_NOTHING = re.compile(r"(?!)")


@dataclass(frozen=True)
class Excerpt:
    """Part of a record: the field, such as `process.command_line`, and its text around the first match."""

    field: str
    text: str


def pattern_of(text: str) -> re.Pattern[str]:
    """What is marked of a search text: the whole of it anywhere, and each item's words from the beginning of a word."""
    if not text.strip():
        return _NOTHING
    whole = sorted({text.strip(), paths.escaped(text.strip())}, key=len, reverse=True)
    ways = [re.escape(one) for one in whole]
    for item in text.split():
        words = WORD.findall(item)
        if words:
            ways.append(r"(?<![^\W_])" + r"[\W_]+".join(map(re.escape, words)))
    return re.compile("|".join(dict.fromkeys(ways)), re.IGNORECASE)


def parts(text: str, pattern: re.Pattern[str]) -> Iterator[tuple[bool, str]]:
    """`text` in pieces, each with whether it matches."""
    end = 0
    for match in pattern.finditer(text):
        if match.end() == match.start():
            continue
        if match.start() > end:
            yield False, text[end : match.start()]
        yield True, match.group()
        end = match.end()
    if end < len(text):
        yield False, text[end:]


def excerpt_of(record: str, pattern: re.Pattern[str]) -> Excerpt | None:
    """The field of a record that has the most of the matching words; None if none has any.

    Args:
        record: canonical JSON, which may be cut.
        pattern: from `pattern_of`.
    """
    try:
        fields = list(_fields(json.loads(record), "", 0))
    except (ValueError, RecursionError):  # cut
        fields = [("", record)]
    best, most = None, 0
    for name, text in fields:
        found = len({match.group().lower() for match in pattern.finditer(text)})
        if found > most:
            best, most = (name, text), found
    return None if best is None else Excerpt(best[0], _around(best[1], pattern))


def _around(text: str, pattern: re.Pattern[str]) -> str:
    match = pattern.search(text)
    start = max(0, match.start() - BEFORE) if match else 0
    cut = text[start : start + LONGEST]
    return ("…" if start else "") + cut + ("…" if start + LONGEST < len(text) else "")


def _fields(value: Any, name: str, depth: int) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and depth < MOST_DEPTH:
        for key, inner in value.items():
            yield from _fields(inner, f"{name}.{key}" if name else key, depth + 1)
    elif isinstance(value, list) and depth < MOST_DEPTH:
        for inner in value:
            yield from _fields(inner, name, depth + 1)
    elif value is not None and not isinstance(value, bool):
        yield name, value if isinstance(value, str) else str(value)
