"""HTTP client for one configured service: no redirects, environment proxies or cookies; bounded time and size.

Every transport error and every unexpected response is raised as a job error that names the source.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import DefaultCookiePolicy
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

import requests
import urllib3

from bundles.format.model.errors import RecordError
from bundles.sources import faults
from bundles.sources.faults import Source
from bundles.sources.jsonstream import EndedEarlyError, JsonStream, MalformedError
from bundles.sources.limits import SourceLimits
from bundles.sources.trace import Trace
from bundles.sources.waiting import Allowance, AllowanceAdapter

READ_BYTES = 64 * 1024
MOST_DIGITS = 18  # of a stated length that is shown; a longer one is no length


class Dropped(Exception):  # noqa: N818 -- a signal within this package, for a reader that can resume
    """The connection failed or was too slow; the message describes how, and quotes nothing from the service."""


class Silent(Dropped):
    """There was no response in time; the service may only be slow."""


class SourceClient:
    """A session with one service.

    Args:
        source: named in errors.
        base_url: of the service, without a trailing slash.
        timeout_s: longest wait for the next byte.
        limits: bounds of the collection.
    """

    def __init__(self, source: Source, base_url: str, timeout_s: float, limits: SourceLimits) -> None:
        self.source = source
        self.limits = limits
        self._base_url = base_url
        self._timeout_s = timeout_s
        self._allowance = Allowance(timeout_s)
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # Bytes are counted and hashed as sent; a compressed response could grow beyond every bound.
        self._session.headers.update({"Accept-Encoding": "identity", "User-Agent": "ransomeye-orchestrator"})
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, AllowanceAdapter(self._allowance))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def url(self, path: str) -> str:
        """The URL of `path` without credentials, for the manifest."""
        parts = urlsplit(self._base_url + path)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    def allow(self, extra_s: float = 0.0) -> None:
        """Start a new waiting budget for the next exchanges: the total deadline plus `extra_s` seconds."""
        self._allowance.grant(self._timeout_s * self.limits.total_factor + extra_s)

    @contextmanager
    def send(self, method: str, path: str, **request: Any) -> Iterator[requests.Response]:
        """Send one request and yield the response with its body unread; call `allow` first.

        Args:
            method: the HTTP method.
            path: appended to the base URL, already quoted.
            request: `params`, `json`, `headers` as in requests.

        Raises:
            Dropped: there is no response.
        """
        timeout = (min(self.limits.connect_s, self._timeout_s), self._timeout_s)
        try:
            response = self._session.request(
                method, self._base_url + path, stream=True, allow_redirects=False, timeout=timeout, **request
            )
        except requests.Timeout:
            raise Silent("it did not answer in time.") from None
        except requests.RequestException:
            raise Dropped("it cannot be reached.") from None
        with response:
            yield response

    @contextmanager
    def document(
        self, method: str, path: str, *, max_bytes: int, trace: Trace, unknown: str = "", **request: Any
    ) -> Iterator[JsonStream]:
        """Send one request and yield the JSON of its 200 response, which must be read to its end.

        Args:
            method: the HTTP method.
            path: appended to the base URL, already quoted.
            max_bytes: the bound of the body.
            trace: receives the bytes read; may stop the reading.
            unknown: an incident id, if a 404 means that it is unknown; otherwise a 404 is a refusal.
            request: see `send`.

        Raises:
            jobs.errors.RetryableError: no response, too slow, a 5xx, or cut off.
            jobs.errors.PermanentError: any other response than a 200 with strict JSON.
        """
        self.allow()
        try:
            with self.send(method, path, **request) as response:
                if response.status_code == 404 and unknown:
                    raise faults.unknown(self.source, unknown)
                if response.status_code != 200:
                    raise faults.of_status(self.source, response.status_code)
                if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                    raise faults.invalid(self.source, "it sent an encoded body that was not asked for.")
                stated = response.headers.get("Content-Length", "")
                if stated.isascii() and stated.isdigit() and len(stated) < MOST_DIGITS:
                    trace.expect(int(stated))
                yield JsonStream(self._pieces(response, max_bytes, trace))
        except Dropped as drop:
            raise faults.unavailable(self.source, str(drop)) from None
        except EndedEarlyError:
            raise faults.unavailable(self.source, "its answer stops half-way.") from None
        except (MalformedError, RecordError) as error:
            raise faults.invalid(self.source, f"its answer was refused: {error}.") from None

    def _pieces(self, response: requests.Response, max_bytes: int, trace: Trace) -> Iterator[bytes]:
        size_bytes = 0
        while piece := read_some(response, READ_BYTES):
            size_bytes += len(piece)
            if size_bytes > max_bytes:
                raise faults.invalid(self.source, f"its answer is larger than {max_bytes} bytes.")
            trace.read(piece)
            yield piece


def read_some(response: requests.Response, most: int) -> bytes:
    """The next available bytes of a body; empty at its end.

    Raises:
        Dropped: the connection broke off or was too slow.
    """
    try:
        return bytes(response.raw.read1(most, decode_content=False))
    except urllib3.exceptions.TimeoutError:
        raise Dropped("it stopped sending half-way.") from None
    except (urllib3.exceptions.HTTPError, OSError):
        raise Dropped("its answer broke off half-way.") from None
