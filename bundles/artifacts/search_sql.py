"""How artifacts are looked for wherever they are listed: by their id, the beginning of their SHA-256, or a name's.

Each way has an index in the table that is searched and gives a few rows at most, so that one artifact among millions
costs as much as one among ten.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from foundation.hex_prefix import digest_range

NAME_FROM = 3  # characters: fewer would find every artifact
NAME_SHOWN_TO_THE_INDEX = 200


def hits(
    table: str, key: str, by_name: Sequence[str], *, text: str, name: str, hex_digits: str, limit: int
) -> tuple[str, dict[str, Any]]:
    """The query for the rows that may be meant.

    Args:
        table: with the columns `artifact_id` and `sha256`.
        key: its primary key's columns.
        by_name: conditions on the table, each what an index of it holds, LIKE `lower(%(start)s)`.
        text: what was typed; an id when it is one to the letter.
        name: the same as the table spells names; the beginning of one.
        hex_digits: the same as lower-case hex digits alone; empty when it is no such thing.
        limit: how many rows each way gives at most.

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
        values["start"] = _escaped(name[:NAME_SHOWN_TO_THE_INDEX]) + "%"
    united = " UNION ALL ".join(
        f"(SELECT {key}, '{word}' AS matched FROM {table} WHERE {condition} LIMIT %(limit)s)"  # noqa: S608 # our own parts
        for word, condition in ways
    )
    return f"SELECT {key}, min(matched) AS matched FROM ({united}) AS hit GROUP BY {key}", values  # noqa: S608 # as above


def _escaped(text: str) -> str:
    """`text` for LIKE, where nothing of it is a wildcard."""
    return text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
