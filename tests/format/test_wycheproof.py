"""RSASSA-PSS against known attacks: a small set of cases, and Wycheproof's vectors if available.

`ORCH_WYCHEPROOF` names the folder of the published files (`testvectors_v1`, rsa_pss_*_test.json). Those whose hashes
are the format's are checked; a salt length that the format does not know must be refused, valid or not.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from bundles.format.model.signing import TrustedKey, key_id_of

MESSAGE = b"what was signed"
FOLDER = os.environ.get("ORCH_WYCHEPROOF", "")


def trusted(public: rsa.RSAPublicKey) -> TrustedKey:
    return TrustedKey(key_id_of(public), "wycheproof", revoked=False, public=public)


@cache
def private() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def made(salt: int, digest: Any = None, mgf: Any = None) -> bytes:
    digest = digest or hashes.SHA256()
    return private().sign(MESSAGE, padding.PSS(mgf=padding.MGF1(mgf or digest), salt_length=salt), digest)


def modulus() -> int:
    return private().public_key().public_numbers().n


def with_leading_zero() -> bytes:
    """A valid signature that begins with a zero byte; one in 256 does."""
    return next(one for one in iter(lambda: made(32), None) if one[0] == 0)


def plus_modulus() -> bytes:
    """signature + N in as many bytes: the same number modulo N, and no signature."""
    for one in iter(lambda: made(32), None):
        raised = int.from_bytes(one, "big") + modulus()
        if raised < 1 << 2048:
            return raised.to_bytes(256, "big")
    raise AssertionError("unreachable")


LARGEST = 256 - 32 - 2
WRONG: dict[str, Callable[[], bytes]] = {
    "no salt": lambda: made(0),
    "a salt of 20": lambda: made(20),
    "a salt of 31": lambda: made(31),
    "a salt of 33": lambda: made(33),
    "a salt one short of the largest": lambda: made(LARGEST - 1),
    "SHA-1": lambda: made(20, hashes.SHA1()),  # noqa: S303 # what must not pass
    "SHA-224": lambda: made(28, hashes.SHA224()),
    "SHA-384": lambda: made(32, hashes.SHA384()),
    "SHA-512": lambda: made(32, hashes.SHA512()),
    "SHA-512/256": lambda: made(32, hashes.SHA512_256()),
    "MGF1 with SHA-1": lambda: made(32, None, hashes.SHA1()),  # noqa: S303 # what must not pass
    "MGF1 with SHA-512": lambda: made(32, None, hashes.SHA512()),
    "the signature plus the modulus": plus_modulus,
    "the modulus less the signature": lambda: (modulus() - int.from_bytes(made(32), "big")).to_bytes(256, "big"),
    "a leading zero stripped": lambda: with_leading_zero()[1:],
    "a zero in front": lambda: b"\0" + made(32),
    "empty": lambda: b"",
    "a trailing byte": lambda: made(32) + b"\0",
    "the last byte missing": lambda: made(32)[:-1],
    "zeros": lambda: bytes(256),
    "one": lambda: bytes(255) + b"\1",
    "the modulus": lambda: modulus().to_bytes(256, "big"),
    "PKCS#1 v1.5": lambda: private().sign(MESSAGE, padding.PKCS1v15(), hashes.SHA256()),
}


@pytest.mark.parametrize("salt", [32, LARGEST])
def test_a_right_signature_with_either_salt_is_taken(salt):
    key = trusted(private().public_key())
    assert key.signed(MESSAGE, made(salt))
    assert not key.signed(MESSAGE + b" ", made(salt))
    assert not key.signed(b"", made(salt))


def test_a_right_signature_that_begins_with_zero_is_taken_whole():
    assert trusted(private().public_key()).signed(MESSAGE, with_leading_zero())


@pytest.mark.parametrize("bit", [0, 1, 7, 1023, 2040, 2047])
def test_one_flipped_bit_is_refused(bit):
    flipped = (int.from_bytes(made(32), "big") ^ 1 << bit).to_bytes(256, "big")
    assert not trusted(private().public_key()).signed(MESSAGE, flipped)


@pytest.mark.parametrize("what", WRONG)
def test_it_is_refused(what):
    assert not trusted(private().public_key()).signed(MESSAGE, WRONG[what]())


def test_another_key_signed_nothing_of_this_one():
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert not trusted(other.public_key()).signed(MESSAGE, made(32))


def public_key_of(group: dict[str, Any]) -> Any:
    if "publicKeyPem" in group:
        return serialization.load_pem_public_key(group["publicKeyPem"].encode())
    numbers = group.get("publicKey", group)
    return rsa.RSAPublicNumbers(int(numbers.get("publicExponent", numbers.get("e")), 16),
                                int(numbers.get("modulus", numbers.get("n")), 16)).public_key()  # fmt: skip


def disagreements(folder: Path) -> tuple[int, list[str]]:
    """How many published cases were checked, and those that came out otherwise."""
    checked, wrong = 0, []
    for path in sorted(folder.rglob("rsa_pss_*_test.json")):
        for group in json.loads(path.read_text(encoding="utf-8"))["testGroups"]:
            public = public_key_of(group)
            ours = (group["sha"], group["mgf"], group["mgfSha"]) == ("SHA-256", "MGF1", "SHA-256")
            known = (32, (public.key_size + 7) // 8 - 34)
            for case in group["tests"]:
                # Sound but for a salt of another length than its group's: what counts is whether the format knows it.
                changed_salt = re.fullmatch(r"s_len changed to (\d+)", case["comment"])
                known_salt = int(changed_salt[1] if changed_salt else group["sLen"]) in known
                found = trusted(public).signed(bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]))
                may = (changed_salt or case["result"] in {"valid", "acceptable"}) and ours and known_salt
                must = (changed_salt or case["result"] == "valid") and ours and known_salt
                checked += 1
                if (found and not may) or (must and not found):
                    wrong.append(f"{path.name} {case['tcId']}: {case['comment']}")
    return checked, wrong


def published(result: str, signature: bytes, **group: Any) -> dict[str, Any]:
    usual = {"sha": "SHA-256", "mgf": "MGF1", "mgfSha": "SHA-256", "sLen": 32}
    numbers = private().public_key().public_numbers()
    case = {"tcId": 1, "comment": "", "msg": MESSAGE.hex(), "sig": signature.hex(), "result": result}
    key = {"publicKey": {"modulus": f"00{numbers.n:x}", "publicExponent": f"{numbers.e:x}"}}
    return {"testGroups": [usual | key | group | {"tests": [case]}]}


@pytest.mark.parametrize(
    ("content", "count"),
    [
        (lambda: published("valid", made(32)), 0),
        (lambda: published("invalid", made(32)[:-1]), 0),
        (lambda: published("valid", made(20), sLen=20), 0),
        (lambda: published("valid", made(32)[:-1]), 1),
        (lambda: published("invalid", made(32)), 1),
    ],
)
def test_the_published_format_is_read_and_a_disagreement_is_found(content, count, tmp_path):
    (tmp_path / "rsa_pss_2048_sha256_mgf1_32_test.json").write_text(json.dumps(content()), encoding="utf-8")
    checked, wrong = disagreements(tmp_path)
    assert (checked, len(wrong)) == (1, count)


@pytest.mark.skipif(not FOLDER, reason="ORCH_WYCHEPROOF does not name the folder of the published vectors")
def test_the_published_vectors_come_out_as_published():
    checked, wrong = disagreements(Path(FOLDER))
    assert checked > 100
    assert wrong == []
