"""Reads the file of sources, ORCH_SOURCES_FILE: systems, and profiles that name them.

Every fault of the file is found in one pass, one line each, and none quotes a secret. Nothing is asked over the
network. `docs/sources.md` explains the file; its table of keys is made from `SYSTEM_KEYS` and `PROFILE_KEYS`.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bundles.sources import tls_files
from bundles.sources.adapters import registry
from bundles.sources.adapters.protocol import Adapter
from bundles.sources.profiles import PARTS, Credential, CredentialError, Profile, System
from bundles.timelines import rules

MOST_BYTES = 1024 * 1024
MOST_SYSTEMS = 64
NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?", re.ASCII)
NAME_RULE = "a name is 1 to 40 lowercase letters, digits and hyphens, with no hyphen at either end."
RESERVED = frozenset({*(part.key for part in PARTS), "core"})  # the services that the environment names
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)
HEADERS_OF_THE_CLIENT = frozenset({
    "host", "content-length", "transfer-encoding", "connection", "accept-encoding", "range", "if-range", "user-agent",
    "content-type", "cookie",
})  # fmt: skip
MOST_TEXT = 200


@dataclass(frozen=True)
class Key:
    """One key of a table of the file.

    Attributes:
        name: as written.
        form: what it holds, for a person.
        meaning: in one sentence.
        least: the smallest number; None where it holds no number.
        most: the largest number.
        whole: whether the number has no fraction.
    """

    name: str
    form: str
    meaning: str
    least: float | None = None
    most: float | None = None
    whole: bool = False


SYSTEM_KEYS = (
    Key("adapter", "name", "required; the kind of system, such as `ransomeye`"),
    Key("url", "URL", "required; base URL, http or https, without credentials, query and fragment"),
    Key("token_file", "file", "holds a token that is sent as `Authorization: Bearer …`"),
    Key("header", "`{name, value_file}`", "a header whose whole value is in a file, such as an API key"),
    Key("basic", "`{user, password_file}`", "user name, and the file that holds the password"),
    Key("ca_file", "PEM file", "the certificate authorities to trust instead of those of the operating system"),
    Key("client_cert", "PEM file", "the certificate that is shown to the system (mutual TLS)"),
    Key("client_key", "PEM file", "its private key, not encrypted; without it, the key is in `client_cert`"),
    Key("timeout_s", "seconds", "longest wait for the next byte; ORCH_SOURCE_TIMEOUT_SECONDS by default", 1, 3600),
    Key("requests_per_s", "number", "most requests a second, of each process; no limit by default", 0.01, 10_000),
    Key("page_records", "number", "records asked for at a time; by default the adapter's", 1, 100_000, whole=True),
    Key("connections", "number", "connections for artifacts' contents at a time; 4 by default", 1, 4, whole=True),
    Key("severities", "name of a scale", "how bare numbers are rated, see [timelines.md](timelines.md#severities)"),
    Key("times", "`{zone, numbers}`", "the zone of texts without one and the unit of bare numbers, see"
        " [timelines.md](timelines.md#times-of-a-source)"),
    Key("options", "table", "settings of the adapter, see its page"),
)  # fmt: skip
PROFILE_KEYS = (
    Key("title", "text", "shown in the console"),
    Key("timeline", "name of a system", "where the timeline is read"),
    Key("alerts", "name of a system", "where the alerts are read"),
    Key("artifacts", "name of a system", "where the artifacts are read"),
)


@dataclass(frozen=True)
class Finding:
    """What is wrong at one place of the file: `systems.iris.token_file`, and a sentence."""

    where: str
    says: str

    def __str__(self) -> str:
        return f"{self.where}: {self.says}" if self.where else self.says


@dataclass(frozen=True, kw_only=True)
class SourcesFile:
    """The file, read.

    Attributes:
        path: where it is.
        sha256: of its bytes; empty if it could not be read.
        systems: the systems that could be read, also those with faults.
        profiles: the profiles in the order of the file, without those that have a fault or name a system that has one.
        faults: what keeps the service from starting.
        warnings: what does not.
    """

    path: Path
    sha256: str = ""
    systems: Mapping[str, System] = field(default_factory=dict)
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    faults: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()

    def about(self, system: str) -> list[Finding]:
        """The faults of one system."""
        return [one for one in self.faults if one.where.split(".")[:2] == ["systems", system]]


def read(path: Path, *, timeout_s: float, now: datetime) -> SourcesFile:
    """Read the file and check it.

    Args:
        path: of the file; paths in it are relative to its folder.
        timeout_s: of systems that state none, in seconds.
        now: against which certificates are checked.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        return SourcesFile(path=path, faults=(Finding("", f"the file cannot be read ({path}, {error.strerror})."),))
    sha256 = hashlib.sha256(raw).hexdigest()
    if len(raw) > MOST_BYTES:
        return SourcesFile(path=path, sha256=sha256, faults=(Finding("", "the file is larger than 1 MiB."),))
    try:
        found = tomllib.loads(raw.decode("utf-8"))
    except UnicodeDecodeError:
        return SourcesFile(path=path, sha256=sha256, faults=(Finding("", "the file is not UTF-8 text."),))
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"\(at (line \d+, column \d+|end of document)\)", str(error))
        what = f"the file is not valid TOML{f', {place[1]}' if place else ''}."  # its own words may quote the file
        return SourcesFile(path=path, sha256=sha256, faults=(Finding("", what),))
    return _Reading(path, timeout_s, now).whole(found, sha256)


