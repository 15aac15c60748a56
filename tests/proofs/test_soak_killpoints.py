"""A sample of the kill points; `make soak` covers all of both jobs, which takes minutes."""

from __future__ import annotations

import pytest

from bundles.samples.services import SampleServices
from soak.killpoints import Point, cover
from tests.support.main_job import point_at

pytestmark = pytest.mark.django_db(transaction=True)

EVERY = {"bundle": 16, "restore": 32}


@pytest.mark.parametrize("kind", EVERY)
def test_a_job_is_done_once_when_its_worker_is_killed_at_the_first_last_and_every_kth_call_and_around_the_commit(
    orch, settings, tmp_path, kind
):
    chosen: list[Point] = []

    def some(points: list[Point]) -> list[Point]:
        commit = [point for point in points if "COMMIT" in point.call.shape]
        assert [point.moment for point in commit] == ["before", "after"]
        regular = [point for index, point in enumerate(points) if index % EVERY[kind] == 0 or point is points[-1]]
        chosen.extend(dict.fromkeys([*regular, *commit]))
        return chosen

    incidents = tmp_path / "incidents"
    incidents.mkdir()
    with SampleServices([incidents]) as services:
        point_at(settings, services)
        tally = cover(kind, incidents, tmp_path, some)
    assert tally.failures == []
    assert tally.covered.total() == len(chosen)
    names = {point.call.name for point in chosen}
    assert {name for name, _ in tally.covered} == names
    assert tally.found > 2 * len(chosen)
