"""Fetches the content of one artifact into the job's staging folder; continues after dropped connections and attempts.

A content counts once its bytes are those of the record: as sent, or, if they were sent with a content encoding, without
it. What the record does not say is taken from the bytes as sent.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bundles.sources import encodings, faults
from bundles.sources.adapters.protocol import Adapter, ArtifactRecord, Content
from bundles.sources.client import Changed, Dropped
from bundles.sources.faults import ARTIFACTS
from bundles.sources.kept import Kept, key_of
from bundles.sources.limits import SourceLimits
from bundles.sources.received import READ_BYTES, ReceivedFile
from bundles.sources.waiting import pause

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0
MOST_REREADS = 8  # of a content from its start, where it cannot be continued
ENCODING_COSTS_BYTES = 64 * 1024  # what an encoding may add to a content that it cannot make smaller, beside a 64th


@dataclass(frozen=True)
class Received:
    """A whole content, proved by the record as far as it says something.

    Attributes:
        file: holds it.
        size: in bytes.
        sha256: hex.
    """

    file: Path
    size: int
    sha256: str


class Patience:
    """How long a content may make too little progress.

    Args:
        most_s: without any.
        least_rate_bytes_s: a byte received is worth as much time as at this rate.
    """

    def __init__(self, most_s: float, least_rate_bytes_s: int) -> None:
        self.most_s = most_s
        self._rate = least_rate_bytes_s
        self._left_s = most_s
        self._seen = time.monotonic()

    def moved(self, size_bytes: int) -> None:
        """Count the time since the last call, and the bytes that came in it."""
        now = time.monotonic()
        self._left_s = min(self.most_s, self._left_s - (now - self._seen) + size_bytes / self._rate)
        self._seen = now

    @property
    def is_over(self) -> bool:
        """Whether nothing is left."""
        return self._left_s <= 0


class Transfer:
    """One content.

    Args:
        adapter: used by this transfer only while it runs.
        record: whose content it is.
        kept: where it goes.
        limits: of time and size.
        timeout_s: of the system, which `limits` multiplies.
        count: called with the number of bytes whenever some came.
    """

    def __init__(
        self,
        adapter: Adapter,
        record: ArtifactRecord,
        kept: Kept,
        limits: SourceLimits,
        *,
        timeout_s: float,
        count: Callable[[int], None],
    ) -> None:
        self._adapter, self._record, self._limits, self._count = adapter, record, limits, count
        self._journal = kept.journal
        self._key = key_of(record)
        self._file = kept.contents / self._key
        self._patience = Patience(timeout_s * limits.no_progress_factor, limits.least_rate_bytes_s)
        self._proved = True  # false once it was continued without a tag
        self._changes = self._rereads = self._furthest = 0

    def run(self) -> Received:
        """Fetch it, unless an earlier attempt did.

        Raises:
            jobs.errors.RetryableError: the system is down, too slow, or keeps dropping the connection.
            jobs.errors.PermanentError: it refuses, or the content is not that of the record.
            OSError: the file cannot be written.
        """
        done = self._done()
        if done is not None:
            return done
        with ReceivedFile(self._file, self._journal, self._key, self._record.size) as file:
            while True:
                self._receive_all(file)
                sha256 = file.digest()
                if file.encoding or self._record.sha256 in {None, sha256}:
                    break
                if self._proved:
                    what = f"the content of artifact {self._record.artifact_id} has another SHA-256 than its record."
                    raise faults.invalid(ARTIFACTS, what)
                self._read_again(file)  # parts of two contents may have come together
            size, encoding = file.at, file.encoding
        if encoding:
            size, sha256 = self._settle(size, sha256, encoding)
        self._journal.add("whole", self._key, size=size, sha256=sha256)
        return Received(self._file, size, sha256)

    def _done(self) -> Received | None:
        entry = self._journal.get("whole", self._key)
        if entry is None:
            return None
        try:
            with self._file.open("rb") as opened:
                same = os.fstat(opened.fileno()).st_size == entry["size"]
                same = same and hashlib.file_digest(opened, "sha256").hexdigest() == entry["sha256"]
        except FileNotFoundError:
            same = False
        return Received(self._file, entry["size"], entry["sha256"]) if same else None

    def _receive_all(self, file: ReceivedFile) -> None:
        """Receive to the end, over as many connections as it takes."""
        fruitless = 0
        while True:
            try:
                self._receive(file)
            except Dropped as drop:
                self._patience.moved(0)
                fruitless = 0 if file.at > self._furthest else fruitless + 1
                self._furthest = max(self._furthest, file.at)
                if self._patience.is_over or fruitless > self._limits.no_progress_resumes:
                    raise self._given_up(file, drop) from None
                if isinstance(drop, Changed):
                    self._drop_changed(file)
                elif fruitless:
                    pause(min(FIRST_PAUSE_S * 2 ** (fruitless - 1), LONGEST_PAUSE_S))
            else:
                return

    def _receive(self, file: ReceivedFile) -> None:
        if self._is_whole(file) and file.at:
            return
        if file.at and not self._can_continue(file):
            self._read_again(file)
        content = self._adapter.content(self._record, file.at, file.tag)
        try:
            skip = self._begin(file, content)
            most = self._most(file)
            while piece := content.read(READ_BYTES):
                self._patience.moved(len(piece))
                self._count(len(piece))
                if skip:
                    skip, piece = max(0, skip - len(piece)), piece[skip:]
                if file.at + len(piece) > most:
                    raise self._differs()
                if piece:
                    file.write(piece)
            whole_is_known = file.whole is not None or (not file.encoding and self._record.size is not None)
            if skip or (whole_is_known and not self._is_whole(file)):
                raise Dropped("its answer ended early.")
        finally:
            content.close()

    def _begin(self, file: ReceivedFile, content: Content) -> int:
        """Compare an answer with those before; returns how many of its first bytes are there already."""
        encoding, whole = getattr(content, "encoding", ""), getattr(content, "whole", None)
        tag = content.tag or (file.tag if content.at else "")
        if file.at and (
            (tag, encoding) != (file.tag, file.encoding) or (None not in {whole, file.whole} and whole != file.whole)
        ):
            self._drop_changed(file)
            if content.at:
                raise Dropped("it changed.")
        if file.at and not tag:
            self._proved = False
        if file.at > content.at:
            self._count_reread()
        file.begin(tag, encoding, whole)
        return file.at - content.at

    def _drop_changed(self, file: ReceivedFile) -> None:
        """Begin again, as there is another content now; not a second time."""
        if self._changes:
            raise faults.unavailable(ARTIFACTS, f"artifact {self._record.artifact_id} changed while it was read.")
        self._changes += 1
        file.restart()
        self._proved = True

    def _read_again(self, file: ReceivedFile) -> None:
        """Begin again, as it cannot be proved that what comes next belongs to what is there."""
        self._count_reread()
        file.restart()
        self._proved = True

    def _count_reread(self) -> None:
        self._rereads += 1
        if self._rereads > MOST_REREADS:
            what = f"artifact {self._record.artifact_id} cannot be continued, and broke off {MOST_REREADS} times."
            raise faults.unavailable(ARTIFACTS, what)

    def _can_continue(self, file: ReceivedFile) -> bool:
        """Whether there is proof of the whole, and a way to see its end."""
        proof = bool(file.tag) or self._record.sha256 is not None
        return proof and (file.whole is not None or (not file.encoding and self._record.size is not None))

    def _is_whole(self, file: ReceivedFile) -> bool:
        size = file.whole if file.encoding or self._record.size is None else self._record.size
        return size is not None and file.at == size

    def _most(self, file: ReceivedFile) -> int:
        """The most bytes that a content can have as sent."""
        if self._record.size is None:
            return self._limits.artifact_bytes
        return self._record.size * 65 // 64 + ENCODING_COSTS_BYTES if file.encoding else self._record.size

    def _settle(self, size: int, sha256: str, encoding: str) -> tuple[int, str]:
        """Take encoded bytes as sent if they are those of the record, else without their encoding if those are.

        Returns:
            Size and SHA-256 of what was taken.

        Raises:
            jobs.errors.PermanentError: neither is.
        """
        if self._fits(size, sha256):
            return size, sha256
        plain = self._file.with_name(f"{self._key}.decoded")
        try:
            found = self._decode(plain, encoding)
            if isinstance(found, tuple) and self._fits(*found):
                plain.replace(self._file)
                return found
        finally:
            plain.unlink(missing_ok=True)
            self._journal.add("part", self._key, at=0)
        without = f"its {found[0]} bytes without it" if isinstance(found, tuple) else found
        what = f"the content of artifact {self._record.artifact_id} was sent with an encoding; neither its "
        what += f"{size} bytes as sent nor {without} have the size and SHA-256 in its record."
        raise faults.invalid(ARTIFACTS, what)

    def _fits(self, size: int, sha256: str) -> bool:
        return self._record.size in {None, size} and self._record.sha256 in {None, sha256}

    def _decode(self, plain: Path, encoding: str) -> tuple[int, str] | str:
        """Write the bytes without their encoding; their size and SHA-256, or why there are none."""
        if encoding not in encodings.KNOWN:
            return "what they would be without it (it is not known here)"
        most = self._limits.artifact_bytes if self._record.size is None else self._record.size
        digest, size = hashlib.sha256(), 0
        try:
            with self._file.open("rb") as sent, plain.open("wb") as made:
                for piece in encodings.decoded(_pieces(sent.fileno()), encoding):
                    size += len(piece)
                    if size > most:
                        return f"its more than {most} bytes without it"
                    digest.update(piece)
                    made.write(piece)
        except encodings.EncodedError:
            return "what they are without it (they cannot be decoded)"
        return size, digest.hexdigest()

    def _given_up(self, file: ReceivedFile, drop: Dropped) -> Exception:
        size = "" if self._record.size is None else f" of {self._record.size}"
        what = f"reading artifact {self._record.artifact_id}: {drop} It came to {file.at}{size} bytes, "
        return faults.unavailable(ARTIFACTS, f"{what}without progress for {self._patience.most_s:.0f} s or too slowly.")

    def _differs(self) -> Exception:
        what = f"the content of artifact {self._record.artifact_id} has another size than its record."
        return faults.invalid(ARTIFACTS, what)


def _pieces(descriptor: int) -> Iterator[bytes]:
    at = 0
    while piece := os.pread(descriptor, READ_BYTES, at):
        at += len(piece)
        yield piece
