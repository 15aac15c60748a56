"""Verifies many bundles at once: first a plan that describes what happens to each, then exactly that."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from bundles import services
from bundles.errors import InvalidBundleRequestError
from bundles.handlers import verify_request
from bundles.models import Bundle
from foundation.errors import AppError
from foundation.principal import Principal
from jobs.batch import active_jobs

MOST_AT_ONCE = 100


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One bundle of a plan: `says` is what will happen to it, or why nothing will."""

    bundle: Bundle
    says: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The bundles to be verified, the bundles to be skipped, the bytes to be read, and whether the list was cut."""

    touched: tuple[Planned, ...]
    left_alone: tuple[Planned, ...]
    size_bytes: int
    cut: bool


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A bundle that was not verified: the reason and its code."""

    bundle_id: UUID
    why: str
    code: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of a confirmed plan: (bundle id, job id) of each started verification, and the refusals."""

    started: tuple[tuple[UUID, UUID], ...]
    refused: tuple[Refusal, ...]


def plan(principal: Principal, bundle_ids: Iterable[UUID], *, cut: bool = False) -> Plan:
    """Plan the verification of bundles; changes nothing.

    Raises:
        AccessDeniedError: the principal may not see bundles, or not verify them.
    """
    principal.require("bundles.view_bundle")
    principal.require("bundles.verify_bundle")
    bundles = Bundle.objects.filter(bundle_id__in=list(bundle_ids)[:MOST_AT_ONCE]).order_by("-created_at", "-bundle_id")
    found = list(bundles)
    running = _running_jobs(bundle.bundle_id for bundle in found)
    touched, left = [], []
    for bundle in found:
        job_id = running.get(bundle.bundle_id)
        if job_id:
            left.append(Planned(bundle=bundle, says=f"A verification is already running: job {job_id}."))
        elif bundle.state == Bundle.State.LOST:
            left.append(Planned(bundle=bundle, says="Its file is lost; there is nothing to read."))
        else:
            says = "Its whole file is read and every digest and the signature are checked."
            touched.append(Planned(bundle=bundle, says=says))
    size = sum(planned.bundle.size for planned in touched)
    return Plan(touched=tuple(touched), left_alone=tuple(left), size_bytes=size, cut=cut)


def carry_out(principal: Principal, bundle_ids: Iterable[str]) -> Outcome:
    """Queue a verification of exactly these bundles; those already being verified are refused.

    Raises:
        AccessDeniedError: the principal may not verify bundles.
        InvalidBundleRequestError: an id is not a bundle id.
    """
    principal.require("bundles.verify_bundle")
    ids = ids_of(bundle_ids)[:MOST_AT_ONCE]
    lost = set(Bundle.objects.filter(bundle_id__in=ids, state=Bundle.State.LOST).values_list("bundle_id", flat=True))
    started, refused = [], []
    for bundle_id in ids:
        if bundle_id in lost:
            refused.append(Refusal(bundle_id=bundle_id, why="Its file is lost.", code="bundle_lost"))
            continue
        try:
            enqueued = services.request_verification(principal, bundle_id)
        except AppError as error:
            refused.append(Refusal(bundle_id=bundle_id, why=str(error), code=error.code))
            continue
        if enqueued.created:
            started.append((bundle_id, enqueued.job.job_id))
        else:
            why = f"A verification was started meanwhile: job {enqueued.job.job_id}."
            refused.append(Refusal(bundle_id=bundle_id, why=why, code="state_conflict"))
    return Outcome(started=tuple(started), refused=tuple(refused))


def ids_of(texts: Iterable[str]) -> list[UUID]:
    """Parse bundle ids from a form or an address, without duplicates.

    Raises:
        InvalidBundleRequestError: an id is not a bundle id.
    """
    try:
        return list(dict.fromkeys(UUID(text) for text in texts))
    except ValueError as error:
        raise InvalidBundleRequestError("This is not a bundle id.", {"bundle": "not a bundle id"}) from error


def _running_jobs(bundle_ids: Iterable[UUID]) -> dict[UUID, UUID]:
    """Bundle id → the active job that verifies it."""
    keys = {verify_request.active_key(bundle_id): bundle_id for bundle_id in bundle_ids}
    return {keys[key]: job_id for key, job_id in active_jobs(keys).items()}
