"""Canonical JSON out, strict JSON in.

The canonical form is `json.dumps(obj, sort_keys=True, separators=(",", ":"))`: ASCII, keys in code point order, no
blanks, no final newline, floats in their shortest form that reads back the same. Strict reading refuses what two
parsers could understand differently: duplicate keys, NaN and infinities, bytes that are not UTF-8.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from bundles.format.errors import RecordError

MAX_INTEGER = 2**63 - 1
RECORD_DEPTH = 64

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


def canonical_json(value: Any) -> bytes:
    """The canonical form of a JSON value.

    Raises:
        ValueError: the value holds NaN or an infinity.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def strict_loads(raw: bytes | str, *, floats: bool) -> Any:
    """Parse JSON, refusing what is ambiguous.

    Args:
        raw: the document; bytes must be UTF-8 without a byte order mark.
        floats: whether numbers may have a fraction or an exponent.

    Raises:
        ValueError: it is not JSON, nests beyond what the parser can hold, or is ambiguous.
    """
    text = raw.decode("utf-8") if isinstance(raw, bytes) else raw
    try:
        return json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=_finite if floats else _refuse_float,
        )
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def canonical_record(record: Any) -> bytes:
    """One record of a data member as a line: its canonical form, which never holds a line break.

    Raises:
        RecordError: NaN or an infinity, or nested more than 64 deep.
    """
    try:
        if depth_exceeds(record, RECORD_DEPTH):
            raise RecordError(f"a record nests more than {RECORD_DEPTH} deep")
        return canonical_json(record)
    except (ValueError, TypeError, RecursionError) as error:
        raise RecordError(f"a record cannot be written as JSON: {error}") from error


def parts_exceed(raw: bytes, *, values: int, containers: int) -> bool:
    """Whether a JSON document has more than so many values, or arrays and objects, told without parsing it.

    Parsing needs up to a hundred times the memory of the text, so untrusted text is counted first.
    """

    def too_many(text: bytes) -> bool:
        opened = text.count(b"[") + text.count(b"{")
        return opened > containers or opened + text.count(b",") > values

    return too_many(raw) and too_many(_STRING.sub(b"", raw))


def depth_exceeds(value: Any, limit: int) -> bool:
    """Whether arrays and objects nest more than `limit` deep, the outermost being 1."""
    level: list[Any] = [value]
    for _ in range(limit):
        deeper: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                deeper.extend(item.values())
            elif isinstance(item, list):
                deeper.extend(item)
        level = [item for item in deeper if isinstance(item, dict | list)]
        if not level:
            return False
    return True


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("an object has the same key twice")
    return made


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _refuse_float(number: str) -> NoReturn:
    raise ValueError(f"{number[:40]} is not a whole number")


def _finite(number: str) -> float:
    value = float(number)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{number[:40]} is beyond what a number can hold")
    return value
