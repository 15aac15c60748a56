"""Which incidents a person may see in a search. Every result passes through here."""

from __future__ import annotations

from collections.abc import Iterable

from foundation.principal import Principal


def visible(principal: Principal, incident_ids: Iterable[str]) -> set[str]:
    """Those of the given incidents that `principal` may see.

    Permissions today are for all incidents alike, so these are all of them. Each kind of result has its permission
    besides.
    """
    del principal
    return set(incident_ids)
