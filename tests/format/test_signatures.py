"""Step 4 of the reading plan: who signed; and the keys that may sign or be trusted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from bundles.format.model.errors import CannotCheckError, CannotWriteError
from bundles.format.model.signing import KeyRing, SigningKey, generate_key
from bundles.format.reading.report import check_bundle
from tests.support.format_builders import (
    SOUND,
    Signer,
    canonical,
    fields_of,
    key_folder,
    report_of,
    ring,
    signed,
    signer,
    signing_key,
    tar_of,
    verdict,
    written,
    zstd,
)

ABSENT = object()


def with_signature(**changes: Any) -> bytes:
    raw, signature = signed(fields_of())
    fields = json.loads(signature) | changes
    return zstd(tar_of((raw, canonical({key: value for key, value in fields.items() if value is not ABSENT}))))


def signature_bytes(raw: bytes) -> bytes:
    return zstd(tar_of((signed(fields_of())[0], raw)))


def by_raw(make: Callable[[Signer, bytes], bytes]) -> bytes:
    """A signature by the trusted key that does not follow the format."""
    import base64  # beside the one use of it

    raw, _ = signed(fields_of())
    return with_signature(signature=base64.b64encode(make(signer(), raw)).decode())


def salted(salt: Any, digest: Any = None) -> bytes:
    return by_raw(lambda one, raw: one.raw_signature(raw, salt=salt, digest=digest))


def pkcs1(one: Signer, raw: bytes) -> bytes:
    return one.private.sign(raw, padding.PKCS1v15(), hashes.SHA256())


def other_mgf(one: Signer, raw: bytes) -> bytes:
    scheme = padding.PSS(mgf=padding.MGF1(hashes.SHA1()), salt_length=32)  # noqa: S303 # what must not pass
    return one.private.sign(raw, scheme, hashes.SHA256())


def cosigned(by: Signer, *, over: bytes | None = None, **changes: Any) -> bytes:
    raw, signature = signed(fields_of())
    fields = json.loads(signature)
    extra = by.signature(raw if over is None else over, fields["manifest_hash"]) | changes
    return zstd(tar_of((raw, canonical(fields | {"cosignatures": [extra]}))))


def sound_signature() -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(signed(fields_of())[1])
    return fields


CASES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a key nobody trusts": ("signer_unknown", lambda: zstd(tar_of(signed(fields_of(), signer("stranger"))))),
    "another key's id": ("signer_unknown", lambda: with_signature(key_id="0" * 64)),
    "a stranger under a trusted id": (
        "signature_invalid",
        lambda: with_signature(signature=json.loads(signed(fields_of(), signer("stranger"))[1])["signature"]),
    ),
    "a signature of another manifest": (
        "signature_invalid",
        lambda: zstd(tar_of((signed(fields_of())[0], signed(fields_of(incident_id="other"))[1]))),
    ),
    "no salt": ("signature_invalid", lambda: salted(0)),
    "a salt of 20": ("signature_invalid", lambda: salted(20)),
    "a salt of 31": ("signature_invalid", lambda: salted(31)),
    "a salt of 33": ("signature_invalid", lambda: salted(33)),
    "a salt one short of the largest": ("signature_invalid", lambda: salted(384 - 32 - 2 - 1)),
    "SHA-512": ("signature_invalid", lambda: salted(32, hashes.SHA512())),
    "PKCS#1 v1.5": ("signature_invalid", lambda: by_raw(pkcs1)),
    "MGF1 with SHA-1": ("signature_invalid", lambda: by_raw(other_mgf)),
    "a signature cut short": ("signature_invalid", lambda: by_raw(lambda one, raw: one.raw_signature(raw)[:-1])),
    "a signature with zeros in front": (
        "signature_invalid",
        lambda: by_raw(lambda one, raw: b"\0" + one.raw_signature(raw)),
    ),
    "a signature of zeros": ("signature_invalid", lambda: by_raw(lambda *_: bytes(384))),
    "a wrong cosignature by a trusted key": ("signature_invalid", lambda: cosigned(signer(), over=b"something else")),
    "sig: empty": ("signature_malformed", lambda: signature_bytes(b"")),
    "sig: not JSON": ("signature_malformed", lambda: signature_bytes(b"-----BEGIN SIGNATURE-----")),
    "sig: an array": ("signature_malformed", lambda: signature_bytes(b"[]")),
    "sig: a key twice": (
        "signature_malformed",
        lambda: signature_bytes(canonical(sound_signature())[:-1] + b',"key_id":"' + b"0" * 64 + b'"}'),
    ),
    "sig: nested 100,000 deep": ("signature_malformed", lambda: signature_bytes(b"[" * 60_000)),
    "sig: a field more": ("signature_malformed", lambda: with_signature(salt_length=32)),
    "sig: a field less": ("signature_malformed", lambda: with_signature(signed_at=ABSENT)),
    "sig: another algorithm": ("signature_malformed", lambda: with_signature(algorithm="RSA-PKCS1-SHA256")),
    "sig: no algorithm": ("signature_malformed", lambda: with_signature(algorithm="none")),
    "sig: a null algorithm": ("signature_malformed", lambda: with_signature(algorithm=None)),
    "sig: a list as algorithm": ("signature_malformed", lambda: with_signature(algorithm=["RSA-PSS-SHA256"])),
    "sig: key id in capitals": ("signature_malformed", lambda: with_signature(key_id=signer().key_id.upper())),
    "sig: a number as key id": ("signature_malformed", lambda: with_signature(key_id=7)),
    "sig: a time without zone": ("signature_malformed", lambda: with_signature(signed_at="2026-01-31 12:00:00")),
    "sig: a short hash": ("signature_malformed", lambda: with_signature(manifest_hash="ab")),
    "sig: empty signature": ("signature_malformed", lambda: with_signature(signature="")),
    "sig: no base64": ("signature_malformed", lambda: with_signature(signature="*" * 512)),
    "sig: base64 with a line break": (
        "signature_malformed",
        lambda: with_signature(signature=sound_signature()["signature"] + "\n"),
    ),
    "sig: base64 beyond ASCII": ("signature_malformed", lambda: with_signature(signature="\u00e4" * 512)),
    "sig: a list as signature": ("signature_malformed", lambda: with_signature(signature=[])),
    "sig: cosignatures an object": ("signature_malformed", lambda: with_signature(cosignatures={})),
    "sig: a cosignature with cosignatures": ("signature_malformed", lambda: cosigned(signer(), cosignatures=[])),
    "sig: 33 cosignatures": (
        "signature_malformed",
        lambda: with_signature(cosignatures=[sound_signature()] * 33),
    ),
}
REVOKED = ("signer_revoked", SOUND)
CASES["a revoked key"] = REVOKED
CASES["a key of 2,048 bits"] = ("signer_weak", lambda: zstd(tar_of(signed(fields_of(), signer("other", 2048)))))


@pytest.mark.parametrize("what", CASES)
def test_it_is_refused_with_its_code(what, tmp_path):
    code, make = CASES[what]
    keys = ring(revoked=[signer()]) if code == "signer_revoked" else ring(signer(), signer("other", 2048))
    assert verdict(make(), tmp_path, keys) == code


def test_the_largest_salt_and_32_are_accepted(tmp_path):
    assert verdict(salted(padding.PSS.MAX_LENGTH), tmp_path) == "verified"
    assert verdict(salted(32), tmp_path) == "verified"


def weak_exponent() -> Signer:
    return Signer(rsa.generate_private_key(public_exponent=3, key_size=3072), "three")


@pytest.mark.parametrize(
    ("make", "weakness"),
    [
        (lambda: signer("other", 2048), "2048 bits"),
        (lambda: signer("other", 2056), "2056 bits"),
        (weak_exponent, "exponent 3"),
    ],
)
def test_a_weak_key_counts_by_an_option_alone_and_the_report_says_so(make, weakness, tmp_path):
    one = make()
    bundle = zstd(tar_of(signed(fields_of(), one)))
    folder = key_folder(tmp_path / "keys", one)
    assert verdict(bundle, tmp_path, KeyRing.load([folder])) == "signer_weak"
    report = report_of(bundle, tmp_path, KeyRing.load([folder], allow_weak=True)).as_dict()
    assert (report["verified"], report["weak_keys"]) == (True, [{"key_id": one.key_id, "weakness": weakness}])


def test_a_weak_cosigner_counts_by_the_option_alone(tmp_path):
    weak = signer("other", 2048)
    (tmp_path / "bundle").write_bytes(cosigned(weak))
    keys = ring(signer(), weak)
    assert check_bundle(tmp_path / "bundle", keys).as_dict().get("weak_keys") is None
    refused = check_bundle(tmp_path / "bundle", keys, require=2).error
    assert refused is not None
    assert refused.code == "signatures_insufficient"
    allowed = check_bundle(tmp_path / "bundle", KeyRing(keys.keys, allow_weak=True), require=2).as_dict()
    assert [key["key_id"] for key in allowed["weak_keys"]] == [weak.key_id]


def test_a_modulus_is_one_signer_and_revoked_once_whatever_the_exponent(tmp_path):
    numbers = signer().private.private_numbers()
    exponent = 65539
    d = pow(exponent, -1, (numbers.p - 1) * (numbers.q - 1))
    public = rsa.RSAPublicNumbers(exponent, numbers.p * numbers.q)
    parts = (numbers.p, numbers.q, d, d % (numbers.p - 1), d % (numbers.q - 1), pow(numbers.q, -1, numbers.p))
    twin = Signer(rsa.RSAPrivateNumbers(*parts, public).private_key(), "twin")
    assert twin.key_id != signer().key_id
    (tmp_path / "bundle").write_bytes(cosigned(twin))
    refused = check_bundle(tmp_path / "bundle", ring(signer(), twin), require=2).error
    assert refused is not None
    assert refused.code == "signatures_insufficient"
    assert verdict(SOUND(), tmp_path, ring(signer(), revoked=[twin])) == "signer_revoked"


def test_an_exponent_of_more_than_64_bits_is_unsuitable_with_every_option(tmp_path):
    public = rsa.RSAPublicNumbers((1 << 64) + 1, signer().private.public_key().public_numbers().n).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    (tmp_path / "key.pem").write_bytes(public.public_bytes(serialization.Encoding.PEM, form))
    with pytest.raises(CannotCheckError) as refusal:
        KeyRing.load([tmp_path / "key.pem"], allow_weak=True)
    assert refusal.value.code == "key_unsuitable"


def test_the_writer_signs_with_the_largest_salt(tmp_path):
    raw = b"a message"
    made = signing_key().sign(raw, "0" * 64)
    import base64  # beside the one use of it

    scheme = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=384 - 32 - 2)
    signer().private.public_key().verify(base64.b64decode(made["signature"]), raw, scheme, hashes.SHA256())
    assert made["key_id"] == signer().key_id


def test_a_cosignature_by_an_unknown_or_revoked_key_changes_nothing(tmp_path):
    stranger = signer("stranger")
    assert verdict(cosigned(stranger, over=b"something else"), tmp_path) == "verified"
    assert verdict(cosigned(stranger, over=b"x"), tmp_path, ring(signer(), revoked=[stranger])) == "verified"
    assert verdict(cosigned(stranger), tmp_path, ring(signer(), stranger)) == "verified"
    assert verdict(cosigned(stranger, over=b"x"), tmp_path, ring(signer(), stranger)) == "signature_invalid"


def test_a_revoked_folder_overrules_every_other_trust(tmp_path):
    keys = key_folder(tmp_path / "keys", signer(), signer("other"))
    revoked = key_folder(keys / "revoked", signer())
    single = revoked / "signer.pem"
    for paths in ([keys], [single, keys], [keys, single]):
        assert verdict(SOUND(), tmp_path, KeyRing.load(paths)) == "signer_revoked"
    assert verdict(SOUND(), tmp_path, KeyRing.load([single])) == "verified"


def test_the_signer_is_named_after_the_file_of_the_key(tmp_path):
    (key,) = KeyRing.load([key_folder(tmp_path)]).keys
    assert (key.name, key.key_id, key.pem()) == ("signer", signer().key_id, signer().public_pem)


def public_pem_of_a_curve() -> bytes:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (lambda: b"", "key_unreadable"),
        (lambda: b"not a key", "key_unreadable"),
        (lambda: signer().pem, "key_unreadable"),
        (lambda: signer("small", 1024).public_pem, "key_unsuitable"),
        (public_pem_of_a_curve, "key_unsuitable"),
    ],
)
def test_an_unsuitable_trusted_key_is_an_error(content, code, tmp_path):
    (tmp_path / "key.pem").write_bytes(content())
    for path in (tmp_path, tmp_path / "key.pem"):
        with pytest.raises(CannotCheckError) as refusal:
            KeyRing.load([path])
        assert refusal.value.code == code


def test_missing_trusted_keys_are_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    for paths, code in (
        ([], "no_keys"),
        ([tmp_path / "empty"], "no_keys"),
        ([tmp_path / "none.pem"], "key_unreadable"),
    ):
        with pytest.raises(CannotCheckError) as refusal:
            KeyRing.load(paths)
        assert refusal.value.code == code


def test_a_pipe_in_place_of_a_key_is_refused_without_waiting(tmp_path):
    import os  # beside the one use of it

    os.mkfifo(tmp_path / "key.pem")
    with pytest.raises(CannotCheckError) as refusal:
        KeyRing.load([tmp_path / "key.pem"])
    assert refusal.value.code == "key_unreadable"
    with pytest.raises(CannotWriteError) as refused:
        SigningKey.load(tmp_path / "key.pem")
    assert refused.value.code == "key_unreadable"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (lambda: b"not a key", "key_unreadable"),
        (lambda: signer().public_pem, "key_unreadable"),
        (lambda: signer("medium", 2048).pem, "key_unsuitable"),
        (lambda: weak_exponent().pem, "key_unsuitable"),
        (
            lambda: ec.generate_private_key(ec.SECP256R1()).private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
            "key_unsuitable",
        ),
        (
            lambda: signer().private.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"secret"),
            ),
            "key_unreadable",
        ),
    ],
)
def test_a_key_that_may_not_sign_is_refused(content, code, tmp_path):
    (tmp_path / "key.pem").write_bytes(content())
    with pytest.raises(CannotWriteError) as refusal:
        SigningKey.load(tmp_path / "key.pem")
    assert refusal.value.code == code


def test_a_generated_key_is_private_new_and_usable(tmp_path):
    path: Path = tmp_path / "new.pem"
    key_id = generate_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    key = SigningKey.load(path)
    assert (key.key_id, key.size_bytes) == (key_id, 512)
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        generate_key(path)
    assert path.read_bytes() == before
    (tmp_path / "public.pem").write_bytes(key.public_pem())
    bundle = written(tmp_path / "b", key=key)
    assert verdict(bundle.path.read_bytes(), tmp_path, KeyRing.load([tmp_path / "public.pem"])) == "verified"
