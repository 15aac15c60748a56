"""`python -m bundles.format {create,verify,list,extract,export-bagit}`: bundles as files, without Django or a database.

Exit codes: 0 done or verified; 1 not verified or not made; 2 could not be checked (usage, unreadable key or file).
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bundles.format.cli import commands
from bundles.format.cli.terminal import (
    CANNOT_CHECK,
    NOT_VERIFIED,
    VERIFIED,
    complain,
    progress_on_stderr,
    say,
    say_json,
)
from bundles.format.model import paths
from bundles.format.model.errors import BundleRejectedError, CannotCheckError, CannotWriteError
from bundles.format.model.limits import DEFAULT_CHUNK_MIB, MAX_CHUNK_MIB, MIB
from bundles.format.model.signing import SigningKey, timestamp
from bundles.format.reading.target_names import AUTO, MAP_FILE, NAMES
from bundles.format.writing.assembly import available_compression
from bundles.format.writing.folder import REFUSE, SPECIAL, folder_payloads
from bundles.format.writing.packing import write_error
from bundles.format.writing.payload import Payload
from bundles.format.writing.pipes import STANDARD_STREAM, stream_bundle
from bundles.format.writing.publish import publish
from bundles.format.writing.writer import SUFFIXES, WrittenBundle, write_bundle

COMMAND = "ransomeye-bundle"  # its name where the package is installed; see pyproject.toml


def main(arguments: Sequence[str] | None = None, *, default_keys: Sequence[Path] = ()) -> int:
    """Run one command.

    Args:
        arguments: the command-line arguments; those of this process by default.
        default_keys: keys to trust if `--key` is not given.

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
    parser.add_argument("path", type=Path, metavar="PATH", help="the bundle; - is standard input")
    _key_option(parser)
    _only_option(parser)
    parser.set_defaults(run=commands.verify, command="verify")


def _parser() -> argparse.ArgumentParser:
    installed = Path(sys.argv[0]).name == COMMAND
    parser = argparse.ArgumentParser(prog=COMMAND if installed else "python -m bundles.format", description=__doc__)
    actions = parser.add_subparsers(dest="command", required=True)
    create = actions.add_parser("create", help="bundle a folder")
    create.add_argument("folder", type=Path, metavar="FOLDER")
    create.add_argument("--incident-id", required=True)
    create.add_argument("--key", type=Path, required=True, metavar="PEM", help="the private key to sign with")
    create.add_argument(
        "-o", "--output", type=Path, required=True, metavar="PATH", help="a directory, a new file, or -"
    )
    create.add_argument("--gzip", action="store_true", help="gzip instead of zstd")
    create.add_argument("--chunk-size-mb", type=int, default=DEFAULT_CHUNK_MIB, metavar="N")
    create.add_argument(
        "--any", action="store_true", dest="any_folder", help="accept any folder; each file is an artifact"
    )
    create.add_argument(
        "--special",
        choices=SPECIAL,
        default=REFUSE,
        help="with --any: refuse links, FIFOs, sockets, devices, or record what they are; none is followed or opened",
    )
    create.add_argument("--json", action="store_true", help="print the result as JSON")
    create.set_defaults(run=_create)
    add_verify_options(actions.add_parser("verify", help="verify a bundle"))
    listing = actions.add_parser("list", help="show an authentic manifest; the payload is not checked")
    listing.add_argument("path", type=Path, metavar="PATH")
    _key_option(listing)
    listing.set_defaults(run=commands.show)
    extract = actions.add_parser("extract", help="verify a bundle and unpack it into a new folder")
    extract.add_argument("path", type=Path, metavar="PATH")
    extract.add_argument(
        "into", type=Path, metavar="DIR", help="must not exist; created only if everything is verified"
    )
    _key_option(extract)
    _only_option(extract)
    _names_option(extract)
    extract.set_defaults(run=commands.extract)
    bag = actions.add_parser("export-bagit", help="verify a bundle and write it as a BagIt bag")
    bag.add_argument("path", type=Path, metavar="PATH")
    bag.add_argument("into", type=Path, metavar="DIR", help="must not exist; created only if everything is verified")
    _key_option(bag)
    _names_option(bag)
    bag.set_defaults(run=commands.export_bagit)
    return parser


def _key_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--key", type=Path, action="append", metavar="PEM_OR_DIR", help="a public key to trust, or a directory of them"
    )
    parser.add_argument(
        "--require", type=_count, default=1, metavar="N", help="how many different trusted keys must have signed"
    )
    parser.add_argument(
        "--spool", type=Path, metavar="DIR", help="where to store standard input (PATH -); default $TMPDIR"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "--allow-weak-keys",
        action="store_true",
        help="accept keys from 2,048 bits and of any exponent; the report lists them",
    )


