"""The pictures of docs/screens: of every page, in both themes, small, and where the README points."""

from __future__ import annotations

import re

from orchestrator_site.configuration.env import BASE_DIR
from tests.support.console_catalogue import page_names

FOLDER = BASE_DIR / "docs" / "screens"
MOST_BYTES = 150 * 1024
MOST_BYTES_IN_ALL = 4 * 1024 * 1024


def test_every_page_has_its_picture_light_and_dark() -> None:
    pages = {name.removesuffix("-page") for name in page_names()}
    wanted = {f"{page}-{theme}.webp" for page in pages for theme in ("light", "dark")}
    assert wanted - {path.name for path in FOLDER.iterdir()} == set(), "make screens"


def test_the_pictures_are_small() -> None:
    sizes = {path.name: path.stat().st_size for path in FOLDER.iterdir()}
    assert {name: size for name, size in sizes.items() if size > MOST_BYTES} == {}
    assert sum(sizes.values()) <= MOST_BYTES_IN_ALL


def test_the_readme_shows_three_that_are_there() -> None:
    shown = re.findall(r"!\[[^\]]+\]\((docs/screens/[^)]+)\)", (BASE_DIR / "README.md").read_text(encoding="utf-8"))
    assert len(shown) == 3
    assert [name for name in shown if not (BASE_DIR / name).is_file()] == []
