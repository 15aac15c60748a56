"""Texts for error codes: refused requests, refused bundles, and failed attempts that `errors.advice` does not cover.

`errors.error_codes` combines them with those of `errors.advice`; a test checks that every code has a text.
"""

from __future__ import annotations

from bundles.format.model.paths import INCIDENT_ID_RULE

# code of a refused request → what to do. `problems.PROBLEMS` says what happened.
AFTER_A_REFUSAL = {
    "invalid_request": "Correct what the message describes, then send it again.",
    "incident_id_invalid": INCIDENT_ID_RULE,
    "bundle_path_invalid": "Name a bundle file inside OUTPUT_DIR, or choose the bundle in the console.",
    "cursor_invalid": "Start the list again from its first page.",
    "plan_digest_required": "Make a preview of the restore and confirm the plan that it shows.",
    "not_authenticated": "Sign in again; a script sends a token that is not expired or revoked.",
    "permission_denied": "Ask an administrator for a role, or the token's owner for a scope, that allows it.",
    "csrf_failed": "Reload the page and send its form again; a script sends a token, or the X-CSRFToken header.",
    "cross_site_refused": "Use the pages of this site. If another site sent this request, inform an administrator.",
    "signature_required": (
        "Verify the signature. If that is not possible, get the signer's public key, or do not use the bundle."
    ),
    "not_found": "Check the address, or use the search.",
    "job_not_found": "Check the id. Old jobs are removed after the configured time.",
    "bundle_not_found": "Check the id, or look in the list of bundles.",
    "file_not_found": "Open the file from the bundle's page, which lists its files.",
    "file_too_large": "Download the whole bundle and extract the file with the command line (--only).",
    "upload_not_found": "Choose the file again to restart the upload. Unfinished uploads are kept for a week.",
    "upload_offset": "Continue at the offset in the response; the page does so automatically.",
    "worker_not_found": "Reload the list of workers: workers that stopped are removed from it.",
    "incident_not_found": "Check the id. An incident is known here once it is bundled or restored.",
    "method_not_allowed": "Use one of the methods in the Allow header of the response.",
    "state_conflict": "Check the job: it may have ended, or an equal one may be active.",
    "idempotency_key_reused": "Use a new key for a new request, or send the same request again.",
    "plan_changed": "Make a new preview and confirm that one.",
    "bundle_unavailable": (
        "Ask an administrator to look for the file in OUTPUT_DIR or a backup; do not take it from elsewhere."
    ),
    "length_required": "Send the body with a Content-Length header.",
    "precondition_failed": "The file has changed: download it again from the beginning.",
    "body_too_large": "Send less: a JSON body has at most 1 MiB, an upload at most ORCH_MAX_UPLOAD_MB.",
    "upload_too_large": "Ask an administrator to raise ORCH_MAX_UPLOAD_MB, or to put the file into OUTPUT_DIR.",
    "unsupported_media_type": "Send application/json, or a form with the file where one is uploaded.",
    "range_not_satisfiable": "You may already have the whole file: compare its SHA-256. Otherwise download it again.",
    "internal_error": "Try again. If it fails again, give the request id to an administrator: the log has the reason.",
    "outcome_unknown": (
        "Check the list of jobs, or send the request again with the same idempotency key: nothing is done twice."
    ),
    "database_unavailable": "Try again in a moment. If it persists, ask an administrator to check the database.",
    "storage_full": "Ask an administrator to free space on the disk, then try again.",
    "store_mismatch": (
        "Ask an administrator to mount the right directory on the host that the message names, or to correct the "
        "variable there. Other hosts may still work."
    ),
}
# Refusals after which "Nothing was changed" would not be true or complete.
SAFE_AFTER = {
    "internal_error": ("Existing evidence is unchanged. The list of jobs shows whether this request took effect."),
    "outcome_unknown": "Yes. If the request was accepted, it takes effect once and is in the list of jobs.",
    "bundle_unavailable": "Unknown for this bundle: its file is missing or replaced. Others are not affected.",
    "storage_full": "Yes. Nothing of this request was stored, and nothing else was changed.",
    "store_mismatch": "Probably: nothing was changed, but this host cannot see the store.",
}

