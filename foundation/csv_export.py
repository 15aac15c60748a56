"""Lists as CSV (RFC 4180) that a spreadsheet opens as text and nothing else.

A cell that a spreadsheet would run as a formula is prefixed with `'`; every character that hides, reorders or breaks
lines is shown by its number, ⟨U+202E⟩. Rows are streamed and bounded; a list that was cut says so in its last row.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from django.http import StreamingHttpResponse

from foundation.instant import rfc3339
from foundation.invisible import is_invisible, marked

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")  # full-width ones count in some locales # noqa: RUF001
MOST_ROWS = 100_000
MOST_CELL_CHARS = 32_000  # a spreadsheet's cell holds 32,767
ROWS_A_PIECE = 200


def cell(value: object) -> str | int | float:
    """One value as a cell: numbers stay numbers, times are RFC 3339 in UTC, `None` is empty, all else is safe text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return value
    if isinstance(value, datetime):
        return rfc3339(value)
    text = str(value)
    cut = text if len(text) <= MOST_CELL_CHARS else text[: MOST_CELL_CHARS - 1] + "…"
    if cut.isprintable():  # nothing invisible in it, as nearly always; a hundred thousand rows are soon sent
        return f"'{cut}" if cut.lstrip().startswith(FORMULA_STARTS) else cut
    shown = marked(cut)
    # The original's start counts: a spreadsheet may drop what is invisible, and blanks, before it looks.
    bare = "".join(character for character in cut[:50] if not is_invisible(character)).lstrip()
    return f"'{shown}" if text.startswith(FORMULA_STARTS) or bare.startswith(FORMULA_STARTS) else shown


def download(
    name: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, most: int = MOST_ROWS
) -> StreamingHttpResponse:
    """The answer that a browser saves as `NAME_YYYYMMDD_HHMMSS.csv`.

    Args:
        name: the list's name, a word of ours: the file's name holds nothing that evidence chose.
        columns: the first row.
        rows: the others, read while they are sent.
        most: rows at most; where there are more, a last row says that the list was cut.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%d_%H%M%S")
    response = StreamingHttpResponse(_pieces(columns, rows, most), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}_{stamp}.csv"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _pieces(columns: Sequence[str], rows: Iterable[Sequence[object]], most: int) -> Iterator[str]:
    line = csv.writer(_Line())
    yield line.writerow(columns)
    numbered = enumerate(rows)
    while piece := list(islice(numbered, ROWS_A_PIECE)):
        lines: list[str] = []
        for number, row in piece:
            if number >= most:
                yield "".join(
                    [*lines, line.writerow([f"CUT: only the first {most:,} rows are here. Narrow the filter."])]
                )
                return
            lines.append(line.writerow([cell(value) for value in row]))
        yield "".join(lines)


class _Line:
    """A file that gives back what is written to it, so that a `csv.writer` makes one line at a time."""

    def write(self, text: str) -> Any:
        """Give `text` back."""
        return text
