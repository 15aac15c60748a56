"""An RSA-2048 key and PSS signatures that are the same in every run, so mutants are reproducible.

The key's primes are constants of a form that makes signing cheap. The private key is therefore public; only the fuzzer
trusts it.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

BITS, EXPONENT, SALT_BYTES = 2048, 65537, 32
MOMENT = "2026-01-31T12:00:00.000000Z"


@cache
def private_key() -> rsa.RSAPrivateKey:
    """The key, from its constant primes."""
    p, q = P.value, Q.value
    d = pow(EXPONENT, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(EXPONENT, p * q)
    return rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public).private_key()


@cache
def key_id() -> str:
    """SHA-256 of the public key's DER, as the format defines it."""
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
    """The five fields of `manifest.sig`; the salt is derived from the message."""
    salt = hashlib.sha256(b"salt" + message).digest()
    return {
        "algorithm": "RSA-PSS-SHA256",
        "key_id": key_id(),
        "manifest_hash": manifest_hash,
        "signature": base64.b64encode(pss(message, salt)).decode("ascii"),
        "signed_at": MOMENT,
    }


@dataclass(frozen=True)
class _Prime:
    """The prime (2^bits - minus) / share: modulo 2^bits - minus, reducing is a shift, a product and a sum."""

    bits: int
    minus: int
    share: int

    @property
    def value(self) -> int:
        """The prime itself."""
        return ((1 << self.bits) - self.minus) // self.share

    @cached_property
    def exponent_digits(self) -> list[int]:
        """The private exponent modulo the prime less one, in base 32, the highest digit first."""
        exponent = pow(EXPONENT, -1, self.value - 1)
        return [exponent >> place & 31 for place in range((exponent.bit_length() - 1) // 5 * 5, -1, -5)]

    def root(self, value: int) -> int:
        """`pow(value, private exponent, prime)`, in less than half of that call's time."""
        bits, minus, mask = self.bits, self.minus, (1 << self.bits) - 1
        powers = [1, value % self.value]
        for _ in range(30):
            powers.append(powers[-1] * powers[1] % self.value)
        result = 1
        for digit in self.exponent_digits:
            for factor in (None, None, None, None, None, powers[digit]):
                result *= result if factor is None else factor
                result = (result & mask) + (result >> bits) * minus
                result = (result & mask) + (result >> bits) * minus
        return result % self.value


P, Q = _Prime(1024, 105, 1), _Prime(1025, 2621, 3)


@cache
def _q_inverse() -> int:
    return pow(Q.value, -1, P.value)


def _power(value: int) -> int:
    """RSASP1 (RFC 8017, 5.2.1) by the Chinese remainder theorem."""
    left, right = P.root(value), Q.root(value)
    return right + Q.value * (_q_inverse() * (left - right) % P.value)
