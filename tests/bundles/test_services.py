"""Operations on bundles: permissions, valid arguments, one job for equal requests."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.db import connection

from bundles import services
from bundles.artifacts import contents
from bundles.errors import (
    BundleNotFoundError,
    BundleUnavailableError,
    IncidentIdInvalidError,
    InvalidBundleRequestError,
)
from bundles.models import Bundle
from bundles.samples.services import Exchange
from custody.models import Event
from foundation.errors import AccessDeniedError
from foundation.keyset import CursorInvalidError
from foundation.principal import SYSTEM, Principal
from jobs import services as job_services
from jobs.errors import IdempotencyKeyReusedError
from jobs.models import Job
from jobs.worker import attempt_reporter
from jobs.worker.worker import run_one
from tests.support.main_job import FILES, INCIDENT, bundle, files_of, path_of, sources

__all__ = ["sources"]

pytestmark = pytest.mark.django_db

NOBODY = Principal(name="nobody", authenticated_by="token")


def someone(*permissions: str) -> Principal:
    return Principal(name="someone", authenticated_by="token", permissions=frozenset(permissions))


CALLS = {
    "bundles.create_bundle": lambda who: services.request_bundle(who, incident_id="x"),
    "bundles.verify_bundle": lambda who: services.request_verification(who, uuid4()),
    "bundles.view_bundle": lambda who: services.get(who, uuid4()),
    "bundles.view_bundle ": services.page,
    "bundles.view_bundle  ": lambda who: services.manifest_of(who, uuid4()),
    "bundles.download_bundle": lambda who: services.open_download(who, uuid4()),
}


@pytest.mark.parametrize("permission", CALLS)
def test_each_call_needs_its_permission_and_records_nothing_without(db, permission):
    others = {"bundles.create_bundle", "bundles.verify_bundle", "bundles.view_bundle", "bundles.download_bundle"}
    others.discard(permission.strip())
    with pytest.raises(AccessDeniedError):
        CALLS[permission](someone(*others))
    assert not Job.objects.exists()
    assert not Event.objects.exists()


BAD_IDS = ["", ".", "..", "../x", "a/b", "-a", "a b", "a" * 129, "é", "a\n", "a\x00"]


@pytest.mark.parametrize("incident_id", BAD_IDS)
def test_an_invalid_incident_id_is_refused(db, incident_id):
    with pytest.raises(IncidentIdInvalidError):
        services.request_bundle(SYSTEM, incident_id=incident_id)
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("field", "value"), [("chunk_size_mb", 0), ("chunk_size_mb", 65_537), ("source", "usb"), ("compression", "lzma")]
)
def test_an_argument_out_of_its_range_is_refused_by_name(db, field, value):
    with pytest.raises(InvalidBundleRequestError) as refused:
        services.request_bundle(SYSTEM, incident_id="x", **{field: value})
    assert list(refused.value.fields) == [field]
    assert not Job.objects.exists()


def test_an_equal_request_returns_the_active_job_and_is_recorded_once(db):
    first = services.request_bundle(SYSTEM, incident_id="x")
    again = services.request_bundle(someone("bundles.create_bundle"), incident_id="x")
    other = services.request_bundle(SYSTEM, incident_id="x", chunk_size_mb=1)
    assert (again.job.job_id, again.created) == (first.job.job_id, False)
    assert other.created
    assert Event.objects.filter(action="bundle.create").count() == Job.objects.count() == 2


def test_a_key_gives_the_same_job_for_ever_and_refuses_another_request(orch, sources):
    made = bundle(idempotency_key="k-1")
    again = services.request_bundle(SYSTEM, incident_id=INCIDENT, idempotency_key="k-1")
    assert (again.job.job_id, again.created) == (made.job_id, False)
    with pytest.raises(IdempotencyKeyReusedError):
        services.request_bundle(SYSTEM, incident_id="another", idempotency_key="k-1")
    assert services.request_bundle(SYSTEM, incident_id=INCIDENT).created


def test_a_verification_is_queued_once_while_it_is_active(orch, sources, settings):
    settings.ORCH_VERIFY_AFTER_CREATE = False
    made = bundle()
    first = services.request_verification(SYSTEM, str(made.bundle_id))
    again = services.request_verification(SYSTEM, made.bundle_id)
    assert (first.created, again.created) == (True, False)
    assert Event.objects.filter(action="bundle.verify").count() == 1
    assert run_one() is not None
    assert services.request_verification(SYSTEM, made.bundle_id).created


@pytest.mark.parametrize("bundle_id", ["", "x", "' OR 1=1", "00000000-0000-0000-0000-000000000000"])
def test_a_bundle_that_is_not_there_is_not_found(db, bundle_id):
    for call in (services.get, services.manifest_of, services.open_download, services.request_verification):
        with pytest.raises(BundleNotFoundError):
            call(SYSTEM, bundle_id)
    assert not Event.objects.exists()


def test_bundles_are_listed_newest_first_in_pages_and_by_incident(orch, sources):
    made = [bundle(), bundle(), bundle()]
    seen, cursor = [], ""
    while True:
        page = services.page(SYSTEM, limit=1, cursor=cursor)
        seen += page.items
        cursor = page.next
        if not cursor:
            break
    assert [one.bundle_id for one in seen] == [one.bundle_id for one in reversed(made)]
    assert len(services.page(SYSTEM, incident_id=INCIDENT).items) == 3
    assert services.page(SYSTEM, incident_id="another").items == []
    assert services.page(SYSTEM, incident_id="../x\x00").items == []
    with pytest.raises(CursorInvalidError):
        services.page(SYSTEM, cursor="bm9uZQ")


def test_the_contents_of_a_bundle_can_be_searched_and_paged(orch, sources):
    made = bundle()
    everything = contents.page_of(made, offset=0, limit=100)
    assert everything.total == len(everything.artifacts) == len(FILES)
    found = contents.page_of(made, text="EMPTY", offset=0, limit=100)
    assert ([artifact.path for artifact in found.artifacts], found.total) == (["artifacts/case-9.a-2/empty"], 1)
    part = contents.page_of(made, offset=2, limit=3)
    assert (part.artifacts, part.total) == (everything.artifacts[2:5], len(FILES))
    assert [record.number for record in contents.records_of(made)] == list(contents.counts_of(made).values())


def test_a_download_returns_the_file_and_is_recorded_once(orch, sources):
    made = bundle()
    with services.open_download(SYSTEM, made.bundle_id).file as file:
        assert file.read() == path_of(made).read_bytes()
    with services.open_download(SYSTEM, made.bundle_id, first_byte=False).file:
        pass
    event = Event.objects.get(action="bundle.download")
    assert (event.object_id, event.digest) == (str(made.bundle_id), made.sha256)


@pytest.mark.parametrize("fate", ["gone", "shorter", "longer", "a folder", "a link"])
def test_a_file_that_is_not_the_registered_one_is_not_downloaded_and_not_recorded(orch, sources, fate):
    made = bundle()
    path = path_of(made)
    raw = path.read_bytes()
    path.unlink()
    if fate == "shorter":
        path.write_bytes(raw[:-1])
    elif fate == "longer":
        path.write_bytes(raw + b"\x00")
    elif fate == "a folder":
        path.mkdir()
    elif fate == "a link":
        (orch.root / "elsewhere").write_bytes(raw)
        path.symlink_to(orch.root / "elsewhere")
    with pytest.raises(BundleUnavailableError):
        services.open_download(SYSTEM, made.bundle_id)
    assert not Event.objects.filter(action="bundle.download").exists()


@pytest.mark.django_db(transaction=True)
def test_a_job_that_is_cancelled_while_it_runs_makes_no_bundle(orch, sources, monkeypatch):
    monkeypatch.setattr(attempt_reporter, "LOOK_SPACING_S", 0.0)
    job = services.request_bundle(SYSTEM, incident_id=INCIDENT).job

    def cancel_meanwhile(exchange: Exchange) -> bool:
        job_services.cancel(SYSTEM, job.job_id)
        connection.close()  # of the service's thread
        return False

    sources.answers["db"] = cancel_meanwhile
    left = run_one()
    assert left is not None
    assert left.status == "cancelled"
    assert not Bundle.objects.exists()
    assert files_of(orch.output_dir) == []
    assert list((orch.output_dir / ".staging").iterdir()) == []
