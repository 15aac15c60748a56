"""axe-core finds nothing to object to: every page in every state, light and dark, at 1280 and at 320 pixels.

The rules are those of WCAG 2.0 to 2.2, A and AA, and axe's best practices. The dark theme changes colours only, which
a test holds it to, so in it axe needs to look at colours only. axe runs through the browser's debugger, so the site's
Content-Security-Policy stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.resources import files

import pytest
from playwright.sync_api import Page, ViewportSize

from orchestrator_site.env import BASE_DIR
from tests.browser import NARROW, THEMES, WIDE, Theme
from tests.console_catalogue import CATALOGUE, Shown

pytestmark = [pytest.mark.django_db(transaction=True)]

AXE = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RULES: dict[Theme, dict[str, object]] = {
    "light": {"type": "tag", "values": TAGS},
    "dark": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]},
}
COLOURS_ONLY = re.compile(r"\s*(--[\w-]+: #[0-9a-f]{3,6}|color-scheme: dark)\s*")
RUN = """
async (rules) => {
  const found = await axe.run(document, {runOnly: rules, resultTypes: ["violations"], preload: false});
  return found.violations.flatMap((rule) => rule.nodes.map((node) =>
    `${rule.id}: ${node.html.slice(0, 200)} at ${node.target.join(" ")}: ${node.failureSummary}`));
}
"""


@pytest.mark.parametrize("shown", CATALOGUE, ids=str)
def test_axe_finds_nothing(shown: Shown, visit: Callable[..., Page]) -> None:
    page = visit(shown, reduced_motion="reduce")
    hold_still(page)
    page.evaluate(AXE)
    found = [
        f"{theme}, {size['width']} px: {text}"
        for theme in THEMES
        for size in (WIDE, NARROW)
        for text in violations(page, theme, size)
    ]
    assert found == [], "\n".join(found)


def violations(page: Page, theme: Theme, size: ViewportSize) -> list[str]:
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size(size)
    found: list[str] = page.evaluate(RUN, RULES[theme])
    return found


def test_the_dark_theme_changes_colours_only() -> None:
    sheet = (BASE_DIR / "static" / "console.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root(?:\[data-theme=\"dark\"\]|:not\(\[data-theme=\"light\"\]\)) \{([^}]*)\}", sheet)
    assert len(blocks) == sheet.count('dark"]') + sheet.count("prefers-color-scheme") == 2
    assert [
        one for block in blocks for one in block.split(";") if one.strip() and not COLOURS_ONLY.fullmatch(one)
    ] == []


def hold_still(page: Page) -> None:
    """From now on what polls gets nothing new, so that no part is replaced while axe looks at it."""
    page.route("**/*", lambda route: route.fulfill(status=204))


@pytest.mark.usefixtures("orch")
def test_axe_does_object_to_a_page_with_faults(visit: Callable[..., Page]) -> None:
    page = visit(CATALOGUE[0])
    page.evaluate(AXE)
    page.evaluate(
        """() => {
          document.querySelector("label[for=id_username]").remove();
          const small = '<button class="tiny">';
          document.querySelector("button").outerHTML = `<p>${small}one</button>${small}two</button></p>`;
          const tiny = new CSSStyleSheet();
          tiny.replaceSync(
            "button.tiny { min-height: 8px; padding: 0; border: 0; color: #aaa; background: #fff; font-size: 8px }");
          document.adoptedStyleSheets = [tiny];
        }"""
    )
    rules = {text.partition(":")[0] for text in violations(page, "light", WIDE)}
    assert rules >= {"label", "color-contrast", "target-size"}
