"""Parses environment variables one by one, collects the errors, and records where each value came from.

`configuration.env` declares the variables. For a secret only whether it is set is recorded, so that no page can show
its value.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"0", "false", "no", "off"})
SECRET_NAME = re.compile(r"SECRET|PASS|TOKEN|CREDENTIAL|_KEY$")


class Given(NamedTuple):
    """The value of a variable and its origin.

    Attributes:
        name: the variable.
        origin: `environment`, `file` (named by `<name>_FILE`) or `default`.
        is_set: whether it has a value, from any origin.
        value: as written; always empty for a secret.
    """

    name: str
    origin: str
    is_set: bool
    value: str


def is_secret(name: str) -> bool:
    """Whether the value of the variable `name` must not be shown; decided by its name, so that none is forgotten."""
    return SECRET_NAME.search(name) is not None


def _as_written(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(value) if isinstance(value, tuple) else "" if value in ({}, None) else str(value)


class SettingsError(Exception):
    """One or more environment variables are wrong; `lines` has one line for each."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


class Reader:
    """Reads variables one by one and collects all errors, so that one start reports all of them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.faults: list[str] = []
        self.given: dict[str, Given] = {}

    def text(self, name: str, default: str = "") -> str:
        """The value of `name`, or the content of the file named by `<name>_FILE`, or `default`."""
        file_name = self.environ.get(f"{name}_FILE", "")
        if file_name:
            if self.environ.get(name):
                self.faults.append(f"{name}: set either {name} or {name}_FILE, not both")
            try:
                value = Path(file_name).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                self.faults.append(f"{name}_FILE: cannot be read ({type(error).__name__})")
                return default
            self._note(name, "file", value)
            return value
        value = self.environ.get(name, "")
        self._note(name, "environment" if value else "default", value or default)
        return value or default

    def _note(self, name: str, origin: str, value: object) -> None:
        self.given[name] = Given(name, origin, bool(value), "" if is_secret(name) else _as_written(value))

    def parsed(self, name: str, default: T, parse: Callable[[str], T], expected: str) -> T:
        """`parse(value)`, or `default` when unset; a value that does not parse is a fault."""
        value = self.text(name)
        if not value:
            self._note(name, "default", default)
            return default
        try:
            return parse(value)
        except ValueError:
            self.faults.append(f"{name}: expected {expected}")
            return default

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        """An integer from `low` to `high`."""

        def parse(value: str) -> int:
            number = int(value)
            if not low <= number <= high:
                raise ValueError(value)
            return number

        return self.parsed(name, default, parse, f"a whole number from {low} to {high}")

    def flag(self, name: str, *, default: bool) -> bool:
        """A yes/no value."""

        def parse(value: str) -> bool:
            word = value.lower()
            if word not in TRUE_WORDS | FALSE_WORDS:
                raise ValueError(value)
            return word in TRUE_WORDS

        return self.parsed(name, default, parse, "true or false")

    def choice(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        """One of `allowed`."""

        def parse(value: str) -> str:
            if value not in allowed:
                raise ValueError(value)
            return value

        return self.parsed(name, default, parse, "one of " + ", ".join(allowed))

    def url(self, name: str, default: str) -> str:
        """An http(s) URL with a host and without credentials, query or fragment; no trailing slash."""

        def parse(value: str) -> str:
            parts = urlsplit(value)
            if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
                raise ValueError(value)
            if parts.username or parts.password:
                raise ValueError(value)
            _ = parts.port
            return value.rstrip("/")

        return self.parsed(name, default, parse, "an http or https URL with a host and without credentials")

    def words(self, name: str, default: tuple[str, ...]) -> tuple[str, ...]:
        """A comma-separated list."""
        value = self.text(name)
        if not value:
            self._note(name, "default", default)
        return tuple(word.strip() for word in value.split(",") if word.strip()) or default

    def limits(self, name: str) -> dict[str, int]:
        """A comma-separated list of `type=number`, each number from 1 to 32,767."""

        def parse(value: str) -> dict[str, int]:
            pairs = [word.strip().partition("=") for word in value.split(",") if word.strip()]
            found = {key.strip(): int(number) for key, _, number in pairs}
            if not all(key and 1 <= number <= 32_767 for key, number in found.items()):
                raise ValueError(value)
            return found

        return self.parsed(name, {}, parse, "a list such as bundle_create=2,rehydrate=1")

    def path(self, name: str, default: Path | None) -> Path | None:
        """An absolute path; a relative one is taken from the current directory."""

        def parse(value: str) -> Path | None:
            try:
                return Path(value).expanduser().absolute()
            except RuntimeError as error:  # ~name of an unknown user
                raise ValueError(value) from error

        return self.parsed(name, default, parse, "a path")

    def address(self, name: str, default: str) -> str:
        """An IP address of this host, or `localhost`; 0.0.0.0 and :: mean all of them."""

        def parse(value: str) -> str:
            return value if value == "localhost" else str(ipaddress.ip_address(value.strip("[]")))

        return self.parsed(name, default, parse, "an IP address or localhost")
