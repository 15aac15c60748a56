"""What the console's own stylesheet and scripts weigh on the wire, all of them together."""

from __future__ import annotations

import gzip

from orchestrator_site.configuration.env import BASE_DIR

MOST_BYTES = 40 * 1024


def test_our_stylesheet_and_scripts_are_small():
    files = [path for path in (BASE_DIR / "static").iterdir() if path.suffix in {".css", ".js"}]
    weights = {path.name: len(gzip.compress(path.read_bytes())) for path in files}
    assert {"console.css", "console.js", "live.js"} <= weights.keys()
    assert sum(weights.values()) <= MOST_BYTES, weights
