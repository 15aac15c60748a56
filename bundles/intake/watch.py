"""The watched folder ORCH_INTAKE_DIR: each file that stopped growing becomes one delivered file and one job.

A file is claimed by renaming it into a folder of `.taking/` whose name becomes the id of the delivered file, so that
whoever goes on after a crash, on whichever host, takes it in under that id once. Then it is moved to `done/` or
`refused/`. All names are used by directory handles only: whoever may put files here can lead us nowhere else.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction

from bundles.errors import IncidentIdInvalidError, InvalidBundleRequestError, StorageFullError
from bundles.format.model import paths
from bundles.intake import incoming, preview, services, store, uploads
from bundles.intake.incoming import PASSWORD_SUFFIX
from bundles.models import Intake
from bundles.storage import store_identity
from custody import chain
from foundation.log_format import logger
from foundation.principal import SYSTEM

log = logger("bundles")

TAKING, DONE, REFUSED = ".taking", "done", "refused"
LOCK = "lock"
TOP, BELOW = "top", "below"  # where in a claim a file is that was in the watched folder itself, or in an incident's
PASSWORD = "password"  # noqa: S105 # the name of a file
REASON_SUFFIX = ".reason.txt"
# Names of files that another program is still writing.
UNFINISHED = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".filepart", ".swp", "~")
NAME_BYTES = 255
PASSWORD_BYTES = services.PASSWORD_CHARACTERS * 4
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class RefusedFileError(Exception):
    """The file cannot be imported as it is; the text says why."""


@dataclass(frozen=True)
class _Look:
    """What a file was like when it was looked at."""

    device: int
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def at(cls, found: os.stat_result) -> _Look:
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


Place = tuple[str, str]  # the incident's folder, empty for none, and the file's name


class Watch:
    """One process's view of the watched folder; it remembers what files were like at the last look."""

    def __init__(self) -> None:
        self._seen: dict[Place, _Look] = {}

    def look(self) -> int:
        """Take in what is ready.

        Returns:
            How many files were moved to `done/` or `refused/`.
        """
        root = settings.ORCH_INTAKE_DIR
        if root is None or store_identity.hindrance(store_identity.BUNDLES):
            return 0
        with _only_one(Path(root)) as top:
            if top is None:
                return 0
            moved = sum(_tried(top, claim) for claim in _claims(top))
            now = dict(_waiting(top))
            ready = [place for place, look in now.items() if self._seen.get(place) == look]
            self._seen = {place: look for place, look in now.items() if place not in ready}
            for place in ready:
                claim = _claim(top, place)
                moved += bool(claim) and _tried(top, claim)
        return moved


_watch = Watch()


def look() -> int:
    """Take in what is ready in the watched folder, for this process; see `Watch.look`."""
    return _watch.look()


def _tried(top: int, claim: str) -> bool:
    """Finish a claim; after a failure of this host, such as a full disk, it stays and is tried at the next look."""
    try:
        return _finish(top, claim)
    except (OSError, StorageFullError) as error:
        log.warning("a file in the watched folder waits", claim=claim, error=str(error.args[-1:]))
        return False


def _waiting(top: int) -> Iterator[tuple[Place, _Look]]:
    """The files that may be ready, in the watched folder and one level below."""
    for name, found in _entries(top):
        if not stat.S_ISDIR(found.st_mode):
            yield ("", name), _Look.at(found)
        elif name not in {DONE, REFUSED}:
            with _opened(name, top) as folder:
                for inner, within in _entries(folder):
                    if not stat.S_ISDIR(within.st_mode):
                        yield (name, inner), _Look.at(within)


def _entries(folder: int) -> list[tuple[str, os.stat_result]]:
    """What is in a folder, oldest first, without what is hidden, unfinished, or a password."""
    found = []
    for name in os.listdir(folder):
        if name.startswith(".") or name.casefold().endswith((*UNFINISHED, PASSWORD_SUFFIX)):
            continue
        with suppress(FileNotFoundError):
            found.append((name, os.stat(name, dir_fd=folder, follow_symlinks=False)))
    return sorted(found, key=lambda one: (one[1].st_mtime_ns, one[0]))


