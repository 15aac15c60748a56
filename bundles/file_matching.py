"""Finds the stored bundle that a file elsewhere is a copy of, by digests of its ranges, without an upload.

The digests are those of the registered file. They were computed when it was made, or by a verification in which the
stored file had the registered SHA-256. They say nothing about the stored file's present state.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from bundles.format.model.limits import MIB
from bundles.format.reading.ranges import range_bytes
from bundles.models import Bundle, RangeDigests
from foundation.principal import Principal

MOST_COMPARED = 16
MOST_DIGEST_BYTES = 4 * MIB  # in one response: enough for two bundles of 1 TiB


@dataclass(frozen=True)
class SameSize:
    """The stored bundles that have a file's size.

    Attributes:
        range_bytes: size of the ranges by which such a file is compared.
        bundles: the newest that can be compared.
        more: whether there are others; request them by `root`.
        without: bundles of this size whose ranges are not hashed yet; verifying one hashes them.
    """

    range_bytes: int
    bundles: list[Bundle]
    more: bool
    without: list[Bundle]


def store_digests(bundle: Bundle, ranges: str) -> None:
    """Store the digests (hex) of a bundle's ranges, in the caller's transaction."""
    digests = bytes.fromhex(ranges)
    root = hashlib.sha256(digests).hexdigest()
    RangeDigests.objects.update_or_create(bundle=bundle, defaults={"digests": digests, "root": root})


def bundles_of_size(principal: Principal, size: int, root: str = "") -> SameSize:
    """The stored bundles that have a file's size.

    Args:
        principal: needs `bundles.view_bundle`.
        size: of the file, in bytes.
        root: SHA-256 (hex) of its ranges' digests; if given, only bundles with the same root are found.

    Raises:
        AccessDeniedError: the principal may not see bundles.
    """
    principal.require("bundles.view_bundle")
    table_bytes = 32 * (size // range_bytes(size) + 1)
    most = max(1, min(MOST_COMPARED, MOST_DIGEST_BYTES // table_bytes))
    same = Bundle.objects.filter(size=size)
    hashed = same.filter(range_digests__isnull=False).select_related("range_digests")
    if root:
        hashed = hashed.filter(range_digests__root=root)
    found = list(hashed.order_by("-created_at", "-bundle_id")[: most + 1])
    without = list(same.filter(range_digests__isnull=True).order_by("-created_at")[:MOST_COMPARED])
    return SameSize(range_bytes(size), found[:most], len(found) > most, without)


def as_dict(bundle: Bundle) -> dict[str, Any]:
    """The data with which a browser compares a file with a bundle and explains a match."""
    return {
        "incident_id": bundle.incident_id,
        "name": bundle.name,
        "sha256": bundle.sha256,
        "digests": base64.b64encode(bytes(bundle.range_digests.digests)).decode("ascii"),
        "standing": copy_status(bundle),
        "sound": bundle.verified_ok is True and bundle.state == Bundle.State.READY,
        "missing": [f"{gap.get('source') or gap.get('path')}: {gap.get('reason', '')}" for gap in bundle.missing],
    }


def copy_status(bundle: Bundle) -> str:
    """The state of the stored copy in words: the result, time and key of the last verification."""
    if bundle.verified_at is None:
        return "This server has not verified that bundle since it was made and signed."
    when = bundle.verified_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if bundle.state == Bundle.State.LOST:
        return f"Our own copy is lost, as a check at {when} found. This may be the only copy left: keep it."
    if not bundle.verified_ok:
        return f"Our own copy failed its last check, at {when}. This file equals ours as it was made: keep it."
    named = f" ({bundle.signer})" if bundle.signer else ""
    return f"This server last verified that bundle at {when}, signed by the key {bundle.key_id}{named}."
