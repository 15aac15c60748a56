"""Builds the SQL that finds artifacts by id, or by the beginning of their SHA-256 or name.

Each condition uses an index of the searched table and returns a few rows at most, so the cost does not grow with the
table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from foundation.hex_prefix import digest_range

NAME_FROM = 3  # characters: fewer would find every artifact
NAME_CHARACTERS_COMPARED = 200


def hits(
    table: str, key: str, by_name: Sequence[str], *, text: str, name: str, hex_digits: str, limit: int
) -> tuple[str, dict[str, Any]]:
    """The query for the matching rows.

    Args:
        table: with the columns `artifact_id` and `sha256`.
        key: its primary key's columns.
        by_name: conditions of the form indexed expression LIKE `lower(%(start)s)`.
        text: the search text; compared with ids.
        name: the search text escaped like the names in the table; compared with the beginning of names.
        hex_digits: the search text as lower-case hex digits; empty if it is not hex.
        limit: the largest number of rows per condition.

    Returns:
        SQL for the columns of `key` and `matched` (`digest`, `id` or `name`), and the values of its parameters.
    """
    ways = [("id", "artifact_id = %(text)s")]
    values: dict[str, Any] = {"text": text, "limit": limit}
    bounds = digest_range(hex_digits)
    if bounds:
        ways.append(("digest", "sha256 BETWEEN %(low)s AND %(high)s"))
        values |= {"low": bounds[0], "high": bounds[1]}
    if len(text) >= NAME_FROM:
        ways += [("name", condition) for condition in by_name]
        values["start"] = _escaped(name[:NAME_CHARACTERS_COMPARED]) + "%"
    united = " UNION ALL ".join(
        f"(SELECT {key}, '{word}' AS matched FROM {table} WHERE {condition} LIMIT %(limit)s)"  # noqa: S608 # our own parts
        for word, condition in ways
    )
    return f"SELECT {key}, min(matched) AS matched FROM ({united}) AS hit GROUP BY {key}", values  # noqa: S608 # our own parts


def _escaped(text: str) -> str:
    """`text` escaped for LIKE, without wildcards."""
    return text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
