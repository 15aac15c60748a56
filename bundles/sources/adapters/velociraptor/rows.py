"""Rows of the result artifacts of flows: as events of the timeline, as alerts, or as files of their own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from bundles.sources.adapters.protocol import Wanted
from bundles.sources.adapters.velociraptor import flows
from bundles.sources.adapters.velociraptor.connection import Connection, Heard
from bundles.sources.adapters.velociraptor.flows import Flow
from bundles.sources.adapters.velociraptor.options import Options, Rule
from bundles.sources.adapters.velociraptor.statements import Statements
from bundles.sources.faults import TIMELINE, misconfigured
from bundles.sources.jsonfault import shown
from bundles.sources.jsonstream import Refused
from bundles.sources.members import RecordsMember, TimelineMember
from bundles.sources.trace import Part
from foundation.instant import rfc3339

RESULTS = "SELECT * FROM flow_results(client_id=ClientId, flow_id=FlowId, artifact=ArtifactName)"
SERVED = "served"
NAMES = {"time": "timestamp", "title": "title", "severity": "severity", "id": "id"}


def fetch(connection: Connection, options: Options, wanted: Wanted) -> Part:
    """Read the rows that the options map to the connection's part, and write its member.

    Raises:
        jobs.errors.RetryableError, jobs.errors.PermanentError: see `Connection.rows` and `flows.find`.
    """
    part = connection.source
    if not any(rule.part == part for rule in options.rules):
        raise misconfigured(part, f'no table of options.rows has part = "{part.key}".')
    made = TimelineMember if part == TIMELINE else RecordsMember
    with made(part, connection.url, wanted) as member:
        found = flows.find(connection, wanted.ref, options.most_flows, member.trace.read)
        statements = Statements(member)
        state(statements, found.notes)
        if isinstance(member, TimelineMember):
            member.header = {"flows": [flow.summary() for flow in found.flows], "hunts": list(found.hunts)}
        for flow in found.flows:
            for artifact in flow.artifacts:
                rule = options.rule(part, artifact)
                if rule is not None:
                    _add(connection, statements, flow, artifact, rule)
        statements.finish()
        return member.part()


def state(statements: Statements, notes: tuple[str, ...]) -> None:
    """Note what the flows' states mean, with the time at which they were read."""
    now = rfc3339(datetime.now(UTC))
    for note in notes:
        statements.note(f"{note} (as of {now}).")


def read(connection: Connection, flow: Flow, artifact: str, heard: Heard) -> Iterator[Any]:
    """The rows of one artifact of a flow, as served."""
    env = {"ClientId": flow.client_id, "FlowId": flow.flow_id, "ArtifactName": artifact}
    return connection.rows(RESULTS, env, unknown=flow.name, heard=heard)


def compare(statements: Statements, flow: Flow, artifact: str, received: int) -> None:
    """State it if other rows came than the client says that it sent.

    Raises:
        jobs.errors.PermanentError: some are missing from a finished flow, and a partial bundle is not allowed.
    """
    stated = flow.stated_rows.get(artifact, received)
    what = f"of {shown(artifact)} in {flow.name}, {received} rows came, and the flow states {stated}."
    if received < stated and flow.state == flows.FINISHED:
        statements.gap(what)
    elif received != stated:
        statements.note(what)


def refusal(row: Any) -> str:
    """Why what came in the place of a row is none."""
    if not isinstance(row, Refused):
        return "it is not an object"
    return f"field {row.field}: {row.reason}" if row.field else row.reason


def with_keys(row: dict[str, Any], added: dict[str, Any]) -> dict[str, Any]:
    """The row with keys added; a column of the same name and another value is kept in `served`."""
    displaced = {key: row[key] for key in (*added, SERVED) if key in row and (key == SERVED or row[key] != added[key])}
    return {**row, **added, **({SERVED: displaced} if displaced else {})}


def _add(connection: Connection, statements: Statements, flow: Flow, artifact: str, rule: Rule) -> None:
    member, received = statements.member, 0
    for row in read(connection, flow, artifact, member.trace.read):
        received += 1
        own_id = f"{flow.name}/{artifact}/{received}"
        if isinstance(row, dict):
            member.add(_record(row, flow, artifact, rule, own_id), own_id)
        else:
            member.leave_out(f"row {shown(own_id)}: {refusal(row)}")
    compare(statements, flow, artifact, received)


def _record(row: dict[str, Any], flow: Flow, artifact: str, rule: Rule, own_id: str) -> dict[str, Any]:
    added: dict[str, Any] = {"id": own_id}
    for name, column in rule.columns.items():
        value = _value(row, column)
        if value is not None:
            added[NAMES[name]] = value
    added |= {"artifact": artifact, "client_id": flow.client_id, "flow_id": flow.flow_id, "host": flow.host}
    return with_keys(row, added)


def _value(row: dict[str, Any], column: str) -> Any:
    """The value of a column, or of a path with dots into one; None if there is none."""
    if column in row:
        return row[column]
    value: Any = row
    for step in column.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(step)
    return value
