"""How a person works a page: with the mouse, with the keyboard alone, or with JavaScript off; each counts its clicks.

What is counted is every activation of a link, button or choice. Typing is not, and neither is looking again while a
job runs (a reload, where the page does not refresh itself).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from playwright.sync_api import Locator, Page, expect

from tests.support.browser import PATIENCE_MS

MOST_TABS = 120
FOCUS = """
(element) => {
  const style = getComputedStyle(element), box = element.getBoundingClientRect();
  return {
    outlined: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    inSight: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
  };
}
"""


class Hand(Protocol):
    """What every way of working can do."""

    page: Page
    clicks: int

    def press(self, target: Locator) -> None:
        """Activate a link, a button or a choice."""

    def write(self, target: Locator, text: str) -> None:
        """Fill a field."""

    def see(self, target: Locator, text: str) -> None:
        """Look until `target` tells `text`."""


class Mouse:
    """Points and clicks; the page refreshes itself."""

    def __init__(self, page: Page) -> None:
        self.page, self.clicks = page, 0

    def press(self, target: Locator) -> None:
        """Click it."""
        self.clicks += 1
        target.click()

    def write(self, target: Locator, text: str) -> None:
        """Click into it and type."""
        target.click()
        self.page.keyboard.type(text)

    def see(self, target: Locator, text: str) -> None:
        """Wait for the page to tell it."""
        expect(target).to_contain_text(text)


class Keyboard:
    """Tab, Enter, Space and letters only; whatever takes the focus shows it, and stands in sight."""

    def __init__(self, page: Page) -> None:
        self.page, self.clicks = page, 0

    def press(self, target: Locator) -> None:
        """Tab to it, then Enter; Space where it is a choice."""
        self._reach(target)
        self.clicks += 1
        is_choice = target.get_attribute("type") in {"checkbox", "radio"}
        self.page.keyboard.press("Space" if is_choice else "Enter")

    def write(self, target: Locator, text: str) -> None:
        """Tab to it and type."""
        self._reach(target)
        self.page.keyboard.type(text)

    def see(self, target: Locator, text: str) -> None:
        """Wait for the page to tell it."""
        expect(target).to_contain_text(text)

    def _reach(self, target: Locator) -> None:
        expect(target).to_be_visible()
        for _ in range(MOST_TABS):
            if target.evaluate("(element) => element === document.activeElement"):
                break
            self.page.keyboard.press("Tab")
        else:
            raise AssertionError(f"{MOST_TABS} times Tab did not lead to {target}")
        assert target.evaluate(FOCUS) == {"outlined": True, "inSight": True}


class WithoutScript(Mouse):
    """Points and clicks where JavaScript is off: looks again by loading the page again."""

    def press(self, target: Locator) -> None:
        """Click it; a form's answer is awaited, for to load that page again would send the form once more."""
        if target.evaluate("(element) => element.matches('button')"):
            with self.page.expect_navigation():
                super().press(target)
        else:
            super().press(target)

    def see(self, target: Locator, text: str) -> None:
        """Load the page again until it tells it."""
        give_up_at = time.monotonic() + PATIENCE_MS / 1000
        while text not in (target.inner_text() if target.count() else ""):
            assert time.monotonic() < give_up_at, f"{self.page.url} never told {text!r}"
            self.page.reload()


def counted(hand: Hand, task: Callable[[Hand], None]) -> int:
    """Do `task`; how many clicks it took."""
    before = hand.clicks
    task(hand)
    return hand.clicks - before
