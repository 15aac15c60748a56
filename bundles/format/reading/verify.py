"""Verification: the reading plan of docs/bundle-format.md, step by step.

    1  container    the file is opened once, its compression sound and bounded
    2  members      every tar member is a plain, well-formed file
    3  manifest     manifest.json and manifest.sig are there, bounded, strict JSON of the right shape
    4  signature    by a trusted, unrevoked key, over exactly these bytes (1.0.0: over their canonical form)
    5  consistency  the manifest's hash, digest, counts, order and chunks agree
    6  contents     every member listed, every size, file and chunk as signed, nothing missing, nothing extra
    7  end          end of tar, end of compression, nothing behind but a true seek table

The file is read twice through one descriptor: first only up to manifest and signature (at its front in what this
writer makes), then whole, by a manifest that is already authentic. So no size, path or count is used before someone
trusted has signed it. A `VerifiedBundle` comes from here and nowhere else.
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
    """A manifest whose signature (unless that was waived) and consistency have been checked; made only here.

    Attributes:
        manifest: what it says.
        raw: the bytes of `manifest.json`.
        signature_raw: the bytes of `manifest.sig`.
        key: the trusted key that signed it; None only where the signature was waived.
        signature: the signature's fields; None only where it was waived.
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
        """Refuse to exist without verification."""
        if self._made_by is not _VERIFICATION:
            raise TypeError("only verification makes a VerifiedManifest")

    @property
    def weak_keys(self) -> tuple[TrustedKey, ...]:
        """Those of its signers that count only because weak keys were allowed."""
        signers = (self.key, *self.cosigners) if self.key else ()
        return tuple(key for key in signers if key.weakness)


@dataclass(frozen=True, kw_only=True)
class VerifiedBundle:
    """A bundle of which every byte has been checked; made only by `verify_bundle`.

    Attributes:
        verified: its manifest, and who signed it.
        sha256: of the whole file, hex.
        size: of the whole file, in bytes.
    """

    verified: VerifiedManifest
    sha256: str
    size: int
    _made_by: object = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse to exist without verification."""
        if self._made_by is not _VERIFICATION:
            raise TypeError("only verification makes a VerifiedBundle")

    @property
    def manifest(self) -> Manifest:
        """What the bundle says of itself."""
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
    """Verify a bundle, whole.

    Args:
        path: the file; a symbolic link is refused. Or one that is open already.
        keys: the keys to trust. None waives the signature (step 4) and nothing else; hashes are checked all the same.
        require: how many different trusted keys must have signed.
        limits: bounds on what is read.
        sink: is given each member's bytes as they are read.
        progress: called with payload bytes checked and in all.
        on_manifest: called once steps 1 to 5 have passed, before the payload is read.
        on_raw: called with the file's own bytes, in order, each once; with all of them when this returns.

    Raises:
        BundleRejectedError: it is not verified; the code tells which step failed.
        CannotCheckError: nothing could be decided.
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
    """Steps 1 to 5 alone: an authentic manifest, while the payload has not been looked at.

    Raises:
        BundleRejectedError: the manifest is not authentic.
        CannotCheckError: nothing could be decided.
    """
    with open_bundle(path) as file:
        return authenticate(file, keys, require=require, limits=limits)


def authenticate(file: BundleFile, keys: KeyRing | None, *, require: int, limits: Limits) -> VerifiedManifest:
    """`read_manifest` of a file that is open already."""
    return _authenticate(*_signed_members(file, limits), keys, require, limits)


def _signed_members(file: BundleFile, limits: Limits) -> tuple[bytes, bytes]:
    """Steps 1 to 3: find manifest.json and manifest.sig, wherever they stand, and read no further."""
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
    with closing(tar_blocks(file, limits)) as blocks:  # what was read ahead is not held while the manifest is parsed
        stream = TarStream(blocks, limits)
        for _ in range(limits.files + len(caps)):
            member = stream.next_member()
            if member is None:
                break
            if member.path in found:
                raise BundleRejectedError("duplicate_member", f"{member.path} stands in the bundle twice.")
            if member.path in caps:
                found[member.path] = stream.read_all(*caps[member.path])
                if len(found) == len(caps):
                    return found[paths.MANIFEST], found[paths.SIGNATURE]
            else:
                for _piece in stream.data():
                    pass  # payload in front of the manifest; read again, and checked, once the manifest is known
    if paths.MANIFEST not in found:
        raise BundleRejectedError("manifest_missing", "The bundle has no manifest.json.")
    raise BundleRejectedError("signature_missing", "The bundle has no manifest.sig: it is not signed.")


def _authenticate(
    raw: bytes, signature_raw: bytes, keys: KeyRing | None, require: int, limits: Limits
) -> VerifiedManifest:
    """Steps 3 to 5: strict JSON, signature, consistency; in this order, so that nobody unknown is listened to."""
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
            raise fault or AssertionError("one of the two is there")
        manifest = manifests.read(found.fields, limits, found.files, found.missing)
        manifests.check_consistency(manifest, found.fields, found.own_hash)
    if signature is not None and signature.manifest_hash != manifest.manifest_hash:
        raise BundleRejectedError("manifest_hash_mismatch", "The signature names another manifest's hash.")
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
    """The same for an older manifest, and for one that is not canonical, to tell what is wrong with it."""
    if len(raw) > (limits.whole_manifest_bytes if raw.isascii() else limits.whole_manifest_bytes // 2):
        raise BundleRejectedError("manifest_too_large", "manifest.json is too large for one that is not canonical.")
    if values_exceed(raw, limits.manifest_values):
        raise invalid("it has far more values than a manifest needs")
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
    """Step 4: the signature, and who signed; neither where the signature is waived."""
    if keys is None:
        return None, ()
    signature = read_signature(signature_raw)
    return signature, check_signature(signature, message, keys, require=require)
