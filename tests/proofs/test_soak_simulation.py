"""The simulation of the queue: the rules hold in 20 seeds, a seed comes back the same, and broken rules are found."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jobs.queue import transitions
from soak import driver
from soak.rules import BrokenRuleError
from soak.stage import Stage

SEEDS, SHARE = 20, 10  # `make soak` plays 10,000
UNGUARDED = "job_id = %(job_id)s AND (%(token)s::uuid IS NOT NULL) AND status = 'processing'"


@pytest.fixture(scope="module")
def stage(django_db_blocker) -> Iterator[Stage]:
    """A database of the simulation's own on the test run's server."""
    with django_db_blocker.unblock():
        made = Stage(f"soak_{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}")
        logging.disable(logging.CRITICAL)  # each cut connection would be told
        yield made
        logging.disable(logging.NOTSET)
        made.close()


@pytest.mark.parametrize("first", range(1, SEEDS + 1, SHARE))
def test_in_no_seed_is_a_rule_broken(stage, first):
    happened: set[str] = set()
    for seed in range(first, first + SHARE):
        happened |= set(stage.play(seed).counts)
    assert {"queued to processing", "processing to completed", "freeze"} <= happened


def test_a_seed_comes_back_the_same_step_by_step(stage):
    once, again = stage.play(7), stage.play(7)
    assert once.lines == again.lines
    assert stage.play(8).lines != once.lines


def test_a_restart_of_the_database_breaks_no_rule_either(stage, monkeypatch):
    monkeypatch.setattr(driver, "RESTARTS", 1.0)
    assert [stage.play(seed).counts["restart"] for seed in (1, 2, 3)] == [1, 1, 1]


def found(stage: Stage, most: int) -> str:
    """The rule that the first failing seed broke; empty when none did."""
    for seed in range(1, most + 1):
        why, story = broken_in(stage, seed)
        if why:
            assert story.seed == seed
            return why
    return ""


def broken_in(stage: Stage, seed: int) -> tuple[str, Any]:
    try:
        return "", stage.play(seed)
    except BrokenRuleError as error:
        return str(error), error.story


def unguarded(statement: str) -> str:
    assert transitions.MINE in statement
    return statement.replace(transitions.MINE, UNGUARDED)


# What is wrong, with which statement, and what the ledger must say of it.
BROKEN: dict[str, tuple[str, Callable[[], str], str]] = {
    "completing without the token": (
        "COMPLETE", lambda: unguarded(transitions.COMPLETE), "the lease (belongs to|was over)",
    ),
    "failing without the token": ("FAIL", lambda: unguarded(transitions.FAIL), "the lease (belongs to|was over)"),
    "an expired lease that its holder may still use": (
        "COMPLETE", lambda: transitions.COMPLETE.replace("AND lease_expires_at > clock_timestamp()", ""),
        "the lease was over",
    ),
    "recovery of running leases": (
        "RECOVER", lambda: transitions.RECOVER.replace("AND lease_expires_at <= statement_timestamp()", ""),
        "its lease still runs",
    ),
    "a retry of running jobs": (
        "RETRY",
        lambda: transitions.RETRY.replace(
            "IN ('failed', 'cancelled')", "IN ('failed', 'cancelled', 'processing')"
        ).replace("SET status", "SET lease_token = NULL, lease_expires_at = NULL, worker_id = '', status"),
        "processing to queued by .*/retry: nobody may do that",
    ),
    "recovery that forgets to count": (
        "RECOVER", lambda: transitions.RECOVER.replace("retry_count = retry_count + 1,", ""),
        "failed attempts went up by 0",
    ),
    "an attempt that is never closed": (
        "RELEASE", lambda: transitions.RELEASE.replace("attempt.number = moved.attempts", "attempt.number < 0"),
        "a running attempt other than exactly while processing",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_the_simulation_finds(stage, monkeypatch, what):
    name, broken, why = BROKEN[what]
    statement = broken()
    assert statement != getattr(transitions, name)
    monkeypatch.setattr(transitions, name, statement)
    assert re.search(why, found(stage, most=60))


def test_the_simulation_finds_an_attempt_that_leaves_its_file_behind(stage, monkeypatch):
    monkeypatch.setattr("bundles.storage.bundle_files.withdraw", lambda _staging: None)
    assert "files and results differ" in found(stage, most=60)


def test_the_simulation_finds_an_attempt_that_takes_back_what_it_may_have_completed(stage, monkeypatch):
    monkeypatch.setattr("jobs.worker.completion.answer_was_lost", lambda _error: False)
    monkeypatch.setattr(driver, "LOST_COMMITS", 0.9)
    assert "is gone" in found(stage, most=60)


def test_the_simulation_finds_a_worker_that_may_stay_in_its_transaction_for_ever(stage, monkeypatch):
    monkeypatch.setattr(transitions, "COMPLETE", transitions.COMPLETE.replace("%(idle_ms)s", "'0'"))
    monkeypatch.setattr(driver, "FREEZES", 0.15)
    assert re.search("some never end|not ended while a worker is frozen", found(stage, most=60))
