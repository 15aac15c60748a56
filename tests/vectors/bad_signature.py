"""Refused for the signature (steps 3 and 4): it is missing, malformed, by the wrong key, or over something else."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from fuzz import corpus
from fuzz.corpus import Draft
from tests.vectors.parts import (
    ALL_KEYS,
    COSIGNER,
    FORMER,
    NOTE,
    SIGNER,
    STRANGER,
    THREE,
    TWIN,
    TWIN_KEYS,
    TWO_KEYS,
    also_refused,
    new,
    pretty,
    refused,
    resigned,
    seal,
    sound,
)


@refused("signature_missing")
def no_signature() -> bytes:
    """There is no manifest.sig."""
    draft = sound("payload-first")
    del draft.members[-1]
    return draft.pack()


@refused("signature_too_large")
def signature_of_more_than_64_kib() -> bytes:
    """A manifest.sig of one byte more than 64 KiB, most of it blanks; else it is sound."""
    draft = sound()
    return resigned(draft, corpus.canonical(draft.signature).ljust(64 * 1024 + 1)).pack()


def malformed(change: Callable[[dict[str, Any]], Any]) -> bytes:
    return resigned(sound(), change(sound().signature)).pack()


MALFORMED: dict[str, tuple[str, Callable[[dict[str, Any]], Any]]] = {
    "another_field": ("manifest.sig has a field that it never has.", lambda fields: fields | {"note": "x"}),
    "another_algorithm": ("manifest.sig names another algorithm.", lambda fields: fields | {"algorithm": "none"}),
    "duplicate_key": (
        "A key stands twice in manifest.sig.",
        lambda fields: corpus.canonical(fields).replace(b'{"algorithm":', b'{"algorithm":"none","algorithm":'),
    ),
    "base64_with_a_line_feed": (
        "The signature's base64 has a line feed in it.",
        lambda fields: fields | {"signature": fields["signature"][:64] + "\n" + fields["signature"][64:]},
    ),
    "nested_cosignatures": (
        "A co-signature has co-signatures of its own.",
        lambda fields: fields | {"cosignatures": [fields | {"cosignatures": []}]},
    ),
}
for name, (why, change) in MALFORMED.items():
    also_refused(
        f"signature_{name}",
        "signature_malformed",
        why,
        partial(malformed, change),
    )


@refused("signer_unknown")
def unknown_signer() -> bytes:
    """A sound bundle, signed by a key that nobody trusts."""
    return seal(new(), STRANGER).pack()


@refused("signer_unknown")
def unknown_signer_with_a_known_cosigner() -> bytes:
    """An unknown key signed; the trusted one is only a co-signer."""
    draft = seal(new(), STRANGER)
    other = SIGNER.fields(draft.raw, draft.fields["manifest_hash"])
    return resigned(draft, draft.signature | {"cosignatures": [other]}).pack()


@refused("signer_revoked", keys=ALL_KEYS)
def revoked_signer() -> bytes:
    """A sound bundle, signed by a key that has been revoked."""
    return seal(new(), FORMER).pack()


@refused("signature_invalid")
def manifest_forged() -> bytes:
    """A file, its entry and all digests were changed together; the signature is the one of before."""
    draft = new(files=sound().files | {NOTE: b"what was SEEN\n"})
    signature = sound().signature
    seal(draft)
    return resigned(draft, signature | {"manifest_hash": draft.fields["manifest_hash"]}).pack()


@refused("signature_invalid")
def legacy_manifest_forged() -> bytes:
    """The incident id of a manifest of version 1.0.0 was changed, digests made anew; the signature is the old one."""
    draft, signature = sound("legacy"), sound("legacy").signature
    draft.fields["incident_id"] = "incident-8"
    seal(draft)
    return resigned(draft, signature | {"manifest_hash": draft.fields["manifest_hash"]}).pack()


@refused("signature_invalid")
def signed_by_another_under_this_name() -> bytes:
    """An unknown key signed and gave the trusted key's id as its own."""
    draft = seal(new(), STRANGER)
    return resigned(draft, draft.signature | {"key_id": SIGNER.key_id}).pack()


@refused("signature_invalid")
def signature_over_the_canonical_form() -> bytes:
    """The manifest is pretty-printed and the signature is over its canonical form, as only in version 1.0.0."""
    draft = sound()
    draft.raw = pretty(draft)
    return resigned(draft, draft.signature).pack()