def _claim(top: int, place: Place) -> str:
    """Move a file into a new claim; empty if someone else was faster."""
    claim = uuid4().hex
    incident, name = place
    with _opened(TAKING, top) as taking, _opened(claim, taking, make=True) as folder:
        try:
            with _home(folder, incident, make=True) as home, _origin(top, incident) as origin:
                os.rename(name, name, src_dir_fd=origin, dst_dir_fd=home)
        except FileNotFoundError:
            shutil.rmtree(claim, dir_fd=taking)
            return ""
        except OSError as error:  # for example no right to move it: it stays where it is
            log.warning("a file in the watched folder cannot be moved", error=os.strerror(error.errno or 0))
            shutil.rmtree(claim, dir_fd=taking)
            return ""
    return claim


def _claims(top: int) -> list[str]:
    """Claims that were not finished."""
    with _opened(TAKING, top) as taking:
        return sorted(name for name in os.listdir(taking) if name != LOCK)  # noqa: PTH208 -- by handle


def _finish(top: int, claim: str) -> bool:
    """Take the claimed file in, once, and move it away.

    Returns:
        Whether it was moved; false if it still grows.
    """
    with _opened(TAKING, top) as taking, _opened(claim, taking) as folder:
        place = _place_in(folder)
        if place is not None:
            with _home(folder, place[0]) as home:
                reason = ""
                if not Intake.objects.filter(intake_id=UUID(claim)).exists():
                    _take_password(top, folder, place)
                    try:
                        if not _import(home, folder, place, UUID(claim)):
                            return False
                    except RefusedFileError as error:
                        reason = str(error)
                _move(top, home, place, claim, reason)
        shutil.rmtree(claim, dir_fd=taking)
        return place is not None


def _import(home: int, folder: int, place: Place, intake_id: UUID) -> bool:
    """Take a file in and queue its bundle, in one transaction.

    Returns:
        Whether that was done; false if the file still grows.

    Raises:
        RefusedFileError: it cannot be imported.
        StorageFullError, OSError: not now.
    """
    incident, name = place
    incident_id = incident or preview.suggested_incident_id(name)
    if not paths.valid_incident_id(incident_id):
        raise RefusedFileError(
            f"The name of its folder is not an incident id. {paths.INCIDENT_ID_RULE}"
            if incident
            else "No incident id can be made from its name. Put it into a folder whose name is the incident id."
        )
    before = os.stat(name, dir_fd=home, follow_symlinks=False)
    if not stat.S_ISREG(before.st_mode):
        raise RefusedFileError("It is a link or a special file. Only regular files are imported.")
    arrived = incoming.copied(_open_regular(name, home), name)
    try:
        after = os.stat(name, dir_fd=home, follow_symlinks=False)
        if _Look.at(before) != _Look.at(after) or arrived.size != after.st_size:
            arrived.file.unlink()
            return False
        with transaction.atomic():
            uploads.once(SYSTEM, arrived, intake_id)
            services.request_bundle(SYSTEM, intake_id, incident_id=incident_id, password=_password(folder))
    except (IncidentIdInvalidError, InvalidBundleRequestError) as error:
        arrived.file.unlink(missing_ok=True)
        store.remove(intake_id)
        raise RefusedFileError(_in_words(error)) from error
    except BaseException:
        arrived.file.unlink(missing_ok=True)
        raise
    return True


def _open_regular(name: str, home: int) -> int:
    descriptor = os.open(name, _FILE, dir_fd=home)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RefusedFileError("It is a link or a special file. Only regular files are imported.")
    return descriptor


def _in_words(error: IncidentIdInvalidError | InvalidBundleRequestError) -> str:
    fields = getattr(error, "fields", {})
    return " ".join([str(error), *(f"{name}: {says}." for name, says in fields.items())])


