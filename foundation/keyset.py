"""Keyset paging: a list is read by "what comes after this row", never by offset.

Pages stay fast at any depth and neither repeat nor skip rows while new ones arrive. A cursor is opaque to its user
and harmless when forged: it holds only the last row's sort values, which become parameters of the query.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import Field, Model, Q, QuerySet

from foundation.errors import AppError

M = TypeVar("M", bound=Model)
T = TypeVar("T")

DEFAULT_LIMIT = 50
MAX_LIMIT = 500


class CursorInvalidError(AppError):
    """The cursor is not one that a page of this list gave out."""

    code = "cursor_invalid"


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list.

    Attributes:
        items: the rows, in order.
        next: the cursor of the page after this one; empty on the last page.
    """

    items: list[T]
    next: str


def page(rows: QuerySet[M], *, order: tuple[str, ...], cursor: str = "", limit: int = DEFAULT_LIMIT) -> Page[M]:
    """Read one page of `rows`.

    Args:
        rows: what to list, filtered but neither ordered nor sliced.
        order: field names that together are unique and not null, each with `-` for descending; all of one direction.
        cursor: where the page before ended; empty for the first page.
        limit: rows a page, from 1 to 500.

    Raises:
        CursorInvalidError: the cursor cannot be read, or does not fit this list.
    """
    limit = max(1, min(limit, MAX_LIMIT))
    names = [name.lstrip("-") for name in order]
    if cursor:
        values = _decode(cursor, rows.model, names)
        operator = "lt" if order[0].startswith("-") else "gt"
        # Said once more of the first field alone: no index is entered through the OR below, a deep page would walk all.
        bound = Q(**{f"{names[0]}__{operator}e": values[0]})
        after = Q()
        for index, name in enumerate(names):
            same = {earlier: values[place] for place, earlier in enumerate(names[:index])}
            after |= Q(**same, **{f"{name}__{operator}": values[index]})
        rows = rows.filter(bound & after)
    found = list(rows.order_by(*order)[: limit + 1])
    more = len(found) > limit
    found = found[:limit]
    return Page(items=found, next=_encode(found[-1], names) if more else "")


def walk(read: Callable[[str], Page[T]]) -> Iterator[T]:
    """Every row of a list, page after page; no database cursor stays open between two pages.

    Args:
        read: gives the page after a cursor. It is called for the first page at once, so that a refusal comes before the
            first row, and for each other when its first row is wanted.
    """
    return _rows(read(""), read)


def _rows(page: Page[T], read: Callable[[str], Page[T]]) -> Iterator[T]:
    while True:
        yield from page.items
        if not page.next:
            return
        page = read(page.next)


def _encode(row: Model, names: list[str]) -> str:
    values = [getattr(row, name) for name in names]
    plain = [value.isoformat() if isinstance(value, datetime) else _plain(value) for value in values]
    return base64.urlsafe_b64encode(json.dumps(plain, separators=(",", ":")).encode()).decode().rstrip("=")


def _plain(value: Any) -> int | str:
    return value if isinstance(value, int) else str(value)


def _decode(cursor: str, model: type[Model], names: list[str]) -> list[Any]:
    try:
        values = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
        if not isinstance(values, list) or len(values) != len(names):
            raise CursorInvalidError("This cursor does not belong to this list; start again without one.")
        return [_value(model, name, value) for name, value in zip(names, values, strict=True)]
    except (ValueError, TypeError, OverflowError, binascii.Error, RecursionError) as error:
        raise CursorInvalidError("This cursor cannot be read; start again without one.") from error


def _value(model: type[Model], name: str, value: Any) -> Any:
    if not isinstance(value, int | str) or isinstance(value, bool) or (isinstance(value, str) and "\x00" in value):
        raise CursorInvalidError("This cursor cannot be read; start again without one.")
    str(value).encode("utf-8")  # a lone surrogate is a ValueError here, and no error of the database's later
    field = model._meta.get_field(name)  # noqa: SLF001 # Django's documented model API
    if not isinstance(field, Field):
        raise TypeError(f"{name} is no column")
    try:
        parsed = field.to_python(value)
    except ValidationError as error:
        raise CursorInvalidError("This cursor cannot be read; start again without one.") from error
    # A moment as a page gave it out; one whose UTC day does not exist is an OverflowError.
    return parsed.astimezone(UTC) if isinstance(parsed, datetime) else parsed
