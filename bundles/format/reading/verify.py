"""Verification: the reading plan of docs/bundle-format.md, step by step.

    1  container    the file is opened once; its compression is sound and bounded
    2  members      every tar member is a well-formed regular file
    3  manifest     manifest.json and manifest.sig exist, are within bounds, and are strict JSON with the right fields
    4  signature    by a trusted, unrevoked key, over exactly these bytes (1.0.0: over their canonical form)
    5  consistency  the manifest's hash, digest, counts, order and chunks match each other
    6  contents     every member is listed, every size, file and chunk matches, nothing is missing or extra
    7  end          nothing follows the end of tar and of compression except a correct seek table

The file is read twice through one descriptor: first up to manifest and signature (at the front in bundles of this
writer), then completely, against the authentic manifest. So no size, path or count is used before it is authenticated.
Only this module makes a `VerifiedBundle`:

    keys = KeyRing.load([Path("trusted")])
    bundle = verify_bundle(Path("case.tar.zst"), keys)  # raises BundleRejectedError, or CannotCheckError
    print(bundle.manifest.incident_id, bundle.sha256)
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final

from bundles.format.memory import give_back_freed_pages
from bundles.format.model import manifest as manifests
from bundles.format.model import paths
from bundles.format.model.canonical import canonical_json, strict_loads
from bundles.format.model.errors import BundleRejectedError
from bundles.format.model.fields import invalid
from bundles.format.model.hashing import FileLanes, HashLane
from bundles.format.model.limits import DEFAULT_LIMITS, MIB, Limits
from bundles.format.model.manifest import Manifest
from bundles.format.model.signature import Signature, check_signature, read_signature
from bundles.format.model.signing import KeyRing, TrustedKey
from bundles.format.reading import canonical_manifest, legacy
from bundles.format.reading.container import Source, open_bundle, tar_blocks
from bundles.format.reading.contents import ContentCheck
from bundles.format.reading.density import values_exceed
from bundles.format.reading.raw_reader import BundleFile
from bundles.format.reading.sinks import NoSink, Sink
from bundles.format.reading.tarstream import TarStream

LARGE_MANIFEST_BYTES = 8 * MIB
_VERIFICATION: Final = object()


@dataclass(frozen=True, kw_only=True)
class VerifiedManifest:
    """A manifest whose signature (unless skipped) and consistency were checked; made only by this module.

    Attributes:
        manifest: its content.
        raw: the bytes of `manifest.json`.
        signature_raw: the bytes of `manifest.sig`.
        key: the trusted key that signed it; None only if the signature was skipped.
        signature: the signature's fields; None only if the signature was skipped.
        cosigners: the other trusted keys that signed it.
    """

    manifest: Manifest
    raw: bytes
    signature_raw: bytes
    key: TrustedKey | None
    signature: Signature | None
    cosigners: tuple[TrustedKey, ...] = ()
    _made_by: object = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse construction outside this module."""
        if self._made_by is not _VERIFICATION:
            raise TypeError("only verification makes a VerifiedManifest")

    @property
    def weak_keys(self) -> tuple[TrustedKey, ...]:
        """The signers that count only because weak keys are allowed."""
        signers = (self.key, *self.cosigners) if self.key else ()
        return tuple(key for key in signers if key.weakness)


@dataclass(frozen=True, kw_only=True)
class VerifiedBundle:
    """A bundle of which every byte was checked; made only by `verify_bundle`.

    Attributes:
        verified: its manifest and signers.
        sha256: of the whole file, hex.
        size: of the whole file, in bytes.
    """

    verified: VerifiedManifest
    sha256: str
    size: int
    _made_by: object = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse construction outside this module."""
        if self._made_by is not _VERIFICATION:
            raise TypeError("only verification makes a VerifiedBundle")

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest."""
        return self.verified.manifest


def verify_bundle(
    path: Source,
    keys: KeyRing | None,
    *,
    require: int = 1,
    limits: Limits = DEFAULT_LIMITS,
    sink: Sink | None = None,
    progress: Callable[[int, int], None] | None = None,
    on_manifest: Callable[[VerifiedManifest], None] | None = None,
    on_raw: Callable[[memoryview], None] | None = None,
) -> VerifiedBundle:
    """Verify a whole bundle.

    Args:
        path: the file, which must not be a symbolic link, or one that is already open.
        keys: the keys to trust. None skips step 4 (the signature) only; all hashes are still checked.
        require: how many different trusted keys must have signed.
        limits: bounds on what is read.
        sink: receives each member's bytes as they are read.
        progress: called with payload bytes checked and in all.
        on_manifest: called after steps 1 to 5, before the payload is read.
        on_raw: called with the file's raw bytes, in order, each once.

    Raises:
        BundleRejectedError: it is not verified; `step` is the step that failed.
        CannotCheckError: it could not be checked.
    """
    with open_bundle(path) as file, HashLane() as whole, FileLanes() as lanes:
        verified = authenticate(file, keys, require=require, limits=limits)
        if on_manifest is not None:
            on_manifest(verified)
        signed = {paths.MANIFEST: verified.raw, paths.SIGNATURE: verified.signature_raw}
        check = ContentCheck(verified.manifest, signed, sink or NoSink(), progress, lanes)

        def raw(block: memoryview) -> None:
            whole.update(block)
            if on_raw is not None:
                on_raw(block)

        check.run(TarStream(tar_blocks(file, limits, on_raw=raw), limits))
        return VerifiedBundle(verified=verified, sha256=whole.finish(), size=file.size, _made_by=_VERIFICATION)


