"""The bundles that a browser compares a file with: same size, bounded response, permission."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from bundles import file_matching
from bundles.format.model.limits import GIB
from bundles.format.reading.ranges import range_bytes
from foundation.principal import SYSTEM
from tests.support import console_rows as rows
from tests.support.console_rows import signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("orch")]
SIZE = 1_935_221


def ask(client: Client, **asked: Any) -> dict[str, Any]:
    answer = client.get(reverse("verify-file-held"), asked)
    assert answer.status_code == 200
    body: dict[str, Any] = answer.json()
    return body


def hashed(size: int = SIZE, digest: str = "ab" * 32) -> Any:
    made = rows.bundle(size=size)
    file_matching.store_digests(made, digest)
    return made


def test_only_bundles_of_exactly_this_size_are_returned_with_their_digests() -> None:
    made, client = hashed(), signed_in("viewer")
    hashed(SIZE + 1)
    body = ask(client, size=SIZE)
    (one,) = body["bundles"]
    assert (body["range_bytes"], body["more"], body["without"]) == (range_bytes(SIZE), False, [])
    assert base64.b64decode(one["digests"]) == bytes.fromhex("ab" * 32)
    assert one["address"] == reverse("bundle-page", args=[made.bundle_id])


def test_a_bundle_without_digests_is_listed_separately() -> None:
    made = rows.bundle()
    body = ask(signed_in("viewer"), size=SIZE)
    assert body["bundles"] == []
    assert body["without"][0]["address"] == reverse("bundle-page", args=[made.bundle_id])


def test_by_its_root_a_bundle_is_found_among_any_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_matching, "MOST_COMPARED", 2)
    oldest = hashed(digest="cd" * 32)
    for _ in range(3):
        hashed()
    client = signed_in("viewer")
    assert ask(client, size=SIZE)["more"] is True
    root = hashlib.sha256(bytes.fromhex("cd" * 32)).hexdigest()
    (found,) = ask(client, size=SIZE, root=root)["bundles"]
    assert found["name"] == oldest.name
    assert ask(client, size=SIZE, root="0" * 64)["bundles"] == []


def test_digests_of_huge_bundles_do_not_make_a_huge_answer() -> None:
    for _ in range(3):
        hashed(1024 * GIB)
    held = file_matching.bundles_of_size(SYSTEM, 1024 * GIB)
    table_bytes = 32 * (1024 * GIB // held.range_bytes)
    assert 1 <= len(held.bundles) < 3
    assert len(held.bundles) * table_bytes <= file_matching.MOST_DIGEST_BYTES
    assert held.more


@pytest.mark.parametrize("size", ["", "-1", "1.5", "x", "9" * 40, "\u0663", "1 OR 1=1"])
def test_an_invalid_size_finds_nothing(size: str) -> None:
    hashed()
    assert ask(signed_in("viewer"), size=size)["bundles"] == []


def test_it_needs_the_right_to_see_bundles_and_few_queries(django_assert_max_num_queries: Any) -> None:
    hashed()
    client = signed_in("viewer")
    with django_assert_max_num_queries(8):
        ask(client, size=SIZE)
    nobody = signed_in("")
    assert nobody.get(reverse("verify-file-held"), {"size": SIZE}).status_code == 403
    assert nobody.get(reverse("verify-file")).status_code == 403


def test_new_digests_replace_old_ones() -> None:
    made = hashed()
    file_matching.store_digests(made, "ef" * 32)
    (one,) = file_matching.bundles_of_size(SYSTEM, SIZE).bundles
    assert bytes(one.range_digests.digests).hex() == "ef" * 32
