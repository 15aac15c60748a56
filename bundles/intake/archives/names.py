"""What is odd about the names of an archive's members. They are evidence: they are stated, and never followed."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from dataclasses import replace

from bundles.intake.archives.members import Member

ABSOLUTE = "its name is absolute"
ABOVE = "its name leads above the archive's own folder"
TWICE = "another member has the same name"
TWIN = "another member's name differs only in case or in the form of its characters"
HIDDEN = "its name holds control or direction characters"


def with_faults(members: list[Member]) -> list[Member]:
    """The members, each with what is odd about its name.

    Names are compared as they are, and once more without case and in one Unicode form, as some file systems do.
    """
    same: dict[str, int] = defaultdict(int)
    alike: dict[str, int] = defaultdict(int)
    for member in members:
        same[member.name.rstrip("/")] += 1
        alike[_folded(member.name)] += 1
    found = []
    for member in members:
        faults = list(member.faults)
        parts = member.name.replace("\\", "/").split("/")
        # A byte that is no text is shown as `\\xHH`, which begins with no backslash of the name.
        if member.name.startswith("/") or member.raw_name.startswith(b"\\") or member.name[1:3] in {":/", ":\\"}:
            faults.append(ABSOLUTE)
        if ".." in parts:
            faults.append(ABOVE)
        if any(unicodedata.category(character) in {"Cc", "Cf"} for character in member.name):
            faults.append(HIDDEN)
        name = member.name.rstrip("/")
        if same[name] > 1:
            faults.append(TWICE)
        elif alike[_folded(member.name)] > 1:
            faults.append(TWIN)
        found.append(replace(member, faults=tuple(faults)) if faults else member)
    return found


def text_of(raw: bytes, encoding: str) -> str:
    r"""A name's bytes as text; bytes that are none in `encoding` become `\xHH`, so that nothing is lost."""
    return raw.decode(encoding, "backslashreplace")


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name.rstrip("/").replace("\\", "/")).casefold()
