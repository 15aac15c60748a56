"""Which sources answer already, and so are used as they are; sample services take the place of the others.

Only on this machine, and only beside sources of this machine: where one is elsewhere, a real incident is wanted, and
evidence that was made up must not get into its bundle.
"""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from urllib.parse import urlsplit

from bundles.samples.services import DB, FORENSIC, KILLCHAIN
from orchestrator_site.configuration.env import Environment
from orchestrator_site.launch.ports import Port

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
ANSWERS_IN_S = 20.0  # what listens and has said nothing by then is no source, or none that could be worked with


@dataclass(frozen=True)
class Source:
    """One of the three, by the name of its sample service: its URL, and the variable that moves its port."""

    service: str
    url: str
    variable: str

    @property
    def port(self) -> Port:
        """Where a sample service would listen in its place."""
        return Port("127.0.0.1", urlsplit(self.url).port or 80, "a sample source", self.variable)

    @property
    def can_be_a_sample(self) -> bool:
        """Whether a sample service could answer under the URL."""
        parts = urlsplit(self.url)
        return parts.scheme == "http" and parts.hostname in LOCAL_HOSTS

    def answers(self) -> bool:
        """Whether something speaks HTTP there, whatever it says."""
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port or 80, timeout=ANSWERS_IN_S)
        try:
            connection.request("GET", f"{parts.path}/health")
            connection.getresponse()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        return True


def sources(env: Environment) -> list[Source]:
    """The three of the settings."""
    return [
        Source(KILLCHAIN, env.killchain_api_url, "KILLCHAIN_API_PORT"),
        Source(FORENSIC, env.forensic_api_url, "FORENSIC_API_PORT"),
        Source(DB, env.db_api_url, "DB_API_PORT"),
    ]


def to_be_served(found: list[Source]) -> list[Source]:
    """Those in whose place a sample service is to listen."""
    if not all(source.can_be_a_sample for source in found):
        return []
    return [source for source in found if not source.answers()]
