"""The keys that are added to records of IRIS so that the index reads their time, title, phase, severity and hosts.

IRIS prefixes its fields (`event_date`, `alert_title`), so none of these names is taken; if one is, what IRIS
sent stays. Nothing is changed or dropped. `docs/sources/dfir-iris.md` lists the keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from bundles.timelines import times

_OFFSET = re.compile(r"Z|[+-]\d\d:?\d\d", re.ASCII)
# Words in IRIS's names of types of assets; all its types of accounts have the first.
_ACCOUNT = "account"
_MACHINES = (
    "computer", "server", "workstation", "laptop", "endpoint", "host", "windows - dc", "phone", "firewall", "router",
    "switch", "vpn", "waf",
)  # fmt: skip
MOST_NAMES = 100

Asset = tuple[str, str]  # its name and the name of its type


def of_event(event: dict[str, Any], assets: Iterable[Asset]) -> dict[str, Any]:
    """The event with its keys for the index.

    Args:
        event: as IRIS sent it.
        assets: those that it names.
    """
    added: dict[str, Any] = {**_times(event), **_names(assets)}
    _copy(added, "title", event.get("event_title"))
    _copy(added, "phase", event.get("category_name"))
    return {**added, **event}


def of_alert(alert: dict[str, Any]) -> dict[str, Any]:
    """The alert with its keys for the index and for the order of `alerts.json`."""
    assets = alert.get("assets")
    added = _names(asset_of(one) for one in assets) if isinstance(assets, list) else {}
    _copy(added, "timestamp", alert.get("alert_source_event_time"))
    _copy(added, "title", alert.get("alert_title"))
    if "alert_id" in alert:
        added["id"] = alert["alert_id"]
    return {**added, **alert}


def asset_of(asset: Any) -> Asset:
    """An asset's name and type; v2 has the type as an object, the older routes as text."""
    if not isinstance(asset, dict):
        return "", ""
    kind = asset.get("asset_type")
    if isinstance(kind, dict):
        kind = kind.get("asset_name")
    name = asset.get("asset_name")
    return (name if isinstance(name, str) else ""), (kind if isinstance(kind, str) else "")


def _copy(added: dict[str, Any], name: str, value: Any) -> None:
    if isinstance(value, str) and value:
        added[name] = value


def _names(assets: Iterable[Asset]) -> dict[str, Any]:
    hosts: dict[str, None] = {}
    accounts: dict[str, None] = {}
    for name, kind in assets:
        lower = kind.lower()
        if name and _ACCOUNT in lower:
            accounts[name] = None
        elif name and any(word in lower for word in _MACHINES):
            hosts[name] = None
    found = {"hosts": list(hosts)[:MOST_NAMES], "accounts": list(accounts)[:MOST_NAMES]}
    return {name: value for name, value in found.items() if value}


def _times(event: dict[str, Any]) -> dict[str, str]:
    """The moment of an event, with its zone.

    IRIS keeps what was entered, `event_date_wtz` in the zone `event_tz`, and `event_date`, which it made of them in
    UTC. What was entered counts. If `event_date` is another moment, both are given, so that the index shows both.
    """
    date, local, zone = event.get("event_date"), event.get("event_date_wtz"), event.get("event_tz")
    in_utc = f"{date}Z" if isinstance(date, str) and not times.read(date)[1] else date
    entered = f"{local}{zone}" if isinstance(zone, str) and _OFFSET.fullmatch(zone) and isinstance(local, str) else ""
    entered_us = times.read(entered)[0]
    if entered_us == times.UNDATED:
        return {"timestamp": in_utc} if isinstance(in_utc, str) and in_utc else {}
    if times.read(in_utc)[0] in {entered_us, times.UNDATED}:
        return {"timestamp": entered}
    return {"datetime": entered, "timestamp": str(in_utc)}
