#!/usr/bin/env python3
"""Bundle an incident from its sources, without the queue and without a database.

Usage: create_incident_bundle.py INCIDENT_ID -o PATH [--profile NAME] [--ref SYSTEM=ID]
       [--chunk-size-mb N] [--gzip] [--allow-partial] [--json]
PATH is a directory, or a file that must not exist yet. Settings come from the environment, as for the service.
Exit 0 done; 1 not made; 2 could not begin (usage, settings, a key unreadable).
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from django.conf import settings

from bundles.format.cli import cli, terminal
from bundles.format.model.errors import CannotCheckError, CannotWriteError
from bundles.format.model.limits import DEFAULT_CHUNK_MIB
from bundles.format.writing.assembly import available_compression
from bundles.format.writing.packing import write_error
from bundles.format.writing.publish import publish
from jobs.errors import PermanentError, RetryableError
from orchestrator_site.configuration import env

# Required settings that this tool does not use.
NOT_NEEDED = {"ORCH_SECRET_KEY": "unused", "DB_HOST": "unused", "ORCH_ALLOWED_HOSTS": "unused"}


def main() -> int:
    """Parse, collect, write, publish, report."""
    options = _options()
    try:
        environment = env.load({**NOT_NEEDED, **os.environ})
    except env.SettingsError as error:
        for line in error.lines:
            terminal.complain("settings", line)
        return terminal.CANNOT_CHECK
    settings.configure(
        OUTPUT_DIR=environment.output_dir,
        FORENSIC_STORAGE_PATH=environment.forensic_storage_path,
        ORCH_SIGN_KEY_PATH=environment.sign_key_path,
        ORCH_VERIFY_KEY_PATH=environment.verify_key_path,
        KILLCHAIN_API_URL=environment.killchain_api_url,
        FORENSIC_API_URL=environment.forensic_api_url,
        DB_API_URL=environment.db_api_url,
        ORCH_SOURCES_FILE=environment.sources_file,
        ORCH_SOURCES_IN_ENVIRONMENT=environment.names_a_source,
        ORCH_SOURCE_TIMEOUT_SECONDS=environment.source_timeout_s,
    )
    if faults := _faults_of_sources():
        for line in faults:
            terminal.complain("settings", f"ORCH_SOURCES_FILE: {line}")
        return terminal.CANNOT_CHECK
    try:
        result = _bundle(options)
    except (CannotWriteError, CannotCheckError) as error:
        terminal.complain(error.code, error.detail)
        begun = not error.code.startswith("key_") and not isinstance(error, CannotCheckError)
        return terminal.NOT_VERIFIED if begun else terminal.CANNOT_CHECK
    except OSError as error:  # of the place for the bundle: sources turn their own into job errors
        terminal.complain(write_error(error).code, write_error(error).detail)
        return terminal.NOT_VERIFIED
    except (PermanentError, RetryableError) as error:
        terminal.complain(error.code, str(error))
        return terminal.NOT_VERIFIED
    if options.json:
        terminal.say_json(result)
    else:
        terminal.say(f"created {result['bundle']}: {result['size']} bytes, SHA-256 {result['sha256']}")
        terminal.say(f"content digest {result['content_digest']}")
        for gap in result["missing"]:
            terminal.say(terminal.printable(f"MISSING {gap.get('path') or gap.get('source')}: {gap['reason']}"))
    return terminal.VERIFIED


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Bundle an incident from its sources into one signed file.")
    parser.add_argument("incident_id", metavar="INCIDENT_ID")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="PATH", help="a directory, or a new file")
    parser.add_argument("--profile", default="", metavar="NAME", help="a source profile; the default one without it")
    parser.add_argument(
        "--ref",
        action="append",
        default=[],
        type=_ref,
        metavar="SYSTEM=ID",
        help="the incident's id in a system of the profile, where it is another one; may be repeated",
    )
    parser.add_argument("--chunk-size-mb", type=int, default=DEFAULT_CHUNK_MIB, metavar="N")
    parser.add_argument("--gzip", action="store_true", help="gzip instead of zstd")
    parser.add_argument("--allow-partial", action="store_true", help="list what is missing instead of failing")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser.parse_args()


def _ref(text: str) -> tuple[str, str]:
    system, equals, ref = text.partition("=")
    if not (system and equals and ref):
        raise argparse.ArgumentTypeError("must be SYSTEM=ID")
    return system, ref


def _faults_of_sources() -> list[str]:
    from bundles.sources import configured

    file = configured.current().file
    return [str(one) for one in file.faults] if file else []


def _bundle(options: argparse.Namespace) -> dict[str, Any]:
    from bundles.handlers import pack
    from bundles.keys import trusted_keys
    from bundles.sources import configured
    from bundles.sources.live import LiveSource

    pack.require_request(options.incident_id, options.chunk_size_mb)
    refs = dict(options.ref)
    try:
        profile = configured.current().get(options.profile)
    except configured.ProfileUnknownError as error:
        raise CannotWriteError("input_invalid", str(error)) from error
    for name, says in configured.refs_faults(profile, refs).items():
        raise CannotWriteError("input_invalid", f"{name}: {says}.")
    source = LiveSource.for_payload({"profile": profile.name, "refs": refs})
    key, _ = trusted_keys.signing()
    compression = "gzip" if options.gzip else available_compression()
    target = cli.output_path(options.output, options.incident_id, compression)
    staging = Path(tempfile.mkdtemp(prefix=".bundle-", dir=target.parent))
    try:
        evidence = source.collect(
            options.incident_id,
            staging,
            allow_partial=options.allow_partial,
            on_progress=lambda *_: None,
            check=lambda: None,
        )
        written = pack.pack(
            evidence,
            staging / "bundle",
            incident_id=options.incident_id,
            key=key,
            chunk_size_mb=options.chunk_size_mb,
            compression=compression,
            progress=terminal.progress_on_stderr("bundling"),
        )
        publish(written.path, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    result = cli.result_of(written, str(target), options.incident_id)
    return {**result, "missing": [dict(gap) for gap in written.manifest.missing]}


if __name__ == "__main__":
    sys.exit(main())
