"""Writes canonical JSON and reads strict JSON.

The canonical form is `json.dumps(obj, sort_keys=True, separators=(",", ":"))`: ASCII, keys in code point order, no
whitespace, no final newline. A number in a record keeps its text: `1.10`, `-0` and `1E400` are written as they were
read, since a round trip through a double would change evidence. Strict reading refuses what two parsers could
understand differently: duplicate keys, NaN and infinities, bytes that are not UTF-8.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from bundles.format.model.errors import RecordError

MAX_INTEGER = 2**63 - 1
RECORD_DEPTH = 256

MAX_INTEGER_CHARACTERS = 1000  # converting takes quadratic time; Python refuses much longer ones


@dataclass(frozen=True, slots=True)
class JsonNumber:
    """A number whose text would change if it were an `int` or a `float`.

    Deliberately not a Python number, so that `json.dumps` raises a TypeError instead of writing another number.

    Attributes:
        text: as in the document, by the grammar of RFC 8259.
    """

    text: str

    def __str__(self) -> str:
        """The number as written in the document."""
        return self.text


def fraction_of(text: str) -> float | JsonNumber:
    """A number with a fraction or an exponent: a float if that is written the same."""
    value = float(text)
    return value if repr(value) == text else JsonNumber(text)


def integer_of(text: str) -> int | JsonNumber:
    """A whole number: an int if that is written the same and has at most `MAX_INTEGER_CHARACTERS`."""
    return JsonNumber(text) if text == "-0" or len(text) > MAX_INTEGER_CHARACTERS else int(text)


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def canonical_json(value: Any) -> bytes:
    """The canonical form of a JSON value, which may contain `JsonNumber`s.

    Raises:
        ValueError: the value contains NaN or an infinity.
        TypeError: the value contains something that JSON cannot represent.
    """
    try:
        text = _ENCODER.encode(value)
    except TypeError:  # a JsonNumber, most likely
        text = "".join(_pieces(value))
    return text.encode("ascii")


def _pieces(value: Any) -> Iterator[str]:
    """Like `json.dumps`, with the text of each `JsonNumber`; about ten times slower."""
    if isinstance(value, JsonNumber):
        yield value.text
    elif isinstance(value, dict):
        lead = "{"
        for key in sorted(value):
            yield f"{lead}{json.dumps(key)}:"
            yield from _pieces(value[key])
            lead = ","
        yield "{}" if lead == "{" else "}"
    elif isinstance(value, list):
        lead = "["
        for item in value:
            yield lead
            yield from _pieces(item)
            lead = ","
        yield "[]" if lead == "[" else "]"
    else:
        yield json.dumps(value, allow_nan=False)


def strict_loads(raw: bytes | str, *, floats: bool) -> Any:
    """Parse JSON and refuse ambiguous documents.

    Args:
        raw: the document; bytes must be UTF-8 without a byte order mark.
        floats: whether numbers may have a fraction or an exponent; all numbers then keep their text.

    Raises:
        ValueError: it is not JSON, nested too deeply for the parser, or ambiguous.
    """
    text = raw.decode("utf-8") if isinstance(raw, bytes) else raw
    try:
        return json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=fraction_of if floats else _refuse_float,
            parse_int=integer_of if floats else None,
        )
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def canonical_record(record: Any) -> bytes:
    """A record of a data member in canonical form, which never contains a line break.

    Raises:
        RecordError: it contains NaN or an infinity, or is nested more than `RECORD_DEPTH` deep.
    """
    try:
        line = canonical_json(record)
    except (ValueError, TypeError, RecursionError) as error:
        _require_depth(record)
        raise RecordError(f"a record cannot be written as JSON: {error}") from error
    if line.count(b"{") + line.count(b"[") > RECORD_DEPTH:  # counting brackets is cheaper than looking at each value
        _require_depth(record)
    return line


def _require_depth(record: Any) -> None:
    if depth_exceeds(record, RECORD_DEPTH):
        raise RecordError(f"a record is nested more than {RECORD_DEPTH} deep")


def depth_exceeds(value: Any, limit: int) -> bool:
    """Whether arrays and objects are nested more than `limit` deep; the outermost has depth 1."""
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
