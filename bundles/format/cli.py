"""`python -m bundles.format {create,verify,list,extract}`: bundles as files, without Django or a database.

Exit codes: 0 done or verified; 1 not verified, or not made; 2 could not be checked (usage, a key or file unreadable).
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bundles.format import paths
from bundles.format.errors import BundleRejectedError, CannotCheckError, CannotWriteError
from bundles.format.extract import extract_bundle
from bundles.format.folder import folder_payloads
from bundles.format.limits import MIB
from bundles.format.packing import write_error
from bundles.format.publish import publish
from bundles.format.report import check_bundle
from bundles.format.signing import KeyRing, SigningKey, timestamp
from bundles.format.terminal import (
    CANNOT_CHECK,
    NOT_VERIFIED,
    VERIFIED,
    complain,
    printable,
    progress_on_stderr,
    say,
    say_json,
    say_report,
)
from bundles.format.verify import read_manifest
from bundles.format.writer import SUFFIXES, available_compression, write_bundle


def main(arguments: Sequence[str] | None = None, *, default_keys: Sequence[Path] = ()) -> int:
    """Run one command.

    Args:
        arguments: the words after the program's name; those of the process unless given.
        default_keys: keys to trust where `--key` names none.

    Returns:
        The exit code.
    """
    options = _parser().parse_args(arguments)
    if "key" in options and options.command != "create":
        options.key = options.key or list(default_keys)
    try:
        return int(options.run(options))
    except BundleRejectedError as error:
        complain(error.code, f"NOT VERIFIED: {error.detail}")
        return NOT_VERIFIED
    except CannotCheckError as error:
        complain(error.code, error.detail)
        return CANNOT_CHECK
    except CannotWriteError as error:
        complain(error.code, error.detail)
        return CANNOT_CHECK if error.code in {"key_unreadable", "key_unsuitable"} else NOT_VERIFIED


def add_verify_options(parser: argparse.ArgumentParser) -> None:
    """The options of `verify`, shared with tools/verify_bundle.py."""
    parser.add_argument("path", type=Path, metavar="PATH", help="the bundle")
    _key_option(parser)
    parser.set_defaults(run=_verify, command="verify")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bundles.format", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    create = commands.add_parser("create", help="bundle a folder")
    create.add_argument("folder", type=Path, metavar="FOLDER")
    create.add_argument("--incident-id", required=True)
    create.add_argument("--key", type=Path, required=True, metavar="PEM", help="the private key to sign with")
    create.add_argument("-o", "--output", type=Path, required=True, metavar="PATH", help="a directory, or a new file")
    create.add_argument("--gzip", action="store_true", help="gzip instead of zstd")
    create.add_argument("--chunk-size-mb", type=int, default=256, metavar="N")
    create.add_argument("--any", action="store_true", dest="any_folder", help="take any folder, each file an artifact")
    create.add_argument("--json", action="store_true", help="print the result as JSON")
    create.set_defaults(run=_create)
    add_verify_options(commands.add_parser("verify", help="verify a bundle"))
    listing = commands.add_parser("list", help="show an authentic manifest; the payload is not checked")
    listing.add_argument("path", type=Path, metavar="PATH")
    _key_option(listing)
    listing.set_defaults(run=_list)
    extract = commands.add_parser("extract", help="verify a bundle and unpack it into a new folder")
    extract.add_argument("path", type=Path, metavar="PATH")
    extract.add_argument("into", type=Path, metavar="DIR", help="must not exist; appears only when all is verified")
    _key_option(extract)
    extract.set_defaults(run=_extract)
    return parser


def _key_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--key", type=Path, action="append", metavar="PEM_OR_DIR", help="a public key to trust, or a directory of them"
    )
    parser.add_argument(
        "--require", type=_count, default=1, metavar="N", help="how many different trusted keys must have signed"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("a whole number from 1 on")
    return int(text)


def bundle_name(incident_id: str, compression: str) -> str:
    """The name a bundle gets in a directory: incident, time, format."""
    moment = timestamp().replace("-", "").replace(":", "").replace(".", "")
    return f"{incident_id}-{moment}{SUFFIXES[compression]}"


def output_path(asked: Path, incident_id: str, compression: str) -> Path:
    """Where a bundle goes: into the directory `asked` under a name of its own, or to `asked`, which must be new.

    Raises:
        CannotWriteError: `name_taken` or `write_failed`.
    """
    if asked.is_dir():
        return asked / bundle_name(incident_id, compression)
    if asked.exists() or asked.is_symlink():
        raise CannotWriteError("name_taken", f"{asked} exists already; a bundle never overwrites.")
    if not asked.parent.is_dir():
        raise CannotWriteError("write_failed", f"{asked.parent} is no directory.")
    return asked


def _create(options: argparse.Namespace) -> int:
    if not paths.valid_incident_id(options.incident_id):
        raise CannotWriteError("incident_id_invalid", "An incident id is letters, digits, dots, dashes, underscores.")
    if not options.folder.is_dir():
        raise CannotWriteError("input_invalid", f"{options.folder} is no directory.")
    if not 1 <= options.chunk_size_mb <= 65_536:
        raise CannotWriteError("input_invalid", "--chunk-size-mb is from 1 to 65536.")
    key = SigningKey.load(options.key)
    compression = "gzip" if options.gzip else available_compression()
    target = output_path(options.output, options.incident_id, compression)
    try:
        staging = Path(tempfile.mkdtemp(prefix=".bundle-", dir=target.parent))
    except OSError as error:
        raise write_error(error) from error
    try:
        written = write_bundle(
            staging / target.name,
            incident_id=options.incident_id,
            payloads=folder_payloads(options.folder, options.incident_id, staging, any_folder=options.any_folder),
            key=key,
            chunk_size=options.chunk_size_mb * MIB,
            compression=compression,
            progress=progress_on_stderr("bundling"),
        )
        publish(written.path, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    result = {
        "bundle": str(target),
        "sha256": written.sha256,
        "size": written.size,
        "incident_id": options.incident_id,
        "content_digest": written.manifest.content_digest,
        "manifest_hash": written.manifest.manifest_hash,
        "key_id": written.key_id,
        "files": len(written.manifest.files),
        "bytes": written.manifest.total_size,
        "complete": written.manifest.complete,
    }
    if options.json:
        say_json(result)
    else:
        say(f"created {target}: {written.size} bytes, SHA-256 {written.sha256}")
        say(f"content digest {written.manifest.content_digest}")
    return VERIFIED


def _verify(options: argparse.Namespace) -> int:
    keys = KeyRing.load(options.key or [])
    report = check_bundle(options.path, keys, require=options.require, progress=progress_on_stderr("verifying"))
    if options.json:
        say_json(report.as_dict())
    else:
        say_report(report.as_dict(), report.manifest.cosigners if report.manifest else ())
    return VERIFIED if report.verified else NOT_VERIFIED


def _list(options: argparse.Namespace) -> int:
    verified = read_manifest(options.path, KeyRing.load(options.key or []), require=options.require)
    manifest = verified.manifest
    if options.json:
        say_json(
            {
                "incident_id": manifest.incident_id,
                "created_at": manifest.created_at,
                "content_digest": manifest.content_digest,
                "complete": manifest.complete,
                "missing": [dict(gap) for gap in manifest.missing],
                "files": [entry.as_dict() for entry in manifest.files],
                "payload_checked": False,
            }
        )
        return VERIFIED
    for entry in manifest.files:
        say(f"{entry.sha256}  {entry.size:>14}  {printable(entry.path)}")
    say(f"{len(manifest.files)} files as signed; the payload was not checked (use verify)")
    return VERIFIED


def _extract(options: argparse.Namespace) -> int:
    keys = KeyRing.load(options.key or [])
    extracted = extract_bundle(
        options.path, keys, options.into, require=options.require, progress=progress_on_stderr("extracting")
    )
    if options.json:
        say_json({**extracted.report.as_dict(), "directory": str(options.into)})
    else:
        say_report(extracted.report.as_dict(), extracted.manifest.cosigners)
        say(f"unpacked into {options.into}")
    return VERIFIED
