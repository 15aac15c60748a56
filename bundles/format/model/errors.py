"""What can go wrong with a bundle: every code, the step of the reading plan that finds it, and the error types.

`CODES` is the one list of codes; docs/bundle-format.md explains each and a test holds the two together.
"""

from __future__ import annotations

# The steps of the reading plan, in order, with the words a report shows for them.
STEPS = {
    "container": "Opened once; compression is sound and within bounds",
    "members": "Only plain, well-formed members, each once",
    "manifest": "Manifest and signature are well-formed",
    "signature": "Signed by a trusted key",
    "consistency": "The manifest agrees with itself",
    "contents": "Every file and chunk has its signed size and SHA-256; none missing, none extra",
    "end": "The bundle ends where it must",
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
        """The step of the reading plan that failed, one of `STEPS`."""
        return CODES[self.code]


class CannotCheckError(FormatError):
    """Nothing was decided about the bundle: a key or a file cannot be read, or a library is missing."""


class CannotWriteError(FormatError):
    """The bundle was not made: an input is wrong, changed while it was read, or the disk refused."""


class PayloadError(CannotWriteError):
    """One payload is not what its record says; `path` tells which."""

    def __init__(self, code: str, detail: str, path: str) -> None:
        super().__init__(code, detail)
        self.path = path


class RecordError(FormatError):
    """A record is not JSON that a bundle can hold; `code` is `record_invalid`."""

    def __init__(self, detail: str) -> None:
        super().__init__("record_invalid", detail)
