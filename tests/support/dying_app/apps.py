"""A worker that handles the incident `at-<moment>` kills itself at that moment, once in the whole test."""

import os
import signal
from pathlib import Path
from typing import Any

from django.apps import AppConfig

DEATHS = "TESTS_DEATHS"
READ_LOG = "members.read"  # beside the deaths: a line for each member of an archive that a worker opened
# Moments within a phase: incident → the phase, how its note begins, and how much must be done.
WITHIN = {
    "at-reading": ("fetching", "Timeline", 1),
    "at-staging": ("fetching", "Forensic artifacts", 40_000_000),
    "at-staging-tar": ("fetching", "Forensic artifacts", 40_000_000),
}
AT_COMMIT = {"bundle.published": "at-commit", "incident.restored": "at-rows"}


class DyingConfig(AppConfig):
    """Wraps the functions at which workers die."""

    name = "tests.support.dying_app"
    label = "tests_dying_app"

    def ready(self) -> None:
        """Wrap progress reports and the custody events that are recorded in the completing transaction."""
        from bundles.intake.archives.tar_reader import TarArchive
        from bundles.intake.archives.zip_reader import ZipArchive
        from custody import chain  # models exist from here on
        from jobs.queue.context import JobContext

        progress, record = JobContext.progress, chain.record

        def dying_progress(self: JobContext, phase: str, *given: Any, **more: Any) -> None:
            progress(self, phase, *given, **more)
            begun, note, most = WITHIN.get(str(self.incident_id), ("", "", 0))
            is_within = phase == begun and str(more.get("note")).startswith(note) and given and given[0] >= most
            if is_within or self.incident_id == f"at-{phase}":
                _die_once(str(self.incident_id))

        def dying_record(principal: Any, action: str, *given: Any, **more: Any) -> Any:
            event = record(principal, action, *given, **more)
            if action in AT_COMMIT and more.get("incident_id") == AT_COMMIT[action]:
                _die_once(AT_COMMIT[action])
            return event

        for archive in (ZipArchive, TarArchive):
            archive.read = _logged(archive.read)  # type: ignore[method-assign]
        JobContext.progress = dying_progress  # type: ignore[method-assign]
        chain.record = dying_record


def _logged(read: Any) -> Any:
    def logged(self: Any, member: Any) -> Any:
        with (Path(os.environ[DEATHS]).with_name(READ_LOG)).open("a") as log:
            log.write(member.name + "\n")
        return read(self, member)

    return logged


def _die_once(moment: str) -> None:
    try:
        os.close(os.open(Path(os.environ[DEATHS]) / moment, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
