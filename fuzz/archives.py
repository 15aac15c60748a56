"""Mutants of archives against the readers of imports.

A mutant is a small zip or tar with bytes changed, cut, doubled or moved. Each is opened and read whole, and every
second one is imported as well, up to the evidence that a bundle is made of. No reader may crash, hang or leave its
bounds. What comes out must be what its checksum says (zip), and a member that was there before must come out, or be
named, or the archive must say that it is damaged. An import must have each file as an artifact or name it in `missing`.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import signal
import tempfile
import time
import zlib
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

from bundles.format.model.records import iter_array
from bundles.intake import adapter
from bundles.intake.archives.members import FILE, ArchiveError, ArchiveLimits
from bundles.intake.delivered import DELIVERED, PASSWORD, SINGLE, ZIP, Delivered
from bundles.sources.faults import ARTIFACTS
from bundles.sources.live import LiveSource
from fuzz import archive_shapes
from fuzz.judge import peak_kib

LIMITS = ArchiveLimits(members=2_000, total_bytes=64 << 20, member_bytes=32 << 20, ratio=200, ratio_from_bytes=4 << 20)
IMPORTED = 2  # of so many mutants one is imported, too
MOST_GROWTH_KIB = 256 * 1024
SLOWEST_S = 20  # for one small archive on a machine that is ten times slower than usual
FIELD_VALUES = (
    b"\0\0",
    b"\xff\xff",
    b"\x01\0",
    b"\0\x80",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"PK\1\2",
    b"PK\3\4",
    b"PK\5\6",
)


class WrongError(Exception):
    """What the readers must not do."""


@dataclass
class Tally:
    """What became of the mutants.

    Attributes:
        outcomes: a word or code → number.
        failures: number of the mutant, and why.
        growth_kib: the largest peak memory of a worker above its idle state.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[int, str]] = field(default_factory=list)
    growth_kib: int = 0

    def add(self, other: Tally) -> None:
        """Add a worker's tally."""
        self.outcomes += other.outcomes
        self.failures += other.failures
        self.growth_kib = max(self.growth_kib, other.growth_kib)


def run(seed: int, numbers: range, until: float = float("inf")) -> Tally:
    """Try mutants in the main thread of this process, until a moment of `time.monotonic`."""
    tally, idle = Tally(), peak_kib()
    before = signal.signal(signal.SIGALRM, _too_slow)
    try:
        for number in numbers:
            if time.monotonic() > until:
                break
            shape, raw = mutant(seed, number)
            signal.alarm(SLOWEST_S)
            try:
                outcome = judge(raw, archive_shapes.ORIGINALS[shape].names)
                if number % IMPORTED == 0:
                    judge_import(raw)
            except Exception as error:  # noqa: BLE001 -- any is a finding
                what = str(error) if isinstance(error, WrongError) else f"{type(error).__name__}: {error}"
                tally.failures.append((number, f"{shape}: {what}"))
                outcome = "FAILED"
            finally:
                signal.alarm(0)
            tally.outcomes[outcome] += 1
    finally:
        signal.signal(signal.SIGALRM, before)
    tally.growth_kib = peak_kib() - idle
    if tally.growth_kib > MOST_GROWTH_KIB:
        tally.failures.append((-1, f"one of the mutants {numbers} took {tally.growth_kib} KiB of memory"))
    return tally


def run_all(seed: int, most: int, seconds: float, workers: int | None = None) -> Tally:
    """Try mutants 0 to `most` - 1 of `seed` on all cores, for at most `seconds`."""
    count, total = workers or len(os.sched_getaffinity(0)), Tally()
    until = time.monotonic() + seconds
    with ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("fork")) as pool:
        shares = {share: pool.submit(run, seed, range(share, most, count), until) for share in range(count)}
        for share, done in shares.items():
            try:
                total.add(done.result())
            except BrokenProcessPool:
                total.failures.append((-1, f"the worker of every {count}th mutant from {share} on died"))
    return total


