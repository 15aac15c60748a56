"""`python -m fuzz.hostile_archives`: imports one archive of each hostile kind, and prints what became of it.

Each is imported with the product's bounds, up to the evidence of its bundle, in a process of its own. The table says
what it became, the code if it or a member was refused, the memory above that of the idle process, and the time.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from bundles.format.model.records import FILE_TYPE, iter_array
from bundles.intake import adapter
from bundles.intake.archives.members import ArchiveError
from bundles.intake.delivered import DELIVERED, Delivered
from bundles.sources.faults import ARTIFACTS
from fuzz.hostile_kinds import KINDS, Hostile

MIB = 1 << 20
SHOWN_CHARACTERS = 110


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of an archive.

    Attributes:
        size: of the archive in bytes.
        members: files that it lists.
        artifacts: of them, how many came out.
        missing: how many were named as missing.
        codes: of the archive, or of its members.
        said: a sentence that the bundle holds on it.
        peak_bytes: memory above that of the idle process.
        seconds: of the import.
    """

    size: int
    members: int
    artifacts: int
    missing: int
    codes: tuple[str, ...]
    said: str
    peak_bytes: int
    seconds: float


def imported(kind: Hostile, folder: Path) -> Outcome:
    """Import an archive of that kind into a new folder, and measure it.

    Args:
        kind: of the archive.
        folder: exists and is empty.
    """
    with (folder / DELIVERED).open("wb") as file:
        for piece in kind.make():
            file.write(piece)
    with (folder / DELIVERED).open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    staging = folder / "staging"
    staging.mkdir()
    idle = _forget_peak()
    began = time.perf_counter()
    source = adapter.source(folder, kind.title, sha256=sha256)
    evidence = source.collect("fuzz", staging, allow_partial=True, on_progress=lambda _: None, check=lambda: None)
    seconds, peak = time.perf_counter() - began, _memory("VmHWM") - idle
    delivered: Delivered = source.profile.systems[ARTIFACTS].options["delivered"]
    records = [record for record, _ in iter_array(evidence.members["artifacts.json"])]
    return Outcome(
        size=(folder / DELIVERED).stat().st_size,
        members=len(delivered.members),
        artifacts=len(evidence.artifacts) - 1,
        missing=len(evidence.missing),
        codes=tuple(sorted(set(_codes(delivered, {one.artifact_id for one in evidence.artifacts})))),
        said=next(_said(delivered, evidence.missing, records), ""),
        peak_bytes=max(0, peak),
        seconds=seconds,
    )


def lines(outcomes: dict[str, Outcome]) -> Iterator[str]:
    """The table, line by line."""
    yield "| kind | bytes | members: came out, missing | code | what the bundle says | memory | time |"
    yield "|---|---|---|---|---|---|---|"
    for kind in KINDS:
        one = outcomes[kind.title]
        said = one.said.replace("|", "\\|")
        said = said if len(said) <= SHOWN_CHARACTERS else said[: SHOWN_CHARACTERS - 1] + "…"
        yield (
            f"| {kind.title} | {one.size:,} | {one.members:,}: {one.artifacts:,}, {one.missing:,} "
            f"| {', '.join(one.codes) or '-'} | {said or '-'} | {one.peak_bytes / MIB:.0f} MiB "
            f"| {one.seconds:.2f} s |"
        )


def main() -> int:
    """Import one of each kind and print the table."""
    parser = argparse.ArgumentParser(prog="python -m fuzz.hostile_archives", description=__doc__)
    parser.add_argument("--work", type=Path, default=None, help="where archives and staged members go")
    parser.add_argument("--only", default="", help="kinds whose title holds this text")
    options = parser.parse_args()
    outcomes = {}
    for kind in KINDS:
        if options.only in kind.title:
            print(kind.title, file=sys.stderr, flush=True)
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                outcomes[kind.title] = pool.submit(_one, kind.title, options.work).result()
    for line in lines(outcomes) if len(outcomes) == len(KINDS) else map(str, outcomes.items()):
        print(line)
    return 0


def _one(title: str, work: Path | None) -> Outcome:
    kind = next(kind for kind in KINDS if kind.title == title)
    folder = Path(tempfile.mkdtemp(dir=work))
    try:
        return imported(kind, folder)
    finally:
        shutil.rmtree(folder)


def _codes(delivered: Delivered, found: set[str]) -> Iterator[str]:
    if delivered.refused is not None:
        yield delivered.refused.code
    for member in delivered.members:
        if member.kind == "file" and delivered.artifact_id(member) not in found:
            try:
                for _ in delivered.open_member(member):
                    pass
            except ArchiveError as error:
                yield error.code


def _said(delivered: Delivered, missing: list[dict[str, str]], records: list[dict[str, object]]) -> Iterator[str]:
    if delivered.refused is not None:
        yield str(delivered.refused)
    yield from (gap["reason"] for gap in missing)
    for record in records:
        faults = record.get("faults")
        if isinstance(faults, list):
            yield str(faults[0])
        if FILE_TYPE in record:
            yield f"{record['name']!r} is a {record[FILE_TYPE]} to {record.get('target', '')!r}"


def _forget_peak() -> int:
    Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def _memory(field: str) -> int:
    lines = Path("/proc/self/status").read_text()
    return int(lines.split(f"{field}:")[1].split()[0]) * 1024


if __name__ == "__main__":
    sys.exit(main())
