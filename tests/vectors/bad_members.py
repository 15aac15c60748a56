"""Refused for a tar member (step 2): its header, its type, its padding, its path, or that it stands there twice."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from fuzz import corpus
from tests.vectors.parts import FEW, IMAGE, NOTE, also_refused, at, new, refused, retyped, seal, sound, whole


def header_changed(change: Callable[[bytearray], None], *, shape: str = "zstd", checksum: bool = True) -> bytes:
    """A sound bundle but for the header of one artifact."""
    draft = sound(shape)
    place = at(draft, NOTE)
    header, data = draft.members[place]
    block = bytearray(header)
    change(block)
    draft.members[place] = (corpus.checksummed(block) if checksum else bytes(block), data)
    return draft.pack()


def field(first: int, value: bytes) -> Callable[[bytearray], None]:
    def change(block: bytearray) -> None:
        block[first : first + len(value)] = value

    return change


HEADERS = {
    "header_with_a_mode": ("The mode is 0755, which is not the prescribed one.", field(100, b"0000755\0")),
    "header_with_an_owner": ("The header names an owner, for which version 1.1 has no place.", field(265, b"root")),
    "header_with_a_prefix": (
        "The path is split between name and prefix, which version 1.1 never does.",
        lambda block: (field(0, b"note.txt".ljust(100, b"\0"))(block), field(345, b"artifacts/a-1")(block))[0],
    ),
    "header_of_gnu_tar": ("The magic is that of GNU tar.", field(257, b"ustar  \0")),
    "header_number_not_octal": (
        "The size is in base 256, as GNU tar writes large ones.",
        field(124, b"\x80" + bytes(10) + b"\x0e"),
    ),
    "header_text_behind_the_name": ("Something stands behind the NUL that ends the name.", field(90, b"hidden")),
}
for name, (why, change) in HEADERS.items():
    also_refused(name, "tar_header_invalid", why, partial(header_changed, change))


@refused("tar_header_invalid")
def header_checksum_wrong() -> bytes:
    """A header's checksum is wrong."""
    return header_changed(field(148, b"000001\0 "), checksum=False)


@refused("tar_header_invalid")
def needless_pax_header() -> bytes:
    """A pax header tells a short ASCII path, which needs none."""
    draft = sound()
    place = at(draft, NOTE)
    header, data = draft.members[place]
    draft.members[place] = (corpus.pax(("path", NOTE.encode())) + header, data)
    return draft.pack()


@refused("tar_header_invalid")
def pax_record_of_the_wrong_length() -> bytes:
    """The length of a pax record is wrong by one."""
    draft = whole()
    place = at(draft, IMAGE)
    header, data = draft.members[place]
    length = int(header[512:514])
    draft.members[place] = (header[:512] + str(length - 1).encode() + header[514:], data)
    return draft.pack()


@refused("tar_header_invalid")
def pax_path_behind_a_path() -> bytes:
    """A pax header names the same keyword twice; tar takes the last."""
    draft = whole()
    place = at(draft, IMAGE)
    header, data = draft.members[place]
    draft.members[place] = (corpus.pax(("path", NOTE.encode()), ("path", IMAGE.encode())) + header[-512:], data)
    return draft.pack()


TYPES = {
    "symbolic_link": (b"2", b"/etc/passwd", "An artifact is a symbolic link to a file of the reader's machine."),
    "hard_link": (b"1", b"alerts.json", "An artifact is a hard link to another member."),
    "directory": (b"5", b"", "An artifact is a directory."),
    "character_device": (b"3", b"", "An artifact is a character device."),
    "old_regular_file": (b"\0", b"", "A regular file of the type NUL, as before POSIX."),
    "gnu_sparse_file": (b"S", b"", "A sparse file as GNU tar stores it."),
    "file_with_a_link_target": (b"0", b"/etc/passwd", "A regular file whose header names a link target."),
}
for name, (kind, link, why) in TYPES.items():
    also_refused(
        name,
        "tar_member_forbidden",
        why,
        partial(header_changed, field(156, kind + link.ljust(100, b"\0"))),
    )
also_refused(
    "legacy_symbolic_link",
    "tar_member_forbidden",
    "An artifact is a symbolic link, in a bundle of version 1.0.0.",
    lambda: header_changed(field(156, b"2/etc/passwd"), shape="legacy"),
)


def preceded(path: str, lead: bytes, shape: str = "zstd") -> bytes:
    """A sound bundle but for what stands before the header of one member."""
    draft = sound(shape)
    place = at(draft, path)
    header, data = draft.members[place]
    draft.members[place] = (lead + header, data)
    return draft.pack()


LEADS = {
    "gnu_long_name": (
        corpus.ustar(b"././@LongLink", 15, b"L") + corpus.padded(b"artifacts/a/b\0\0"),
        "A long name as GNU tar stores it.",
    ),
    "global_pax_header": (
        retyped(corpus.pax(("path", b"alerts.json"))[:512], b"g") + corpus.pax(("path", b"alerts.json"))[512:],
        "A global pax header, which would rename every member behind it.",
    ),
    "pax_link_path": (corpus.pax(("linkpath", b"/etc/passwd")), "A pax header that names a link target."),
    "pax_sparse_file": (
        corpus.pax(("GNU.sparse.major", b"1"), ("GNU.sparse.name", b"x")),
        "A pax header that makes a sparse file of the member.",
    ),
    "pax_attribute": (corpus.pax(("SCHILY.xattr.user.x", b"hidden")), "A pax header with an extended attribute."),
}
for name, (lead, why) in LEADS.items():
    also_refused(name, "tar_member_forbidden", why, partial(preceded, NOTE, lead))


