"""Mutants of archives: the readers of imports withstand some, and their judge finds faulty readers."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from bundles.intake.archives import zip_reader
from bundles.intake.delivered import DELIVERED, UNPACKED
from bundles.sources.live import LiveSource
from fuzz import archive_shapes, archives
from fuzz.archive_shapes import ORIGINALS
from fuzz.hostile_archives import imported
from fuzz.hostile_kinds import KINDS, MIB

ROOT = Path(__file__).resolve().parents[2]
DIGEST = """
import hashlib
from fuzz.archives import mutant
print(hashlib.sha256(b"".join(mutant(7, number)[1] for number in range(60))).hexdigest())
"""


@pytest.mark.parametrize("shape", sorted(ORIGINALS))
def test_the_originals_are_read_whole_and_imported(shape):
    assert archives.judge(ORIGINALS[shape].raw, ORIGINALS[shape].names) in {"read", "archive_damaged"}
    archives.judge_import(ORIGINALS[shape].raw)


def test_the_readers_withstand_200_mutants():
    tally = archives.run(1, range(200))
    assert tally.failures == []
    assert tally.outcomes.total() == 200
    assert {"read", "damaged", "archive_damaged"} <= tally.outcomes.keys()


def test_a_mutant_does_not_depend_on_the_process():
    done = subprocess.run([sys.executable, "-c", DIGEST], cwd=ROOT, capture_output=True, text=True, check=True)
    here = hashlib.sha256(b"".join(archives.mutant(7, number)[1] for number in range(60))).hexdigest()
    assert done.stdout.strip() == here


def test_the_judge_finds_a_reader_that_does_not_compare_checksums(monkeypatch):
    files = archive_shapes.contents()
    raw = bytearray(ORIGINALS["zip stored"].raw)
    raw[raw.index(files["d/noise.bin"])] ^= 1
    assert archives.judge(bytes(raw), frozenset(files)) == "damaged"
    monkeypatch.setattr(zip_reader, "_checked", lambda pieces, _entry: pieces)
    with pytest.raises(archives.WrongError, match="checksum"):
        archives.judge(bytes(raw), frozenset(files))


def test_the_judge_finds_an_import_that_leaves_out_a_member_in_silence(monkeypatch):
    monkeypatch.setattr(LiveSource, "_contents", lambda *_: None)
    with pytest.raises(archives.WrongError, match="neither artifacts nor missing"):
        archives.judge_import(ORIGINALS["velociraptor"].raw)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.large], ids=lambda kind: kind.title)
def test_a_hostile_archive_is_refused_or_says_what_is_wrong(kind, tmp_path):
    outcome = imported(kind, tmp_path)
    if kind.refused:
        assert outcome.codes == (kind.refused,)
        assert outcome.artifacts == 0
    assert outcome.peak_bytes < 128 * MIB
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != UNPACKED) == [DELIVERED, "staging"]
