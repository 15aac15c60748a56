"""Client certificates: who may connect when MTLS_ENABLED is set, and which user each certificate belongs to.

TLS itself refuses a client without a certificate, with an expired one, or with one from another issuer. In addition,
the verified certificate must be on file, by its SHA-256. Every request is checked, so removing a file revokes access
at once. The user's name comes from the file's name, never from a header.

    MTLS_CERT_DIR/ca.pem                  the issuers of client certificates, PEM, concatenated
    MTLS_CERT_DIR/server.pem, server.key  the server's certificate chain and private key, PEM
    MTLS_CERT_DIR/clients/<user>.pem      the certificates of one user, PEM; two during a renewal
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

log = logging.getLogger(__name__)

CLIENT_USER = "orchestrator.client_user"  # in the WSGI environment; a header's name there begins with HTTP_
REFUSAL = {
    "type": "urn:ransomeye:problem:client_certificate_unknown",
    "title": "This client certificate is not known here",
    "status": 403,
    "detail": "Ask an administrator to put your certificate on file.",
    "code": "client_certificate_unknown",
}

StartResponse = Callable[..., Any]
Application = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


class Layout(NamedTuple):
    """Paths of the mutual TLS files."""

    ca: Path
    server_certificate: Path
    server_key: Path
    clients: Path

    @classmethod
    def below(cls, directory: Path) -> Layout:
        """The layout of MTLS_CERT_DIR."""
        return cls(directory / "ca.pem", directory / "server.pem", directory / "server.key", directory / "clients")


class ClientFile(NamedTuple):
    """A certificate file and the attributes that reveal a change."""

    path: Path
    changed_at_ns: int
    size_bytes: int
    inode: int


@dataclass(frozen=True)
class KnownClient:
    """One certificate on file.

    Attributes:
        user: the name of its user.
        expires_at: the end of its validity.
    """

    user: str
    expires_at: datetime


class ClientRegister:
    """The certificates in one directory; file changes take effect with the next request."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._state: tuple[tuple[ClientFile, ...], dict[str, KnownClient]] = ((), {})

    def user_of(self, certificate: bytes) -> str | None:
        """The user of a certificate.

        Args:
            certificate: the peer's certificate in DER, as TLS has verified it.

        Returns:
            The user's name; None if the certificate is not on file, is on file for two users, or has expired.
        """
        files, clients = self._state
        found = client_files(self.directory)
        if found != files:
            clients = _read_all(found)
            self._state = (found, clients)
        client = clients.get(hashlib.sha256(certificate).hexdigest())
        return client.user if client is not None and datetime.now(UTC) < client.expires_at else None


class ClientCertificateGate:
    """WSGI middleware: admits a request whose client certificate is on file and sets `CLIENT_USER`."""

    def __init__(self, application: Application, register: ClientRegister) -> None:
        self.application = application
        self.register = register

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request, or refuse it with 403."""
        environ.pop(CLIENT_USER, None)
        user = self._user(environ)
        if user is None:
            body = json.dumps(REFUSAL).encode()
            headers = [
                ("Content-Type", "application/problem+json"),
                ("Content-Length", str(len(body))),
                ("Cache-Control", "no-store"),
            ]
            start_response("403 Forbidden", headers)
            return [body]
        environ[CLIENT_USER] = user
        return self.application(environ, start_response)

    def _user(self, environ: dict[str, Any]) -> str | None:
        peer_certificate = getattr(environ.get("gunicorn.socket"), "getpeercert", None)
        certificate = peer_certificate(binary_form=True) if peer_certificate is not None else None
        return self.register.user_of(certificate) if certificate else None


def client_files(directory: Path) -> tuple[ClientFile, ...]:
    """The certificate files of `directory`, by name; empty if it cannot be read."""
    try:
        found = sorted(path for path in directory.iterdir() if path.suffix == ".pem" and not path.name.startswith("."))
    except OSError as error:
        log.warning("the client certificates cannot be listed: %s", error.strerror)
        return ()
    return tuple(file for file in map(_client_file, found) if file is not None)


def read_certificates(path: Path) -> list[x509.Certificate]:
    """The certificates of one PEM file.

    Raises:
        ValueError: the file cannot be read or holds none.
    """
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ValueError(f"{path.name} holds no PEM certificate") from error


def _client_file(path: Path) -> ClientFile | None:
    try:
        stat = path.stat()
    except OSError:  # removed since it was listed, or a dangling link
        return None
    return ClientFile(path, stat.st_mtime_ns, stat.st_size, stat.st_ino)


def _read_all(files: tuple[ClientFile, ...]) -> dict[str, KnownClient]:
    clients: dict[str, KnownClient] = {}
    ambiguous: set[str] = set()
    for file in files:
        try:
            certificates = read_certificates(file.path)
        except ValueError as error:
            log.warning("client certificates: %s; its user is refused", error)
            continue
        for certificate in certificates:
            fingerprint = hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
            client = KnownClient(file.path.stem, certificate.not_valid_after_utc)
            if clients.setdefault(fingerprint, client).user != client.user:
                log.warning("client certificates: one is on file for two users; it is refused for both")
                ambiguous.add(fingerprint)
    return {fingerprint: client for fingerprint, client in clients.items() if fingerprint not in ambiguous}
