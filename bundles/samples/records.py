"""The synthetic incident's records, in the form that the three services serve."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from bundles.samples import scenario
from bundles.samples.scenario import INCIDENT_ID, STEPS, Step
from foundation.instant import rfc3339

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "incident-123.corp.example.com")
STATES = ("open", "open", "open", "acknowledged", "resolved", "false_positive")
EVENT_SHARE = 0.38


@dataclass(frozen=True)
class Sighting:
    """One observation of a step."""

    step: Step
    number: int
    at: datetime

    @property
    def alert_id(self) -> str:
        """The id of its alert."""
        return identifier(f"alert/{self.step.technique}/{self.number}")


def identifier(name: str) -> str:
    """A UUID derived from a name."""
    return str(uuid.uuid5(NAMESPACE, name))


def sightings(random: Random) -> list[Sighting]:
    """Every observation of every step, sorted by time."""
    found = []
    for step in STEPS:
        for number in range(step.alerts):
            offset = step.lasts * (number + random.random()) / step.alerts
            found.append(Sighting(step, number, scenario.BEGAN + step.after + offset))
    return sorted(found, key=lambda sighting: (sighting.at, sighting.alert_id))


def alert(sighting: Sighting, random: Random) -> dict[str, Any]:
    """The alert of a sighting."""
    step = sighting.step
    source, target = step.hosts
    created = sighting.at + timedelta(milliseconds=random.randint(120, 2400))
    return {
        "id": sighting.alert_id,
        "timestamp": rfc3339(sighting.at),
        "alert_type": step.alert_type,
        "severity": step.severity,
        "source": scenario.ADDRESSES.get(source, source),
        "title": f"{step.name} on {target}",
        "description": f"Event {step.event_id} from {step.channel}. {step.command}",
        "raw_data": {
            "EventID": step.event_id,
            "Channel": step.channel,
            "Computer": source,
            "RecordNumber": random.randint(10_000, 900_000),
            "ProcessId": random.randint(400, 32_000),
            "CommandLine": step.command,
            "DestinationIp": scenario.ADDRESSES.get(target, target),
            "User": random.choice(["ana.torres", "svc-backup", "adm-jensen", "SYSTEM"]),
        },
        "status": random.choice(STATES),
        "created_at": rfc3339(created),
        "updated_at": rfc3339(created + timedelta(seconds=random.randint(0, 7200))),
        "correlation_id": INCIDENT_ID,
        "killchain_phase": step.tactic,
        "mitre_technique": step.technique,
        "confidence_score": round(0.3 + random.random() * 0.69, 3),
    }


def timeline(found: list[Sighting]) -> dict[str, Any]:
    """The timeline: the first sighting of each step, and some of the others."""
    random = Random(f"{INCIDENT_ID}/timeline")  # noqa: S311 -- must be reproducible; protects nothing
    chosen = [sighting for sighting in found if sighting.number == 0 or random.random() < EVENT_SHARE]
    events = [_event(sighting, number) for number, sighting in enumerate(chosen)]
    return {
        "incident_id": INCIDENT_ID,
        "events": events,
        "entities": _entities(events),
        "correlations": _correlations(events),
        "start_time": events[0]["timestamp"],
        "end_time": events[-1]["timestamp"],
        "event_count": len(events),
        "mitre_mapped": True,
    }


def artifact(name: str, kind: str, host: str, original_path: str, *, size: int, sha256: str) -> dict[str, Any]:
    """The record of an artifact."""
    artifact_id = identifier(f"artifact/{name}")
    collected = scenario.BEGAN + timedelta(hours=70, seconds=int(artifact_id[:4], 16) % 3600)
    return {
        "artifact_id": artifact_id,
        "incident_id": INCIDENT_ID,
        "artifact_type": kind,
        "name": name,
        "filepath": f"artifacts/{artifact_id}/{name}",
        "original_path": original_path or None,
        "size": size,
        "sha256": sha256,
        "source_host": host,
        "collected_at": rfc3339(collected),
        "collected_by": "forensic-agent",
    }


def _event(sighting: Sighting, number: int) -> dict[str, Any]:
    step = sighting.step
    matches = [{"rule": step.alert_type, "field": "CommandLine", "value": step.command}]
    return {
        "timestamp": rfc3339(sighting.at),
        "source": step.hosts[0],
        "target": step.hosts[1],
        "alert_type": step.alert_type,
        "severity": step.severity,
        "matches": matches if step.severity in {"high", "critical"} else [],
        "metadata": {
            "alert_id": sighting.alert_id,
            "artifact_id": identifier(f"artifact/{step.artifact}"),
            "technique_name": step.name,
            "tactic": step.tactic,
            "event_id": step.event_id,
            "channel": step.channel,
            "record_id": number + 1,
            "file": step.artifact,
        },
        "mitre_technique": step.technique,
        "mitre_ttp": step.technique,
        "mitre_mapped": True,
    }


def _entities(events: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = {}
    for event in events:
        for name in dict.fromkeys((event["source"], event["target"])):
            kind = "ip" if name.replace(".", "").isdigit() else "host"
            entity = found.setdefault(
                name, {"type": kind, "first_seen": event["timestamp"], "event_count": 0, "severities": []}
            )
            entity["last_seen"] = event["timestamp"]
            entity["event_count"] += 1
            if event["severity"] not in entity["severities"]:
                entity["severities"].append(event["severity"])
    return found


def _correlations(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for event in events:
        source, target = event["source"], event["target"]
        pair = found.setdefault(
            (source, target),
            {"source": source, "target": target, "event_count": 0, "first_seen": event["timestamp"]},
        )
        pair["event_count"] += 1
        pair["last_seen"] = event["timestamp"]
    return list(found.values())
