"""Every page in every state, looked at once in Chromium: what it costs, that it holds at 320 pixels, what axe finds.

Budgets are bytes, requests and origins; tests/console/test_catalogue.py counts queries. The rules of axe are those of
WCAG 2.0 to 2.2, A and AA, and its best practices, light and dark, at 1280 and at 320 pixels. The dark theme changes
colours only, and a narrow screen no colours; tests hold them to it. So axe looks at colours only in the dark, and at
sizes and scrolling only at 320 pixels, unless something is shown there that is not at 1280. Contrast takes axe most of
its time and follows from the computed styles of a text and of what it stands in, so each combination of these is judged
once. axe runs through the browser's debugger, so the site's Content-Security-Policy stays as it is.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from importlib.resources import files
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Request, ViewportSize

from orchestrator_site.configuration.env import BASE_DIR
from tests.support.browser import NARROW, WIDE, Heard, Theme
from tests.support.console_catalogue import CATALOGUE, Shown

pytestmark = [pytest.mark.django_db(transaction=True)]

MOST_BYTES = 40 * 1024
MOST_REQUESTS = 6
# Asked for by the page itself once it is there, and again and again where it is live: no part of loading it.
LATER = "HX-Request"

AXE = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
CONTRAST = ["color-contrast", "color-contrast-enhanced"]
RULES: dict[Theme, dict[str, object]] = {
    "light": {"runOnly": TAGS, "rules": {rule: {"enabled": False} for rule in CONTRAST}},
    "dark": {"runOnly": ["link-in-text-block"]},
}
BY_WIDTH: dict[str, object] = {"runOnly": ["target-size", "scrollable-region-focusable"]}
# What axe's judgement of a text's contrast comes from, of the text's element and of all that it stands in.
STYLES = [
    "color", "backgroundColor", "backgroundImage", "opacity", "fontSize", "fontWeight", "textShadow", "filter",
    "mixBlendMode", "visibility", "display", "position", "clip", "clipPath", "overflow",
]  # fmt: skip
JUDGED: dict[int, set[str]] = {}  # by width: the combinations of these that axe found nothing wrong with
SHOWN = "[...document.querySelectorAll('*')].map((part) => part.checkVisibility())"
COLOURS = re.compile(r"(?<![\w-])(color|background[\w-]*|fill|stroke|opacity|--[\w-]+)\s*:")
COLOURS_ONLY = re.compile(r"\s*(--[\w-]+: #[0-9a-f]{3,6}|color-scheme: dark)\s*")
RUN = """
async ([options, styles, judged]) => {
  const known = new Set(judged), fresh = new Set(), texts = [], styleOf = new Map();
  const look = (part) => {
    if (part === null) return "";
    if (!styleOf.has(part)) {
      const computed = getComputedStyle(part);
      styleOf.set(part, styles.map((name) => computed[name]).join(";") + " < " + look(part.parentElement));
    }
    return styleOf.get(part);
  };
  for (const part of document.querySelectorAll("body *")) {
    const wrote = [...part.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim() !== "");
    const key = wrote || part.matches("input, select, textarea") ? look(part) : "";
    // What is drawn may lie upon anything.
    if (key && (part.closest("svg") || (!known.has(key) && !fresh.has(key)))) texts.push(part);
    if (key) fresh.add(key);
  }
  const all = {resultTypes: ["violations"], preload: false, ...options};
  const found = (await axe.run(document, all)).violations;
  if (styles.length && texts.length) {
    found.push(...(await axe.run(texts, {...all, runOnly: ["color-contrast"], rules: {}})).violations);
  }
  const said = found.flatMap((rule) => rule.nodes.map((node) =>
    `${rule.id}: ${node.html.slice(0, 200)} at ${node.target.join(" ")}: ${node.failureSummary}`));
  return [said, [...fresh]];
}
"""


@pytest.mark.parametrize("shown", CATALOGUE, ids=str)
def test_it_is_small_asks_little_holds_at_320_pixels_and_axe_finds_nothing(
    shown: Shown, visit: Callable[..., Page], heard: Heard
) -> None:
    page = visit(shown, viewport=NARROW, reduced_motion="reduce")
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
    hold_still(page)
    page.evaluate(AXE)
    found = violations(page, "light", WIDE) + violations(page, "dark", WIDE)
    at_wide: list[bool] = page.evaluate(SHOWN)
    page.set_viewport_size(NARROW)
    at_narrow: list[bool] = page.evaluate(SHOWN)
    if any(narrow and not wide for narrow, wide in zip(at_narrow, at_wide, strict=True)):
        found += violations(page, "light", NARROW) + violations(page, "dark", NARROW)
    else:
        found += violations(page, "light", NARROW, BY_WIDTH)
    assert found == [], "\n".join(found)
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


WEIGHTS: dict[str, int] = {}


def weight(page: Page, address: str) -> int:
    """Bytes of the file at `address` as a server compresses it; the same file on every page."""
    path = urlsplit(address).path
    if path not in WEIGHTS:
        WEIGHTS[path] = len(gzip.compress(page.request.get(address).body()))
    return WEIGHTS[path]


def widest(page: Page) -> int:
    """How many pixels wide the page is, what one can scroll to included."""
    width: int = page.evaluate("document.documentElement.scrollWidth")
    return width


def violations(page: Page, theme: Theme, size: ViewportSize, rules: dict[str, object] | None = None) -> list[str]:
    """What axe finds; with `rules` nothing of contrast."""
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size(size)
    judged = JUDGED.setdefault(size["width"], set())
    found: list[str]
    found, seen = page.evaluate(RUN, [rules or RULES[theme], [] if rules else STYLES, list(judged)])
    if not found:
        judged.update(seen)
    return [f"{theme}, {size['width']} px: {text}" for text in found]


def test_a_narrow_screen_changes_no_colours() -> None:
    sheet = (BASE_DIR / "static" / "console.css").read_text(encoding="utf-8")
    blocks = re.findall(r"@media \((?:min|max)-width[^{]*\{((?:[^{}]*\{[^{}]*\})*)", sheet)
    assert len(blocks) == len(re.findall(r"(?:min|max)-width: [\d.]+rem\)", sheet)) >= 2
    assert [block for block in blocks if COLOURS.search(block)] == []


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
    rules = {text.split(": ")[1] for text in violations(page, "light", WIDE)}
    assert rules >= {"label", "color-contrast", "target-size"}
    assert "target-size" in {text.split(": ")[1] for text in violations(page, "light", NARROW, BY_WIDTH)}
