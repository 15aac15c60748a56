"""The adapters by name: ours, and those that installed packages add in the entry point group of this module.

An entry point's name is the adapter's; its value is the class. A package cannot replace one of ours.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from bundles.sources.adapters.protocol import Adapter

GROUP = "ransomeye_orchestrator.sources"
OURS = {
    "dfir-iris": "bundles.sources.adapters.dfir_iris.adapter:DfirIrisAdapter",
    "ransomeye": "bundles.sources.adapters.ransomeye.adapter:RansomEyeAdapter",
    "timesketch": "bundles.sources.adapters.timesketch.adapter:TimesketchAdapter",
    "velociraptor": "bundles.sources.adapters.velociraptor.adapter:VelociraptorAdapter",
}
# Used by the orchestrator itself; a file of sources cannot name them.
INTERNAL = {"collection": "bundles.intake.adapter:CollectionAdapter"}


class UnknownAdapterError(Exception):
    """No adapter has that name; the message lists those that there are."""


class BrokenAdapterError(Exception):
    """An installed adapter cannot be loaded; the message names it."""


def names() -> list[str]:
    """The names of all adapters, sorted."""
    return sorted({*OURS, *(found.name for found in entry_points(group=GROUP))})


@cache
def get(name: str) -> type[Adapter]:
    """The adapter of that name.

    Raises:
        UnknownAdapterError: there is none.
        BrokenAdapterError: its package cannot be imported.
    """
    if name in OURS or name in INTERNAL:
        module, _, attribute = {**OURS, **INTERNAL}[name].partition(":")
        ours: type[Adapter] = getattr(import_module(module), attribute)
        return ours
    for found in entry_points(group=GROUP):
        if found.name == name:
            try:
                added: type[Adapter] = found.load()
            except Exception as error:
                raise BrokenAdapterError(f"the adapter {name!r} cannot be loaded: {type(error).__name__}.") from error
            return added
    raise UnknownAdapterError(f"there is no adapter {name!r}; there are {', '.join(names())}.")
