"""HTTP client for one configured system: no redirects, environment proxies or cookies; bounded time and size.

Every transport error and every unexpected response is raised as a job error that names the source. A source that asks
to be left alone for a time (RFC 9110, section 10.2.3) is asked again after it. A kept connection that the source closed
between two requests is replaced once, without a word, if the request only reads.
"""

from __future__ import annotations

import email.utils
import http.client
import ssl
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import urlsplit, urlunsplit

import requests
import urllib3
from urllib3.util.response import is_fp_closed

from bundles.format.model.errors import RecordError
from bundles.sources import encodings, faults, tls_files
from bundles.sources.faults import Source
from bundles.sources.jsonstream import EndedEarlyError, JsonStream, MalformedError
from bundles.sources.limits import SourceLimits
from bundles.sources.profiles import Credential, CredentialError, System
from bundles.sources.trace import Trace
from bundles.sources.waiting import Allowance, AllowanceAdapter, pace_of, pause

READ_BYTES = 64 * 1024
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
LEAST_WAIT_S = 0.5  # before a request is repeated, also where the source says 0
MOST_DIGITS = 18  # of a stated length that is shown; a longer one is no length


class Dropped(Exception):  # noqa: N818 -- a signal within this package, for a reader that can resume
    """The connection failed or was too slow; the message describes how, and quotes nothing from the service."""


class Silent(Dropped):
    """There was no response in time; the service may only be slow."""


class Changed(Dropped):
    """What was read so far cannot be continued, as the source has something else there now; it can be read anew."""


_BROKEN = (OSError, urllib3.exceptions.HTTPError, http.client.HTTPException)


@dataclass(frozen=True)
class Answer:
    """An answer of bytes.

    Attributes:
        status_code: of the answer.
        headers: its fields; names in any case.
        read: the next bytes, at most so many; empty at the end. Raises `Dropped`.
    """

    status_code: int
    headers: Mapping[str, str]
    read: Callable[[int], bytes]


class _Identity(requests.auth.AuthBase):
    """Adds a system's credential to each request; `requests` drops it nowhere, as redirects are not followed."""

    def __init__(self, credential: Credential) -> None:
        self._credential = credential

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        secret = self._credential.secret()
        if self._credential.kind == "basic":
            encoded = b64encode(f"{self._credential.name}:{secret}".encode()).decode("ascii")
            request.headers["Authorization"] = f"Basic {encoded}"
            return request
        bearer = self._credential.kind == "bearer"
        name = "Authorization" if bearer else self._credential.name
        request.headers[name] = f"Bearer {secret}" if bearer else secret
        return request


