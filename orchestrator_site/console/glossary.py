"""The terms of this product, and the states that pages show."""

from __future__ import annotations

from typing import NamedTuple


class State(NamedTuple):
    """A state as pages show it; `kind` selects shape and colour (see `templatetags.console.state`)."""

    kind: str
    word: str
    meaning: str


WORDS: dict[str, str] = {
    "incident": "A case. It has the id that the sources use, such as incident-123.",
    "artifact": "One collected file and its record: id, name, host, size, SHA-256, when and by whom it was collected.",
    "source": "A service that provides evidence: KillChain (timeline), DB (alerts), Forensic (artifacts).",
    "bundle": "One signed file with the evidence of an incident: timeline, alerts, artifacts and a manifest.",
    "manifest": "The signed list of all files in a bundle, with the size and SHA-256 of each.",
    "chunk": "A range of a large file that has its own hash, so that damage can be located.",
    "content digest": "SHA-256 over the path, size and SHA-256 of all files. The same evidence gives the same digest.",
    "file digest": "SHA-256 of the bundle file. It differs between bundles, even of the same evidence.",
    "fingerprint": "SHA-256 of a public key. Bundles and reports call it key_id.",
    "job": "A stored request for work. It survives crashes and restarts until it ends.",
    "attempt": "One execution of a job. A failed attempt is repeated until the maximum number of attempts is reached.",
    "worker": "A process that runs jobs, one at a time.",
    "lease": "A worker's time-limited right to a job. The worker renews it with each heartbeat.",
    "lease token": "A random id of a lease. A worker that has lost its lease can no longer write results.",
    "heartbeat": "The signal that a worker sends every few seconds to show that it is running.",
    "stuck job": (
        "A running job whose lease has expired: its worker died or lost the connection. Another worker takes it over "
        "after a while; freeing it does so at once."
    ),
    "rehydration": "Writing a bundle's incident back into the database and the artifact store. Pages call it restore.",
    "restore plan": (
        "What a restore would add, what is already here, and what is in conflict. You confirm its digest; if the plan "
        "changes, you must confirm again."
    ),
    "partial bundle": "A bundle whose signed manifest lists evidence that is missing from it.",
    "verified": "Every check of this file passed, at the time and with the key shown.",
    "quarantine": "Where an uploaded file is kept until it is verified. Nothing is restored from it unverified.",
    "custody event": (
        "One record of who did what to which evidence. Each contains the hash of the previous one, so that a change or "
        "a removal is noticed."
    ),
    "principal": "Who makes a request: a user, the user of an API token or of a client certificate, or a shell user.",
    "role": (
        "A set of permissions: viewer sees; analyst also bundles, verifies and downloads; operator also restores, "
        "cancels, retries and frees; admin also manages users."
    ),
    "scope": "The role that limits an API token: the token has no permission beyond it.",
    "idempotency key": "A name that a script gives to a request, so that repeating the request has no further effect.",
}

STATES: dict[str, tuple[State, ...]] = {
    "Jobs": (
        State("queued", "Queued", "Waits for a worker, or for its next attempt."),
        State("running", "Processing", "A worker is running it."),
        State("stuck", "Stuck", "Its worker stopped responding. Another worker will take it over."),
        State("ok", "Completed", "Done. A completed bundle still has to be verified."),
        State("failed", "Failed", "All attempts failed, or a retry could not help. The job says why and what to do."),
        State("cancelled", "Cancelled", "A user cancelled it. It can be retried."),
    ),
    "Bundles": (
        State("verified", "Verified", "The last verification passed."),
        State("unknown", "Not yet verified", "It has not been verified yet."),
        State("partial", "Partial", "Some evidence is missing; the bundle lists what."),
        State("unsafe", "Not verified", "The last verification failed. Do not use this file as evidence."),
    ),
    "Keys": (
        State("ok", "Active", "Signs new bundles."),
        State("trusted", "Trusted", "Verifies bundles, but does not sign new ones."),
        State("unsafe", "Revoked", "Bundles that it signed are refused."),
        State("needs", "Not trusted here", "It signed bundles here, but its public key was removed."),
    ),
}
