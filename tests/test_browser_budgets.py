"""What each page costs, measured in Chromium: bytes, requests, origins; and that it holds at 320 pixels.

The queries of each page are counted by test_console_catalogue.py.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Request

from tests.browser import NARROW, Heard
from tests.console_catalogue import CATALOGUE, Shown

pytestmark = [pytest.mark.django_db(transaction=True)]

MOST_BYTES = 40 * 1024
MOST_REQUESTS = 6
# Asked for by the page itself once it is there, and again and again where it is live: no part of loading it.
LATER = "HX-Request"


@pytest.mark.parametrize("shown", CATALOGUE, ids=str)
def test_it_is_small_asks_little_and_nobody_else_and_holds_at_320_pixels(
    shown: Shown, visit: Callable[..., Page], heard: Heard
) -> None:
    page = visit(shown, viewport=NARROW)
    loading = first_load(heard.requests)
    origins = {urlsplit(request.url).netloc for request in heard.requests}
    assert origins == {urlsplit(page.url).netloc}
    # Not every Chromium tells that it asks for the icon, so the icon that the page names is counted in any case.
    icons: list[str] = page.evaluate("[...document.querySelectorAll('link[rel=icon]')].map((link) => link.href)")
    others = [request.url for request in loading if request.url not in icons]
    assert len(others) + len(icons) <= MOST_REQUESTS, others
    weights = {request.url: weight(page, request.url) for request in loading if is_code(request)}
    assert sum(weights.values()) <= MOST_BYTES, weights
    assert weights.keys(), "a page has a stylesheet at least"
    assert widest(page) <= NARROW["width"]
    # `heard` fails the test when the console said anything was wrong or a Content-Security-Policy was violated.


def first_load(requests: list[Request]) -> list[Request]:
    """The requests of the first document, without what live parts ask for later."""
    found: list[Request] = []
    for request in requests:
        if request.is_navigation_request() and found:
            break
        if LATER.lower() not in request.headers:
            found.append(request)
    return found


def is_code(request: Request) -> bool:
    """Whether it is a stylesheet or a script."""
    return request.resource_type in {"stylesheet", "script"}


def weight(page: Page, address: str) -> int:
    """Bytes of the file at `address` as a server compresses it."""
    return len(gzip.compress(page.request.get(address).body()))


def widest(page: Page) -> int:
    """How many pixels wide the page is, what one can scroll to included."""
    width: int = page.evaluate("document.documentElement.scrollWidth")
    return width
