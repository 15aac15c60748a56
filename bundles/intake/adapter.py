"""The adapter `collection`: a delivered file as a system that evidence is read from, without a network.

The delivered file is an artifact of its own, whole. The members of an archive are artifacts besides. The records of
files of a known kind become events and alerts, each with the note where it came from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self
from urllib.parse import quote

from bundles.format.model.records import FILE_TYPE
from bundles.intake import velociraptor
from bundles.intake.archives.members import FILE, LINK, SPECIAL, ArchiveError, ArchiveLimits, Member
from bundles.intake.delivered import ATTACHMENT, DELIVERED, Attachment, Delivered, RecordFile
from bundles.intake.formats import kinds, shapes
from bundles.intake.formats.kinds import Taken
from bundles.intake.formats.shapes import in_words
from bundles.sources import faults, waiting
from bundles.sources.adapters.protocol import ArtifactRecord, Listed, Offer, Wanted
from bundles.sources.faults import ALERTS, ARTIFACTS, TIMELINE, Source
from bundles.sources.jsonstream import MalformedError, Refused
from bundles.sources.limits import SourceLimits
from bundles.sources.live import LiveSource
from bundles.sources.members import RecordsMember, TimelineMember
from bundles.sources.profiles import Profile, System
from bundles.sources.trace import Part, Trace

NAME = "collection"
FROM = "imported_from"
NAMED = 20
SPECIAL_TYPE = "unknown"  # as in records of a folder
Json = dict[str, Any]


def source(
    folder: Path,
    name: str,
    *,
    sha256: str,
    kind: str = "",
    mapping: Json | None = None,
    mapping_name: str = "",
    limits: ArchiveLimits | None = None,
) -> LiveSource:
    """The source that reads a delivered file; the file itself is packed from where it is, without a copy.

    The only system of its profile is the file, which the adapters of all parts open once.

    Args:
        folder: see `Delivered`.
        name: as it was delivered.
        sha256: of the delivered file, hex.
        kind: see `Delivered`.
        mapping: see `Delivered`.
        mapping_name: under which it was saved; empty for one that was given for this import.
        limits: see `Delivered`.
    """
    delivered = Delivered(folder, name, kind=kind, mapping=mapping, check=waiting.look, limits=limits)
    options = {"delivered": delivered, "sha256": sha256, "mapping": mapping or {}, "mapping_name": mapping_name}
    system = System(name=NAME, adapter=NAME, url=f"file:{quote(name, safe='')}", timeout_s=60.0, options=options)
    systems: dict[Source, System] = dict.fromkeys((TIMELINE, ALERTS, ARTIFACTS), system)
    return LiveSource(profile=Profile(name="import", title="Imported file", systems=systems), storage=folder)


class CollectionAdapter:
    """See `protocol.Adapter`."""

    name: ClassVar[str] = NAME
    version: ClassVar[str] = "1"
    title: ClassVar[str] = "Imported file"
    parts: ClassVar[frozenset[Source]] = frozenset({TIMELINE, ALERTS, ARTIFACTS})
    lists_incidents: ClassVar[bool] = False

    def __init__(self, system: System, part: Source, limits: SourceLimits) -> None:  # noqa: ARG002 -- see the protocol
        options = system.options
        self._part = part
        self._url = system.url
        self._sha256 = str(options["sha256"])
        self._mapping: Json = {"name": str(options["mapping_name"]), "columns": dict(options["mapping"])}
        self._delivered: Delivered = options["delivered"]

    @classmethod
    def faults_of(cls, system: System) -> list[str]:  # noqa: ARG003 -- see the protocol
        """An import is made here and nowhere else, so a file of sources cannot name it."""
        return ["adapter: collection is for imported files; it cannot be a system of a file of sources."]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *of: object) -> None:
        pass

    def timeline(self, wanted: Wanted) -> Part:
        """See `protocol.Adapter`."""
        with TimelineMember(self._part, self._url, wanted) as member:
            for taken, origin in self._records(member):
                if taken.part == kinds.TIMELINE:
                    member.add(_with_origin(taken.record, origin))
            member.header["collection"] = self._delivered.describe()
            if self._mapping["columns"]:
                member.header["collection"]["mapping"] = self._mapping
                member.note(_mapped_in_words(self._mapping))
            return member.part()

    def alerts(self, wanted: Wanted) -> Part:
        """See `protocol.Adapter`."""
        with RecordsMember(self._part, self._url, wanted) as member:
            for taken, origin in self._records(member):
                if taken.part == kinds.ALERTS:
                    identity = f"{origin['artifact_id']}:{origin['position']}"
                    member.add({"id": identity, **_with_origin(taken.record, origin)}, taken.record.get("id", identity))
            return member.part()

    def artifacts(self, wanted: Wanted) -> tuple[Part, Sequence[ArtifactRecord]]:
        """See `protocol.Adapter`."""
        delivered = self._delivered
        records: list[ArtifactRecord] = []
        with RecordsMember(self._part, self._url, wanted) as member:
            size = delivered.path.stat().st_size
            whole = {"artifact_id": DELIVERED, "name": delivered.name, "size": size, "sha256": self._sha256}
            member.add({**whole, "delivered": True}, DELIVERED)
            records.append(
                ArtifactRecord(
                    artifact_id=DELIVERED, name=delivered.name, size=size, sha256=self._sha256, locations=(DELIVERED,)
                )
            )
            for within in filter(None, (delivered, delivered.inner)):
                records += self._members(within, member, wanted)
            for held in delivered.attachments():
                wanted.tally.check()
                record, artifact = _held(held)
                if member.add(record, held.artifact_id) and artifact is not None:
                    records.append(artifact)
            read_as = [f"{file.name or delivered.name}: {file.kind.title}" for file in delivered.record_files()]
            if read_as:
                more = f" and {len(read_as) - NAMED} more" if len(read_as) > NAMED else ""
                member.note(f"Records were read from {'; '.join(read_as[:NAMED])}{more}.")
            if delivered.refused is not None:
                member.note(f"The file was not opened as an archive: {delivered.refused}")
            return member.part(), records

    def _members(self, delivered: Delivered, member: RecordsMember, wanted: Wanted) -> Iterator[ArtifactRecord]:
        """Add the record of each file of an archive."""
        odd, stated = _said_by_velociraptor(delivered)
        for sentence in odd.pop(-1, []):
            member.note(sentence)
        for one in delivered.members:
            wanted.tally.check()
            if one.kind != FILE:
                member.add(_without_file(delivered, one), one.name)
                continue
            record, artifact = _described(delivered, one, odd.get(one.index, []), stated)
            if member.add(record, record["artifact_id"]):
                yield artifact
        if delivered.archive is not None and delivered.archive.cut:
            member.gap(delivered.archive.cut)

    def content(self, record: ArtifactRecord, at: int, tag: str) -> _Content:  # noqa: ARG002 -- read from its beginning
        """See `protocol.Adapter`; a member is always read from its beginning."""
        if record.artifact_id == DELIVERED:
            return _Content(self._delivered.open(), self._sha256)
        if ATTACHMENT in record.handle:
            attached = self._delivered.attached(record.artifact_id)
            if attached is None:
                raise faults.invalid(self._part, "the record that holds the file cannot be read any more.")
            return _Content(iter([attached]), f"{self._sha256}:{record.artifact_id}")
        within = self._delivered.inner if record.handle["inner"] else self._delivered
        if within is None:
            raise faults.invalid(self._part, "the collection within it cannot be opened any more.")
        member = within.members[int(record.handle["index"])]
        return _Content(within.open_member(member), f"{self._sha256}:{record.artifact_id}")

    def offer(self, ref: str) -> Offer:  # noqa: ARG002 -- the file is one incident
        """See `protocol.Adapter`."""
        if self._part == ARTIFACTS:
            files = [member for member in self._delivered.members if member.kind == FILE]
            size = self._delivered.path.stat().st_size + sum(member.size for member in files)
            return Offer(records=1 + len(files), size_bytes=size)
        return Offer(detail="The records are counted when they are read.")

    def incidents(self, most: int) -> list[Listed]:  # noqa: ARG002 -- see the protocol
        """A file lists none."""
        return []

    def _records(self, member: TimelineMember | RecordsMember) -> Iterator[tuple[Taken, Json]]:
        """Every record of every file that is understood; a bad one is left out by `member`."""
        for file in self._delivered.record_files():
            if self._part.key not in file.kind.parts:
                continue
            named_here = self._part == TIMELINE or TIMELINE.key not in file.kind.parts
            where = f"{file.name}: " if file.name else ""
            try:
                for found in file.kind.records(_traced(file, member.trace), file.look):
                    if not isinstance(found, Refused):
                        yield found, _origin(file, found)
                    elif named_here:  # what it would have been is not known; it is named once
                        member.leave_out(where + in_words(found))
            except MalformedError as error:
                member.gap(f"{where}it cannot be read on: {error}.")
            except ArchiveError as error:
                member.gap(f"{where}{error}")


class _Content:
    """See `protocol.Content`: the bytes of a file or member, from the beginning."""

    at = 0

    def __init__(self, pieces: Iterator[bytes], tag: str) -> None:
        self.tag = tag
        self._pieces = pieces
        self._rest = b""

    def read(self, most: int) -> bytes:
        """The next bytes."""
        try:
            piece = self._rest or next(self._pieces, b"")
        except ArchiveError as error:
            raise faults.invalid(ARTIFACTS, str(error)) from None
        self._rest = piece[most:]
        return piece[:most]

    def close(self) -> None:
        """Nothing is open for longer than a read."""


def _mapped_in_words(mapping: Json) -> str:
    """The mapping of columns that was given, for the manifest."""
    named = f"the saved mapping {mapping['name']}" if mapping["name"] else "a mapping"
    columns = "; ".join(f"{ours} from {theirs}" for ours, theirs in sorted(mapping["columns"].items()))
    return f"For columns that are not understood, {named} was given: {columns}."


def _traced(file: RecordFile, trace: Trace) -> Any:
    """The file's bytes, counted and hashed for the manifest."""

    def opened() -> Iterator[bytes]:
        for piece in file.open():
            trace.read(piece)
            yield piece

    return opened


