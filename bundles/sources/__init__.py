"""Where the evidence of an incident is collected from: the live services, or what was restored here."""

from bundles.sources.collect import Artifact, Evidence, EvidenceSource, get, register

__all__ = ["Artifact", "Evidence", "EvidenceSource", "get", "register"]
