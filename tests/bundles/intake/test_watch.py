"""The watched folder: files that stopped growing are imported once each, whatever is put there and whoever dies."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from bundles.intake import incoming, services, store, watch
from bundles.intake.watch import DONE, REFUSED, TAKING, Watch
from bundles.models import Bundle, Intake
from bundles.storage import bundle_files
from custody import chain
from custody.models import Event
from jobs.models import ENDED, Job
from orchestrator_site.configuration.env import BASE_DIR
from tests.support import main_job
from tests.support.jobs_app.running import eventually
from tests.support.site_deployment import environment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("orch")]

FILES = int(os.environ.get("WATCH_FILES", "40"))


class KilledError(BaseException):
    """In the place of SIGKILL: nothing that follows is done."""


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Path:
    made = tmp_path / "incoming"
    made.mkdir()
    settings.ORCH_INTAKE_DIR = made
    return made


def put(path: Path, content: bytes = b"evidence") -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def looked(times: int = 2) -> int:
    """What the last of several looks moved."""
    watching = Watch()
    return [watching.look() for _ in range(times)][-1]


def tree(folder: Path) -> list[str]:
    """Every file and link below the folder, without what the watch keeps for itself."""
    found = [path.relative_to(folder) for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
    return sorted(str(path) for path in found if path != Path(TAKING) / "lock")


def imported() -> list[tuple[str, str]]:
    """Incident and name of each job that makes a bundle."""
    jobs = Job.objects.filter(job_type="bundle_create")
    return sorted((str(job.incident_id), job.payload["intake"]["name"]) for job in jobs)


def test_a_file_that_stopped_growing_becomes_one_job_and_lies_in_done(folder):
    put(folder / "Host 7.zip")
    put(folder / "case-1" / "host 8.csv")
    assert (looked(1), imported()) == (0, [])
    assert looked() == 2
    assert tree(folder) == ["done/Host 7.zip", "done/case-1/host 8.csv"]
    assert imported() == [("Host-7", "Host 7.zip"), ("case-1", "host 8.csv")]
    assert looked(3) == 0
    assert {event.actor for event in Event.objects.filter(action="intake.received")} == {"system"}
    main_job.finished(Job.objects.get(job_type="bundle_create", incident_id="case-1"))
    assert Bundle.objects.get(incident_id="case-1").source == "intake"


def test_a_file_that_grows_or_is_named_as_unfinished_waits(folder):
    for name in ("a.part", "b.TMP", ".c", "d.crdownload", "e~"):
        put(folder / name)
    growing = put(folder / "growing.log")
    watching = Watch()
    for number in range(4):
        assert watching.look() == 0
        growing.write_bytes(b"x" * number)
    assert (watching.look(), watching.look()) == (0, 1)
    assert imported() == [("growing", "growing.log")]


def test_a_file_that_grows_while_it_is_copied_is_taken_when_it_is_whole(folder, monkeypatch):
    put(folder / "late.log", b"first ")
    real = incoming.copied

    def copied(descriptor: int, name: str) -> Any:
        arrived = real(descriptor, name)
        with next((folder / TAKING).rglob("late.log")).open("ab") as file:
            file.write(b"second")
        return arrived

    with monkeypatch.context() as patch:
        patch.setattr(incoming, "copied", copied)
        assert (looked(), Intake.objects.count()) == (0, 0)
    assert looked(1) == 1
    assert (store.folder_of(Intake.objects.get().intake_id) / "delivered").read_bytes() == b"first second"


def test_what_cannot_be_imported_is_refused_with_the_reason_and_custody_names_it(folder, tmp_path):
    secret = put(tmp_path / "secret.csv")
    put(folder / "not an id!" / "a.csv")
    put(folder / "!!!")
    os.mkfifo(folder / "pipe")
    (folder / "link.csv").symlink_to(secret)
    put(folder / "bad.zip")
    put(folder / "bad.zip.password", b"\xff\xfe")
    put(folder / "long.zip")
    put(folder / "long.zip.password", b"x" * 2000)
    assert looked() == 6
    reasons = {path.name: path.read_text() for path in (folder / REFUSED).rglob("*.reason.txt")}
    assert sorted(reasons) == sorted(
        f"{name}.reason.txt" for name in ("a.csv", "!!!", "pipe", "link.csv", "bad.zip", "long.zip")
    )
    assert reasons["link.csv.reason.txt"] == "It is a link or a special file. Only regular files are imported.\n"
    assert "The name of its folder is not an incident id." in reasons["a.csv.reason.txt"]
    assert "at most 1024 characters" in reasons["long.zip.reason.txt"]
    assert (imported(), Intake.objects.count(), list(bundle_files.quarantine().iterdir())) == ([], 0, [])
    assert Event.objects.filter(action="intake.refused").count() == 6
    assert tree(folder / TAKING) == ["lock"]
    assert not any("password" in name for name in tree(folder))


def test_a_folder_that_is_a_link_and_hidden_or_deeper_files_are_left_alone(folder, tmp_path):
    put(tmp_path / "elsewhere" / "a.csv")
    (folder / "case-1").symlink_to(tmp_path / "elsewhere")
    put(folder / "case-2" / "x").unlink()
    put(folder / "case-2" / "deep" / "b.csv")
    assert looked() == 1  # the link itself, which is refused
    assert (tmp_path / "elsewhere" / "a.csv").exists()
    assert tree(folder) == ["case-2/deep/b.csv", "refused/case-1", "refused/case-1.reason.txt"]


def test_names_cannot_steer_anything_and_none_replaces_another(folder):
    hostile = ["-rf", "a\nb.csv", "\u202etxt.csv", os.fsdecode(b"\xff\xfe.csv"), "x" * 250 + ".csv", "$(id).csv"]
    for _ in range(2):
        for name in hostile:
            put(folder / "case" / name)
        assert looked() == len(hostile)
    kept = [path.name for path in (folder / DONE / "case").iterdir()]
    assert len(kept) == 2 * len(hostile)
    assert set(hostile) < set(kept)
    names = set(Intake.objects.values_list("name", flat=True))
    assert names == {*hostile[:3], "\\udcff\\udcfe.csv", hostile[4], hostile[5]}
    assert chain.verify().intact


def test_a_password_beside_the_file_is_used_and_removed(folder):
    put(folder / "a.zip.password", b"s3cret\n")
    put(folder / "a.zip")
    assert looked() == 1
    assert tree(folder) == ["done/a.zip"]
    assert (store.folder_of(Intake.objects.get().intake_id) / "password").read_text() == "s3cret"
    assert "s3cret" not in repr(list(Event.objects.values())) + repr(list(Job.objects.values()))


def test_a_full_disk_delays_a_file_and_refuses_none(folder, monkeypatch):
    put(folder / "a.csv")
    with monkeypatch.context() as patch:
        patch.setattr(bundle_files, "room", lambda: 1)
        assert looked() == 0
    assert [path.name for path in (folder / TAKING).rglob("a.csv")] == ["a.csv"]
    assert looked(1) == 1
    assert imported() == [("a", "a.csv")]


def test_one_process_looks_at_a_time(folder):
    put(folder / "a.csv")
    second = Watch()
    second.look()
    with watch._only_one(folder) as held:
        assert held is not None
        assert second.look() == 0
    assert looked() == 1


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (incoming, "copied"),
        (services, "receive"),
        (services, "request_bundle"),
        (watch, "_move"),
        (shutil, "rmtree"),
    ],
)
@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_step_the_next_look_finishes_it_once(folder, monkeypatch, module, name, after):
    put(folder / "case-1" / "a.zip.password", b"s3cret")
    put(folder / "case-1" / "a.zip")
    real = getattr(module, name)

    def dying(*args: Any, **kwargs: Any) -> Any:
        if after:
            real(*args, **kwargs)
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(module, name, dying)
        with pytest.raises(KilledError):
            looked()
    looked()
    assert tree(folder) == ["done/case-1/a.zip"]
    assert imported() == [("case-1", "a.zip")]
    assert Intake.objects.count() == Event.objects.filter(action="intake.received").count() == 1
    main_job.finished(Job.objects.get(job_type="bundle_create"))


def test_two_who_finish_the_same_claim_take_it_in_once(folder, monkeypatch):
    """As on two hosts whose locks do not reach each other."""
    put(folder / "a.csv")
    real = incoming.copied

    def copied(descriptor: int, name: str) -> Any:
        arrived = real(descriptor, name)
        with monkeypatch.context() as patch:
            patch.setattr(incoming, "copied", real)
            top = os.open(folder, os.O_RDONLY)
            (claim,) = watch._claims(top)
            watch._finish(top, claim)
            os.close(top)
        return arrived

    monkeypatch.setattr(incoming, "copied", copied)
    looked()
    assert (imported(), Intake.objects.count()) == ([("a", "a.csv")], 1)
    assert tree(folder) == ["done/a.csv"]
    assert list(bundle_files.quarantine().iterdir()) == []


@pytest.fixture
def supervisors(orch: Any, folder: Path, tmp_path: Path) -> Iterator[Any]:
    """Starts `run_orch_worker` on the test's database, each with an upkeep and a worker process of its own."""
    variables = environment(
        orch,
        ORCH_INTAKE_DIR=str(folder),
        ORCH_LEASE_SECONDS="2",
        ORCH_HEARTBEAT_SECONDS="1",
        ORCH_VERIFY_AFTER_CREATE="false",
    )
    started: list[psutil.Popen] = []

    def start() -> psutil.Popen:
        with (tmp_path / f"workers-{len(started)}.log").open("wb") as log:
            command = [sys.executable, "manage.py", "run_orch_worker", "--concurrency", "1"]
            started.append(psutil.Popen(command, cwd=BASE_DIR, env=variables, stdout=log, stderr=subprocess.STDOUT))
        return started[-1]

    yield start
    for process in started:
        if process.is_running():
            family = process.children(recursive=True)
            process.terminate()
            _, alive = psutil.wait_procs([process, *family], timeout=240)
            for member in alive:
                member.kill()
            assert alive == []


