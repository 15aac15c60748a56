"""Every error code of this program: what happened, whether the evidence is safe, and what to do.

The one table of codes. The API's problem documents, the pages, help and the table in docs/api.md are made from it. A
code may mean one thing for a refused request, another for a failed job, and a third for a refused bundle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bundles.format.model.errors import CODES, STEPS
from bundles.format.model.paths import INCIDENT_ID_RULE
from jobs.models import Job

Where = Literal["Requests that were refused", "Jobs that failed", "Bundles that were refused"]
REQUEST: Where = "Requests that were refused"
JOB: Where = "Jobs that failed"
BUNDLE: Where = "Bundles that were refused"

NOTHING_CHANGED = "Yes. Nothing was changed."
OF_A_BUNDLE = "Stored evidence is safe. Do not trust this file."
REJECTED = "The bundle was refused"
EXAMINE = "Do not use this file as evidence. Keep it for examination, and get the bundle again from its origin."
TRY_AGAIN = "Retry the job. If it fails again, give the code and the job's id below to your administrator."
SAFE_BY_JOB_TYPE = {
    "bundle_create": "Yes. The sources were only read, and no bundle of this attempt exists.",
    "bundle_verify": "The stored file was only read. Until a check succeeds, treat this bundle as not verified.",
    "upload_verify": "Yes. The uploaded file was only read, and nothing here depends on it.",
    "intake_read": "Yes. The imported file was only read; it is kept as it was delivered.",
    "rehydrate": "Yes. Existing records and files are unchanged; restoring again adds only what is missing.",
}
# The first buttons of a failed job's page. The page decides where one leads and to whom it is shown.
RETRY, CHANGE_ID, KEYS, WHEN_AVAILABLE, STORAGE = "retry", "change_id", "keys", "when_available", "storage"
BUTTONS = {
    RETRY: "Retry job",
    CHANGE_ID: "Change the id and try again…",
    KEYS: "Open keys",
    WHEN_AVAILABLE: "Try again when it answers",
    STORAGE: "Show what takes room",
}
RETRY_ANYWAY = "Retry anyway…"
PERMANENT = "This error is permanent: unless its cause was removed, the job fails again in the same way."
SAFE_PREVIEW = "Yes. This was a preview: nothing was written."
SAFE_ANY = "Yes. The job left no partial changes."


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What one code means in one place.

    Attributes:
        code: stable.
        where: `REQUEST`, `JOB` or `BUNDLE`.
        title: what happened.
        safe: whether the evidence is safe.
        todo: what to do.
        status: the HTTP status of a refused request; 0 for the others.
        meaning: the cause, for the API's documentation; for requests.
        headline: what the page of a failed job says, where that is not `title`.
        first: the first button of a failed job's page: one of `BUTTONS`.
        permanent: whether another attempt fails in the same way unless something was changed.
    """

    code: str
    where: Where
    title: str
    safe: str
    todo: str
    status: int = 0
    meaning: str = ""
    headline: str = ""
    first: str = RETRY
    permanent: bool = False

    @property
    def note(self) -> str:
        """Where the error is found: an HTTP status, or a step of the reading plan."""
        if self.where == BUNDLE:
            return STEPS[CODES[self.code]]
        return f"HTTP {self.status}" if self.status else ""


@dataclass(frozen=True, kw_only=True)
class Advice:
    """For the page of a failed job: what happened, whether the evidence is safe, what to do, and its buttons.

    Attributes:
        title: what happened.
        safe: whether the evidence is safe.
        todo: what to do.
        first: the first button, one of `BUTTONS`.
        permanent: whether a retry has to be confirmed.
    """

    title: str
    safe: str
    todo: str
    first: str = RETRY
    permanent: bool = False

    @property
    def button(self) -> str:
        """The label of the first button."""
        return BUTTONS[self.first]

    @property
    def warning(self) -> str:
        """What to consider before a retry that has to be confirmed."""
        return PERMANENT

    @property
    def retry_button(self) -> str:
        """The label of the button that retries."""
        return RETRY_ANYWAY if self.permanent else BUTTONS[RETRY]


