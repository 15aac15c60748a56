"""Undoes the content encodings gzip and deflate piece by piece, so that a bomb takes time but no memory."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

PIECE_BYTES = 64 * 1024
KNOWN = frozenset({"gzip", "x-gzip", "deflate"})


class EncodedError(ValueError):
    """The bytes are not what their encoding says; the message quotes nothing of them."""


class CutError(EncodedError):
    """The bytes end before their encoding does."""


def name_of(header: str | None) -> str:
    """The encoding that a `Content-Encoding` names, in lower case; empty if it names none or `identity`."""
    names = [name for part in (header or "").lower().split(",") if (name := part.strip()) not in {"", "identity"}]
    return ", ".join(names)


def decoded(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """The bytes without their encoding, in pieces of at most `PIECE_BYTES`.

    Args:
        pieces: the encoded bytes.
        encoding: one of `KNOWN`.

    Raises:
        EncodedError: they are not so encoded; CutError: they end too early.
    """
    raw_allowed = encoding == "deflate"  # zlib by RFC 9110; some servers send deflate without zlib's frame
    inflater = zlib.decompressobj(zlib.MAX_WBITS if raw_allowed else zlib.MAX_WBITS | 16)
    begun = False
    for piece in pieces:
        rest = piece
        while rest:
            if inflater.eof:
                if raw_allowed:
                    raise EncodedError("something follows the end of its encoded body")
                inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)  # gzip may have several members
            try:
                made = inflater.decompress(rest, PIECE_BYTES)
            except zlib.error:
                if begun or not raw_allowed:
                    raise EncodedError(f"its body is not {encoding}, as it says") from None
                inflater = zlib.decompressobj(-zlib.MAX_WBITS)
                begun = True
                continue
            begun = True
            yield from (made,) if made else ()
            rest = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
        while not inflater.eof and (made := _held(inflater, encoding)):
            yield made
    if not inflater.eof:
        raise CutError("its encoded body ends too early")


def _held(inflater: zlib._Decompress, encoding: str) -> bytes:
    """What is left inside after all input was taken."""
    try:
        return inflater.decompress(b"", PIECE_BYTES)
    except zlib.error:
        raise EncodedError(f"its body is not {encoding}, as it says") from None
