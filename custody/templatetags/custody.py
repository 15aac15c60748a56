"""Tags for lists of custody events."""

from __future__ import annotations

from collections.abc import Iterable

from django import template

from custody import actions, folding
from custody.models import Event

register = template.Library()


@register.filter
def action_words(code: str) -> str:
    """An action in words, such as `Bundle verified`."""
    return actions.in_words(code)


@register.simple_tag
def custody_lines(events: Iterable[Event]) -> list[folding.Line]:
    """The events as lines, requests folded under outcomes that are among them."""
    return folding.lines_within(events)
