"""Builds the SQL that finds artifacts by id, by the beginning of their SHA-256, or by any part of their name.

Each condition uses an index of the searched table and returns a limited number of rows.
"""

from __future__ import annotations

from typing import Any

from bundles.format.model import paths
from foundation.hex_prefix import digest_range

NAME_FROM = 3  # characters: a trigram
MOST_DIGITS = 100  # of an id that is a number
# The first part is the indexed expression of the migrations, the second removes names that only have the same trigrams.
_BY_NAME = (
    "orchestrator_trigrams(name) @> orchestrator_trigrams(%({needle})s)"
    " AND strpos(lower(name), lower(%({needle})s)) > 0"
)


def hits(
    table: str, key: str, *, text: str, hex_digits: str, limit: int, needle: str = "text"
) -> tuple[str, dict[str, Any]]:
    """The query for the matching rows.

    Args:
        table: with the columns `artifact_id`, `sha256` and `name`.
        key: its primary key's columns.
        text: the search text; compared with ids, and with what stands in a path for an id that cannot.
        hex_digits: the search text as lower-case hex digits; empty if it is not hex.
        limit: the largest number of rows per condition.
        needle: the name of the parameter that is searched in names, whatever its case: `text`, or one that the caller
            gives, with the text escaped like the names in the table.

    Returns:
        SQL for the columns of `key` and `matched` (`digest`, `id` or `name`), and the values of its parameters.
    """
    ways = [("id", "artifact_id = ANY(%(ids)s)")]
    values: dict[str, Any] = {"text": text, "ids": _ids(text), "limit": limit}
    bounds = digest_range(hex_digits)
    if bounds:
        ways.append(("digest", "sha256 BETWEEN %(low)s AND %(high)s"))
        values |= {"low": bounds[0], "high": bounds[1]}
    if len(text) >= NAME_FROM:
        ways.append(("name", _BY_NAME.format(needle=needle)))
    united = " UNION ALL ".join(
        f"(SELECT {key}, '{word}' AS matched FROM {table} WHERE {condition} LIMIT %(limit)s)"  # noqa: S608 # our own parts
        for word, condition in ways
    )
    return f"SELECT {key}, min(matched) AS matched FROM ({united}) AS hit GROUP BY {key}", values  # noqa: S608 # our own parts


def _ids(text: str) -> list[str]:
    """The ids that the search text may mean: itself, and in paths those of it as a text and as a whole number."""
    number = text if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS else ""
    return [text, paths.path_id(text), *([paths.path_id(int(number))] if number else [])]
