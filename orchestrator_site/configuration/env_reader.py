"""Reads declared settings from the environment: parses each, collects what is wrong, and remembers where it came from.

`configuration.env` declares the settings. Of a secret only whether it is set is remembered, so that no page that shows
the settings can show its value.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"0", "false", "no", "off"})
SECRET_NAME = re.compile(r"SECRET|PASS|TOKEN|CREDENTIAL|_KEY$")


class Given(NamedTuple):
    """A variable as it is in force.

    Attributes:
        name: the variable.
        origin: `environment`, `file` (named by `<name>_FILE`) or `default`.
        is_set: it has a value, whichever its origin.
        value: as it was written; always empty for a secret.
    """

    name: str
    origin: str
    is_set: bool
    value: str


def is_secret(name: str) -> bool:
    """Whether the value of the variable `name` must never be shown; decided by its name, so none can be forgotten."""
    return SECRET_NAME.search(name) is not None


class SettingsError(Exception):
    """One or more environment variables are wrong; `lines` names each in one sentence."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


class MissingError(Exception):
    """Raised by a default: the variable must be set. The message says why, and in which form."""


@dataclass(frozen=True)
class Kind:
    """What a value may be: `parse` raises ValueError for anything else, and `expected` says what that is."""

    expected: str
    parse: Callable[[str], Any]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting, declared once.

    Attributes:
        name: the variable.
        kind: what its value may be.
        default: the value without the variable; a callable is given the settings declared before it, by attribute,
            and may raise `MissingError`.
        meaning: one phrase, for the page and the documentation.
        default_in_words: for the documentation, where the default is not a plain value.
    """

    name: str
    kind: Kind
    default: Any
    meaning: str
    default_in_words: str = ""


def setting(name: str, kind: Kind, default: Any, meaning: str, default_in_words: str = "") -> Any:
    """Declare a setting as a field of a dataclass."""
    declared = Setting(name=name, kind=kind, default=default, meaning=meaning, default_in_words=default_in_words)
    return field(metadata={"setting": declared})


class Reader:
    """Reads settings one by one and collects what is wrong, so that one start names every fault."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.faults: list[str] = []
        self.given: list[Given] = []

    def read(self, declared: Setting, known: Mapping[str, Any]) -> Any:
        """The value of a setting, or its default; None where there is neither, which is a fault."""
        origin, text = self._text(declared.name)
        value = self._parse(declared, text) if text else None
        if value is None:
            origin, value = "default", self._default(declared, known, quietly=bool(text))
        written = _as_written(value) if origin == "default" else text
        self.given.append(Given(declared.name, origin, bool(written), "" if is_secret(declared.name) else written))
        return value

    def _parse(self, declared: Setting, text: str) -> Any:
        """The value, or None after noting a fault."""
        try:
            return declared.kind.parse(text)
        except ValueError:
            self.faults.append(f"{declared.name}: expected {declared.kind.expected}")
            return None

    def _default(self, declared: Setting, known: Mapping[str, Any], *, quietly: bool = False) -> Any:
        try:
            return declared.default(known) if callable(declared.default) else declared.default
        except MissingError as missing:
            if not quietly and not any(fault.startswith(declared.name) for fault in self.faults):
                self.faults.append(f"{declared.name}: {missing}")
            return None

    def _text(self, name: str) -> tuple[str, str]:
        """Where the value of `name` comes from, and the value: the variable's, or that of the file `<name>_FILE`."""
        file_name = self._environ.get(f"{name}_FILE", "")
        if not file_name:
            value = self._environ.get(name, "")
            return ("environment" if value else "default"), value
        if self._environ.get(name):
            self.faults.append(f"{name}: set either {name} or {name}_FILE, not both")
        try:
            return "file", Path(file_name).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            self.faults.append(f"{name}_FILE: cannot read it ({type(error).__name__})")
            return "default", ""


def _as_written(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(value) if isinstance(value, tuple) else "" if value in ({}, None) else str(value)


TEXT = Kind("text", str)


def whole(low: int, high: int) -> Kind:
    """An integer from `low` to `high`."""

    def parse(value: str) -> int:
        number = int(value)
        if not low <= number <= high:
            raise ValueError(value)
        return number

    return Kind(f"a whole number from {low} to {high}", parse)


def choice(*allowed: str) -> Kind:
    """One of `allowed`."""

    def parse(value: str) -> str:
        if value not in allowed:
            raise ValueError(value)
        return value

    return Kind("one of " + ", ".join(allowed), parse)


def _flag(value: str) -> bool:
    word = value.lower()
    if word not in TRUE_WORDS | FALSE_WORDS:
        raise ValueError(value)
    return word in TRUE_WORDS


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(value)
    if parts.username or parts.password:
        raise ValueError(value)
    _ = parts.port
    return value.rstrip("/")


def _words(value: str) -> tuple[str, ...]:
    words = tuple(word.strip() for word in value.split(",") if word.strip())
    if not words:
        raise ValueError(value)
    return words


def _limits(value: str) -> dict[str, int]:
    pairs = [word.strip().partition("=") for word in value.split(",") if word.strip()]
    found = {key.strip(): int(number) for key, _, number in pairs}
    if not all(key and 1 <= number <= 32_767 for key, number in found.items()):
        raise ValueError(value)
    return found


def _path(value: str) -> Path:
    try:
        return Path(value).expanduser().absolute()
    except RuntimeError as error:  # ~name of an unknown user
        raise ValueError(value) from error


def _address(value: str) -> str:
    return value if value == "localhost" else str(ipaddress.ip_address(value.strip("[]")))


FLAG = Kind("true or false", _flag)
URL = Kind("an http or https URL with a host and without credentials", _url)  # kept without a trailing slash
WORDS = Kind("a comma-separated list", _words)
LIMITS = Kind("a list such as bundle_create=2,rehydrate=1", _limits)
PATH = Kind("a path", _path)  # a relative one is taken from the current directory
ADDRESS = Kind("an IP address or localhost", _address)  # 0.0.0.0 and :: mean all of this host
DATE = Kind("a date, YYYY-MM-DD", date.fromisoformat)
