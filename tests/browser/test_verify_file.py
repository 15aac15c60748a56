"""Verify a file, in a real browser: compared where it lies, or uploaded when asked; and honest words for each outcome.

A request that would carry the file is looked for in every comparison. What the page says of a match, a difference and
an unknown file never is the word "verified": no signature was checked.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import Page, Request, Route, expect

from bundles import file_matching
from bundles.format.model.errors import STEPS
from bundles.format.reading.ranges import range_bytes
from bundles.models import Bundle, RangeDigests
from bundles.uploads import resumable
from custody.models import Event
from jobs.models import Job
from tests.support import console_rows as rows
from tests.support.console_evidence import evidence, verify
from tests.support.console_rows import signed_in
from tests.support.main_job import bundle, path_of, run_to_its_end

__all__ = ["evidence"]

pytestmark = [pytest.mark.django_db(transaction=True)]
VERDICT = ".verdict .word"


@pytest.fixture
def sent(page: Page) -> list[Request]:
    """Every request that carries anything."""
    carrying: list[Request] = []
    page.on("request", lambda request: carrying.append(request) if request.method != "GET" else None)
    return carrying


def enter(page: Page, live_server: Any, role: str = "operator") -> None:
    cookie = signed_in(role).cookies["sessionid"].value
    page.context.add_cookies([{"name": "sessionid", "value": cookie, "url": live_server.url}])
    page.goto(live_server.url + reverse("verify-file"))


@pytest.fixture
def opened(page: Page, live_server: Any, evidence: Any) -> Page:
    enter(page, live_server)
    return page


def choose(page: Page, path: Path) -> None:
    page.get_by_label("Bundle file").set_input_files(path)


def copy_of(made: Bundle, tmp_path: Path, change: int | None = None) -> Path:
    raw = bytearray(path_of(made).read_bytes())
    if change is not None:
        raw[change] ^= 1
    copy = tmp_path / "my copy.tar.zst"
    copy.write_bytes(raw)
    return copy


def test_it_is_two_clicks_from_home_bundles_and_bundle(page: Page, live_server: Any, evidence: Any) -> None:
    made = bundle("plain")
    enter(page, live_server)
    for address in (reverse("home"), reverse("bundles-page"), reverse("bundle-page", args=[made.bundle_id])):
        page.goto(live_server.url + address)
        page.get_by_role("link", name=re.compile("^Verify a (file|copy)$")).click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Verify a file")
    assert page.locator(".rail li").count() == 7


def test_a_copy_matches_byte_for_byte_and_nothing_of_it_is_sent(
    opened: Page, sent: list[Request], tmp_path: Path
) -> None:
    made = bundle("hard")
    verify(made)
    choose(opened, copy_of(made, tmp_path))
    expect(opened.locator(VERDICT)).to_have_text("Matches a bundle held here, byte for byte")
    said = opened.locator(".verdict").inner_text()
    count = -(-made.size // range_bytes(made.size))
    assert count > 3
    assert f"all {count} ranges are equal" in said
    assert "This server last verified that bundle at" in said
    assert made.key_id in said
    assert "using code and digests from this server" in said
    assert "did not check the signature" in said
    assert made.sha256 in said.replace(" ", "")
    assert sent == []
    expect(opened.locator(".verdict")).to_be_focused()
    expect(opened.locator("#announce")).to_have_text("Matches a bundle held here, byte for byte")
    opened.get_by_role("link", name="“Verify it yourself”").click()
    expect(opened.get_by_role("heading", name="Verify it yourself")).to_be_in_viewport()


def test_a_match_claims_no_more_than_was_checked_here(opened: Page, tmp_path: Path) -> None:
    made = bundle("plain")
    choose(opened, copy_of(made, tmp_path))
    expect(opened.locator(VERDICT)).to_contain_text("Matches")
    assert "has not verified that bundle since" in opened.locator(".verdict").inner_text()


def test_a_partial_bundle_is_told_with_its_match(opened: Page, tmp_path: Path) -> None:
    made = bundle("plain")
    gap = [{"source": "artifacts", "reason": "Forensic answered 503\u202e"}]
    Bundle.objects.filter(pk=made.pk).update(complete=False, missing=gap)
    choose(opened, copy_of(made, tmp_path))
    notice = opened.get_by_role("region", name="Missing")
    expect(notice).to_contain_text("Partial bundle")
    expect(notice).to_contain_text("artifacts: Forensic answered 503⟨U+202E⟩")


def test_one_flipped_byte_is_found_and_its_range_named(opened: Page, sent: list[Request], tmp_path: Path) -> None:
    made = bundle("hard")
    length = range_bytes(made.size)
    choose(opened, copy_of(made, tmp_path, change=2 * length + 17))
    expect(opened.locator(VERDICT)).to_have_text("Differs from the bundle held here: do not use")
    said = opened.locator(".verdict").inner_text()
    assert f"1 of {-(-made.size // length)} ranges: bytes {2 * length:,} to {3 * length - 1:,}" in said
    assert sent == []


def test_a_file_that_we_do_not_hold_is_neither_good_nor_bad(opened: Page, sent: list[Request], tmp_path: Path) -> None:
    other = tmp_path / "from\u202eelsewhere<b>.tar.zst"
    other.write_bytes(b"another file")
    choose(opened, other)
    expect(opened.locator(VERDICT)).to_have_text("Not a bundle that this server holds")
    said = opened.locator(".verdict").inner_text()
    assert "from⟨U+202E⟩elsewhere<b>.tar.zst" in said
    assert "may still be a valid bundle from elsewhere" in said
    assert sent == []
    empty = tmp_path / "empty"
    empty.touch()
    choose(opened, empty)
    expect(opened.locator(".verdict")).to_contain_text("it is empty")


def test_the_right_one_of_many_bundles_of_one_size_is_found(opened: Page, tmp_path: Path, monkeypatch: Any) -> None:
    made = bundle("plain")
    for number in range(3):
        newer = rows.bundle("other", size=made.size)
        file_matching.store_digests(
            newer, hashlib.sha256(bytes([number])).hexdigest() * (len(made.range_digests.digests) // 32)
        )
    monkeypatch.setattr(file_matching, "MOST_COMPARED", 2)
    choose(opened, copy_of(made, tmp_path))
    expect(opened.locator(VERDICT)).to_have_text("Matches a bundle held here, byte for byte")
    expect(opened.locator(".verdict").get_by_role("link", name="plain")).to_be_visible()


def test_a_bundle_whose_ranges_were_never_hashed_can_be_compared_once_it_was_verified(
    opened: Page, tmp_path: Path
) -> None:
    made = bundle("plain")
    RangeDigests.objects.all().delete()
    copy = copy_of(made, tmp_path)
    choose(opened, copy)
    expect(opened.locator(VERDICT)).to_have_text("Cannot be compared yet")
    verify(made)
    opened.get_by_role("button", name="Compare again").click()
    expect(opened.locator(VERDICT)).to_contain_text("Matches")


def test_a_comparison_shows_progress_and_can_be_cancelled(opened: Page, sent: list[Request], tmp_path: Path) -> None:
    size = 3 * 1024**3
    large = tmp_path / "large.tar.zst"
    with large.open("wb") as file:
        file.truncate(size)  # takes no room; hashing it takes a while
    count = size // range_bytes(size)
    file_matching.store_digests(rows.bundle("large", size=size), "00" * 32 * count)
    choose(opened, large)
    expect(opened.locator("#work-amount")).to_contain_text(re.compile(r"MiB of 3\.0 GiB"))
    first = opened.locator("#work-bar").evaluate("bar => bar.value")
    opened.wait_for_function("from => document.getElementById('work-bar').value > from", arg=first)
    expect(opened.get_by_role("button", name="Cancel")).to_be_focused()
    opened.keyboard.press("Enter")
    expect(opened.get_by_text("Stopped. There is no verdict on the file.").last).to_be_visible()
    assert opened.locator(".verdict").count() == 0
    expect(opened.get_by_label("Bundle file")).to_be_enabled()
    assert sent == []


def test_a_file_is_dropped_as_well_as_chosen(opened: Page, tmp_path: Path) -> None:
    made = bundle("plain")
    raw = list(path_of(made).read_bytes())
    transfer = opened.evaluate_handle(
        "raw => { const t = new DataTransfer(); t.items.add(new File([new Uint8Array(raw)], 'x')); return t; }",
        raw,
    )
    opened.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
    expect(opened.locator(VERDICT)).to_contain_text("Matches")


def test_a_browser_that_cannot_hash_uploads_instead(
    page: Page, live_server: Any, evidence: Any, tmp_path: Path
) -> None:
    page.add_init_script("Object.defineProperty(Crypto.prototype, 'subtle', { get: () => undefined });")
    made = bundle("plain")
    enter(page, live_server)
    choose(page, copy_of(made, tmp_path))
    expect(page.locator(VERDICT)).to_have_text("Not compared")
    page.get_by_role("button", name="Upload this file and verify its signature").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The uploaded file")
    run_to_its_end(Job.objects.get(job_type="upload_verify"))
    expect(page.locator(VERDICT)).to_have_text(re.compile(r"^\s*Verified\s*$"))
    expect(page.get_by_text(STEPS["signature"])).to_be_visible()
    expect(page).to_have_title(re.compile("^Verified"))
    assert Event.objects.filter(action="upload.verified").count() == 1


def test_an_upload_that_was_stopped_goes_on_after_a_reload(
    opened: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, live_server: Any
) -> None:
    monkeypatch.setattr(resumable, "PIECE_BYTES", 1024)
    opened.reload()
    other = tmp_path / "other.tar.zst"
    other.write_bytes(bytes(range(256)) * 40)
    choose(opened, other)
    passed: list[str] = []

    def first_three(route: Route) -> None:
        if route.request.method == "PUT":
            passed.append(route.request.headers["upload-offset"])
            if len(passed) == 4:
                held.append(route)  # neither answered nor refused: the line is dead
                return
        route.continue_()

    held: list[Route] = []
    opened.route("**" + reverse("verify-file-upload"), first_three)
    opened.get_by_role("button", name="Upload this file and verify its signature").click()
    expect(opened.locator("#work-amount")).to_contain_text("3.0 KiB of 10.0 KiB")
    opened.get_by_role("button", name="Cancel").click()
    expect(opened.get_by_text("Upload stopped.").last).to_be_visible()
    held[0].abort()  # else it may yet arrive once nobody holds it
    opened.unroute("**" + reverse("verify-file-upload"))
    assert passed == ["0", "1024", "2048", "3072"]
    later: list[str] = []

    def heard(request: Request) -> None:
        if request.method == "PUT":
            later.append(request.headers["upload-offset"])

    opened.goto(live_server.url + reverse("verify-file"))
    opened.on("request", heard)
    choose(opened, other)
    opened.get_by_role("button", name="Upload this file and verify its signature").click()
    expect(opened.get_by_role("heading", level=1)).to_have_text("The uploaded file")
    assert later == [str(at) for at in range(3072, 10240, 1024)]
    job = Job.objects.get(job_type="upload_verify")
    run_to_its_end(job)
    expect(opened.locator(VERDICT)).to_have_text("Not verified: do not use")
    assert hashlib.sha256(other.read_bytes()).hexdigest() in opened.locator("#live").inner_text().replace(" ", "")


@pytest.fixture
def without_javascript(page: Page) -> Iterator[Callable[[], Page]]:
    browser = page.context.browser
    assert browser is not None
    context = browser.new_context(java_script_enabled=False)
    yield context.new_page
    context.close()


def test_without_javascript_a_plain_form_does_it(
    without_javascript: Callable[[], Page], live_server: Any, evidence: Any, tmp_path: Path
) -> None:
    made = bundle("plain")
    plain = without_javascript()
    enter(plain, live_server, "analyst")
    expect(plain.get_by_text("Without JavaScript it is uploaded")).to_be_visible()
    choose(plain, copy_of(made, tmp_path))
    plain.get_by_role("button", name="Upload and verify here").click()
    expect(plain.get_by_text("There is no verdict until that has ended")).to_be_visible()
    run_to_its_end(Job.objects.get(job_type="upload_verify"))
    plain.get_by_role("link", name="Refresh").click()
    expect(plain.locator(VERDICT)).to_have_text(re.compile(r"^\s*Verified\s*$"))
    expect(plain.get_by_role("link", name="the bundle of plain")).to_be_visible()


def test_a_viewer_may_compare_but_not_upload(page: Page, live_server: Any, evidence: Any, tmp_path: Path) -> None:
    made = bundle("plain")
    enter(page, live_server, "viewer")
    choose(page, copy_of(made, tmp_path, change=5))
    expect(page.locator(VERDICT)).to_contain_text("Differs")
    assert page.get_by_role("button", name=re.compile("Upload")).count() == 0


def test_workers_may_run_on_this_page_alone(client: Any) -> None:
    client.force_login(rows.user("viewer", "looker"))
    told = {name: client.get(reverse(name))["Content-Security-Policy"] for name in ("verify-file", "home")}
    assert "worker-src 'self'" in told["verify-file"]
    assert "worker-src 'none'" in told["home"]
