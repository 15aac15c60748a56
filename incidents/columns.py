"""The columns of the list of records: all there are, and those that are shown until a person chooses others."""

from __future__ import annotations

from dataclasses import dataclass

from incidents.timeline.filters import EVERYTHING


@dataclass(frozen=True)
class Column:
    """One column: its name in addresses and its title."""

    name: str
    title: str


ALL = (
    Column("time", "Time (UTC)"),
    Column("kind", "Kind"),
    Column("severity", "Severity"),
    Column("phase", "Phase"),
    Column("what", "What"),
    Column("ends", "Source, target"),
    Column("hosts", "Hosts"),
    Column("accounts", "Accounts"),
)
USUAL = ("time", "severity", "phase", "what", "ends")


def shown(chosen: tuple[str, ...], kind: str) -> list[Column]:
    """The chosen columns in their order, or the usual ones; the time, which opens the record, is always among them."""
    names = {*(chosen or USUAL), "time", *(("kind",) if kind == EVERYTHING else ())}
    return [column for column in ALL if column.name in names]
