"""One action on many jobs: first a plan that says what will happen to each job or why nothing will, then its execution.

The confirmation names each job with the state in which the plan showed it. A job that has changed since is refused.
The queue's own statements check again, so a job with a valid lease is never retried or freed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet, Value
from django.db.models.functions import Coalesce, Now

from foundation.errors import AppError, InvalidRequestError
from foundation.principal import Principal
from jobs import services
from jobs.errors import StateConflictError
from jobs.models import ACTIVE, Job, Status

MOST_AT_ONCE = 500
MOST_IN_A_PREVIEW = 100  # of the console: a page that a person can read and that loads as fast as others
STUCK_NOW = Q(status__in=[Status.PROCESSING], lease_expires_at__lte=Now())


@dataclass(frozen=True, kw_only=True)
class Action:
    """One action.

    Attributes:
        name: stable; used in URLs and forms.
        title: the heading of its preview.
        button: the label of the confirming button.
        explanation: what will happen, in one sentence.
        permission: the permission it needs.
        applies_to: which jobs it can change.
        act: does it to one job.
    """

    name: str
    title: str
    button: str
    explanation: str
    permission: str
    applies_to: Q
    act: Callable[[Principal, UUID], object]


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What the action does to one job: `says` is what will happen, or why nothing will; `stuck` is by the database."""

    job: Job
    says: str
    stuck: bool

    @property
    def ticket(self) -> str:
        """The job and its state in the plan, for the confirming form."""
        return _ticket(self.job, stuck=self.stuck)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What an action would do: which jobs it changes, which it leaves alone, whether more matched than it may take."""

    action: Action
    touched: tuple[Planned, ...]
    left_alone: tuple[Planned, ...]
    cut: bool


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A job of a confirmed plan that was not changed: why, with the error's code."""

    job_id: UUID
    why: str
    code: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What was done of a confirmed plan."""

    done: tuple[UUID, ...]
    refused: tuple[Refusal, ...]


ACTIONS = {
    action.name: action
    for action in (
        Action(
            name="free_stuck",
            title="Free stuck jobs",
            button="Free these jobs",
            explanation=(
                "Each goes back to the queue at once, or fails as poison if its attempts are used up."
                " The worker that held it can no longer write to it."
            ),
            permission="jobs.free_job",
            applies_to=STUCK_NOW,
            act=lambda principal, job_id: services.free_stuck(principal, [job_id]),
        ),
        Action(
            name="retry",
            title="Retry jobs",
            button="Retry these jobs",
            explanation="Each goes back to the queue with all its attempts; its history is kept.",
            permission="jobs.retry_job",
            applies_to=Q(status__in=[Status.FAILED, Status.CANCELLED]),
            act=services.retry,
        ),
        Action(
            name="cancel",
            title="Cancel jobs",
            button="Cancel these jobs",
            explanation="A queued job is cancelled at once; a running one is asked to stop at its next progress point.",
            permission="jobs.cancel_job",
            applies_to=Q(status__in=[Status.QUEUED, Status.PROCESSING]),
            act=services.cancel,
        ),
    )
}


def action_called(name: str) -> Action:
    """The action called `name`.

    Raises:
        InvalidRequestError: there is none.
    """
    if name not in ACTIONS:
        raise InvalidRequestError("There is no such action.", {"action": "one of " + ", ".join(ACTIONS)})
    return ACTIONS[name]


def plan(principal: Principal, action: Action, job_ids: Iterable[UUID], *, cut: bool = False) -> Plan:
    """What `action` would do to each job; changes nothing.

    Raises:
        AccessDeniedError: the principal may not see jobs, or not take this action.
    """
    principal.require("jobs.view_job")
    principal.require(action.permission)
    jobs = _with_stuck(Job.objects.filter(job_id__in=list(job_ids)[:MOST_AT_ONCE]))
    retried = action.name == "retry"
    equal_jobs = active_jobs(job.active_key for job, _ in jobs if job.active_key is not None) if retried else {}
    touched: list[Planned] = []
    left: list[Planned] = []
    for job, stuck in jobs:
        will, why = _prospect(action, job, stuck=stuck)
        if will and job.active_key in equal_jobs:
            will, why = "", f"Job {equal_jobs[job.active_key]} is already doing the same."
        elif will and action.name == "retry" and job.active_key is not None:
            equal_jobs[job.active_key] = job.job_id
        (touched if will else left).append(Planned(job=job, says=will or why, stuck=stuck))
    return Plan(action=action, touched=tuple(touched), left_alone=tuple(left), cut=cut)


def carry_out(principal: Principal, action: Action, tickets: Iterable[str]) -> Outcome:
    """Take the action on exactly the jobs that the tickets name, each in a transaction of its own.

    Args:
        principal: who asks.
        action: what to do.
        tickets: from `Planned.ticket`; each is checked again before the action.

    Raises:
        AccessDeniedError: the principal may not take this action.
        InvalidRequestError: a ticket is malformed.
    """
    principal.require(action.permission)
    wanted = dict.fromkeys(list(tickets)[:MOST_AT_ONCE])
    ids = {ticket: _job_id(ticket) for ticket in wanted}
    jobs = _with_stuck(Job.objects.filter(job_id__in=ids.values()))
    now = {job.job_id: _ticket(job, stuck=stuck) for job, stuck in jobs}
    done, refused = [], []
    for ticket, job_id in ids.items():
        try:
            if now.get(job_id, ticket) != ticket:
                raise StateConflictError("It has changed since the preview; nothing was done to it.")
            action.act(principal, job_id)
            done.append(job_id)
        except AppError as error:
            refused.append(Refusal(job_id=job_id, why=str(error), code=error.code))
    return Outcome(done=tuple(done), refused=tuple(refused))


def _with_stuck(jobs: QuerySet[Job]) -> list[tuple[Job, bool]]:
    """The jobs, oldest first, each with whether it is stuck by the database's clock."""
    expired = ExpressionWrapper(Q(lease_expires_at__lte=Now()), output_field=BooleanField())
    rows = jobs.annotate(expired=Coalesce(expired, Value(False))).order_by("created_at", "job_id")  # noqa: FBT003 # SQL
    return [(job, job.is_processing and bool(job.expired)) for job in rows]


