"""The page of keys: which one signs, which are trusted or revoked, what each signed; public keys are given away."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from bundles.keys import signing_keys, trusted_keys
from tests.support import console_rows as rows

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("orch")]


@pytest.fixture
def viewer() -> Client:
    client = Client()
    client.force_login(rows.user("viewer"))
    return client


def add_key(folder: Path, name: str, bits: int = 3072) -> str:
    """A public key in `folder`; returns its id."""
    public = rsa.generate_private_key(public_exponent=65537, key_size=bits).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.pem").write_bytes(public.public_bytes(serialization.Encoding.PEM, form))
    return hashlib.sha256(public.public_bytes(serialization.Encoding.DER, form)).hexdigest()


def shown(client: Client) -> Any:
    answer = client.get(reverse("keys-page"))
    assert answer.status_code == 200
    return answer


def states(answer: Any) -> dict[str, str]:
    return {one.name: one.state for one in answer.context["overview"].signers}


def test_each_key_has_its_state_in_words_and_the_active_one_comes_first(viewer, orch):
    add_key(orch.trusted, "before")
    add_key(orch.trusted, "short", bits=2048)
    add_key(orch.trusted / "revoked", "stolen")
    rows.bundle(signer="gone")
    answer = shown(viewer)
    assert states(answer) == {
        "signer": "active",
        "before": "trusted",
        "short": "weak",
        "stolen": "revoked",
        "gone": "absent",
    }
    assert next(iter(states(answer))) == "signer"
    text = answer.content.decode()
    for words in (
        "Active: signs new bundles",
        "verifies, does not sign",
        "weak: 2048 bits",
        "its bundles are refused",
        "Not trusted here",
    ):
        assert words in text
    assert "RSA, 3,072 bits" in text


def test_fingerprints_are_shown_in_full_and_bundles_are_counted_by_signer(viewer, orch):
    active = trusted_keys.active_id()
    for _ in range(3):
        rows.bundle(key_id=active)
    rows.bundle(key_id="f" * 64, signer="gone")
    answer = shown(viewer)
    counts = {one.key_id: one.bundles for one in answer.context["overview"].signers}
    assert counts == {active: 3, "f" * 64: 1}
    grouped = " ".join(active[start : start + 8] for start in range(0, 64, 8))
    assert grouped in answer.content.decode()


def test_a_great_number_of_bundles_is_not_counted_through(viewer, monkeypatch):
    monkeypatch.setattr(signing_keys, "COUNTED_UP_TO", 2)
    for _ in range(4):
        rows.bundle(key_id=trusted_keys.active_id())
    assert "more than 2" in shown(viewer).content.decode()


def test_bundles_are_counted_in_one_query_through_the_index(viewer):
    for number in range(40):
        rows.bundle(key_id=rows.sha(str(number % 5)))
    with CaptureQueriesContext(connection) as caught:
        shown(viewer)
    assert len(caught) <= 12
    [query] = [one["sql"] for one in caught.captured_queries if "signers" in one["sql"]]
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("EXPLAIN " + query)
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "bundle_signer" in plan
    assert "Seq Scan on orchestrator_bundles" not in plan


def test_a_public_key_is_given_away_as_a_file_and_proves_its_fingerprint(viewer, orch, tmp_path):
    key_id = add_key(orch.trusted, "räd key\u202e")
    answer = viewer.get(reverse("public-key", args=[key_id]))
    assert answer["Content-Disposition"] == f'attachment; filename="r_d_key__{key_id[:8]}.pem"'
    assert answer["Content-Type"] == "application/x-pem-file"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert b"PRIVATE" not in answer.content
    (tmp_path / "key.pem").write_bytes(answer.content)
    assert shutil.which("openssl")
    printed = "openssl pkey -pubin -in key.pem -outform DER | sha256sum"
    assert printed in shown(viewer).content.decode()
    done = subprocess.run(["sh", "-c", printed], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == key_id


@pytest.mark.parametrize("key_id", ["0" * 64, "..%2f..%2fsign", "x"])
def test_a_key_that_is_not_there_is_not_found(viewer, key_id):
    assert viewer.get(f"/console/keys/{key_id}.pem").status_code == 404


def test_without_any_key_the_page_says_what_to_do(viewer, orch):
    orch.sign_key.unlink()
    shutil.rmtree(orch.trusted)
    text = shown(viewer).content.decode()
    assert "generate_signing_key" in text
    assert "cannot be read" in text
    assert viewer.get(reverse("public-key", args=["0" * 64])).status_code == 404


def test_a_signing_key_that_nobody_trusts_is_told(viewer, orch):
    add_key(orch.trusted, "other")
    (orch.trusted / "signer.pem").unlink()
    assert "not among the trusted keys" in shown(viewer).content.decode()


def test_another_signing_key_in_the_same_place_is_noticed(orch):
    before = trusted_keys.active_id()
    other = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    orch.sign_key.write_bytes(
        other.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    assert trusted_keys.active_id() != before


def test_someone_without_a_role_sees_no_key(orch):
    nobody = Client()
    nobody.force_login(rows.user("", "nobody"))
    assert nobody.get(reverse("keys-page")).status_code == 403
    assert nobody.get(reverse("public-key", args=[trusted_keys.active_id()])).status_code == 403


def test_a_revocation_that_cannot_be_read_stands_on_the_page_in_red(viewer, orch):
    (orch.trusted / "Revoked").mkdir()
    text = shown(viewer).content.decode()
    assert '<section class="notice bad" role="alert">' in text
    assert "is not read for keys: move its keys or remove it" in text
