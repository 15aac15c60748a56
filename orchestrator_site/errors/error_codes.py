"""Every error code with what happened, whether the evidence is safe, and what to do.

Built from the lists that the program uses: PROBLEMS, BY_CODE of `advice`, CODES of `format.model.errors`.
"""

from __future__ import annotations

from dataclasses import dataclass

from bundles.format.model.errors import CODES, STEPS
from orchestrator_site.errors import advice, error_words
from orchestrator_site.errors.problems import PROBLEMS

NOTHING_CHANGED = "Yes. Nothing was changed."
OF_A_BUNDLE = "Stored evidence is safe. Do not trust this file."
REQUESTS, JOBS, BUNDLES = "Refused requests", "Failed jobs", "Refused bundles"


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """The meaning of a code for a request, a job, or a bundle.

    Attributes:
        where: one of `REQUESTS`, `JOBS`, `BUNDLES`.
        title: what happened.
        safe: whether the evidence is.
        todo: what to do.
        note: an HTTP status or a verification step; may be empty.
    """

    where: str
    title: str
    safe: str
    todo: str
    note: str = ""


def everything() -> dict[str, list[Meaning]]:
    """Each code in alphabetical order, with all its meanings."""
    found: dict[str, list[Meaning]] = {}
    for code, (status, title) in PROBLEMS.items():
        safe = error_words.SAFE_AFTER.get(code, NOTHING_CHANGED)
        todo = error_words.AFTER_A_REFUSAL[code]
        found.setdefault(code, []).append(
            Meaning(where=REQUESTS, title=title, safe=safe, todo=todo, note=f"HTTP {status}")
        )
    for code, (title, todo) in {**error_words.OF_ATTEMPTS, **advice.BY_CODE}.items():
        if code not in CODES:
            found.setdefault(code, []).append(Meaning(where=JOBS, title=title, safe=advice.SAFE_ANY, todo=todo))
    for code, step in CODES.items():
        todo = advice.BY_CODE.get(code, advice.REJECTED)[1]
        title = error_words.WRONG_WITH_A_BUNDLE[code]
        found.setdefault(code, []).append(
            Meaning(where=BUNDLES, title=title, safe=OF_A_BUNDLE, todo=todo, note=STEPS[step])
        )
    return dict(sorted(found.items()))
