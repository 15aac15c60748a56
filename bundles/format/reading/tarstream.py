"""Step 2 of the reading plan: reads the members of a tar stream and refuses all but well-formed regular files.

Members are read in order from an iterator of blocks, in bounded memory, without seeking.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace

from bundles.format.model import paths
from bundles.format.model.errors import BundleRejectedError
from bundles.format.model.limits import Limits
from bundles.format.model.zeros import is_zero
from bundles.format.reading import tarheader

BLOCK = tarheader.BLOCK
_ZERO = bytes(BLOCK)


@dataclass(frozen=True)
class Member:
    """One member's header as read.

    Attributes:
        path: an allowed member path.
        size: bytes of its data according to its header; not verified.
        canonical: its header is exactly the one that 1.1 prescribes for this path and size.
    """

    path: str
    size: int
    canonical: bool


class TarStream:
    """Reads members one after the other.

    Args:
        blocks: the tar bytes, in order.
        limits: bounds on paths, pax headers and sizes.
    """

    def __init__(self, blocks: Iterator[bytes], limits: Limits) -> None:
        self._blocks = blocks
        self._limits = limits
        self._view = memoryview(b"")
        self._unread = 0  # bytes of the current member's data that are not read yet
        self._padding = 0

    def next_member(self) -> Member | None:
        """The next member, or None at the end-of-archive mark; the previous one must have been read completely.

        Raises:
            BundleRejectedError: a code of the steps `container`, `members` or `end`.
        """
        block = self._header_block()
        if block == _ZERO:
            if self._header_block() != _ZERO:
                raise BundleRejectedError("tar_end_missing", "There is a single zero block among the members.")
            return None
        header = tarheader.prescribed(block)
        if header is not None:
            return self._begin(self._member(header, {}, canonical=True))
        raw, header, pax = block, tarheader.parse(block), dict[str, str]()
        if header.kind == "x":
            if header.size > self._limits.pax_bytes:
                raise BundleRejectedError("tar_header_invalid", "A pax header is too long.")
            body = self._exactly(header.size + tarheader.padding(header.size))
            if not is_zero(body[header.size :]):
                raise BundleRejectedError("tar_padding_invalid", "The padding of a pax header is not zero.")
            pax = tarheader.parse_pax(body[: header.size], self._limits)
            block = self._header_block()
            raw += body + block
            header = tarheader.parse(block)
            if header.kind == "x":
                raise BundleRejectedError("tar_header_invalid", "A pax header follows another.")
        member = self._member(header, pax, canonical=False)
        return self._begin(replace(member, canonical=raw == tarheader.member_header(member.path, member.size)))

    def data(self) -> Iterator[memoryview]:
        """The current member's bytes, in pieces; its padding is checked at the end.

        Raises:
            BundleRejectedError: `tar_padding_invalid`, or a code of the step `container`.
        """
        while self._unread:
            if not self._view:
                self._fill()
            piece = self._view[: self._unread]
            self._view = self._view[len(piece) :]
            self._unread -= len(piece)
            yield piece
        if not is_zero(self._exactly(self._padding)):
            raise BundleRejectedError("tar_padding_invalid", "The padding of a member is not zero.")
        self._padding = 0

    def read_all(self, limit: int, too_large: BundleRejectedError) -> bytes:
        """All bytes of the current member.

        Args:
            limit: the largest number of bytes to read.
            too_large: raised if there are more.
        """
        if self._unread > limit:
            raise too_large
        whole = io.BytesIO()  # `getvalue` makes no copy; joining pieces would need twice the memory
        for piece in self.data():
            whole.write(piece)
        return whole.getvalue()

    def finish(self, *, zeros_allowed: bool) -> None:
        """Check that nothing follows the end-of-archive mark (only zeros, if `zeros_allowed`).

        Raises:
            BundleRejectedError: `tar_trailing_data`, or a code of the steps `container` or `end`.
        """
        while True:
            if len(self._view) and not (zeros_allowed and is_zero(self._view)):
                raise BundleRejectedError("tar_trailing_data", "There is data after the end of the tar archive.")
            block = next(self._blocks, None)
            if block is None:
                return
            self._view = memoryview(block)

    def _begin(self, member: Member) -> Member:
        self._unread, self._padding = member.size, tarheader.padding(member.size)
        return member

    def _member(self, header: tarheader.Header, pax: dict[str, str], *, canonical: bool) -> Member:
        try:
            path = pax["path"] if "path" in pax else header.name.decode("utf-8")
        except UnicodeDecodeError as error:
            raise BundleRejectedError("path_invalid", "A tar member's path is not UTF-8.") from error
        fault = paths.path_fault(path, max_bytes=self._limits.path_bytes)
        if fault and path not in {paths.MANIFEST, paths.SIGNATURE}:
            raise BundleRejectedError("path_invalid", f"A tar member has a path that is not allowed: {fault}.")
        size = int(pax["size"]) if "size" in pax else header.size
        if size > self._limits.total_bytes:
            raise BundleRejectedError("size_exceeded", "A tar member claims to be larger than allowed.")
        if not tarheader.agree(header, path, size):
            raise BundleRejectedError("tar_header_invalid", "A tar header does not match the pax header before it.")
        return Member(path, size, canonical)

    def _header_block(self) -> bytes:
        if not self._view and not self._fill_or_end():
            raise BundleRejectedError("tar_end_missing", "The tar archive ends without its end mark.")
        return self._exactly(BLOCK)

    def _exactly(self, count: int) -> bytes:
        if len(self._view) >= count:
            taken, self._view = bytes(self._view[:count]), self._view[count:]
            return taken
        pieces = []
        while count:
            if not self._view:
                self._fill()
            piece = self._view[:count]
            self._view = self._view[len(piece) :]
            count -= len(piece)
            pieces.append(bytes(piece))
        return b"".join(pieces)

    def _fill(self) -> None:
        if not self._fill_or_end():
            raise BundleRejectedError("truncated", "The tar archive ends in the middle of a member.")

    def _fill_or_end(self) -> bool:
        block = next(self._blocks, None)
        if block is None:
            return False
        self._view = memoryview(block)
        return True
