"""The file of an API user of Velociraptor, as `velociraptor config api_client` writes it, and what is wrong with it.

Nothing that is in the file stands in a message: only its path, and what to do.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

MOST_BYTES = 256 * 1024
SERVER_NAME = "VelociraptorServer"
TEXTS = ("ca_certificate", "client_cert", "client_private_key")
MAKE_ANEW = "make a new one with `velociraptor config api_client`"


class ApiClientError(Exception):
    """The file cannot be used; the message names it and quotes nothing from it."""


@dataclass(frozen=True, kw_only=True)
class ApiClient:
    """What the file says.

    Attributes:
        ca: PEM of the authority that signed the server's certificate.
        certificate: PEM of the user's certificate.
        key: PEM of its private key.
        place: `host:port` of the API.
        server_name: the name in the server's certificate.
    """

    ca: bytes
    certificate: bytes
    key: bytes = field(repr=False)
    place: str
    server_name: str


def load(path: Path) -> ApiClient:
    """Read and check the file; imports PyYAML, which the extra brings.

    Raises:
        ApiClientError: see there.
    """
    import yaml  # an optional library

    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ApiClientError(f"{path} cannot be read ({error.strerror}).") from None
    if len(raw) > MOST_BYTES:
        raise ApiClientError(f"{path} is larger than {MOST_BYTES} bytes.")
    try:
        given = yaml.safe_load(raw)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ApiClientError(f"{path} is not YAML.") from None
    given = given if isinstance(given, dict) else {}
    for name in (*TEXTS, "api_connection_string"):
        if not isinstance(given.get(name), str) or not given[name].strip():
            raise ApiClientError(f"{path} has no {name}; {MAKE_ANEW}.")
    if "ENCRYPTED" in given["client_private_key"]:
        raise ApiClientError(f"the private key in {path} has a password, which a service cannot type; {MAKE_ANEW}.")
    name = given.get("pinned_server_name") or SERVER_NAME
    client = ApiClient(
        **{field: given[text].encode() for field, text in zip(("ca", "certificate", "key"), TEXTS, strict=True)},
        place=given["api_connection_string"].strip(),
        server_name=name if isinstance(name, str) else SERVER_NAME,
    )
    _check(client, path)
    return client


def _check(client: ApiClient, path: Path) -> None:
    try:
        authority = x509.load_pem_x509_certificate(client.ca)
        certificate = x509.load_pem_x509_certificate(client.certificate)
    except ValueError:
        raise ApiClientError(f"a certificate in {path} cannot be read; {MAKE_ANEW}.") from None
    try:
        key = load_pem_private_key(client.key, password=None)
    except (ValueError, TypeError, ssl.SSLError):
        raise ApiClientError(f"the private key in {path} cannot be read; {MAKE_ANEW}.") from None
    if key.public_key() != certificate.public_key():
        raise ApiClientError(f"the private key in {path} is not the one of its certificate; {MAKE_ANEW}.")
    now = datetime.now(UTC)
    for what, one in (("client certificate", certificate), ("CA certificate", authority)):
        if one.not_valid_after_utc < now:
            ended = one.not_valid_after_utc.date().isoformat()
            raise ApiClientError(f"the {what} in {path} expired on {ended}; {MAKE_ANEW}.")
        if one.not_valid_before_utc > now:
            begins = one.not_valid_before_utc.date().isoformat()
            raise ApiClientError(f"the {what} in {path} is not valid before {begins}; compare the clocks.")
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        raise ApiClientError(f"the client certificate in {path} is not from the CA in it; {MAKE_ANEW}.") from None
