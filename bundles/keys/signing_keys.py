"""Lists the keys in the trusted folder and those that signed a bundle but are no longer there; retirement of a key.

Bundles are counted through an index and up to a bound, so that the cost does not grow with their number.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from django.conf import settings
from django.db import connection

from bundles.format.model.errors import FormatError
from bundles.format.model.signing import TrustedKey
from bundles.keys import trusted_keys
from foundation.principal import Principal

COUNTED_UP_TO = 10_000
UNKNOWN_SHOWN = 100
RETIREMENT_WARNING_DAYS = 30

# One index lookup per key instead of a scan.
_SIGNERS = f"""
WITH RECURSIVE signers (key_id) AS (
    (SELECT min(key_id) FROM orchestrator_bundles)
    UNION ALL
    SELECT (SELECT min(b.key_id) FROM orchestrator_bundles b WHERE b.key_id > signers.key_id)
    FROM signers WHERE signers.key_id IS NOT NULL
)
SELECT key_id,
    (SELECT count(*) FROM (
        SELECT 1 FROM orchestrator_bundles b WHERE b.key_id = s.key_id LIMIT {COUNTED_UP_TO + 1}) AS counted),
    (SELECT b.created_at FROM orchestrator_bundles b WHERE b.key_id = s.key_id ORDER BY b.created_at DESC LIMIT 1),
    (SELECT b.signer FROM orchestrator_bundles b WHERE b.key_id = s.key_id ORDER BY b.created_at DESC LIMIT 1)
FROM signers s WHERE key_id IS NOT NULL LIMIT {UNKNOWN_SHOWN}
"""  # noqa: S608 # built from constants
# The same as one JSON value, as part of a larger statement; `signed_of` reads it.
SIGNERS_AS_JSON = f"""(
SELECT json_agg(json_build_array(id, bundles, last_at, name)) FROM ({_SIGNERS}) AS signed (id, bundles, last_at, name))
"""  # noqa: S608 # built from constants


# Key id → how many bundles it signed, when the newest, and its name there.
Signed = dict[str, tuple[int, datetime | None, str]]


@dataclass(frozen=True, kw_only=True)
class Signer:
    """A key and the bundles it signed on this server.

    Attributes:
        key_id: SHA-256 of the public key's DER SubjectPublicKeyInfo, hex.
        name: its file name, or the signer's name in its newest bundle.
        state: `active` (signs new bundles), `trusted`, `weak` (too weak to be trusted), `revoked`, or `absent` (signed
            bundles here but is no longer trusted).
        weakness: why it is weak, in a few words; empty otherwise.
        bits: its size; 0 if the key is not available.
        bundles: number of bundles it signed, at most `COUNTED_UP_TO` + 1.
        last_at: creation time of the newest of them.
    """

    key_id: str
    name: str
    state: str
    bits: int
    bundles: int
    last_at: datetime | None
    weakness: str = ""


@dataclass(frozen=True, kw_only=True)
class Overview:
    """All keys, and sentences about problems that make the list incomplete or signing impossible."""

    signers: list[Signer]
    problems: list[str]


def overview(principal: Principal) -> Overview:
    """Every key, in the order active, trusted, weak, revoked, absent; needs `bundles.view_bundle`."""
    principal.require("bundles.view_bundle")
    problems: list[str] = []
    active = ""
    in_folder: tuple[TrustedKey, ...] = ()
    try:
        in_folder = trusted_keys.trusted().keys
    except FormatError as error:
        problems.append(error.detail)
    try:
        active = trusted_keys.active_id()
    except FormatError as error:
        problems.append(error.detail)
    signed = _signed()
    known = {key.key_id for key in in_folder}
    found = [_of_key(key, active, signed) for key in in_folder]
    found += [
        Signer(key_id=key_id, name=name, state="absent", bits=0, bundles=count, last_at=last_at)
        for key_id, (count, last_at, name) in signed.items()
        if key_id not in known
    ]
    if active and not any(one.state == "active" for one in found):
        problems.append("The signing key is not among the trusted keys, so no bundle can be made with it.")
    order = ("active", "trusted", "weak", "revoked", "absent")
    return Overview(signers=sorted(found, key=lambda one: (order.index(one.state), one.name)), problems=problems)


def untrusted(signed: Signed) -> list[Signer]:
    """The keys that signed bundles here and are revoked, weak or no longer trusted.

    Args:
        signed: what each key signed, from `signed_of`.

    Raises:
        CannotCheckError: the trusted keys cannot be read.
    """
    in_folder = {key.key_id: key for key in trusted_keys.trusted().keys}
    found = [
        _of_key(in_folder[key_id], "", signed)
        if key_id in in_folder
        else Signer(key_id=key_id, name=name, state="absent", bits=0, bundles=count, last_at=last_at)
        for key_id, (count, last_at, name) in signed.items()
    ]
    return sorted((one for one in found if one.state != "trusted"), key=lambda one: (one.state, one.name))


def signed_of(rows: list[list[Any]] | None) -> Signed:
    """What each key signed, from the value of `SIGNERS_AS_JSON`."""
    return {row[0]: (row[1], datetime.fromisoformat(row[2]), row[3]) for row in rows or []}


def days_until_retirement(today: date | None = None) -> int | None:
    """Days until ORCH_SIGN_KEY_RETIRE_ON, negative once it has passed; None if unset or too far off for a warning."""
    retire_on: date | None = settings.ORCH_SIGN_KEY_RETIRE_ON
    if retire_on is None:
        return None
    left = (retire_on - (today or datetime.now(UTC).date())).days
    return left if left <= RETIREMENT_WARNING_DAYS else None


def _of_key(key: TrustedKey, active: str, signed: Signed) -> Signer:
    count, last_at, _ = signed.get(key.key_id, (0, None, ""))
    state = "weak" if key.weakness else "active" if key.key_id == active else "trusted"
    return Signer(
        key_id=key.key_id,
        name=key.name,
        state="revoked" if key.revoked else state,
        bits=key.public.key_size,
        bundles=count,
        last_at=last_at,
        weakness=key.weakness,
    )


def _signed() -> Signed:
    with connection.cursor() as cursor:
        cursor.execute(_SIGNERS)
        return {row[0]: (row[1], row[2], row[3]) for row in cursor.fetchall()}
