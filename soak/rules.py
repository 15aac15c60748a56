"""The queue's rules as docs/job-lifecycle.md tells them, written anew and held against every change of a job.

Independent of the product's statements on purpose: the ledger knows only who did what, in which order, and at which
time on the database's clock.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

Move = dict[str, Any]

WHO = {
    (None, "queued"): {"enqueue"},
    ("queued", "processing"): {"work"},
    ("queued", "cancelled"): {"cancel"},
    ("processing", "processing"): {"work", "beat", "cancel"},
    ("processing", "completed"): {"work"},
    ("processing", "queued"): {"work", "recover", "free"},
    ("processing", "failed"): {"work", "recover", "free"},
    ("processing", "cancelled"): {"work", "recover", "free"},
    ("failed", "queued"): {"retry"},
    ("cancelled", "queued"): {"retry"},
}
HOLDERS = {"work", "beat"}
SLACK = timedelta(milliseconds=1)  # each look at the clock moves it by a microsecond


class BrokenRuleError(Exception):
    """A rule did not hold; the message says which and where, `story` what led there."""

    story: Any = None


class Ledger:
    """What is known of every job, and the checks of what is new.

    Attributes:
        states: job id to state, as the committed changes left it.
        entered: how often each state was entered.
    """

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.entered: Counter[str] = Counter()
        self._holders: dict[str, str] = {}
        self._keys: dict[tuple[str, str, str], str] = {}
        self._totals: dict[str, int] = {}

    def take(self, move: Move, waited_s: float = 0.0) -> None:
        """Check one change and remember it.

        Args:
            move: a row of `soak_moves`.
            waited_s: how long the statement waited for a lock; the lease need only have run when it began to wait, as
                nobody else could take the job from then on.

        Raises:
            BrokenRuleError: it must not have happened.
        """
        job, was, became = str(move["job_id"]), move["was"], move["became"]
        process, _, kind = str(move["deed"]).split("/")
        told = f"job {job}, {was} to {became} by {move['deed']}"
        _hold(self.states.get(job) == was, f"{told}: it was {self.states.get(job)}")
        _hold(kind in WHO.get((was, became), ()), f"{told}: nobody may do that, or not this way")
        if was == "processing" and kind in HOLDERS:
            self._by_holder(move, process, told, timedelta(seconds=waited_s))
        elif was == "processing" and kind in {"recover", "free"}:
            _hold(move["lease_was"] <= move["at"] + SLACK, f"{told}: its lease still runs")
        if became == "processing" and was == "queued":
            _hold(move["due_was"] <= move["at"] + SLACK, f"{told}: it is not due")
            _hold(str(move["token"]) not in self._holders, f"{told}: the token was used before")
            self._holders[str(move["token"])] = process
        _counted(move, kind, told)
        if was != became:
            self.entered[became] += 1
        self.states[job] = became

    def _by_holder(self, move: Move, process: str, told: str, waited: timedelta) -> None:
        holder = self._holders.get(str(move["token_was"]))
        _hold(holder == process, f"{told}: the lease belongs to {holder}")
        _hold(move["lease_was"] + SLACK + waited >= move["at"], f"{told}: the lease was over")
        before, after = move["progress_was"].get("done", 0), move["progress"].get("done", 0)
        _hold(after >= before, f"{told}: progress went from {before} back to {after}")

    def totals(self, rows: list[dict[str, Any]]) -> None:
        """Check the counts of entered states against those that were seen.

        Raises:
            BrokenRuleError: one fell, or differs.
        """
        found = {str(row["status"]): int(row["count"]) for row in rows}
        for state, before in self._totals.items():
            _hold(found.get(state, 0) >= before, f"the total of {state} fell from {before} to {found.get(state, 0)}")
        _hold(found == dict(self.entered), f"totals say {found}, seen were {dict(self.entered)}")
        self._totals = found

    def keys(self, rows: list[dict[str, Any]]) -> None:
        """Check that an idempotency key stands for the job it always stood for.

        Raises:
            BrokenRuleError: it stands for another, or for none any more.
        """
        found = {(row["principal"], row["operation"], row["key"]): row["job_id"] for row in rows}
        for key, job in self._keys.items():
            _hold(found.get(key) == job, f"the key {key} stood for {job} and stands for {found.get(key)}")
        _hold(set(found.values()) <= set(self.states), "a key stands for a job that nobody saw accepted")
        self._keys = found

    def answered(self, key: tuple[str, str, str], job: str) -> None:
        """Check what a request with an idempotency key was answered with.

        Raises:
            BrokenRuleError: with another job than before, or with one that does not exist.
        """
        _hold(self._keys.get(key) == job, f"the key {key} was answered with {job}, not {self._keys.get(key)}")


def _counted(move: Move, kind: str, told: str) -> None:
    """The counters, and what decides where an ended attempt leads."""
    was, became, more = move["was"], move["became"], move["retry_count"] - (move["retry_was"] or 0)
    claimed = (was, became) == ("queued", "processing")
    _hold(move["attempts"] - (move["attempts_was"] or 0) == int(claimed), f"{told}: attempts were counted wrong")
    _hold(move["retry_count"] <= move["max_retries"], f"{told}: more failed attempts than the limit")
    if was in {"failed", "cancelled"}:
        _hold(move["retry_count"] == 0, f"{told}: a retry gives all attempts again")
        return
    ended = was == "processing" != became
    allowed = {0, 1} if ended and kind == "work" else {int(ended and kind in {"recover", "free"})}
    _hold(more in allowed, f"{told}: failed attempts went up by {more}")
    spent, wanted = move["retry_count"] == move["max_retries"], not move["cancel_was"]
    if ended and became == "queued":
        _hold(wanted and not spent, f"{told}: cancelled or out of attempts, yet queued again")
    elif ended and became == "cancelled":
        _hold(not wanted, f"{told}: nobody asked for that")
    elif ended and became == "failed":
        _hold(more == 1 and bool(move["error_code"]), f"{told}: failed without a failed attempt that says why")
        _hold(kind == "work" or (spent and move["error_code"] == "poison"), f"{told}: attempts were left")
    elif became == "completed":
        _hold(more == 0, f"{told}: a success was counted as a failure")
    elif (was, became) == ("processing", "processing") and kind == "cancel":
        _hold(bool(move["cancel_requested"]), f"{told}: the request was not noted")


def _hold(condition: bool, otherwise: str) -> None:  # noqa: FBT001 # an assertion with a message
    if not condition:
        raise BrokenRuleError(otherwise)
