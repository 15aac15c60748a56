"""The options of a system of Velociraptor, checked: the file of the API's user, and what rows of results become."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bundles.sources.faults import ALERTS, TIMELINE, Source
from bundles.sources.profiles import System

EXTRA = "requirements-velociraptor.txt"
MODULES = ("grpc", "google.protobuf", "pyvelociraptor", "yaml")
ALL, UNMAPPED = "all", "unmapped"
MOST_FLOWS = 1000
HIGHEST_MOST_FLOWS = 10_000
MOST_RULES = 1000
PARTS = {TIMELINE.key: TIMELINE, ALERTS.key: ALERTS}
COLUMNS = ("time", "title", "severity", "id")
_URL = re.compile(r"grpc://(?P<place>(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253}):[0-9]{1,5})")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What the rows of some artifacts become.

    Attributes:
        artifact: pattern of the artifact's name with its source, such as `Windows.EventLogs.*`; case counts.
        part: timeline or alerts.
        columns: `time`, `title`, `severity`, `id` → a column, or a path into one with dots; those that are named.
    """

    artifact: str
    part: Source
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The checked options.

    Attributes:
        api_client_file: what `velociraptor config api_client` wrote.
        org: id of the organisation; empty for the one of the user.
        most_flows: of one incident.
        rules: the first that fits an artifact's name and the part counts.
        results: which rows the artifacts contain as files: those that no rule takes, or all.
    """

    api_client_file: Path
    org: str = ""
    most_flows: int = MOST_FLOWS
    rules: tuple[Rule, ...] = ()
    results: str = UNMAPPED

    def rule(self, part: Source, artifact: str) -> Rule | None:
        """The rule by which rows of an artifact belong to a part; None if they do not."""
        return next((rule for rule in self.rules if rule.part == part and fnmatchcase(artifact, rule.artifact)), None)

    def is_mapped(self, artifact: str) -> bool:
        """Whether rows of an artifact belong to the timeline or the alerts."""
        return any(fnmatchcase(artifact, rule.artifact) for rule in self.rules)


def missing_extra() -> str:
    """What to do if the libraries of this adapter are not installed; empty if they are. Imports none of them."""
    try:
        missing = [name for name in MODULES if find_spec(name) is None]
    except ModuleNotFoundError as error:  # `google` is not there at all
        missing = [str(error.name)]
    if not missing:
        return ""
    return f"the adapter velociraptor needs {', '.join(missing)}: install it with pip install -r {EXTRA}."


def place_of(url: str) -> str:
    """`host:port` of a URL `grpc://host:port`; empty for any other text."""
    match = _URL.fullmatch(url)
    return match["place"] if match and 0 < int(match["place"].rpartition(":")[2]) <= 65535 else ""


def read(system: System) -> tuple[Options | None, list[str]]:
    """The options of a system, or None, and one sentence for each fault of its table."""
    given = dict(system.options)
    wrong: list[str] = []
    if system.url and not place_of(system.url):
        wrong.append("url: it is not grpc://host:port.")
    wrong += [
        f"{name}: the adapter velociraptor takes certificates and key from options.api_client_file."
        for name in ("credential", "ca_file", "client_cert", "client_key")
        if getattr(system, name) is not None
    ]
    client_file = given.pop("api_client_file", None)
    if not isinstance(client_file, str) or not Path(client_file).is_absolute():
        wrong.append("options.api_client_file: it must be the absolute path of the file of `config api_client`.")
        client_file = ""
    org, results = given.pop("org", ""), given.pop("results", UNMAPPED)
    if not isinstance(org, str):
        wrong.append("options.org: it is not text.")
        org = ""
    if results not in (UNMAPPED, ALL):
        wrong.append(f'options.results: it is neither "{UNMAPPED}" nor "{ALL}".')
    most = given.pop("most_flows", MOST_FLOWS)
    if isinstance(most, bool) or not isinstance(most, int) or not 1 <= most <= HIGHEST_MOST_FLOWS:
        wrong.append(f"options.most_flows: it is not a number from 1 to {HIGHEST_MOST_FLOWS}.")
        most = MOST_FLOWS
    rules = _rules(given.pop("rows", []), wrong)
    wrong += [f"options.{name}: the adapter velociraptor has no such option." for name in sorted(given)]
    if wrong:
        return None, wrong
    return Options(api_client_file=Path(client_file), org=org, most_flows=most, rules=rules, results=results), []


def _rules(given: Any, wrong: list[str]) -> tuple[Rule, ...]:
    if not isinstance(given, list) or len(given) > MOST_RULES:
        wrong.append(f"options.rows: it is not a list of at most {MOST_RULES} tables.")
        return ()
    rules: list[Rule] = []
    for number, table in enumerate(given, start=1):
        where = f"options.rows {number}"
        if not isinstance(table, dict) or not all(isinstance(text, str) and text for text in table.values()):
            wrong.append(f"{where}: it is not a table of texts.")
            continue
        unknown = sorted(table.keys() - {"artifact", "part", *COLUMNS})
        if unknown:
            wrong.append(f"{where}: there is no {', '.join(unknown)}; there are artifact, part, {', '.join(COLUMNS)}.")
        elif "artifact" not in table or table.get("part") not in PARTS:
            wrong.append(f'{where}: it needs an artifact, and part = "{TIMELINE.key}" or "{ALERTS.key}".')
        else:
            columns = {name: table[name] for name in COLUMNS if name in table}
            rules.append(Rule(artifact=table["artifact"], part=PARTS[table["part"]], columns=columns))
    return tuple(rules)
