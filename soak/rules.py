"""The queue's rules of docs/job-lifecycle.md, implemented a second time and checked on every change of a job.

Independent of the product's statements on purpose: the ledger knows only which action changed what, in which order,
and at which time of the database's clock.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

Move = dict[str, Any]

ALLOWED_ACTIONS = {
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
SLACK = timedelta(milliseconds=1)  # each reading advances the clock by a microsecond


class BrokenRuleError(Exception):
    """A rule did not hold; the message says which and where, `trace` holds the steps before."""

    trace: Any = None


class Ledger:
    """The known state of every job, and the checks of each change.

    Attributes:
        states: job id to state, after the committed changes.
        entered: how often each state was entered.
    """

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.entered: Counter[str] = Counter()
        self._holders: dict[str, str] = {}
        self._keys: dict[tuple[str, str, str], str] = {}
        self._totals: dict[str, int] = {}

    def apply(self, move: Move, waited_s: float = 0.0) -> None:
        """Check one change and record it.

        Args:
            move: a row of `soak_moves`.
            waited_s: how long the statement waited for a lock; the lease need only have been valid when the wait began,
                as no other worker could take the job from then on.

        Raises:
            BrokenRuleError: the change is not allowed.
        """
        job, was, became = str(move["job_id"]), move["was"], move["became"]
        process, _, kind = str(move["action"]).split("/")
        change = f"job {job}, {was} to {became} by {move['action']}"
        _require(self.states.get(job) == was, f"{change}: it was {self.states.get(job)}")
        _require(kind in ALLOWED_ACTIONS.get((was, became), ()), f"{change}: this action may not do that")
        if was == "processing" and kind in HOLDERS:
            self._by_holder(move, process, change, timedelta(seconds=waited_s))
        elif was == "processing" and kind in {"recover", "free"}:
            _require(move["lease_was"] <= move["at"] + SLACK, f"{change}: its lease is still valid")
        if became == "processing" and was == "queued":
            _require(move["due_was"] <= move["at"] + SLACK, f"{change}: it is not due")
            _require(str(move["token"]) not in self._holders, f"{change}: the token was used before")
            self._holders[str(move["token"])] = process
        _check_counts(move, kind, change)
        if was != became:
            self.entered[became] += 1
        self.states[job] = became

    def _by_holder(self, move: Move, process: str, change: str, waited: timedelta) -> None:
        holder = self._holders.get(str(move["token_was"]))
        _require(holder == process, f"{change}: the lease belongs to {holder}")
        _require(move["lease_was"] + SLACK + waited >= move["at"], f"{change}: the lease had expired")
        before, after = move["progress_was"].get("done", 0), move["progress"].get("done", 0)
        _require(after >= before, f"{change}: progress went from {before} back to {after}")

    def totals(self, rows: list[dict[str, Any]]) -> None:
        """Check the counts of entered states against those that were seen.

        Raises:
            BrokenRuleError: one fell, or differs.
        """
        found = {str(row["status"]): int(row["count"]) for row in rows}
        for state, before in self._totals.items():
            _require(found.get(state, 0) >= before, f"the total of {state} fell from {before} to {found.get(state, 0)}")
        _require(found == dict(self.entered), f"totals say {found}, seen were {dict(self.entered)}")
        self._totals = found

    def keys(self, rows: list[dict[str, Any]]) -> None:
        """Check that each idempotency key still belongs to the same job.

        Raises:
            BrokenRuleError: it belongs to another job, or to none.
        """
        found = {(row["principal"], row["operation"], row["key"]): row["job_id"] for row in rows}
        for key, job in self._keys.items():
            _require(found.get(key) == job, f"the key {key} belonged to {job} and belongs to {found.get(key)}")
        _require(set(found.values()) <= set(self.states), "a key belongs to a job that was never accepted")
        self._keys = found

    def answered(self, key: tuple[str, str, str], job: str) -> None:
        """Check the answer to a request with an idempotency key.

        Raises:
            BrokenRuleError: it named another job than before, or one that does not exist.
        """
        _require(self._keys.get(key) == job, f"the key {key} was answered with {job}, not {self._keys.get(key)}")


def _check_counts(move: Move, kind: str, change: str) -> None:
    """Check the counters, and that the state after an attempt follows from them."""
    was, became, more = move["was"], move["became"], move["retry_count"] - (move["retry_was"] or 0)
    claimed = (was, became) == ("queued", "processing")
    _require(move["attempts"] - (move["attempts_was"] or 0) == int(claimed), f"{change}: attempts were counted wrong")
    _require(move["retry_count"] <= move["max_retries"], f"{change}: more failed attempts than the limit")
    if was in {"failed", "cancelled"}:
        _require(move["retry_count"] == 0, f"{change}: a retry gives all attempts again")
        return
    ended = was == "processing" != became
    allowed = {0, 1} if ended and kind == "work" else {int(ended and kind in {"recover", "free"})}
    _require(more in allowed, f"{change}: failed attempts went up by {more}")
    exhausted, cancelled = move["retry_count"] == move["max_retries"], bool(move["cancel_was"])
    if ended and became == "queued":
        _require(not cancelled and not exhausted, f"{change}: cancelled or out of attempts, yet queued again")
    elif ended and became == "cancelled":
        _require(cancelled, f"{change}: no cancel was requested")
    elif ended and became == "failed":
        _require(more == 1 and bool(move["error_code"]), f"{change}: failed without a failed attempt that says why")
        _require(kind == "work" or (exhausted and move["error_code"] == "poison"), f"{change}: attempts were left")
    elif became == "completed":
        _require(more == 0, f"{change}: a success was counted as a failure")
    elif (was, became) == ("processing", "processing") and kind == "cancel":
        _require(bool(move["cancel_requested"]), f"{change}: the request was not recorded")


def _require(condition: bool, otherwise: str) -> None:  # noqa: FBT001 # an assertion with a message
    if not condition:
        raise BrokenRuleError(otherwise)
