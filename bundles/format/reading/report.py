"""The verification report: one shape for the command line, the API and the pages."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundles.format.model.errors import STEPS, BundleRejectedError
from bundles.format.model.limits import DEFAULT_LIMITS, Limits
from bundles.format.model.signing import KeyRing
from bundles.format.reading.container import Source
from bundles.format.reading.sinks import Sink
from bundles.format.reading.verify import VerifiedBundle, VerifiedManifest, verify_bundle

PASSED_WITH_MANIFEST = ("manifest", "signature", "consistency")


@dataclass(frozen=True, kw_only=True)
class VerificationReport:
    """The result of a verification.

    Attributes:
        bundle: the file's name.
        verified: every step passed.
        manifest: the manifest; None unless it is authentic.
        sha256: of the whole file (hex); None unless it was read to the end.
        size: of the file in bytes.
        checks: each step's id, and whether it passed; None for a step that was not completed.
        error: code and detail of the failed step.
        seconds: duration.
    """

    bundle: str
    verified: bool
    manifest: VerifiedManifest | None
    sha256: str | None
    size: int | None
    checks: tuple[tuple[str, bool | None], ...]
    error: BundleRejectedError | None
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON values. Fields from the manifest are null unless it is authentic."""
        trusted, manifest = self.manifest, self.manifest.manifest if self.manifest else None
        key = trusted.key if trusted else None
        return {
            "verified": self.verified,
            "bundle": self.bundle,
            "sha256": self.sha256,
            "size": self.size,
            "incident_id": manifest.incident_id if manifest else None,
            "created_at": manifest.created_at if manifest else None,
            "key_id": key.key_id if key else None,
            "signer": key.name if key else None,
            "complete": manifest.complete if manifest else None,
            "missing": [dict(gap) for gap in manifest.missing] if manifest else None,
            "files": len(manifest.files) if manifest else None,
            "bytes": manifest.total_size if manifest else None,
            "content_digest": manifest.content_digest if manifest else None,
            "manifest_hash": manifest.manifest_hash if manifest else None,
            "checks": [{"name": name, "ok": passed} for name, passed in self.checks],
            "error": {"code": self.error.code, "detail": self.error.detail} if self.error else None,
            "seconds": round(self.seconds, 3),
            **(weak_keys(trusted) if trusted else {}),
        }


def weak_keys(manifest: VerifiedManifest) -> dict[str, list[dict[str, str]]]:
    """The field `weak_keys` of a report: signers that count only because weak keys are allowed; absent if none do."""
    found = [{"key_id": key.key_id, "weakness": key.weakness} for key in manifest.weak_keys]
    return {"weak_keys": found} if found else {}


def check_bundle(
    path: Source,
    keys: KeyRing | None,
    *,
    require: int = 1,
    limits: Limits = DEFAULT_LIMITS,
    sink: Sink | None = None,
    progress: Callable[[int, int], None] | None = None,
    on_raw: Callable[[memoryview], None] | None = None,
) -> VerificationReport:
    """Verify a bundle and report the result, also if it is rejected.

    Args:
        path: the file.
        keys: the keys to trust; None skips the signature, which the report then shows as not checked.
        require: how many different trusted keys must have signed.
        limits: bounds on what is read.
        sink: see `verify_bundle`.
        progress: see `verify_bundle`.
        on_raw: see `verify_bundle`.

    Raises:
        CannotCheckError: the bundle could not be checked.
    """
    started = time.monotonic()
    authentic: list[VerifiedManifest] = []
    bundle: VerifiedBundle | None = None
    rejection: BundleRejectedError | None = None
    try:
        bundle = verify_bundle(
            path,
            keys,
            require=require,
            limits=limits,
            sink=sink,
            progress=progress,
            on_manifest=authentic.append,
            on_raw=on_raw,
        )
    except BundleRejectedError as error:
        rejection = error
    return VerificationReport(
        bundle=path.name,
        verified=bundle is not None and keys is not None,
        manifest=authentic[0] if authentic else None,
        sha256=bundle.sha256 if bundle else None,
        size=bundle.size if bundle else _size(path),
        checks=tuple(_checks(rejection, authentic=bool(authentic), signed=keys is not None)),
        error=rejection,
        seconds=time.monotonic() - started,
    )


def _checks(rejection: BundleRejectedError | None, *, authentic: bool, signed: bool) -> list[tuple[str, bool | None]]:
    checks: list[tuple[str, bool | None]] = []
    for name in STEPS:
        passed: bool | None = None
        if rejection is None or (authentic and name in PASSED_WITH_MANIFEST):
            passed = True
        if name == "signature" and not signed:
            passed = None
        if rejection is not None and rejection.step == name:
            passed = False
        checks.append((name, passed))
    return checks


def _size(path: Source) -> int | None:
    try:
        return path.lstat().st_size if isinstance(path, Path) else os.fstat(path.descriptor).st_size
    except OSError:
        return None
