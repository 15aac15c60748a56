"""Which bundle of ours a file elsewhere is a copy of, told from digests of its ranges, without the file coming here.

The digests are those of the file that was registered: they were taken when it was made, or by a verification that found
the stored file sound and its SHA-256 the registered one. They say nothing of what the disk holds by now.
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
MOST_DIGEST_BYTES = 4 * MIB  # in one answer: of bundles of a TiB it tells of two


@dataclass(frozen=True)
class Held:
    """What we hold that has a file's size.

    Attributes:
        range_bytes: how large the ranges are that such a file is compared by.
        bundles: the newest that can be compared.
        more: there are others that can be; ask by `root`.
        without: bundles of this size whose ranges have not been hashed yet: verifying one does it.
    """

    range_bytes: int
    bundles: list[Bundle]
    more: bool
    without: list[Bundle]


def keep(bundle: Bundle, ranges: str) -> None:
    """Store the digests (hex) of a bundle's ranges, in the caller's transaction."""
    digests = bytes.fromhex(ranges)
    root = hashlib.sha256(digests).hexdigest()
    RangeDigests.objects.update_or_create(bundle=bundle, defaults={"digests": digests, "root": root})


def of_size(principal: Principal, size: int, root: str = "") -> Held:
    """The bundles whose file is as large as a file elsewhere.

    Args:
        principal: needs `bundles.view_bundle`.
        size: of the file, in bytes.
        root: SHA-256 (hex) of its ranges' digests; given, only bundles with the same are found.

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
    return Held(range_bytes(size), found[:most], len(found) > most, without)


def as_dict(bundle: Bundle) -> dict[str, Any]:
    """What a browser needs to compare a file with a bundle, and to say what a match proves."""
    return {
        "incident_id": bundle.incident_id,
        "name": bundle.name,
        "sha256": bundle.sha256,
        "digests": base64.b64encode(bytes(bundle.range_digests.digests)).decode("ascii"),
        "standing": standing(bundle),
        "sound": bundle.verified_ok is True and bundle.state == Bundle.State.READY,
        "missing": [f"{gap.get('source') or gap.get('path')}: {gap.get('reason', '')}" for gap in bundle.missing],
    }


def standing(bundle: Bundle) -> str:
    """What is known of our own copy: what the last verification found, when, and by which key; or that none ran."""
    if bundle.verified_at is None:
        return "This server has not verified that bundle yet: it was signed when it was made, no check has run since."
    when = bundle.verified_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if bundle.state == Bundle.State.LOST:
        return f"Our own copy is lost, as a check at {when} found. This may be the only copy left: keep it."
    if not bundle.verified_ok:
        return f"Our own copy failed its last check, at {when}. This file is as ours was when it was made: keep it."
    named = f" ({bundle.signer})" if bundle.signer else ""
    return f"This server last verified that bundle at {when}, signed by the key {bundle.key_id}{named}."