class SourceClient:
    """A session with one system.

    Args:
        source: named in errors.
        system: where it is, and as whom it is asked.
        limits: bounds of the collection.
    """

    def __init__(self, source: Source, system: System, limits: SourceLimits) -> None:
        self.source = source
        self.system = system
        self.limits = limits
        self._base_url = system.url
        self._timeout_s = system.timeout_s
        self._allowance = Allowance(system.timeout_s)
        self._pace = pace_of(system.name, system.requests_per_s)
        self._pool: urllib3.HTTPConnectionPool | None = None
        self._fields: dict[str, str] = {}
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # Bytes are counted and hashed as sent; a compressed response could grow beyond every bound.
        self._session.headers.update({"Accept-Encoding": "identity", "User-Agent": "ransomeye-orchestrator"})
        if system.credential is not None:
            self._session.auth = _Identity(system.credential)
        if system.ca_file is not None:
            self._session.verify = str(system.ca_file)
        if system.client_cert is not None:
            certificate, key = str(system.client_cert), system.client_key
            self._session.cert = certificate if key is None else (certificate, str(key))
        self._transport = AllowanceAdapter(self._allowance)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, self._transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def url(self, path: str) -> str:
        """The URL of `path` without credentials, for the manifest."""
        parts = urlsplit(self._base_url + path)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    def allow(self, extra_s: float = 0.0) -> None:
        """Start a new waiting budget for the next exchanges: the total deadline plus `extra_s` seconds."""
        self._allowance.grant(self._timeout_s * self.limits.total_factor + extra_s)

    @contextmanager
    def send(
        self, method: str, path: str, *, repeatable: bool | None = None, **request: Any
    ) -> Iterator[requests.Response]:
        """Send one request and yield the response with its body unread; call `allow` first.

        A 429 or 503 with `Retry-After` is waited for and asked again, within the total deadline of one response.

        Args:
            method: the HTTP method.
            path: appended to the base URL, already quoted.
            repeatable: whether the request changes nothing there, so that it may be sent a second time where a kept
                connection turns out to be closed; by default, what the method says.
            request: `params`, `json`, `headers` as in requests.

        Raises:
            Dropped: there is no response.
            jobs.errors.RetryableError: the source asks to be left alone for longer than the deadline.
            jobs.errors.PermanentError: a file of the system cannot be used, or its certificate is not accepted.
        """
        tries = 2 if (method in SAFE_METHODS if repeatable is None else repeatable) else 1
        give_up_at = time.monotonic() + self._timeout_s * self.limits.total_factor
        while True:
            with self._sent(method, path, tries, request) as response:
                wait_s = _asked_to_wait_s(response.status_code, response.headers.get("Retry-After"))
                if wait_s is None:
                    yield response
                    return
                code = response.status_code
            self._wait_as_asked(code, wait_s, give_up_at)

    def _wait_as_asked(self, code: int, wait_s: float, give_up_at: float) -> None:
        """Wait, unless that would be beyond the deadline."""
        wait_s = max(wait_s, LEAST_WAIT_S)
        if time.monotonic() + wait_s > give_up_at:
            what = f"it answered with HTTP {code} and asks for {wait_s:.0f} s without a request."
            raise faults.unavailable(self.source, what, not_before_s=wait_s)
        pause(wait_s)

    def _sent(self, method: str, path: str, tries: int, request: dict[str, Any]) -> requests.Response:
        """Send one request, and again if it went into a kept connection that was closed already."""
        self._pace.wait()
        timeout = (min(self.limits.connect_s, self._timeout_s), self._timeout_s)
        connected = self._transport.connected
        try:
            return self._session.request(
                method, self._base_url + path, stream=True, allow_redirects=False, timeout=timeout, **request
            )
        except requests.Timeout:
            raise Silent("it did not answer in time.") from None
        except CredentialError as error:
            raise faults.misconfigured(self.source, str(error)) from None
        except requests.RequestException as error:
            kept = self._transport.connected == connected > 0
            if kept and tries > 1 and isinstance(error, requests.ConnectionError):
                return self._sent(method, path, tries - 1, request)
            if says := tls_files.fault_of(self.system):
                raise faults.misconfigured(self.source, says) from None
            if isinstance(error, requests.exceptions.SSLError):
                raise faults.misconfigured(self.source, _tls_fault(error)) from None
            raise Dropped("it cannot be reached.") from None
        except OSError:  # `requests` says so of a file of certificates that is not there
            raise faults.misconfigured(self.source, "a file of its certificates cannot be read.") from None

    @contextmanager
    def content(self, path: str, headers: Mapping[str, str]) -> Iterator[Answer]:
        """Like `send`, for a GET of bytes, by urllib3 alone: thousands of small contents cost less than half as much.

        Args:
            path: appended to the base URL, already quoted.
            headers: beside those of every request.
        """
        if "@" in urlsplit(self._base_url).netloc:
            with self.send("GET", path, headers=dict(headers)) as response:
                yield Answer(response.status_code, response.headers, lambda most: read_some(response, most))
            return
        give_up_at = time.monotonic() + self._timeout_s * self.limits.total_factor
        while True:
            self._pace.wait()
            raw = self._got(path, headers)
            wait_s = _asked_to_wait_s(raw.status, raw.headers.get("Retry-After"))
            if wait_s is None:
                break
            raw.close()
            self._wait_as_asked(raw.status, wait_s, give_up_at)
        try:
            yield Answer(raw.status, raw.headers, lambda most: _next_of(raw, most))
        finally:
            if is_fp_closed(raw):
                raw.release_conn()
            else:
                raw.close()  # what is left of it must not be taken for the next answer

    def _got(self, path: str, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        """Send a GET; once more if it went into a kept connection that was closed already."""
        timeout = urllib3.Timeout(connect=min(self.limits.connect_s, self._timeout_s), read=self._timeout_s)
        fields = {**self._fields_of_all(), **headers}
        while True:
            connected = self._transport.connected
            try:
                return self._contents().urlopen(
                    "GET", urlsplit(self._base_url).path + path, headers=fields, redirect=False, retries=False,
                    timeout=timeout, preload_content=False,
                )  # fmt: skip
            except (urllib3.exceptions.TimeoutError, TimeoutError):
                raise Silent("it did not answer in time.") from None
            except (*_BROKEN, ValueError) as error:
                if self._transport.connected == connected > 0:
                    continue
                if says := tls_files.fault_of(self.system):
                    raise faults.misconfigured(self.source, says) from None
                if isinstance(error, urllib3.exceptions.SSLError | ssl.SSLError):
                    raise faults.misconfigured(self.source, _tls_fault(error)) from None
                raise Dropped("it cannot be reached.") from None

    def _contents(self) -> urllib3.HTTPConnectionPool:
        """The pool of the connection for contents, with the TLS settings of `requests`."""
        if self._pool is None:
            asked = requests.Request("GET", self._base_url).prepare()
            verify, certificate = self._session.verify, self._session.cert
            try:
                pool = self._transport.get_connection_with_tls_context(asked, verify, cert=certificate)
                self._transport.cert_verify(pool, self._base_url, verify, certificate)  # type: ignore[no-untyped-call]
            except OSError:  # `requests` says so of a file of certificates that is not there
                raise faults.misconfigured(self.source, "a file of its certificates cannot be read.") from None
            self._pool = cast("urllib3.HTTPConnectionPool", pool)
        return self._pool

    def _fields_of_all(self) -> dict[str, str]:
        """The header fields of every request; a credential is read anew each time."""
        if self._session.auth is not None or not self._fields:
            try:
                prepared = self._session.prepare_request(requests.Request("GET", self._base_url + "/"))
            except CredentialError as error:
                raise faults.misconfigured(self.source, str(error)) from None
            self._fields = {name: _text(value) for name, value in prepared.headers.items()}
        return self._fields

    @contextmanager
    def answer(self, method: str, path: str, *, unknown: str = "", **request: Any) -> Iterator[requests.Response]:
        """Send one request and yield the 200 response with its body unread.

        Args:
            method: the HTTP method.
            path: appended to the base URL, already quoted.
            unknown: an incident id, if a 404 means that it is unknown; otherwise a 404 is a refusal.
            request: see `send`.

        Raises:
            jobs.errors.RetryableError: no response, too slow, or a 5xx.
            jobs.errors.PermanentError: any other response than a 200.
        """
        self.allow()
        try:
            with self.send(method, path, **request) as response:
                if response.status_code == 404 and unknown:
                    raise faults.unknown(self.source, unknown)
                if response.status_code != 200:
                    raise faults.of_status(self.source, response.status_code)
                yield response
        except Dropped as drop:
            raise faults.unavailable(self.source, str(drop)) from None

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
        request.setdefault("repeatable", True)  # a document is read, whatever the method
        try:
            with self.answer(method, path, unknown=unknown, **request) as response:
                encoding = encodings.name_of(response.headers.get("Content-Encoding"))
                if encoding and encoding not in encodings.KNOWN:
                    raise faults.invalid(
                        self.source, "it sent a body in an encoding that was not asked for and is not known here."
                    )
                stated = response.headers.get("Content-Length", "")
                if stated.isascii() and stated.isdigit() and len(stated) < MOST_DIGITS:
                    trace.expect(int(stated))
                yield JsonStream(self._pieces(response, encoding, max_bytes, trace))
        except (EndedEarlyError, encodings.CutError):
            raise faults.unavailable(self.source, "its answer stops half-way.") from None
        except (MalformedError, RecordError, encodings.EncodedError) as error:
            raise faults.invalid(self.source, f"its answer was refused: {error}.") from None

    def _pieces(self, response: requests.Response, encoding: str, max_bytes: int, trace: Trace) -> Iterator[bytes]:
        """The body without its encoding; counted and hashed as sent, and bounded both as sent and without it."""
        sent = self._bounded(_traced(response, trace), max_bytes)
        return self._bounded(encodings.decoded(sent, encoding), max_bytes) if encoding else sent

    def _bounded(self, pieces: Iterator[bytes], max_bytes: int) -> Iterator[bytes]:
        size_bytes = 0
        for piece in pieces:
            size_bytes += len(piece)
            if size_bytes > max_bytes:
                raise faults.invalid(self.source, f"its answer is larger than {max_bytes} bytes.")
            yield piece


def _traced(response: requests.Response, trace: Trace) -> Iterator[bytes]:
    while piece := read_some(response, READ_BYTES):
        trace.read(piece)
        yield piece


def read_some(response: requests.Response, most: int) -> bytes:
    """The next available bytes of a body; empty at its end.

    Raises:
        Dropped: the connection broke off or was too slow.
    """
    return _next_of(response.raw, most)


def _next_of(raw: Any, most: int) -> bytes:
    try:
        return bytes(raw.read1(most, decode_content=False))
    except urllib3.exceptions.TimeoutError:
        raise Dropped("it stopped sending half-way.") from None
    except (urllib3.exceptions.HTTPError, OSError):
        raise Dropped("its answer broke off half-way.") from None


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")


def _asked_to_wait_s(status_code: int, retry_after: str | None) -> float | None:
    """The seconds that a 429 or 503 asks to wait; None if it is another answer or does not say so."""
    if status_code not in {429, 503}:
        return None
    value = (retry_after or "").strip()
    if value.isascii() and value.isdigit() and len(value) < MOST_DIGITS:
        return float(value)
    try:
        until = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, until.timestamp() - time.time())


def _tls_fault(error: BaseException) -> str:
    """What is wrong with the TLS connection, in the words of the TLS library, without anything that the peer chose."""
    seen: list[BaseException] = []
    inner: BaseException | None = error
    while inner is not None and inner not in seen:
        seen.append(inner)
        if isinstance(inner, ssl.SSLCertVerificationError):
            verified = str(inner.verify_message).rstrip(".")
            reason = "the name differs" if "ostname" in verified or "IP address" in verified else verified
            return f"its TLS certificate is not accepted: {reason}."
        if isinstance(inner, ssl.SSLError) and inner.reason:
            return f"the TLS connection failed ({inner.reason})."
        reasons = [each for each in (getattr(inner, "reason", None), *inner.args) if isinstance(each, BaseException)]
        inner = reasons[0] if reasons else inner.__cause__ or inner.__context__
    return "the TLS connection failed."
