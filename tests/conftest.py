"""Fixtures shared by all tests: a real PostgreSQL of the test run's own, and directories that are thrown away."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

# One embedded server for the whole test run (all xdist workers), apart from the one that `make run` uses.
# Set before Django's settings are read, which is when pytest-django imports them.
_SCRATCH = Path(tempfile.gettempdir()) / f"orchestrator-tests-{os.environ.get('PYTEST_XDIST_TESTRUNUID', os.getpid())}"
os.environ.update(ORCH_PROFILE="development", ORCH_VAR_DIR=str(_SCRATCH))
for name in list(os.environ):
    if name.startswith(("DB_", "ORCH_SIGN", "ORCH_VERIFY", "ORCH_ANON", "OUTPUT_DIR", "FORENSIC_", "KILLCHAIN_", "MTLS_")):
        del os.environ[name]
