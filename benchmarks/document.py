"""Draws the tables of docs/performance.md from what was measured, each part between marks of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"


def draw(report: dict[str, Any], summary: list[str], document: Path) -> None:
    """Put the bundle part's figures between the marks of `document`.

    Args:
        report: as `bundle_part.run` returns it.
        summary: its lines besides the table.
        document: a Markdown file that has both marks.
    """
    _put(_table(report, summary), BEGIN, END, document)


def draw_lines(part: str, lines: list[str], document: Path) -> None:
    """Put the figures of another part between its marks.

    Args:
        part: `queue`, `incidents`, `pages`, `idle`, `live`, `search` or `sources`.
        lines: as the part makes them.
        document: a Markdown file that has both marks.
    """
    begin, end = f"<!-- {part} measured: begin -->\n", f"<!-- {part} measured: end -->\n"
    _put("\n".join(lines) + "\n", begin, end, document)


def _put(text: str, begin: str, end: str, document: Path) -> None:
    before, _, rest = document.read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(end)
    document.write_text(f"{before}{begin}{text}{end}{after}", encoding="utf-8")


def _table(report: dict[str, Any], summary: list[str]) -> str:
    seconds: dict[str, float] = report["seconds"]
    names = list(dict.fromkeys(key.rsplit(" / ", 1)[0] for key in seconds))
    lines = [
        f"{report['bytes'] / 1e9:.2f} GB, medians; how many times faster ours was in the same run in brackets.",
        "",
        "| | create | verify | verify and extract |",
        "|---|---|---|---|",
    ]
    for name in names:
        cells = []
        for what in ("create", "verify", "extract"):
            key = f"{name} / {what}"
            ratio = report["times_faster"].get(key)
            speed = f"{report['bytes'] / 1e6 / seconds[key]:.0f} MB/s" if key in seconds else "-"
            cells.append(speed + (f" ({ratio:.2f}x)" if ratio else ""))
        lines.append(f"| {name.replace('|', chr(92) + '|')} | " + " | ".join(cells) + " |")
    memory = ", ".join(f"{what} {peak / 2**20:.0f} MiB" for what, peak in report["rss_bytes"].items())
    sizes = report["sizes"]
    bare = next(size for name, size in sizes.items() if name.startswith("bare"))
    lines += ["", f"- peak memory above an idle process: {memory}", f"- size: {sizes['ours'] / bare:.3f} of `zstd -3`"]
    lines += [f"- {line}" for line in summary]
    return "\n".join(lines) + "\n"
