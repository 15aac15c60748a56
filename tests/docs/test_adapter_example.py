"""The adapter of docs/sources.md, installed as a package, collects an incident in a process of its own."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bundles.format.model.records import iter_array, read_timeline
from bundles.format.model.signing import KeyRing
from bundles.format.reading.extract import extract_bundle
from bundles.format.reading.report import check_bundle
from tests.support.format_builders import ring, signer

ROOT = Path(__file__).resolve().parents[2]
SECRET = "a-token-of-the-test"
DISK = bytes(range(256)) * 3000
EVENTS = [{"timestamp": f"2026-01-01T00:00:0{n}Z", "n": n, "score": 1.50} for n in (2, 1)]
ALERTS = [{"id": n, "timestamp": f"2026-01-0{n}T00:00:00Z"} for n in (3, 1, 2)]
FILES = [
    {"id": 1, "name": "disk.img", "size": len(DISK), "sha256": hashlib.sha256(DISK).hexdigest()},
    {"id": 2, "name": "../evil.txt", "size": 4, "sha256": hashlib.sha256(b"evil").hexdigest()},
]
ANSWERS = {
    "/cases/42/events": json.dumps(EVENTS).encode(),
    "/cases/42/alerts": json.dumps(ALERTS).encode(),
    "/cases/42/files": json.dumps(FILES).encode(),
    "/cases/43/events": b"[]",
    "/cases/43/alerts": b"[]",
    "/cases/43/files": json.dumps([{"id": 9, "name": None}, FILES[1]]).encode(),
    "/files/1": DISK,
    "/files/2": b"evil",
}
COLLECT = """
import json, sys
from dataclasses import replace
from pathlib import Path

from bundles.format.model.signing import SigningKey
from bundles.handlers.pack import pack
from bundles.sources import profiles
from bundles.sources.adapters import registry
from bundles.sources.live import LiveSource
from bundles.sources.profiles import Credential, Profile, System

url, token, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
credential = Credential(kind="bearer", secret_file=token)
system = System(name="desk", adapter="acme", url=url, timeout_s=20, credential=credential)
profile = Profile(name="acme", systems=dict.fromkeys(profiles.PARTS, system))
source = LiveSource(profile=profile, refs={"desk": "42"}, storage=folder)
nothing = lambda *_: None
evidence = source.collect("case-7", folder, allow_partial=False, on_progress=nothing, check=nothing)
key = SigningKey.load(folder.parent / "key.pem")
more = {"chunk_size_mb": 1, "compression": "zstd", "progress": None}
pack(evidence, folder / "case-7.bundle", incident_id="case-7", key=key, **more)
(folder.parent / "partial").mkdir()
other = replace(source, refs={"desk": "43"})
part = other.collect("case-8", folder.parent / "partial", allow_partial=True, on_progress=nothing, check=nothing)
json.dump({"names": registry.names(), "provenance": evidence.provenance, "missing": part.missing}, sys.stdout)
"""


class Desk(BaseHTTPRequestHandler):
    """The system that the example reads."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *of: object) -> None:
        pass

    def do_GET(self) -> None:
        known = self.headers.get("Authorization") == f"Bearer {SECRET}"
        body = ANSWERS.get(self.path, b"") if known else b""
        self.send_response(200 if body else 404 if known else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def desk():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Desk)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def site_packages(tmp_path):
    """A folder into which the package of the document is installed, as an installer of wheels writes it."""
    document = (ROOT / "docs" / "sources.md").read_text()
    files = dict(re.findall(r"```\w+\n# (\S+)\n(.*?)```", document, re.DOTALL))
    project = tomllib.loads(files["pyproject.toml"])["project"]
    folder = tmp_path / "site-packages"
    about = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        for group, points in project["entry-points"].items()
    ]
    (about / "entry_points.txt").write_text("\n".join(groups))
    (folder / "acme_sources.py").write_text(files["acme_sources.py"])
    return folder


def test_the_example_of_the_document_is_installed_and_collects_a_whole_incident(desk, site_packages, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (tmp_path / "key.pem").write_bytes(signer().pem)
    (tmp_path / "token").write_text(SECRET)
    paths = os.pathsep.join([str(site_packages), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": paths, "DJANGO_SETTINGS_MODULE": "orchestrator_site.settings"}
    ran = subprocess.run(
        [sys.executable, "-c", COLLECT, desk, tmp_path / "token", folder],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    assert "acme" in said["names"]
    assert SECRET not in ran.stdout
    assert said["missing"] == [
        {"source": "artifacts", "reason": "Artifacts of desk (Acme cases): record 1: it has no id or no name."}
    ]
    _is_whole(folder / "case-7.bundle", ring(), tmp_path / "extracted")
    for part, count in {"timeline": 2, "alerts": 3, "artifacts": 2}.items():
        entry = said["provenance"][part]
        assert (entry["adapter"], entry["adapter_version"], entry["profile"]) == ("acme", "1.0", "acme")
        assert (entry["ref"], entry["record_count"]) == ("42", count)


def _is_whole(bundle: Path, keys: KeyRing, out: Path) -> None:
    report = check_bundle(bundle, keys)
    assert report.verified
    assert report.as_dict()["complete"] is True
    extract_bundle(bundle, keys, out)
    timeline = read_timeline(out / "timeline.json")
    assert timeline.header["incident_id"] == "case-7"
    assert [event for event, _ in timeline.events] == EVENTS
    assert [alert["id"] for alert, _ in iter_array(out / "alerts.json")] == [1, 2, 3]
    records = [record for record, _ in iter_array(out / "artifacts.json")]
    assert records == [{**file, "artifact_id": str(file["id"])} for file in FILES]
    assert (out / "artifacts" / "1" / "disk.img").read_bytes() == DISK
    assert (out / "artifacts" / "2" / "evil.txt").read_bytes() == b"evil"


def test_the_example_has_about_sixty_lines_and_no_long_ones():
    document = (ROOT / "docs" / "sources.md").read_text()
    code = re.search(r"```python\n(# acme_sources.py.*?)```", document, re.DOTALL)
    assert code
    lines = [line for line in code[1].splitlines()[1:] if line.strip()]  # without the name of the file
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 120