def read_manifest(
    path: Source, keys: KeyRing | None, *, require: int = 1, limits: Limits = DEFAULT_LIMITS
) -> VerifiedManifest:
    """Steps 1 to 5 only: an authentic manifest; the payload is not checked.

    Raises:
        BundleRejectedError: the manifest is not authentic.
        CannotCheckError: it could not be checked.
    """
    with open_bundle(path) as file:
        return authenticate(file, keys, require=require, limits=limits)


def authenticate(file: BundleFile, keys: KeyRing | None, *, require: int, limits: Limits) -> VerifiedManifest:
    """`read_manifest` of an open file."""
    return _authenticate(*_signed_members(file, limits), keys, require, limits)


def _signed_members(file: BundleFile, limits: Limits) -> tuple[bytes, bytes]:
    """Steps 1 to 3: find manifest.json and manifest.sig anywhere in the file, and read no further."""
    found: dict[str, bytes] = {}
    caps = {
        paths.MANIFEST: (
            limits.manifest_bytes,
            BundleRejectedError("manifest_too_large", "manifest.json is too large."),
        ),
        paths.SIGNATURE: (
            limits.signature_bytes,
            BundleRejectedError("signature_too_large", "manifest.sig is too large."),
        ),
    }
    with closing(tar_blocks(file, limits)) as blocks:  # frees what was read ahead before the manifest is parsed
        stream = TarStream(blocks, limits)
        for _ in range(limits.files + len(caps)):
            member = stream.next_member()
            if member is None:
                break
            if member.path in found:
                raise BundleRejectedError("duplicate_member", f"{member.path} is in the bundle twice.")
            if member.path in caps:
                found[member.path] = stream.read_all(*caps[member.path])
                if len(found) == len(caps):
                    return found[paths.MANIFEST], found[paths.SIGNATURE]
            else:
                for _piece in stream.data():
                    pass  # payload before the manifest; checked in the second pass
    if paths.MANIFEST not in found:
        raise BundleRejectedError("manifest_missing", "The bundle has no manifest.json.")
    raise BundleRejectedError("signature_missing", "The bundle has no manifest.sig: it is not signed.")


def _authenticate(
    raw: bytes, signature_raw: bytes, keys: KeyRing | None, require: int, limits: Limits
) -> VerifiedManifest:
    """Steps 3 to 5: strict JSON, signature, consistency. The fields are used only after the signature is checked."""
    if len(raw) > LARGE_MANIFEST_BYTES:
        give_back_freed_pages()
    fault: BundleRejectedError | None = None
    try:
        found = canonical_manifest.read(raw, limits)
    except BundleRejectedError as error:
        found, fault = None, error
    if found is None and fault is None:
        manifest, signature, signers = _in_one_piece(raw, signature_raw, keys, require, limits)
    else:
        signature, signers = _signers(signature_raw, raw, keys, require)
        if found is None:
            raise fault or AssertionError("either found or fault is set")
        manifest = manifests.read(found.fields, limits, found.files, found.missing)
        manifests.check_consistency(manifest, found.fields, found.own_hash)
    if signature is not None and signature.manifest_hash != manifest.manifest_hash:
        raise BundleRejectedError("manifest_hash_mismatch", "The signature is for another manifest hash.")
    return VerifiedManifest(
        manifest=manifest,
        raw=raw,
        signature_raw=signature_raw,
        key=signers[0] if signers else None,
        signature=signature,
        cosigners=signers[1:],
        _made_by=_VERIFICATION,
    )


def _in_one_piece(
    raw: bytes, signature_raw: bytes, keys: KeyRing | None, require: int, limits: Limits
) -> tuple[Manifest, Signature | None, tuple[TrustedKey, ...]]:
    """Steps 3 to 5 for a manifest that is older or not canonical, parsed in one piece."""
    if len(raw) > (limits.whole_manifest_bytes if raw.isascii() else limits.whole_manifest_bytes // 2):
        raise BundleRejectedError("manifest_too_large", "manifest.json is too large for one that is not canonical.")
    if values_exceed(raw, limits.manifest_values):
        raise invalid("it has more values than allowed")
    try:
        fields: Any = strict_loads(raw, floats=False)
    except ValueError as error:
        raise invalid(f"it is not strict JSON ({error})"[:200]) from error
    if not isinstance(fields, dict):
        raise invalid("it is not an object")
    version = fields.get("version")
    if version not in (manifests.VERSION, legacy.VERSION):
        raise BundleRejectedError("version_unsupported", "The bundle's version is neither 1.1.0 nor 1.0.0.")
    try:
        canonical = canonical_json(fields)
    except (ValueError, RecursionError) as error:
        raise invalid("it cannot be written canonically") from error
    signature, signers = _signers(signature_raw, canonical if version == legacy.VERSION else raw, keys, require)
    if version == manifests.VERSION and raw != canonical:
        raise BundleRejectedError("manifest_not_canonical", "manifest.json is not in canonical form.")
    del canonical
    if version == manifests.VERSION:
        manifest = manifests.read(fields, limits)
        manifests.check_consistency(manifest, fields)
    else:
        manifest = legacy.read(fields, limits)
        legacy.check_consistency(manifest, fields)
    return manifest, signature, signers


def _signers(
    signature_raw: bytes, message: bytes, keys: KeyRing | None, require: int
) -> tuple[Signature | None, tuple[TrustedKey, ...]]:
    """Step 4: the signature and its signers; empty if the signature is skipped."""
    if keys is None:
        return None, ()
    signature = read_signature(signature_raw)
    return signature, check_signature(signature, message, keys, require=require)
