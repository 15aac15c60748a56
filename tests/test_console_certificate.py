"""The certificate: what it states, what it claims not to be, and that all of it reaches the paper."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Page

from bundles.format.errors import STEPS
from bundles.models import Bundle, Manifest
from custody import chain
from custody.models import Event
from custody.principal import SYSTEM
from tests import console_rows as rows
from tests.console_evidence import evidence, signed_in, text_of, verify
from tests.main_job import bundle, change_a_byte, path_of
from tests.test_console_pages import inspect

__all__ = ["evidence"]

PAPER_PX = round((210 - 2 * 14) / 25.4 * 96)  # the width of A4 between the margins of console.css
# Whatever is wider than the paper, or scrolls sideways, is cut when printed; text for screen readers is not meant.
CUT = """() => [...document.querySelectorAll("main *")].filter((part) => {
  const box = part.getBoundingClientRect();
  if (!box.width || part.closest(".vh")) return false;
  return box.right > innerWidth + 1 || box.left < -1 || (part.scrollWidth > part.clientWidth + 1 && part.clientWidth > 0
    && getComputedStyle(part).overflowX !== "visible");
}).map((part) => part.outerHTML.slice(0, 200))"""


def certificate(made: Bundle, client: Client) -> str:
    return text_of(client.get(reverse("bundle-certificate", args=[made.bundle_id])))


def grouped(digest: str) -> str:
    return re.sub(r"(.{8})(?=.)", r"\1 ", digest)


def enter(page: Page, live_server: Any) -> None:
    cookie = signed_in("operator").cookies["sessionid"].value
    page.context.add_cookies([{"name": "sessionid", "value": cookie, "url": live_server.url}])


@pytest.mark.django_db
def test_it_states_bundle_digests_signer_checks_custody_and_how_to_check(evidence) -> None:
    made = bundle("hard")
    verify(made)
    text = certificate(made, signed_in("viewer"))
    digests = (made.sha256, made.content_digest, made.manifest_hash, made.key_id)
    assert all(grouped(value) in text for value in digests)
    assert all(value in text for value in (str(made.bundle_id), made.name, f"{made.size:,} bytes"))
    assert all(words in text for words in STEPS.values())
    assert made.verified_at is not None
    assert made.verified_at.strftime("%Y-%m-%d %H:%M:%S UTC") in text
    events = Event.objects.filter(object_type="bundle", object_id=str(made.bundle_id))
    assert events.count() >= 3
    assert all(f"#{event.sequence}<" in text and grouped(event.hash) in text for event in events)
    assert "tools/verify_bundle.py" in text
    assert "openssl dgst" in text
    assert not inspect(text).inline


@pytest.mark.django_db
def test_it_says_that_it_proves_nothing_by_itself(evidence) -> None:
    text = certificate(bundle("plain"), signed_in("viewer"))
    assert "not signed and is no evidence by itself" in text
    assert "what proves is the signature inside the bundle" in text
    assert "Not verified yet" in text
    assert ">Verified<" not in text


@pytest.mark.django_db
def test_a_bundle_that_failed_its_check_gets_no_clean_certificate(evidence) -> None:
    made = bundle("plain")
    verify(made)
    change_a_byte(path_of(made))
    verify(made)
    text = certificate(made, signed_in("viewer"))
    assert "Not verified: do not use" in text
    assert "Earlier checks" in text


@pytest.mark.django_db
def test_whoever_may_not_see_custody_gets_no_lines_of_it(evidence) -> None:
    made, user = bundle("plain"), rows.user("", "nobody")
    user.user_permissions.add(Permission.objects.get(codename="view_bundle"))
    client = Client()
    client.force_login(user)
    text = certificate(made, client)
    assert "Custody of this bundle" not in text
    assert made.name in text


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
    enter(page, live_server)
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
    assert "UTC" in page.evaluate('getComputedStyle(document.querySelector("time[title]"), "::after").content')


@pytest.mark.django_db(transaction=True)
def test_the_measure_of_what_is_cut_finds_something_that_is(live_server: Any, page: Page, orch: Any) -> None:
    """The test above would be worth nothing if its measure saw nothing: on the screen's rules the lines do scroll."""
    made = rows.bundle()
    Manifest.objects.create(bundle=made, raw=b'{"files":[]}')
    enter(page, live_server)
    page.goto(live_server.url + reverse("bundle-page", args=[made.bundle_id]))
    page.locator("#script summary").click()
    page.set_viewport_size({"width": 320, "height": 1000})
    assert page.evaluate(CUT) != []
