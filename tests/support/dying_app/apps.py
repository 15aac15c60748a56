"""A worker that handles the incident `at-<moment>` kills itself at that moment, once in the whole test."""

import os
import signal
from pathlib import Path
from typing import Any

from django.apps import AppConfig

DEATHS = "TESTS_DEATHS"
AT_COMMIT = {"bundle.published": "at-commit", "incident.restored": "at-rows"}


class DyingConfig(AppConfig):
    """Wraps the functions at which workers die."""

    name = "tests.support.dying_app"
    label = "tests_dying_app"

    def ready(self) -> None:
        """Wrap progress reports and the custody events that are recorded in the completing transaction."""
        from custody import chain  # models exist from here on
        from jobs.queue.context import JobContext

        progress, record = JobContext.progress, chain.record

        def dying_progress(self: JobContext, phase: str, *given: Any, **more: Any) -> None:
            progress(self, phase, *given, **more)
            if self.incident_id == f"at-{phase}":
                _die_once(self.incident_id)

        def dying_record(principal: Any, action: str, *given: Any, **more: Any) -> Any:
            event = record(principal, action, *given, **more)
            if action in AT_COMMIT and more.get("incident_id") == AT_COMMIT[action]:
                _die_once(AT_COMMIT[action])
            return event

        JobContext.progress = dying_progress  # type: ignore[method-assign]
        chain.record = dying_record


def _die_once(moment: str) -> None:
    try:
        os.close(os.open(Path(os.environ[DEATHS]) / moment, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
