"""Refused for the file itself: its kind, its compression (step 1) and its end (step 7)."""

from __future__ import annotations

import struct
import zlib
from functools import partial

import zstandard

from fuzz import corpus
from fuzz.corpus import Draft
from tests.vectors.parts import (
    MIB,
    also_refused,
    joined,
    new,
    refused,
    repeated,
    seal,
    sound,
    unframed,
    whole,
    without_chunks,
)


@refused("not_a_bundle")
def empty_file() -> bytes:
    """A file of no bytes."""
    return b""


@refused("not_a_bundle")
def plain_tar() -> bytes:
    """A sound tar archive that is not compressed."""
    return sound().tar()


@refused("window_too_large")
def window_of_16_mib() -> bytes:
    """A frame that needs a window of 16 MiB; 8 MiB are allowed."""
    parameters = zstandard.ZstdCompressionParameters(compression_level=3, window_log=24, write_checksum=True)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return packer.compress(sound().tar()) + packer.flush()


@refused("ratio_exceeded")
def bomb_of_zeros() -> bytes:
    """72 MiB of zeros in 2 KiB: more than 64 MiB, and more than 30,000 times the file."""
    return corpus.frame(corpus.ustar(b"alerts.json", 72 * MIB)) + repeated(b"\0", 8 * MIB) * 9


@refused("size_exceeded")
def member_of_a_pebibyte() -> bytes:
    """A signed file of 2^50 bytes, told in a pax header; a bundle unpacks to 2^44 at most."""
    size, path = 1 << 50, "artifacts/a-5/huge.img"
    draft = new()
    entry = corpus.file_entry(path, b"", chunks=False) | {"size": size}
    draft.fields["files"] = sorted([*draft.fields["files"], entry], key=lambda one: str(one["path"]))
    without_chunks(draft, size)
    draft.fields["metadata"]["file_count"] += 1
    draft.fields["metadata"]["total_size"] += size
    seal(draft)
    draft.members.append((corpus.pax(("size", str(size).encode())) + corpus.ustar(path.encode(), 0), b""))
    return draft.pack()


@refused("corrupt_compression")
def wrong_frame_checksum() -> bytes:
    """The checksum of the last frame of data is wrong."""
    frame = bytearray(unframed(sound()))
    frame[-1] ^= 1
    return bytes(frame)


@refused("corrupt_compression")
def frame_shorter_than_it_tells() -> bytes:
    """A frame tells one byte more than it holds."""
    frame = bytearray(unframed(sound()))
    frame[5:7] = (int.from_bytes(frame[5:7], "little") + 1).to_bytes(2, "little")
    return bytes(frame)


@refused("corrupt_compression")
def empty_frame() -> bytes:
    """A frame of no content stands in front."""
    return struct.pack("<IBB", 0xFD2FB528, 0x20, 0) + b"\x01\x00\x00" + unframed(sound())


@refused("corrupt_compression")
def dictionary_asked_for() -> bytes:
    """A frame names a dictionary."""
    whole = bytes(corpus.frame(sound().tar()))
    return whole[:4] + bytes([whole[4] | 0b01]) + b"\x07" + whole[5:]


@refused("corrupt_compression")
def gzip_comment() -> bytes:
    """A gzip header with a comment, in which something could hide."""
    packed = sound("gzip").pack()
    return packed[:3] + b"\x10" + packed[4:10] + b"something hidden\0" + packed[10:]


def gzip_head(flags: int, more: bytes) -> bytes:
    packed = sound("gzip").pack()
    return packed[:3] + bytes([flags]) + packed[4:10] + more + packed[10:]


GZIP_HEADS = {
    "name_that_climbs": ("A gzip header whose file name leads out of the folder.", partial(gzip_head, 8, b"../../x\0")),
    "name_of_256_bytes": ("A file name of 256 bytes in a gzip header.", partial(gzip_head, 8, b"n" * 256 + b"\0")),
    "extra_field": ("A gzip header with an extra field.", partial(gzip_head, 4, b"\x04\x00AB\x00\x00")),
}
for name, (why, make) in GZIP_HEADS.items():
    also_refused(f"gzip_{name}", "corrupt_compression", why, make)


@refused("corrupt_compression")
def gzip_header_checksum() -> bytes:
    """A gzip header with a checksum of its own, which is right."""
    head = sound("gzip").pack()[:10]
    head = head[:3] + b"\x02" + head[4:]
    return gzip_head(2, struct.pack("<H", zlib.crc32(head) & 0xFFFF))


@refused("corrupt_compression")
def gzip_empty_blocks() -> bytes:
    """4,000 stored blocks of no bytes stand before the content: the stream is far longer than any code needs."""
    packed = sound("gzip").pack()
    return packed[:10] + b"\x00\x00\x00\xff\xff" * 4000 + packed[10:]


