"""Every page of the console in every state that is judged: one line each.

The browser tests (axe, budgets, hostile texts) and the quick ones walk over `CATALOGUE`. A new page or state is one
line here, with a scene of `console_scenes` where it needs rows; tests/console/test_catalogue.py fails for a page of
`console.urls` that no line names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path

from django.urls import URLPattern, reverse
from playwright.sync_api import Page

from orchestrator_site.console import urls
from tests.support import console_acts as acts
from tests.support import console_rows as rows
from tests.support import console_scenes as scenes
from tests.support import console_scenes_evidence as evidence
from tests.support import console_scenes_imports as imports
from tests.support import console_scenes_people as people
from tests.support import console_scenes_sources as source_scenes

# Addresses that answer a GET with no page of their own, and why.
NO_PAGE = {
    "sign-out": "takes only POST",
    "revoke-token": "takes only POST",
    "restore-ask": "takes only POST",
    "verify-file-send": "takes only POST",
    "verify-file-begin": "takes only POST",
    "verify-file-upload": "answers the script of verify-file with JSON",
    "verify-file-held": "answers the script of verify-file with JSON",
    "import-begin": "takes only POST",
    "import-upload": "answers the script of import-page with JSON",
    "custody-export": "is a download",
    "bundle-file": "is a download",
    "bundle-key": "is a download",
    "public-key": "is a download",
    "settings-text": "is plain text",
    "attack-layer": "is a download",
    "incident-views": "takes only POST",
    "incidents-csv": "is CSV",
    "bundles-csv": "is CSV",
    "imports-csv": "is CSV",
    "jobs-csv": "is CSV",
    "custody-csv": "is CSV",
    "workers-csv": "is CSV",
}


def names() -> set[str]:
    """The names of all addresses of the console."""
    return {str(pattern.name) for pattern in urls.urlpatterns if isinstance(pattern, URLPattern)}


def page_names() -> set[str]:
    """The names of those that are pages."""
    return names() - NO_PAGE.keys()


@dataclass(frozen=True)
class Shown:
    """One page in one state.

    Attributes:
        name: of the address.
        state: in a few words; together with the name it is unique.
        heading: the page's `h1`, or how it begins.
        rows: makes the rows and gives the address's arguments.
        query: what follows the address's `?`.
        role: of the reader; empty for a stranger.
        status: of the HTTP answer.
        settings: in force meanwhile.
        does: what the reader then does on the page to bring it into this state.
        breaks: dotted name of a function that fails meanwhile.
        hostile: whether it shows texts that an attacker chose.
    """

    name: str
    state: str
    heading: str
    rows: Callable[[], scenes.Arguments] = scenes.nothing
    query: str = ""
    role: str = "operator"
    status: int = 200
    settings: Mapping[str, object] = field(default_factory=dict)
    does: Callable[[Page], None] | None = None
    breaks: str = ""
    hostile: bool = False

    def __str__(self) -> str:
        """How a test's name tells it."""
        return f"{self.name}: {self.state}"

    def address(self) -> str:
        """Make its rows; its path and query."""
        return reverse(self.name, args=self.rows()) + (f"?{self.query}" if self.query else "")


ASKED = "Bundle an incident"
MADE = f"Create bundle: {rows.INCIDENT}"
COMPARED = "Compare two bundles"
CERTIFICATE = f"Certificate: bundle of {rows.INCIDENT}"
BROUGHT = "The uploaded file"
IMPORT = "Import a collection"
IMPORTED = "Import of"
WRONG_PASSWORD = partial(imports.archive, has_password=True, password_fault="The password is wrong.")
OF_THE_BUNDLE = f"Bundle of {rows.INCIDENT}"
REFUSED = "Your role does not allow this"
EQUAL = {name: {"new": 0, "equal": 2, "conflict": 0} for name in ("timeline", "events", "alerts", "artifacts", "files")}
NO_NEWS = partial(scenes.restore, result=rows.restore_result(plan=EQUAL, conflicts=[], conflict_total=0))
DONE = partial(scenes.restore, dry_run=False, result=rows.restore_result(dry_run=False, changed=True))
CHANGED = partial(scenes.restore, "failed", dry_run=False, error_code="plan_changed", error_message="It changed.")

