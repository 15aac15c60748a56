"""tools/build_verifier.py: one file that verifies bundles without this repository; equal sources give equal bytes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "tests" / "vectors"


def built(output: Path) -> Path:
    subprocess.run(
        [sys.executable, str(ROOT / "tools" / "build_verifier.py"), str(output)], check=True, capture_output=True
    )
    return output


@pytest.fixture(scope="module")
def verifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("verifier") / "dist" / "verify_bundle.pyz")


def run(verifier: Path, *arguments: object, options: tuple[str, ...] = ("-I",)) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, *options, str(verifier), *map(str, arguments)],
        cwd=verifier.parent, env={}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_it_verifies_a_good_bundle_and_refuses_a_bad_one(verifier):
    key = ("--key", VECTORS / "keys" / "cosigner.pem")
    code, said, _ = run(verifier, VECTORS / "good-key-of-3072-bits.tar.zst", *key)
    assert code == 0
    assert said.startswith("VERIFIED: ")
    weak = ("--key", VECTORS / "keys" / "signer.pem", "--allow-weak-keys")
    code, said, _ = run(verifier, VECTORS / "byte-changed.tar.zst", *weak)
    assert code == 1
    assert "[file_hash_mismatch]" in said


def test_it_says_in_one_line_what_is_missing(verifier):
    code, said, error = run(verifier, VECTORS / "good-zstd.tar.zst", options=("-I", "-S"))  # -S: no installed packages
    assert (code, said) == (2, "")
    assert error.count("\n") == 1
    assert "Python 3.11 or newer with the packages cryptography and zstandard" in error


def test_two_builds_are_equal_byte_for_byte(verifier, tmp_path):
    assert built(tmp_path / "again.pyz").read_bytes() == verifier.read_bytes()
