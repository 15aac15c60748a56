"""System checks of the file of sources; like those of the host, they run before the server starts and for its page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Warning, register  # noqa: A004 # Django's name

from bundles.sources import configured
from orchestrator_site.configuration.checks import TAG

VARIABLE = "ORCH_SOURCES_FILE"


@register(TAG, deploy=True)
def sources_file(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """The file of sources, as it is now: every system can be asked, and every profile names such systems."""
    del app_configs, kwargs
    now = configured.on_disk()
    if now is None:
        return []
    hint = "Correct the file; docs/sources.md lists every key and every fault."
    found: list[CheckMessage] = [
        Error(f"{VARIABLE}: {str(one).rstrip('.')}", hint=hint, id="orch.E017") for one in now.faults
    ]
    found += [
        Warning(f"{VARIABLE}: {str(one).rstrip('.')}", hint="docs/sources.md says what to do.", id="orch.W017")
        for one in now.warnings
    ]
    in_force = configured.current().file
    if in_force is not None and in_force.sha256 != now.sha256:
        changed = f"{VARIABLE}: the file changed since this process started, which still uses what it read then"
        found.append(Warning(changed, hint="Restart the web service and the workers.", id="orch.W018"))
    return found
