"""Every page of the console in every state that is judged: one line each.

The browser tests (axe, budgets, hostile texts) and the quick ones walk over `CATALOGUE`. A new page or state is one
line here, with a scene of tests/console_scenes.py where it needs rows; test_console_catalogue.py fails for a page of
`console_urls` that no line names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from django.urls import URLPattern, reverse
from playwright.sync_api import Page

from orchestrator_site import console_urls
from tests import console_rows as rows
from tests import console_scenes as scenes

# Addresses that answer a GET with no page of their own, and why.
NO_PAGE = {
    "find": "leads on to what it finds",
    "sign-out": "takes only POST",
    "custody-export": "is a download",
}


def page_names() -> set[str]:
    """The names of all addresses of the console that are pages."""
    names = {str(pattern.name) for pattern in console_urls.urlpatterns if isinstance(pattern, URLPattern)}
    return names - NO_PAGE.keys()


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
    does: Callable[[Page], None] | None = None
    breaks: str = ""
    hostile: bool = False

    def __str__(self) -> str:
        """How a test's name tells it."""
        return f"{self.name}: {self.state}"

    def address(self) -> str:
        """Make its rows; its path and query."""
        return reverse(self.name, args=self.rows()) + (f"?{self.query}" if self.query else "")


def send_a_wrong_form(page: Page) -> None:
    """Ask for a bundle of something that can be no incident."""
    page.get_by_label("Incident id").fill("../etc")
    page.get_by_role("button", name="Create bundle").click()
    page.get_by_role("alert").wait_for()


def sign_in_wrongly(page: Page) -> None:
    """Name a user and a password that do not match."""
    page.get_by_label("User name").fill("nobody")
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("alert").wait_for()


def confirm_another_incident(page: Page) -> None:
    """Confirm a restore with the id of another incident."""
    page.get_by_label("Type the incident id").fill("another")
    page.get_by_role("button", name="Restore 3 alerts").click()
    page.get_by_role("alert").wait_for()


def open_every_fold(page: Page) -> None:
    """Open all that is folded."""
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")


ASKED = "Bundle an incident"
MADE = f"Create bundle: {rows.INCIDENT}"
OF_THE_BUNDLE = f"Bundle of {rows.INCIDENT}"
REFUSED = "Your role does not allow this"
EQUAL = {name: {"new": 0, "equal": 2, "conflict": 0} for name in ("timeline", "events", "alerts", "artifacts", "files")}
NO_NEWS = partial(scenes.restore, result=rows.restore_result(plan=EQUAL, conflicts=[], conflict_total=0))
DONE = partial(scenes.restore, dry_run=False, result=rows.restore_result(dry_run=False, changed=True))
CHANGED = partial(scenes.restore, "failed", dry_run=False, error_code="plan_changed", error_message="It changed.")

