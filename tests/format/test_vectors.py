"""The vectors in tests/vectors: the reader gives each verdict, every code has a vector, the script makes the files."""

from __future__ import annotations

import ast
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bundles.format import CODES, KeyRing, check_bundle
from fuzz import oracle
from tests.vectors import make
from tests.vectors.parts import PUBLISHED

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "vectors"
VECTORS: list[dict[str, Any]] = json.loads((FOLDER / "vectors.json").read_text(encoding="utf-8"))
SAID = ("incident_id", "content_digest", "files", "bytes", "complete")
NOT_IN_A_FILE = {
    "not_a_regular_file": "it is about the directory entry, which a stored file cannot carry",
}


def named(name: str) -> dict[str, Any]:
    return next(vector for vector in VECTORS if vector["file"].split(".")[0] == name)


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["file"] for vector in VECTORS])
def test_the_reader_gives_the_verdict_of_the_vector(vector):
    path = FOLDER / vector["file"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == vector["sha256"]
    keys = KeyRing.load([FOLDER / key for key in vector["keys"]], allow_weak=vector["allow_weak_keys"])
    report = check_bundle(path, keys, require=vector["require"])
    assert report.verified is (vector["verdict"] == "verified")
    assert (report.error and report.error.code) == vector["code"]
    assert [name for name, passed in report.checks if passed is False] == ([vector["step"]] if vector["step"] else [])
    if report.verified:
        assert {name: report.as_dict()[name] for name in SAID} == {name: vector[name] for name in SAID}


@pytest.mark.parametrize(
    "vector", [one for one in VECTORS if one["verdict"] == "verified"], ids=lambda vector: vector["file"]
)
def test_the_data_of_a_good_bundle_are_those_an_independent_reader_finds(vector):
    incident_id, held = oracle.read((FOLDER / vector["file"]).read_bytes())
    assert (incident_id, len(held), sum(size for _, size, _ in held)) == (
        vector["incident_id"],
        vector["files"],
        vector["bytes"],
    )


@pytest.mark.parametrize(
    "name", ["good-cosigned", "cosignature-demanded", "byte-changed-in-a-chunk", "key-of-2048-bits"]
)
def test_the_command_line_gives_the_verdict_of_the_vector(name):
    vector = named(name)
    keys = [word for key in vector["keys"] for word in ("--key", str(FOLDER / key))]
    keys += ["--allow-weak-keys"] if vector["allow_weak_keys"] else []
    command = [sys.executable, str(ROOT / "tools" / "verify_bundle.py"), str(FOLDER / vector["file"]), *keys]
    done = subprocess.run(
        [*command, "--require", str(vector["require"]), "--json"], capture_output=True, text=True, check=False
    )
    report = json.loads(done.stdout)
    assert done.returncode == (0 if vector["verdict"] == "verified" else 1)
    assert report["verified"] is (vector["verdict"] == "verified")
    assert (report["error"] and report["error"]["code"]) == vector["code"]


def test_every_code_has_a_vector_but_for_those_that_no_file_can_provoke():
    assert {vector["code"] for vector in VECTORS} - {None} == CODES.keys() - NOT_IN_A_FILE.keys()


def test_every_vector_has_its_own_reason():
    reasons = [vector["why"] for vector in VECTORS]
    assert len(set(reasons)) == len(reasons)
    assert [why for why in reasons if not why.endswith(".")] == []


def test_the_folder_holds_what_is_listed_and_its_makers_and_nothing_secret():
    held = {path.relative_to(FOLDER).as_posix(): path for path in FOLDER.rglob("*") if path.is_file()}
    stored = {name: path.read_bytes() for name, path in held.items() if path.suffix not in {".py", ".pyc"}}
    assert stored.keys() == {vector["file"] for vector in VECTORS} | PUBLISHED.keys() | {"vectors.json"}
    assert {stored[key].splitlines()[0] for key in PUBLISHED} == {b"-----BEGIN PUBLIC KEY-----"}
    assert [name for name, data in stored.items() if b"PRIVATE" in data] == []
    assert sum(map(len, stored.values())) < 500 * 1024


def test_the_makers_import_nothing_of_the_code_that_they_test():
    imported = set()
    for path in [*FOLDER.glob("*.py"), ROOT / "fuzz" / "corpus.py", ROOT / "fuzz" / "signer.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {name.name for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module or "")
    assert "tests.vectors.parts" in imported
    assert [name for name in imported if name.split(".")[0] == "bundles"] == []


def test_the_script_makes_the_same_files_again(tmp_path):
    """Bytes are compared where the compressor is the one that made the stored files; everything else always."""
    make.write(tmp_path)
    made = json.loads((tmp_path / "vectors.json").read_text(encoding="utf-8"))
    assert [without_digest(vector) for vector in made] == [without_digest(vector) for vector in VECTORS]
    names = [vector["file"] for vector in VECTORS if make.packs_alike(vector["file"].partition(".")[2])]
    for name in [*names, *PUBLISHED]:
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes(), name


def without_digest(vector: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in vector.items() if name != "sha256"}
