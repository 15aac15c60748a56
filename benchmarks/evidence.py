"""Deterministic evidence: one large image, some middling files, many small ones; half of each is compressible.

The compressible half is event records as JSON lines, each with identifiers of its own, that zstd -3 makes about six
times smaller; the other half is random, as compressed and encrypted files are. So the peers run at the speeds that
they reach on collected evidence, and not at those of an easy benchmark.
"""

from __future__ import annotations

import random
import uuid
from pathlib import Path

MIB = 1024 * 1024
IMAGE_BYTES = 1024 * MIB
MIDDLING, MIDDLING_BYTES = 20, 40_000_000
SMALL, SMALL_BYTES = 2_000, 100_000
BLOCK = 256 * 1024
TEXT_BYTES = 64 * MIB  # far beyond the window of zstd -3, so that blocks cut from it hardly repeat each other
RECORD = (
    '{"@timestamp":"2026-01-%02dT%02d:%02d:%02d.%03dZ","channel":"Microsoft-Windows-Sysmon/Operational","event_id":%d,'
    '"granted_access":"0x%x","host":"WORKSTATION%d.corp.example","image":"%s","process_guid":"{%s}","process_id":%d,'
    '"record_number":%d,"target_image":"%s","target_process_guid":"{%s}","user":"CORP\\\\user%d"}\n'
)


def make(folder: Path, scale: float, larger: int = 1) -> int:
    """Write `scale` times 2.07 GB of files into `folder/files`, unless they are there.

    Args:
        folder: where.
        scale: share of the full data; fewer small files, and smaller large ones.
        larger: how many times larger each file is, their number being the same.

    Returns:
        Their total size in bytes.
    """
    files = folder / "files"
    mark = folder / f"complete-{scale}"
    if not mark.exists():
        files.mkdir(parents=True)
        chance = random.Random(20260101)
        text = _text(chance)
        _write(files / "memory.img", round(IMAGE_BYTES * scale) * larger, chance, text)
        for index in range(MIDDLING):
            _write(files / f"middling-{index:02}.bin", round(MIDDLING_BYTES * scale) * larger, chance, text)
        for index in range(round(SMALL * scale)):
            _write(files / f"small-{index:04}.log", SMALL_BYTES * larger, chance, text)
        mark.touch()
    return sum(file.stat().st_size for file in files.iterdir())


def _text(chance: random.Random) -> bytes:
    """Event records in the order of their time."""
    images = [rf"C:\\Windows\\System32\\{_word(chance)}.exe" for _ in range(200)]
    lines: list[str] = []
    length, moment_ms = 0, 0
    while length < TEXT_BYTES:
        moment_ms += chance.randint(0, 900)
        clock = (moment_ms // 3_600_000 % 24, moment_ms // 60_000 % 60, moment_ms // 1000 % 60, moment_ms % 1000)
        source = (chance.choice(images), uuid.UUID(int=chance.getrandbits(128)), chance.randint(100, 9999))
        target = (chance.choice(images), uuid.UUID(int=chance.getrandbits(128)))
        event = (chance.choice((1, 3, 5, 7, 8, 10, 11, 12, 13)), chance.choice((0x1000, 0x1410, 0x1FFFFF)))
        host, user = chance.randint(1, 40), chance.randint(1, 60)
        lines.append(
            RECORD % (1 + moment_ms // 86_400_000 % 28, *clock, *event, host, *source, len(lines), *target, user)
        )
        length += len(lines[-1])
    return "".join(lines).encode()


def _word(chance: random.Random) -> str:
    return "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(4, 12)))


def _write(path: Path, size: int, chance: random.Random, text: bytes) -> None:
    with path.open("wb") as file:
        left = size
        while left > 0:
            half = min(BLOCK, left) // 2
            start = chance.randrange(len(text) - half)
            file.write(text[start : start + half])
            file.write(chance.randbytes(min(BLOCK, left) - half))
            left -= BLOCK
