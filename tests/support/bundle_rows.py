"""Bundles with contents: rows alone, or with a real file on the disk, for pages that list or open what is inside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from io import BytesIO
from typing import Any

from django.conf import settings

from bundles.artifacts import index
from bundles.format.model import paths
from bundles.format.model.signing import SigningKey
from bundles.format.writing.payload import Payload
from bundles.format.writing.writer import write_bundle
from bundles.models import Bundle, BundledArtifact, Manifest
from bundles.storage import store_identity
from tests.support import console_rows as rows

Files = list[dict[str, Any]]


def contents(of: Bundle, files: Files, **about: Any) -> Bundle:
    """Give a bundle the files that its manifest lists, and their rows.

    Args:
        of: the bundle.
        files: the entries of the manifest.
        about: fields of the artifacts' rows, or functions of an artifact's number that give them.
    """
    Manifest.objects.create(bundle=of, raw=json.dumps({"files": files}).encode())
    BundledArtifact.objects.bulk_create(
        BundledArtifact(
            bundle=of, place=place, artifact_id=artifact_id, name=entry["path"].split("/", 2)[2], size=entry["size"],
            sha256=entry["sha256"], **{key: given(place) if callable(given) else given for key, given in about.items()},
        )
        for place, entry in enumerate(files)
        if (artifact_id := entry["path"].split("/")[1] if "/" in entry["path"] else "")
    )  # fmt: skip
    return of


def entries(*member_paths: str) -> Files:
    """Manifest entries of files at these paths."""
    return [{"path": path, "size": 10 + at, "sha256": rows.sha(path)} for at, path in enumerate(member_paths)]


def stored(files: Mapping[str, bytes], records: list[dict[str, Any]] | None = None, **fields: Any) -> Bundle:
    """A bundle with its file in OUTPUT_DIR, as a finished job leaves it.

    Args:
        files: the name of each artifact → its bytes; the artifact's id is `a-` and its number.
        records: of `artifacts.json`.
        fields: of the bundle's row.
    """
    members = dict.fromkeys(paths.DATA_MEMBERS, b"[]") | {
        paths.artifact_path(f"a-{at}", name): content for at, (name, content) in enumerate(files.items())
    }
    members[paths.TIMELINE] = b'{"events":[]}'
    members[paths.ARTIFACTS] = json.dumps(records or []).encode()
    store_identity.require(store_identity.BUNDLES)
    made = rows.bundle(**fields)
    written = write_bundle(
        settings.OUTPUT_DIR / made.name,
        incident_id=made.incident_id,
        payloads=[Payload(path=path, size=len(raw), open=partial(BytesIO, raw)) for path, raw in members.items()],
        key=SigningKey.load(settings.ORCH_SIGN_KEY_PATH),
    )
    manifest = written.manifest
    Bundle.objects.filter(pk=made.pk).update(
        size=written.size, sha256=written.sha256, key_id=written.key_id, content_digest=manifest.content_digest,
        manifest_hash=manifest.manifest_hash, files=len(manifest.files), total_bytes=manifest.total_size,
    )  # fmt: skip
    Manifest.objects.create(bundle=made, raw=written.manifest_bytes)
    said = {str(record["artifact_id"]): index.description_of(record) for record in records or []}
    index.add(made.bundle_id, manifest.files, said)
    made.refresh_from_db()
    return made


def place_of(made: Bundle, artifact_id: str) -> int:
    """The place of an artifact's file in the manifest."""
    return BundledArtifact.objects.get(bundle=made, artifact_id=artifact_id).place
