"""Exports a verified bundle as a BagIt 1.0 bag (RFC 8493).

The bag's payload is that of the bundle, with the same digests. manifest.json and manifest.sig become tag files, so the
signature can still be checked. Like every extraction, the bag appears only if everything was verified.

RFC 8493 requires `%` in a path to be written as `%25`, which the most used implementation does not decode. Bundle paths
contain `%` only in escapes. So each `%` becomes `=`, and whitespace at the end of a name becomes `=XX` of its UTF-8
bytes, which every implementation reads. Names that become equal are refused.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from bundles.format.model import paths
from bundles.format.model.errors import CannotCheckError
from bundles.format.model.signing import KeyRing
from bundles.format.reading.container import Source
from bundles.format.reading.extract import ExtractedBundle, extract_bundle, publish_folder

DECLARATION = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
TAG_MEMBERS = (paths.MANIFEST, paths.SIGNATURE)


def export_bag(
    path: Source,
    keys: KeyRing,
    into: Path,
    *,
    require: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> ExtractedBundle:
    """Verify a bundle and write it as a BagIt bag.

    Args:
        path: the bundle.
        keys: the keys to trust.
        into: the folder to create; it must not exist, its parent must.
        require: how many different trusted keys must have signed.
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
        extracted = extract_bundle(path, keys, staging / "data", require=require, progress=progress)
        _complete(staging, extracted)
        publish_folder(staging, into)
    except OSError as error:
        raise CannotCheckError("cannot_extract", f"The bag cannot be written: {error.strerror}.") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return ExtractedBundle(extracted.report, extracted.manifest, into)


def bag_path(member: str) -> str:
    """The path of a member in the bag: below `data/`, without `%` and without whitespace at its end."""
    bare = member.rstrip()
    trailing = "".join(f"={byte:02X}" for byte in member[len(bare) :].encode("utf-8"))
    return "data/" + bare.replace("%", "=") + trailing


def _complete(bag: Path, extracted: ExtractedBundle) -> None:
    """Complete a bag whose members are below `data/`."""
    manifest = extracted.manifest.manifest
    for name in TAG_MEMBERS:
        (bag / "data" / name).rename(bag / name)
    lines = []
    for entry in manifest.files:
        target = bag / bag_path(entry.path)
        if target != bag / "data" / entry.path:
            if os.path.lexists(target):
                raise CannotCheckError("cannot_extract", f"Two files would become {bag_path(entry.path)} in the bag.")
            (bag / "data" / entry.path).rename(target)
        lines.append(f"{entry.sha256}  {bag_path(entry.path)}\n")
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
    digests = {name: hashlib.sha256((bag / name).read_bytes()).hexdigest() for name in (*tags, *TAG_MEMBERS)}
    tag_lines = [f"{digest}  {name}\n" for name, digest in sorted(digests.items())]
    (bag / "tagmanifest-sha256.txt").write_text("".join(tag_lines), encoding="utf-8", newline="\n")
