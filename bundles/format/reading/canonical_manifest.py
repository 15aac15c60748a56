"""Reads a canonical 1.1 manifest in little memory: files and gaps are matched one by one in its bytes.

Parsing a whole manifest as JSON takes up to nine times its size in memory. The bytes around the files and the gaps are
few and are parsed strictly. A manifest that is not exactly canonical is left to the general parser in `verify`, which
finds the error.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from bundles.format.model import paths
from bundles.format.model.canonical import MAX_INTEGER, canonical_json, strict_loads
from bundles.format.model.fields import invalid, member_path
from bundles.format.model.limits import KIB, MIB, Limits
from bundles.format.model.manifest import Chunk, FileEntry

END = b',"version":"1.1.0"}'
FILES, MISSING = b'"files":[', b'"missing":['
OTHER_FIELDS_BYTES = MIB
TEXT_BYTES = 64 * KIB

_TEXT = rb'"((?:[ !#-\[\]-\x7f]++|\\.)*+)"'
_NUMBER = rb"(0|[1-9][0-9]{0,18})"
_SHA256 = rb'"sha256":"([0-9a-f]{64})"'
_HEAD = re.compile(rb'\{(?:"artifact_id":"(%b)",)?("chunks":\[)?' % paths.ARTIFACT_ID_PATTERN.encode("ascii"))
_CHUNK = re.compile(rb'\{"index":%b,"offset":%b,%b,"size":%b\}(,|\],)' % (_NUMBER, _NUMBER, _SHA256, _NUMBER))
_TAIL = re.compile(rb'"path":%b,%b,"size":%b\}([,\]])' % (_TEXT, _SHA256, _NUMBER))
_GAP = re.compile(rb'\{(?:"path":%b,"reason":%b|"reason":%b,"source":%b)\}([,\]])' % (_TEXT, _TEXT, _TEXT, _TEXT))


@dataclass(frozen=True)
class CanonicalManifest:
    """The content of a canonical manifest; neither its consistency nor its signature is checked.

    Attributes:
        fields: all fields, with `files` and `missing` empty.
        files: in the order of the manifest.
        missing: in the order of the manifest.
        own_hash: SHA-256 (hex) of its canonical JSON without `manifest_hash`.
    """

    fields: dict[str, Any]
    files: tuple[FileEntry, ...]
    missing: tuple[dict[str, str], ...]
    own_hash: str


class _NotCanonicalError(Exception):
    """The bytes are not a canonical 1.1 manifest."""


def read(raw: bytes, limits: Limits) -> CanonicalManifest | None:
    """Read a manifest.

    Returns:
        None if it is not a canonical 1.1 manifest.

    Raises:
        BundleRejectedError: `manifest_invalid` or `path_invalid`: it is canonical, but has an invalid file or gap.
    """
    if not raw.endswith(END):
        return None
    try:
        reader = _Reader(raw, limits)
        files_start = raw.find(FILES) + len(FILES)
        files, files_end = reader.files(files_start)
        gaps_start = raw.find(MISSING, files_end) + len(MISSING)
        gaps, gaps_end = reader.gaps(gaps_start)
        if files_start < len(FILES) or gaps_start < files_end + len(MISSING):
            return None
        others = raw[:files_start] + raw[files_end:gaps_start] + raw[gaps_end:]
        fields = strict_loads(others, floats=False) if len(others) <= OTHER_FIELDS_BYTES else None
        if not isinstance(fields, dict) or canonical_json(fields) != others:
            return None
        if fields.get("files") != [] or fields.get("missing") != []:
            return None
        own = b',"manifest_hash":' + canonical_json(fields.get("manifest_hash"))
        at = raw.find(own, files_end)
    except (_NotCanonicalError, ValueError):
        return None
    if at < 0:
        return None
    without = hashlib.sha256(memoryview(raw)[:at])
    without.update(memoryview(raw)[at + len(own) :])
    return CanonicalManifest(fields, tuple(files), tuple(gaps), without.hexdigest())


class _Reader:
    """Reads the arrays `files` and `missing`; each method returns the items and the offset of the closing bracket."""

    def __init__(self, raw: bytes, limits: Limits) -> None:
        self._raw = raw
        self._limits = limits
        self._count = 0

    def files(self, position: int) -> tuple[list[FileEntry], int]:
        found: list[FileEntry] = []
        more = self._raw[position : position + 1] != b"]"
        while more:
            self._one_more()
            head = _matched(_HEAD, self._raw, position)
            chunks, position = self._chunks(head.end()) if head[2] else ((), head.end())
            tail = _matched(_TAIL, self._raw, position)
            found.append(self._file(head[1], chunks, tail))
            more, position = tail[4] == b",", tail.end() - (tail[4] == b"]")
        return found, position

    def gaps(self, position: int) -> tuple[list[dict[str, str]], int]:
        found: list[dict[str, str]] = []
        more = self._raw[position : position + 1] != b"]"
        while more:
            self._one_more()
            gap = _matched(_GAP, self._raw, position)
            if gap[1] is not None:
                found.append({"path": member_path(_text(gap[1]), self._limits), "reason": _text(gap[2])})
            else:
                found.append({"reason": _text(gap[3]), "source": _text(gap[4])})
            more, position = gap[5] == b",", gap.end() - (gap[5] == b"]")
        return found, position

    def _chunks(self, position: int) -> tuple[tuple[Chunk, ...], int]:
        found: list[Chunk] = []
        while True:
            part = _matched(_CHUNK, self._raw, position)
            found.append(Chunk(_number(part[1]), _number(part[2]), _number(part[4]), part[3].decode("ascii")))
            position = part.end()
            if part[5] != b",":
                return tuple(found), position

    def _file(self, artifact_id: bytes | None, chunks: tuple[Chunk, ...], tail: re.Match[bytes]) -> FileEntry:
        path = member_path(_text(tail[1]), self._limits)
        stated_id = None if artifact_id is None else artifact_id.decode("ascii")
        if stated_id != paths.artifact_id_of(path):
            raise invalid("a file has missing or unknown fields, or an artifact_id that does not match its path")
        return FileEntry(path, _number(tail[3]), tail[2].decode("ascii"), stated_id, chunks)

    def _one_more(self) -> None:
        self._count += 1
        if self._count > self._limits.files:
            raise invalid(f"it lists more than {self._limits.files} files and gaps")


def _matched(pattern: re.Pattern[bytes], raw: bytes, position: int) -> re.Match[bytes]:
    found = pattern.match(raw, position)
    if found is None:
        raise _NotCanonicalError
    return found


def _number(digits: bytes) -> int:
    number = int(digits)
    if number > MAX_INTEGER:
        raise _NotCanonicalError
    return number


def _text(token: bytes) -> str:
    """The text of a string token, which must be in canonical form."""
    if len(token) > TEXT_BYTES:
        raise _NotCanonicalError
    if b"\\" not in token:
        return token.decode("ascii")
    text = str(json.loads(b'"' + token + b'"'))
    text.encode("utf-8")  # a lone surrogate is a ValueError
    if canonical_json(text)[1:-1] != token:
        raise _NotCanonicalError
    return text
