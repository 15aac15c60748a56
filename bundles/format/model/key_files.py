"""Finds the public keys of a folder and reads the one key in a file. Anything that could be a key is read or refused.

A folder of keys has one key per file, under any name, and revoked keys in its folder `revoked`. To ignore a revocation
would be to trust the key, so everything that could be one is refused: another folder, a dangling link, a name like
`revoked`, a file that is not a readable public key. Only a README and dot files, such as those with which Kubernetes
mounts a folder, are ignored, and only if they contain no key.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bundles.format.model.errors import CannotCheckError

VERIFYING_BITS = 2048  # no option allows fewer
STRONG_BITS, STRONG_EXPONENT = 3072, 65537
MAX_KEY_BITS = 16_384  # verifying with a larger key takes minutes
MAX_EXPONENT = 1 << 64  # so does a larger exponent, and OpenSSL refuses it for long keys
MAX_KEY_FILE_BYTES = 64 * 1024
REVOKED = "revoked"
PEM_BEGIN = b"-----BEGIN "
KEY_SUFFIXES = frozenset({".pem", ".pub", ".key", ".der", ".crt", ".cer"})
README_NAMES = frozenset({"readme", "readme.md", "readme.txt"})


def read_key_file(path: Path) -> bytes:
    """The bytes of a key file.

    Raises:
        OSError: it cannot be read, is not a regular file, or is too long for a key.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # opening a pipe must not block
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(0, "not a regular file")
        content = file.read(MAX_KEY_FILE_BYTES + 1)
    if len(content) > MAX_KEY_FILE_BYTES:
        raise OSError(0, f"more than {MAX_KEY_FILE_BYTES} bytes")
    return content


def key_files(path: Path) -> list[tuple[Path, bool]]:
    """The files that must each contain a key, and whether that key is revoked.

    Args:
        path: a file, a folder of keys with an optional folder `revoked`, or a folder named `revoked`.

    Raises:
        CannotCheckError: `key_unreadable`: something there could be a key and cannot be read as one.
    """
    try:
        if not path.is_dir():
            return [(path, False)]
        if path.name == REVOKED:
            return [(file, True) for file in _keys_in(path)]
        found = [(file, False) for file in _keys_in(path, ignored=REVOKED)]
        revoked = path / REVOKED
        if os.path.lexists(revoked):
            found += [(file, True) for file in _keys_in(revoked)]
        return found
    except OSError as error:
        detail = f"The keys in {path.name} cannot be listed: {error.strerror}."
        raise CannotCheckError("key_unreadable", detail) from error


def public_key(path: Path, *, revoked: bool) -> rsa.RSAPublicKey:
    """The one public key in a file; a revoked key may have any strength.

    Raises:
        CannotCheckError: `key_unreadable`, or `key_unsuitable`: not RSA, or too weak or too large for any option.
    """
    name = f"{REVOKED}/{path.name}" if revoked else path.name
    try:
        content = read_key_file(path)
        public = serialization.load_pem_public_key(content)
    except OSError as error:
        raise CannotCheckError("key_unreadable", f"The key {name} cannot be read: {error.strerror}.") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CannotCheckError("key_unreadable", f"The key {name} is not a PEM public key.") from error
    if content.count(PEM_BEGIN) != 1:
        raise CannotCheckError("key_unreadable", f"The file {name} contains more than one key: give each its own file.")
    least_bits = 1 if revoked else VERIFYING_BITS
    if not isinstance(public, rsa.RSAPublicKey) or not least_bits <= public.key_size <= MAX_KEY_BITS:
        raise CannotCheckError("key_unsuitable", f"The key {name} is not an RSA key of at least {VERIFYING_BITS} bits.")
    if not revoked and public.public_numbers().e >= MAX_EXPONENT:
        raise CannotCheckError("key_unsuitable", f"The key {name} has an exponent beyond 64 bits.")
    return public


def weakness(public: rsa.RSAPublicKey) -> str:
    """Why a key is weak, in a few words; empty for a strong key."""
    exponent = public.public_numbers().e
    words = [f"{public.key_size} bits"] if public.key_size < STRONG_BITS else []
    return ", ".join([*words, f"exponent {exponent}"] if exponent < STRONG_EXPONENT else words)


def _keys_in(folder: Path, *, ignored: str = "") -> list[Path]:
    """The files of one folder that must be keys; the entry named `ignored` is skipped."""
    if not folder.is_dir():
        raise CannotCheckError("key_unreadable", f"{folder.name} is not a folder of keys, or is a dangling link.")
    found = []
    for entry in sorted(folder.iterdir()):
        if entry.name == ignored or _is_no_key(entry):
            continue
        if entry.is_dir():
            detail = f"The folder {entry.name} in {folder.name} is not read for keys: move its keys or remove it."
            raise CannotCheckError("key_unreadable", detail)
        if "revok" in entry.name.casefold():
            detail = f"{entry.name} is named as if it were revoked: a revoked key belongs in the folder {REVOKED}."
            raise CannotCheckError("key_unreadable", detail)
        found.append(entry)
    return found


def _is_no_key(entry: Path) -> bool:
    """Whether an entry is a README or dot file without a key.

    Raises:
        CannotCheckError: `key_unreadable`: it contains a key.
    """
    name = entry.name.casefold()
    if "revok" in name or Path(name).suffix in KEY_SUFFIXES:
        return False
    if name.startswith(".") and entry.is_dir():
        return True
    if not (name.startswith(".") or name in README_NAMES) or not entry.is_file():
        return False
    if PEM_BEGIN in read_key_file(entry):
        detail = f"{entry.name} contains a key but is not named like one and could be overlooked: rename it to *.pem."
        raise CannotCheckError("key_unreadable", detail)
    return True
