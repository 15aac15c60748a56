"""Splits a record into words for PostgreSQL's full-text index, and a search into a query of the same words.

A word is a run of letters and digits in lower case, so that `DC01.corp.local`, a path, an address and a hash are
phrases of words, whole or in part. PostgreSQL's own parser is not used: it keeps host names and paths as one word each,
and takes parts of some hashes for numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

WORD = re.compile(r"[^\W_]+")
WORD_CHARS = 128  # of a longer one; also how far a query's word is compared
MOST_WORDS = 4_000  # of a record; a position above 16,383 cannot be stored
MOST_CHARS = 64 * 1024  # of a record's values
MOST_POSITIONS = 255  # of one word
MOST_QUERY_WORDS = 40
PREFIX_FROM = 3  # characters of a query's word: fewer begin too many words, such as the last figure of an address
# Times are searched by time: their digits would be in every record's words.
NOT_INDEXED = frozenset({"timestamp", "datetime", "created_at", "updated_at", "@timestamp", "eventTime", "UtcTime"})


def terms_of(record: dict[str, Any]) -> str:
    """The words of every value of a record, with their positions, as text of the type `tsvector`.

    Phrases do not cross from one value to the next. Words after the first `MOST_WORDS`, or after the first `MOST_CHARS`
    characters, are left out.
    """
    positions: dict[str, list[str]] = {}
    position, left = 0, MOST_CHARS
    for text in values_of(record):
        for word in WORD.findall(text[:left].lower())[: MOST_WORDS - position]:
            position += 1
            at = positions.setdefault(word[:WORD_CHARS], [])
            if len(at) < MOST_POSITIONS:
                at.append(str(position))
        position += 1
        left -= len(text)
        if position >= MOST_WORDS or left <= 0:
            break
    return " ".join(f"{word}:{','.join(at)}" for word, at in positions.items())


def query_of(text: str, *, whole: bool = False) -> str:
    """A search as text of the type `tsquery`; empty when it has no word.

    Each item between spaces is a phrase of its words, all items must occur, and the last word of each item matches as a
    prefix if it has at least `PREFIX_FROM` characters. If `whole`, none does, which is faster: for a prefix, PostgreSQL
    gathers all rows with any word that begins so.
    """
    phrases = []
    left = MOST_QUERY_WORDS
    for item in text.lower().split():
        words = [word[:WORD_CHARS] for word in WORD.findall(item)][:left]
        left -= len(words)
        if words:
            end = ":*" if len(words[-1]) >= PREFIX_FROM and not whole else ""
            phrases.append(" <-> ".join(words) + end)
    return " & ".join(f"({phrase})" for phrase in phrases)


def values_of(record: dict[str, Any]) -> Iterator[str]:
    """Every text and number in a record but times, in the order of its fields."""
    pending: list[Any] = [[value for name, value in record.items() if name not in NOT_INDEXED]]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            pending.extend(reversed(value.values()))
        elif isinstance(value, list):
            pending.extend(reversed(value))
        elif value is not None and not isinstance(value, bool):
            yield str(value)
