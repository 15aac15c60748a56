"""The vectors' keys and signatures, the same in every run: primes from a constant seed, salts from the message.

Anyone can make the private halves, so nobody but a test may trust these keys.
"""

from __future__ import annotations

import base64
import hashlib
import math
import random
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from fuzz.signer import MOMENT

EXPONENT = 65537
ROUNDS = 12
_SMALL = [number for number in range(3, 2000, 2) if all(number % part for part in range(3, int(number**0.5) + 1, 2))]


@dataclass(frozen=True)
class Signer:
    """A key pair; its primes are found when they are first needed.

    Attributes:
        name: what they are derived from, with the length.
        bits: the modulus's length, a multiple of 8.
        exponent: the public one; it has no part in the primes, so that two keys can share a modulus.
    """

    name: str
    bits: int = 2048
    exponent: int = EXPONENT

    @cached_property
    def primes(self) -> tuple[int, int]:
        draw = random.Random(f"ransomeye-vectors-{self.name}-{self.bits}")
        return _prime(draw, self.bits // 2), _prime(draw, self.bits // 2)

    @property
    def public(self) -> rsa.RSAPublicKey:
        return rsa.RSAPublicNumbers(self.exponent, math.prod(self.primes)).public_key()

    @property
    def public_pem(self) -> bytes:
        return self.public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    @property
    def key_id(self) -> str:
        der = self.public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(der).hexdigest()

    @property
    def largest_salt(self) -> int:
        """In bytes, for SHA-256."""
        return self.bits // 8 - 34

    def pss(self, message: bytes, salt_bytes: int, *, digest: str = "sha256", mask: str = "sha256") -> bytes:
        """RSASSA-PSS (RFC 8017, 8.1.1 and 9.1.1) with a salt of that length.

        Args:
            message: what to sign.
            salt_bytes: the salt's length.
            digest: the hash; only sound vectors need SHA-256.
            mask: the hash in MGF1.
        """
        salt = _mgf1("sha256", b"salt" + message, salt_bytes)
        told = _hash(digest, bytes(8) + _hash(digest, message) + salt)
        block = bytes(self.bits // 8 - salt_bytes - len(told) - 2) + b"\x01" + salt
        masked = bytearray(left ^ right for left, right in zip(block, _mgf1(mask, told, len(block)), strict=True))
        masked[0] &= 0x7F
        return self.power(bytes(masked) + told + b"\xbc")

    def pkcs1(self, message: bytes) -> bytes:
        """RSASSA-PKCS1-v1_5 (RFC 8017, 8.2.1) with SHA-256, which the format does not know."""
        told = bytes.fromhex("3031300d060960864801650304020105000420") + _hash("sha256", message)
        return self.power(b"\x00\x01" + b"\xff" * (self.bits // 8 - len(told) - 3) + b"\x00" + told)

    def power(self, block: bytes) -> bytes:
        """The private key's operation (RFC 8017, 5.2.1)."""
        value, (p, q) = int.from_bytes(block, "big"), self.primes
        d = pow(self.exponent, -1, (p - 1) * (q - 1))
        left, right = pow(value, d % (p - 1), p), pow(value, d % (q - 1), q)
        whole = right + q * (pow(q, -1, p) * (left - right) % p)
        return whole.to_bytes(self.bits // 8, "big")

    def fields(self, message: bytes, manifest_hash: str, signature: bytes | None = None) -> dict[str, Any]:
        """The five fields of `manifest.sig`; with the largest salt, or with any bytes for a signature."""
        return {
            "algorithm": "RSA-PSS-SHA256",
            "key_id": self.key_id,
            "manifest_hash": manifest_hash,
            "signature": base64.b64encode(signature or self.pss(message, self.largest_salt)).decode("ascii"),
            "signed_at": MOMENT,
        }


def _hash(name: str, data: bytes) -> bytes:
    return hashlib.new(name, data).digest()


def _mgf1(name: str, seed: bytes, size: int) -> bytes:
    made = b""
    while len(made) < size:
        made += _hash(name, seed + (len(made) // hashlib.new(name).digest_size).to_bytes(4, "big"))
    return made[:size]


def _prime(draw: random.Random, bits: int) -> int:
    while True:
        candidate = draw.getrandbits(bits) | 3 << (bits - 2) | 1
        if all(candidate % small for small in _SMALL) and candidate % EXPONENT != 1 and _probably_prime(candidate):
            return candidate


def _probably_prime(candidate: int) -> bool:
    """Miller-Rabin with the first prime bases."""
    twos = ((candidate - 1) & -(candidate - 1)).bit_length() - 1
    for base in (2, *_SMALL[: ROUNDS - 1]):
        value = pow(base, candidate >> twos, candidate)
        powers = [value]
        for _ in range(twos - 1):
            powers.append(powers[-1] * powers[-1] % candidate)
        if value != 1 and candidate - 1 not in powers:
            return False
    return True
