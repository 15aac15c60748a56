"""`pytest --core`: the part of the suite for slow machines.

It leaves out the tests that drive a browser and those that kill processes for minutes; all other tests of the queue,
the format, restores, custody and permissions run. The first and the last line of the output name the files left out.
"""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BROWSER_TESTS = "tests/browser/test_*.py"
LONG_KILLS = ("tests/main_job/test_death.py", "tests/proofs/test_soak_chaos.py", "tests/proofs/test_soak_killpoints.py")


def left_out() -> list[Path]:
    """The files that `--core` leaves out."""
    return sorted([*ROOT.glob(BROWSER_TESTS), *(ROOT / name for name in LONG_KILLS)])


def in_words() -> str:
    """One line that names the files left out."""
    return "core: left out on this machine, to be run separately: " + " ".join(
        str(path.relative_to(ROOT)) for path in left_out()
    )


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--core`."""
    parser.addoption("--core", action="store_true", help="leave out the tests that take long on a slow machine")


def pytest_report_header(config: pytest.Config) -> str | None:
    """Name the files left out in the header."""
    return in_words() if config.getoption("core") else None


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave a file out, even if it was named on the command line."""
    return True if config.getoption("core") and collection_path in left_out() else None


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Name them again at the end."""
    if config.getoption("core") and not hasattr(config, "workerinput"):
        print(in_words())  # noqa: T201 # pytest's own reporter has finished by now
