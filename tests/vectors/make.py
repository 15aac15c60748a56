"""`python -m tests.vectors.make` writes the vectors: bundles, public keys, and vectors.json with what is expected.

Every run gives the same bytes with the same compressors; others may pack the same tar stream in other bytes. The files
that are stored are the truth.
"""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path
from typing import Any

import zstandard

from fuzz.corpus import canonical, sha256
from tests.vectors import bad_contents, bad_file, bad_manifest, bad_members, bad_signature, good
from tests.vectors.parts import PUBLISHED, REGISTER, Vector

HERE = Path(__file__).resolve().parent
GZIP_MAGIC = b"\x1f\x8b"
MODULES = (good, bad_file, bad_members, bad_manifest, bad_signature, bad_contents)  # each has put its own in REGISTER
PACKED_WITH = {"tar.zst": (1, 5, 7), "tar.gz": "1.2.13"}  # the versions of zstd and of zlib


def main() -> None:
    """Replace what is stored."""
    for old in HERE.glob("*.tar.*"):
        old.unlink()
    write(HERE)


def write(into: Path) -> None:
    """Write everything below `into`."""
    for name, key in PUBLISHED.items():
        path = into / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(key.public_pem)
    steps = steps_of_the_document()
    listed = []
    for vector in REGISTER.values():
        bundle, fields = vector.make()
        name = vector.name + (".tar.gz" if bundle.startswith(GZIP_MAGIC) else ".tar.zst")
        (into / name).write_bytes(bundle)
        listed.append(entry(vector, name, bundle, steps) | (said(fields) if vector.code is None else {}))
    text = json.dumps(listed, indent=2, ensure_ascii=False)
    (into / "vectors.json").write_text(text + "\n", encoding="utf-8")


def packs_alike(suffix: str) -> bool:
    """Whether this machine's compressor is the one that made the stored files with that suffix."""
    here = {"tar.zst": zstandard.ZSTD_VERSION, "tar.gz": zlib.ZLIB_RUNTIME_VERSION}
    return here[suffix] == PACKED_WITH[suffix]


def entry(vector: Vector, name: str, bundle: bytes, steps: dict[str, str]) -> dict[str, Any]:
    """What vectors.json says of any vector."""
    return {
        "file": name,
        "verdict": "refused" if vector.code else "verified",
        "code": vector.code,
        "step": steps[vector.code] if vector.code else None,
        "keys": list(vector.keys),
        "require": vector.require,
        "allow_weak_keys": vector.weak,
        "why": vector.why,
        "sha256": sha256(bundle),
    }


def said(fields: dict[str, Any]) -> dict[str, Any]:
    """What it says besides of one that is verified."""
    rows = sorted([one["path"], one["size"], one["sha256"]] for one in fields["files"])
    return {
        "incident_id": fields["incident_id"],
        "content_digest": sha256(canonical(rows)),
        "files": len(rows),
        "bytes": sum(size for _, size, _ in rows),
        "complete": fields.get("complete", True),
    }


def steps_of_the_document() -> dict[str, str]:
    """Code → step, as docs/bundle-format.md lists them."""
    document = (HERE.parent.parent / "docs" / "bundle-format.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", document, re.MULTILINE))


if __name__ == "__main__":
    main()
