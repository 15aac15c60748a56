"""The verifier alone, for tools/verify_bundle.py and dist/verify_bundle.pyz.

Usage: verify_bundle.py PATH [--key PEM_OR_DIR]… [--json]
Exit 0 verified; 1 not verified; 2 could not be checked. Without --key, ORCH_VERIFY_KEY_PATH names the keys to trust.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from bundles.format.cli import cli


def main() -> int:
    """Verify the bundle that the command line names, report, and return the exit code."""
    parser = argparse.ArgumentParser(description="Verify a bundle: signature, every file and chunk, nothing extra.")
    cli.add_verify_options(parser)
    parser.parse_args()
    default = os.environ.get("ORCH_VERIFY_KEY_PATH", "")
    return cli.main(["verify", *sys.argv[1:]], default_keys=[Path(default)] if default else [])
