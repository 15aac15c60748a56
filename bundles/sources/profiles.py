"""Source profiles: from which systems, and as whom, an incident is collected.

A profile names one system for each part of an incident: its timeline, its alerts, its artifacts. A part without a
system is not collected, and the manifest lists it as missing. Secrets are read from their files when they are used, and
are never in `repr`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bundles.sources.faults import ALERTS, ARTIFACTS, TIMELINE, Source

DEFAULT_PROFILE = "default"
PARTS = (TIMELINE, ALERTS, ARTIFACTS)
MOST_SECRET_BYTES = 64 * 1024


class CredentialError(Exception):
    """A credential's file cannot be used; the message names the file and quotes nothing from it."""


@dataclass(frozen=True, kw_only=True)
class Credential:
    """How a source is asked as somebody.

    Attributes:
        kind: `bearer` (`Authorization: Bearer …`), `header` (one header whose whole value is the secret), or `basic`.
        secret_file: holds the token, the header's value, or the password; white space at its ends is dropped.
        name: the header's name, or the user's; empty for `bearer`.
    """

    kind: Literal["bearer", "header", "basic"]
    secret_file: Path
    name: str = ""

    def secret(self) -> str:
        """The secret, read anew, so that a rotated one needs no restart.

        Raises:
            CredentialError: the file cannot be read, is empty, too large, or holds more than one line.
        """
        try:
            with self.secret_file.open("rb") as file:
                raw = file.read(MOST_SECRET_BYTES + 1)
        except OSError as error:
            raise CredentialError(f"{self.secret_file} cannot be read ({error.strerror}).") from None
        try:
            text = raw.decode("utf-8").strip()
        except UnicodeDecodeError:
            raise CredentialError(f"{self.secret_file} is not UTF-8 text.") from None
        if not text:
            raise CredentialError(f"{self.secret_file} is empty.")
        if len(raw) > MOST_SECRET_BYTES or not text.isprintable():
            raise CredentialError(f"{self.secret_file} does not hold one line of at most {MOST_SECRET_BYTES} bytes.")
        if not text.isascii() and self.kind != "basic":
            raise CredentialError(f"{self.secret_file} holds characters that an HTTP header cannot have.")
        return text


@dataclass(frozen=True, kw_only=True)
class System:
    """One system that evidence is read from.

    Attributes:
        name: as profiles, and an incident's references, name it.
        adapter: the registered name of its adapter.
        url: base URL without a trailing slash and without credentials.
        timeout_s: longest wait for the next byte.
        credential: none for a system that asks for none.
        ca_file: PEM file of the certificate authorities to trust; those of the system if None.
        client_cert: PEM file of the client's certificate; None without.
        client_key: PEM file of its key; None if it is in `client_cert`.
        requests_per_s: most requests a second; no limit if None.
        page_records: records asked for at a time, where the adapter reads pages; the adapter's own number if None.
        connections: connections for artifacts' contents at a time, 1 to 4.
        severities: the name of the scale in `docs/timelines.md` by which bare numbers are read; empty for none.
        times: the unit of bare numbers and the zone of texts without one, see `docs/timelines.md`; empty for the rules
            that hold without.
        options: settings of the adapter itself.
    """

    name: str
    adapter: str
    url: str
    timeout_s: float
    credential: Credential | None = None
    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    requests_per_s: float | None = None
    page_records: int | None = None
    connections: int = 4
    severities: str = ""
    times: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A named choice of systems.

    Attributes:
        name: as requests and the manifest name it.
        title: as people read it.
        systems: part → the system that it is read from; at least one.
    """

    name: str
    title: str = ""
    systems: Mapping[Source, System] = field(default_factory=dict)


def of_three_services(*, timeline_url: str, alerts_url: str, artifacts_url: str, timeout_s: float) -> Profile:
    """The profile `default` of an installation without a file of sources: the three RansomEye services."""
    urls = {TIMELINE: timeline_url, ALERTS: alerts_url, ARTIFACTS: artifacts_url}
    return Profile(
        name=DEFAULT_PROFILE,
        title="RansomEye services",
        systems={
            part: System(name=part.key, adapter="ransomeye", url=url, timeout_s=timeout_s) for part, url in urls.items()
        },
    )
