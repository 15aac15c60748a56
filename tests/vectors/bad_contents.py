"""Refused for the payload (step 6): it is not what a sound, signed manifest lists."""

from __future__ import annotations

from functools import partial

from fuzz import corpus
from fuzz.corpus import Draft
from tests.vectors.parts import DISK, EMPTY, FEW, NOTE, WHOLE, also_refused, at, new, refused, seal, whole


def holding(path: str, data: bytes, shape: str = "zstd") -> Draft:
    """A sound bundle but for the content of one file; frames, checksums and seek table are true."""
    draft = whole(shape)
    draft.members[at(draft, path)] = corpus.member(path, data)
    return draft


def changed(data: bytes, offset: int) -> bytes:
    return data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1 :]


@refused("member_unlisted")
def file_added() -> bytes:
    """A file that the manifest does not list stands in the bundle."""
    draft = whole()
    draft.members.append(corpus.member("artifacts/a-9/planted.txt", b"not what was seen\n"))
    return draft.pack()


@refused("member_unlisted")
def file_renamed() -> bytes:
    """A file has another name than was signed."""
    draft = whole()
    draft.members[at(draft, NOTE)] = corpus.member("artifacts/a-1/other.txt", WHOLE[NOTE])
    return draft.pack()


@refused("member_missing")
def file_taken_out() -> bytes:
    """A file that the manifest lists is not in the bundle."""
    draft = whole()
    del draft.members[at(draft, NOTE)]
    return draft.pack()


@refused("member_missing")
def empty_file_taken_out() -> bytes:
    """A file of no bytes that the manifest lists is not in the bundle."""
    draft = whole()
    del draft.members[at(draft, EMPTY)]
    return draft.pack()


@refused("size_mismatch")
def file_grown() -> bytes:
    """A file has one byte more than was signed."""
    return holding(NOTE, WHOLE[NOTE] + b"\n").pack()


@refused("size_mismatch")
def swapped_files_of_other_sizes() -> bytes:
    """Two files have exchanged their contents, which differ in size."""
    draft = holding(NOTE, WHOLE[EMPTY])
    draft.members[at(draft, EMPTY)] = corpus.member(EMPTY, WHOLE[NOTE])
    return draft.pack()


@refused("file_hash_mismatch")
def swapped_files() -> bytes:
    """Two files of the same size have exchanged their contents."""
    left, right = "artifacts/b-1/left.txt", "artifacts/b-2/right.txt"
    draft = seal(new(files=WHOLE | {left: b"left\n", right: b"rite\n"}))
    draft.members[at(draft, left)] = corpus.member(left, b"rite\n")
    draft.members[at(draft, right)] = corpus.member(right, b"left\n")
    return draft.pack()


@refused("file_hash_mismatch")
def byte_changed() -> bytes:
    """One bit of a file differs from what was signed; the compression was made anew and is sound."""
    return holding(NOTE, changed(WHOLE[NOTE], 5)).pack()


@refused("file_hash_mismatch")
def byte_changed_in_gzip() -> bytes:
    """One bit of a file differs from what was signed, in a gzip bundle."""
    return holding(NOTE, changed(WHOLE[NOTE], 5), "gzip").pack()


@refused("file_hash_mismatch")
def signed_file_digest_wrong() -> bytes:
    """The signed digest of a whole file is another's, while those of its chunks are right."""
    draft = new(files=WHOLE)
    entry = next(one for one in draft.fields["files"] if one["path"] == DISK)
    entry["sha256"] = corpus.sha256(b"another")
    return seal(draft).pack()


@refused("chunk_hash_mismatch")
def byte_changed_in_a_chunk() -> bytes:
    """One bit in the second chunk of a large file differs from what was signed."""
    return holding(DISK, changed(WHOLE[DISK], 1500)).pack()


@refused("chunk_hash_mismatch")
def signed_chunk_digest_wrong() -> bytes:
    """The signed digest of one chunk is another's, while that of the whole file is right."""
    draft = new(files=WHOLE)
    entry = next(one for one in draft.fields["files"] if one["path"] == DISK)
    entry["chunks"][1]["sha256"] = corpus.sha256(b"another")
    return seal(draft).pack()


def timeline_says(text: bytes, shape: str = "zstd") -> bytes:
    return seal(new(shape, FEW | {"timeline.json": text})).pack()


OTHER_TIMELINES = {
    "behind_the_events": (
        "timeline.json names another incident, behind its events.",
        b'{"event_count":1,"events":[\n{"timestamp":"t1"}\n],"incident_id":"incident-8"}',
        "zstd",
    ),
    "before_the_events": (
        "timeline.json of a gzip bundle names another incident, before its events, in an escaped key.",
        b'{"incident\\u005fid":"incident-8","events":[{"incident_id":"incident-7"}]}',
        "gzip",
    ),
    "in_an_envelope": (
        "timeline.json of version 1.0.0 names another incident in the object that older bundles have around it.",
        b'{"timeline": {"events": [{"a": "]}"}], "incident_id": "incident-8"}}',
        "legacy",
    ),
    "told_twice": (
        "timeline.json names the right incident and then another; parsers take the one or the other.",
        b'{"incident_id":"incident-7","incident_id":"incident-8","events":[]}',
        "zstd",
    ),
}
for name, (why, text, shape) in OTHER_TIMELINES.items():
    also_refused(f"incident_{name}", "incident_mismatch", why, partial(timeline_says, text, shape))
