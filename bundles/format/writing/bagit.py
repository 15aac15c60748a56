"""Exports a verified bundle as a BagIt 1.0 bag (RFC 8493).

The bag's payload is that of the bundle, with the same digests. manifest.json and manifest.sig become tag files, so the
signature can still be checked. Like every extraction, the bag appears only if everything was verified.

RFC 8493 requires `%` in a path to be written as `%25`, which the most used implementation does not decode. So each `%`
becomes `=`, and whitespace at the end of a name becomes `=XX` of its UTF-8 bytes, which every implementation reads.
Names that would become equal are kept apart. The tag file `names.json` lists every changed name.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from bundles.format.model import paths
from bundles.format.model.errors import CannotCheckError
from bundles.format.model.signing import KeyRing
from bundles.format.reading.container import Source
from bundles.format.reading.extract import ExtractedBundle, extraction, publish_folder, write_map
from bundles.format.reading.report import check_bundle
from bundles.format.reading.target_names import MAP_FILE, POSIX
from bundles.format.reading.verify import VerifiedManifest

DECLARATION = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
TAG_MEMBERS = (paths.MANIFEST, paths.SIGNATURE)


def export_bag(
    path: Source,
    keys: KeyRing,
    into: Path,
    *,
    require: int = 1,
    names: str = POSIX,
    progress: Callable[[int, int], None] | None = None,
) -> ExtractedBundle:
    """Verify a bundle and write it as a BagIt bag.

    Args:
        path: the bundle.
        keys: the keys to trust.
        into: the folder to create; it must not exist, its parent must.
        require: how many different trusted keys must have signed.
        names: which names the target can hold, as for `extract_bundle`.
        progress: called with payload bytes done and in all.

    Returns:
        The verified bundle; `directory` is the bag.

    Raises:
        BundleRejectedError: it is not verified; nothing is left behind.
        CannotCheckError: it could not be checked, or `cannot_extract`.
    """
    if os.path.lexists(into):
        raise CannotCheckError("cannot_extract", "The target folder already exists.")
    staging = into.parent / f".bag-{secrets.token_hex(8)}.part"
    try:
        staging.mkdir(mode=0o750)
        with extraction(staging / "data", names=names, bag=True) as sink:
            report = check_bundle(path, keys, require=require, sink=sink, progress=progress)
            if report.error is not None:
                raise report.error
        if report.manifest is None:
            raise AssertionError("a verified bundle has a manifest")
        _complete(staging, report.manifest, sink.names.renamed)
        publish_folder(staging, into)
    except OSError as error:
        raise CannotCheckError("cannot_extract", f"The bag cannot be written: {error.strerror}.") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return ExtractedBundle(report, report.manifest, into, sink.names.renamed)


def _complete(bag: Path, verified: VerifiedManifest, renamed: Mapping[str, str]) -> None:
    """Complete a bag whose members are below `data/`; `renamed` is member path → path there, of those that differ."""
    manifest = verified.manifest
    for name in TAG_MEMBERS:
        (bag / "data" / name).rename(bag / name)
    lines = [f"{entry.sha256}  data/{renamed.get(entry.path, entry.path)}\n" for entry in manifest.files]
    tags = {
        "bagit.txt": DECLARATION,
        "bag-info.txt": (
            f"Bagging-Date: {manifest.created_at[:10]}\n"
            f"External-Identifier: {manifest.incident_id}\n"
            f"Internal-Sender-Identifier: {manifest.content_digest}\n"
            f"Payload-Oxum: {manifest.total_size}.{len(manifest.files)}\n"
        ),
        "manifest-sha256.txt": "".join(sorted(lines, key=lambda line: line[66:])),
    }
    for name, text in tags.items():
        (bag / name).write_text(text, encoding="utf-8", newline="\n")
    more = list(TAG_MEMBERS)
    if renamed:
        written = {member: f"data/{path}" for member, path in renamed.items()}
        write_map(bag / MAP_FILE, written, bag / "data" / paths.ARTIFACTS)
        more.append(MAP_FILE)
    digests = {name: hashlib.sha256((bag / name).read_bytes()).hexdigest() for name in (*tags, *more)}
    tag_lines = [f"{digest}  {name}\n" for name, digest in sorted(digests.items())]
    (bag / "tagmanifest-sha256.txt").write_text("".join(tag_lines), encoding="utf-8", newline="\n")
