"""Gives a test run its own environment and directory before Django's settings are read.

pyproject.toml loads this as a pytest plugin, as pytest-django reads the settings before it reads conftest.py.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

# The first process (xdist's controller, or the only one) creates the directory; xdist's workers inherit its name.
SCRATCH_VARIABLE = "ORCH_TEST_SCRATCH"
OWNS_SCRATCH = SCRATCH_VARIABLE not in os.environ
OWN_VARIABLES = ("DB_", "ORCH_", "OUTPUT_DIR", "FORENSIC_", "KILLCHAIN_", "CORE_API", "MTLS_")
if OWNS_SCRATCH:
    os.environ[SCRATCH_VARIABLE] = tempfile.mkdtemp(prefix="orchestrator-tests-")
    Path(os.environ[SCRATCH_VARIABLE]).chmod(0o755)  # under root, PostgreSQL runs as another user
SCRATCH = Path(os.environ[SCRATCH_VARIABLE])
(SCRATCH / "static").mkdir(exist_ok=True)  # whitenoise warns where it is missing
KEPT = {SCRATCH_VARIABLE, "ORCH_SHARED_INCIDENTS", "ORCH_WYCHEPROOF"}  # folders of real incidents and of test vectors
for name in [name for name in os.environ if name.startswith(OWN_VARIABLES) and name not in KEPT]:
    del os.environ[name]
os.environ.update(ORCH_PROFILE="development", ORCH_VAR_DIR=str(SCRATCH))
