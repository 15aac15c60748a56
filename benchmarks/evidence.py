"""Deterministic evidence: one large image, some middling files, many small ones; half of each is compressible."""

from __future__ import annotations

import random
from pathlib import Path

MIB = 1024 * 1024
IMAGE_BYTES = 1024 * MIB
MIDDLING, MIDDLING_BYTES = 20, 40_000_000
SMALL, SMALL_BYTES = 2_000, 100_000
BLOCK = 256 * 1024
_ALPHABET = b"abcdefghijklmnopqrstuvwxyz"


def make(folder: Path, scale: float) -> int:
    """Write `scale` times 2.07 GB of files into `folder/files`, unless they are there.

    Returns:
        Their total size in bytes.
    """
    files = folder / "files"
    mark = folder / f"complete-{scale}"
    if not mark.exists():
        files.mkdir(parents=True)
        chance = random.Random(20260101)
        text = _text(chance)
        _write(files / "memory.img", round(IMAGE_BYTES * scale), chance, text)
        for index in range(MIDDLING):
            _write(files / f"middling-{index:02}.bin", round(MIDDLING_BYTES * scale), chance, text)
        for index in range(round(SMALL * scale)):
            _write(files / f"small-{index:04}.log", SMALL_BYTES, chance, text)
        mark.touch()
    return sum(file.stat().st_size for file in files.iterdir())


def _text(chance: random.Random) -> bytes:
    """Log-like text that compresses about fivefold."""
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(3, 10))) for _ in range(3000)]
    return "".join(_line(chance, words) for _ in range(60_000)).encode()


def _line(chance: random.Random, words: list[str]) -> str:
    return f"2026-01-{chance.randint(1, 28):02} host{chance.randint(1, 40)} {' '.join(chance.choices(words, k=9))}\n"


def _write(path: Path, size: int, chance: random.Random, text: bytes) -> None:
    letters = bytearray(_ALPHABET)
    with path.open("wb") as file:
        left = size
        while left > 0:
            half = min(BLOCK, left) // 2
            start = chance.randrange(len(text) - BLOCK)
            # Other letters in each block: as compressible as the text, but no block repeats another.
            chance.shuffle(letters)
            file.write(text[start : start + half].translate(bytes.maketrans(_ALPHABET, letters)))
            file.write(chance.randbytes(min(BLOCK, left) - half))
            left -= BLOCK
