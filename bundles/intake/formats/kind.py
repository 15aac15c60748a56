"""What a kind of file is, and the helpers that the kinds share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from bundles.intake.formats import shapes
from bundles.intake.formats.shapes import ARRAY, CSV, LINES, OBJECT, SEQUENCE, Look, Open, Row
from bundles.sources.jsonstream import Refused

TIMELINE, ALERTS = "timeline", "alerts"
RECORDS = frozenset({ARRAY, OBJECT, LINES, SEQUENCE})
TITLE_CHARACTERS = 500

Json = dict[str, Any]
Rule = Callable[[Look], bool]


class Taken(NamedTuple):
    """A record as it goes into the timeline or the alerts, without the note on where it came from.

    Attributes:
        part: `TIMELINE` or `ALERTS`.
        record: its own fields and those that were added.
        row: where it is in the file.
    """

    part: str
    record: Json
    row: Row


def _nothing(_: Json) -> Json:
    return {}


def never(_record: Json) -> bool:
    """No record is an alert."""
    return False


def always(_record: Json) -> bool:
    """Every record is an alert."""
    return True


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of file.

    Attributes:
        name: in the manifest and the API.
        title: for people.
        matches: whether a file that was looked at is of this kind.
        add: the fields to add to a record; those that it has itself are not replaced.
        each: for a record with several times: the fields to add, once for each event that it becomes.
        alert: whether a record is an alert; otherwise it is an event.
        within: the keys that lead to the records in a file of one object, by the file's keys.
        read: reads the whole file where its records are not simply a list.
        attachment: the name and the base64 text of the file that a record holds; None where it holds none.
    """

    name: str
    title: str
    matches: Rule
    add: Callable[[Json], Json] = _nothing
    each: Callable[[Json], Iterable[Json]] | None = None
    alert: Callable[[Json], bool] = never
    within: Callable[[Look], tuple[str, ...]] = lambda _: ()
    read: Callable[[Open, Look], Iterator[Taken | Refused]] | None = None
    attachment: Callable[[Json], tuple[str, str] | None] | None = None

    @property
    def parts(self) -> frozenset[str]:
        """Where its records can go, so that a file is not read for a part that it has nothing for."""
        if self.read is None and self.alert in {never, always}:
            return frozenset({ALERTS if self.alert is always else TIMELINE})
        return frozenset({TIMELINE, ALERTS})

    def records(self, open_file: Open, found: Look) -> Iterator[Taken | Refused]:
        """Every record of the file.

        Raises:
            bundles.sources.jsonstream.MalformedError: the file cannot be read on.
        """
        if self.read is not None:
            yield from self.read(open_file, found)
            return
        for row in shapes.rows(open_file, found, within=self.within(found)):
            if isinstance(row, Refused):
                yield row
            else:
                yield from self.taken(row)

    def taken(self, row: Row) -> Iterator[Taken]:
        """One record with what is added to it; several for a record with several times."""
        part = ALERTS if self.alert(row.record) else TIMELINE
        for added in [self.add(row.record)] if self.each is None else self.each(row.record):
            filled = {name: value for name, value in added.items() if value is not None and value not in ("", [])}
            yield Taken(part, {**filled, **row.record}, row)


def at(record: Any, *path: str) -> Any:
    """The value at a path of keys; None where there is none."""
    value = record
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def first(record: Mapping[str, Any], *names: str) -> Any:
    """The first of these fields that is not empty."""
    return next((record[name] for name in names if record.get(name) not in (None, "")), None)


_PLAIN = (str, int, float)


def text(*values: Any, join: str = " ") -> str:
    """The values that are text or numbers, joined and shortened."""
    said = [
        str(value)
        for value in values
        if isinstance(value, _PLAIN) and not isinstance(value, bool) and str(value).strip()
    ]
    return join.join(said)[:TITLE_CHARACTERS]


def has(*names: str) -> Rule:
    """Whether the first record has all these fields."""
    return lambda found: found.shape in RECORDS and set(names) <= found.first_keys


def columns(*names: str) -> Rule:
    """Whether a CSV file has all these columns."""
    return lambda found: found.shape == CSV and set(names) <= {name.strip() for name in found.columns}


def fields(*names: str) -> Rule:
    """Whether the first record, or the table, has all these."""
    return either(has(*names), columns(*names))


def either(*rules: Rule) -> Rule:
    """Whether one of the rules holds."""
    return lambda found: any(rule(found) for rule in rules)


def by_time(times: Iterable[tuple[str, Any]], what: str) -> Iterator[Json]:
    """Additions for a record with several times, one for each time that differs; one without a time if it has none.

    Args:
        times: word and value, such as `("modified", "2024-01-01 00:00:00")`; empty values do not count.
        what: what the times are of.
    """
    words: dict[str, list[str]] = {}
    for word, value in times:
        if value not in (None, ""):
            words.setdefault(str(value), []).append(word)
    if not words:
        yield {"title": what}
    for value, said in words.items():
        described = ", ".join(said).capitalize()
        yield {"timestamp": value, "timestamp_desc": described, "title": text(described, what, join=": ")}


# --- MITRE ATT&CK, where a record names it ---

TECHNIQUE = re.compile(r"T\d{4}(?:\.\d{3})?", re.ASCII | re.IGNORECASE)
# Names of ATT&CK 18 and later for parts of the tactic that the console knows as one.
NEW_NAMES = {"stealth": "defense-evasion", "defense-impairment": "defense-evasion"}


def attack(tags: Any) -> Json:
    """Tactics and the first technique of tags as Sigma writes them: `attack.credential-access`, `attack.t1003.001`."""
    tactics: list[str] = []
    technique = ""
    for tag in tags if isinstance(tags, list) else []:
        if not isinstance(tag, str) or not tag.lower().startswith("attack."):
            continue
        name = tag.lower().removeprefix("attack.").replace("_", "-")
        if TECHNIQUE.fullmatch(name):
            technique = technique or name.upper()
        else:
            tactics.append(NEW_NAMES.get(name, name))
    return {"tactics": tactics, "mitre_technique": technique}
