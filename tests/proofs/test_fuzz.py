"""The fuzzer itself: its mutants are reproducible, the reader withstands some, and its judge finds faulty readers."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bundles.format import KeyRing, TrustedKey, VerifiedBundle, verify_bundle
from fuzz import campaign, corpus, mutants, oracle, signer
from fuzz.judge import Judge, ReaderFailedError
from fuzz.mutants import LAYERS, Mutant, mutant

ROOT = Path(__file__).resolve().parents[2]
DIGEST = """
import hashlib
from fuzz.mutants import mutant
made = [mutant(7, number).bundle for number in reversed(range(60))]
print(hashlib.sha256(b"".join(reversed(made))).hexdigest())
"""


@pytest.mark.parametrize("shape", corpus.SHAPES)
def test_the_originals_verify_and_the_oracle_reads_the_same_listing(shape, tmp_path):
    bundle = corpus.original(shape).pack()
    assert Judge(tmp_path / "bundle").verdict(Mutant("none", resigned=False, bundle=bundle)) == "verified"
    assert oracle.read(bundle) == corpus.original_listing()


def test_the_reader_withstands_some_mutants_and_refuses_most():
    tally = campaign.run_share(4, range(300), time.monotonic() + 60)
    assert tally.failures == []
    assert tally.codes.total() == 300
    assert tally.codes["verified"] < 150
    assert len(tally.codes) > 15
    assert tally.resigned["verified"] > 0, "some that the trusted key signed again are valid bundles with other content"


def test_a_mutant_does_not_depend_on_the_process_or_on_earlier_mutants():
    done = subprocess.run([sys.executable, "-c", DIGEST], cwd=ROOT, capture_output=True, text=True, check=True)
    here = hashlib.sha256(b"".join(mutant(7, number).bundle for number in range(60))).hexdigest()
    assert done.stdout.strip() == here


def test_seeds_and_numbers_give_different_mutants_in_every_layer():
    made = [mutant(seed, number) for seed in (1, 2) for number in range(60)]
    assert len({one.bundle for one in made}) > 100
    assert {one.layer for one in made} == set(LAYERS)


def test_all_cores_together_judge_each_mutant_once():
    assert campaign.run(4, 40, 60, workers=2).codes == campaign.run_share(4, range(40), time.monotonic() + 60).codes


def original_verdict(path: Path) -> VerifiedBundle:
    """The verdict of a reader that takes every bundle for the original."""
    path.write_bytes(corpus.original("zstd").pack())
    public = signer.private_key().public_key()
    return verify_bundle(
        path, KeyRing((TrustedKey(signer.key_id(), "fuzz", revoked=False, public=public),), allow_weak=True)
    )


def changed() -> Mutant:
    draft = corpus.original("zstd")
    draft.files["artifacts/a-1/note.txt"] = b"what was SEEN\n"
    draft.lay_out()
    return Mutant("payload", resigned=False, bundle=draft.pack())


def test_the_judge_finds_a_reader_that_accepts_changed_content(tmp_path):
    with pytest.raises(ReaderFailedError, match="oracle"):
        Judge(tmp_path / "bundle", lambda _path, _keys: original_verdict(tmp_path / "original")).verdict(changed())


def test_the_judge_finds_a_reader_that_accepts_unsigned_content(tmp_path):
    draft = corpus.original("zstd")
    draft.files = draft.files | {"artifacts/a-1/note.txt": b"what was SEEN\n"}
    draft.fields = corpus.fields_of(draft.files, "zstd")
    draft.raw = corpus.raw_of(draft.fields, "zstd")
    draft.sign()
    draft.lay_out()
    for resigned in (True, False):
        made = Mutant("payload", resigned=resigned, bundle=draft.pack())
        if resigned:
            assert Judge(tmp_path / "bundle").verdict(made) == "verified"
        else:
            with pytest.raises(ReaderFailedError, match="nobody signed"):
                Judge(tmp_path / "bundle").verdict(made)


def test_the_judge_finds_a_crash_and_the_campaign_saves_its_mutant(tmp_path):
    def crash(_path: Path, _keys: KeyRing) -> VerifiedBundle:
        raise IndexError("out of range")

    with pytest.raises(ReaderFailedError, match="IndexError: out of range"):
        Judge(tmp_path / "bundle", crash).verdict(changed())
    tally = campaign.Tally(failures=[(3, "IndexError: out of range")])
    [kept] = campaign.keep(1, tally, tmp_path / "kept")
    assert kept.read_bytes() == mutants.mutant(1, 3).bundle


def test_its_signing_equals_an_ordinary_rsa_private_operation():
    ordinary = signer.private_key().private_numbers()
    for prime in (signer.P, signer.Q):
        exponent = ordinary.d % (prime.value - 1)
        for value in (0, 1, prime.value - 1, prime.value, 3**1200, 2**2047 - 1):
            assert prime.root(value) == pow(value, exponent, prime.value)
