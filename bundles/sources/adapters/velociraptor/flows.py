"""From an incident's reference to the flows that belong to it, with their hosts and states."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any

from bundles.sources import faults
from bundles.sources.adapters.velociraptor.connection import Connection, Heard

FLOW = "SELECT * FROM flows(client_id=ClientId, flow_id=FlowId)"
HUNT = "SELECT * FROM hunts(hunt_id=HuntId)"
HUNT_FLOWS = "SELECT * FROM hunt_flows(hunt_id=HuntId) LIMIT {most}"
CLIENT = "SELECT client_id, os_info.hostname AS Hostname, os_info.fqdn AS Fqdn FROM clients(client_id=ClientId)"
HUNTS = "SELECT hunt_id, hunt_description, create_time FROM hunts() ORDER BY create_time DESC LIMIT {most}"

FINISHED, ERROR = "FINISHED", "ERROR"
STATES = ("UNSET", "RUNNING", FINISHED, ERROR, "IN_PROGRESS", "UNRESPONSIVE", "WAITING")
HUNT_STATES = ("UNSET", "PAUSED", "RUNNING", "STOPPED", "ARCHIVED", "DELETED")
SERVER = "server"
SUMMARY = (
    "create_time", "start_time", "active_time", "total_collected_rows", "total_uploaded_files", "total_uploaded_bytes",
    "artifacts_with_results",
)  # fmt: skip
REFERENCES = "flows (C.…/F.…) and hunts (H.…), with commas between them"
MOST_REFERENCE = 64 * 1024
_FLOW = re.compile(r"(?P<client>C\.[0-9A-Za-z]{1,64}|server)/(?P<flow>F\.[0-9A-Za-z.]{1,64})")
_HUNT = re.compile(r"H\.[0-9A-Za-z]{1,64}")


@dataclass(frozen=True)
class Flow:
    """One flow.

    Attributes:
        client_id: of the machine; `server` for a flow on the server itself.
        flow_id: its id.
        context: its state and counts, as Velociraptor sent them.
        host: name of the machine; empty if it is not known.
    """

    client_id: str
    flow_id: str
    context: dict[str, Any]
    host: str = ""

    @property
    def name(self) -> str:
        """As references and messages name it."""
        return f"{self.client_id}/{self.flow_id}"

    @property
    def state(self) -> str:
        """Its state in words; empty if it is none of those that there are."""
        return _word(self.context.get("state"), STATES)

    @cached_property
    def artifacts(self) -> tuple[str, ...]:
        """The artifacts that have results, each with its source, in order."""
        names = self.context.get("artifacts_with_results")
        found = [name for name in names if isinstance(name, str) and name] if isinstance(names, list) else []
        return tuple(dict.fromkeys(found))

    @cached_property
    def stated_rows(self) -> dict[str, int]:
        """Rows that the client says that it sent for an artifact, where it says so for that artifact alone."""
        stated: dict[str, int] = {}
        unclear: set[str] = set()
        queries = self.context.get("query_stats")
        for query in queries if isinstance(queries, list) else []:
            if isinstance(query, dict):
                names, rows = query.get("names_with_response"), count_of(query.get("result_rows"))
                names = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
                if len(names) != 1:
                    unclear.update(names)
                elif rows is not None:
                    stated[names[0]] = stated.get(names[0], 0) + rows
        return {name: rows for name, rows in stated.items() if name not in unclear}

    def summary(self) -> dict[str, Any]:
        """What the timeline's header says of it."""
        said = {key: self.context[key] for key in SUMMARY if key in self.context}
        return {"client_id": self.client_id, "flow_id": self.flow_id, "host": self.host, "state": self.state, **said}


@dataclass(frozen=True)
class Found:
    """What a reference means.

    Attributes:
        flows: all of them, each once.
        notes: a sentence, without its full stop, on each that has not ended well, and on each hunt that still runs or
            has more machines than flows came.
        hunts: as Velociraptor sent them.
    """

    flows: tuple[Flow, ...]
    notes: tuple[str, ...]
    hunts: tuple[dict[str, Any], ...]


