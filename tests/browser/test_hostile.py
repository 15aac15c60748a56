"""Names and texts as an attacker chooses them are shown as text, with marks, and break neither page nor layout.

The pages are those of the catalogue's hostile states; tests/rest/test_download.py tests what a download is called.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from tests.support.browser import NARROW, WIDE
from tests.support.console_catalogue import HOSTILE, Shown
from tests.support.console_scenes import LONG

pytestmark = [pytest.mark.django_db(transaction=True)]

MARKS = ("⟨U+202E⟩", "⟨U+001B⟩", "⟨U+000D⟩", "⟨U+200B⟩")
SHAPED = {"\n", "\t"}  # what the templates themselves are laid out with


@pytest.mark.parametrize("shown", HOSTILE, ids=str)
def test_what_an_attacker_wrote_is_text_and_the_page_holds(shown: Shown, visit: Callable[..., Page]) -> None:
    page = visit(shown, viewport=NARROW)
    text = page.locator("body").inner_text()
    assert "<script>alert(1)</script>" in text
    # that no script ran is told by `heard`: there was no dialog, and the policy had nothing to forbid
    assert [mark for mark in MARKS if mark not in text] == []
    assert hidden(text) == set()
    assert page.locator("main script, main iframe, main img, main style").count() == 0
    assert all("alert(1)" not in source for source in page.locator("script").all_text_contents())
    for size in (NARROW, WIDE):
        page.set_viewport_size(size)
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        assert cut_off(page) == []


def hidden(text: str) -> set[str]:
    """The characters of `text` that hide or reorder others."""
    return {character for character in text if unicodedata.category(character) in {"Cc", "Cf", "Zl", "Zp"}} - SHAPED


def cut_off(page: Page) -> list[str]:
    """Buttons and links of the page that an over-long text has pushed out of sight; what scrolls within is in sight."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("main a, main button, main input:not([type=hidden])")]
          .filter((element) => !element.closest(".scroll, pre") && element.getClientRects().length)
          .filter((element) => element.getBoundingClientRect().right > innerWidth + 1)
          .map((element) => element.outerHTML.slice(0, 120))"""
    )
    return found


def test_some_hostile_pages_show_a_title_of_4_kb_whole(visit: Callable[..., Page]) -> None:
    assert len(LONG) > 4000
    shown = next(each for each in HOSTILE if each.name == "bundle-page")
    page = visit(shown)
    assert " ".join(LONG.split()) in " ".join(page.locator("#contents").inner_text().split())
