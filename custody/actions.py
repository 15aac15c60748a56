"""The actions in custody, in words: the one table, for pages and the filter. Exports keep the codes.

An action that a release before recorded and that is not in the table is shown by its code as a sentence.
"""

from __future__ import annotations

GROUPS: dict[str, dict[str, str]] = {
    "Bundles": {
        "bundle.create": "Bundle requested",
        "bundle.published": "Bundle made",
        "bundle.verify": "Bundle verification requested",
        "bundle.verified": "Bundle verified",
        "bundle.verify_failed": "Bundle not verified",
        "bundle.download": "Bundle downloaded",
        "bundle.open_file": "File of a bundle downloaded",
    },
    "Uploaded files": {
        "bundle.upload": "File uploaded",
        "upload.verified": "Uploaded file verified",
        "upload.verify_failed": "Uploaded file not verified",
        "upload.discard": "Uploaded file deleted",
    },
    "Imported files": {
        "intake.received": "File received for import",
        "intake.bundle": "Bundle of an imported file requested",
        "intake.discard": "Imported file discarded",
        "intake.refused": "File in the watched folder refused",
        "intake.save_mapping": "Mapping of columns saved",
        "intake.delete_mapping": "Mapping of columns deleted",
    },
    "Restores": {
        "restore_request.ask": "Restore requested from an operator",
        "restore_request.decline": "Request for a restore declined",
        "restore_request.done": "Requested restore carried out",
        "incident.restore": "Restore or preview requested",
        "incident.restored": "Incident restored",
        "incident.restore_failed": "Restore failed",
        "signature.skipped": "Restore without checking the signature",
    },
    "Jobs and workers": {
        "job.cancel": "Job cancelled",
        "job.failed": "Job failed",
        "job.retry": "Job retried",
        "job.free": "Stuck job freed",
        "job.copy": "Job copied",
        "job.purge": "Old jobs deleted",
        "worker.drain": "Worker drained",
    },
    "People": {
        "user.create": "User created",
        "user.change": "User or role changed",
        "user.sign_in": "Signed in",
        "user.sign_out": "Signed out",
        "user.sign_out_everywhere": "All sessions of a user ended",
        "user.change_password": "Password changed",
        "user.lock_out": "Sign-in locked after failures",
        "user.unlock": "Sign-in unlocked",
        "token.create": "API token created",
        "token.revoke": "API token revoked",
    },
    "Lists and stores": {
        "list.export": "List downloaded as CSV",
        "custody.verify": "Custody chain checked",
        "store.adopt": "Store adopted",
    },
}
WORDS = {code: words for group in GROUPS.values() for code, words in group.items()}


def in_words(code: str) -> str:
    """An action as a person would say it, such as `Bundle verified`."""
    return WORDS.get(code) or code.replace(".", " ").replace("_", " ").capitalize()


def choices(chosen: str = "") -> list[tuple[str, object]]:
    """The filter's options, grouped: each action in words with its code beside it.

    Args:
        chosen: the action in the address; one that is not in the table becomes an option too.
    """
    groups: list[tuple[str, object]] = [("", "Any")]
    groups += [
        (title, [(code, f"{words} ({code})") for code, words in group.items()]) for title, group in GROUPS.items()
    ]
    return [*groups, (chosen, chosen)] if chosen and chosen not in WORDS else groups
