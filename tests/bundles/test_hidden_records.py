"""Records are written where nobody sees them, and shown with their bundle; what nobody will show is removed."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from bundles.models import IndexedRecord, KeptTimeline, Observable, RecordCount
from bundles.timelines import record_index
from foundation.principal import SYSTEM
from incidents import services
from incidents.search import records, search
from jobs.models import Job
from tests.support import console_rows as rows
from tests.support import timeline_rows as timelines

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("orch")]
ADDRESS = "203.0.113.7"


def left() -> int:
    """How many rows of any kind an index has left."""
    return sum(model.objects.count() for model in (KeptTimeline, IndexedRecord, RecordCount, Observable))


def attempt() -> UUID:
    """The lease of a running attempt."""
    lease = rows.job("processing").lease_token
    assert lease is not None
    return lease


def end_of(lease: UUID) -> None:
    Job.objects.get(lease_token=lease).delete()


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("after", [0, 1, 3, 5, None])
def test_an_attempt_that_ends_at_any_moment_shows_nothing_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int | None
) -> None:
    for name in ("BATCH", "CHECK_EVERY", "REMOVED_AT_ONCE"):
        monkeypatch.setattr(record_index, name, 10)
    rows.bundle()
    read = timelines.prepared(tmp_path, (timelines.event(n, source=ADDRESS) for n in range(55)))
    lease, calls = attempt(), iter(range(100))

    def check() -> None:
        if next(calls) == after:
            raise KilledError

    if after is None:
        assert record_index.write_hidden(rows.INCIDENT, read, lease, check).hidden
    else:
        with pytest.raises(KilledError):
            record_index.write_hidden(rows.INCIDENT, read, lease, check)
    assert IndexedRecord.objects.count() == (55 if after is None else 10 * after)
    assert services.view(SYSTEM, rows.INCIDENT).kept is None
    assert search.search(SYSTEM, "logon_failure").is_empty
    assert record_index.remove_hidden() == 0
    end_of(lease)
    assert record_index.remove_hidden() == 1
    assert left() == 0


def test_registering_a_bundle_writes_no_record_and_makes_all_of_them_visible(tmp_path: Path) -> None:
    timelines.kept(tmp_path / "before", timelines.events(20))
    lease = attempt()
    read = timelines.prepared(tmp_path / "now", timelines.events(30))
    read = record_index.write_hidden(rows.INCIDENT, read, lease)
    assert timelines.timeline().kept == 20
    bundle = rows.bundle()
    with CaptureQueriesContext(connection) as asked, transaction.atomic():
        record_index.keep_bundled(rows.INCIDENT, bundle.bundle_id, read)
    assert not [query["sql"] for query in asked if "orchestrator_indexed_records" in query["sql"]]
    assert (timelines.timeline().kept, timelines.timeline().pk) == (30, read.hidden)
    end_of(lease)
    assert record_index.remove_hidden() == 1
    assert IndexedRecord.objects.count() == 30


def test_of_two_attempts_with_equal_records_the_second_leaves_none(tmp_path: Path) -> None:
    leases = [attempt(), attempt()]
    both = [timelines.prepared(tmp_path / str(n), timelines.events(20)) for n in range(2)]
    written = [record_index.write_hidden(rows.INCIDENT, read, lease) for read, lease in zip(both, leases, strict=True)]
    for read, lease in zip(written, leases, strict=True):
        with transaction.atomic():
            record_index.keep_bundled(rows.INCIDENT, rows.bundle().bundle_id, read)
        end_of(lease)
    assert record_index.remove_hidden() == 1
    assert (timelines.timeline().pk, IndexedRecord.objects.count()) == (written[0].hidden, 20)


def test_hidden_records_use_up_no_place_of_a_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MOST_READ", 5)
    timelines.kept(tmp_path / "before", timelines.events(90))
    timelines.kept(tmp_path / "now", timelines.events(3))
    assert KeptTimeline.objects.filter(origin=KeptTimeline.Origin.HIDDEN).exists()
    [group] = search.search(SYSTEM, "logon_failure").groups
    assert group.events == search.Count(1)
