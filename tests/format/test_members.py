"""Step 2 of the reading plan: members. Their content is correctly signed, only the tar is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import pytest

from bundles.format.model.errors import BundleRejectedError
from bundles.format.model.limits import Limits
from bundles.format.reading import tarheader
from tests.support.format_builders import (
    PEOPLE,
    SAMPLE,
    fields_of,
    file_entry,
    member,
    padded,
    pax,
    pax_record,
    signed,
    tar_of,
    ustar,
    verdict,
    zstd,
)

NOTE = "artifacts/a-1/note.txt"


@cache
def pair() -> tuple[bytes, bytes]:
    return signed(fields_of())


def with_extra(extra: bytes) -> bytes:
    return zstd(tar_of(pair(), extra=extra))


def with_note(note: bytes) -> bytes:
    """The sound bundle with the given bytes as its member note.txt."""
    rest = {path: data for path, data in SAMPLE.items() if path != NOTE}
    return zstd(tar_of(pair(), rest, extra=note))


def header(**fields: bytes) -> bytes:
    data = SAMPLE[NOTE]
    return ustar(NOTE.encode(), len(data), **fields) + padded(data)


def kind(flag: bytes, name: bytes = b"artifacts/a-9/x", link: bytes = b"") -> bytes:
    return with_extra(ustar(name, 0, flag, link=link))


def broken_checksum() -> bytes:
    note = bytearray(header())
    note[149] ^= 1
    return with_note(bytes(note))


def ends_after(count: int) -> bytes:
    whole = tar_of(pair(), end=b"")
    return zstd(whole[:count])


def signed_path(path: str) -> bytes:
    """A bundle that lists and holds a file of this path, signed by the trusted key."""
    files: Mapping[str, bytes] = PEOPLE | {path: b"x"}

    def change(fields):
        fields["files"].append(file_entry(path, b"x") | {"artifact_id": "a"})
        fields["metadata"]["file_count"], fields["metadata"]["total_size"] = 4, sum(map(len, files.values()))

    return zstd(tar_of(signed(fields_of(PEOPLE, change=change)), files))


PATHS = {
    "nothing": "",
    "a parent": "../alerts.json",
    "a parent inside": "artifacts/a/../../x",
    "a dot dot id": "artifacts/../x",
    "a dot id": "artifacts/./x",
    "a dot dot name": "artifacts/a/..",
    "an absolute path": "/etc/passwd",
    "an absolute artifact": "/artifacts/a/x",
    "two slashes": "artifacts//x",
    "a slash at the end": "artifacts/a/x/",
    "too deep": "artifacts/a/b/x",
    "too shallow": "artifacts/x",
    "another top": "files/a/x",
    "capitals": "Alerts.json",
    "a data member below": "artifacts/alerts.json",
    "an id with a space": "artifacts/a b/x",
    "an id of 129": "artifacts/" + "a" * 129 + "/x",
    "an id beyond ASCII": "artifacts/\u00e4/x",
    "a line break": "artifacts/a/x\ny",
    "an escape": "artifacts/a/\x1b[2J",
    "a delete": "artifacts/a/\x7f",
    "a C1 control": "artifacts/a/\x9b",
    "a backslash": "artifacts/a/..\\x",
    "a bidi control": "artifacts/a/exe.\u202etxt",
    "an isolate": "artifacts/a/\u2066x",
    "a name of 256 bytes": "artifacts/a/" + "n" * 256,
    "a path of 1,100 bytes": "artifacts/a/" + "\u20ac" * 363,
}

CASES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a hard link": ("tar_member_forbidden", lambda: kind(b"1", link=b"alerts.json")),
    "a symbolic link": ("tar_member_forbidden", lambda: kind(b"2", link=b"/etc/passwd")),
    "a regular file with a link target": (
        "tar_member_forbidden",
        lambda: with_note(header(link=b"alerts.json")),
    ),
    "a character device": ("tar_member_forbidden", lambda: kind(b"3")),
    "a block device": ("tar_member_forbidden", lambda: kind(b"4")),
    "a directory": ("tar_member_forbidden", lambda: kind(b"5", b"artifacts/a-9/")),
    "a pipe": ("tar_member_forbidden", lambda: kind(b"6")),
    "a contiguous file": ("tar_member_forbidden", lambda: kind(b"7")),
    "a regular file of the old type": ("tar_member_forbidden", lambda: kind(b"\0")),
    "a GNU sparse file": ("tar_member_forbidden", lambda: kind(b"S")),
    "a GNU long name": (
        "tar_member_forbidden",
        lambda: with_extra(ustar(b"././@LongLink", 9, b"L") + padded(b"long name")),
    ),
    "a GNU long link": ("tar_member_forbidden", lambda: kind(b"K", b"././@LongLink")),
    "a GNU volume header": ("tar_member_forbidden", lambda: kind(b"V")),
    "a GNU dump directory": ("tar_member_forbidden", lambda: kind(b"D")),
    "a vendor type": ("tar_member_forbidden", lambda: kind(b"A")),
    "a global pax header": ("tar_member_forbidden", lambda: with_extra(pax(pax_record("path", b"x"), kind=b"g"))),
    "a pax sparse map": (
        "tar_member_forbidden",
        lambda: with_note(pax(pax_record("GNU.sparse.major", b"1")) + header()),
    ),
    "pax extended attributes": (
        "tar_member_forbidden",
        lambda: with_note(pax(pax_record("SCHILY.xattr.user.x", b"1")) + header()),
    ),
    "a pax link target": ("tar_member_forbidden", lambda: with_note(pax(pax_record("linkpath", b"/etc")) + header())),
    "a pax charset": ("tar_member_forbidden", lambda: with_note(pax(pax_record("hdrcharset", b"BINARY")) + header())),
    "a pax comment": ("tar_member_forbidden", lambda: with_note(pax(pax_record("comment", b"hidden")) + header())),
    "another mode": ("tar_header_invalid", lambda: with_note(header(mode=b"0000755\0"))),
    "a set-uid mode": ("tar_header_invalid", lambda: with_note(header(mode=b"0004755\0"))),
    "another owner": ("tar_header_invalid", lambda: with_note(header(uid=b"0001750\0"))),
    "another time": ("tar_header_invalid", lambda: with_note(header(mtime=b"14000000000\0"))),
    "an owner's name": ("tar_header_invalid", lambda: with_note(header(uname=b"root"))),
    "data behind the fields": ("tar_header_invalid", lambda: with_note(header(tail=b"hidden".ljust(12, b"\0")))),
    "GNU magic": ("tar_header_invalid", lambda: with_note(header(magic=b"ustar  \0"))),
    "no magic": ("tar_header_invalid", lambda: with_note(header(magic=bytes(8)))),
    "a wrong checksum": ("tar_header_invalid", broken_checksum),
    "a base-256 size": ("tar_header_invalid", lambda: with_note(header(sizetext=b"\x80" + bytes(10) + b"\x0e"))),
    "a negative size": ("tar_header_invalid", lambda: with_note(header(sizetext=b"-0000000001\0"))),
    "a size with blanks": ("tar_header_invalid", lambda: with_note(header(sizetext=b"         16 "))),
    "a size in two halves": ("tar_header_invalid", lambda: with_note(header(sizetext=b"00016\x0000000\0"))),
    "a name cut in two": (
        "tar_header_invalid",
        lambda: with_note(ustar(NOTE.encode() + b"\0behind", 14) + padded(SAMPLE[NOTE])),
    ),
    "a prefix where none is needed": (
        "tar_header_invalid",
        lambda: with_note(ustar(b"note.txt", 14, prefix=b"artifacts/a-1") + padded(SAMPLE[NOTE])),
    ),
    "a pax header where none is needed": (
        "tar_header_invalid",
        lambda: with_note(pax(pax_record("path", NOTE.encode())) + header()),
    ),
    "a pax size where none is needed": (
        "tar_header_invalid",
        lambda: with_note(pax(pax_record("size", b"14")) + header()),
    ),
    "a pax time": ("tar_header_invalid", lambda: with_note(pax(pax_record("mtime", b"1.5")) + header())),
    "a pax header before another": (
        "tar_header_invalid",
        lambda: with_note(pax(pax_record("uid", b"1")) * 2 + header()),
    ),
    "a pax header of 17 KiB": ("tar_header_invalid", lambda: with_note(pax(pax_record("uid", b"1") * 2500) + header())),
    "a pax keyword twice": ("tar_header_invalid", lambda: with_note(pax(pax_record("uid", b"1") * 2) + header())),
    "a pax value of 2 KiB": ("tar_header_invalid", lambda: with_note(pax(pax_record("uname", b"u" * 2048)) + header())),
    "a pax record too long": ("tar_header_invalid", lambda: with_note(pax(b"99 path=x\n") + header())),
    "a pax record too short": ("tar_header_invalid", lambda: with_note(pax(b"3 path=x\n") + header())),
    "a pax length that starts with zero": ("tar_header_invalid", lambda: with_note(pax(b"09 uid=12\n") + header())),
    "a pax record without an end": ("tar_header_invalid", lambda: with_note(pax(b"9 uid=123") + header())),
    "a pax value that is not UTF-8": (
        "tar_header_invalid",
        lambda: with_note(pax(pax_record("path", b"\xff")) + header()),
    ),
    "a pax size that is no number": (
        "tar_header_invalid",
        lambda: with_note(pax(pax_record("size", b"1e3")) + header()),
    ),
    "a negative pax size": ("tar_header_invalid", lambda: with_note(pax(pax_record("size", b"-1")) + header())),
    "an empty pax size": ("tar_header_invalid", lambda: with_note(pax(pax_record("size", b"")) + header())),
    "padding that is not zero": (
        "tar_padding_invalid",
        lambda: with_note(header()[:-1] + b"\1"),
    ),
    "padding of a pax header that is not zero": (
        "tar_padding_invalid",
        lambda: with_note(pax(pax_record("uid", b"1"))[:-1] + b"\1" + header()),
    ),
    "a file twice": ("duplicate_member", lambda: with_extra(member(NOTE, SAMPLE[NOTE]))),
    "another file of the same name": ("duplicate_member", lambda: with_extra(member(NOTE, b"other"))),
    "the manifest twice": ("duplicate_member", lambda: with_extra(member("manifest.json", pair()[0]))),
    "the manifest twice in front": (
        "duplicate_member",
        lambda: zstd(member("manifest.json", b"{}") + tar_of(pair())),
    ),
    "the signature twice": ("duplicate_member", lambda: with_extra(member("manifest.sig", pair()[1]))),
    "a path that is not UTF-8": ("path_invalid", lambda: with_extra(ustar(b"artifacts/a/\xff", 0))),
    "a pax path of NUL": ("path_invalid", lambda: with_note(pax(pax_record("path", NOTE.encode() + b"\0")) + header())),
    "an empty pax path": ("path_invalid", lambda: with_note(pax(pax_record("path", b"")) + header())),
    "a pax size beyond all bounds": (
        "size_exceeded",
        lambda: with_note(pax(pax_record("size", b"99999999999999999")) + header()),
    ),
    "no end mark": ("tar_end_missing", lambda: zstd(tar_of(pair(), end=b""))),
    "half an end mark": ("tar_end_missing", lambda: zstd(tar_of(pair(), end=bytes(512)))),
    "a zero block among the members": (
        "tar_end_missing",
        lambda: zstd(tar_of(pair(), end=b"") + bytes(512) + member(NOTE, b"x") + bytes(1024)),
    ),
    "a header cut in two": ("truncated", lambda: ends_after(512 * 9 + 100)),
    "a file cut in two": ("truncated", lambda: zstd(member("alerts.json", bytes(2000))[:1100])),
    "padding cut in two": ("truncated", lambda: zstd(member("alerts.json", bytes(100))[:700])),
} | {f"a path with {what}": ("path_invalid", lambda path=path: signed_path(path)) for what, path in PATHS.items()}


@pytest.mark.parametrize("what", CASES)
def test_it_is_refused_with_its_code(what, tmp_path):
    code, make = CASES[what]
    assert verdict(make(), tmp_path) == code


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_a_path_is_refused_in_a_header_too(path, tmp_path):
    raw = path.encode()
    lead = pax(pax_record("path", raw))
    expected = "tar_header_invalid" if len(raw) > 1024 else "path_invalid"
    assert verdict(with_extra(lead + ustar(raw[:100], 0)), tmp_path) == expected


def test_the_order_of_the_members_does_not_matter(tmp_path):
    backwards = dict(reversed(SAMPLE.items()))
    assert verdict(zstd(tar_of(pair(), backwards)), tmp_path) == "verified"
    payload = b"".join(member(path, data) for path, data in SAMPLE.items())
    last = member("manifest.sig", pair()[1]) + member("manifest.json", pair()[0])
    assert verdict(zstd(payload + last + bytes(1024)), tmp_path) == "verified"
    between = member("manifest.sig", pair()[1]) + payload + member("manifest.json", pair()[0])
    assert verdict(zstd(between + bytes(1024)), tmp_path) == "verified"


def test_members_in_front_of_the_manifest_are_counted(tmp_path):
    flood = b"".join(member(f"artifacts/a{index}/x", b"") for index in range(9))
    assert verdict(zstd(flood + tar_of(pair())), tmp_path, limits=Limits(files=6)) == "manifest_missing"


def test_an_id_and_a_name_of_the_greatest_length_are_read(tmp_path):
    files = PEOPLE | {f"artifacts/{'i' * 128}/{'n' * 255}": b"x", "artifacts/.a/\u20ac \u00e4\u4e2d%5C": b"y"}
    assert verdict(zstd(tar_of(signed(fields_of(files)), files)), tmp_path) == "verified"


@pytest.mark.parametrize("device", [b"manifest0000000\0", b"0000000\0manifest", b"0000000\0\xff000000\0"])
def test_a_parsed_header_hides_nothing_in_its_device_numbers(device):
    with pytest.raises(BundleRejectedError, match="not octal"):
        tarheader.parse(ustar(b"alerts.json", 0, device=device))
