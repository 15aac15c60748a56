"""The words for error codes that are not a failed job's alone: refusals of a request, and what is wrong with a bundle.

`errors.error_codes` puts them together with those of `errors.advice`; a test holds them to the codes
 that the program can give.
"""

from __future__ import annotations

from bundles.format.model.paths import INCIDENT_ID_RULE

# code of a refused request → what to do. `problems.PROBLEMS` says what happened.
AFTER_A_REFUSAL = {
    "invalid_request": "Correct what the message names, then send it again.",
    "incident_id_invalid": INCIDENT_ID_RULE,
    "bundle_path_invalid": "Name a bundle file inside OUTPUT_DIR, or choose the bundle in the console.",
    "cursor_invalid": "Start the list again from its first page.",
    "plan_digest_required": "Make a preview of the restore and confirm the plan that it shows.",
    "not_authenticated": "Sign in again; a script sends a token that is not expired or revoked.",
    "permission_denied": "Ask an administrator for a role, or the token's owner for a scope, that allows it.",
    "csrf_failed": "Open the page again and send its form; a script sends the X-CSRFToken header, or better a token.",
    "cross_site_refused": "Do it on our own pages. If another site's page tried this for you, tell an administrator.",
    "signature_required": (
        "Verify the signature. If it cannot be: get the signer's public key, or leave the bundle alone."
    ),
    "not_found": "Check the address, or use the search.",
    "job_not_found": "Check the id. An old job may be gone: how long jobs are kept is a setting.",
    "bundle_not_found": "Check the id, or look in the list of bundles.",
    "file_not_found": "Open the file from the bundle's page, which lists what it has.",
    "file_too_large": "Download the whole bundle and extract the file from it: the command line takes --only.",
    "upload_not_found": "Choose the file again: the upload begins anew. Unfinished ones are kept for a week.",
    "upload_offset": "Go on from the offset that the answer names; the page does so by itself.",
    "worker_not_found": "Look at the list of workers again: a worker that left is taken off it.",
    "incident_not_found": "Check the id. An incident is known here once it was bundled or restored.",
    "method_not_allowed": "Use one of the methods that the Allow header of the answer names.",
    "state_conflict": "Look at the job: it may have ended meanwhile, or an equal one may be active.",
    "idempotency_key_reused": "Use a new key for a new request, or send the same request again.",
    "plan_changed": "Make a new preview and confirm that one.",
    "bundle_unavailable": (
        "Ask an administrator to look for the file in OUTPUT_DIR or a backup; do not take it from elsewhere."
    ),
    "length_required": "Send the body with a Content-Length header.",
    "precondition_failed": "The file is another one than you have: download it again from its beginning.",
    "body_too_large": "Send less: a JSON body has at most 1 MiB, an upload at most ORCH_MAX_UPLOAD_MB.",
    "upload_too_large": "Ask an administrator to raise ORCH_MAX_UPLOAD_MB, or to put the file into OUTPUT_DIR.",
    "unsupported_media_type": "Send application/json, or a form with the file where one is uploaded.",
    "range_not_satisfiable": "You may have the whole file already: compare its SHA-256. Otherwise download it again.",
    "internal_error": "Try again. If it fails again, give the request id to an administrator: the log has the reason.",
    "outcome_unknown": (
        "Look for it in the list of jobs, or send it again with the same idempotency key: nothing is done twice."
    ),
    "database_unavailable": "Wait a moment and try again. If it goes on, an administrator looks at the database.",
    "storage_full": "Have an administrator make room on the disk, then try again.",
    "store_mismatch": (
        "Have an administrator mount the right directory on the host that the message names, or correct the variable "
        "there. Another host may serve you meanwhile."
    ),
}
# Where a refusal leaves more to say of the evidence than that nothing was changed.
SAFE_AFTER = {
    "internal_error": (
        "What was there before is as it was; whether this request did its work is told by the list of jobs."
    ),
    "outcome_unknown": "Yes. The request may have been taken: then it is done once, and the list of jobs has it.",
    "bundle_unavailable": "Not known for this bundle: its file is not where it belongs. All others are as they were.",
    "storage_full": "Yes. Nothing was kept of this request, and nothing else was changed.",
    "store_mismatch": "Nothing speaks against it: this host does not see the store, so it cannot say what is in it.",
}

