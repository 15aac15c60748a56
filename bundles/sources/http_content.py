"""An artifact's content by HTTP GET, from the start or continued by a range (RFC 9110, sections 13 and 14)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlencode

from bundles.sources import encodings, faults
from bundles.sources.adapters.protocol import ArtifactRecord
from bundles.sources.client import MOST_DIGITS, Answer, Changed, SourceClient

_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)", re.ASCII | re.IGNORECASE)


class HttpContent:
    """See `protocol.Content`.

    Args:
        client: sends the request; stays open.
        path: appended to the base URL, already quoted.
        record: whose content it is.
        at: the position to continue at.
        tag: the strong ETag of the answer that is continued; empty if it had none.
        params: of the URL.

    Attributes:
        encoding: its content encoding, which `read` leaves as it was sent; empty for none.
        whole: the bytes of the whole content as sent, with its encoding; None if the answer does not say.

    Raises:
        bundles.sources.client.Changed: there are fewer bytes than the position to continue at.
        bundles.sources.client.Dropped: there is no answer.
        jobs.errors.RetryableError, jobs.errors.PermanentError: it is not the content asked for.
    """

    def __init__(
        self,
        client: SourceClient,
        path: str,
        record: ArtifactRecord,
        *,
        at: int,
        tag: str,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        self._client = client
        self._record = record
        self._open = ExitStack()
        self.whole: int | None = None
        query = f"?{urlencode(params)}" if params else ""
        headers = {"Range": f"bytes={at}-"} if at else {}
        if at and tag:
            headers["If-Range"] = tag
        self._response = self._open.enter_context(client.content(path + query, headers))
        self.encoding = encodings.name_of(self._response.headers.get("Content-Encoding"))
        try:
            self._check(at)
        except BaseException:
            self._open.close()
            raise
        self.at = at if self._response.status_code == 206 else 0
        etag = self._response.headers.get("ETag", "")
        self.tag = "" if etag.startswith("W/") else etag  # a weak ETag does not guarantee equal bytes

    def read(self, most: int) -> bytes:
        """See `protocol.Content`."""
        return self._response.read(most)

    def close(self) -> None:
        """See `protocol.Content`."""
        self._open.close()

    def _check(self, at: int) -> None:
        response, source, name = self._response, self._client.source, self._record.artifact_id
        if response.status_code == 206 and at:
            self._check_range(response, at)
        elif response.status_code == 416 and at:
            raise Changed(f"artifact {name} is shorter than it was.")
        elif response.status_code == 404:
            raise faults.rejected(source, f"it does not have the content of artifact {name}.")
        elif response.status_code != 200:
            raise faults.of_status(source, response.status_code)
        else:
            length = response.headers.get("Content-Length", "")
            if length.isascii() and length.isdigit() and len(length) < MOST_DIGITS:
                self.whole = int(length)
            if not self.encoding and self._record.size is not None and self.whole not in {None, self._record.size}:
                raise self._differs()

    def _check_range(self, response: Answer, at: int) -> None:
        """Accept a range that begins where it was asked for; it may end early, and need not say what the whole is."""
        sent = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        first, last = (int(number) for number in sent.groups()[:2]) if sent else (-1, -1)
        self.whole = int(sent[3]) if sent and sent[3] != "*" else None
        recorded = None if self.encoding else self._record.size
        ends = [size for size in (self.whole, recorded) if size is not None]
        if first != at or last < first or any(last >= size for size in ends) or len(set(ends)) > 1:
            what = f"it sent another range of artifact {self._record.artifact_id} than asked for."
            raise faults.invalid(self._client.source, what)

    def _differs(self) -> Exception:
        what = f"the content of artifact {self._record.artifact_id} has another size than its record."
        return faults.invalid(self._client.source, what)