CATALOGUE = (
    Shown("sign-in", "empty", "Sign in", role=""),
    Shown("sign-in", "refused", "Sign in", role="", does=sign_in_wrongly),
    Shown("home", "empty", "Home"),
    Shown("home", "calm", "Home", scenes.calm),
    Shown("home", "crisis", "Home", scenes.crisis),
    Shown("home", "viewer", "Home", scenes.crisis, role="viewer"),
    Shown("home", "hostile", "Home", scenes.hostile, hostile=True),
    Shown("home", "server error", "The page failed", status=500, breaks="jobs.services.counts"),
    Shown("sources-part", "unreachable", "Sources"),
    Shown("incidents-page", "empty", "Incidents"),
    Shown("incidents-page", "many", "Incidents", scenes.many),
    Shown("incidents-page", "no match", "Incidents", query="search=nowhere"),
    Shown("incidents-page", "longest id", "Incidents", scenes.longest, query="search=9999"),
    Shown("incident-page", "bundled", rows.INCIDENT, scenes.incident),
    Shown("incident-page", "restored", rows.INCIDENT, partial(scenes.incident, restored=True)),
    Shown("incident-page", "not found", "Not found", lambda: ["never-seen"], status=404),
    Shown("incident-page", "hostile", scenes.LONGEST_ID, scenes.hostile_incident, hostile=True),
    Shown("new-bundle", "empty", ASKED),
    Shown("new-bundle", "all choices", ASKED, scenes.many, query="allow_partial=on", does=open_every_fold),
    Shown("new-bundle", "wrong", ASKED, does=send_a_wrong_form),
    Shown("new-bundle", "forbidden", REFUSED, role="viewer", status=403),
    Shown("bundles-page", "empty", "Bundles"),
    Shown("bundles-page", "crisis", "Bundles", scenes.crisis),
    Shown("bundles-page", "many", "Bundles", scenes.many),
    Shown("bundles-page", "no match", "Bundles", query="incident_id=nowhere"),
    Shown("bundles-page", "hostile", "Bundles", scenes.hostile, hostile=True),
    Shown("bundle-page", "not verified yet", OF_THE_BUNDLE, scenes.bundle, does=open_every_fold),
    Shown("bundle-page", "verified", OF_THE_BUNDLE, partial(scenes.bundle, verified=True)),
    Shown("bundle-page", "not verified", OF_THE_BUNDLE, partial(scenes.bundle, verified=False)),
    Shown("bundle-page", "partial", OF_THE_BUNDLE, scenes.partial),
    Shown("bundle-page", "lost", OF_THE_BUNDLE, partial(scenes.bundle, state="lost")),
    Shown("bundle-page", "no file found", OF_THE_BUNDLE, scenes.bundle, query="find=nothing"),
    Shown("bundle-page", "not found", "Not found", scenes.somewhere, status=404),
    Shown("bundle-page", "hostile", OF_THE_BUNDLE, scenes.hostile_bundle, hostile=True),
    Shown("jobs-page", "empty", "Jobs"),
    Shown("jobs-page", "crisis", "Jobs", scenes.crisis),
    Shown("jobs-page", "many", "Jobs", scenes.many),
    Shown("jobs-page", "stuck", "Jobs", scenes.stuck, query="status=stuck"),
    Shown("jobs-page", "none stuck", "Jobs", query="status=stuck"),
    Shown("jobs-page", "cursor forged", "This could not be done", query="cursor=!!", status=400),
    Shown("jobs-page", "hostile", "Jobs", scenes.hostile, hostile=True),
    Shown("job-page", "queued", MADE, scenes.job),
    Shown("job-page", "running", MADE, partial(scenes.job, "processing")),
    Shown("job-page", "stuck", MADE, partial(scenes.job, "processing", lease_s=-60)),
    Shown("job-page", "failed", MADE, partial(scenes.job, "failed"), does=open_every_fold),
    Shown("job-page", "cancelled", MADE, partial(scenes.job, "cancelled")),
    Shown("job-page", "completed", MADE, partial(scenes.job, "completed")),
    Shown("job-page", "partial", MADE, scenes.partly_made),
    Shown("job-page", "verified", "Verify bundle", partial(scenes.verifying, ok=True)),
    Shown("job-page", "not verified", "Verify bundle", partial(scenes.verifying, ok=False)),
    Shown("job-page", "restored", "Restore bundle", DONE),
    Shown("job-page", "not found", "Not found", scenes.somewhere, status=404),
    Shown("job-page", "hostile", MADE, scenes.hostile_job, hostile=True),
    Shown("job-page", "hostile and running", MADE, scenes.hostile_running, hostile=True),
    Shown("restore", "empty", "Restore a bundle"),
    Shown("restore", "many", "Restore a bundle", scenes.many),
    Shown("restore", "crisis", "Restore a bundle", scenes.crisis, does=open_every_fold),
    Shown("restore", "forbidden", REFUSED, role="analyst", status=403),
    Shown("restore-preview", "running", "Preview of a restore", partial(scenes.restore, "processing")),
    Shown("restore-preview", "to confirm", "Preview of a restore", scenes.restore, does=open_every_fold),
    Shown("restore-preview", "wrong id", "Preview of a restore", scenes.restore, does=confirm_another_incident),
    Shown("restore-preview", "no news", "Preview of a restore", NO_NEWS),
    Shown("restore-preview", "restored", "Restore", DONE),
    Shown("restore-preview", "plan changed", "Restore", CHANGED),
    Shown("restore-preview", "cancelled", "Restore", partial(scenes.restore, "cancelled", dry_run=False)),
    Shown("restore-preview", "hostile", "Preview of a restore", scenes.hostile_restore, hostile=True),
    Shown(
        "restore-preview", "hostile outcome", "Restore", partial(scenes.hostile_restore, dry_run=False), hostile=True
    ),
    Shown("custody-page", "empty", "Custody"),
    Shown("custody-page", "chain verified", "Custody", scenes.checked_chain, does=open_every_fold),
    Shown("custody-page", "chain broken", "Custody", partial(scenes.checked_chain, "chain_broken")),
    Shown("custody-page", "many", "Custody", scenes.many),
    Shown("custody-page", "no match", "Custody", query="incident=nowhere&object=nothing"),
    Shown("custody-page", "hostile", "Custody", scenes.hostile, hostile=True),
    Shown("workers-page", "none", "Workers"),
    Shown("workers-page", "crisis", "Workers", scenes.crisis),
    Shown("workers-page", "hostile", "Workers", scenes.hostile, hostile=True),
)
HOSTILE = tuple(shown for shown in CATALOGUE if shown.hostile)
