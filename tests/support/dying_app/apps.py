"""Installs the deaths: a worker that handles incident `at-<moment>` kills itself there, once in the whole test."""

import os
import signal
from pathlib import Path
from typing import Any

from django.apps import AppConfig

DEATHS = "TESTS_DEATHS"
AT_COMMIT = {"bundle.published": "at-commit", "incident.restored": "at-rows"}


class DyingConfig(AppConfig):
    """Installs the deaths in this process."""

    name = "tests.support.dying_app"
    label = "tests_dying_app"

    def ready(self) -> None:
        """Put the deaths in the way of progress reports and of the lines that go with a commit."""
        from custody import chain  # models exist from here on
        from jobs.queue.context import JobContext

        progress, record = JobContext.progress, chain.record

        def dying_progress(self: JobContext, phase: str, *given: Any, **more: Any) -> None:
            progress(self, phase, *given, **more)
            if self.incident_id == f"at-{phase}":
                _die_once(self.incident_id)

        def dying_record(principal: Any, action: str, *given: Any, **more: Any) -> Any:
            told = record(principal, action, *given, **more)
            if action in AT_COMMIT and more.get("incident_id") == AT_COMMIT[action]:
                _die_once(AT_COMMIT[action])
            return told

        JobContext.progress = dying_progress  # type: ignore[method-assign]
        chain.record = dying_record


def _die_once(moment: str) -> None:
    try:
        os.close(os.open(Path(os.environ[DEATHS]) / moment, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
