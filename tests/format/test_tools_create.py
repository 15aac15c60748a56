"""tools/create_incident_bundle.py: from the sources to a signed file, without queue and database; exits 0, 1 or 2."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bundles.format.reading.report import check_bundle
from bundles.format.reading.verify import VerifiedManifest, read_manifest
from bundles.keys import trusted_keys
from orchestrator_site.configuration.env import BASE_DIR
from tests.support.main_job import FILES, INCIDENT, files_of, sources
from tests.support.upstreams import Upstreams, says

__all__ = ["sources"]


@pytest.fixture
def environment(orch, sources: Upstreams) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "KILLCHAIN_API_URL": sources.url("killchain"),
        "DB_API_URL": sources.url("db"),
        "FORENSIC_API_URL": sources.url("forensic"),
        "ORCH_SIGN_KEY_PATH": str(orch.sign_key),
        "ORCH_VERIFY_KEY_PATH": str(orch.trusted),
        "OUTPUT_DIR": str(orch.output_dir),
        "FORENSIC_STORAGE_PATH": str(orch.forensic),
    }


def create(environment: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error; never a traceback."""
    done = subprocess.run(
        [sys.executable, str(BASE_DIR / "tools" / "create_incident_bundle.py"), *arguments],
        env=environment, capture_output=True, text=True, check=False, cwd="/",
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def test_it_makes_a_bundle_that_verifies_and_reports_it(orch, environment):
    code, said, _ = create(environment, INCIDENT, "-o", str(orch.output_dir), "--json")
    report = json.loads(said)
    assert (code, report["complete"], report["files"]) == (0, True, len(FILES) + 3)
    checked = check_bundle(Path(report["bundle"]), trusted_keys.trusted()).as_dict()
    assert checked["verified"]
    assert [checked[name] for name in ("sha256", "content_digest")] == [report["sha256"], report["content_digest"]]
    assert files_of(orch.output_dir) == [Path(report["bundle"]).name]
    named = orch.root / "named.tar.gz"
    code, said, _ = create(environment, INCIDENT, "-o", str(named), "--gzip", "--chunk-size-mb", "1")
    assert code == 0
    assert report["content_digest"] in said
    assert named.read_bytes()[:2] == b"\x1f\x8b"


def test_a_file_is_never_overwritten(orch, environment):
    (orch.root / "kept").write_bytes(b"mine")
    code, _, complaint = create(environment, INCIDENT, "-o", str(orch.root / "kept"))
    assert (code, "[name_taken]" in complaint) == (1, True)
    assert (orch.root / "kept").read_bytes() == b"mine"


def test_a_source_that_fails_is_named_and_nothing_is_left(orch, environment, sources):
    sources.answers["db"] = says(b"oops", 500)
    code, said, complaint = create(environment, INCIDENT, "-o", str(orch.output_dir))
    assert (code, said) == (1, "")
    assert "Alerts DB" in complaint
    assert "[source_unavailable]" in complaint
    assert list(orch.output_dir.iterdir()) == []
    code, said, _ = create(environment, INCIDENT, "-o", str(orch.output_dir), "--allow-partial")
    assert code == 0
    assert "MISSING alerts" in said


@pytest.mark.parametrize(
    ("setting", "code", "expected"),
    [
        ("ORCH_SIGN_KEY_PATH=/nowhere/key.pem", 2, "[key_unreadable]"),
        ("ORCH_VERIFY_KEY_PATH=/nowhere", 2, "[key_unreadable]"),
        ("KILLCHAIN_API_URL=ftp://x", 2, "KILLCHAIN_API_URL"),
        ("ORCH_SOURCE_TIMEOUT_SECONDS=soon", 2, "ORCH_SOURCE_TIMEOUT_SECONDS"),
        ("KILLCHAIN_API_URL=http://127.0.0.1:1", 1, "KillChain"),
    ],
)
def test_what_is_wrong_with_the_settings_is_one_line(orch, environment, setting, code, expected):
    variable, _, value = setting.partition("=")
    got, said, complaint = create({**environment, variable: value}, INCIDENT, "-o", str(orch.output_dir))
    assert (got, said) == (code, "")
    assert expected in complaint
    assert list(orch.output_dir.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["../x", "-o", "."], 1, "[incident_id_invalid]"),
        ([INCIDENT, "-o", "/nowhere/at/all"], 1, "[write_failed]"),
        ([INCIDENT, "-o", "/proc"], 1, "[write_failed]"),
        ([INCIDENT, "-o", "/tmp", "--chunk-size-mb", "0"], 1, "[input_invalid]"),
        ([INCIDENT], 2, "usage"),
    ],
)
def test_what_is_wrong_with_the_arguments_is_one_line(environment, arguments, code, expected):
    got, said, complaint = create(environment, *arguments)
    assert (got, said) == (code, "")
    assert expected in complaint


def test_a_profile_of_the_file_of_sources_and_the_ids_in_its_systems_are_chosen(orch, environment, sources):
    file = orch.root / "sources.toml"
    file.write_text(
        f'[systems.db]\nadapter = "ransomeye"\nurl = "{sources.url("db")}"\n[profiles.short]\nalerts = "db"\n'
    )
    environment |= {"ORCH_SOURCES_FILE": str(file)}
    arguments = ["case-7", "-o", str(orch.output_dir), "--json", "--profile", "short", "--ref"]
    code, said, complaint = create(environment, *arguments, f"db={INCIDENT}")
    assert code == 0, complaint
    entry = manifest_of(Path(json.loads(said)["bundle"])).manifest.metadata["sources"]["alerts"]
    assert (entry["profile"], entry["system"], entry["ref"]) == ("short", "db", INCIDENT)
    code, said, complaint = create(environment, *arguments, "other=1")
    assert (code, said) == (1, "")
    assert "refs.other: the profile short has no such system; it has db. [input_invalid]" in complaint
    code, _, complaint = create(environment, INCIDENT, "-o", str(orch.output_dir), "--profile", "long")
    assert (code, "There is no source profile 'long'; there are default, short." in complaint) == (1, True)
    file.write_text('[profiles.short]\nalerts = "db"\n')
    code, _, complaint = create(environment, INCIDENT, "-o", str(orch.output_dir))
    assert (code, "ORCH_SOURCES_FILE: profiles.short.alerts: there is no system db." in complaint) == (2, True)


def manifest_of(bundle: Path) -> VerifiedManifest:
    return read_manifest(bundle, trusted_keys.trusted())
