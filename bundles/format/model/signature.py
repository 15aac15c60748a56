"""Reads `manifest.sig` strictly (step 3) and checks it against the trusted keys (step 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bundles.format.model.canonical import strict_loads
from bundles.format.model.errors import BundleRejectedError
from bundles.format.model.fields import moment, sha256_hex
from bundles.format.model.signing import ALGORITHM, KeyRing, TrustedKey, decode_signature

_FIELDS = {"algorithm", "key_id", "manifest_hash", "signature", "signed_at"}
MAX_COSIGNATURES = 32


@dataclass(frozen=True)
class Signature:
    """One signature: whose key, over which manifest hash, when (as the signer claims), and its bytes."""

    key_id: str
    manifest_hash: str
    signed_at: str
    value: bytes
    cosignatures: tuple[Signature, ...] = ()


def read_signature(raw: bytes) -> Signature:
    """Read `manifest.sig`: strict JSON with exactly the five fields, and `cosignatures` when there are any.

    Raises:
        BundleRejectedError: `signature_malformed`.
    """
    try:
        fields = strict_loads(raw, floats=False)
        if not isinstance(fields, dict):
            raise ValueError("it is not an object")
        others = fields.pop("cosignatures", [])
        if not isinstance(others, list) or len(others) > MAX_COSIGNATURES:
            raise ValueError("cosignatures is not a short array")
        return _signature(fields, tuple(_signature(other) for other in others))
    except (ValueError, BundleRejectedError) as error:
        raise BundleRejectedError("signature_malformed", f"manifest.sig is malformed: {error}"[:200]) from error


def check_signature(signature: Signature, message: bytes, keys: KeyRing, *, require: int = 1) -> tuple[TrustedKey, ...]:
    """Check the signature over `message`, and every cosignature by a trusted key.

    Args:
        signature: the content of `manifest.sig`.
        message: the bytes that were signed.
        keys: the keys to trust.
        require: how many different trusted keys must have signed. Keys with the same modulus count once; revoked,
            unknown and weak keys do not count.

    Returns:
        The trusted keys that signed, each once: the signer first, then the co-signers.

    Raises:
        BundleRejectedError: `signer_unknown`, `signer_revoked`, `signer_weak`, `signature_invalid` or
            `signatures_insufficient`.
    """
    key = keys.find(signature.key_id)
    if key is None:
        raise BundleRejectedError("signer_unknown", f"The signer's key {signature.key_id} is not trusted.")
    if key.revoked:
        raise BundleRejectedError("signer_revoked", f"The signer's key {signature.key_id} has been revoked.")
    if key.weakness and not keys.allow_weak:
        raise BundleRejectedError("signer_weak", f"The signer's key {signature.key_id} is weak: {key.weakness}.")
    if not key.signed(message, signature.value):
        raise BundleRejectedError("signature_invalid", "The signature does not match the manifest.")
    signers = {key.modulus: key}
    for other in signature.cosignatures:
        known = keys.find(other.key_id)
        if known is None or known.revoked or (known.weakness and not keys.allow_weak):
            continue
        if other.manifest_hash != signature.manifest_hash or not known.signed(message, other.value):
            raise BundleRejectedError("signature_invalid", "A cosignature does not match the manifest.")
        signers.setdefault(known.modulus, known)
    if len(signers) < require:
        raise BundleRejectedError(
            "signatures_insufficient", f"{len(signers)} trusted keys have signed; {require} are required."
        )
    return tuple(signers.values())


def _signature(fields: Any, cosignatures: tuple[Signature, ...] = ()) -> Signature:
    if not isinstance(fields, Mapping) or fields.keys() != _FIELDS:
        raise ValueError("it does not have exactly the five fields of a signature")
    if fields["algorithm"] != ALGORITHM:
        raise ValueError(f"its algorithm is not {ALGORITHM}")
    return Signature(
        key_id=sha256_hex(fields["key_id"], "key_id"),
        manifest_hash=sha256_hex(fields["manifest_hash"], "manifest_hash"),
        signed_at=moment(fields["signed_at"], "signed_at"),
        value=decode_signature(fields["signature"]),
        cosignatures=cosignatures,
    )
