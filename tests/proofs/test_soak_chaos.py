"""The schedule of faults; `make soak` runs the chaos itself."""

from __future__ import annotations

from itertools import pairwise

from soak.faults import WEIGHTS, schedule


def test_the_same_seed_gives_the_same_faults_and_another_seed_others():
    assert schedule(7, 300) == schedule(7, 300)
    assert schedule(7, 300) != schedule(8, 300)


def test_a_run_of_five_minutes_has_every_kind_of_fault():
    faults = schedule(1, 300)
    assert {fault.kind for fault in faults} == set(WEIGHTS)
    assert all(0 < earlier.at_s < later.at_s < 300 for earlier, later in pairwise(faults))
