"""The names under which members are written to a folder, where the target cannot hold the stored ones.

A stored name may be a device on Windows, end with a dot, or differ from another one only in case. Where the rules or
the target demand it, a member gets another name, and never that of another member.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bundles.format.model.paths import MAX_NAME_BYTES, MAX_SUFFIX_BYTES
from bundles.format.reading.handles import DIRECTORY_FLAGS, FILE_FLAGS, closed_at_end

AUTO, POSIX, WINDOWS = NAMES = ("auto", "posix", "windows")
MAP_FILE = "names.json"

# What a target answers if it cannot hold a name, or holds one that it takes for the same.
UNSUITABLE = frozenset({errno.EEXIST, errno.EINVAL, errno.ENAMETOOLONG, errno.EILSEQ, errno.ENOENT})

_WINDOWS_CHARACTERS = frozenset('<>:"|?*\\')
_WINDOWS_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$"]
    + [f"{port}{number}" for port in ("com", "lpt") for number in "0123456789¹²³"]
)
_TRIES = 100
_SHORT_BYTES = 100  # below the limit of every file system that is in use; eCryptfs has 143
_MARK_DIGITS = 8
# Names that a file system must keep if it can hold those of bundles.
_PROBES = ("a:b", "a?b", "a*b", "a|b", "a<b", 'a"b', "end.", "end ", "é")
_ALIKE = (("Case", "cASE"), ("\u00e9t\u00e9", "e\u0301te\u0301"))


@dataclass(frozen=True)
class NameRules:
    """What names must be like.

    Attributes:
        windows: Windows must be able to hold them.
        ignore_case: no two in a folder may differ only in case or in the Unicode form of their characters.
        bag: they are for a BagIt bag: `%` becomes `=`, and whitespace at the end `=XX` of its UTF-8 bytes.
    """

    windows: bool = False
    ignore_case: bool = False
    bag: bool = False

    def spelled(self, name: str) -> str:
        """The name in a form that the rules allow; the same if it has one already."""
        name = windows_name(name) if self.windows else name
        return bag_name(name) if self.bag else name


def rules_for(names: str, folder: Path, *, bag: bool = False) -> NameRules | None:
    """The rules for a new folder; None if every name is written as it is stored, or not at all.

    Args:
        names: `posix`, `windows`, or `auto`, which tries what the target can hold.
        folder: an empty folder on the target, to try in.
        bag: the folder becomes the payload of a bag.

    Raises:
        OSError: the folder cannot be written.
    """
    if names == POSIX:
        return NameRules(bag=True) if bag else None
    rules = NameRules(windows=True, ignore_case=True) if names == WINDOWS or os.name == "nt" else _tried(folder)
    return replace(rules, bag=bag)


def windows_name(name: str) -> str:
    """The name with `%XX` for what Windows cannot hold.

    That is `<`, `>`, `:`, `"`, `|`, `?`, `*`, a backslash, a control character, a dot or blank at the end, and the
    first letter of a device such as in `aux.dat`.
    """
    made = "".join(_escaped(one) if one in _WINDOWS_CHARACTERS or ord(one) < 32 else one for one in name)
    if made[-1] in ". ":
        made = made[:-1] + _escaped(made[-1])
    if made.split(".")[0].rstrip(" ").casefold() in _WINDOWS_DEVICES:
        made = _escaped(made[0]) + made[1:]
    return made


def bag_name(name: str) -> str:
    """The name without `%` and without whitespace at its end, which implementations of BagIt do not agree on."""
    bare = name.rstrip()
    trailing = "".join(f"={byte:02X}" for byte in name[len(bare) :].encode("utf-8"))
    return bare.replace("%", "=") + trailing


def folded(name: str) -> str:
    """A text that is equal for names that some file system takes for the same; also for a few that none does."""
    plain = unicodedata.normalize("NFKD", name).casefold().upper().casefold()
    return "".join(one for one in unicodedata.normalize("NFKD", plain) if unicodedata.category(one) != "Cf")


class TargetNames:
    """The names of one extraction.

    Args:
        rules: None keeps every name as it is stored.

    Attributes:
        as_stored: whether every name is kept.
        renamed: member path → path in the folder, of the members that do not have their stored names.
    """

    def __init__(self, rules: NameRules | None) -> None:
        self.as_stored = rules is None
        self._rules = rules
        # Of changed names only, as others differ already. Hashes, as there may be 200,000; a collision costs a name.
        self._used: set[int] = set()
        self._changes = rules not in {None, NameRules()}
        self._folders: dict[str, str] = {}
        self.renamed: dict[str, str] = {}

    def folder_of(self, artifact_id: str) -> str | None:
        """The name of the folder that was made for an artifact; None if there is none yet."""
        return self._folders.get(artifact_id)

    def made_folder(self, artifact_id: str, name: str) -> None:
        """Note the folder that was made for an artifact."""
        self._folders[artifact_id] = name
        if self._changes:
            self._used.add(self._key("", name))

    def made_file(self, member: str, folder: str, name: str) -> None:
        """Note the file that was made for a member, in the folder of that name below `artifacts`."""
        if self.as_stored:
            return
        if self._changes:
            self._used.add(self._key(folder, name))
        written = f"{member.split('/', 1)[0]}/{folder}/{name}"
        if written != member:
            self.renamed[member] = written

    def candidates(self, folder: str, name: str) -> Iterator[str]:
        """Names to try, the best first; none is that of another member.

        Args:
            folder: the name of the folder below `artifacts`; empty for the name of such a folder.
            name: as stored.
        """
        if self._rules is None:
            yield name
            return
        spelled = self._rules.spelled(name)
        for number in range(_TRIES):
            candidate = spelled
            if number or len(spelled.encode("utf-8")) > MAX_NAME_BYTES:
                candidate = _marked(spelled, f"{number}/{folder}/{name}", short=number > 1)
            if self._key(folder, candidate) not in self._used:
                yield candidate

    def _key(self, folder: str, name: str) -> int:
        alike = self._rules is not None and self._rules.ignore_case
        return hash((folder, folded(name) if alike else name))


def _marked(name: str, seed: str, *, short: bool) -> str:
    """The name cut and with a mark before its suffix, which makes it another name for each seed.

    Args:
        name: as the rules allow it.
        seed: decides the mark.
        short: whether to cut it to ASCII and a length that every file system holds.
    """
    mark = "~" + hashlib.sha256(seed.encode("utf-8")).hexdigest()[:_MARK_DIGITS]
    if short:
        name = name.encode("ascii", "ignore").decode("ascii").rstrip(". ")
    stem, dot, suffix = name.rpartition(".")
    if not stem or len(suffix.encode("utf-8")) >= MAX_SUFFIX_BYTES:
        stem, dot, suffix = name, "", ""
    room = (_SHORT_BYTES if short else MAX_NAME_BYTES) - len((mark + dot + suffix).encode("utf-8"))
    return stem.encode("utf-8")[:room].decode("utf-8", "ignore") + mark + dot + suffix


def _escaped(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8"))


def _tried(folder: Path) -> NameRules:
    """What the file system of a folder needs, found by writing to it."""
    room = folder / f".names-{secrets.token_hex(8)}"
    room.mkdir(mode=0o700)
    with closed_at_end(os.open(room, DIRECTORY_FLAGS)) as handle:
        windows = not all(_holds(handle, name) for name in _PROBES)
        alike = windows or any(_are_one(handle, one, other) for one, other in _ALIKE)
        for name in os.listdir(handle):  # noqa: PTH208 # by the handle
            os.unlink(name, dir_fd=handle)
    room.rmdir()
    return NameRules(windows=windows, ignore_case=alike)


def _holds(handle: int, name: str) -> bool:
    """Whether the folder keeps a new file under exactly this name."""
    try:
        os.close(os.open(name, FILE_FLAGS, 0o600, dir_fd=handle))
    except OSError:
        return False
    return name in os.listdir(handle)


def _are_one(handle: int, one: str, other: str) -> bool:
    """Whether the folder takes both names for the same file."""
    _holds(handle, one)  # some file systems spell it in another way
    try:
        os.stat(other, dir_fd=handle, follow_symlinks=False)
    except OSError:
        return False
    return True