def _request(code: str, status: int, title: str, meaning: str, todo: str, *, safe: str = NOTHING_CHANGED) -> Entry:
    return Entry(code=code, where=REQUEST, status=status, title=title, meaning=meaning, safe=safe, todo=todo)


def _job(code: str, title: str, todo: str, *, first: str = RETRY, permanent: bool = False) -> Entry:
    return Entry(code=code, where=JOB, title=title, safe=SAFE_ANY, todo=todo, first=first, permanent=permanent)


def _bundle(code: str, title: str, *, todo: str = EXAMINE, headline: str = REJECTED, first: str = RETRY) -> Entry:
    return Entry(
        code=code,
        where=BUNDLE,
        title=title,
        safe=OF_A_BUNDLE,
        todo=todo,
        headline=headline,
        first=first,
        permanent=True,
    )


ENTRIES = (
    # Requests that were refused.
    _request(
        "invalid_request",
        400,
        "The request is not valid",
        "the body, a field, a parameter or the host is wrong; `errors` names the fields",
        "Correct what the message describes, then send it again.",
    ),
    _request(
        "incident_id_invalid",
        400,
        "The incident id is not valid",
        "the text is not a valid incident id",
        INCIDENT_ID_RULE,
    ),
    _request(
        "bundle_path_invalid",
        400,
        "The bundle path is not valid",
        "the path is not that of a bundle file in `OUTPUT_DIR`: outside, missing, a directory, a link",
        "Name a bundle file inside OUTPUT_DIR, or choose the bundle in the console.",
    ),
    _request(
        "intake_path_invalid",
        400,
        "The path of the file to import is not valid",
        "the path is not that of a regular file below `ORCH_INTAKE_DIR`: outside, missing, a directory, a link",
        "Name a file below ORCH_INTAKE_DIR, or upload the file.",
    ),
    _request(
        "cursor_invalid",
        400,
        "The cursor is not valid",
        "the cursor was not returned by this list",
        "Start the list again from its first page.",
    ),
    _request(
        "plan_digest_required",
        400,
        "A plan digest is required",
        "a restore must name the confirmed plan",
        "Make a preview of the restore and confirm the plan that it shows.",
    ),
    _request(
        "not_authenticated",
        401,
        "Sign-in is required",
        "no identity, an unknown or expired token, or an inactive user",
        "Sign in again; a script sends a token that is not expired or revoked.",
    ),
    _request(
        "permission_denied",
        403,
        "Not allowed",
        "the role does not allow the call",
        "Ask an administrator for a role, or the token's owner for a scope, that allows it.",
    ),
    _request(
        "csrf_failed",
        403,
        "The request did not come from our own pages",
        "a session's request without the CSRF token",
        "Reload the page and send its form again; a script sends a token, or the X-CSRFToken header.",
    ),
    _request(
        "cross_site_refused",
        403,
        "Requests from other sites are refused",
        "a browser sent the request from a page of another site",
        "Use the pages of this site. If another site sent this request, inform an administrator.",
    ),
    _request(
        "signature_required",
        403,
        "The signature must be verified",
        "`verify_signature` may not be false here",
        "Verify the signature. If that is not possible, get the signer's public key, or do not use the bundle.",
    ),
    _request("not_found", 404, "Not found", "no such address", "Check the address, or use the search."),
    _request(
        "job_not_found",
        404,
        "No such job",
        "no such job",
        "Check the id. Old jobs are removed after the configured time.",
    ),
    _request(
        "bundle_not_found", 404, "No such bundle", "no such bundle", "Check the id, or look in the list of bundles."
    ),
    _request(
        "restore_request_not_found",
        404,
        "No such request for a restore",
        "no such request for a restore, or another person's",
        "Look in the list of requests on the page Restore.",
    ),
    _request(
        "worker_not_found",
        404,
        "No such worker",
        "no live worker has that id",
        "Reload the list of workers: workers that stopped are removed from it.",
    ),
    _request(
        "incident_not_found",
        404,
        "No such incident",
        "no job, bundle or restore names this incident",
        "Check the id. An incident is known here once it is bundled or restored.",
    ),
    _request(
        "record_not_found",
        404,
        "No such record",
        "the incident has no event, alert or artifact at this position, or its records are not indexed",
        "Open the record from the incident's page, which lists its records.",
    ),
    _request(
        "view_invalid",
        400,
        "This view cannot be saved",
        "the name or the filter of the view is not valid, or there are too many views",
        "Correct what the message names and save it again.",
    ),
    _request(
        "view_not_found",
        404,
        "No such view",
        "the person has no saved view of this name",
        "List the saved views for their names.",
    ),
    _request(
        "column_unknown",
        400,
        "No such column",
        "the list of records has no such column",
        "Choose from the columns that the page of an incident offers.",
    ),
    _request(
        "file_not_found",
        404,
        "No such file in the bundle",
        "the bundle's manifest lists no such file",
        "Open the file from the bundle's page, which lists its files.",
    ),
    _request(
        "file_not_as_signed",
        409,
        "The file is not as signed",
        "the file of the bundle does not match the signed manifest; nothing of it was sent",
        "Verify the bundle to see what else fails, keep this copy for examination, and bundle the incident again.",
    ),
    _request(
        "upload_not_found",
        404,
        "No such upload",
        "the caller has no such unfinished upload: never begun, swept after a week, or another caller's",
        "Choose the file again to restart the upload. Unfinished uploads are kept for a week.",
    ),
    _request(
        "intake_not_found",
        404,
        "No such delivered file",
        "there is no such delivered file, or it was removed",
        "Import the file again. Delivered files are kept for a week.",
    ),
    _request(
        "mapping_not_found",
        404,
        "No such mapping",
        "no mapping of columns is saved under this name",
        "List the saved mappings.",
    ),
    _request(
        "method_not_allowed",
        405,
        "This method is not allowed here",
        "the address takes other methods; see `Allow`",
        "Use one of the methods in the Allow header of the response.",
    ),
    _request(
        "state_conflict",
        409,
        "The job's state forbids this",
        "the job's state forbids the action, or an equal job is active",
        "Check the job: it may have ended, or an equal one may be active.",
    ),
    _request(
        "restore_request_decided",
        409,
        "The request for a restore is decided",
        "the request for a restore is done or declined already",
        "Nothing: the page Restore shows what became of it.",
    ),
    _request(
        "idempotency_key_reused",
        409,
        "The idempotency key belongs to another request",
        "the key was used for another request",
        "Use a new key for a new request, or send the same request again.",
    ),
    _request(
        "plan_changed",
        409,
        "The restore plan has changed",
        "the plan is no longer the confirmed one",
        "Make a new preview and confirm that one.",
    ),
    _request(
        "upload_offset",
        409,
        "The upload continues at another offset",
        "the next bytes of the upload have another offset, which the answer names",
        "Continue at the offset in the response; the page does so automatically.",
    ),
    _request(
        "bundle_unavailable",
        410,
        "The bundle's file is missing",
        "the bundle is known, but its file is missing",
        "Ask an administrator to look for the file in OUTPUT_DIR or a backup; do not take it from elsewhere.",
        safe="Unknown for this bundle: its file is missing or replaced. Others are not affected.",
    ),
    _request(
        "length_required",
        411,
        "Content-Length is required",
        "a body without `Content-Length`",
        "Send the body with a Content-Length header.",
    ),
    _request(
        "precondition_failed",
        412,
        "The file has changed",
        "`If-Match` names another version of the file",
        "The file has changed: download it again from the beginning.",
    ),
    _request(
        "body_too_large",
        413,
        "The body is too large",
        "the body is larger than any such request needs",
        "Send less: a JSON body has at most 1 MiB, an upload at most ORCH_MAX_UPLOAD_MB.",
    ),
    _request(
        "upload_too_large",
        413,
        "The upload is too large",
        "the upload is larger than `ORCH_MAX_UPLOAD_MB`",
        "Ask an administrator to raise ORCH_MAX_UPLOAD_MB, or to put the file into OUTPUT_DIR.",
    ),
    _request(
        "file_too_large",
        413,
        "The file is too large to be opened on its own",
        "the file of the bundle is too large to be opened alone",
        "Download the whole bundle and extract the file with the command line (--only).",
    ),
    _request(
        "unsupported_media_type",
        415,
        "This media type is not supported",
        "the call does not take this `Content-Type`",
        "Send application/json, or a form with the file where one is uploaded.",
    ),
    _request(
        "range_not_satisfiable",
        416,
        "The range lies outside the file",
        "the range begins beyond the end; `Content-Range` has the size",
        "You may already have the whole file: compare its SHA-256. Otherwise download it again.",
    ),
    _request(
        "internal_error",
        500,
        "Something failed on our side",
        "a fault of the server; its log has the request id",
        "Try again. If it fails again, give the request id to an administrator: the log has the reason.",
        safe="Existing evidence is unchanged. The list of jobs shows whether this request took effect.",
    ),
    _request(
        "outcome_unknown",
        503,
        "The outcome is not known yet",
        "the request reached the database but the answer was lost; repeat it with the same idempotency key",
        "Check the list of jobs, or send the request again with the same idempotency key: nothing is done twice.",
        safe="Yes. If the request was accepted, it takes effect once and is in the list of jobs.",
    ),
    _request(
        "database_unavailable",
        503,
        "The database cannot be reached",
        "the database does not answer; `Retry-After` says when to try again",
        "Try again in a moment. If it persists, ask an administrator to check the database.",
    ),
    _request(
        "store_mismatch",
        503,
        "This host does not have the registered store",
        "this host's directory is not the store that the database knows; another host may have the file",
        (
            "Ask an administrator to mount the right directory on the host that the message names, or to correct "
            "the variable there. Other hosts may still work."
        ),
        safe="Probably: nothing was changed, but this host cannot see the store.",
    ),
    _request(
        "storage_full",
        507,
        "The storage is full",
        "no room for the upload; nothing of it was stored",
        "Ask an administrator to free space on the disk, then try again.",
        safe="Yes. Nothing of this request was stored, and nothing else was changed.",
    ),
    # Jobs that failed, and commands.
    _job(
        "internal_error",
        "Something failed on our side",
        (
            "Retry the job. If it fails again, give the code and the job's id to your administrator: the log has "
            "the reason."
        ),
    ),
    _job("lease_expired", "The worker stopped responding", "Nothing: another attempt follows automatically."),
    _job(
        "lease_lost", "The worker lost its lease before it was done", "Nothing: another attempt follows automatically."
    ),
    _job("cancelled", "A user cancelled the job", "Retry the job if it is still needed."),
    _job("stopping", "The worker was shut down", "Nothing: another attempt follows automatically."),
    _job(
        "database_pooled",
        "Restores need a direct connection to PostgreSQL",
        "Ask an administrator to connect the workers to PostgreSQL without the pool (docs/operations.md), then retry.",
        permanent=True,
    ),
    _job(
        "target_changed", "The database or the store changed during the restore", "Retry the job: it makes a new plan."
    ),
    _job(
        "bundle_not_found",
        "The bundle is no longer registered",
        "Look for it in the list of bundles.",
        permanent=True,
    ),
    _job(
        "bundle_changed",
        "The file changed while it was read",
        "Find out who writes to the bundle store, then verify the bundle again.",
        permanent=True,
    ),
    _job(
        "bundle_unreadable",
        "The file cannot be read",
        "Ask an administrator to check the file and its permissions, then try again.",
    ),
    _job(
        "key_unreadable",
        "A key cannot be read",
        "Ask an administrator to check Settings: the finding says what to do.",
        first=KEYS,
        permanent=True,
    ),
    _job(
        "key_unsuitable",
        "A key is too short or of the wrong type",
        "Ask an administrator to use an RSA key of 3,072 bits or more.",
        first=KEYS,
        permanent=True,
    ),
    _job(
        "key_untrusted",
        "The signing key is not trusted here, or was revoked",
        "Ask an administrator to check Keys and Settings: bundles signed with it would not verify here.",
        first=KEYS,
        permanent=True,
    ),
    _job(
        "no_keys",
        "No public key was given to verify with",
        "Name a trusted key, or put one into ORCH_VERIFY_KEY_PATH.",
        first=KEYS,
        permanent=True,
    ),
    _job(
        "incident_id_invalid",
        "The incident id is not valid",
        INCIDENT_ID_RULE,
        first=CHANGE_ID,
        permanent=True,
    ),
    _job(
        "input_invalid",
        "The input cannot be bundled",
        "Correct what the message describes, then try again.",
        permanent=True,
    ),
    _job(
        "name_taken",
        "A file of that name already exists",
        "Existing files are not overwritten: choose another name, or retry the job.",
        permanent=True,
    ),
    _job(
        "payload_truncated",
        "A collected file is shorter than its record says",
        "Retry. If it recurs, check the artifact store.",
    ),
    _job(
        "payload_hash_mismatch",
        "A collected file differs from its record",
        "First find out who changed it in the artifact store; keep it for examination.",
        permanent=True,
    ),
    _job(
        "payload_longer",
        "A collected file is longer than its record says",
        "Retry. If it recurs, check the artifact store.",
    ),
    _job(
        "payload_unreadable",
        "A collected file cannot be read",
        "Ask an administrator to check the artifact store, then retry.",
    ),
    _job(
        "record_invalid",
        "A record is not JSON that a bundle can contain",
        "Report it to the administrator of its source.",
        permanent=True,
    ),
    _job(
        "signature_required",
        "This deployment does not restore without a signature",
        "Verify the signature. If that is not possible, get the signer's public key, or do not use the bundle.",
        permanent=True,
    ),
    _job(
        "zstandard_missing",
        "The zstandard library is not installed",
        "Install the requirements, or make the bundle with gzip.",
        permanent=True,
    ),
    _job("already_signed", "This key has already signed the bundle", "Co-sign with another key."),
    _job(
        "cannot_extract",
        "The extracted files cannot be written",
        "Name a folder that does not exist yet, on a disk with enough space.",
    ),
    _job(
        "cannot_spool",
        "The piped input cannot be stored",
        "Free space for temporary files, or name a file instead of a pipe.",
    ),
    _job("not_listed", "The bundle has no such file", "List its files first."),
    _job("stalled", "The pipe delivered no data for too long", "Check the program that writes to it."),
    _job(
        "intake_gone",
        "The delivered file is no longer here",
        "Import the file again.",
        permanent=True,
    ),
    _job(
        "source_unavailable",
        "A source did not answer, or changed while it was read",
        (
            "Check that service, then retry. If its list of alerts keeps changing, retry when it is quieter. To "
            "continue without it, make a partial bundle: its signed manifest lists what is missing."
        ),
        first=WHEN_AVAILABLE,
    ),
    _job(
        "source_rejected",
        "A source refused the request",
        "Ask the administrator of that service about the message below, then retry.",
        permanent=True,
    ),
    _job(
        "source_misconfigured",
        "A source cannot be asked as it is configured",
        (
            "An administrator corrects what the message below names: the file of its token or password, its "
            "certificates, or its entry in ORCH_SOURCES_FILE. Then retry."
        ),
        permanent=True,
    ),
    _job(
        "source_invalid",
        "A source gave an invalid answer",
        (
            "The answer does not have the agreed format. Report it to the administrator of that service; retrying "
            "helps only after it is fixed."
        ),
        permanent=True,
    ),
    _job(
        "incident_unknown",
        "The sources do not know this incident",
        "Check the incident id for typing mistakes, and that the sources belong to the right environment.",
        first=CHANGE_ID,
        permanent=True,
    ),
    _job(
        "reconcile_failed",
        "Records and files do not match",
        "Nothing was recorded. The job's log lists the files: repair the artifact store, then preview again.",
        permanent=True,
    ),
    _job(
        "storage_full",
        "The disk is full",
        "Free space in the bundle store or the artifact store, then retry.",
        first=STORAGE,
    ),
    _job(
        "store_mismatch",
        "The worker's host does not have the registered store",
        (
            "Ask an administrator to mount the right directory on the host that the message names, then retry. No "
            "bundle was marked as lost because of that host."
        ),
    ),
    _job(
        "write_failed",
        "The bundle could not be written",
        "Ask an administrator to check the bundle store (OUTPUT_DIR): it must be writable and have space. Then retry.",
    ),
    _job(
        "storage_error",
        "The artifact store could not be used",
        "Ask an administrator to check the artifact store (FORENSIC_STORAGE_PATH), then retry.",
    ),
    _job(
        "bundle_lost",
        "The bundle's file is missing",
        "Look for another copy, or bundle the incident again if the sources still have it.",
        permanent=True,
    ),
    _job(
        "upload_gone",
        "The uploaded file is missing",
        "Uploads are kept for a week. Upload the file again to verify it.",
        permanent=True,
    ),
    _job(
        "bundle_replaced",
        "The bundle's file was replaced",
        "Do not use that file. Find out who changed the bundle store, keep the file for examination, and bundle again.",
        permanent=True,
    ),
    _job(
        "plan_changed",
        "The database changed after the preview",
        "Nothing was restored. Make a new preview and confirm that one.",
        permanent=True,
    ),
    _job(
        "poison",
        "The lease expired in every attempt",
        "Each attempt says whether its worker died or was delayed. Check the workers and their host, then retry.",
    ),
    # Bundles that were refused.
    _bundle("not_a_regular_file", "It is a link, a directory or a device, not a regular file."),
    _bundle("not_a_bundle", "It is neither a zstd nor a gzip file."),
    _bundle("window_too_large", "Decompressing it needs more memory than is allowed."),
    _bundle("ratio_exceeded", "Its compression ratio is implausibly high."),
    _bundle("size_exceeded", "Its decompressed size exceeds the limit."),
    _bundle("corrupt_compression", "Its compressed data is damaged, or split into too many tiny pieces."),
    _bundle("reserved_bits", "Reserved bits are not zero."),
    _bundle("truncated", "It is incomplete, often after an interrupted download or copy."),
    _bundle("tar_header_invalid", "A tar header is malformed or not in the required form."),
    _bundle("tar_member_forbidden", "It contains something other than regular files."),
    _bundle("tar_padding_invalid", "The tar padding is not zero."),
    _bundle("duplicate_member", "It contains the same path twice."),
    _bundle("path_invalid", "It contains a path that is not allowed in a bundle."),
    _bundle("manifest_missing", "It has no manifest."),
    _bundle("signature_missing", "It has no signature."),
    _bundle("manifest_too_large", "Its manifest is too large."),
    _bundle("signature_too_large", "Its signature file is too large."),
    _bundle("manifest_invalid", "Its manifest is not valid."),
    _bundle("signature_malformed", "Its signature file is malformed."),
    _bundle("version_unsupported", "Its format version is not supported."),
    _bundle(
        "signer_unknown",
        "It is not signed by a key that is trusted here.",
        headline="The bundle is signed by a key that is not trusted here",
        todo="Get the public key from the sender of the bundle, and ask an administrator to check and add it.",
        first=KEYS,
    ),
    _bundle(
        "signer_revoked",
        "It is signed by a revoked key.",
        headline="The bundle is signed by a revoked key",
        todo="Do not use this bundle. Bundle the incident again with a trusted key.",
        first=KEYS,
    ),
    _bundle(
        "signer_weak",
        "It is signed by a key that is too weak.",
        headline="The bundle is signed by a key that is too weak",
        todo=(
            "Have it signed again with an RSA key of 3,072 bits or more. An older bundle can be checked on the "
            "command line with --allow-weak-keys."
        ),
        first=KEYS,
    ),
    _bundle("signature_invalid", "The signature does not match the manifest: one of them was changed."),
    _bundle("signatures_insufficient", "It has fewer trusted signatures than required."),
    _bundle("manifest_not_canonical", "Its manifest is signed, but not in canonical form."),
    _bundle("manifest_hash_mismatch", "Its manifest does not match its own hash."),
    _bundle("content_digest_mismatch", "Its content digest does not match the listed files."),
    _bundle("manifest_inconsistent", "Its manifest contradicts itself in counts, order, chunks or gaps."),
    _bundle("member_unlisted", "It contains a file that its manifest does not list."),
    _bundle("size_mismatch", "A file in it does not have the signed size."),
    _bundle("file_hash_mismatch", "A file in it differs from what was signed."),
    _bundle("chunk_hash_mismatch", "A part of a file in it differs from what was signed."),
    _bundle("member_missing", "A file that its manifest lists is missing."),
    _bundle("incident_mismatch", "Its timeline and its manifest name different incidents."),
    _bundle("tar_end_missing", "The end of the tar archive is missing or incomplete."),
    _bundle("tar_trailing_data", "There is data after the end of the tar archive."),
    _bundle("trailing_data", "There is data after the end of the compressed stream."),
    _bundle("seek_table_invalid", "Its seek table does not match its content."),
    _bundle("skippable_not_zero", "A part that must be zero contains data."),
)

