"""Checks the certificate files of a system before it is asked: readable, in force, and certificate and key belong."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from bundles.sources.profiles import System

SOON = timedelta(days=30)
MOST_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Found:
    """What is wrong with a file, and what will be; one sentence each."""

    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def of_authorities(path: Path, now: datetime) -> Found:
    """Check a PEM file of certificate authorities."""
    certificates = _certificates(path)
    if not certificates:
        return Found([f"the file holds no PEM certificate ({path})."])
    found = Found()
    if all(one.not_valid_after_utc <= now for one in certificates):
        found.faults.append(f"every certificate in the file has expired ({path}).")
    elif len(certificates) == 1:
        _add_expiry(found, certificates[0], path, now)
    return found


def fault_of(system: System) -> str:
    """Why a system's client certificate cannot be accepted, as a sentence; empty without, or if nothing is wrong.

    The server does not say it: it only breaks off.
    """
    if system.client_cert is None:
        return ""
    return next(iter(of_client(system.client_cert, system.client_key, datetime.now(UTC)).faults), "")


def of_client(path: Path, key_path: Path | None, now: datetime) -> Found:
    """Check a client certificate and its key; the key is in the same file if `key_path` is None."""
    certificates = _certificates(path)
    if not certificates:
        return Found([f"there is no PEM certificate that can be read ({path})."])
    found = Found()
    _add_expiry(found, certificates[0], path, now)
    where = key_path or path
    try:
        key = load_pem_private_key(_bytes(where), password=None)
    except TypeError:
        found.faults.append(f"the key is encrypted ({where}); store it without a password, mode 0600.")
        return found
    except (ValueError, UnsupportedAlgorithm, OSError):
        found.faults.append(f"there is no PEM private key ({where}).")
        return found
    if _public(key.public_key()) != _public(certificates[0].public_key()):
        found.faults.append(f"the key does not belong to the certificate ({where}, {path}).")
    return found


def _add_expiry(found: Found, certificate: x509.Certificate, path: Path, now: datetime) -> None:
    ends, begins = certificate.not_valid_after_utc, certificate.not_valid_before_utc
    if ends <= now:
        found.faults.append(f"the certificate expired on {ends:%Y-%m-%d} ({path}).")
    elif begins > now:
        found.faults.append(f"the certificate is not valid before {begins:%Y-%m-%d} ({path}).")
    elif ends <= now + SOON:
        found.warnings.append(f"the certificate expires on {ends:%Y-%m-%d} ({path}).")


def _certificates(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_bytes(path))
    except (ValueError, OSError):
        return []


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MOST_BYTES)


def _public(key: object) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined,no-any-return]
