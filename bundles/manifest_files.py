"""The file lists of registered bundles, from their stored signed manifests; and two of them compared.

A list never changes, so the last few are cached. Bundle files are not read here; whether a file still matches its
manifest is found by verifying it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from bundles.errors import BundleNotFoundError
from bundles.models import Bundle, Manifest

ONLY_A, ONLY_B, DIFFERS, EQUAL = "only-a", "only-b", "differs", "equal"
PAIRS = (ONLY_A, ONLY_B, DIFFERS, EQUAL)


@dataclass(frozen=True, slots=True)
class Pair:
    """One path in two bundles; None where a bundle has no such file."""

    path: str
    a: dict[str, Any] | None
    b: dict[str, Any] | None


@dataclass(frozen=True)
class Comparison:
    """Two bundles compared file by file; each list is sorted by path."""

    only_a: tuple[Pair, ...]
    only_b: tuple[Pair, ...]
    differs: tuple[Pair, ...]
    equal: tuple[Pair, ...]

    @property
    def same(self) -> bool:
        """Whether both list the same files with the same digests."""
        return not (self.only_a or self.only_b or self.differs)

    def of(self, kind: str) -> tuple[Pair, ...]:
        """The pairs of one kind."""
        found: tuple[Pair, ...] = getattr(self, kind.replace("-", "_"))
        return found


@lru_cache(maxsize=4)
def files_of(bundle_id: UUID) -> tuple[dict[str, Any], ...]:
    """A bundle's file list.

    Raises:
        BundleNotFoundError: no manifest of it is stored.
    """
    manifest = Manifest.objects.filter(bundle_id=bundle_id).first()
    if manifest is None:
        raise BundleNotFoundError("The manifest of this bundle is not stored here.")
    return tuple(json.loads(bytes(manifest.raw))["files"])


def paths_of(bundle: Bundle) -> list[str]:
    """The paths of all files that a bundle's manifest lists."""
    return [str(entry["path"]) for entry in files_of(bundle.bundle_id)]


def file_at(bundle: Bundle, place: int) -> dict[str, Any] | None:
    """The entry at a place of a bundle's file list, from 0; None past its end."""
    files = files_of(bundle.bundle_id)
    return files[place] if place < len(files) else None


def artifacts_of(bundle: Bundle, *, offset: int, limit: int) -> tuple[list[dict[str, Any]], int]:
    """Part of a bundle's artifacts, each with a `name` (the last part of its path), and their total number."""
    found = [entry for entry in files_of(bundle.bundle_id) if entry["path"].startswith("artifacts/")]
    listed = [{**entry, "name": entry["path"].rsplit("/", 1)[-1]} for entry in found[offset : offset + limit]]
    return listed, len(found)


@lru_cache(maxsize=4)
def compare(a: UUID, b: UUID) -> Comparison:
    """Compare two bundles by path and SHA-256.

    Raises:
        BundleNotFoundError: the manifest of one is not stored.
    """
    left, right = ({entry["path"]: entry for entry in files_of(one)} for one in (a, b))
    pairs: dict[str, list[Pair]] = {kind: [] for kind in PAIRS}
    for path in sorted(left.keys() | right.keys()):
        pair = Pair(path, left.get(path), right.get(path))
        pairs[_kind(pair)].append(pair)
    return Comparison(*(tuple(pairs[kind]) for kind in PAIRS))


def _kind(pair: Pair) -> str:
    if pair.a is None or pair.b is None:
        return ONLY_B if pair.a is None else ONLY_A
    a, b = ((entry["sha256"], entry["size"]) for entry in (pair.a, pair.b))
    return EQUAL if a == b else DIFFERS
