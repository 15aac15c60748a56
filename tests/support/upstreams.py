"""Upstream services on loopback whose answers a test can replace, and a small incident for them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bundles.samples.services import Exchange, SampleServices
from bundles.sources import profiles
from bundles.sources.collect import Evidence
from bundles.sources.limits import DEFAULT_LIMITS, SourceLimits
from bundles.sources.live import LiveSource

INCIDENT = "case-7"
CONTENTS = {"a-1": ("memory dump.bin", bytes(range(256)) * 2000), "a-2": ("empty", b""), "a-3": ("ímynd.dd", b"disk")}
ALERTS = 1203
Answer = Callable[[Exchange], bool]


class Upstreams(SampleServices):
    """The sample services; `answers` maps a service to a function that may answer instead, and then returns True."""

    def __init__(self, data_dirs: list[Path]) -> None:
        super().__init__(data_dirs)
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []

    def intercept(self, exchange: Exchange) -> bool:
        self.asked.append(f"{exchange.command} {exchange.path}")
        answer = self.answers.get(exchange.service)
        return answer(exchange) if answer else False

    def collect(
        self, staging: Path, *, incident_id: str = INCIDENT, allow_partial: bool = False, **options: Any
    ) -> Evidence:
        """Collect from these services; `options` are `storage`, `timeout_s`, any limit, `on_progress` and `check`."""
        hooks = {name: options.pop(name, lambda *_: None) for name in ("on_progress", "check")}
        source = self.source(staging, **options)
        return source.collect(incident_id, staging, allow_partial=allow_partial, **hooks)

    def source(self, staging: Path, **options: Any) -> LiveSource:
        storage, timeout_s = options.pop("storage", staging / "no-store"), options.pop("timeout_s", 5)
        limits: SourceLimits = replace(DEFAULT_LIMITS, **options)
        return LiveSource(
            profile=profiles.of_three_services(
                timeline_url=self.url("killchain"),
                alerts_url=self.url("db"),
                artifacts_url=self.url("forensic"),
                timeout_s=timeout_s,
            ),
            storage=storage,
            limits=limits,
        )


def gaps(evidence: Evidence) -> list[dict[str, str]]:
    """What is missing, but for the parts that the profile does not ask for."""
    return [gap for gap in evidence.missing if "names no system" not in gap["reason"]]


def small_incident(folder: Path) -> Path:
    """Write the small incident below `folder`, in the layout of the sample services."""
    incident = folder / INCIDENT
    records = []
    for artifact_id, (name, content) in CONTENTS.items():
        place = incident / "artifacts" / artifact_id / name
        place.parent.mkdir(parents=True)
        place.write_bytes(content)
        records.append(artifact_record(artifact_id, name, content))
    alerts = [
        {"id": f"alert-{n:04}", "timestamp": f"2026-01-01T00:00:{n % 60:02}Z", "correlation_id": INCIDENT, "score": 0.5}
        for n in range(ALERTS)
    ]
    (incident / "timeline.json").write_text(json.dumps(timeline()))
    (incident / "alerts.json").write_text(json.dumps(alerts))
    (incident / "artifacts.json").write_text(json.dumps(records))
    return folder


def timeline(**changes: Any) -> dict[str, Any]:
    events = [{"timestamp": f"2026-01-01T00:00:0{n}Z", "source": "b", "target": "a"} for n in (3, 1, 2)]
    return {"incident_id": INCIDENT, "events": events, "entities": {}, "event_count": 3, "zone": "z"} | changes


def artifact_record(key: str, title: str, content: bytes, **changes: Any) -> dict[str, Any]:
    return {
        "artifact_id": key,
        "incident_id": INCIDENT,
        "name": title,
        "filepath": f"artifacts/{key}/{title}",
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "collected_at": "2026-01-02T00:00:00Z",
    } | changes


def says(
    body: bytes | dict[str, Any] | list[Any],
    code: int = 200,
    *,
    length: int | None = None,
    kind: str = "application/json",
    **head: str,
) -> Answer:
    """Answers every request with this; `length` is the claimed Content-Length if it differs from the body's."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()

    def answer(exchange: Exchange) -> bool:
        exchange.close_connection = True
        exchange.send_head(code, len(raw) if length is None else length, kind, **head)
        exchange.wfile.write(raw)
        return True

    return answer
