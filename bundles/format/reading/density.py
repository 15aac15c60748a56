"""Counts the values of a JSON text without parsing it, which may take a hundred times the text's memory."""

from __future__ import annotations

from bundles.format.model.limits import KIB

WINDOW_BYTES = 64 * KIB
_ALL_BUT_MARKS = bytes(set(range(256)) - set(b'",[{'))


def values_exceed(raw: bytes, most: int) -> bool:
    """Whether a JSON document has more than `most` values, counted by `,` `[` `{` outside strings.

    Args:
        raw: the document; the result for input that is not JSON is arbitrary.
        most: how many are allowed.
    """
    if raw.count(b",") + raw.count(b"[") + raw.count(b"{") <= most:
        return False  # not even with those in strings
    marks = raw.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _ALL_BUT_MARKS)
    count, quoted = 0, 0
    for start in range(0, len(marks), WINDOW_BYTES):  # in windows, since splitting makes two pieces per string
        pieces = marks[start : start + WINDOW_BYTES].split(b'"')
        count += sum(map(len, pieces[quoted::2]))
        quoted = (quoted + len(pieces) - 1) % 2
    return count > most
