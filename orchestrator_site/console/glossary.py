"""The words of this product, each with one meaning, and the states that pages show, each with its shape."""

from __future__ import annotations

from typing import NamedTuple


class State(NamedTuple):
    """A state as pages show it: `kind` chooses shape and colour (see `templatetags.console.state`)."""

    kind: str
    word: str
    meaning: str


WORDS: dict[str, str] = {
    "incident": "The case. Its id is the one that the sources use, such as incident-123.",
    "artifact": "One collected file with its record: id, name, host, size, SHA-256, collected when and by whom.",
    "source": "A service that bundles are built from: the KillChain timeline, the alerts DB, Forensic's artifacts.",
    "bundle": "One file with everything of an incident, signed: timeline, alerts, artifacts and their manifest.",
    "manifest": "The signed list of everything in a bundle, with the size and SHA-256 of each file.",
    "chunk": "A range of one large file that has a hash of its own, so that damage can be located.",
    "content digest": (
        "SHA-256 over the list of path, size and SHA-256 of all files: equal for equal evidence, whenever and by "
        "whomever it was bundled."
    ),
    "file digest": "SHA-256 of the bundle file itself. Two bundles of equal evidence have two.",
    "fingerprint": "SHA-256 of a public key, which names it; bundles and reports call it key_id.",
    "job": "A request for work that is kept until it ends, whatever dies meanwhile.",
    "attempt": "One try at a job. A failed one is followed by others until a job's tries are used up.",
    "worker": "A process that does jobs, one at a time.",
    "lease": "A worker's right to a job until a time. It renews it with each heartbeat.",
    "lease token": (
        "A random number made for each lease. A worker that has lost its lease can write nothing more with it."
    ),
    "heartbeat": "The sign of life that a worker gives every few seconds.",
    "stuck job": (
        "A job that is being processed while its lease has expired: its worker died or was cut off. Another worker "
        "takes it over by itself; freeing it does so at once."
    ),
    "rehydration": "Putting a bundle's incident back into the database and the artifact store. Pages call it restore.",
    "restore plan": (
        "What a restore would add, find equal, or find in conflict. Its digest is what you confirm: a plan that "
        "changed asks again."
    ),
    "partial bundle": "A bundle that says in its signed manifest what is missing from it.",
    "verified": (
        "Every check ran on this file and passed, at the time and with the key that are shown. Never said otherwise."
    ),
    "quarantine": "Where an uploaded file waits until it is verified. Nothing is restored from there unverified.",
    "custody event": (
        "One line of the record of who did what to which evidence. Each carries the hash of the one before, so that "
        "none can be changed or removed unseen."
    ),
    "principal": "Who asks: a user, an API token's user, or a client certificate.",
    "role": (
        "What a principal may do: viewer sees; analyst also bundles, verifies and downloads; operator also restores, "
        "cancels, retries and frees; admin also manages users."
    ),
    "scope": "The role above which an API token may do nothing, whatever its user may.",
    "idempotency key": "A name that a script gives to a request, so that sending it twice does it once.",
}

STATES: dict[str, tuple[State, ...]] = {
    "Jobs": (
        State("queued", "Queued", "Waits for a worker, or for its next try."),
        State("running", "Processing", "A worker is at it."),
        State("stuck", "Stuck", "Its worker has not been heard of. Other workers take it over by themselves."),
        State("ok", "Completed", "Done. For a bundle this does not say verified: that is a check of its own."),
        State("failed", "Failed", "All tries are used up, or none could help. The job says why and what to do."),
        State("cancelled", "Cancelled", "Somebody called it off. It can be retried."),
    ),
    "Bundles": (
        State("verified", "Verified", "Every check passed when it last ran."),
        State("unknown", "Not verified", "No check has run yet."),
        State("partial", "Partial", "Something is missing from it; the bundle says what."),
        State("unsafe", "Verification failed", "A check failed. Do not use this file as evidence."),
    ),
    "Keys": (
        State("ok", "Active", "Signs new bundles."),
        State("trusted", "Trusted", "Its bundles verify; it signs no new ones."),
        State("unsafe", "Revoked", "Whatever it signed is refused."),
        State("needs", "Not trusted here", "It signed bundles here, and its public key was taken away."),
    ),
}