def active_jobs(active_keys: Iterable[str]) -> dict[str, UUID]:
    """The queued or processing jobs with these active keys, by key."""
    active = Job.objects.filter(status__in=ACTIVE, active_key__in=list(active_keys)).values_list("active_key", "job_id")
    return {key: job_id for key, job_id in active if key is not None}


def _ticket(job: Job, *, stuck: bool) -> str:
    return f"{job.job_id}.{'stuck' if stuck else job.status}.{job.attempts}"


def _job_id(ticket: str) -> UUID:
    try:
        return UUID(ticket.partition(".")[0])
    except ValueError as error:
        raise InvalidRequestError("This job is not from a preview; go back to the list and choose again.") from error


def _prospect(action: Action, job: Job, *, stuck: bool) -> tuple[str, str]:
    """What will happen to the job, or else why nothing will: one of the two is empty."""
    if action.name == "free_stuck":
        return _if_freed(job, stuck=stuck)
    if action.name == "retry":
        return _if_retried(job, stuck=stuck)
    return _if_cancelled(job, stuck=stuck)


def _if_freed(job: Job, *, stuck: bool) -> tuple[str, str]:
    if job.is_queued:
        return "", "It is queued: no worker holds it."
    if not job.is_processing:
        return "", f"It has ended ({job.status}): no worker holds it."
    if not stuck:
        return "", f"Its lease is valid: worker {job.worker_id} is running it."
    if job.cancel_requested:
        return "Ends as cancelled, as was asked.", ""
    if job.retry_count + 1 >= job.max_retries:
        return "Fails as poison: its last attempt is used up.", ""
    return "Goes back to the queue.", ""


def _if_retried(job: Job, *, stuck: bool) -> tuple[str, str]:
    if job.is_failed or job.is_cancelled:
        return f"Goes back to the queue with {job.max_retries} new attempts.", ""
    if stuck:
        return "", "It is stuck: free it instead."
    if job.is_processing:
        return "", f"It is running: worker {job.worker_id} holds a valid lease."
    if job.is_queued:
        return "", "It is queued already."
    return "", "It is completed. To do its work again, make a copy of it."


def _if_cancelled(job: Job, *, stuck: bool) -> tuple[str, str]:
    if job.is_queued:
        return "Is cancelled at once.", ""
    if not job.is_processing:
        return "", f"It has ended already ({job.status})."
    if job.cancel_requested:
        return "", "It was asked to stop already."
    if stuck:
        return "Is asked to stop; as its worker is silent, it ends when it is freed.", ""
    return "Is asked to stop at its next safe point; nothing incomplete is kept.", ""