@refused("corrupt_compression")
def empty_frame_without_a_size() -> bytes:
    """A frame that tells no content size, and has no content, stands in front."""
    return struct.pack("<IBB", 0xFD2FB528, 0, 13 << 3) + b"\x01\x00\x00" + unframed(sound())


@refused("corrupt_compression")
def gzip_wrong_checksum() -> bytes:
    """The CRC-32 of the gzip stream is wrong."""
    packed = bytearray(sound("gzip").pack())
    packed[-8] ^= 1
    return bytes(packed)


@refused("reserved_bits")
def zstd_reserved_bit() -> bytes:
    """The reserved bit of a frame header is set."""
    frame = bytearray(unframed(sound()))
    frame[4] |= 0b1000
    return bytes(frame)


@refused("reserved_bits")
def gzip_reserved_bit() -> bytes:
    """A reserved flag of the gzip header is set."""
    packed = bytearray(sound("gzip").pack())
    packed[3] |= 0x20
    return bytes(packed)


@refused("truncated")
def cut_off() -> bytes:
    """The second half of the file is missing."""
    packed = unframed(sound())
    return packed[: len(packed) // 2]


@refused("truncated")
def cut_off_before_the_seek_table() -> bytes:
    """Every frame of data is whole, but there is a filler and no seek table: the file was cut off."""
    return b"".join(frame for frame, _ in sound().frames())


@refused("truncated")
def gzip_cut_off() -> bytes:
    """The last bytes of the gzip stream are missing."""
    return sound("gzip").pack()[:-9]


@refused("truncated")
def tar_ends_in_a_member() -> bytes:
    """The compression is sound, but the tar stream ends in the middle of a file."""
    draft = whole()
    draft.members[-1], draft.end = (draft.members[-1][0], draft.members[-1][1][:512]), b""
    return draft.pack()


def ended(end: bytes) -> bytes:
    draft = sound()
    draft.end = end
    return draft.pack()


also_refused("no_end_mark", "tar_end_missing", "The tar stream ends without its end mark.", lambda: ended(b""))
also_refused("half_an_end_mark", "tar_end_missing", "One zero block where two must be.", lambda: ended(bytes(512)))
also_refused(
    "padded_to_a_record",
    "tar_trailing_data",
    "Zeros fill the tar stream up to 10,240 bytes, as tar itself does; a bundle of version 1.1 has none.",
    lambda: ended(bytes(10_240)),
)
also_refused(
    "member_behind_the_end_mark",
    "tar_trailing_data",
    "A further member behind the end mark, which some readers of tar show.",
    lambda: ended(bytes(1024) + b"".join(corpus.member("artifacts/a-9/late.txt", b"late")) + bytes(1024)),
)


@refused("tar_trailing_data")
def second_bundle_behind() -> bytes:
    """Two frames that are a whole bundle each, one behind the other."""
    return unframed(sound()) * 2


@refused("trailing_data")
def bytes_behind_the_seek_table() -> bytes:
    """Bytes behind the seek table."""
    return sound("payload-first").pack() + b"more"


@refused("trailing_data")
def frame_behind_the_seek_table() -> bytes:
    """A skippable frame of zeros behind the seek table."""
    return sound("payload-first").pack() + corpus.skippable(0x184D2A50, bytes(8))


@refused("trailing_data")
def second_gzip_member() -> bytes:
    """A second gzip member, which gunzip joins to the first."""
    return sound("gzip").pack() + zlib.compress(b"hidden", 6, 31)


@refused("trailing_data")
def zeros_behind_gzip() -> bytes:
    """Zeros behind the gzip stream, which gunzip passes over."""
    return sound("gzip").pack() + bytes(512)


def tabled(table: bytes) -> bytes:
    return b"".join(frame for frame, _ in sound().frames()) + table


def rows(draft: Draft) -> list[tuple[int, int]]:
    return [(len(frame), size) for frame, size in draft.frames()]


@refused("seek_table_invalid")
def seek_table_of_other_sizes() -> bytes:
    """The seek table shifts a frame's end by a byte."""
    first, second, *others = rows(sound())
    return tabled(corpus.seek_table([(first[0] + 1, first[1]), (second[0] - 1, second[1]), *others]))


@refused("seek_table_invalid")
def seek_table_without_the_filler() -> bytes:
    """The seek table leaves out the skippable frame."""
    return tabled(corpus.seek_table([row for row in rows(sound()) if row[1]]))


@refused("seek_table_invalid")
def seek_table_with_checksums() -> bytes:
    """The seek table's descriptor says that it has checksums, which it has not."""
    table = bytearray(corpus.seek_table(rows(sound())))
    table[-5] = 0x80
    return tabled(bytes(table))


@refused("skippable_not_zero")
def filler_that_holds_something() -> bytes:
    """Something is hidden in the skippable frame; the seek table is true."""
    frames = sound().frames()
    frames[1] = (corpus.skippable(0x184D2A5D, b"something"), 0)
    return joined(frames)