def _move(top: int, home: int, place: Place, claim: str, reason: str) -> None:
    """Move a file to `done/`, or with the reason beside it to `refused/`; custody names what was refused."""
    incident, name = place
    with _opened(REFUSED if reason else DONE, top, make=True) as to, _home_in(to, incident) as folder:
        free = name if not _exists(name, folder) else _cut(name, f".{claim[:8]}")
        if reason:
            details = {"name": services.shown_name(name), "reason": reason}
            chain.record(SYSTEM, "intake.refused", "intake", str(UUID(claim)), outcome="refused", details=details)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(_cut(free, REASON_SUFFIX), flags, 0o640, dir_fd=folder), "w") as file:
                file.write(f"{reason}\n")
        os.rename(name, free, src_dir_fd=home, dst_dir_fd=folder)


def _take_password(top: int, folder: int, place: Place) -> None:
    """Move the password that is beside a file's former place into its claim."""
    incident, name = place
    with suppress(FileNotFoundError), _origin(top, incident) as origin:
        os.rename(_cut(name, PASSWORD_SUFFIX), PASSWORD, src_dir_fd=origin, dst_dir_fd=folder)


def _password(folder: int) -> str:
    """The password of a claim, without the line break at its end; empty if there is none."""
    try:
        descriptor = os.open(PASSWORD, _FILE, dir_fd=folder)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise RefusedFileError("Its password file cannot be read.") from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise RefusedFileError("Its password file is not a regular file.")
        raw = file.read(PASSWORD_BYTES + 2)
    try:
        return raw.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError:
        raise RefusedFileError("Its password file is not UTF-8.") from None


def _place_in(folder: int) -> Place | None:
    """The place that a claim's file came from; None if it has none."""
    for incident, name in _two_levels(folder):
        return incident, name
    return None


def _two_levels(folder: int) -> Iterator[Place]:
    with suppress(FileNotFoundError), _opened(TOP, folder) as home:
        yield from (("", name) for name in os.listdir(home))  # noqa: PTH208 -- by handle
    with suppress(FileNotFoundError), _opened(BELOW, folder) as below:
        for incident in os.listdir(below):  # noqa: PTH208 -- by handle
            with _opened(incident, below) as home:
                yield from ((incident, name) for name in os.listdir(home))  # noqa: PTH208 -- by handle


@contextmanager
def _home(folder: int, incident: str, *, make: bool = False) -> Iterator[int]:
    """The folder of a claim in which its file is."""
    with _opened(BELOW if incident else TOP, folder, make=make) as home:
        if not incident:
            yield home
            return
        with _opened(incident, home, make=make) as inner:
            yield inner


@contextmanager
def _origin(top: int, incident: str) -> Iterator[int]:
    """The folder that a file was put into."""
    if not incident:
        yield top
        return
    with _opened(incident, top) as folder:
        yield folder


@contextmanager
def _home_in(folder: int, incident: str) -> Iterator[int]:
    """The folder of an incident's files in `done/` or `refused/`."""
    if not incident:
        yield folder
        return
    with _opened(incident, folder, make=True) as inner:
        yield inner


@contextmanager
def _opened(name: str, at: int, *, make: bool = False) -> Iterator[int]:
    """A folder, never by a link."""
    if make:
        with suppress(FileExistsError):
            os.mkdir(name, 0o750, dir_fd=at)
    descriptor = os.open(name, _FOLDER, dir_fd=at)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _only_one(root: Path) -> Iterator[int | None]:
    """The watched folder, for one process at a time; None while another one looks, or if it cannot be opened.

    The kernel frees the lock when its holder dies. Where hosts do not share locks, no file is taken in twice all the
    same: the database decides by the claim's id.
    """
    top = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with _opened(TAKING, top, make=True) as taking:
            lock = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=taking)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield top
        except BlockingIOError:
            yield None
        finally:
            os.close(lock)
    finally:
        os.close(top)


def _exists(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _cut(name: str, suffix: str) -> str:
    """`name` with a suffix, as long as a file's name may be."""
    return os.fsdecode(os.fsencode(name)[: NAME_BYTES - len(suffix)]) + suffix