def signature_bytes(make: Callable[[bytes], bytes]) -> bytes:
    draft: Draft = sound()
    return resigned(draft, SIGNER.fields(draft.raw, draft.fields["manifest_hash"], make(draft.raw))).pack()


OTHER_BYTES: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "salt_of_20": ("A salt of 20 bytes; the largest and 32 are allowed.", lambda raw: SIGNER.pss(raw, 20)),
    "sha512": ("SHA-512 instead of SHA-256.", lambda raw: SIGNER.pss(raw, 32, digest="sha512", mask="sha512")),
    "mgf1_sha1": ("MGF1 with SHA-1 instead of SHA-256.", lambda raw: SIGNER.pss(raw, 32, mask="sha1")),
    "pkcs1": ("RSASSA-PKCS1-v1_5 instead of PSS.", SIGNER.pkcs1),
    "zero_in_front": (
        "A zero byte stands before the signature, which is then longer than the key.",
        lambda raw: b"\0" + SIGNER.pss(raw, SIGNER.largest_salt),
    ),
}
for name, (why, make) in OTHER_BYTES.items():
    also_refused(f"signature_{name}", "signature_invalid", why, partial(signature_bytes, make))


def cosigned(*others: Callable[[bytes, str], dict[str, Any]]) -> bytes:
    draft = sound()
    told = draft.fields["manifest_hash"]
    return resigned(draft, draft.signature | {"cosignatures": [other(draft.raw, told) for other in others]}).pack()


@refused("signature_invalid", keys=TWO_KEYS)
def cosignature_wrong() -> bytes:
    """The co-signature of a trusted key is over another manifest; one signature is demanded and is right."""
    return cosigned(lambda _raw, told: COSIGNER.fields(b"another manifest", told))


@refused("signature_invalid", keys=TWO_KEYS)
def cosignature_names_another_manifest() -> bytes:
    """The co-signature of a trusted key is right, but the manifest_hash beside it is another's."""
    return cosigned(lambda raw, _told: COSIGNER.fields(raw, corpus.sha256(b"another")))


@refused("signatures_insufficient", keys=TWO_KEYS, require=2)
def cosignature_demanded() -> bytes:
    """Two signatures are demanded and one is there."""
    return sound().pack()


@refused("signatures_insufficient", keys=TWO_KEYS, require=2)
def cosigned_by_the_signer() -> bytes:
    """Two signatures are demanded; the second is by the same key with another salt."""
    return cosigned(lambda raw, told: SIGNER.fields(raw, told, SIGNER.pss(raw, 32)))


@refused("signatures_insufficient", keys=TWO_KEYS, require=2)
def cosigned_by_a_stranger() -> bytes:
    """Two signatures are demanded; the second is by a key that nobody trusts."""
    return cosigned(STRANGER.fields)


@refused("signatures_insufficient", keys=ALL_KEYS, require=2)
def cosigned_by_a_revoked_key() -> bytes:
    """Two signatures are demanded; the second is by a key that has been revoked."""
    return cosigned(FORMER.fields)


@refused("signer_weak", weak=False)
def key_of_2048_bits() -> bytes:
    """A sound bundle by a trusted key of 2,048 bits, while weak keys are not allowed."""
    return sound().pack()


@refused("signer_weak", keys=("keys/three.pem",), weak=False)
def exponent_of_3() -> bytes:
    """A sound bundle by a trusted key of 3,072 bits with the exponent 3, while weak keys are not allowed."""
    return seal(new(), THREE).pack()


@refused("signatures_insufficient", keys=("keys/signer.pem", "keys/cosigner.pem"), require=2, weak=False)
def cosigned_by_a_weak_key() -> bytes:
    """Two signatures are demanded; the second is by a key of 2,048 bits, while weak keys are not allowed."""
    draft = seal(new(), COSIGNER)
    other = SIGNER.fields(draft.raw, draft.fields["manifest_hash"])
    return resigned(draft, draft.signature | {"cosignatures": [other]}).pack()


@refused("signatures_insufficient", keys=TWIN_KEYS, require=2, weak=False)
def cosigned_under_another_exponent() -> bytes:
    """Two signatures are demanded; both trusted keys have the same modulus, so they are one signer's."""
    draft = seal(new(), COSIGNER)
    other = TWIN.fields(draft.raw, draft.fields["manifest_hash"])
    return resigned(draft, draft.signature | {"cosignatures": [other]}).pack()
