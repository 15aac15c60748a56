"""Signs in to Timesketch and sends its API calls.

Timesketch has no tokens for scripts: a session begins with the form of its sign-in page and lives in a cookie, and
each POST needs the CSRF token of a page of that session. Behind a proxy that signs users in, the session begins with
any request that the proxy lets through.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any, Self

import requests

from bundles.sources import faults
from bundles.sources.client import READ_BYTES, Dropped, SourceClient, read_some
from bundles.sources.faults import Source
from bundles.sources.jsonstream import JsonStream
from bundles.sources.limits import SourceLimits
from bundles.sources.profiles import CredentialError, System
from bundles.sources.trace import Tally, Trace

SIGN_IN_PATH = "/login/?local_auth=1"
PROXY_PATH = "/login/"
HOME_PATH = "/"
PAGE_BYTES = 256 * 1024
TOKEN_AGE_S = 1200.0  # Timesketch takes a CSRF token for an hour unless it is configured otherwise
MOST_COOKIES, MOST_COOKIE_CHARACTERS = 50, 8192
BY_FORM, BY_PROXY = "form", "proxy"
WAYS = (BY_FORM, BY_PROXY)

_COOKIE_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_COOKIE_VALUE = re.compile(r"[!-:<-~]*")  # printable ASCII without a semicolon or blank


class Session:
    """One session with a Timesketch; signed in at the first call.

    Args:
        source: named in errors.
        system: its credential is the account of the form, or what the proxy asks for.
        limits: bounds of the collection.
    """

    def __init__(self, source: Source, system: System, limits: SourceLimits) -> None:
        self.source = source
        self.limits = limits
        self._system = system
        self._by_form = system.options.get("sign_in", BY_FORM) == BY_FORM
        self.client = SourceClient(source, replace(system, credential=None) if self._by_form else system, limits)
        self._cookies: dict[str, str] = {}
        self._token = ""
        self._token_since = 0.0
        self._signed_in = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *of: object) -> None:
        self.client.close()

    @contextmanager
    def get(self, path: str, *, max_bytes: int, unknown: str = "", **request: Any) -> Iterator[JsonStream]:
        """GET the JSON at `path`; see `SourceClient.document`."""
        self._sign_in()
        with self.client.document(
            "GET",
            path,
            max_bytes=max_bytes,
            trace=self._untraced(),
            unknown=unknown,
            headers=self._headers(),
            **request,
        ) as document:
            yield document

    @contextmanager
    def ask(self, path: str, query: dict[str, Any], *, max_bytes: int) -> Iterator[JsonStream]:
        """POST `query`, which changes nothing there, and yield the JSON; see `SourceClient.document`."""
        with self.client.document(
            "POST", path, max_bytes=max_bytes, trace=self._untraced(), json=query, headers=self._post_headers()
        ) as document:
            yield document

    @contextmanager
    def stream(self, path: str, query: dict[str, Any], trace: Trace, *, max_bytes: int) -> Iterator[Iterator[bytes]]:
        """POST `query` and yield the pieces of the answer, as they arrive.

        Raises:
            jobs.errors.RetryableError: no response, too slow, a 5xx, or cut off.
            jobs.errors.PermanentError: any other response than a 200, or one that is too large.
        """
        headers = self._post_headers()
        with self.client.answer("POST", path, unknown=path, json=query, headers=headers) as response:
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise faults.invalid(self.source, "it sent an encoded body that was not asked for.")
            yield self._pieces(response, trace, max_bytes)

    def _pieces(self, response: requests.Response, trace: Trace, max_bytes: int) -> Iterator[bytes]:
        size_bytes = allowed_bytes = 0
        while piece := read_some(response, READ_BYTES):
            size_bytes += len(piece)
            if size_bytes > max_bytes:
                raise faults.invalid(self.source, f"its export is larger than {max_bytes} bytes.")
            trace.read(piece)
            yield piece
            if size_bytes - allowed_bytes >= self.limits.page_bytes:  # a budget of waiting for each so many bytes
                self.client.allow()
                allowed_bytes = size_bytes

    def _sign_in(self) -> None:
        if self._signed_in:
            return
        if self._by_form:
            self._fill_in_form()
        else:
            code, _ = self._exchange("GET", PROXY_PATH, {200, 302})
            if code == 200:
                raise faults.rejected(self.source, "it shows its sign-in form, so the proxy before it did not sign in.")
            self._read_token()
        self._signed_in = True

    def _fill_in_form(self) -> None:
        credential = self._system.credential
        if credential is None or credential.kind != "basic":
            raise faults.misconfigured(self.source, "signing in needs a user and a password (basic).")
        try:
            password = credential.secret()
        except CredentialError as error:
            raise faults.misconfigured(self.source, str(error)) from None
        self._take_token(self._exchange("GET", SIGN_IN_PATH, {200})[1], "its sign-in page")
        form = {"username": credential.name, "password": password, "csrf_token": self._token}
        code, _ = self._exchange("POST", SIGN_IN_PATH, {200, 302, 400, 401}, data=form)
        if code == 400:
            raise faults.rejected(self.source, "it refused the CSRF token of its own sign-in page.")
        if code == 401:
            raise faults.rejected(
                self.source, "it lets this user in through its single sign-on only (LOCAL_AUTH_ALLOWED_USERS there)."
            )
        if code == 200:
            raise faults.rejected(self.source, "it refused the user or the password.")

    def _read_token(self) -> None:
        self._take_token(self._exchange("GET", HOME_PATH, {200})[1], "its first page")

    def _take_token(self, page: bytes, which: str) -> None:
        found = _TokenFinder()
        found.feed(page.decode("utf-8", "replace"))
        if not found.token or not found.token.isascii() or not found.token.isprintable():
            raise faults.invalid(self.source, f"{which} has no CSRF token; is it a Timesketch?")
        self._token, self._token_since = found.token, time.monotonic()

    def _exchange(self, method: str, path: str, expected: set[int], **request: Any) -> tuple[int, bytes]:
        """Send one request of a browser, keep the cookies of its answer, and return its status and page."""
        self.client.allow()
        try:
            with self.client.send(method, path, headers=self._headers(), **request) as response:
                if response.status_code not in expected:
                    raise faults.of_status(self.source, response.status_code)
                self._keep_cookies(response)
                page = b""
                while response.status_code == 200 and (piece := read_some(response, READ_BYTES)):
                    page += piece
                    if len(page) > PAGE_BYTES:
                        raise faults.invalid(self.source, f"a page of it is larger than {PAGE_BYTES} bytes.")
                return response.status_code, page
        except Dropped as drop:
            raise faults.unavailable(self.source, str(drop)) from None

    def _keep_cookies(self, response: requests.Response) -> None:
        for header in response.raw.headers.getlist("Set-Cookie"):
            name, _, value = header.partition(";")[0].partition("=")
            name, value = name.strip(), value.strip()
            usable = _COOKIE_NAME.fullmatch(name) and _COOKIE_VALUE.fullmatch(value)
            if not usable or len(value) > MOST_COOKIE_CHARACTERS or len(self._cookies) >= MOST_COOKIES:
                raise faults.invalid(self.source, "it set a cookie that is not one, or too many.")
            self._cookies[name] = value

    def _headers(self) -> dict[str, str]:
        headers = {"Referer": self.client.url(HOME_PATH)}  # asked for over HTTPS, beside the token
        if self._cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        return headers

    def _post_headers(self) -> dict[str, str]:
        self._sign_in()
        if time.monotonic() - self._token_since > TOKEN_AGE_S:
            self._read_token()
        return {**self._headers(), "X-CSRFToken": self._token}

    def _untraced(self) -> Trace:
        return Trace(self.source, "", Tally(lambda _: None, lambda: None))


class _TokenFinder(HTMLParser):
    """Finds the CSRF token in a page: that of the form, or that of the head."""

    def __init__(self) -> None:
        super().__init__()
        self.token = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See `HTMLParser`."""
        named = dict(attrs)
        if tag == "input" and named.get("name") == "csrf_token":
            self.token = named.get("value") or ""
        elif tag == "meta" and named.get("name") == "csrf-token" and not self.token:
            self.token = named.get("content") or ""
