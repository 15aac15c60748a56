"""The errors of a bundle: every code, the verification step that finds it, and the exception types.

`CODES` is the only list of codes. docs/bundle-format.md explains each; a test compares the two.
"""

from __future__ import annotations

# The verification steps, in order: id → the sentence that reports show.
STEPS = {
    "container": "Archive decompresses safely",
    "members": "No unsafe or duplicate entries",
    "manifest": "Manifest and signature are well formed",
    "signature": "Signed by a trusted key",
    "consistency": "Manifest is consistent",
    "contents": "Every file matches its signed size and SHA-256",
    "end": "No data after the end",
}

# code → the step that finds it
CODES = {
    "not_a_regular_file": "container",
    "not_a_bundle": "container",
    "window_too_large": "container",
    "ratio_exceeded": "container",
    "size_exceeded": "container",
    "corrupt_compression": "container",
    "reserved_bits": "container",
    "truncated": "container",
    "tar_header_invalid": "members",
    "tar_member_forbidden": "members",
    "tar_padding_invalid": "members",
    "duplicate_member": "members",
    "path_invalid": "members",
    "manifest_missing": "manifest",
    "signature_missing": "manifest",
    "manifest_too_large": "manifest",
    "signature_too_large": "manifest",
    "manifest_invalid": "manifest",
    "signature_malformed": "manifest",
    "version_unsupported": "manifest",
    "signer_unknown": "signature",
    "signer_revoked": "signature",
    "signer_weak": "signature",
    "signature_invalid": "signature",
    "signatures_insufficient": "signature",
    "manifest_not_canonical": "signature",
    "manifest_hash_mismatch": "consistency",
    "content_digest_mismatch": "consistency",
    "manifest_inconsistent": "consistency",
    "member_unlisted": "contents",
    "size_mismatch": "contents",
    "file_hash_mismatch": "contents",
    "chunk_hash_mismatch": "contents",
    "member_missing": "contents",
    "incident_mismatch": "contents",
    "tar_end_missing": "end",
    "tar_trailing_data": "end",
    "trailing_data": "end",
    "seek_table_invalid": "end",
    "skippable_not_zero": "end",
}


class FormatError(Exception):
    """Base of the format's errors.

    Attributes:
        code: stable and documented.
        detail: one sentence for a person.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class BundleRejectedError(FormatError):
    """The file is not a bundle that can be trusted; `code` is one of `CODES`."""

    def __init__(self, code: str, detail: str) -> None:
        if code not in CODES:
            raise KeyError(code)
        super().__init__(code, detail)

    @property
    def step(self) -> str:
        """The verification step that failed, one of `STEPS`."""
        return CODES[self.code]


class CannotCheckError(FormatError):
    """The bundle could not be checked: a key or a file cannot be read, or a library is missing."""


class CannotWriteError(FormatError):
    """The bundle was not made: an input is wrong or changed while it was read, or writing failed."""


class PayloadError(CannotWriteError):
    """A payload does not match its record; `path` is its member path."""

    def __init__(self, code: str, detail: str, path: str) -> None:
        super().__init__(code, detail)
        self.path = path


class RecordError(FormatError):
    """A record is not JSON that a bundle can contain; `code` is `record_invalid`.

    Attributes:
        position: which record of its file, from 1; None if that is not known.
        offset: the byte of the file where that record begins; None if that is not known.
    """

    def __init__(self, detail: str, *, position: int | None = None, offset: int | None = None) -> None:
        super().__init__("record_invalid", detail)
        self.position = position
        self.offset = offset
