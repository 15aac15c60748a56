"""HTTP client for one configured system: no redirects, environment proxies or cookies; bounded time and size.

Every transport error and every unexpected response is raised as a job error that names the source.
"""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import DefaultCookiePolicy
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

import requests
import urllib3

from bundles.format.model.errors import RecordError
from bundles.sources import faults, tls_files
from bundles.sources.faults import Source
from bundles.sources.jsonstream import EndedEarlyError, JsonStream, MalformedError
from bundles.sources.limits import SourceLimits
from bundles.sources.profiles import Credential, CredentialError, System
from bundles.sources.trace import Trace
from bundles.sources.waiting import Allowance, AllowanceAdapter, pace_of

READ_BYTES = 64 * 1024
MOST_DIGITS = 18  # of a stated length that is shown; a longer one is no length


class Dropped(Exception):  # noqa: N818 -- a signal within this package, for a reader that can resume
    """The connection failed or was too slow; the message describes how, and quotes nothing from the service."""


class Silent(Dropped):
    """There was no response in time; the service may only be slow."""


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
            jobs.errors.PermanentError: a file of the system cannot be used, or its certificate is not accepted.
        """
        self._pace.wait()
        timeout = (min(self.limits.connect_s, self._timeout_s), self._timeout_s)
        try:
            response = self._session.request(
                method, self._base_url + path, stream=True, allow_redirects=False, timeout=timeout, **request
            )
        except requests.Timeout:
            raise Silent("it did not answer in time.") from None
        except CredentialError as error:
            raise faults.misconfigured(self.source, str(error)) from None
        except requests.exceptions.SSLError as error:
            raise faults.misconfigured(self.source, tls_files.fault_of(self.system) or _tls_fault(error)) from None
        except requests.RequestException:
            if says := tls_files.fault_of(self.system):
                raise faults.misconfigured(self.source, says) from None
            raise Dropped("it cannot be reached.") from None
        except OSError:  # `requests` says so of a file of certificates that is not there
            raise faults.misconfigured(self.source, "a file of its certificates cannot be read.") from None
        with response:
            yield response

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
        try:
            with self.answer(method, path, unknown=unknown, **request) as response:
                if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                    raise faults.invalid(self.source, "it sent an encoded body that was not asked for.")
                stated = response.headers.get("Content-Length", "")
                if stated.isascii() and stated.isdigit() and len(stated) < MOST_DIGITS:
                    trace.expect(int(stated))
                yield JsonStream(self._pieces(response, max_bytes, trace))
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
