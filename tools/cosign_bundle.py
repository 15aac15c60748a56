#!/usr/bin/env python3
"""Add a signature to a bundle whose manifest is already signed by a trusted key; the payload stays as it is.

Usage: cosign_bundle.py PATH --key PEM [--trust PEM_OR_DIR]… [-o NEW_PATH | --in-place] [--json]
The payload is not checked here: verify first. Exit 0 done; 1 not verified, or not made; 2 could not begin. Without
--trust, ORCH_VERIFY_KEY_PATH names the keys to trust.
"""

import argparse
import dataclasses
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bundles.format.cli import terminal
from bundles.format.model.errors import BundleRejectedError, CannotCheckError, CannotWriteError
from bundles.format.model.signing import KeyRing, SigningKey
from bundles.format.writing.cosign import CosignedBundle, cosign_bundle


def main() -> int:
    """Parse, co-sign, report."""
    options = _options()
    try:
        made = _cosign(options)
    except BundleRejectedError as error:
        terminal.complain(error.code, f"NOT VERIFIED: {error.detail}")
        return terminal.NOT_VERIFIED
    except (CannotCheckError, CannotWriteError) as error:
        terminal.complain(error.code, error.detail)
        begun = not error.code.startswith("key_") and not isinstance(error, CannotCheckError)
        return terminal.NOT_VERIFIED if begun else terminal.CANNOT_CHECK
    if options.json:
        terminal.say_json({**dataclasses.asdict(made), "path": str(made.path)})
    else:
        terminal.say(f"co-signed {made.path}: {made.signatures} signatures, {made.size} bytes, SHA-256 {made.sha256}")
        terminal.say("the manifest is authentic; the payload was not checked here (use verify)")
    return terminal.VERIFIED


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Add a signature to a bundle; its payload stays as it is.")
    parser.add_argument("path", type=Path, metavar="PATH", help="the bundle")
    parser.add_argument("--key", type=Path, required=True, metavar="PEM", help="the private key to co-sign with")
    parser.add_argument(
        "--trust", type=Path, action="append", metavar="PEM_OR_DIR", help="keys that may have signed it"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("-o", "--output", type=Path, metavar="NEW_PATH", help="a new file; PATH-cosigned unless given")
    where.add_argument("--in-place", action="store_true", help="replace PATH, atomically")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser.parse_args()


def _cosign(options: argparse.Namespace) -> CosignedBundle:
    default = os.environ.get("ORCH_VERIFY_KEY_PATH", "")
    keys = KeyRing.load(options.trust or ([Path(default)] if default else []))
    key = SigningKey.load(options.key)
    out = None if options.in_place else options.output or cosigned_name(options.path)
    return cosign_bundle(options.path, key, keys, out)


def cosigned_name(path: Path) -> Path:
    """`x.tar.zst` becomes `x-cosigned.tar.zst`, in the same folder."""
    for suffix in (".tar.zst", ".tar.gz"):
        if path.name.endswith(suffix):
            return path.with_name(path.name.removesuffix(suffix) + "-cosigned" + suffix)
    return path.with_name(path.name + "-cosigned")


if __name__ == "__main__":
    sys.exit(main())
