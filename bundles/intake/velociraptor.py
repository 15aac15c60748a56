"""Collections of Velociraptor: the names of their members, and what they say of their uploads that does not agree.

Source: `paths/` and `uploads/` of Velociraptor (components of a path are percent-encoded, `uploads.json` lists files,
`.idx` beside a file maps the ranges of a sparse one).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from bundles.intake.archives.members import FILE, Member

UPLOADS = "uploads/"
UPLOADS_LIST = "uploads.json"
RESULTS = "results/"
CLIENT_INFO = "client_info.json"
INDEX_SUFFIX = ".idx"
MARKS = frozenset({"collection_context.json", CLIENT_INFO, UPLOADS_LIST})
ARTIFACT_RESULT = re.compile(r"(?:results/)?[A-Z][A-Za-z0-9]*(?:\.[A-Z][A-Za-z0-9]*)+(?:[/%].*)?\.json")
DRIVE = re.compile(r"[A-Za-z]:|\\\\.*")
SHA256 = re.compile(r"[0-9a-f]{64}")
STATED_FOR, STATED_SHA256 = "SourceFile", "SourceFileSha256"


def is_collection(names: Iterable[str]) -> bool:
    """Whether an archive with members of these names is a collection of Velociraptor."""
    found = list(names)
    if any(name in MARKS for name in found):
        return any(name.startswith(("results/", UPLOADS)) or ARTIFACT_RESULT.fullmatch(name) for name in found)
    files = [name for name in found if not name.endswith("/")]
    return bool(files) and all(ARTIFACT_RESULT.fullmatch(name) for name in files)


def components(name: str) -> tuple[str, ...]:
    """The components of a member's name, decoded."""
    return tuple(unquote(part, errors="backslashreplace") for part in name.split("/") if part)


def shown_name(name: str) -> str:
    r"""A member's name as people know it: `uploads/auto/C%3A/x` is `C:\x`; others are decoded alone."""
    parts = components(name)
    if not name.startswith(UPLOADS) or len(parts) < 3:
        return "/".join(parts)
    path = parts[2:]
    return "\\".join(path) if DRIVE.fullmatch(path[0]) else "/" + "/".join(path)


def artifact_of(name: str) -> str:
    """The artifact that a member is the result of, with its source if it has several: `ARTIFACT/SOURCE`."""
    return "/".join(components(name.removeprefix(RESULTS))).removesuffix(".json")


def names_host(name: str) -> bool:
    """Whether a member says which host the collection is of."""
    return name == CLIENT_INFO or artifact_of(name) == "Generic.Client.Info/BasicInformation"


def host_in(record: Mapping[str, Any]) -> str:
    """The name of the host in a record about it."""
    named = (record.get(name) for name in ("Hostname", "hostname", "Fqdn", "fqdn"))
    return next((one for one in named if isinstance(one, str) and one.strip()), "")


def size_faults(rows: Iterable[Mapping[str, Any]], members: list[Member]) -> dict[int, list[str]]:
    """Where `uploads.json` and the members do not agree.

    Args:
        rows: the rows of `uploads.json`.
        members: of the archive.

    Returns:
        Index of a member → sentences; -1 for what has no member.
    """
    found: dict[int, list[str]] = {}
    by_path = {components(member.name): member for member in members if member.kind == FILE}
    listed: set[int] = set()
    for row in rows:
        path = row.get("_Components")
        if not isinstance(path, list) or not all(isinstance(part, str) for part in path):
            continue
        is_index = row.get("Type") == "idx"
        wanted = (*path[:-1], path[-1] + INDEX_SUFFIX) if is_index and path else tuple(path)
        member = by_path.get(wanted)
        if member is None:
            what = f"{UPLOADS_LIST} lists {'/'.join(wanted)[:500]}, which is not in the collection."
            found.setdefault(-1, []).append(what)
            continue
        listed.add(member.index)
        stated = row.get("uploaded_size")
        if isinstance(stated, int) and not isinstance(stated, bool) and stated != member.size:
            what = f"{UPLOADS_LIST} says {int(stated)} bytes; the member has {member.size}."
            found.setdefault(member.index, []).append(what)
    return found


def stated_digests(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The SHA-256 that results state for files, by the name of the file."""
    return {
        str(row[STATED_FOR]): str(row[STATED_SHA256]).lower()
        for row in rows
        if isinstance(row.get(STATED_FOR), str) and SHA256.fullmatch(str(row.get(STATED_SHA256, "")).lower())
    }


def is_sparse(member: Member, members: Iterable[Member]) -> bool:
    """Whether a member has an index beside it, so that it is stored without its holes."""
    return any(other.name == member.name + INDEX_SUFFIX for other in members)
