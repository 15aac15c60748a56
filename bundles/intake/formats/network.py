"""Suricata's eve.json and AWS CloudTrail."""

from __future__ import annotations

import ipaddress
from typing import Any

from bundles.intake.formats.kind import Json, Kind, at, either, has, text
from bundles.intake.formats.shapes import OBJECT, Look

# What an event of each type is about, besides its type: the paths of the fields.
_ABOUT = {
    "dns": (("dns", "rrname"), ("dns", "rrtype")),
    "http": (("http", "http_method"), ("http", "hostname"), ("http", "url")),
    "tls": (("tls", "sni"),),
    "fileinfo": (("fileinfo", "filename"),),
    "flow": (("proto",), ("app_proto",)),
    "anomaly": (("anomaly", "event"),),
    "smb": (("smb", "command"), ("smb", "filename")),
    "ssh": (("ssh", "client", "software_version"),),
    "smtp": (("smtp", "mail_from"),),
    "krb5": (("krb5", "msg_type"), ("krb5", "cname")),
}


def _suricata(record: Json) -> Json:
    said = record.get("event_type")
    dns = at(record, "dns", "queries")  # Suricata 7.1 and later: a list of questions
    question = dns[0] if isinstance(dns, list) and dns else {}
    about = [at(record, *path) for path in _ABOUT.get(said, ())] if isinstance(said, str) else []
    ids, names = at(record, "alert", "metadata", "mitre_technique_id"), "mitre_technique_name"
    return {
        "title": text(at(record, "alert", "signature"))
        or text("Suricata", said, at(question, "rrname"), at(question, "rrtype"), *about),
        "source": text(record.get("src_ip")),
        "target": text(record.get("dest_ip")),
        "tactics": _listed(at(record, "alert", "metadata", "mitre_tactic_id")),
        "mitre_technique": text(*_listed(ids)[:1], *_listed(at(record, "alert", "metadata", names))[:1]),
    }


def _listed(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _cloudtrail(record: Json) -> Json:
    failed = text(record.get("errorCode"))
    issuer = at(record, "userIdentity", "sessionContext", "sessionIssuer", "userName")
    return {
        "title": text(record.get("eventName")) + (f" ({failed})" if failed else ""),
        "actor": text(at(record, "userIdentity", "userName") or at(record, "userIdentity", "arn") or issuer),
        "source": _address(record.get("sourceIPAddress")),
    }


def _address(value: Any) -> str:
    """The value if it is an IP address; CloudTrail writes the names of services here, too."""
    try:
        return str(ipaddress.ip_address(value)) if isinstance(value, str) else ""
    except ValueError:
        return ""


_EVENT = ("eventVersion", "eventSource", "eventName", "eventTime")


def _is_delivery(found: Look) -> bool:
    """A log file as AWS delivers it. Notifications of S3 are `Records` too, but have no `eventID`."""
    inner = set(found.inner.get("Records", ()))
    return found.shape == OBJECT and {*_EVENT, "eventID"} <= inner


KINDS = (
    Kind(
        name="suricata-eve",
        title="Suricata eve.json",
        matches=has("event_type", "timestamp"),
        add=_suricata,
        alert=lambda record: record.get("event_type") == "alert",
    ),
    Kind(
        name="cloudtrail",
        title="AWS CloudTrail",
        matches=either(has(*_EVENT), _is_delivery),
        add=_cloudtrail,
        within=lambda found: ("Records",) if "Records" in found.keys else (),
    ),
)