@refused("tar_padding_invalid")
def padding_of_a_file() -> bytes:
    """Something is hidden in the padding behind a file."""
    draft = sound()
    place = at(draft, NOTE)
    header, data = draft.members[place]
    draft.members[place] = (header, data[:-6] + b"hidden")
    return draft.pack()


@refused("tar_padding_invalid")
def padding_of_a_pax_header() -> bytes:
    """Something is hidden in the padding behind a pax header."""
    draft = whole()
    place = at(draft, IMAGE)
    header, data = draft.members[place]
    draft.members[place] = (header[:1018] + b"hidden" + header[1024:], data)
    return draft.pack()


@refused("duplicate_member")
def same_file_twice() -> bytes:
    """A file stands in the bundle twice, both times as signed."""
    draft = sound()
    draft.members.append(draft.members[at(draft, NOTE)])
    return draft.pack()


@refused("duplicate_member")
def other_file_of_the_same_path() -> bytes:
    """A second file of the same path and other content, which tar would leave on the disk."""
    draft = sound()
    draft.members.append(corpus.member(NOTE, b"what was SEEN\n"))
    return draft.pack()


@refused("duplicate_member")
def second_manifest() -> bytes:
    """A second manifest.json behind the payload, which tar would leave on the disk."""
    draft = sound()
    draft.members.append(corpus.member("manifest.json", draft.raw.replace(b"incident-7", b"incident-8")))
    return draft.pack()


PATHS = {
    "path_that_climbs": ("artifacts/../../../etc/cron.d/job", "A path that leaves the folder."),
    "path_that_is_absolute": ("/etc/cron.d/job", "An absolute path."),
    "path_of_a_fourth_kind": ("notes.json", "A path that is neither a data member's nor an artifact's."),
    "path_with_dots_for_an_id": ("artifacts/../note.txt", "Two dots stand where an artifact's id must be."),
    "path_without_a_name": ("artifacts/a-5/", "Nothing stands where a name must be."),
    "path_with_an_id_of_other_letters": ("artifacts/a 5/note.txt", "A blank in an artifact's id."),
    "path_with_a_backslash": ("artifacts/a-5/..\\..\\job.cmd", "A backslash, which parts a path on some systems."),
    "path_with_a_control_character": ("artifacts/a-5/\x1b[2Jnote.txt", "A name that clears the terminal."),
    "path_with_a_bidi_control": ("artifacts/a-5/note\u202etxt.exe", "A name that is shown backwards: noteexe.txt."),
    "path_of_256_bytes": ("artifacts/a-5/" + "\u00ed" * 128, "A name of 256 bytes of UTF-8."),
}


def holding(path: str) -> bytes:
    return seal(new(files=FEW | {path: b"#!/bin/sh\n"})).pack()


for name, (path, why) in PATHS.items():
    also_refused(name, "path_invalid", f"{why} It is listed and signed.", partial(holding, path))


@refused("path_invalid")
def unsigned_path_that_climbs() -> bytes:
    """A path that leaves the folder stands in the tar stream and not in the manifest."""
    draft = sound()
    draft.members.append(corpus.member("artifacts/../../../etc/cron.d/job", b"#!/bin/sh\n"))
    return draft.pack()


@refused("path_invalid")
def pax_path_that_climbs() -> bytes:
    """The ustar header has a good path, the pax header before it one that leaves the folder."""
    return preceded(NOTE, corpus.pax(("path", b"artifacts/../../../etc/cron.d/job")))


@refused("path_invalid")
def path_not_utf8() -> bytes:
    """A path that is not UTF-8, in a bundle of version 1.0.0."""
    return header_changed(field(14, b"\xff\xfe"), shape="legacy")


@refused("path_invalid")
def dotted_manifest() -> bytes:
    """The members' paths begin with ./, as tar writes them for `tar -c .`."""
    draft = sound()
    held = {"manifest.json": draft.raw, "manifest.sig": corpus.canonical(draft.signature)} | draft.files
    draft.members = [corpus.member(f"./{path}", data) for path, data in held.items()]
    return draft.pack()


def pax_disagrees(path: str, name: bytes, size: bytes) -> bytes:
    """A bundle of version 1.0.0 with one artifact behind a pax header."""
    draft = sound("legacy")
    place = at(draft, NOTE)
    header, data = draft.members[place]
    block = bytearray(header)
    field(0, name.ljust(100, b"\0"))(block)
    field(124, size)(block)
    pax = corpus.pax(("path", path.encode()), ("size", str(len(FEW[NOTE])).encode()))
    draft.members[place] = (pax + corpus.checksummed(block), data)
    return draft.pack()


also_refused(
    "pax_path_of_another",
    "tar_header_invalid",
    "The header behind a pax header names another path; tools without pax unpack that one.",
    partial(pax_disagrees, NOTE, b"artifacts/a-1/other.txt", b"%011o\0" % len(FEW[NOTE])),
)
also_refused(
    "pax_size_of_another",
    "tar_header_invalid",
    "The header behind a pax header tells another size; tools without pax read on from there.",
    partial(pax_disagrees, NOTE, NOTE.encode(), b"%011o\0" % 512),
)
