"""Ways to operate a page: with the mouse, with the keyboard alone, or without JavaScript; each counts its clicks.

Every activation of a link, button or choice counts. Typing does not, nor does reloading the page while a job runs.
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
    attached: element.isConnected,
    focused: element === document.activeElement,
    outlined: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    inSight: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
  };
}
"""


class Hand(Protocol):
    """What every way of operating a page can do."""

    page: Page
    clicks: int

    def press(self, target: Locator) -> None:
        """Activate a link, a button or a choice."""

    def write(self, target: Locator, text: str) -> None:
        """Fill a field."""

    def see(self, target: Locator, text: str) -> None:
        """Wait until `target` shows `text`."""


class Mouse:
    """Uses the mouse; the page refreshes itself."""

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
        """Wait until the page shows it."""
        expect(target).to_contain_text(text)


class Keyboard:
    """Uses Tab, Enter, Space and letters only; checks that the focused element is outlined and visible."""

    def __init__(self, page: Page) -> None:
        self.page, self.clicks = page, 0

    def press(self, target: Locator) -> None:
        """Tab to it, then press Enter, or Space for a choice."""
        self._reach(target)
        self.clicks += 1
        is_choice = target.get_attribute("type") in {"checkbox", "radio"}
        self.page.keyboard.press("Space" if is_choice else "Enter")

    def write(self, target: Locator, text: str) -> None:
        """Tab to it and type."""
        self._reach(target)
        self.page.keyboard.type(text)

    def see(self, target: Locator, text: str) -> None:
        """Wait until the page shows it."""
        expect(target).to_contain_text(text)

    def _reach(self, target: Locator) -> None:
        expect(target).to_be_visible()
        for _ in range(MOST_TABS):
            if focus_of(target)["focused"]:
                break
            self.page.keyboard.press("Tab")
        else:
            raise AssertionError(f"{MOST_TABS} presses of Tab did not reach {target}")
        focus = focus_of(target)
        assert focus["outlined"], focus
        assert focus["inSight"], focus


def focus_of(target: Locator) -> dict[str, bool]:
    """How `target` holds the focus; an element that a live update has just replaced is looked up again."""
    give_up_at = time.monotonic() + PATIENCE_MS / 1000
    while not (focus := dict(target.evaluate(FOCUS)))["attached"]:
        assert time.monotonic() < give_up_at, f"{target} was replaced each time it was read"
    return focus


class WithoutScript(Mouse):
    """Uses the mouse with JavaScript off, and reloads the page to see changes."""

    def press(self, target: Locator) -> None:
        """Click it; wait for a form's answer, as a reload before it would send the form again."""
        if target.evaluate("(element) => element.matches('button')"):
            with self.page.expect_navigation():
                super().press(target)
        else:
            super().press(target)

    def see(self, target: Locator, text: str) -> None:
        """Reload the page until it shows it."""
        give_up_at = time.monotonic() + PATIENCE_MS / 1000
        while text not in (target.inner_text() if target.count() else ""):
            assert time.monotonic() < give_up_at, f"{self.page.url} never showed {text!r}"
            self.page.reload()


def counted(hand: Hand, task: Callable[[Hand], None]) -> int:
    """Do `task`; returns how many clicks it took."""
    before = hand.clicks
    task(hand)
    return hand.clicks - before
