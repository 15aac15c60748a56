"""An address of the console, as an app declares it; the site guards each (`orchestrator_site.console`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.http.response import HttpResponseBase


@dataclass(frozen=True)
class ConsolePage:
    """One address.

    Attributes:
        route: as `django.urls.path` takes it.
        view: answers it.
        name: for `reverse` and templates.
        needs: the permission without which the page is refused; empty when signing in is enough.
        is_unchanged: whether a live part would be the same as the one that the page has, by a proof in the request that
            its reader was shown that one; asked before session and permission, so it must reveal nothing else.
    """

    route: str
    view: Callable[..., HttpResponseBase]
    name: str
    needs: str = ""
    is_unchanged: Callable[..., bool] | None = None
