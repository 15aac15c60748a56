"""Tar files, plain and packed, well made and hostile."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bundles.intake.archives.members import FILE, FOLDER, LINK, SPECIAL, ArchiveError, ArchiveLimits, Member
from bundles.intake.archives.names import ABOVE, ABSOLUTE, TWICE
from bundles.intake.archives.tar_reader import TarArchive

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}


def tarred(*members: tuple[str | tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def opened(folder: Path, raw: bytes, limits: ArchiveLimits | None = None) -> TarArchive:
    path = folder / f"made-{os.urandom(4).hex()}"
    path.write_bytes(raw)
    return TarArchive(path, path.with_suffix(".tar"), check=lambda: None, limits=limits)


def content(archive: TarArchive, member: Member) -> bytes:
    return b"".join(archive.read(member))


def typed(name: str, kind: bytes, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info


@pytest.mark.parametrize("packer", PACKERS)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(contents=st.lists(st.binary(max_size=3000), max_size=5))
def test_every_member_comes_out_as_it_went_in(tmp_path, packer, contents):
    raw = PACKERS[packer](tarred(*((f"d/{at}", one) for at, one in enumerate(contents))))
    archive = opened(tmp_path, raw)
    assert [content(archive, member) for member in archive.members()] == contents
    assert archive.cut == ""


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_kinds_times_owners_and_links_are_described(tmp_path, form):
    raw = tarred(
        (typed("run", tarfile.REGTYPE, mtime=1_600_000_000, mode=0o755, uid=7, uname="root"), b"#!"),
        (typed("link", tarfile.SYMTYPE, linkname="/etc/passwd"), b""),
        (typed("hard", tarfile.LNKTYPE, linkname="run"), b""),
        (typed("pipe", tarfile.FIFOTYPE), b""),
        (typed("folder", tarfile.DIRTYPE), b""),
        form=form,
    )
    archive = opened(tmp_path, raw)
    members = {member.name: member for member in archive.members()}
    assert {name: member.kind for name, member in members.items()} == {
        "run": FILE, "link": LINK, "hard": LINK, "pipe": SPECIAL, "folder": FOLDER,
    }  # fmt: skip
    assert members["run"].modified == "2020-09-13T12:26:40Z"
    assert members["run"].attributes == {"mode": "0755", "uid": 7, "gid": 0, "owner": "root"}
    assert members["link"].target == "/etc/passwd"
    assert members["link"].modified == ""


def test_odd_names_are_stated_and_never_followed(tmp_path):
    archive = opened(tmp_path, tarred(("/abs", b"1"), ("../up", b"2"), ("a", b"3"), ("a", b"4")))
    assert [member.faults for member in archive.members()] == [(ABSOLUTE,), (ABOVE,), (TWICE,), (TWICE,)]
    assert [content(archive, member) for member in archive.members()] == [b"1", b"2", b"3", b"4"]
    assert sorted(path.name for path in tmp_path.parent.iterdir() if path.name in {"up", "abs"}) == []


def test_a_name_that_is_no_utf8_is_kept_byte_for_byte(tmp_path):
    archive = opened(tmp_path, tarred(("n\udcff.txt", b"x"), form=tarfile.GNU_FORMAT))
    assert archive.members()[0].raw_name == b"n\xff.txt"
    assert archive.members()[0].name == "n\\xff.txt"


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("part", [0.3, 0.9])
def test_what_was_cut_off_is_stated_and_the_rest_is_read(tmp_path, packer, part):
    contents = [os.urandom(200_000) for _ in range(4)]
    raw = PACKERS[packer](tarred(*((str(at), one) for at, one in enumerate(contents))))
    if packer == "bzip2":  # nothing comes out before a whole block is there
        with pytest.raises(ArchiveError) as raised:
            opened(tmp_path, raw[: int(len(raw) * part)])
        assert raised.value.code == "archive_damaged"
        return
    archive = opened(tmp_path, raw[: int(len(raw) * part)])
    unread = [member for member in archive.members() if member.unreadable]
    assert archive.cut or unread
    for member in archive.members():
        if not member.unreadable:
            assert content(archive, member) == contents[member.index]


def test_a_damaged_header_is_stated_and_the_members_before_are_read(tmp_path):
    raw = bytearray(tarred(("a", b"x" * 600), ("b", b"y"), ("c", b"z")))
    at = raw.index(b"b\0\0\0")
    raw[at : at + 4] = b"\xff\xff\xff\xff"
    archive = opened(tmp_path, bytes(raw))
    assert [member.name for member in archive.members()] == ["a"]
    assert "after member 1" in archive.cut


@pytest.mark.parametrize("packer", ["gzip", "zstd", "bzip2", "xz"])
def test_a_bomb_is_stopped_while_it_unpacks(tmp_path, packer):
    raw = PACKERS[packer](bytes(30_000_000))
    limits = ArchiveLimits(ratio=10, ratio_from_bytes=2_000_000)
    with pytest.raises(ArchiveError, match="unpacks to more than") as raised:
        opened(tmp_path, raw, limits)
    assert raised.value.code == "archive_too_large"
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 4_000_000


def test_a_sparse_member_counts_with_its_full_size(tmp_path):
    """GNU's sparse format: a map of `offset, length` says where the few bytes lie in a large file."""
    info = typed("holes", b"S")
    raw = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    raw[124:136] = b"00000000003\0"  # stored bytes
    raw[386:398], raw[398:410] = b"00000000000\0", b"00000000003\0"  # one piece
    raw[410:422], raw[422:434] = b"00017500000\0", b"00000000000\0"
    raw[482] = 0
    raw[483:495] = b"%011o\0" % 400_000_000
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw[:512])
    with pytest.raises(ArchiveError, match="bomb"):
        opened(tmp_path, bytes(raw) + b"abc".ljust(512, b"\0") + bytes(1024))


def test_a_header_as_large_as_a_bomb_is_not_held_in_memory(tmp_path):
    info = typed("././@PaxHeader", tarfile.XHDTYPE, size=64 * 1024 * 1024)
    raw = info.tobuf(tarfile.GNU_FORMAT) + bytes(64 * 1024 * 1024)
    with pytest.raises(ArchiveError, match="no tar"):
        opened(tmp_path, raw)


def test_too_many_members_are_refused(tmp_path):
    with pytest.raises(ArchiveError, match="more than 9 members"):
        opened(tmp_path, tarred(*((str(at), b"") for at in range(10))), ArchiveLimits(members=9))


def test_what_is_no_tar_is_refused(tmp_path):
    with pytest.raises(ArchiveError) as raised:
        opened(tmp_path, b"no tar at all" * 100)
    assert raised.value.code == "archive_damaged"
