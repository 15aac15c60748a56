"""MTLS_ENABLED: certificates made by openssl, presented to the real web server over loopback."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from django.contrib.auth.models import User

from orchestrator_site.accounts import roles
from tests.support.site_deployment import Served

pytestmark = pytest.mark.django_db(transaction=True)
EXTENSIONS = """\
[server]
subjectAltName=IP:127.0.0.1
extendedKeyUsage=serverAuth
[client]
extendedKeyUsage=clientAuth
"""


@dataclass(frozen=True)
class Credential:
    certificate: Path
    key: Path

    def pair(self) -> tuple[str, str]:
        return str(self.certificate), str(self.key)


@dataclass(frozen=True)
class Authority:
    """A certificate authority of the test's own."""

    directory: Path
    name: str

    def __post_init__(self) -> None:
        (self.directory / "extensions").write_text(EXTENSIONS)
        subject = ("-subj", f"/CN={self.name}", "-days", "2")
        self._openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject, "-keyout", f"{self.name}.key", "-out",
                      f"{self.name}.pem")  # fmt: skip

    @property
    def certificate(self) -> Path:
        return self.directory / f"{self.name}.pem"

    def issue(self, name: str, usage: str = "client", *validity: str) -> Credential:
        self._openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out",
                      f"{name}.csr")  # fmt: skip
        self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{self.name}.pem", "-CAkey", f"{self.name}.key",
                      "-CAcreateserial", *(validity or ("-days", "1")), "-extfile", "extensions",
                      "-extensions", usage, "-out", f"{name}.crt")  # fmt: skip
        return Credential(self.directory / f"{name}.crt", self.directory / f"{name}.key")

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.directory, check=True, capture_output=True, timeout=240)


@dataclass(frozen=True)
class Site:
    served: Served
    certificates: Path
    known: Credential
    expired: Credential
    stranger: Credential
    from_elsewhere: Credential
    for_servers: Credential

    def get(self, path: str, credential: Credential | None, **headers: str) -> requests.Response:
        with requests.Session() as session:  # a connection of its own, so that the handshake is done anew
            return session.get(
                self.served.url(path, scheme="https"),
                cert=credential.pair() if credential else None,
                verify=str(self.certificates / "ca.pem"),
                headers=headers,
                timeout=240,
                allow_redirects=False,
            )


@pytest.fixture(scope="module")
def made_certificates(tmp_path_factory) -> dict[str, Credential]:
    """Issued once for the module: making keys is what takes time."""
    site, other = Authority(tmp_path_factory.mktemp("site"), "ca"), Authority(tmp_path_factory.mktemp("other"), "ca")
    return {
        "ca": Credential(site.certificate, site.certificate),
        "server": site.issue("server", "server"),
        "analyst": site.issue("analyst"),
        "expired": site.issue("expired", "client", "-days", "-1"),
        "stranger": site.issue("stranger"),
        "elsewhere": other.issue("elsewhere"),
        "for-servers": site.issue("for-servers", "server"),
    }


@pytest.fixture
def site(orch, made_certificates) -> Iterator[Site]:
    user = User.objects.create_user("analyst")
    roles.fill()
    roles.assign_role(user, "analyst")
    directory = orch.root / "mtls"
    (directory / "clients").mkdir(parents=True)
    made = made_certificates
    (directory / "ca.pem").write_bytes(made["ca"].certificate.read_bytes())
    (directory / "server.pem").write_bytes(made["server"].certificate.read_bytes())
    (directory / "server.key").write_bytes(made["server"].key.read_bytes())
    for name in ("analyst", "expired", "elsewhere", "for-servers"):
        (directory / "clients" / f"{name}.pem").write_bytes(made[name].certificate.read_bytes())
    with Served(orch, {"MTLS_ENABLED": "true", "MTLS_CERT_DIR": str(directory)}) as served:
        yield Site(
            served, directory, made["analyst"], made["expired"], made["stranger"], made["elsewhere"],
            made["for-servers"],
        )  # fmt: skip


def test_only_a_certificate_that_is_valid_ours_and_on_file_gets_in(site):
    assert site.get("/health", site.known).json() == {"alive": True}
    assert site.get("/jobs", site.known).status_code == 200

    for refused in (None, site.expired, site.from_elsewhere, site.for_servers):
        with pytest.raises(requests.ConnectionError):
            site.get("/health", refused)

    unknown = site.get("/health", site.stranger)
    assert (unknown.status_code, unknown.json()["code"]) == (403, "client_certificate_unknown")
    assert unknown.headers["Content-Type"] == "application/problem+json"

    with pytest.raises(requests.ConnectionError):
        requests.get(site.served.url("/health"), timeout=240)  # plain HTTP on the TLS port

    # No header makes anybody someone, with or without a known certificate.
    for header in ("orchestrator.client_user", "Orchestrator-Client-User", "X-Client-User", "Remote-User"):
        assert site.get("/jobs", site.stranger, **{header: "analyst"}).status_code == 403

    # A file that comes or goes counts at once.
    clients = site.certificates / "clients"
    (clients / "stranger.pem").write_bytes(site.stranger.certificate.read_bytes())
    assert site.get("/health", site.stranger).status_code == 200
    assert site.get("/jobs", site.stranger).status_code == 401  # on file, but no user has that name
    (clients / "analyst.pem").unlink()
    assert site.get("/health", site.known).status_code == 403
    (clients / "analyst.pem").write_bytes(site.known.certificate.read_bytes())
    assert site.get("/health", site.known).status_code == 200

    # On file for two users: nobody can say who it is.
    (clients / "second.pem").write_bytes(site.known.certificate.read_bytes())
    assert site.get("/health", site.known).status_code == 403
    (clients / "second.pem").unlink()

    # A user who was disabled is out, whatever the certificate says.
    User.objects.filter(username="analyst").update(is_active=False)
    assert site.get("/jobs", site.known).status_code == 401


def test_the_console_is_signed_in_by_the_certificate(site):
    page = site.get("/console/jobs", site.known)
    assert page.status_code == 200
    assert "analyst" in page.text
