"""`pytest --core`: the part of the suite that also a slow machine runs to its end.

Left out are the tests that drive a browser and those that kill processes for minutes. Every test of the queue, the
format, restores, custody and permissions stays. The files left out are named in the first and the last lines.
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
    """Which files are left out, in one line."""
    return "core: left out on this machine, to be run by themselves: " + " ".join(
        str(path.relative_to(ROOT)) for path in left_out()
    )


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--core`."""
    parser.addoption("--core", action="store_true", help="leave out the tests that take long on a slow machine")


def pytest_report_header(config: pytest.Config) -> str | None:
    """Name the files left out, first."""
    return in_words() if config.getoption("core") else None


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave a file out, whoever named it."""
    return True if config.getoption("core") and collection_path in left_out() else None


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Name them once more, last."""
    if config.getoption("core") and not hasattr(config, "workerinput"):
        print(in_words())  # noqa: T201 # the runner's own report has been closed by now
