"""Small charts drawn on the server as SVG: numbers in, shapes out, and always a sentence that says the same."""

from __future__ import annotations

from collections.abc import Sequence

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

register = template.Library()

WIDTH, HEIGHT = 320, 72


@register.simple_tag
def area(values: Sequence[int | None], label: str) -> SafeString:
    """A line over time, oldest first, its area filled; `label` says it in words.

    Values that are None at the beginning were not measured: no line there, but a hatched ground that says so. One value
    alone is no line and draws nothing: it is for words to say.
    """
    step = WIDTH / max(1, len(values) - 1)
    known = [(place * step, number) for place, number in enumerate(values) if number is not None]
    if len(known) < 2:
        return SafeString()
    top = max(*(number for _, number in known), 1) * 1.15
    points = " ".join(f"{x:.1f},{HEIGHT - number / top * (HEIGHT - 2):.1f}" for x, number in known)
    begins = known[0][0]
    not_measured = (
        format_html(
            '<rect class="unknown" x="0" y="0" width="{}" height="{}"><title>Not measured</title></rect>',
            f"{begins:.1f}",
            HEIGHT,
        )
        if begins
        else ""
    )
    return format_html(
        '<svg class="chart" viewBox="0 0 {w} {h}" role="img" aria-label="{label}">{not_measured}'
        '<polygon class="area" points="{begins},{h} {points} {w},{h}"/>'
        '<polyline class="line" points="{points}"/></svg>',
        w=WIDTH,
        h=HEIGHT,
        label=label,
        points=points,
        begins=f"{begins:.1f}",
        not_measured=not_measured,
    )


@register.simple_tag
def shares(parts: Sequence[tuple[str, int]], label: str) -> SafeString:
    """One bar of parts that make a whole; part N has the class `part-N`, empty parts are left out."""
    whole = sum(amount for _, amount in parts) or 1
    drawn: list[tuple[int, str, str, str, int]] = []
    left = 0.0
    for place, (name, amount) in enumerate(parts):
        width = WIDTH * amount / whole
        if amount > 0:
            drawn.append((place, f"{left:.1f}", f"{max(width, 1.5):.1f}", name, round(100 * amount / whole)))
        left += width
    bars = format_html_join(
        "", '<rect class="part-{}" x="{}" y="0" width="{}" height="14"><title>{}: {} %</title></rect>', drawn
    )
    return format_html(
        '<svg class="chart shares" viewBox="0 0 {} 14" role="img" aria-label="{}">{}</svg>', WIDTH, label, bars
    )