# code → what is wrong with a bundle that was refused. The steps are those of `bundles.format.model.errors`.
WRONG_WITH_A_BUNDLE = {
    "not_a_regular_file": "It is a link, a directory or a device, not a regular file.",
    "not_a_bundle": "It is neither a zstd nor a gzip file.",
    "window_too_large": "Decompressing it needs more memory than is allowed.",
    "ratio_exceeded": "Its compression ratio is implausibly high.",
    "size_exceeded": "Its decompressed size exceeds the limit.",
    "corrupt_compression": "Its compressed data is damaged, or split into too many tiny pieces.",
    "reserved_bits": "Reserved bits are not zero.",
    "truncated": "It is incomplete, often after an interrupted download or copy.",
    "tar_header_invalid": "A tar header is malformed or not in the required form.",
    "tar_member_forbidden": "It contains something other than regular files.",
    "tar_padding_invalid": "The tar padding is not zero.",
    "duplicate_member": "It contains the same path twice.",
    "path_invalid": "It contains a path that is not allowed in a bundle.",
    "manifest_missing": "It has no manifest.",
    "signature_missing": "It has no signature.",
    "manifest_too_large": "Its manifest is too large.",
    "signature_too_large": "Its signature file is too large.",
    "manifest_invalid": "Its manifest is not valid.",
    "signature_malformed": "Its signature file is malformed.",
    "version_unsupported": "Its format version is not supported.",
    "signer_unknown": "It is not signed by a key that is trusted here.",
    "signer_revoked": "It is signed by a revoked key.",
    "signer_weak": "It is signed by a key that is too weak.",
    "signature_invalid": "The signature does not match the manifest: one of them was changed.",
    "signatures_insufficient": "It has fewer trusted signatures than required.",
    "manifest_not_canonical": "Its manifest is signed, but not in canonical form.",
    "manifest_hash_mismatch": "Its manifest does not match its own hash.",
    "content_digest_mismatch": "Its content digest does not match the listed files.",
    "manifest_inconsistent": "Its manifest contradicts itself in counts, order, chunks or gaps.",
    "member_unlisted": "It contains a file that its manifest does not list.",
    "size_mismatch": "A file in it does not have the signed size.",
    "file_hash_mismatch": "A file in it differs from what was signed.",
    "chunk_hash_mismatch": "A part of a file in it differs from what was signed.",
    "member_missing": "A file that its manifest lists is missing.",
    "incident_mismatch": "Its timeline and its manifest name different incidents.",
    "tar_end_missing": "The end of the tar archive is missing or incomplete.",
    "tar_trailing_data": "There is data after the end of the tar archive.",
    "trailing_data": "There is data after the end of the compressed stream.",
    "seek_table_invalid": "Its seek table does not match its content.",
    "skippable_not_zero": "A part that must be zero contains data.",
}

# code of an attempt or of a command-line tool → what happened, what to do; in addition to `advice.BY_CODE`.
OF_ATTEMPTS = {
    "internal_error": (
        "Something failed on our side",
        (
            "Retry the job. If it fails again, give the code and the job's id to your administrator: the log has the "
            "reason."
        ),
    ),
    "lease_expired": ("The worker stopped responding", "Nothing: another attempt follows automatically."),
    "lease_lost": ("The worker lost its lease before it was done", "Nothing: another attempt follows automatically."),
    "cancelled": ("A user cancelled the job", "Retry the job if it is still needed."),
    "stopping": ("The worker was shut down", "Nothing: another attempt follows automatically."),
    "database_pooled": (
        "Restores need a direct connection to PostgreSQL",
        "Ask an administrator to connect the workers to PostgreSQL without the pool (docs/operations.md), then retry.",
    ),
    "target_changed": ("The database or the store changed during the restore", "Retry the job: it makes a new plan."),
    "bundle_not_found": ("The bundle is no longer registered", "Look for it in the list of bundles."),
    "bundle_changed": (
        "The file changed while it was read",
        "Find out who writes to the bundle store, then verify the bundle again.",
    ),
    "bundle_unreadable": (
        "The file cannot be read",
        "Ask an administrator to check the file and its permissions, then try again.",
    ),
    "key_unreadable": ("A key cannot be read", "Ask an administrator to check Settings: the finding says what to do."),
    "key_unsuitable": (
        "A key is too short or of the wrong type",
        "Ask an administrator to use an RSA key of 3,072 bits or more.",
    ),
    "key_untrusted": (
        "The signing key is not trusted here, or was revoked",
        "Ask an administrator to check Keys and Settings: bundles signed with it would not verify here.",
    ),
    "no_keys": ("No public key was given to verify with", "Name a trusted key, or put one into ORCH_VERIFY_KEY_PATH."),
    "incident_id_invalid": ("The incident id is not valid", AFTER_A_REFUSAL["incident_id_invalid"]),
    "input_invalid": ("The input cannot be bundled", "Correct what the message describes, then try again."),
    "name_taken": (
        "A file of that name already exists",
        "Existing files are not overwritten: choose another name, or retry the job.",
    ),
    "payload_truncated": (
        "A collected file is shorter than its record says",
        "Retry. If it recurs, check the artifact store.",
    ),
    "payload_hash_mismatch": (
        "A collected file differs from its record",
        "First find out who changed it in the artifact store; keep it for examination.",
    ),
    "payload_longer": (
        "A collected file is longer than its record says",
        "Retry. If it recurs, check the artifact store.",
    ),
    "payload_unreadable": (
        "A collected file cannot be read",
        "Ask an administrator to check the artifact store, then retry.",
    ),
    "record_invalid": (
        "A record is not JSON that a bundle can contain",
        "Report it to the administrator of its source.",
    ),
    "signature_required": (
        "This deployment does not restore without a signature",
        AFTER_A_REFUSAL["signature_required"],
    ),
    "zstandard_missing": (
        "The zstandard library is not installed",
        "Install the requirements, or make the bundle with gzip.",
    ),
    "already_signed": ("This key has already signed the bundle", "Co-sign with another key."),
    "cannot_extract": (
        "The extracted files cannot be written",
        "Name a folder that does not exist yet, on a disk with enough space.",
    ),
    "cannot_spool": (
        "The piped input cannot be stored",
        "Free space for temporary files, or name a file instead of a pipe.",
    ),
    "not_listed": ("The bundle has no such file", "List its files first."),
    "stalled": ("The pipe delivered no data for too long", "Check the program that writes to it."),
}
