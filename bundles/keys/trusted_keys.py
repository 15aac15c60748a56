"""The keys in force, from the settings: one that signs, and those that are trusted."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from bundles.errors import BundleUnavailableError
from bundles.format.model.errors import CannotWriteError, FormatError
from bundles.format.model.signing import KeyRing, SigningKey


def trusted() -> KeyRing:
    """The keys of ORCH_VERIFY_KEY_PATH.

    Raises:
        CannotCheckError: they cannot be read, or there are none.
    """
    return KeyRing.load([Path(settings.ORCH_VERIFY_KEY_PATH)])


def active_id() -> str:
    """The id of the key of ORCH_SIGN_KEY_PATH.

    Raises:
        CannotWriteError: `key_unreadable` or `key_unsuitable`.
    """
    return SigningKey.load(Path(settings.ORCH_SIGN_KEY_PATH)).key_id


def standing(key_id: str) -> str:
    """What a key is here now, in a few words; empty when the trusted keys cannot be read."""
    try:
        known = trusted().find(key_id)
    except FormatError:
        return ""
    if known is None:
        return "not trusted here any more"
    return "revoked" if known.revoked else "too weak to be trusted here" if known.weakness else "trusted here"


def public_pem(key_id: str) -> bytes:
    """A public key that is trusted here, or was until it was revoked, as PEM.

    Raises:
        BundleUnavailableError: it is not among them.
        CannotCheckError: they cannot be read.
    """
    known = trusted().find(key_id)
    if known is None:
        raise BundleUnavailableError("The key that signed this bundle is not among the keys of this server.")
    return known.pem()


def signing() -> tuple[SigningKey, str]:
    """The key of ORCH_SIGN_KEY_PATH, and the name it is trusted under.

    Raises:
        CannotWriteError: `key_unreadable`, `key_unsuitable`, or `key_untrusted`: our own verification would refuse
            what it signs.
        CannotCheckError: the trusted keys cannot be read.
    """
    key = SigningKey.load(Path(settings.ORCH_SIGN_KEY_PATH))
    known = trusted().find(key.key_id)
    if known is None or known.revoked:
        raise CannotWriteError("key_untrusted", "The signing key is not among the trusted keys, or has been revoked.")
    return key, known.name
