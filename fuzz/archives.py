"""Mutants of archives against the readers of imports.

A mutant is a small zip or tar with bytes changed, cut, doubled or moved. Each is opened and read whole, as an import
does. No reader may crash, hang or leave its bounds. What comes out must be what its checksum says (zip), and a member
that was there before must come out, or be named, or the archive must say that it is damaged.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import zstandard

from bundles.intake.archives.members import FILE, ArchiveError, ArchiveLimits
from bundles.intake.delivered import DELIVERED, SINGLE, ZIP, Delivered

LIMITS = ArchiveLimits(members=2_000, total_bytes=64 << 20, member_bytes=32 << 20, ratio=200, ratio_from_bytes=4 << 20)
SLOWEST_S = 20.0  # for one small archive on a machine that is ten times slower than usual
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
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[int, str]] = field(default_factory=list)


def run(seed: int, numbers: Iterable[int], until: float = float("inf")) -> Tally:
    """Try mutants, until a moment of `time.monotonic`."""
    tally = Tally()
    for number in numbers:
        if time.monotonic() > until:
            break
        shape, raw = mutant(seed, number)
        began = time.monotonic()
        try:
            outcome = judge(raw, ORIGINALS[shape][1])
        except WrongError as error:
            tally.failures.append((number, str(error)))
            continue
        except Exception as error:  # noqa: BLE001 -- any is a finding
            tally.failures.append((number, f"{type(error).__name__}: {error}"))
            continue
        if time.monotonic() - began > SLOWEST_S:
            tally.failures.append((number, "it took too long"))
        tally.outcomes[outcome] += 1
    return tally


def judge(raw: bytes, names: frozenset[str]) -> str:
    """Open and read an archive as an import does; returns what became of it.

    Raises:
        WrongError: something was left out in silence, or came out wrong.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, DELIVERED).write_bytes(raw)
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
            if delivered.container == ZIP and crc != member.attributes["crc32"]:
                raise WrongError(f"{member.name}: its checksum does not fit")
        for _ in delivered.record_files():
            pass
        missing = names - {member.name for member in delivered.members}
        renamed = len(delivered.members) >= len(names)  # a name itself was changed
        if missing and not renamed and not delivered.archive.cut:
            raise WrongError(f"{missing} vanished in silence")
        return "damaged" if faulty or delivered.archive.cut else "read"


def mutant(seed: int, number: int) -> tuple[str, bytes]:
    """The shape and the bytes of a mutant; the same for the same numbers everywhere."""
    dice = random.Random(f"{seed}:{number}")
    shape = dice.choice(sorted(ORIGINALS))
    raw = bytearray(ORIGINALS[shape][0])
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


def _contents() -> dict[str, bytes]:
    dice = random.Random(7)
    lines = b'{"event_type":"alert","timestamp":"2024-01-01T00:00:00Z"}\n' * 20
    return {"eve.json": lines, "d/noise.bin": dice.randbytes(700), "d/empty": b"", "Users/ü.txt": b"x" * 3000}


def _zip(method: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in _contents().items():
            archive.writestr(zipfile.ZipInfo(name, (2024, 1, 2, 3, 4, 6)), content, method)
    return out.getvalue()


def _tar(pack: Callable[[bytes], bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in _contents().items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return pack(out.getvalue())


_NAMES = frozenset(_contents())
ORIGINALS: dict[str, tuple[bytes, frozenset[str]]] = {
    "zip stored": (_zip(zipfile.ZIP_STORED), _NAMES),
    "zip deflate": (_zip(zipfile.ZIP_DEFLATED), _NAMES),
    "zip bzip2": (_zip(zipfile.ZIP_BZIP2), _NAMES),
    "tar": (_tar(bytes), _NAMES),
    "tar gzip": (_tar(lambda raw: gzip.compress(raw, mtime=0)), _NAMES),
    "tar zstd": (_tar(zstandard.ZstdCompressor(write_checksum=True).compress), _NAMES),
    "tar bzip2": (_tar(bz2.compress), _NAMES),
    "tar xz": (_tar(lzma.compress), _NAMES),
}