def _origin(file: RecordFile, taken: Taken) -> Json:
    origin: Json = {"artifact_id": file.artifact_id, "kind": file.kind.name, "position": taken.row.position}
    origin |= {"member": file.name} if file.name else {}
    origin |= {"line": taken.row.line} if taken.row.line else {}
    return origin


def _with_origin(record: Json, origin: Json) -> Json:
    """The record with the note where it came from; one that has such a field itself is put inside."""
    return {"raw": record, FROM: origin} if FROM in record else {**record, FROM: origin}


def _held(held: Attachment) -> tuple[Json, ArtifactRecord | None]:
    """The record of a file that a record holds; without content if its text is not base64."""
    record: Json = {"artifact_id": held.artifact_id, "name": held.name}
    record |= {"uuid": held.taken.record["uuid"]} if isinstance(held.taken.record.get("uuid"), str) else {}
    record = _with_origin(record, _origin(held.file, held.taken))
    if held.content is None:
        record.pop("artifact_id")
        return record | {"faults": ["Its text is not base64, so it is in the record alone."]}, None
    size, sha256 = len(held.content), hashlib.sha256(held.content).hexdigest()
    artifact = ArtifactRecord(
        artifact_id=held.artifact_id, name=held.name, size=size, sha256=sha256, handle={ATTACHMENT: True}
    )
    return record | {"size": size, "sha256": sha256}, artifact


