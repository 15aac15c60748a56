"""The signing key and the trusted keys of the settings."""

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
    """Whether a key is trusted here now, in a few words; empty if the trusted keys cannot be read."""
    try:
        known = trusted().find(key_id)
    except FormatError:
        return ""
    if known is None:
        return "not trusted here any more"
    return "revoked" if known.revoked else "too weak to be trusted here" if known.weakness else "trusted here"


def public_pem(key_id: str) -> bytes:
    """A trusted or revoked public key as PEM.

    Raises:
        BundleUnavailableError: it is not among the keys of this server.
        CannotCheckError: the keys cannot be read.
    """
    known = trusted().find(key_id)
    if known is None:
        raise BundleUnavailableError("The key that signed this bundle is not among the keys of this server.")
    return known.pem()


def signing() -> tuple[SigningKey, str]:
    """The key of ORCH_SIGN_KEY_PATH, and its name among the trusted keys.

    Raises:
        CannotWriteError: `key_unreadable`, `key_unsuitable`, or `key_untrusted`: this server would not verify its
            bundles.
        CannotCheckError: the trusted keys cannot be read.
    """
    key = SigningKey.load(Path(settings.ORCH_SIGN_KEY_PATH))
    known = trusted().find(key.key_id)
    if known is None or known.revoked:
        raise CannotWriteError("key_untrusted", "The signing key is not among the trusted keys, or has been revoked.")
    return key, known.name
