"""docs/operations.md names every variable that the settings read, and no other."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VARIABLE = re.compile(r"(?:read\.\w+|needed_path)\(\s*[\"']([A-Z_]+)[\"']")


def test_operations_lists_every_variable_that_is_read_and_no_other():
    source = (ROOT / "orchestrator_site" / "configuration" / "env.py").read_text()
    read = set(VARIABLE.findall(source))
    assert {"DB_HOST", "OUTPUT_DIR", "KILLCHAIN_API_PORT"} <= read
    table = (ROOT / "docs" / "operations.md").read_text().split("## Settings")[1].split("\n## ")[0]
    named = {
        name
        for row in table.splitlines()
        if row.startswith("| `")
        for name in re.findall(r"`([A-Z_]+)`", row.split("|")[1])
    }
    assert named == read
