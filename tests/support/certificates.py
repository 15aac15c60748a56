"""Certificates for tests of TLS, made on the spot: an authority, and what it signs."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, each in a PEM file."""

    certificate: Path
    key: Path

    def server_context(self) -> ssl.SSLContext:
        """What a server needs to show the certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


class Issuer:
    """Signs certificates; its own is in `pem`.

    Args:
        name: in its certificate.
    """

    def __init__(self, name: str = "authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = self._build(self._name, self._key, 365 * DAY).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.pem = made.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def issue(self, name: str, *, ends: timedelta = 90 * DAY, host: str = "127.0.0.1") -> tuple[bytes, bytes]:
        """A certificate for `host` that ends so long from now, and its key, as PEM; negative for one that expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        try:
            names: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            names = x509.DNSName(host)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = self._build(subject, key, ends).add_extension(x509.SubjectAlternativeName([names]), critical=False)
        signed = made.sign(self._key, hashes.SHA256())
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return signed.public_bytes(Encoding.PEM), private

    def _build(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, ends: timedelta) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 30 * DAY)
            .not_valid_after(now + ends)
        )


class Authority:
    """An issuer that keeps what it makes in files; its own certificate is in `certificate`.

    Args:
        folder: for the files.
        name: of the files and in the certificates.
    """

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._issuer = Issuer(name)
        self.certificate = folder / f"{name}.pem"
        self.certificate.write_bytes(self._issuer.pem)

    def sign(self, name: str, *, ends: timedelta = 90 * DAY, host: str = "127.0.0.1") -> Pair:
        """See `Issuer.issue`."""
        certificate, key = self._issuer.issue(name, ends=ends, host=host)
        pair = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        pair.certificate.write_bytes(certificate)
        pair.key.write_bytes(key)
        pair.key.chmod(0o600)
        return pair
