"""Streams an artifact's bytes from its adapter; continues after a dropped connection."""

from __future__ import annotations

import io
import time
from typing import Any

from bundles.sources import faults
from bundles.sources.adapters.protocol import Adapter, ArtifactRecord, Content
from bundles.sources.client import Dropped
from bundles.sources.faults import Source
from bundles.sources.limits import SourceLimits

PAUSE_S = 0.1
SKIP_BYTES = 64 * 1024


class RemoteReader(io.RawIOBase):
    """A stream of exactly the size in the record, or an error; never held in memory as a whole.

    Args:
        adapter: used by this reader only; closed with it.
        source: named in errors.
        record: whose content is read.
        limits: how often it is continued.

    Raises:
        jobs.errors.RetryableError: while reading: the system is down, too slow, or keeps disconnecting.
        jobs.errors.PermanentError: while reading: it refuses, or the content has another size than the record.
    """

    def __init__(self, adapter: Adapter, source: Source, record: ArtifactRecord, limits: SourceLimits) -> None:
        super().__init__()
        self._adapter = adapter
        self._source = source
        self._record = record
        self._at = 0
        self._ended = False
        self._tag = ""
        self._resumes_left = limits.resumes
        self._content: Content | None = None

    def readable(self) -> bool:
        """Always true."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read the next available bytes; 0 only after the end was confirmed."""
        if self._ended or not len(buffer):
            return 0
        while True:
            try:
                return self._read(memoryview(buffer).cast("B"))
            except Dropped as drop:
                self._close_content()
                if not self._resumes_left:
                    what = f"reading artifact {self._record.artifact_id}: {drop}"
                    raise faults.unavailable(self._source, what) from None
                self._resumes_left -= 1
                time.sleep(PAUSE_S)

    def close(self) -> None:
        """Close the connection."""
        self._close_content()
        self._adapter.__exit__(None, None, None)
        super().close()

    def _read(self, buffer: memoryview) -> int:
        if self._content is None:
            self._content = self._continued()
        size = self._record.size
        left = len(buffer) if size is None else size - self._at
        piece = self._content.read(min(len(buffer), left) if left else 1)
        if left and not piece and size is not None:
            raise Dropped("its answer broke off half-way.")
        if not piece:
            self._ended = True
            return 0
        if not left:
            what = f"the content of artifact {self._record.artifact_id} has another size than its record."
            raise faults.invalid(self._source, what)
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def _continued(self) -> Content:
        """Open the content at the present position, skipping what comes again from a system without ranges."""
        content = self._adapter.content(self._record, self._at, self._tag)
        try:
            if self._at and content.at == 0 and content.tag != self._tag:
                what = f"artifact {self._record.artifact_id} changed while it was read."
                raise faults.unavailable(self._source, what)
            self._tag = content.tag
            skip = self._at - content.at
            while skip:
                piece = content.read(min(skip, SKIP_BYTES))
                if not piece:
                    raise Dropped("its answer broke off half-way.")
                skip -= len(piece)
        except BaseException:
            content.close()
            raise
        return content

    def _close_content(self) -> None:
        if self._content is not None:
            self._content.close()
            self._content = None
