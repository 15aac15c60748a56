"""Verifying many bundles: a plan that says of each what will happen or why not, then exactly that."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from bundles import services
from bundles.errors import InvalidBundleRequestError
from bundles.handlers.verify import JOB_TYPE as VERIFY
from bundles.models import Bundle
from foundation.errors import AppError
from foundation.principal import Principal
from jobs.batch import active_jobs

MOST_AT_ONCE = 100


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What verifying means for one bundle: `says` is what will happen, or why nothing will."""

    bundle: Bundle
    says: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which bundles would be verified, which left alone, the bytes that would be read, and whether more matched."""

    touched: tuple[Planned, ...]
    left_alone: tuple[Planned, ...]
    size_bytes: int
    cut: bool


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A bundle that was not touched after all: why, with a code."""

    bundle_id: UUID
    why: str
    code: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a confirmed plan: bundles with the job that verifies each, and those that were refused."""

    started: tuple[tuple[UUID, UUID], ...]
    refused: tuple[Refusal, ...]


def plan(principal: Principal, bundle_ids: Iterable[UUID], *, cut: bool = False) -> Plan:
    """Say what verifying would do to each bundle; changes nothing.

    Raises:
        AccessDeniedError: the principal may not see bundles, or not verify them.
    """
    principal.require("bundles.view_bundle")
    principal.require("bundles.verify_bundle")
    bundles = Bundle.objects.filter(bundle_id__in=list(bundle_ids)[:MOST_AT_ONCE]).order_by("-created_at", "-bundle_id")
    found = list(bundles)
    at_work = _at_work(bundle.bundle_id for bundle in found)
    touched, left = [], []
    for bundle in found:
        job_id = at_work.get(bundle.bundle_id)
        if job_id:
            left.append(Planned(bundle=bundle, says=f"A verification is at work already: job {job_id}."))
        elif bundle.state == Bundle.State.LOST:
            left.append(Planned(bundle=bundle, says="Its file is lost; there is nothing to read."))
        else:
            said = "Its whole file is read and every digest and the signature are checked."
            touched.append(Planned(bundle=bundle, says=said))
    size = sum(planned.bundle.size for planned in touched)
    return Plan(touched=tuple(touched), left_alone=tuple(left), size_bytes=size, cut=cut)


def carry_out(principal: Principal, bundle_ids: Iterable[str]) -> Outcome:
    """Queue a verification of exactly these bundles; one that is being verified by now is refused.

    Raises:
        AccessDeniedError: the principal may not verify bundles.
        InvalidBundleRequestError: something is no bundle id.
    """
    principal.require("bundles.verify_bundle")
    ids = ids_of(bundle_ids)[:MOST_AT_ONCE]
    lost = set(Bundle.objects.filter(bundle_id__in=ids, state=Bundle.State.LOST).values_list("bundle_id", flat=True))
    started, refused = [], []
    for bundle_id in ids:
        if bundle_id in lost:
            refused.append(Refusal(bundle_id=bundle_id, why="Its file is lost by now.", code="bundle_lost"))
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
    """Bundle ids as a form or an address names them, each once.

    Raises:
        InvalidBundleRequestError: something is no bundle id.
    """
    try:
        return list(dict.fromkeys(UUID(text) for text in texts))
    except ValueError as error:
        raise InvalidBundleRequestError("This is no bundle id.", {"bundle": "not a bundle id"}) from error


def _at_work(bundle_ids: Iterable[UUID]) -> dict[UUID, UUID]:
    keys = {f"{VERIFY} {bundle_id}": bundle_id for bundle_id in bundle_ids}
    return {keys[key]: job_id for key, job_id in active_jobs(keys).items()}
