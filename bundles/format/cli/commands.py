"""The commands that read a bundle: verify, list, extract, export-bagit. The path `-` means standard input."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bundles.format.cli.terminal import (
    NOT_VERIFIED,
    VERIFIED,
    complain,
    printable,
    progress_on_stderr,
    say,
    say_json,
    say_report,
    say_weak_keys,
)
from bundles.format.model import paths
from bundles.format.model.errors import BundleRejectedError, RecordError
from bundles.format.model.records import FILE_TYPE, iter_array
from bundles.format.model.signing import KeyRing
from bundles.format.reading.container import Source
from bundles.format.reading.extract import ExtractedBundle, extract_bundle
from bundles.format.reading.report import check_bundle, weak_keys
from bundles.format.reading.single import MatchedFile, extract_file, match_file
from bundles.format.reading.target_names import MAP_FILE
from bundles.format.reading.verify import read_manifest
from bundles.format.writing.bagit import export_bag
from bundles.format.writing.pipes import STANDARD_STREAM, spooled

LISTED = 20  # records without a file
CHANGED = "{} changed for this target; {} lists the true names"
ONLY_THIS = "this file is as signed; the rest was not checked"


def verify(options: argparse.Namespace) -> int:
    """Verify a bundle, or one file of it, and report."""
    keys = _keys(options)
    with _source(options) as source:
        if options.only is not None:
            return _only(options, lambda shown: match_file(source, keys, options.only, **shown))
        report = check_bundle(source, keys, require=options.require, progress=progress_on_stderr("verifying"))
    if options.json:
        say_json(report.as_dict())
    else:
        say_report(report.as_dict(), report.manifest.cosigners if report.manifest else ())
    return VERIFIED if report.verified else NOT_VERIFIED


def show(options: argparse.Namespace) -> int:
    """List the files of an authentic manifest."""
    with _source(options) as source:
        verified = read_manifest(source, _keys(options), require=options.require)
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
                **weak_keys(verified),
            }
        )
        return VERIFIED
    for entry in manifest.files:
        say(f"{entry.sha256}  {entry.size:>14}  {printable(entry.path)}")
    say_weak_keys(weak_keys(verified))
    say(f"{len(manifest.files)} files as signed; the payload was not checked (use verify)")
    return VERIFIED


def extract(options: argparse.Namespace) -> int:
    """Verify and unpack a bundle, or one file of it."""
    keys = _keys(options)
    with _source(options) as source:
        if options.only is not None:
            code = _only(
                options,
                lambda shown: extract_file(source, keys, options.only, options.into, names=options.names, **shown),
            )
            if (options.into / MAP_FILE).exists() and not options.json:
                say(CHANGED.format("1 name was", options.into / MAP_FILE))
            return code
        extracted = extract_bundle(
            source,
            keys,
            options.into,
            require=options.require,
            names=options.names,
            progress=progress_on_stderr("extracting"),
        )
    _say_unpacked(options, extracted, options.into / paths.ARTIFACTS)
    return VERIFIED


def export_bagit(options: argparse.Namespace) -> int:
    """Verify a bundle and write it as a BagIt bag."""
    with _source(options) as source:
        bag = export_bag(
            source,
            _keys(options),
            options.into,
            require=options.require,
            names=options.names,
            progress=progress_on_stderr("exporting"),
        )
    _say_unpacked(options, bag, options.into / "data" / paths.ARTIFACTS)
    return VERIFIED


def _keys(options: argparse.Namespace) -> KeyRing:
    return KeyRing.load(options.key or [], allow_weak=options.allow_weak_keys)


@contextmanager
def _source(options: argparse.Namespace) -> Iterator[Source]:
    """The bundle to read; standard input is spooled to a temporary file first."""
    if options.path != STANDARD_STREAM:
        yield options.path
        return
    with spooled(sys.stdin.fileno(), options.spool) as bundle:
        yield bundle


def _say_unpacked(options: argparse.Namespace, extracted: ExtractedBundle, records: Path) -> None:
    """Report what was unpacked, which names were changed, and what of a folder has a record but no file."""
    names, fileless = options.into / MAP_FILE, _without_file(records)
    if options.json:
        more = {"names": str(names) if extracted.renamed else None, "without_file": fileless}
        say_json({**extracted.report.as_dict(), "directory": str(options.into), **more})
        return
    say_report(extracted.report.as_dict(), extracted.manifest.cosigners)
    say(f"unpacked into {options.into}")
    if extracted.renamed:
        number = len(extracted.renamed)
        say(CHANGED.format("1 name was" if number == 1 else f"{number:,} names were", names))
    if fileless:
        say(f"records in {paths.ARTIFACTS} without a file: {len(fileless):,}")
    for one in fileless[:LISTED]:
        target = f" -> {printable(one['target'])}" if "target" in one else ""
        say(f"  {printable(one['file_type']):16}  {printable(one['name'])}{target}")
    if len(fileless) > LISTED:
        say(f"  and {len(fileless) - LISTED:,} more")


def _without_file(records: Path) -> list[dict[str, str]]:
    """The empty folders, links and special files of `artifacts.json`: `name`, `file_type`, and `target` of a link."""
    found = []
    try:
        for record, _ in iter_array(records):
            if FILE_TYPE in record and record.get("artifact_id") is None:
                shown = {key: record[key] for key in ("name", FILE_TYPE, "target") if key in record}
                found.append({key: value if isinstance(value, str) else str(value) for key, value in shown.items()})
    except (FileNotFoundError, RecordError):
        pass  # a bundle without records, or of an older version whose records can be anything
    return [{"name": "", **one} for one in found]


def _only(options: argparse.Namespace, work: Any) -> int:
    """Check one file, and report on that file only."""
    matched: MatchedFile | None = None
    refused: BundleRejectedError | None = None
    try:
        matched = work({"require": options.require, "progress": progress_on_stderr("checking")})
    except BundleRejectedError as error:
        refused = error
    if options.json:
        say_json(_single_report(options, matched, refused))
    elif matched is not None:
        key = matched.manifest.key
        say(f"AS SIGNED: {printable(matched.entry.path)}")
        say(f"  {ONLY_THIS}")
        say(f"  size            {matched.entry.size}")
        say(f"  SHA-256         {matched.entry.sha256}")
        say(f"  incident        {matched.manifest.manifest.incident_id}")
        if key is not None:
            say(f"  signed by       {printable(key.name)}, key {key.key_id}")
        say_weak_keys(weak_keys(matched.manifest))
    elif refused is not None:
        complain(refused.code, f"NOT AS SIGNED: {options.only}: {refused.detail}")
    return VERIFIED if matched is not None else NOT_VERIFIED


def _single_report(
    options: argparse.Namespace, matched: MatchedFile | None, refused: BundleRejectedError | None
) -> dict[str, Any]:
    """The report on one file. `verified` is always false, since only a whole bundle can be verified."""
    manifest = matched.manifest if matched else None
    return {
        "only": options.only,
        "verified": False,
        "as_signed": matched is not None,
        "note": ONLY_THIS if matched else None,
        "bundle": options.path.name,
        "incident_id": manifest.manifest.incident_id if manifest else None,
        "created_at": manifest.manifest.created_at if manifest else None,
        "key_id": manifest.key.key_id if manifest and manifest.key else None,
        "signer": manifest.key.name if manifest and manifest.key else None,
        "size": matched.entry.size if matched else None,
        "sha256": matched.entry.sha256 if matched else None,
        "error": {"code": refused.code, "detail": refused.detail} if refused else None,
        **(weak_keys(manifest) if manifest else {}),
    }