class _Reading:
    """One pass over the file; collects the findings."""

    def __init__(self, path: Path, timeout_s: float, now: datetime) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._now = now
        self._faults: list[Finding] = []
        self._warnings: list[Finding] = []

    def whole(self, found: dict[str, Any], sha256: str) -> SourcesFile:
        self._unknown("", found, ("systems", "profiles"))
        tables = self._tables(found, "systems")
        if len(tables) > MOST_SYSTEMS:
            self._fault("systems", f"there are more than {MOST_SYSTEMS}.")
        systems: dict[str, System] = {}
        for name, table in list(tables.items())[:MOST_SYSTEMS]:
            system = self._system(name, table)
            if system is not None:
                systems[name] = system
        broken = {one.where.split(".")[1] for one in self._faults if one.where.startswith("systems.")}
        profiles: dict[str, Profile] = {}
        used: set[str] = set()
        for name, table in self._tables(found, "profiles").items():
            before = len(self._faults)
            profile = self._profile(name, table, tables.keys(), systems, used)
            if len(self._faults) == before and not broken & {one.name for one in profile.systems.values()}:
                profiles[name] = profile
        if not found.get("profiles"):
            self._fault("profiles", "there is none; write at least one, such as [profiles.main].")
        for name in systems.keys() - used:
            self._warn(f"systems.{name}", "no profile uses it.")
        return SourcesFile(
            path=self._path, sha256=sha256, systems=systems, profiles=profiles,
            faults=tuple(self._faults), warnings=tuple(self._warnings),
        )  # fmt: skip

    def _tables(self, found: Mapping[str, Any], name: str) -> dict[str, dict[str, Any]]:
        """The named tables below `name`, without those that are none or have no right name."""
        tables = found.get(name, {})
        if not isinstance(tables, dict):
            self._fault(name, "this must be a table.")
            return {}
        right: dict[str, dict[str, Any]] = {}
        for key, table in tables.items():
            where = f"{name}.{_shown(key)}"
            if not NAME.fullmatch(key):
                self._fault(where, NAME_RULE)
            elif name == "systems" and key in RESERVED:
                self._fault(where, "this name is that of a service of the environment; choose another.")
            elif not isinstance(table, dict):
                self._fault(where, "this must be a table.")
            else:
                right[key] = table
        return right

    def _system(self, name: str, table: dict[str, Any]) -> System | None:
        where = f"systems.{name}"
        self._unknown(where, table, [key.name for key in SYSTEM_KEYS])
        adapter = self._adapter(where, table)
        url = self._url(where, table)
        credential = self._credential(where, table)
        if credential is not None and url.startswith("http://") and not _is_loopback(url):
            self._warn(f"{where}.url", "the credential is sent without TLS; use https.")
        ca_file = self._file(where, table, "ca_file")
        if ca_file is not None:
            self._note(f"{where}.ca_file", tls_files.of_authorities(ca_file, self._now))
        cert, key = self._file(where, table, "client_cert"), self._file(where, table, "client_key")
        if cert is not None:
            self._note(f"{where}.client_cert", tls_files.of_client(cert, key, self._now))
            self._secrecy(f"{where}.{'client_key' if key else 'client_cert'}", key or cert)
        elif key is not None:
            self._fault(f"{where}.client_key", "client_cert is missing.")
        if url.startswith("http://") and (ca_file or cert):
            self._fault(f"{where}.url", "certificates are for https.")
        numbers = {one.name: self._number(where, table, one) for one in SYSTEM_KEYS if one.least is not None}
        options = table.get("options", {})
        if not isinstance(options, dict):
            self._fault(f"{where}.options", "this must be a table.")
            options = {}
        severities, times = self._severities(where, table), self._times(where, table)
        if adapter is None or not url:
            return None
        page_records, connections = numbers["page_records"], numbers["connections"]
        system = System(
            name=name,
            adapter=str(table["adapter"]),
            url=url,
            timeout_s=numbers["timeout_s"] or self._timeout_s,
            credential=credential,
            ca_file=ca_file,
            client_cert=cert,
            client_key=key,
            requests_per_s=numbers["requests_per_s"],
            page_records=None if page_records is None else int(page_records),
            connections=4 if connections is None else int(connections),
            severities=severities,
            times=times,
            options=options,
        )
        try:
            said = adapter.faults_of(system)
        except Exception as error:  # noqa: BLE001 # an adapter may be anybody's
            said = [f"options: the adapter could not check them ({type(error).__name__})."]
        for line in said:
            place, colon, says = line.partition(": ")
            if colon and re.fullmatch(r"[\w.-]+", place):
                self._fault(f"{where}.{place}", says)
            else:
                self._fault(where, line)
        return system

    def _adapter(self, where: str, table: dict[str, Any]) -> type[Adapter] | None:
        name = self._text(where, table, "adapter", required=True)
        if not name:
            return None
        try:
            return registry.get(name)
        except (registry.UnknownAdapterError, registry.BrokenAdapterError) as error:
            self._fault(f"{where}.adapter", str(error))
        except ImportError as error:
            missing = f"the package {error.name} is not installed." if error.name else "it cannot be imported."
            self._fault(f"{where}.adapter", missing)
        return None

    def _url(self, where: str, table: dict[str, Any]) -> str:
        text = self._text(where, table, "url", required=True)
        if not text:
            return ""
        fault = url_fault(text)
        if fault:
            self._fault(f"{where}.url", fault)
            return ""
        return text.rstrip("/")

    def _credential(self, where: str, table: dict[str, Any]) -> Credential | None:
        given = [name for name in ("token_file", "header", "basic") if name in table]
        if len(given) > 1:
            self._fault(f"{where}.{given[1]}", f"{given[0]} is given too; give one of token_file, header and basic.")
        if not given:
            return None
        if given[0] == "token_file":
            file, place = self._path_of(where, table, "token_file"), f"{where}.token_file"
            credential = Credential(kind="bearer", secret_file=file) if file else None
        else:
            named, held = {"header": ("name", "value_file"), "basic": ("user", "password_file")}[given[0]]
            inner, place = f"{where}.{given[0]}", f"{where}.{given[0]}.{held}"
            pair = table[given[0]]
            if not isinstance(pair, dict):
                self._fault(inner, f"this must be a table: {{{named} = …, {held} = …}}.")
                return None
            self._unknown(inner, pair, (named, held))
            name, file = self._text(inner, pair, named, required=True), self._path_of(inner, pair, held, required=True)
            if not self._right_name(inner, given[0], name):
                return None
            kind: Any = given[0]
            credential = Credential(kind=kind, secret_file=file, name=name) if file and name else None
        if credential is None:
            return None
        try:
            credential.secret()
        except CredentialError as error:
            self._fault(place, str(error))
        else:
            self._secrecy(place, credential.secret_file)
        return credential

    def _right_name(self, where: str, kind: str, name: str) -> bool:
        if kind == "header" and name and not HEADER_NAME.fullmatch(name):
            self._fault(f"{where}.name", "this is not the name of an HTTP header.")
        elif kind == "header" and name.lower() in HEADERS_OF_THE_CLIENT:
            self._fault(f"{where}.name", "the orchestrator sets this header itself.")
        elif kind == "basic" and ":" in name:
            self._fault(f"{where}.user", "a user name cannot have a colon here.")
        else:
            return True
        return False

    def _file(self, where: str, table: dict[str, Any], key: str) -> Path | None:
        """A file that must be readable; None if the key is missing or wrong."""
        path = self._path_of(where, table, key)
        return path if path is not None and self._readable(f"{where}.{key}", path) else None

    def _readable(self, where: str, path: Path) -> bool:
        try:
            with path.open("rb") as file:
                file.read(1)
        except OSError as error:
            self._fault(where, f"the file cannot be read ({path}, {error.strerror}).")
            return False
        return True

    def _path_of(self, where: str, table: dict[str, Any], key: str, *, required: bool = False) -> Path | None:
        text = self._text(where, table, key, required=required, most=4096)
        return self._path.parent / Path(text) if text else None

    def _secrecy(self, where: str, path: Path) -> None:
        try:
            others = path.stat().st_mode & 0o007
        except OSError:
            return  # reported when it was read
        if others:
            self._warn(where, f"every user of this host can access {path}; run chmod 600 on it.")

    def _number(self, where: str, table: dict[str, Any], key: Key) -> float | None:
        value = table.get(key.name)
        if value is None:
            return None
        least, most = key.least or 0, key.most or 0
        is_number = isinstance(value, int if key.whole else int | float) and not isinstance(value, bool)
        if not is_number or not least <= float(value) <= most:
            self._fault(f"{where}.{key.name}", f"this must be a {'whole ' * key.whole}number from {least} to {most}.")
            return None
        return float(value)

    def _severities(self, where: str, table: dict[str, Any]) -> str:
        name = self._text(where, table, "severities")
        return name if name and self._is_rule(f"{where}.severities", rules.scale_of, name) else ""

    def _times(self, where: str, table: dict[str, Any]) -> dict[str, str]:
        times, inner = table.get("times", {}), f"{where}.times"
        if not isinstance(times, dict):
            self._fault(inner, 'this must be a table, such as {zone = "Europe/Berlin", numbers = "ms"}.')
            return {}
        self._unknown(inner, times, rules.TIME_KEYS)
        kinds = {"zone": rules.zone_of, "numbers": rules.unit_of}
        given = {name: self._text(inner, times, name) for name in rules.TIME_KEYS if name in times}
        return {name: text for name, text in given.items() if self._is_rule(f"{inner}.{name}", kinds[name], text)}

    def _is_rule(self, where: str, made: Any, text: str) -> bool:
        try:
            made(text)
        except rules.RuleError as error:
            self._fault(where, str(error))
            return False
        return True

    def _profile(
        self, name: str, table: dict[str, Any], known: Iterable[str], systems: Mapping[str, System], used: set[str]
    ) -> Profile:
        where = f"profiles.{name}"
        self._unknown(where, table, [key.name for key in PROFILE_KEYS])
        chosen = {}
        for part in PARTS:
            wanted = self._text(where, table, part.key)
            if not wanted:
                continue
            used.add(wanted)
            if wanted not in known:
                there = f"; there are {', '.join(known)}." if known else "."
                self._fault(f"{where}.{part.key}", f"there is no system {_shown(wanted)}{there}")
            elif wanted in systems:  # one that could not be made has its own fault
                adapter = registry.get(systems[wanted].adapter)
                if part not in adapter.parts:
                    able = " and ".join(one.key for one in PARTS if one in adapter.parts)
                    self._fault(f"{where}.{part.key}", f"the adapter {adapter.name} reads {able} only.")
                chosen[part] = systems[wanted]
        if not any(part.key in table for part in PARTS):
            self._fault(where, "it names no system; give at least one of timeline, alerts and artifacts.")
        return Profile(name=name, title=self._text(where, table, "title"), systems=chosen)

    def _text(
        self, where: str, table: Mapping[str, Any], key: str, *, required: bool = False, most: int = MOST_TEXT
    ) -> str:
        value = table.get(key)
        if value is None:
            if required:
                self._fault(f"{where}.{key}", "this is missing.")
            return ""
        if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > most:
            self._fault(f"{where}.{key}", f"this must be a text of 1 to {most} printable characters.")
            return ""
        return value

    def _unknown(self, where: str, table: Mapping[str, Any], known: Iterable[str]) -> None:
        for key in table.keys() - set(known):
            place = f"{where}.{_shown(key)}" if where else _shown(key)
            self._fault(place, f"there is no such key; there are {', '.join(known)}.")

    def _note(self, where: str, found: tls_files.Found) -> None:
        for says in found.faults:
            self._fault(where, says)
        for says in found.warnings:
            self._warn(where, says)

    def _fault(self, where: str, says: str) -> None:
        self._faults.append(Finding(where, says))

    def _warn(self, where: str, says: str) -> None:
        self._warnings.append(Finding(where, says))


def url_fault(text: str) -> str:
    """What is wrong with a system's URL, as a sentence; empty if nothing is. Nothing of the URL is quoted."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "this is not a URL."
    if parts.scheme not in {"http", "https"}:
        return "a URL begins with http:// or https:// here."
    if "@" in parts.netloc:
        return "credentials do not belong into a URL; give token_file, header or basic."
    if "?" in text or "#" in text:
        return "a base URL has no query and no fragment."
    if not host or not text.isascii() or any(character.isspace() for character in text):
        return "this is not a URL."
    return ""


def table(keys: Iterable[Key]) -> list[str]:
    """The rows of a table in docs/sources.md: key, what it holds with bounds, meaning."""
    rows = []
    for one in keys:
        bounds = f", {one.least:g} to {one.most:g}" if one.least is not None and one.most is not None else ""
        rows.append(f"| `{one.name}` | {one.form}{bounds} | {one.meaning} |")
    return rows


def _is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in {"localhost", "127.0.0.1", "::1"}


def _shown(name: str) -> str:
    """A name from the file, safe to show on one line."""
    return name if name.isprintable() and len(name) <= 60 else repr(name[:60])
