"""The end of a restore: does every artifact record that the bundle carries have its file, with its digest?

Reads every file from disk again instead of relying on the earlier steps.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rehydration import artifacts
from rehydration.matching import EQUAL
from rehydration.plan import Plan

MAX_PROBLEMS_REPORTED = 50


def file_problems(plan: Plan, store: Path, on_bytes: Callable[[int], None]) -> list[str]:
    """What is wrong with the files of the plan, one sentence each; empty when all is well.

    Args:
        plan: as carried out.
        store: the artifact store.
        on_bytes: called with the number of bytes just read.
    """
    problems = []
    for file in plan.files.values():
        state = artifacts.state_of(store, file.stored_path, file.entry.size, file.entry.sha256, on_bytes)
        if state.verdict != EQUAL:
            problems.append(f"{file.stored_path}: {state.reason or 'the file is not there'}")
    return problems