def keep(seed: int, tally: Tally, folder: Path) -> list[Path]:
    """Save each failed mutant as a file."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = [folder / f"seed-{seed}-archive-{number}" for number, _ in tally.failures]
    for file, (number, _) in zip(kept, tally.failures, strict=True):
        file.write_bytes(mutant(seed, number)[1] if number >= 0 else b"")
    return kept


def _too_slow(*_: object) -> None:
    raise WrongError(f"it takes more than {SLOWEST_S} seconds")


def judge(raw: bytes, names: frozenset[str]) -> str:
    """Open and read an archive as an import does; returns what became of it.

    Raises:
        WrongError: something was left out in silence, or came out wrong.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, DELIVERED).write_bytes(raw)
        Path(folder, PASSWORD).write_bytes(archive_shapes.SECRET)
        delivered = Delivered(Path(folder), "fuzz", limits=LIMITS)
        if delivered.archive is None:
            return delivered.refused.code if delivered.refused else SINGLE
        faulty = 0
        for member in delivered.members:
            if member.kind != FILE:
                continue
            size, crc = 0, 0
            try:
                for piece in delivered.open_member(member):
                    size, crc = size + len(piece), zlib.crc32(piece, crc)
            except ArchiveError:
                faulty += 1
                continue
            if size != member.size:
                raise WrongError(f"{member.name}: {size} bytes where it states {member.size}")
            has_crc = delivered.container == ZIP and member.attributes["method"] != "AES"
            if has_crc and crc != member.attributes["crc32"]:
                raise WrongError(f"{member.name}: its checksum does not fit")
        for _ in delivered.record_files():
            pass
        missing = names - {member.name for member in delivered.members}
        renamed = len(delivered.members) >= len(names)  # a name itself was changed
        if missing and not renamed and not delivered.archive.cut:
            raise WrongError(f"{missing} vanished in silence")
        return "damaged" if faulty or delivered.archive.cut else "read"


def judge_import(raw: bytes) -> None:
    """Import a file, up to the evidence of its bundle.

    Raises:
        WrongError: a file of the archive is neither an artifact nor missing, or has other bytes than its record says.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, DELIVERED).write_bytes(raw)
        Path(folder, PASSWORD).write_bytes(archive_shapes.SECRET)
        staging = Path(folder, "staging")
        staging.mkdir()
        source = adapter.source(Path(folder), "fuzz", sha256=hashlib.sha256(raw).hexdigest(), limits=LIMITS)
        evidence = source.collect("fuzz", staging, allow_partial=True, on_progress=lambda _: None, check=lambda: None)
        records = [record for record, _ in iter_array(evidence.members["artifacts.json"])]
        for name in ("timeline.json", "alerts.json"):
            if name not in evidence.members:
                raise WrongError(f"{name} was not written")
        found = {artifact.artifact_id: artifact for artifact in evidence.artifacts}
        missing = {gap["path"].split("/")[1] for gap in evidence.missing if "path" in gap}
        wanted = {record["artifact_id"]: record for record in records if "artifact_id" in record}
        files = sum(member.kind == FILE for one in _opened(source) for member in one.members)
        if len(wanted) != 1 + files and all(gap.get("source") != "artifacts" for gap in evidence.missing):
            raise WrongError(f"{len(wanted)} artifacts are listed of {files} members and the file itself")
        if silent := wanted.keys() - found.keys() - missing:
            raise WrongError(f"{sorted(silent)} are neither artifacts nor missing")
        if DELIVERED not in found or found[DELIVERED].sha256 != hashlib.sha256(raw).hexdigest():
            raise WrongError("the delivered file itself is not an artifact")
        for identity, artifact in found.items():
            with artifact.open() as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != wanted[identity]["sha256"]:  # type: ignore[arg-type]
                    raise WrongError(f"{identity} has another SHA-256 than its record")


def _opened(source: LiveSource) -> list[Delivered]:
    delivered: Delivered = source.profile.systems[ARTIFACTS].options["delivered"]
    return [one for one in (delivered, delivered.inner) if one is not None]


def mutant(seed: int, number: int) -> tuple[str, bytes]:
    """The shape and the bytes of a mutant; the same for the same numbers everywhere."""
    dice = random.Random(f"{seed}:{number}")
    shape = dice.choice(sorted(archive_shapes.ORIGINALS))
    raw = bytearray(archive_shapes.ORIGINALS[shape].raw)
    for _ in range(dice.choice((1, 1, 1, 2, 3, 8))):
        at = dice.randrange(len(raw)) if dice.random() < 0.5 else max(0, len(raw) - 1 - dice.randrange(200))
        match dice.randrange(6):
            case 0:
                raw[at] ^= 1 << dice.randrange(8)
            case 1:
                value = dice.choice(FIELD_VALUES)
                raw[at : at + len(value)] = value
            case 2:
                del raw[at : at + dice.randrange(1, 64)]
            case 3:
                raw[at:at] = raw[at : at + dice.randrange(1, 200)]
            case 4:
                start = dice.randrange(len(raw))
                raw[at : at + 30] = raw[start : start + 30]
            case _:
                raw[at : at + 4] = dice.randbytes(4)
        if len(raw) < 8:
            break
    if dice.random() < 0.1:
        del raw[dice.randrange(len(raw) + 1) :]
    return shape, bytes(raw)