def killed(process: psutil.Popen) -> None:
    """Kill a supervisor and all its processes at once, as a power cut of its host does."""
    family = [process, *process.children(recursive=True)]
    for member in family:
        member.suspend()
    for member in family:
        member.send_signal(signal.SIGKILL)
    psutil.wait_procs(family, timeout=60)


def test_every_file_is_bundled_once_over_two_hosts_a_kill_and_a_restart(folder, supervisors):
    names = [f"case-{number % 7}/file {number}.csv" for number in range(FILES)]
    for number, name in enumerate(names[: FILES // 2]):
        put(folder / name, b"%d,evidence\n" % number)
    first, _second = supervisors(), supervisors()
    eventually(lambda: Intake.objects.count() >= FILES // 4)
    killed(first)
    for number, name in enumerate(names[FILES // 2 :]):
        put(folder / name, b"%d,more\n" % number)
    supervisors()
    eventually(lambda: len(tree(folder / DONE)) == FILES)
    eventually(lambda: not Job.objects.exclude(status__in=ENDED).exists())
    assert tree(folder) == sorted(f"done/{name}" for name in names)
    assert sorted(f"{incident}/{name}" for incident, name in imported()) == sorted(names)
    assert Bundle.objects.count() == Bundle.objects.values("job_id").distinct().count() == FILES
    assert Intake.objects.filter(state="bundled").count() == Intake.objects.count() == FILES
    for action in ("intake.received", "intake.bundle", "bundle.published"):
        assert Event.objects.filter(action=action).count() == FILES
    assert chain.verify().intact
