"""The names allowed in a bundle: incident ids, artifact ids and member paths.

Writers escape what readers refuse. A path that passes here never leads out of the directory it is created below, and
printing it does not change a terminal's state. Not every file system can hold it: see `reading/target_names.py`.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

from bundles.format.model.canonical import canonical_json

MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
TIMELINE = "timeline.json"
ALERTS = "alerts.json"
ARTIFACTS = "artifacts.json"
DATA_MEMBERS = (TIMELINE, ALERTS, ARTIFACTS)
ARTIFACT_FOLDER = "artifacts"

MAX_NAME_BYTES = 255
MAX_SUFFIX_BYTES = 32
BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

INCIDENT_ID_CHARACTERS = "A-Za-z0-9._-"
MAX_INCIDENT_ID = 128  # characters
INCIDENT_ID_PATTERN = rf"[A-Za-z0-9][{INCIDENT_ID_CHARACTERS}]{{0,{MAX_INCIDENT_ID - 1}}}"
INCIDENT_ID_RULE = (
    f"An incident id has 1 to {MAX_INCIDENT_ID} letters, digits, dots, dashes and underscores; "
    "the first is a letter or digit."
)
ARTIFACT_ID_PATTERN = r"[A-Za-z0-9._-]{1,128}"
_INCIDENT_ID = re.compile(INCIDENT_ID_PATTERN)
_ARTIFACT_ID = re.compile(ARTIFACT_ID_PATTERN)
_MADE_ID = re.compile(r"id-[0-9a-f]{64}")


def valid_incident_id(text: object) -> bool:
    """Whether `text` matches `INCIDENT_ID_PATTERN`."""
    return isinstance(text, str) and _INCIDENT_ID.fullmatch(text) is not None


def valid_artifact_id(text: object) -> bool:
    """Whether `text` matches `ARTIFACT_ID_PATTERN` and is neither `.` nor `..`."""
    return isinstance(text, str) and _ARTIFACT_ID.fullmatch(text) is not None and text not in {".", ".."}


def must_escape(character: str) -> bool:
    """Whether a writer escapes this character: controls, bidi controls, backslash, lone surrogates."""
    return character == "\\" or character in BIDI_CONTROLS or unicodedata.category(character) in {"Cc", "Cs"}


def escaped(text: str) -> str:
    """`text` with each character for which `must_escape` holds as `%XX` of its UTF-8 bytes, as in stored names."""
    return "".join(_pieces(text))


def safe_name(true_name: str) -> str:
    """The name under which an artifact is stored.

    Args:
        true_name: the artifact's name in its record; anything before the last `/` is dropped.

    Returns:
        The last component, escaped and cut to 255 bytes of UTF-8 with its suffix kept; `%2E`, `%2E%2E` and `unnamed`
        for `.`, `..` and the empty name.
    """
    last = true_name.rsplit("/", 1)[-1]
    if last in {".", ".."}:
        return last.replace(".", "%2E")
    return _cut(_pieces(last)) or "unnamed"


def path_id(record_id: str | int) -> str:
    """The `artifact_id` of a path for the id in a record, which may be any text or a whole number.

    Returns:
        The id itself where a path can have it; else `id-` and the SHA-256 (hex) of its canonical JSON. An id that has
        this form itself is hashed too, so different ids never have the same path.
    """
    if isinstance(record_id, str) and path_id_is_plain(record_id):
        return record_id
    return "id-" + hashlib.sha256(canonical_json(record_id)).hexdigest()


def path_id_is_plain(record_id: str) -> bool:
    """Whether a path has this id as it is; see `path_id`."""
    return valid_artifact_id(record_id) and not _MADE_ID.fullmatch(record_id)


def artifact_path(artifact_id: str, true_name: str) -> str:
    """The member path of an artifact: `artifacts/{artifact_id}/{safe_name}`."""
    return f"{ARTIFACT_FOLDER}/{artifact_id}/{safe_name(true_name)}"


def artifact_id_of(path: str) -> str | None:
    """The artifact id in a valid member path, or None for a data member."""
    parts = path.split("/")
    return parts[1] if len(parts) == 3 else None


def path_fault(path: str, *, max_bytes: int = 1024) -> str:
    """Why `path` cannot be a payload member's path; empty when it can.

    Args:
        path: from the manifest or a tar header.
        max_bytes: its longest length in UTF-8.
    """
    if path in DATA_MEMBERS:
        return ""
    try:
        size = len(path.encode("utf-8"))
    except UnicodeEncodeError:
        return "it is not valid Unicode"
    parts = path.split("/")
    if size > max_bytes:
        return f"it is longer than {max_bytes} bytes"
    if len(parts) != 3 or parts[0] != ARTIFACT_FOLDER or not valid_artifact_id(parts[1]):
        return "it is neither a data member nor artifacts/<artifact_id>/<name>"
    name = parts[2]
    if name in {"", ".", ".."} or len(name.encode("utf-8")) > MAX_NAME_BYTES:
        return "its name is empty, a dot name or longer than 255 bytes"
    plain = name.isascii() and name.isprintable() and "\\" not in name  # most names; faster than a check per character
    if not plain and any(must_escape(character) for character in name):
        return "its name has characters that must be escaped"
    return ""


def _pieces(text: str) -> list[str]:
    return [_escaped(character) if must_escape(character) else character for character in text]


def _escaped(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def _size(pieces: list[str]) -> int:
    return sum(len(piece.encode("utf-8")) for piece in pieces)


def _cut(pieces: list[str]) -> str:
    """Join `pieces`, dropping whole ones before the suffix until the rest fits into 255 bytes."""
    if _size(pieces) <= MAX_NAME_BYTES:
        return "".join(pieces)
    dots = [index for index, piece in enumerate(pieces) if piece == "." and index > 0]
    suffix = pieces[dots[-1] :] if dots and _size(pieces[dots[-1] :]) <= MAX_SUFFIX_BYTES else []
    room = MAX_NAME_BYTES - _size(suffix)
    stem: list[str] = []
    for piece in pieces:
        room -= len(piece.encode("utf-8"))
        if room < 0:
            break
        stem.append(piece)
    return "".join(stem + suffix)
