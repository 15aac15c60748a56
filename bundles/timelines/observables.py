"""Reads the hashes and addresses of records: values that mean the same in every incident.

A hash has 32, 40 or 64 hexadecimal digits. An address is one of IPv4 or IPv6 that identifies a machine; loopback,
link-local, multicast and unspecified addresses are left out, and so are the hashes of the empty file.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Any

from django.db import connection

from bundles.timelines import terms

MOST = 20_000  # of an incident; further values are left out
HASH_DIGITS = frozenset({32, 40, 64})
_HASH = re.compile(r"[0-9a-f]{32,}")
_ADDRESS = re.compile(r"[0-9a-f:.]{5,}")  # a run of its characters; whether it is one is looked at afterwards
_BETWEEN_VALUES = "\n"
OF_NOTHING = frozenset({
    "d41d8cd98f00b204e9800998ecf8427e", "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
})  # fmt: skip


def observables_in(texts: Iterable[str]) -> set[str]:
    """The hashes, in lower case, and the addresses, in their short form, in the values of a record."""
    whole = _BETWEEN_VALUES.join(texts).lower()
    found = set()
    for run in _HASH.finditer(whole):
        value = run.group()
        is_word = _is_edge(whole, run.start() - 1) and _is_edge(whole, run.end())
        if is_word and len(value) in HASH_DIGITS and value not in OF_NOTHING and len(set(value)) > 1:
            found.add(value)
    for run in _ADDRESS.finditer(whole):
        pieces = run.group().split(":") if run.group().count(":") == 1 else [run.group()]  # as in 10.0.0.5:443
        if not _is_edge(whole, run.start() - 1):
            pieces[0] = ""
        if not _is_edge(whole, run.end()):
            pieces[-1] = ""
        found.update(address for piece in pieces if (address := _address(piece.rstrip("."))))
    return found


def collect(record: dict[str, Any], values: set[str]) -> None:
    """Add the hashes and addresses of a record to `values`, until these are `MOST`."""
    if len(values) < MOST:
        values |= observables_in(terms.values_of(record))


def keep(timeline_id: int, values: set[str]) -> None:
    """Store the values of freshly indexed records, which are still hidden."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO orchestrator_observables (value, timeline_id)"
            " SELECT value, %s FROM unnest(%s::text[]) AS value",
            [timeline_id, sorted(values)[:MOST]],
        )


def is_hash(value: str) -> bool:
    """Whether an observable is a hash; it is an address otherwise."""
    return ":" not in value and "." not in value


def _is_edge(text: str, place: int) -> bool:
    """Whether no word goes on at this place."""
    return not (0 <= place < len(text)) or not (text[place].isalnum() or text[place] == "_")


def _address(text: str) -> str:
    """The address that `text` is, in its short form; empty if it is none that identifies a machine."""
    if text.count(".") != 3 and text.count(":") < 2:
        return ""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    nobody = address.is_loopback or address.is_unspecified or address.is_multicast or address.is_link_local
    return "" if nobody or str(address) == "255.255.255.255" else str(address)
