"""Zip files, well made and hostile: what is listed is what is unpacked, and each fault names its member."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bundles.intake.archives.members import FILE, FOLDER, LINK, ArchiveError, ArchiveLimits, Member
from bundles.intake.archives.names import ABOVE, ABSOLUTE, HIDDEN, TWICE, TWIN
from bundles.intake.archives.zip_reader import OUTSIDE, OVERLAP, ZipArchive
from fuzz.archive_shapes import Pipe


def zipped(folder: Path, *members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    path = folder / f"made-{os.urandom(4).hex()}.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def content(archive: ZipArchive, member: Member) -> bytes:
    return b"".join(archive.read(member))


def replaced(path: Path, old: bytes, new: bytes, *, last: bool = False) -> Path:
    raw = path.read_bytes()
    at = raw.rindex(old) if last else raw.index(old)
    path.write_bytes(raw[:at] + new + raw[at + len(old) :])
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(contents=st.lists(st.binary(max_size=3000), max_size=6))
def test_every_member_comes_out_as_it_went_in(tmp_path, method, contents):
    path = zipped(tmp_path, *((f"d/{at}.bin", one) for at, one in enumerate(contents)), method=method)
    archive = ZipArchive(path)
    assert [content(archive, member) for member in archive.members()] == contents
    assert [member.size for member in archive.members()] == [len(one) for one in contents]


def test_a_writer_that_could_not_go_back_is_read_too(tmp_path):
    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w") as archive:
        archive.writestr("stored", b"plain" * 100, zipfile.ZIP_STORED)
        archive.writestr("packed", b"tight" * 100, zipfile.ZIP_DEFLATED)
    path = tmp_path / "piped.zip"
    path.write_bytes(pipe.written)
    read = ZipArchive(path)
    assert [content(read, member) for member in read.members()] == [b"plain" * 100, b"tight" * 100]


def test_a_program_that_unpacks_itself_is_read(tmp_path):
    path = zipped(tmp_path, ("a.txt", b"evidence"))
    path.write_bytes(b"MZ" + bytes(5000) + path.read_bytes())
    archive = ZipArchive(path)
    assert content(archive, archive.members()[0]) == b"evidence"


def test_70_000_members_are_listed_by_zip64(tmp_path):
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as made:
        for at in range(70_000):
            made.writestr(zipfile.ZipInfo(str(at)), b"")
    archive = ZipArchive(path)
    assert len(archive.members()) == 70_000
    assert archive.members()[-1].name == "69999"


def test_times_modes_folders_and_links_are_told_apart(tmp_path):
    link = zipfile.ZipInfo("link", (2020, 2, 3, 4, 5, 6))
    link.external_attr = 0o120777 << 16
    script = zipfile.ZipInfo("run.sh", (2021, 12, 31, 23, 59, 58))
    script.external_attr = 0o100755 << 16
    script.extra = struct.pack("<HHBl", 0x5455, 5, 1, 1_600_000_000)
    first_day = zipfile.ZipInfo("placeholder", (1980, 1, 1, 0, 0, 0))
    archive = ZipArchive(zipped(tmp_path, (link, b"/etc/passwd"), (script, b"#!"), ("folder/", b""), (first_day, b"")))
    kinds = {member.name: member.kind for member in archive.members()}
    assert kinds == {"link": LINK, "run.sh": FILE, "folder/": FOLDER, "placeholder": FILE}
    times = {member.name: member.modified for member in archive.members()}
    assert times["link"] == "2020-02-03T04:05:06"
    assert times["run.sh"] == "2020-09-13T12:26:40Z"
    assert times["placeholder"] == ""
    assert archive.members()[1].attributes["mode"] == "0755"


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("/etc/passwd", ABSOLUTE),
        ("C:\\Windows\\x", ABSOLUTE),
        ("\\\\host\\share", ABSOLUTE),
        ("a/../../b", ABOVE),
        ("a\\..\\b", ABOVE),
        ("invoice\u202efdp.exe", HIDDEN),
    ],
)
def test_an_odd_name_is_stated_and_its_content_still_read(tmp_path, name, fault):
    archive = ZipArchive(zipped(tmp_path, (name, b"x")))
    assert fault in archive.members()[0].faults
    assert archive.members()[0].name == name.replace("\\", "\\")
    assert content(archive, archive.members()[0]) == b"x"


def test_names_twice_and_names_that_differ_in_case_are_both_kept_and_stated(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"):
        path = zipped(tmp_path, ("a", b"1"), ("a", b"2"), ("B", b"3"), ("b", b"4"), ("é", b"5"), ("e\u0301", b"6"))
    archive = ZipArchive(path)
    assert [content(archive, member) for member in archive.members()] == [b"1", b"2", b"3", b"4", b"5", b"6"]
    assert [member.faults for member in archive.members()] == [(TWICE,)] * 2 + [(TWIN,)] * 4


def test_a_name_that_is_no_utf8_does_not_refuse_the_archive(tmp_path):
    path = replaced(zipped(tmp_path, ("né.txt", b"x"), ("b", b"y")), "né".encode(), b"n\xff\xfe", last=True)
    replaced(path, "né".encode(), b"n\xff\xfe")
    archive = ZipArchive(path)
    assert archive.members()[0].name == "n\\xff\\xfe.txt"
    assert archive.members()[0].raw_name == b"n\xff\xfe.txt"
    assert [content(archive, member) for member in archive.members()] == [b"x", b"y"]


def test_a_name_without_the_utf8_flag_is_cp437(tmp_path):
    path = zipped(tmp_path, ("aXb", b"x"))
    replaced(replaced(path, b"aXb", b"a\x82b"), b"aXb", b"a\x82b")
    assert ZipArchive(path).members()[0].name == "aéb"


def test_a_name_with_a_zero_byte_is_kept_whole(tmp_path):
    path = zipped(tmp_path, ("safe.txtX.exe", b"x"))
    replaced(replaced(path, b"txtX", b"txt\0"), b"txtX", b"txt\0")
    assert ZipArchive(path).members()[0].raw_name == b"safe.txt\0.exe"


def test_damage_names_its_member_and_the_others_are_read(tmp_path):
    path = zipped(tmp_path, ("a", b"first" * 50), ("b", os.urandom(500)), ("c", b"third"), method=zipfile.ZIP_STORED)
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"first" * 50) + 270] ^= 1  # within b
    path.write_bytes(raw)
    archive = ZipArchive(path)
    one, two, three = archive.members()
    assert content(archive, one) == b"first" * 50
    assert content(archive, three) == b"third"
    with pytest.raises(ArchiveError, match="damaged") as raised:
        content(archive, two)
    assert raised.value.code == "archive_member_damaged"


def test_every_flip_of_a_bit_is_found_or_changes_nothing(tmp_path):
    path = zipped(tmp_path, ("a", b"evidence " * 20), ("b", b"more"))
    good = path.read_bytes()
    wanted = [b"evidence " * 20, b"more"]
    for at in range(len(good)):
        path.write_bytes(good[:at] + bytes([good[at] ^ (1 << at % 8)]) + good[at + 1 :])
        read: list[bytes | None] = []
        try:
            archive = ZipArchive(path)
            for member in archive.members():
                if member.kind == FILE and not member.unreadable:
                    try:
                        read.append(content(archive, member))
                    except ArchiveError:
                        read.append(None)
        except ArchiveError:
            continue
        whole = not archive.cut and all(member.kind == FILE and not member.unreadable for member in archive.members())
        assert all(one is None or one in wanted for one in read)
        assert not whole or None in read or read == wanted


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_an_archive_that_was_cut_off_is_refused_in_words(tmp_path, cut):
    path = zipped(tmp_path, ("a", os.urandom(1000)))
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(ArchiveError) as raised:
        ZipArchive(path)
    assert raised.value.code == "archive_damaged"


def test_members_that_share_their_bytes_are_left_unread(tmp_path):
    """The bomb of David Fifield: many entries over one kernel of packed bytes."""
    path = zipped(tmp_path, ("a", b"x" * 1000), ("b", b"y" * 1000))
    raw = path.read_bytes()
    first = raw.rindex(b"PK\1\2", 0, raw.rindex(b"PK\1\2"))
    second = raw.rindex(b"PK\1\2")
    entry = bytearray(raw[first:second])
    entry[20:24] = struct.pack("<L", second)  # the first member's bytes now reach over the second
    path.write_bytes(raw[:first] + bytes(entry) + raw[second:])
    archive = ZipArchive(path)
    assert archive.members()[0].unreadable == OVERLAP
    assert content(archive, archive.members()[1]) == b"y" * 1000


def test_a_member_outside_of_the_archive_is_left_unread(tmp_path):
    path = zipped(tmp_path, ("a", b"x"))
    raw = bytearray(path.read_bytes())
    at = raw.rindex(b"PK\1\2")
    raw[at + 42 : at + 46] = struct.pack("<L", 0x7FFFFFFF)
    path.write_bytes(raw)
    assert ZipArchive(path).members()[0].unreadable == OUTSIDE


def test_a_member_that_is_larger_than_it_states_is_stopped_there(tmp_path):
    path = zipped(tmp_path, ("bomb", bytes(50_000_000)))
    raw = path.read_bytes()
    true, stated = struct.pack("<L", 50_000_000), struct.pack("<L", 10)
    path.write_bytes(raw.replace(true, stated))
    archive = ZipArchive(path)
    pieces = archive.read(archive.members()[0])
    with pytest.raises(ArchiveError, match="more than the 10 bytes"):
        list(pieces)


def test_a_bomb_is_refused_by_what_it_states(tmp_path):
    path = zipped(tmp_path, *((str(at), bytes(1_000_000)) for at in range(20)))
    with pytest.raises(ArchiveError, match="bomb") as raised:
        ZipArchive(path, limits=ArchiveLimits(ratio=100, ratio_from_bytes=1_000_000))
    assert raised.value.code == "archive_too_large"


def test_a_directory_of_too_many_members_is_refused_before_it_is_read(tmp_path):
    path = zipped(tmp_path, *((str(at), b"") for at in range(50)))
    with pytest.raises(ArchiveError, match="50 members"):
        ZipArchive(path, limits=ArchiveLimits(members=49))


def test_a_local_header_with_another_name_is_a_contradiction(tmp_path):
    path = replaced(zipped(tmp_path, ("good.txt", b"x")), b"good.txt", b"evil.txt")
    archive = ZipArchive(path)
    with pytest.raises(ArchiveError, match="another name"):
        content(archive, archive.members()[0])


def test_an_unknown_method_is_named(tmp_path):
    archive = ZipArchive(zipped(tmp_path, ("a", b"x" * 100), method=zipfile.ZIP_LZMA))
    with pytest.raises(ArchiveError, match="method 14") as raised:
        content(archive, archive.members()[0])
    assert raised.value.code == "archive_method_unknown"


def test_entries_that_are_missing_from_the_directory_are_stated(tmp_path):
    path = zipped(tmp_path, ("a", b"x"), ("b", b"y"))
    raw = bytearray(path.read_bytes())
    end = raw.rindex(b"PK\5\6")
    raw[end + 8 : end + 12] = struct.pack("<2H", 5, 5)
    path.write_bytes(raw)
    archive = ZipArchive(path)
    assert len(archive.members()) == 2
    assert "5" in archive.cut


# An encrypted member as WinZip and Velociraptor write it: AES-256, the sizes behind the content. Password: `hello`.
def aes_zip(password: bytes, plain: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.hashes import SHA1
    from cryptography.hazmat.primitives.hmac import HMAC
    from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

    salt = os.urandom(16)
    keys = PBKDF2HMAC(SHA1(), 66, salt, 1000).derive(password)  # noqa: S303 -- the format's own
    packed = zlib.compress(plain)[2:-4]
    cipher = Cipher(algorithms.AES(keys[:32]), modes.ECB()).encryptor()  # noqa: S305 -- blocks of its counter mode
    stream = b"".join(cipher.update((at + 1).to_bytes(16, "little")) for at in range(len(packed) // 16 + 1))
    sealed = bytes(a ^ b for a, b in zip(packed, stream, strict=False))
    mac = HMAC(keys[32:64], SHA1())  # noqa: S303
    mac.update(sealed)
    body = salt + keys[64:] + sealed + mac.finalize()[:10]
    extra = struct.pack("<HHH2sBH", 0x9901, 7, 2, b"AE", 3, 8)
    name = b"data.txt"
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 51, 9, 99, 0, 33, 0, 0, 0, len(name), len(extra)) + name + extra
    follow = struct.pack("<4s3L", b"PK\7\x08", 0, len(body), len(plain))
    start = len(local) + len(body) + len(follow)
    entry = struct.pack(
        "<4s6H3L5H2L", b"PK\1\2", 51, 51, 9, 99, 0, 33, 0, len(body), len(plain), len(name), len(extra), 0, 0, 0, 0, 0
    )
    entry += name + extra
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(entry), start, 0)
    return local + body + follow + entry + end


@pytest.mark.parametrize(
    ("password", "code"), [(None, "archive_password_missing"), (b"wrong", "archive_password_wrong"), (b"hello", "")]
)
def test_an_encrypted_member_needs_its_password(tmp_path, password, code):
    path = tmp_path / "sealed.zip"
    path.write_bytes(aes_zip(b"hello", b"secret evidence" * 10))
    archive = ZipArchive(path, password=password)
    assert archive.members()[0].attributes["encrypted"] == "yes"
    if not code:
        assert content(archive, archive.members()[0]) == b"secret evidence" * 10
        return
    with pytest.raises(ArchiveError) as raised:
        content(archive, archive.members()[0])
    assert raised.value.code == code
    assert "hello" not in str(raised.value)