def _said_by_velociraptor(delivered: Delivered) -> tuple[dict[int, list[str]], dict[str, str]]:
    """What a collection of Velociraptor says of its members: faults by member, and digests by name."""
    if not delivered.is_velociraptor:
        return {}, {}
    uploads: list[Json] = []
    stated: dict[str, str] = {}
    for member in delivered.members:
        is_list = member.name == velociraptor.UPLOADS_LIST
        if member.kind != FILE or member.unreadable or not (is_list or member.name.startswith("results/")):
            continue
        rows = _rows(delivered, member)
        if is_list:
            uploads += rows
        else:
            stated |= velociraptor.stated_digests(rows)
    return velociraptor.size_faults(uploads, delivered.members), stated


def _rows(delivered: Delivered, member: Member) -> list[Json]:
    opened = partial(delivered.open_member, member)
    try:
        look = shapes.look(delivered.head(opened()))
        if look.shape not in {shapes.LINES, shapes.OBJECT}:  # one row that has parts looks like an object
            return []
        return [row.record for row in shapes.rows(opened, look) if isinstance(row, shapes.Row)]
    except (ArchiveError, MalformedError):
        return []


def _without_file(delivered: Delivered, member: Member) -> Json:
    """The record of a folder, link or special file, which has no bytes to bundle."""
    more: Json = {
        FILE_TYPE: SPECIAL_TYPE if member.kind == SPECIAL else member.kind,
        "target": member.target or (delivered.link_target(member) if member.kind == LINK else ""),
        "modified": member.modified,
        "attributes": member.attributes,
        "faults": list(member.faults),
    }
    return {"name": delivered.shown_name(member), **{key: value for key, value in more.items() if value}}


def _described(
    delivered: Delivered, member: Member, odd: list[str], stated: dict[str, str]
) -> tuple[Json, ArtifactRecord]:
    """A member's record for `artifacts.json`, and what is used of it here."""
    name = delivered.shown_name(member)
    odd = [*member.faults, *odd]
    identity = delivered.artifact_id(member)
    record: Json = {"artifact_id": identity, "name": name, "size": member.size}
    if name != member.name:
        record["stored_name"] = member.name
    sha256: str | None = None
    if name in stated and not member.unreadable:
        try:
            sha256 = delivered.digest(member)
        except ArchiveError:
            sha256 = None  # stated where its content is read
        if sha256 not in {None, stated[name]}:
            odd.append(f"The results state the SHA-256 {stated[name]} for it; the member has {sha256}.")
    more: Json = {
        "sha256": sha256,
        "modified": member.modified,
        "times": member.times,
        "attributes": member.attributes,
        "sparse": delivered.is_velociraptor and velociraptor.is_sparse(member, delivered.members),
        "faults": odd,
    }
    record |= {key: value for key, value in more.items() if value}
    handle = {"index": member.index, "inner": identity.startswith("i")}
    return record, ArtifactRecord(artifact_id=identity, name=name, size=member.size, sha256=sha256, handle=handle)
