"""The keys in force, from the settings: one that signs, and those that are trusted."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from django.conf import settings

from bundles.format.errors import CannotWriteError
from bundles.format.signing import KeyRing, SigningKey


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
    return _signing_key(Path(settings.ORCH_SIGN_KEY_PATH)).key_id


def signing() -> tuple[SigningKey, str]:
    """The key of ORCH_SIGN_KEY_PATH, and the name it is trusted under.

    Raises:
        CannotWriteError: `key_unreadable`, `key_unsuitable`, or `key_untrusted`: our own verification would refuse
            what it signs.
        CannotCheckError: the trusted keys cannot be read.
    """
    key = _signing_key(Path(settings.ORCH_SIGN_KEY_PATH))
    known = trusted().find(key.key_id)
    if known is None or known.revoked:
        raise CannotWriteError("key_untrusted", "The signing key is not among the trusted keys, or has been revoked.")
    return key, known.name


def _signing_key(path: Path) -> SigningKey:
    try:
        found = path.stat()
    except OSError:
        return SigningKey.load(path)  # it says what is wrong
    return _unchanged(path, (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))


@lru_cache(maxsize=1)
def _unchanged(path: Path, _identity: tuple[int, ...]) -> SigningKey:
    """The key at `path`: proving the numbers of a private key takes as long as bundling a small incident."""
    return SigningKey.load(path)
