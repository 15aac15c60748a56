"""The certificate: what it states, what it claims not to be, and that all of it reaches the paper."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from bundles.console import bundle_custody
from bundles.format.model.errors import STEPS
from bundles.models import Bundle
from custody.actions import in_words
from custody.models import Event
from tests.console.test_pages import inspect
from tests.support import console_rows as rows
from tests.support.console_evidence import evidence, text_of, verify
from tests.support.console_rows import signed_in
from tests.support.format_builders import signer
from tests.support.main_job import bundle, change_a_byte, path_of

__all__ = ["evidence"]


def certificate(made: Bundle, client: Client) -> str:
    return text_of(client.get(reverse("bundle-certificate", args=[made.bundle_id])))


def grouped(digest: str) -> str:
    return re.sub(r"(.{8})(?=.)", r"\1 ", digest)


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
    first = re.sub(r"<[^>]+>", "", text.partition('<div class="certificate">')[2].partition("</p>")[0]).strip()
    assert first.startswith("This page is not signed. The proof is the signature inside the bundle;")
    assert "Not yet verified" in text
    assert ">Verified<" not in text


@pytest.mark.django_db
def test_custody_is_complete_from_the_request_on_oldest_first(evidence, monkeypatch) -> None:
    made = bundle("plain")
    verify(made)
    text = certificate(made, signed_in("viewer"))
    listed = re.findall(r'<td class="num">#(\d+)</td>', text)
    assert listed == [str(event.sequence) for event in Event.objects.order_by("sequence")]
    done = ["bundle.create", "bundle.published", "bundle.verify", "bundle.verified"]
    rows = text.split('<td class="num">#')[1:]
    assert [words for row, words in zip(rows, map(in_words, done), strict=True) if f"<td>{words}</td>" in row] == [
        in_words(code) for code in done
    ]
    monkeypatch.setattr(bundle_custody, "MOST_LINES", 3)
    monkeypatch.setattr(bundle_custody, "FIRST_LINES", 1)
    text = certificate(made, signed_in("viewer"))
    assert re.findall(r'<td class="num">#(\d+)</td>', text) == [listed[0], *listed[2:]]
    assert "1 events follow that are not printed" in text


@pytest.mark.django_db
def test_no_time_on_it_is_relative_and_no_link_is_lost_on_paper(evidence) -> None:
    made = bundle("plain")
    verify(made)
    verify(made)
    signed_in("operator").post(reverse("custody-page"))
    paper = certificate(made, signed_in("viewer")).partition('<div class="certificate">')[2].partition("</main>")[0]
    assert "<a " not in paper
    assert re.findall(r"<time[^>]* title=", paper) == []
    assert re.findall(r"\bago\b|\bnow\b", re.sub(r"<pre.*?</pre>", "", paper, flags=re.DOTALL)) == []


@pytest.mark.django_db
def test_it_counts_what_is_inside_and_explains_a_key_that_is_gone(evidence, orch) -> None:
    made = bundle("plain")
    text = " ".join(re.sub(r"<[^>]+>", " ", certificate(made, signed_in("viewer"))).split())
    assert "Artifacts 2" in text
    assert re.search(r"Alerts \d+: \d+ ", text)
    (orch.trusted / "signer.pem").rename(orch.root / "gone.pem")
    (orch.trusted / "other.pem").write_bytes(signer("other").public_pem)
    text = certificate(made, signed_in("viewer"))
    assert "Somebody removed this key from the keys that this server trusts." in text
    assert "any more" not in text


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