def _names_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--names",
        choices=NAMES,
        default=AUTO,
        help="posix: names as stored; windows: names that Windows can hold; auto: tries what DIR can hold (default). "
        f"Changed names are listed in {MAP_FILE}",
    )


def _only_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", metavar="MEMBER", help="check only this file of the payload")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("expected a whole number of at least 1")
    return int(text)


def bundle_name(incident_id: str, compression: str) -> str:
    """The file name of a new bundle: incident, time, format."""
    moment = timestamp().replace("-", "").replace(":", "").replace(".", "")
    return f"{incident_id}-{moment}{SUFFIXES[compression]}"


def output_path(asked: Path, incident_id: str, compression: str) -> Path:
    """The path of a new bundle: a generated name if `asked` is a directory, else `asked`, which must not exist.

    Raises:
        CannotWriteError: `name_taken` or `write_failed`.
    """
    if asked.is_dir():
        return asked / bundle_name(incident_id, compression)
    if asked.exists() or asked.is_symlink():
        raise CannotWriteError("name_taken", f"{asked} already exists and is never overwritten.")
    if not asked.parent.is_dir():
        raise CannotWriteError("write_failed", f"{asked.parent} is not a directory.")
    return asked


def _create(options: argparse.Namespace) -> int:
    if not paths.valid_incident_id(options.incident_id):
        raise CannotWriteError("incident_id_invalid", paths.INCIDENT_ID_RULE)
    if not options.folder.is_dir():
        raise CannotWriteError("input_invalid", f"{options.folder} is not a directory.")
    if not 1 <= options.chunk_size_mb <= MAX_CHUNK_MIB:
        raise CannotWriteError("input_invalid", f"--chunk-size-mb is from 1 to {MAX_CHUNK_MIB}.")
    if options.special != REFUSE and not options.any_folder:
        raise CannotWriteError("input_invalid", "--special record is for --any: an incident folder has only files.")
    key = SigningKey.load(options.key)
    compression = "gzip" if options.gzip else available_compression()
    if options.output == STANDARD_STREAM:
        return _create_to_pipe(options, key, compression)
    target = output_path(options.output, options.incident_id, compression)
    try:
        staging = Path(tempfile.mkdtemp(prefix=".bundle-", dir=target.parent))
    except OSError as error:
        raise write_error(error) from error
    try:
        written = write_bundle(
            staging / target.name,
            incident_id=options.incident_id,
            payloads=_payloads(options, staging),
            key=key,
            chunk_size=options.chunk_size_mb * MIB,
            compression=compression,
            progress=progress_on_stderr("bundling"),
        )
        publish(written.path, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    result = result_of(written, str(target), options.incident_id)
    if options.json:
        say_json(result)
    else:
        say(f"created {target}: {written.size} bytes, SHA-256 {written.sha256}")
        say(f"content digest {written.manifest.content_digest}")
    return VERIFIED


def _payloads(options: argparse.Namespace, staging: Path) -> list[Payload]:
    return folder_payloads(
        options.folder, options.incident_id, staging, any_folder=options.any_folder, special=options.special
    )


def _create_to_pipe(options: argparse.Namespace, key: SigningKey, compression: str) -> int:
    """Write the bundle to standard output, and messages to standard error."""
    if sys.stdout.isatty():
        raise CannotWriteError("input_invalid", "A bundle is not written to a terminal.")
    with tempfile.TemporaryDirectory(prefix="bundle-") as staging:
        written = stream_bundle(
            sys.stdout.fileno(),
            incident_id=options.incident_id,
            payloads=_payloads(options, Path(staging)),
            key=key,
            chunk_size=options.chunk_size_mb * MIB,
            compression=compression,
        )
    if options.json:
        sys.stderr.write(json.dumps(result_of(written, "-", options.incident_id)) + "\n")
    else:
        sys.stderr.write(f"created a bundle of {written.size} bytes, SHA-256 {written.sha256}\n")
    return VERIFIED


def result_of(written: WrittenBundle, name: str, incident_id: str) -> dict[str, Any]:
    """The JSON result of a command that made a bundle."""
    return {
        "bundle": name,
        "sha256": written.sha256,
        "size": written.size,
        "incident_id": incident_id,
        "content_digest": written.manifest.content_digest,
        "manifest_hash": written.manifest.manifest_hash,
        "key_id": written.key_id,
        "files": len(written.manifest.files),
        "bytes": written.manifest.total_size,
        "complete": written.manifest.complete,
    }
