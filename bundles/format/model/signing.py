"""Keys and signatures: RSASSA-PSS (RFC 8017) with SHA-256 and MGF1-SHA-256.

Signing uses the largest salt. Verifying accepts exactly two salt lengths: the largest, and 32 bytes. A key's id is the
SHA-256 of its DER SubjectPublicKeyInfo (RFC 5280), so anyone can compute it from the public key alone.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from bundles.format.model.errors import CannotCheckError, CannotWriteError
from bundles.format.model.key_files import (
    MAX_EXPONENT,
    MAX_KEY_BITS,
    STRONG_BITS,
    key_files,
    public_key,
    read_key_file,
    weakness,
)

ALGORITHM = "RSA-PSS-SHA256"
GENERATED_BITS = 4096


def key_id_of(public: rsa.RSAPublicKey) -> str:
    """SHA-256 (hex) of the key's DER SubjectPublicKeyInfo."""
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def timestamp(moment: datetime | None = None) -> str:
    """A moment (now, unless given) as RFC 3339 in UTC with six decimals."""
    return (moment or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True)
class SigningKey:
    """A private key that may sign.

    Attributes:
        key_id: see `key_id_of`.
        size_bytes: length of its signatures.
    """

    _private: rsa.RSAPrivateKey
    key_id: str
    size_bytes: int

    @classmethod
    def load(cls, path: Path) -> SigningKey:
        """Read an unencrypted PEM private key.

        Raises:
            CannotWriteError: `key_unreadable` or `key_unsuitable`.
        """
        try:
            private = _private_key(read_key_file(path))
        except OSError as error:
            raise CannotWriteError("key_unreadable", f"The signing key cannot be read: {error.strerror}.") from error
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise CannotWriteError(
                "key_unreadable", "The signing key is not an unencrypted PEM private key."
            ) from error
        if not isinstance(private, rsa.RSAPrivateKey) or not STRONG_BITS <= private.key_size <= MAX_KEY_BITS:
            raise CannotWriteError("key_unsuitable", f"Signing needs an RSA key of at least {STRONG_BITS} bits.")
        if weakness(private.public_key()) or private.public_key().public_numbers().e >= MAX_EXPONENT:
            raise CannotWriteError("key_unsuitable", "Signing needs a public exponent from 65537 to 64 bits.")
        return cls(private, key_id_of(private.public_key()), (private.key_size + 7) // 8)

    def public_pem(self) -> bytes:
        """The public key as PEM, for verifiers."""
        return self._private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, message: bytes, manifest_hash: str) -> dict[str, str]:
        """The five fields of `manifest.sig` for the bytes of a manifest.

        Args:
            message: the manifest's canonical bytes.
            manifest_hash: the manifest's field, repeated so that the signature names its manifest.
        """
        signature = self._private.sign(message, _pss(padding.PSS.MAX_LENGTH), hashes.SHA256())
        return {
            "algorithm": ALGORITHM,
            "key_id": self.key_id,
            "manifest_hash": manifest_hash,
            "signature": base64.b64encode(signature).decode("ascii"),
            "signed_at": timestamp(),
        }


@dataclass(frozen=True)
class TrustedKey:
    """A public key that a verifier was given.

    Attributes:
        key_id: see `key_id_of`.
        name: the name of its file without the suffix; reports show it as the signer.
        revoked: it was found in a `revoked` folder; its signatures are refused.
        public: the RSA key.
    """

    key_id: str
    name: str
    revoked: bool
    public: rsa.RSAPublicKey

    @property
    def modulus(self) -> int:
        """Identifies the signer: who can sign with a modulus can do so for every exponent."""
        return self.public.public_numbers().n

    @property
    def weakness(self) -> str:
        """Why it is weak, in a few words; empty for a strong key."""
        return weakness(self.public)

    def pem(self) -> bytes:
        """The key as PEM SubjectPublicKeyInfo."""
        return self.public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def signed(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's signature of `message`, with the largest salt or one of 32 bytes."""
        if len(signature) != (self.public.key_size + 7) // 8:  # RFC 8017, 8.1.2, step 1; OpenSSL takes shorter ones
            return False
        for salt_length in (padding.calculate_max_pss_salt_length(self.public, hashes.SHA256()), 32):
            try:
                self.public.verify(signature, message, _pss(salt_length), hashes.SHA256())
                return True
            except InvalidSignature:
                continue
        return False


@dataclass(frozen=True)
class KeyRing:
    """The trusted and the revoked keys of a verifier.

    Keys are compared by their bytes, not by file name. A key that is both trusted and revoked is revoked, and so is
    every key with the same modulus.

    Attributes:
        keys: each key once.
        allow_weak: also count signatures by keys below 3,072 bits or with an exponent below 65537.
    """

    keys: tuple[TrustedKey, ...]
    allow_weak: bool = False

    def __post_init__(self) -> None:
        """Revoke every key that shares its modulus with a revoked key."""
        revoked = {key.modulus for key in self.keys if key.revoked}
        keys = tuple(replace(key, revoked=key.modulus in revoked) for key in self.keys)
        object.__setattr__(self, "keys", keys)

    @classmethod
    def load(cls, paths: Iterable[Path], *, allow_weak: bool = False) -> KeyRing:
        """Read PEM files, and folders of them with an optional `revoked/` inside.

        Args:
            paths: files and folders; see `key_files` for the content of a folder.
            allow_weak: see the attribute.

        Raises:
            CannotCheckError: `key_unreadable`, `key_unsuitable`, or `no_keys` if there is none.
        """
        keys: dict[str, TrustedKey] = {}
        for path in paths:
            for file, revoked in key_files(path):
                public = public_key(file, revoked=revoked)
                key = TrustedKey(key_id_of(public), file.stem, revoked, public)
                known = keys.get(key.key_id)
                if known is None or (revoked and not known.revoked):
                    keys[key.key_id] = key
        if not keys:
            raise CannotCheckError("no_keys", "No public key was given to verify with.")
        return cls(tuple(keys.values()), allow_weak)

    def find(self, key_id: str) -> TrustedKey | None:
        """The key of that id, revoked or not."""
        return next((key for key in self.keys if key.key_id == key_id), None)


def generate_key(path: Path) -> str:
    """Write a new RSA-4096 private key to `path` (mode 0600), which must not exist.

    Returns:
        Its key id.

    Raises:
        FileExistsError: the file exists; a signing key is never overwritten.
        OSError: the file cannot be written.
    """
    private = rsa.generate_private_key(public_exponent=65537, key_size=GENERATED_BITS)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        file.write(pem)
        file.flush()
        os.fsync(descriptor)
    return key_id_of(private.public_key())


def decode_signature(field: Any) -> bytes:
    """The signature bytes of a `manifest.sig` field.

    Raises:
        ValueError: it is not strict base64 of 1 to 2,048 bytes.
    """
    if not isinstance(field, str) or len(field) > 4096:
        raise ValueError("the signature is not a string of at most 4096 characters")
    raw = base64.b64decode(field, validate=True)
    if not raw or base64.b64encode(raw).decode("ascii") != field:
        raise ValueError("the signature is not in canonical base64")
    return raw


@lru_cache(maxsize=4)
def _private_key(pem: bytes) -> Any:
    """A private key, cached because checking its numbers takes as long as bundling a small incident."""
    return serialization.load_pem_private_key(pem, password=None)


def _pss(salt_length: Any) -> padding.PSS:
    return padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=salt_length)