DETECTIONS = b'[{"host":"fin-ws-07","rule":"T1003.001","score":0.91,"user":"ana"},{"host":"fs-01","score":1}]'
FEW_EVENTS = partial(evidence.timeline, 40)
MANY_EVENTS = partial(evidence.timeline, 3_700)
ZOOMED = "from=2026-01-12+09%3A00&to=2026-01-12+10%3A00&severity=high%2B"
DRAINED = "worker=host-a%2F42"
RETIRED = {"ORCH_SIGN_KEY_RETIRE_ON": date(2026, 1, 1)}
NOWHERE = {"OUTPUT_DIR": Path("/nowhere")}
NO_KEYS = {"ORCH_VERIFY_KEY_PATH": Path("/nowhere"), "ORCH_SIGN_KEY_PATH": Path("/nowhere/sign.pem")}
STUCK = "action=free_stuck&scope=matching&status=stuck"

HOSTILE_EVENTS = partial(evidence.found_records, f"abcdef {rows.HOSTILE}")

CATALOGUE = (
    Shown("sign-in", "empty", "Sign in", role=""),
    Shown("sign-in", "refused", "Sign in", role="", does=acts.sign_in_wrongly),
    Shown("home", "empty", "Home"),
    Shown("home", "calm", "Home", scenes.calm),
    Shown("home", "crisis", "Home", scenes.crisis),
    Shown("home", "everything", "Home", people.everything, settings=RETIRED),
    Shown("home", "store gone", "Home", settings=NOWHERE),
    Shown("home", "viewer", "Home", scenes.crisis, role="viewer"),
    Shown("home", "hostile", "Home", scenes.hostile, hostile=True),
    Shown("home", "server error", "The page failed", status=500, breaks="jobs.queue.queue_depth.now_and_over_a_day"),
    Shown("find", "nothing asked", "Search"),
    Shown("find", "no match", "Search for", query="q=nowhere"),
    Shown("find", "several groups", "Search for", evidence.findable, query="q=abcdef"),
    Shown("find", "in bundles", "Search for", evidence.bundled, query="q=abcdef"),
    Shown("find", "in bundles, viewer", "Search for", evidence.bundled, query="q=abcdef", role="viewer"),
    Shown("find", "longest name", "Search for", partial(evidence.bundled, "abcdef" + "w" * 249), query="q=abcdef"),
    Shown("find", "events and alerts", "Search for", evidence.found_records, query="q=abcdef"),
    Shown("find", "hostile events", "Search for", HOSTILE_EVENTS, query="q=abcdef", hostile=True),
    Shown("incident-elsewhere", "some", "Seen elsewhere", evidence.elsewhere),
    Shown("incident-elsewhere", "none", "Seen elsewhere", scenes.incident),
    Shown("find", "hostile", "Search for", evidence.hostile_find, query="q=abcdef", hostile=True),
    Shown("sources-part", "unreachable", "Sources"),
    Shown("incidents-page", "empty", "Incidents"),
    Shown("incidents-page", "many", "Incidents", scenes.many),
    Shown(
        "incidents-page",
        "listed by a source",
        "Incidents",
        source_scenes.listing_sources,
        settings=source_scenes.PROFILES,
    ),
    Shown("incidents-from-sources", "none can list", "Incidents in the sources"),
    Shown(
        "incidents-from-sources",
        "listed",
        "Incidents in the sources",
        source_scenes.listing_sources,
        settings=source_scenes.PROFILES,
        hostile=True,
    ),
    Shown("incidents-page", "no match", "Incidents", query="search=nowhere"),
    Shown("incidents-page", "longest id", "Incidents", scenes.longest, query="search=9999"),
    Shown("incident-page", "bundled", rows.INCIDENT, scenes.incident),
    Shown("incident-page", "restored", rows.INCIDENT, partial(scenes.incident, restored=True)),
    Shown("incident-page", "no timeline", rows.INCIDENT, partial(evidence.timeline, None)),
    Shown("incident-page", "0 events", rows.INCIDENT, partial(evidence.timeline, 0)),
    Shown("incident-page", "1 event", rows.INCIDENT, partial(evidence.timeline, 1)),
    Shown("incident-page", "3,700 events", rows.INCIDENT, MANY_EVENTS),
    Shown("incident-page", "zoomed", rows.INCIDENT, MANY_EVENTS, query=ZOOMED),
    Shown("incident-page", "filtered to nothing", rows.INCIDENT, FEW_EVENTS, query="text=nowhere"),
    Shown("incident-page", "filter wrong", rows.INCIDENT, FEW_EVENTS, query="from=yesterday"),
    Shown("incident-page", "partial", rows.INCIDENT, evidence.partial_timeline),
    Shown("incident-page", "bundle and restored", rows.INCIDENT, evidence.both_origins),
    Shown("incident-page", "as restored", rows.INCIDENT, evidence.both_origins, query="origin=restored"),
    Shown("incident-page", "hostile timeline", rows.INCIDENT, evidence.hostile_timeline, hostile=True),
    Shown("incident-page", "odd times", rows.INCIDENT, evidence.odd_times),
    Shown("incident-page", "far times", rows.INCIDENT, evidence.far_times),
    Shown("incident-page", "alerts", rows.INCIDENT, scenes.incident, query="kind=alert"),
    Shown("incident-page", "all records of a host", rows.INCIDENT, FEW_EVENTS, query="kind=all&host=host-1"),
    Shown("incident-page", "not found", "Not found", lambda: ["never-seen"], status=404),
    Shown("incident-record", "an event", "Event 8", partial(evidence.record, 7)),
    Shown("incident-record", "hostile", "Event 3", partial(evidence.hostile_record, 2), hostile=True),
    Shown("incident-record", "not found", "Not found", partial(evidence.record, 4_000), status=404),
    Shown("incident-page", "hostile", scenes.LONGEST_ID, scenes.hostile_incident, hostile=True),
    Shown("new-bundle", "empty", ASKED),
    Shown("new-bundle", "all choices", ASKED, scenes.many, query="allow_partial=on", does=acts.open_every_fold),
    Shown(
        "new-bundle",
        "profiles",
        ASKED,
        source_scenes.listing_sources,
        query="profile=eu&ref-cases=42",
        settings=source_scenes.PROFILES,
    ),
    Shown(
        "new-bundle",
        "checked",
        ASKED,
        source_scenes.listing_sources,
        settings=source_scenes.PROFILES,
        does=acts.check_the_sources,
    ),
    Shown("new-bundle", "wrong", ASKED, does=acts.send_a_wrong_form),
    Shown("new-bundle", "forbidden", REFUSED, role="viewer", status=403),
    Shown("bundles-page", "empty", "Bundles"),
    Shown("bundles-page", "crisis", "Bundles", scenes.crisis),
    Shown("bundles-page", "many", "Bundles", scenes.many),
    Shown("bundles-page", "no match", "Bundles", query="incident_id=nowhere"),
    Shown("bundles-page", "hostile", "Bundles", scenes.hostile, hostile=True),
    Shown("bundle-page", "not verified yet", OF_THE_BUNDLE, scenes.bundle, does=acts.open_every_fold),
    Shown("bundle-page", "verified", OF_THE_BUNDLE, partial(scenes.bundle, verified=True)),
    Shown("bundle-page", "not verified", OF_THE_BUNDLE, partial(scenes.bundle, verified=False)),
    Shown("bundle-page", "partial", OF_THE_BUNDLE, scenes.partial),
    Shown("bundle-page", "lost", OF_THE_BUNDLE, partial(scenes.bundle, state="lost")),
    Shown("bundle-page", "no file found", OF_THE_BUNDLE, scenes.bundle, query="find=nothing"),
    Shown("bundle-page", "not found", "Not found", scenes.somewhere, status=404),
    Shown("bundle-page", "hostile", OF_THE_BUNDLE, scenes.hostile_bundle, hostile=True),
    Shown("bundles-batch", "preview", "Verify bundles: preview", evidence.batch_of_bundles, query="scope=matching"),
    Shown("bundles-batch", "nothing to do", "Verify bundles: preview"),
    Shown(
        "bundles-batch",
        "outcome",
        "Verify bundles: ",
        evidence.batch_of_bundles,
        query="scope=matching",
        does=acts.confirm_the_batch,
    ),
    Shown("bundles-batch", "hostile", "Verify bundles: preview", scenes.hostile, query="scope=matching"),
    Shown("compare-bundles", "equal", COMPARED, evidence.equal_pair),
    Shown("compare-bundles", "differ", COMPARED, evidence.different_pair),
    Shown("compare-bundles", "many files", COMPARED, evidence.many_pairs, query="from=50"),
    Shown("compare-bundles", "one bundle", COMPARED, evidence.one_bundle),
    Shown("compare-bundles", "no bundle", "Not found", lambda: ["never-seen"], status=404),
    Shown("compare-bundles", "hostile", COMPARED, evidence.hostile_pair, hostile=True),
    Shown("bundle-file-preview", "table", "Preview: ", evidence.table_preview),
    Shown("bundle-file-preview", "binary", "Preview: ", partial(evidence.previewed, "x.bin", bytes(range(256)) * 40)),
    Shown("bundle-file-preview", "JSON", "Preview: ", partial(evidence.previewed, "detections.json", DETECTIONS)),
    Shown("bundle-file-preview", "empty", "Preview: ", partial(evidence.previewed, "empty", b"")),
    Shown("bundle-file-preview", "forbidden", REFUSED, scenes.no_file, role="viewer", status=403),
    Shown("bundle-file-preview", "hostile", "Preview: ", evidence.hostile_preview, hostile=True),
    Shown("bundle-certificate", "not verified yet", CERTIFICATE, evidence.certified),
    Shown("bundle-certificate", "verified", CERTIFICATE, partial(evidence.certified, verified=True)),
    Shown("bundle-certificate", "failed", CERTIFICATE, partial(evidence.certified, verified=False)),
    Shown(
        "bundle-certificate",
        "partial",
        CERTIFICATE,
        partial(evidence.certified, verified=True, complete=False, missing=scenes.MISSING),
    ),
    Shown("bundle-certificate", "hostile", CERTIFICATE, evidence.hostile_certificate, hostile=True),
    Shown("verify-file", "choose", "Verify a file"),
    Shown("verify-file", "not held", "Verify a file", does=acts.compare_an_unknown_file),
    Shown("verify-file", "viewer", "Verify a file", role="viewer"),
    Shown("verify-file-result", "queued", BROUGHT, partial(evidence.upload, "queued")),
    Shown("verify-file-result", "running", BROUGHT, partial(evidence.upload, "processing")),
    Shown("verify-file-result", "verified", BROUGHT, partial(evidence.upload, ok=True)),
    Shown("verify-file-result", "partial", BROUGHT, evidence.partial_upload),
    Shown("verify-file-result", "not verified", BROUGHT, partial(evidence.upload, ok=False)),
    Shown("verify-file-result", "failed", BROUGHT, partial(evidence.upload, "failed")),
    Shown("verify-file-result", "cancelled", BROUGHT, partial(evidence.upload, "cancelled")),
    Shown("verify-file-result", "hostile", BROUGHT, evidence.hostile_upload, hostile=True),
    Shown("import-page", "empty", IMPORT),
    Shown("import-page", "several", IMPORT, imports.several, hostile=True),
    Shown("import-page", "forbidden", REFUSED, role="viewer", status=403),
    Shown("import-preview", "queued", IMPORTED, partial(imports.reading, "queued")),
    Shown("import-preview", "running", IMPORTED, imports.reading),
    Shown("import-preview", "failed", IMPORTED, partial(imports.reading, "failed")),
    Shown("import-preview", "cancelled", IMPORTED, partial(imports.reading, "cancelled")),
    Shown("import-preview", "alerts", IMPORTED, imports.read, does=acts.open_every_fold),
    Shown("import-preview", "archive", IMPORTED, imports.archive, does=acts.open_every_fold),
    Shown("import-preview", "password wrong", IMPORTED, WRONG_PASSWORD),
    Shown("import-preview", "refused archive", IMPORTED, imports.refused_archive),
    Shown("import-preview", "table", IMPORTED, imports.table),
    Shown("import-preview", "bundled", IMPORTED, imports.bundled),
    Shown("import-preview", "hostile", IMPORTED, imports.hostile, does=acts.open_every_fold, hostile=True),
    Shown("bundle-page", "of an import", OF_THE_BUNDLE, imports.of_an_import, hostile=True),
    Shown("jobs-page", "empty", "Jobs"),
    Shown("jobs-page", "crisis", "Jobs", scenes.crisis),
    Shown("jobs-page", "many", "Jobs", scenes.many),
    Shown("jobs-page", "stuck", "Jobs", scenes.stuck, query="status=stuck"),
    Shown("jobs-page", "none stuck", "Jobs", query="status=stuck"),
    Shown("jobs-page", "cursor forged", "Request refused", query="cursor=!!", status=400),
    Shown("jobs-page", "hostile", "Jobs", scenes.hostile, hostile=True),
    Shown("job-page", "queued", MADE, scenes.job),
    Shown("job-page", "running", MADE, partial(scenes.job, "processing")),
    Shown("job-page", "stuck", MADE, partial(scenes.job, "processing", lease_s=-60)),
    Shown("job-page", "failed", MADE, partial(scenes.job, "failed"), does=acts.open_every_fold),
    Shown("job-page", "cancelled", MADE, partial(scenes.job, "cancelled")),
    Shown("job-page", "completed", MADE, partial(scenes.job, "completed")),
    Shown("job-page", "partial", MADE, scenes.partly_made),
    Shown("job-page", "verified", "Verify bundle", partial(scenes.verifying, ok=True)),
    Shown("job-page", "not verified", "Verify bundle", partial(scenes.verifying, ok=False)),
    Shown("job-page", "restored", "Restore bundle", DONE),
    Shown("job-page", "poison", MADE, people.poison),
    Shown("job-page", "waits for a source", MADE, people.waiting),
    Shown("job-page", "tried again", MADE, people.retried),
    Shown("job-page", "not found", "Not found", scenes.somewhere, status=404),
    Shown("job-page", "hostile", MADE, scenes.hostile_job, hostile=True),
    Shown("job-page", "hostile and running", MADE, scenes.hostile_running, hostile=True),
    Shown("jobs-batch", "free", "Free stuck jobs: preview", scenes.stuck, query=STUCK),
    Shown("jobs-batch", "cancel", "Cancel jobs: preview", evidence.batch_of_jobs, query="action=cancel&scope=matching"),
    Shown("jobs-batch", "nothing to do", "Retry jobs: preview", query="action=retry"),
    Shown("jobs-batch", "outcome", "Free stuck jobs: ", scenes.stuck, query=STUCK, does=acts.confirm_the_batch),
    Shown("jobs-batch", "forbidden", REFUSED, query=STUCK, role="viewer", status=403),
    Shown("restore", "empty", "Restore a bundle"),
    Shown("restore", "many", "Restore a bundle", scenes.many),
    Shown("restore", "crisis", "Restore a bundle", scenes.crisis, does=acts.open_every_fold),
    Shown("restore", "asked for", "Restore a bundle", scenes.asked_restores),
    Shown("restore", "may ask", "Ask for a restore", scenes.asked_restores, role="analyst", does=acts.open_every_fold),
    Shown("restore", "may neither", "Ask for a restore", scenes.many, role="viewer"),
    Shown("restore-request", "open", "Request for a restore", scenes.asked_restore, does=acts.open_every_fold),
    Shown("restore-request", "declined", "Request for a restore", partial(scenes.asked_restore, state="declined")),
    Shown("restore-request", "forbidden", REFUSED, scenes.asked_restore, role="viewer", status=403),
    Shown("restore-request", "hostile", "Request for a restore", scenes.hostile_request, hostile=True),
    Shown("restore-preview", "running", "Preview of a restore", partial(scenes.restore, "processing")),
    Shown("restore-preview", "to confirm", "Preview of a restore", scenes.restore, does=acts.open_every_fold),
    Shown("restore-preview", "wrong id", "Preview of a restore", scenes.restore, does=acts.confirm_another_incident),
    Shown("restore-preview", "no news", "Preview of a restore", NO_NEWS),
    Shown("restore-preview", "restored", "Restore", DONE),
    Shown("restore-preview", "plan changed", "Restore", CHANGED),
    Shown("restore-preview", "cancelled", "Restore", partial(scenes.restore, "cancelled", dry_run=False)),
    Shown("restore-preview", "hostile", "Preview of a restore", scenes.hostile_restore, hostile=True),
    Shown(
        "restore-preview", "hostile outcome", "Restore", partial(scenes.hostile_restore, dry_run=False), hostile=True
    ),
    Shown("custody-page", "empty", "Custody"),
    Shown("custody-page", "chain verified", "Custody", scenes.checked_chain, does=acts.open_every_fold),
    Shown("custody-page", "chain broken", "Custody", partial(scenes.checked_chain, "chain_broken")),
    Shown("custody-page", "many", "Custody", scenes.many),
    Shown("custody-page", "no match", "Custody", query="incident=nowhere&object=nothing"),
    Shown("custody-page", "hostile", "Custody", scenes.hostile, hostile=True),
    Shown("workers-page", "none", "Workers"),
    Shown("workers-page", "crisis", "Workers", scenes.crisis),
    Shown("workers-page", "draining", "Workers", people.draining),
    Shown("workers-page", "no match", "Workers", query="host=nowhere"),
    Shown("workers-page", "hostile", "Workers", scenes.hostile, hostile=True),
    Shown("worker-drain", "busy", "Drain process 42", people.draining_one, query=DRAINED),
    Shown("worker-drain", "the last one", "Drain process 42", people.last_worker, query=DRAINED),
    Shown("worker-drain", "not found", "Not found", query="worker=nobody", status=404),
    Shown("keys-page", "active", "Keys"),
    Shown("keys-page", "every state", "Keys", people.many_keys, does=acts.open_every_fold),
    Shown("keys-page", "none", "Keys", settings=NO_KEYS),
    Shown("keys-page", "hostile", "Keys", people.hostile_keys, hostile=True),
    Shown("settings-page", "findings", "Settings health", does=acts.open_every_fold),
    Shown(
        "settings-page",
        "file of sources",
        "Settings health",
        source_scenes.listing_sources,
        settings=source_scenes.PROFILES,
    ),
    Shown("settings-page", "forbidden", REFUSED, role="analyst", status=403),
    Shown("account-page", "first session", "Account"),
    Shown("account-page", "several sessions", "Account", people.sessions),
    Shown("account-page", "with a password", "Account", people.with_password),
    Shown("account-page", "password refused", "Account", people.with_password, does=acts.change_the_password_wrongly),
    Shown("account-page", "viewer", "Account", role="viewer"),
    Shown("tokens-page", "empty", "API tokens"),
    Shown("tokens-page", "some", "API tokens", people.some_tokens, does=acts.open_every_fold),
    Shown("tokens-page", "just made", "API tokens", does=acts.make_a_token),
    Shown("tokens-page", "name taken", "API tokens", people.some_tokens, does=acts.make_the_same_token_again),
    Shown("tokens-page", "hostile", "API tokens", people.hostile_tokens, hostile=True),
    Shown("help-page", "words", "Help"),
    Shown("errors-page", "codes", "Error codes"),
)
HOSTILE = tuple(shown for shown in CATALOGUE if shown.hostile)
