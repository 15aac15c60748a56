"""Rules of the whole repository that no single module can keep: arrows, one place for states, opening words."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

from orchestrator_site.configuration.env import BASE_DIR
from tests.support import core


def tracked(*patterns: str) -> list[Path]:
    """Files of the repository, as git lists them, or as they lie there where git is not at hand."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *patterns], cwd=BASE_DIR, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        ours = (
            "orchestrator_site", "incidents", "rehydration", "bundles", "jobs", "custody", "foundation", "tools",
            "tests",
        )  # fmt: skip
        found = [path for folder in ours for path in (BASE_DIR / folder).rglob("*.py")]
        return sorted(found) if patterns == ("*.py",) else []
    return [BASE_DIR / name for name in listed.stdout.split("\0") if name and (BASE_DIR / name).is_file()]


PYTHON = tracked("*.py")
PRODUCT = [path for path in PYTHON if path.relative_to(BASE_DIR).parts[0] not in {"tests", "benchmarks", "soak"}]


def name_of(path: Path) -> str:
    return str(path.relative_to(BASE_DIR))


def test_whatever_drives_a_browser_says_so_in_its_name_so_that_a_slow_machine_can_leave_it_out():
    drives = re.compile(r"from playwright|: (Page|Browser)\b|\bvisit: ")
    tests = [path for path in PYTHON if "tests" in path.parts and path.name.startswith("test_")]
    found = {name_of(path) for path in tests if drives.search(path.read_text(encoding="utf-8"))}
    named = {name_of(path) for path in tests if path.match(core.BROWSER_TESTS)}
    assert found - {"tests/docs/test_structure.py"} <= named
    assert len(core.left_out()) == len(named) + len(core.LONG_KILLS)
    assert all(path.is_file() for path in core.left_out())


def test_a_jobs_state_is_written_in_one_module_only():
    found = {name_of(path) for path in PRODUCT if "status =" in path.read_text(encoding="utf-8")}
    assert found == {"jobs/queue/transitions.py"}


RUNNING = [path for path in PRODUCT if "migrations" not in path.parts]
WRITES = re.compile(
    r"UPDATE\s+orchestrator_jobs\b|DELETE\s+FROM\s+orchestrator_jobs\b|Job\.objects\.\w+\([^)]*\)\.(update|delete)\("
)


def test_only_the_state_machine_writes_to_its_table_but_for_a_restores_incident_and_the_purge_of_old_jobs():
    found = {name_of(path) for path in RUNNING if WRITES.search(path.read_text(encoding="utf-8"))}
    assert found - {"rehydration/handler.py", "jobs/queue/retention.py"} == {"jobs/queue/transitions.py"}
    purge = (BASE_DIR / "jobs" / "queue" / "retention.py").read_text(encoding="utf-8")
    assert len(WRITES.findall(purge)) == 1
    assert "DELETE FROM orchestrator_jobs AS job USING over " in purge
    assert not re.search(r"\bUPDATE\s+orchestrator_", purge)
    (write,) = re.findall(r"\.update\(([^)]*)\)", (BASE_DIR / "rehydration" / "handler.py").read_text(encoding="utf-8"))
    assert write.startswith("incident_id=")


def test_the_bundle_format_and_its_verifier_need_no_django_and_no_database_driver():
    code = (
        "import sys; sys.path.insert(0, '.'); "
        "import bundles.format.cli.cli, bundles.format.reading.extract, bundles.format.writing.writer;"
        "print([name for name in sys.modules if name.split('.')[0] in"
        " {'django', 'psycopg2', 'rest_framework', 'requests', 'jobs', 'custody', 'rehydration', 'orchestrator_site'}])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=BASE_DIR, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_each_module_opens_with_what_it_is_for():
    silent = []
    for path in PYTHON:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if tree.body and "migrations" not in path.parts and not ast.get_docstring(tree):
            silent.append(name_of(path))
    assert silent == []


HOME = re.compile(r"(?<![\w./-])(/home/\w+|/Users/\w+|/root/\w+|/work/\w+|/workspace/\w+)")


def test_no_file_names_a_path_of_somebodys_machine():
    texts = tracked(
        "*.py", "*.md", "*.toml", "*.txt", "*.html", "*.css", "*.js", "*.sh", "*.service", "Makefile", ".ci/*"
    )
    found = []
    for path in texts:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if (match := HOME.search(line)) and path != Path(__file__):
                found.append(f"{name_of(path)}:{number}: {match[0]}")
    assert found == []


def test_no_symbolic_link_is_tracked():
    listed = subprocess.run(["git", "ls-files", "-s"], cwd=BASE_DIR, capture_output=True, text=True, check=False)
    # a checkout would put one in the place of whatever is ignored under its name, a virtual environment above all
    assert [line for line in listed.stdout.splitlines() if line.startswith("120000")] == []


def test_nothing_made_at_run_time_is_tracked():
    made = tracked("var/*", ".venv/*", "*.pyc", "*.pem", "*.tar.zst", "*.tar.gz")
    # tests/vectors holds public keys and bundles on purpose; tests/format/test_vectors.py tells exactly which
    assert [name_of(path) for path in made if path.relative_to(BASE_DIR).parts[:2] != ("tests", "vectors")] == []
