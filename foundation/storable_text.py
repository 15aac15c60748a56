"""Text and JSON that PostgreSQL can store: no NUL, no lone surrogate, no number outside JSON, limited nesting.

A request that contains such a value is refused (`refuse_unstorable`); values from handlers and exceptions are made
storable instead (`storable_text`, `storable_json`), since a job must not fail over the wording of its report.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from foundation.errors import InvalidRequestError

MAX_DEPTH = 32
MAX_MESSAGE_CHARS = 4000


def refuse_unstorable(field: str, value: Any, depth: int = 0) -> None:
    """Pass when `value` (JSON) can be stored as it is.

    Raises:
        InvalidRequestError: it cannot; `fields` names `field`.
    """
    fault = ""
    if depth > MAX_DEPTH:
        fault = f"is nested deeper than {MAX_DEPTH} levels"
    elif isinstance(value, str):
        if value != storable_text(value, limit=None):
            fault = "contains a NUL or a lone surrogate"
    elif isinstance(value, float) and not math.isfinite(value):
        fault = "holds a number that JSON has no word for"
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            if not isinstance(name, str):
                fault = "has a name that is not text"
                break
            refuse_unstorable(field, name, depth + 1)
            refuse_unstorable(field, inner, depth + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            refuse_unstorable(field, inner, depth + 1)
    elif not (value is None or isinstance(value, bool | int | float)):
        fault = f"holds a {type(value).__name__}, which is not JSON"
    if fault:
        raise InvalidRequestError(f"{field} {fault}.", {field: fault})


def storable_text(text: str, *, limit: int | None = MAX_MESSAGE_CHARS) -> str:
    """`text` with NUL as `%00`, lone surrogates replaced, and cut after `limit` characters."""
    clean = text.replace("\x00", "%00").encode("utf-8", "replace").decode("utf-8")
    return clean if limit is None or len(clean) <= limit else clean[: limit - 1] + "…"


def shortened(text: str, limit: int) -> str:
    """The first `limit` characters of `text` from evidence, with NUL as its symbol and lone surrogates replaced."""
    return text[:limit].replace("\x00", "\N{SYMBOL FOR NULL}").encode("utf-8", "replace").decode("utf-8")


def storable_json(value: Any, depth: int = 0) -> Any:
    """`value` as JSON that can be stored; what is no JSON becomes its text."""
    if depth > MAX_DEPTH:
        return "…"
    if isinstance(value, str):
        return storable_text(value, limit=None)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {storable_text(str(name), limit=None): storable_json(item, depth + 1) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [storable_json(item, depth + 1) for item in value]
    return storable_text(str(value))
