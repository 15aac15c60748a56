"""An API under test: callers of every role over a real socket, and a bundle with file and rows."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone
from knox.models import AuthToken

from bundles.artifacts import index
from bundles.format.model.signing import SigningKey
from bundles.format.writing.folder import folder_payloads
from bundles.format.writing.writer import write_bundle
from bundles.models import Bundle, Manifest
from custody.models import Event
from jobs.models import Job
from orchestrator_site.accounts.roles import assign_role
from tests.conftest import Orchestrator
from tests.support.main_job import files_of

INCIDENT = "incident-123"
ROLES = ("viewer", "analyst", "operator", "admin")
PATIENCE_S = 240
BASE = Path(__file__).resolve().parents[2]


@dataclass
class Api:
    """Calls one server; `role` chooses the caller's token, empty for an anonymous caller."""

    url: str
    tokens: dict[str, str] = field(default_factory=dict)

    def call(self, method: str, path: str, *, role: str = "operator", **kwargs: Any) -> requests.Response:
        headers = dict(kwargs.pop("headers", {}))
        if role:
            headers["Authorization"] = f"Token {self.tokens[role]}"
        return requests.request(
            method, self.url + path, headers=headers, timeout=PATIENCE_S, allow_redirects=False, **kwargs
        )

    def get(self, path: str, **kwargs: Any) -> requests.Response:
        return self.call("GET", path, **kwargs)

    def post(self, path: str, body: Any = None, **kwargs: Any) -> requests.Response:
        if body is not None:
            kwargs["json"] = body
        return self.call("POST", path, **kwargs)


@dataclass(frozen=True)
class Traces:
    """What a refused request must not change."""

    jobs: int
    events: int
    files: tuple[str, ...]

    @classmethod
    def now(cls, orch: Orchestrator) -> Traces:
        return cls(Job.objects.count(), Event.objects.count(), tuple(files_of(orch.root)))


def make_callers() -> dict[str, str]:
    """A user and a token for each role, and for the user `nothing` without a role."""
    tokens = {}
    for name in (*ROLES, "nothing"):
        user = User.objects.create_user(name)
        if name in ROLES:
            assign_role(user, name)
        tokens[name] = AuthToken.objects.create(user=user)[1]
    return tokens


def make_bundle(orch: Orchestrator, incident_id: str = INCIDENT, content: bytes = b"evidence") -> Bundle:
    """A bundle file in OUTPUT_DIR with its rows, as a finished job leaves them."""
    folder, staging = orch.root / f"folder-{uuid4().hex}", orch.root / f"staging-{uuid4().hex}"
    folder.mkdir()
    staging.mkdir()
    (folder / "found.bin").write_bytes(content)
    name = f"bundle_{incident_id}_{uuid4().hex[:8]}.tar.zst"
    written = write_bundle(
        orch.output_dir / name,
        incident_id=incident_id,
        payloads=folder_payloads(folder, incident_id, staging, any_folder=True),
        key=SigningKey.load(orch.sign_key),
    )
    shutil.rmtree(folder)
    shutil.rmtree(staging)
    manifest = written.manifest
    bundle = Bundle.objects.create(
        incident_id=incident_id,
        name=name,
        size=written.size,
        sha256=written.sha256,
        created_at=timezone.now(),
        created_by="analyst",
        job_id=uuid4(),
        source="live",
        compression="zstd",
        key_id="0" * 64,
        signer="signer",
        content_digest=manifest.content_digest,
        manifest_hash=manifest.manifest_hash,
        complete=True,
        files=len(manifest.files),
        total_bytes=sum(entry.size for entry in manifest.files),
    )
    Manifest.objects.create(bundle=bundle, raw=written.manifest_bytes)
    index.add(bundle.bundle_id, manifest.files)
    return bundle


def is_problem(answer: requests.Response, number: int, code: str) -> dict[str, Any]:
    """Check that the answer is a problem document of this status and code, and return it."""
    assert (answer.status_code, answer.headers["Content-Type"]) == (number, "application/problem+json"), answer.text
    body: dict[str, Any] = answer.json()
    assert (body["status"], body["code"]) == (number, code), body
    assert body["title"]
    assert body["detail"]
    assert body["type"] == f"urn:ransomeye:problem:{code}"
    assert body["request_id"] == answer.headers["X-Request-ID"]
    return body


@pytest.fixture
def api(orch: Orchestrator, transactional_db: None, live_server: Any) -> Api:
    """The site on Django's own threaded server, in this process."""
    return Api(live_server.url, make_callers())


@pytest.fixture
def gunicorn_api(orch: Orchestrator, transactional_db: None) -> Iterator[Api]:
    """The site under gunicorn, with one process and few threads, on a port the system chose."""
    known = connection.settings_dict
    environment = {
        **os.environ,
        "DB_HOST": str(known["HOST"]),
        "DB_PORT": str(known["PORT"] or 5432),
        "DB_NAME": str(known["NAME"]),
        "DB_USER": str(known["USER"]),
        "OUTPUT_DIR": str(orch.output_dir),
        "FORENSIC_STORAGE_PATH": str(orch.forensic),
        "ORCH_SIGN_KEY_PATH": str(orch.sign_key),
        "ORCH_VERIFY_KEY_PATH": str(orch.trusted),
        "ORCH_VAR_DIR": str(orch.root),
        "ORCH_ANONYMOUS_API_ROLE": "operator",
        "ORCH_MAX_UPLOAD_MB": "64",
        "TMPDIR": str(orch.root / "tmp"),
    }
    (orch.root / "tmp").mkdir()
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--bind", f"fd://{listener.fileno()}", "--workers", "1", "--threads", "4",
         "--worker-class", "gthread", "--no-control-socket", "orchestrator_site.wsgi:application"],
        cwd=BASE, env=environment, pass_fds=[listener.fileno()], stderr=subprocess.PIPE,
    )  # fmt: skip
    listener.close()
    made = Api(f"http://localhost:{port}", make_callers())
    try:
        _wait_for(made, server)
        yield made
    finally:
        server.terminate()
        _, errors = server.communicate(timeout=PATIENCE_S)
    assert b"Traceback" not in errors, errors.decode()


def _wait_for(api: Api, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and server.poll() is None:
        try:
            if api.get("/schema").status_code == 200:
                return
        except requests.ConnectionError:
            time.sleep(0.1)
    raise AssertionError(f"gunicorn did not answer: {json.dumps(server.poll())}")