OF_REQUESTS = {entry.code: entry for entry in ENTRIES if entry.where == REQUEST}
_OF_JOBS = {entry.code: entry for entry in ENTRIES if entry.where == JOB}
_OF_BUNDLES = {entry.code: entry for entry in ENTRIES if entry.where == BUNDLE}


def by_code() -> dict[str, list[Entry]]:
    """Each code, in alphabetical order, with all it may mean."""
    found: dict[str, list[Entry]] = {}
    for entry in ENTRIES:
        found.setdefault(entry.code, []).append(entry)
    return dict(sorted(found.items()))


def status_of(code: str) -> int:
    """The HTTP status of a refused request; 400 for a code that is not listed for requests."""
    return OF_REQUESTS[code].status if code in OF_REQUESTS else 400


def title_of(code: str) -> str:
    """What a code of a refused request means, in a few words; the code itself if it is not listed."""
    return OF_REQUESTS[code].title if code in OF_REQUESTS else code


def advice_for(job: Job) -> Advice:
    """The advice for a job that failed; a code that is not listed gets advice that is true of every failure."""
    safe = SAFE_BY_JOB_TYPE.get(job.job_type, SAFE_ANY)
    if job.job_type == "rehydrate" and job.payload.get("dry_run"):
        safe = SAFE_PREVIEW
    entry = _OF_JOBS.get(job.error_code) or _OF_BUNDLES.get(job.error_code)
    if entry is None:
        return Advice(title="The job failed", safe=safe, todo=TRY_AGAIN)
    return Advice(
        title=entry.headline or entry.title, safe=safe, todo=entry.todo, first=entry.first, permanent=entry.permanent
    )


def api_table() -> list[str]:
    """The rows of the table in docs/api.md: code, status, cause."""
    return [f"| `{entry.code}` | {entry.status} | {entry.meaning} |" for entry in OF_REQUESTS.values()]