# code → what is wrong with a bundle that was refused. The steps are those of `bundles.format.model.errors`.
WRONG_WITH_A_BUNDLE = {
    "not_a_regular_file": "It is a link, a directory or a device, not a plain file.",
    "not_a_bundle": "It begins neither as zstd nor as gzip.",
    "window_too_large": "Unpacking it would need more memory than is allowed.",
    "ratio_exceeded": "It unpacks to far more than honest evidence does.",
    "size_exceeded": "It unpacks to more than is allowed.",
    "corrupt_compression": "Its compression is damaged, or made of absurdly small pieces.",
    "reserved_bits": "Bits are set that must be zero.",
    "truncated": "It ends in the middle: often a download or a copy that broke off.",
    "tar_header_invalid": "A member's header is malformed, or not the prescribed one.",
    "tar_member_forbidden": "It holds something that is no plain file.",
    "tar_padding_invalid": "Something stands where only zeros may.",
    "duplicate_member": "A path stands in it twice.",
    "path_invalid": "A path in it has a shape that no bundle knows.",
    "manifest_missing": "It has no manifest.",
    "signature_missing": "It has no signature.",
    "manifest_too_large": "Its manifest is larger than any bundle needs.",
    "signature_too_large": "Its signature is larger than any bundle needs.",
    "manifest_invalid": "Its manifest is not strict JSON of the agreed shape.",
    "signature_malformed": "Its signature has not the agreed shape.",
    "version_unsupported": "It is of a version that this program does not know.",
    "signer_unknown": "No key that is trusted here signed it.",
    "signer_revoked": "The key that signed it was revoked.",
    "signer_weak": "The key that signed it is weaker than is accepted here.",
    "signature_invalid": "The signature does not fit the manifest: one of them was changed.",
    "signatures_insufficient": "Fewer trusted keys signed it than were demanded.",
    "manifest_not_canonical": "Its manifest is signed, but not written in the one canonical form.",
    "manifest_hash_mismatch": "Its manifest contradicts its own hash.",
    "content_digest_mismatch": "Its content digest is not that of the listed files.",
    "manifest_inconsistent": "Counts, order, chunks or gaps of its manifest contradict each other.",
    "member_unlisted": "It holds a file that its manifest does not list.",
    "size_mismatch": "A file in it has another size than was signed.",
    "file_hash_mismatch": "A file in it is not the one that was signed.",
    "chunk_hash_mismatch": "A part of a file in it is not what was signed.",
    "member_missing": "A file that its manifest lists is not in it.",
    "incident_mismatch": "Its timeline names another incident than its manifest.",
    "tar_end_missing": "Its end mark is missing or half.",
    "tar_trailing_data": "Something stands behind its end mark.",
    "trailing_data": "Something stands behind its compressed data.",
    "seek_table_invalid": "Its seek table does not describe it.",
    "skippable_not_zero": "A part that must be empty holds something.",
}

# code of an attempt or of a command-line tool → what happened, what to do; beside those of `advice.BY_CODE`.
OF_ATTEMPTS = {
    "internal_error": (
        "Something failed on our side",
        (
            "Retry the job. If it fails again, give the code and the job's id to your administrator: the log has the "
            "reason."
        ),
    ),
    "lease_expired": ("The worker was not heard of in time", "Nothing: another attempt follows by itself."),
    "lease_lost": ("The worker's lease was over before it was done", "Nothing: another attempt follows by itself."),
    "cancelled": ("Somebody cancelled the job", "Retry the job if its work is still wanted."),
    "stopping": ("The worker was shut down", "Nothing: another attempt follows by itself."),
    "database_pooled": (
        "Restores need a direct connection to PostgreSQL",
        "Have an administrator let the workers reach PostgreSQL without the pool (docs/operations.md), then retry.",
    ),
    "target_changed": ("Something else changed what was being restored", "Retry the job: it makes its plan anew."),
    "bundle_not_found": ("The bundle is no longer registered", "Look for it in the list of bundles."),
    "bundle_changed": (
        "The file changed while it was read",
        "Find out who writes to the bundle store, then verify the bundle again.",
    ),
    "bundle_unreadable": (
        "The file cannot be read",
        "Have an administrator look at the file and its rights, then try again.",
    ),
    "key_unreadable": ("A key cannot be read", "Have an administrator look at Settings: the finding says what to do."),
    "key_unsuitable": (
        "A key is too short or of a wrong kind",
        "Have an administrator use an RSA key of 3,072 bits or more.",
    ),
    "key_untrusted": (
        "The signing key is not trusted here, or was revoked",
        "Have an administrator look at Keys and Settings: our own verification would refuse what it signs.",
    ),
    "no_keys": ("No public key was given to verify with", "Name a trusted key, or put one into ORCH_VERIFY_KEY_PATH."),
    "incident_id_invalid": ("The text is no incident id", AFTER_A_REFUSAL["incident_id_invalid"]),
    "input_invalid": ("What was to be bundled is not fit for it", "Correct what the message names, then try again."),
    "name_taken": (
        "A file of that name exists already",
        "Nothing is ever overwritten: choose another name, or retry the job.",
    ),
    "payload_truncated": (
        "A collected file is shorter than its record says",
        "Retry; if it recurs, look at the artifact store.",
    ),
    "payload_hash_mismatch": (
        "A collected file is not the one that its record describes",
        "Find out who changed it in the artifact store before anything else; keep it for examination.",
    ),
    "payload_longer": (
        "A collected file is longer than its record says",
        "Retry; if it recurs, look at the artifact store.",
    ),
    "payload_unreadable": (
        "A collected file cannot be read",
        "Have an administrator look at the artifact store, then retry.",
    ),
    "record_invalid": (
        "A record is not JSON that a bundle can hold",
        "Report it to the administrator of the source that gave it.",
    ),
    "signature_required": (
        "This deployment does not restore without a signature",
        AFTER_A_REFUSAL["signature_required"],
    ),
    "zstandard_missing": (
        "The zstandard library is not installed",
        "Install the requirements, or make the bundle with gzip.",
    ),
    "already_signed": ("This key has signed the bundle already", "Co-sign with another key."),
    "cannot_extract": (
        "The files cannot be written where they should go",
        "Name a folder that does not exist yet, with room.",
    ),
    "cannot_spool": (
        "What was piped in cannot be kept",
        "Make room for temporary files, or name a file instead of a pipe.",
    ),
    "not_listed": ("The bundle has no such file", "List its files first."),
    "stalled": ("Nothing came through the pipe for too long", "Look at the program that writes into it."),
}
