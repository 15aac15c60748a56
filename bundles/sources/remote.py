"""Streams an artifact's bytes from the Forensic service; resumes after a dropped connection."""

from __future__ import annotations

import io
import re
import time
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote

import requests

from bundles.sources import faults
from bundles.sources.adapters.ransomeye.artifacts import PATH, ArtifactRecord
from bundles.sources.client import Dropped, SourceClient, read_some

_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})")
PAUSE_S = 0.1


class RemoteReader(io.RawIOBase):
    """A stream of exactly the size in the record, or an error; never held in memory as a whole.

    Args:
        client: used by this reader only; closed with it.
        artifact: the record.

    Raises:
        jobs.errors.RetryableError: while reading: the service is down, too slow, or keeps disconnecting.
        jobs.errors.PermanentError: while reading: it refuses, or the content has another size than the record.
    """

    def __init__(self, client: SourceClient, artifact: ArtifactRecord) -> None:
        super().__init__()
        self._client = client
        self._artifact = artifact
        self._path = f"{PATH}/{quote(artifact.source_id, safe='')}/content"
        self._at = 0
        self._ended = False
        self._etag = ""
        self._resumes_left = client.limits.resumes
        self._response: requests.Response | None = None
        self._open = ExitStack()
        client.allow(artifact.size / client.limits.least_rate_bytes_s)

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
                self._open.close()
                self._response = None
                if not self._resumes_left:
                    raise faults.unavailable(
                        self._client.source, f"reading artifact {self._artifact.artifact_id}: {drop}"
                    ) from None
                self._resumes_left -= 1
                time.sleep(PAUSE_S)

    def close(self) -> None:
        """Close the connection."""
        self._open.close()
        self._client.close()
        super().close()

    def _read(self, buffer: memoryview) -> int:
        if self._response is None:
            self._response = self._connect()
        left = self._artifact.size - self._at
        piece = read_some(self._response, min(len(buffer), left) if left else 1)
        if left and not piece:
            raise Dropped("its answer broke off half-way.")
        if not left:
            if piece:
                raise self._differs()
            self._ended = True
            return 0
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def _connect(self) -> requests.Response:
        """Request the content from the current position; returns the response, positioned there."""
        headers = {"Range": f"bytes={self._at}-"} if self._at else {}
        if self._at and self._etag:
            headers["If-Range"] = self._etag
        response = self._open.enter_context(self._client.send("GET", self._path, headers=headers))
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise faults.invalid(self._client.source, "it sent an encoded body that was not asked for.")
        if response.status_code == 200:
            self._begin(response)
        elif response.status_code == 206 and self._at:
            self._check_range(response)
        elif response.status_code == 416:
            raise self._differs()
        elif response.status_code == 404:
            raise faults.rejected(
                self._client.source, f"it does not have the content of artifact {self._artifact.artifact_id}."
            )
        else:
            raise faults.of_status(self._client.source, response.status_code)
        return response

    def _begin(self, response: requests.Response) -> None:
        """Handle a response with the whole content: check its length and skip what was already read."""
        length = response.headers.get("Content-Length", "")
        if length and length != str(self._artifact.size):
            raise self._differs()
        etag = response.headers.get("ETag", "")
        etag = "" if etag.startswith("W/") else etag  # a weak ETag does not guarantee equal bytes
        if self._at and etag != self._etag:
            raise faults.unavailable(
                self._client.source, f"artifact {self._artifact.artifact_id} changed while it was read."
            )
        self._etag = etag
        skip = self._at
        while skip:
            piece = read_some(response, min(skip, 64 * 1024))
            if not piece:
                raise Dropped("its answer broke off half-way.")
            skip -= len(piece)

    def _check_range(self, response: requests.Response) -> None:
        sent = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        size = self._artifact.size
        if sent is None or [int(number) for number in sent.groups()] != [self._at, size - 1, size]:
            raise faults.invalid(
                self._client.source, f"it sent another range of artifact {self._artifact.artifact_id} than asked for."
            )

    def _differs(self) -> Exception:
        return faults.invalid(
            self._client.source,
            f"the content of artifact {self._artifact.artifact_id} has another size than its record.",
        )
