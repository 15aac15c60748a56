"""The bundle format on its own: no Django, no database, no other package of this project.

The names below are the library's public interface. `python -m bundles.format` offers the same on the command line.
docs/bundle-format.md is the specification.
"""

from bundles.format.model.errors import (
    CODES,
    STEPS,
    BundleRejectedError,
    CannotCheckError,
    CannotWriteError,
    FormatError,
    PayloadError,
)
from bundles.format.model.limits import DEFAULT_LIMITS, Limits
from bundles.format.model.manifest import Chunk, FileEntry, Manifest
from bundles.format.model.signing import KeyRing, SigningKey, TrustedKey, generate_key
from bundles.format.reading.extract import ExtractedBundle, extract_bundle
from bundles.format.reading.report import VerificationReport, check_bundle
from bundles.format.reading.single import MatchedFile, extract_file, match_file
from bundles.format.reading.verify import VerifiedBundle, VerifiedManifest, read_manifest, verify_bundle
from bundles.format.writing.bagit import export_bag
from bundles.format.writing.cosign import CosignedBundle, cosign_bundle
from bundles.format.writing.payload import Payload
from bundles.format.writing.writer import WrittenBundle, write_bundle

__all__ = [
    "CODES",
    "DEFAULT_LIMITS",
    "STEPS",
    "BundleRejectedError",
    "CannotCheckError",
    "CannotWriteError",
    "Chunk",
    "CosignedBundle",
    "ExtractedBundle",
    "FileEntry",
    "FormatError",
    "KeyRing",
    "Limits",
    "Manifest",
    "MatchedFile",
    "Payload",
    "PayloadError",
    "SigningKey",
    "TrustedKey",
    "VerificationReport",
    "VerifiedBundle",
    "VerifiedManifest",
    "WrittenBundle",
    "check_bundle",
    "cosign_bundle",
    "export_bag",
    "extract_bundle",
    "extract_file",
    "generate_key",
    "match_file",
    "read_manifest",
    "verify_bundle",
    "write_bundle",
]
