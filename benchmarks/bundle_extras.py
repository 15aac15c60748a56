"""What the bundle part measures besides speed against peers: the real path, refusals, many files, a real disk."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import evidence
from benchmarks.command import fresh, ours
from bundles.format import KeyRing, check_bundle, generate_key
from bundles.format.model.signing import SigningKey
from bundles.samples.services import DB, FORENSIC, KILLCHAIN, SampleServices

MANY_FILES = 100_000
INCIDENT = "bench-incident"
ROOT = Path(__file__).resolve().parent.parent


def real_path(folder: Path, data: Path, key: Path, public: Path) -> float:
    """Seconds for tools/create_incident_bundle.py: records over HTTP, artifact files from the local store."""
    store = fresh(folder / "store") / INCIDENT
    records = []
    for file in sorted((data / "files").iterdir()):
        artifact_id = hashlib.sha256(file.name.encode()).hexdigest()[:32]
        place = store / "artifacts" / artifact_id
        place.mkdir(parents=True)
        os.link(file, place / file.name)
        with file.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        records.append(
            {
                "artifact_id": artifact_id,
                "name": file.name,
                "filepath": f"artifacts/{artifact_id}/{file.name}",
                "size": file.stat().st_size,
                "sha256": sha256,
                "source_host": "host1.example.com",
                "collected_at": "2026-01-31T12:00:00Z",
                "incident_id": INCIDENT,
            }
        )
    timeline = {"incident_id": INCIDENT, "events": [], "entities": [], "correlations": [], "event_count": 0}
    (store / "timeline.json").write_text(json.dumps(timeline))
    (store / "alerts.json").write_text("[]")
    (store / "artifacts.json").write_text(json.dumps(records))
    services = SampleServices([store.parent]).start()
    out = fresh(folder / "real")
    try:
        environ = {
            **os.environ,
            "ORCH_PROFILE": "development",
            "ORCH_SIGN_KEY_PATH": str(key),
            "ORCH_VERIFY_KEY_PATH": str(public),
            "OUTPUT_DIR": str(out),
            "FORENSIC_STORAGE_PATH": str(store),
            "KILLCHAIN_API_URL": services.url(KILLCHAIN),
            "FORENSIC_API_URL": services.url(FORENSIC),
            "DB_API_URL": services.url(DB),
        }
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, str(ROOT / "tools" / "create_incident_bundle.py"), INCIDENT, "-o", str(out)],
            check=True,
            env=environ,
            stdout=subprocess.DEVNULL,
        )
        return time.perf_counter() - started
    finally:
        services.stop()
        shutil.rmtree(out)
        shutil.rmtree(store.parent)


def refusals(bundle: Path, folder: Path) -> dict[str, float]:
    """Seconds to refuse a signature by a stranger, a changed manifest, and a file that was cut off."""
    stranger, others = folder / "stranger.pem", folder / "others.pem"
    if not stranger.exists():
        generate_key(stranger)
    others.write_bytes(SigningKey.load(stranger).public_pem())
    keys = KeyRing.load([folder / "public.pem"])
    changed, cut = folder / "changed.tar.zst", folder / "cut.tar.zst"
    shutil.copyfile(bundle, changed)
    with changed.open("r+b") as file:
        file.seek(200)
        file.write(b"\xff")
    shutil.copyfile(bundle, cut)
    os.truncate(cut, bundle.stat().st_size * 3 // 4)
    cases = {
        "stranger's signature": (bundle, KeyRing.load([others])),
        "changed manifest": (changed, keys),
        "cut off": (cut, keys),
    }
    seconds = {}
    for name, (path, ring) in cases.items():
        started = time.perf_counter()
        if check_bundle(path, ring).verified:
            raise AssertionError(f"{name}: not refused")
        seconds[name] = time.perf_counter() - started
    changed.unlink()
    cut.unlink()
    return seconds


def many_files(folder: Path, key: Path, public: Path) -> dict[str, Any]:
    """Seconds and peak memory for 100,000 small files."""
    data, out = fresh(folder / "many"), fresh(folder / "many-out")
    (data / "files").mkdir()
    for index in range(MANY_FILES):
        (data / "files" / f"{index:06}.txt").write_bytes(b"%d\n" % index)
    costs = {what: ours(what, data, out, key, public) for what in ("create", "verify")}
    shutil.rmtree(data)
    shutil.rmtree(out)
    return costs


def four_times_larger(folder: Path, scale: float, key: Path, public: Path) -> dict[str, int]:
    """Peak memory in bytes for as many files as in the main data, each four times larger."""
    data, out = folder / "larger", fresh(folder / "larger-out")
    evidence.make(data, scale, larger=4)
    peaks = {what: int(ours(what, data, out, key, public)["rss_bytes"]) for what in ("create", "verify")}
    shutil.rmtree(data)
    shutil.rmtree(out)
    return peaks


def on_disk(data: Path, key: Path, public: Path) -> float:
    """Seconds to create the bundle, fsynced, on the disk that holds the working directory."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        return float(ours("create", data, Path(folder), key, public)["seconds"])
