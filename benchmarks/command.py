"""Runs `benchmarks.ours` as a process of its own, so that its memory is its own too."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any


def ours(what: str, data: Path, out: Path, key: Path, public: Path) -> dict[str, Any]:
    """What one run of ours cost: seconds, peak memory above idle in bytes, size of the bundle in bytes."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.ours", what, str(data), str(out), str(key), str(public)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return dict(json.loads(done.stdout))


def fresh(folder: Path) -> Path:
    """`folder`, made anew and empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
