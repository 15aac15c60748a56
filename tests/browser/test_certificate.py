"""A bundle's certificate on paper: nothing is cut, and what belongs to the screen is not printed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import Page

from bundles.models import Manifest
from custody import chain
from foundation.principal import SYSTEM
from tests.support import console_rows as rows
from tests.support.browser import sign_in_at_once

PAPER_PX = round((210 - 2 * 14) / 25.4 * 96)  # the width of A4 between the margins of console.css
# Whatever is wider than the paper, or scrolls sideways, is cut when printed; text for screen readers is not meant.
CUT = """() => [...document.querySelectorAll("main *")].filter((part) => {
  const box = part.getBoundingClientRect();
  if (!box.width || part.closest(".vh")) return false;
  return box.right > innerWidth + 1 || box.left < -1 || (part.scrollWidth > part.clientWidth + 1 && part.clientWidth > 0
    && getComputedStyle(part).overflowX !== "visible");
}).map((part) => part.outerHTML.slice(0, 200))"""


@pytest.mark.django_db(transaction=True)
def test_it_fits_on_paper_and_nothing_is_cut(live_server: Any, page: Page, orch: Any, tmp_path: Path) -> None:
    made = rows.bundle(
        "case-" + "x" * 120, complete=False,
        missing=[{"source": "artifacts", "reason": "n" * 300}, {"path": "artifacts/a/" + "ж" * 200, "reason": "gone"}],
    )  # fmt: skip
    files = [{"path": 'artifacts/a/"\u0434".txt', "size": 1, "sha256": rows.sha("f")}]
    Manifest.objects.create(bundle=made, raw=json.dumps({"files": files}).encode())
    rows.verification(made)
    for number in range(40):
        details = {"number": number}
        chain.record(SYSTEM, "bundle.verify_failed", "bundle", str(made.bundle_id), digest=made.sha256,
                     outcome="chunk_hash_mismatch", details=details)  # fmt: skip
    sign_in_at_once(page.context, live_server.url, rows.user("operator"))
    page.goto(live_server.url + reverse("bundle-certificate", args=[made.bundle_id]))
    printed = page.pdf(path=tmp_path / "certificate.pdf", prefer_css_page_size=True, format="A4")
    assert printed.startswith(b"%PDF")
    pages = len(re.findall(rb"/Type\s*/Page\b", printed))
    assert 3 <= pages <= 12
    page.emulate_media(media="print")
    page.set_viewport_size({"width": PAPER_PX, "height": 1000})
    assert page.evaluate(CUT) == []
    for hidden in (".rail", ".bar", ".actions"):
        assert not page.locator(hidden).first.is_visible()
    for shown in ("#custody", "#check-it", "#missing", "#verdict"):
        assert page.locator(shown).is_visible()
    assert page.locator(".certificate time[title]").count() == 0


@pytest.mark.django_db(transaction=True)
def test_the_measure_of_what_is_cut_finds_something_that_is(live_server: Any, page: Page, orch: Any) -> None:
    """The test above would be worth nothing if its measure saw nothing: on the screen's rules the lines do scroll."""
    made = rows.bundle()
    Manifest.objects.create(bundle=made, raw=b'{"files":[]}')
    sign_in_at_once(page.context, live_server.url, rows.user("operator"))
    page.goto(live_server.url + reverse("bundle-page", args=[made.bundle_id]))
    page.locator("#script summary").click()
    page.set_viewport_size({"width": 320, "height": 1000})
    assert page.evaluate(CUT) != []
