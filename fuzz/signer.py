"""An RSA-2048 key and PSS signatures that are the same in every run, so that each mutant is too.

The key's primes come from a constant seed: anyone can make its private half. Only the fuzzer trusts it.
"""

from __future__ import annotations

import base64
import hashlib
import random
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

BITS, EXPONENT, SALT_BYTES = 2048, 65537, 32
MOMENT = "2026-01-31T12:00:00.000000Z"
_SMALL = [number for number in range(3, 2000, 2) if all(number % part for part in range(3, int(number**0.5) + 1, 2))]


@cache
def private_key() -> rsa.RSAPrivateKey:
    """The key, from its constant seed."""
    draw = random.Random("ransomeye-fuzz-key")
    p, q = _prime(draw), _prime(draw)
    d = pow(EXPONENT, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(EXPONENT, p * q)
    return rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public).private_key()


@cache
def key_id() -> str:
    """SHA-256 of the public key's DER, as the format has it."""
    public = private_key().public_key()
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def pss(message: bytes, salt: bytes) -> bytes:
    """RSASSA-PSS (RFC 8017, 8.1.1 and 9.1.1) with SHA-256 and this salt."""
    size = BITS // 8
    digest = hashlib.sha256(bytes(8) + hashlib.sha256(message).digest() + salt).digest()
    block = bytes(size - len(salt) - 34) + b"\x01" + salt
    counters = range(-(-len(block) // 32))
    mask = b"".join(hashlib.sha256(digest + counter.to_bytes(4, "big")).digest() for counter in counters)
    masked = bytearray(left ^ right for left, right in zip(block, mask, strict=False))
    masked[0] &= 0x7F
    return _power(int.from_bytes(bytes(masked) + digest + b"\xbc", "big")).to_bytes(size, "big")


def signature_fields(message: bytes, manifest_hash: str) -> dict[str, Any]:
    """The five fields of `manifest.sig`; the salt follows from the message."""
    salt = hashlib.sha256(b"salt" + message).digest()
    return {
        "algorithm": "RSA-PSS-SHA256",
        "key_id": key_id(),
        "manifest_hash": manifest_hash,
        "signature": base64.b64encode(pss(message, salt)).decode("ascii"),
        "signed_at": MOMENT,
    }


@cache
def _numbers() -> rsa.RSAPrivateNumbers:
    return private_key().private_numbers()


def _power(value: int) -> int:
    key = _numbers()
    left, right = pow(value, key.dmp1, key.p), pow(value, key.dmq1, key.q)
    return right + key.q * (key.iqmp * (left - right) % key.p)


def _prime(draw: random.Random) -> int:
    while True:
        candidate = draw.getrandbits(BITS // 2) | 3 << (BITS // 2 - 2) | 1
        if all(candidate % small for small in _SMALL) and candidate % EXPONENT != 1 and _probably_prime(candidate):
            return candidate


def _probably_prime(candidate: int) -> bool:
    """Miller-Rabin with the first 12 prime bases."""
    twos = ((candidate - 1) & -(candidate - 1)).bit_length() - 1
    for base in (2, *_SMALL[:11]):
        value = pow(base, candidate >> twos, candidate)
        if value in (1, candidate - 1):
            continue
        for _ in range(twos - 1):
            value = value * value % candidate
            if value == candidate - 1:
                break
        else:
            return False
    return True
