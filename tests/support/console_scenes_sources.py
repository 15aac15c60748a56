"""Scenes of the catalogue: source profiles of a file, and a system that lists its incidents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bundles.sources import listing
from bundles.sources.adapters import registry
from bundles.sources.adapters.protocol import Listed
from tests.support import console_rows as rows
from tests.support.listing_adapter import ListingAdapter

PROFILES = {
    "ORCH_SOURCES_FILE": Path(__file__).with_name("pages_sources.toml"),
    "ORCH_SOURCES_IN_ENVIRONMENT": True,
}


def listing_sources() -> list[Any]:
    """A system that lists incidents, one of which is bundled."""
    registry.OURS["listing"] = "tests.support.listing_adapter:ListingAdapter"  # stays; only a file can name it
    ListingAdapter.answers = [
        Listed(ref="42", title="Ransomware on the file server", at="2026-02-11T07:41:00+01:00"),
        Listed(ref="~<script>alert(1)</script>\u202e", title=rows.HOSTILE, at=rows.HOSTILE),
        Listed(ref="C.1b2f9e/F.CQ7"),
    ]
    listing.forget()
    rows.bundle(sources={"alerts": {"system": "cases", "ref": "42"}})
    return []
