#!/usr/bin/env python3
"""Verify a bundle: no Django, no database, only this folder's `bundles.format` and the cryptography library.

Usage: verify_bundle.py PATH [--key PEM_OR_DIR]… [--json]
Exit 0 verified; 1 not verified; 2 could not be checked. Without --key, ORCH_VERIFY_KEY_PATH names the keys to trust.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bundles.format.cli.verifier import main

if __name__ == "__main__":
    sys.exit(main())