def count_of(value: Any) -> int | None:
    """A number of things in an answer; None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def find(connection: Connection, ref: str, most: int, heard: Heard, *, hosts: bool = True) -> Found:
    """Ask for the flows of a reference.

    Args:
        connection: to the server.
        ref: see `REFERENCES`.
        most: bound of their number.
        heard: receives the bytes of the answers.
        hosts: whether to ask for the machines' names, which takes a query for each.

    Raises:
        jobs.errors.RetryableError, jobs.errors.PermanentError: it cannot be asked; one of them is unknown; or there are
            too many.
    """
    found: dict[str, Flow] = {}
    hunts: list[dict[str, Any]] = []
    notes: list[str] = []
    for part in _parts(connection, ref):
        if part.startswith("H."):
            hunts.append(_one(connection, HUNT, {"HuntId": part}, unknown=part, heard=heard))
            flows = list(islice(_of_hunt(connection, part, most, heard), most + 1))
            notes += _hunt_notes(part, hunts[-1], len(flows))
        else:
            client_id, _, flow_id = part.partition("/")
            env = {"ClientId": client_id, "FlowId": flow_id}
            context = _one(connection, FLOW, env, unknown=part, heard=heard)
            _check(connection, context, client_id, flow_id)
            flows = [Flow(client_id, flow_id, context)]
        for flow in flows:
            found.setdefault(flow.name, flow)
            if len(found) > most:
                what = f"{part} brings the incident to more than {most} flows (options.most_flows)."
                raise faults.rejected(connection.source, what)
    clients = {flow.client_id for flow in found.values()} if hosts else set()
    names = {client_id: _host(connection, client_id, heard) for client_id in sorted(clients)}
    named = tuple(replace(flow, host=names.get(flow.client_id, "")) for flow in found.values())
    return Found(named, (*notes, *_notes(named)), tuple(hunts))


def _parts(connection: Connection, ref: str) -> list[str]:
    parts = list(dict.fromkeys(part.strip() for part in ref[:MOST_REFERENCE].split(",")))
    if len(ref) > MOST_REFERENCE or not all(_FLOW.fullmatch(part) or _HUNT.fullmatch(part) for part in parts):
        what = f"the reference of this incident does not name {REFERENCES}."
        raise faults.rejected(connection.source, what)
    return parts


def _one(connection: Connection, vql: str, env: dict[str, str], *, unknown: str, heard: Heard) -> dict[str, Any]:
    rows = list(islice(connection.rows(vql, env, unknown=unknown, heard=heard), 2))
    if not rows:
        raise faults.unknown(connection.source, unknown)
    if len(rows) > 1 or not isinstance(rows[0], dict):
        raise faults.invalid(connection.source, f"it sent something else than one record of {unknown}.")
    record: dict[str, Any] = rows[0]
    return record


def _of_hunt(connection: Connection, hunt_id: str, most: int, heard: Heard) -> Iterator[Flow]:
    query = HUNT_FLOWS.format(most=most + 1)
    for row in connection.rows(query, {"HuntId": hunt_id}, unknown=hunt_id, heard=heard):
        context = row.get("Flow") if isinstance(row, dict) else None
        name = f"{row.get('ClientId')}/{row.get('FlowId')}" if isinstance(row, dict) else ""
        match = _FLOW.fullmatch(name)
        if not match or not isinstance(context, dict):
            raise faults.invalid(connection.source, f"its list of the flows of {hunt_id} has one without usable ids.")
        _check(connection, context, match["client"], match["flow"])
        yield Flow(match["client"], match["flow"], context)


def _check(connection: Connection, context: dict[str, Any], client_id: str, flow_id: str) -> None:
    if context.get("client_id", client_id) != client_id or context.get("session_id", flow_id) != flow_id:
        raise faults.invalid(connection.source, f"it answered with another flow than {client_id}/{flow_id}.")


def _host(connection: Connection, client_id: str, heard: Heard) -> str:
    if client_id == SERVER:
        return ""
    for row in connection.rows(CLIENT, {"ClientId": client_id}, unknown=client_id, heard=heard):
        if isinstance(row, dict):
            names = [row.get("Hostname"), row.get("Fqdn")]
            return next((name for name in names if isinstance(name, str) and name), "")
    return ""


def _hunt_notes(hunt_id: str, hunt: dict[str, Any], flows: int) -> Iterator[str]:
    stats = hunt.get("stats")
    scheduled = count_of(stats.get("total_clients_scheduled")) if isinstance(stats, dict) else None
    if _word(hunt.get("state"), HUNT_STATES) == "RUNNING":
        yield f"the hunt {hunt_id} still runs: machines that answer later are not in here"
    if scheduled is not None and scheduled > flows:
        yield f"the hunt {hunt_id} states {scheduled} machines, and {flows} flows came"


def _notes(flows: tuple[Flow, ...]) -> Iterator[str]:
    for flow in flows:
        if flow.state == ERROR:
            yield f"the flow {flow.name} ended with an error: what it collected before is in here"
        elif flow.state != FINISHED:
            state = flow.state or "in a state that is not known"
            yield f"the flow {flow.name} was not finished ({state}): what it collects later is not in here"


def _word(state: Any, words: tuple[str, ...]) -> str:
    """The word of a state, which is sent as a word or as its number."""
    if isinstance(state, str):
        return state if state in words else ""
    return words[state] if isinstance(state, int) and 0 <= state < len(words) else ""
