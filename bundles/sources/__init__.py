"""The sources of an incident's evidence: the live services, or the evidence restored here."""

from bundles.sources.collect import Artifact, Evidence, EvidenceSource, register, source_of

__all__ = ["Artifact", "Evidence", "EvidenceSource", "register", "source_of"]
