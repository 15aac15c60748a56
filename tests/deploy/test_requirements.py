"""Locked requirements: every package one version with hashes, every direct dependency among them, no registry named."""

from __future__ import annotations

import re

import pytest

from orchestrator_site.configuration.env import BASE_DIR

EXTRAS = ("requirements-velociraptor",)
NAMES = ("requirements", "requirements-dev", "requirements-bench", "requirements-setup", *EXTRAS)
PINNED = re.compile(r"^([a-z0-9-]+)==([^ ]+)( ; [^\\]+)? \\$")
DIRECT = re.compile(r"^[A-Za-z][A-Za-z0-9_-]*")


def lines(name: str) -> list[str]:
    return [
        line
        for line in (BASE_DIR / name).read_text(encoding="utf-8").splitlines()
        if not line.lstrip().startswith("#")
    ]  # fmt: skip


def pinned(name: str) -> dict[str, str]:
    """Package → version, of a locked file in which each has at least one hash."""
    text = "\n".join(lines(f"{name}.txt"))
    blocks = re.split(r"\n(?=\S)", text)
    found = {}
    for block in blocks:
        head, *hashes = block.splitlines()
        match = PINNED.match(head)
        assert match, head
        assert hashes, head
        assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line) for line in hashes), head
        found[match[1]] = match[2]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_direct_dependency_is_locked_and_every_package_has_its_hashes(name):
    direct = {
        match[0].lower().replace("_", "-") for line in lines(f"{name}.in") if (match := DIRECT.match(line))
    }  # fmt: skip
    assert direct
    assert direct <= set(pinned(name))
    assert "://" not in (BASE_DIR / f"{name}.txt").read_text(encoding="utf-8")


def test_tests_and_measurements_run_with_the_versions_of_the_product():
    product = pinned("requirements")
    assert product.items() <= pinned("requirements-dev").items()
    for extra in EXTRAS:
        shared = pinned(extra).keys() & product.keys()
        assert {name: pinned(extra)[name] for name in shared} == {name: product[name] for name in shared}
        assert pinned(extra).items() <= pinned("requirements-dev").items(), extra
    peers = pinned("requirements-bench")
    assert {name: peers[name] for name in peers.keys() & product.keys()} == {
        name: product[name] for name in peers.keys() & product.keys()
    }
