"""The file of sources: what it may say, and one line for each fault."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import ERROR

from bundles.sources import configured, sources_file
from bundles.sources.faults import ALERTS, ARTIFACTS, TIMELINE
from bundles.sources.sources_file import SourcesFile
from bundles.timelines import rules
from orchestrator_site.configuration import source_checks
from tests.support.certificates import Authority

NOW = datetime.now(UTC)
SECRET = "s3cret-of-the-test"  # not one
WHOLE = """
[systems.north]
adapter = "ransomeye"
url = "https://north.example/api/"
token_file = "north.token"
ca_file = "authority.pem"
client_cert = "client.pem"
client_key = "client.key"
timeout_s = 7.5
requests_per_s = 20
page_records = 100
connections = 2
severities = "suricata"
times = {zone = "Europe/Berlin", numbers = "ms"}

[systems.south]
adapter = "ransomeye"
url = "http://127.0.0.1:9"
basic = {user = "robot", password_file = "north.token"}

[profiles.eu]
title = "Europe"
timeline = "north"
alerts = "north"
artifacts = "south"

[profiles.files]
artifacts = "south"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that `WHOLE` names."""
    Authority(tmp_path).sign("client")
    (tmp_path / "north.token").write_text(f"{SECRET}\n")
    (tmp_path / "north.token").chmod(0o600)
    return tmp_path


def read(folder: Path, text: str) -> SourcesFile:
    (folder / "sources.toml").write_text(text)
    return sources_file.read(folder / "sources.toml", timeout_s=30, now=NOW)


def lines(folder: Path, text: str) -> list[str]:
    return [str(one) for one in read(folder, text).faults]


def with_system(line: str) -> str:
    return f'[systems.a]\nadapter = "ransomeye"\nurl = "https://a.example"\n{line}\n[profiles.p]\nalerts = "a"\n'


def test_a_whole_file_gives_its_systems_and_profiles(folder: Path) -> None:
    found = read(folder, WHOLE)
    assert (found.faults, found.warnings) == ((), ())
    assert list(found.profiles) == ["eu", "files"]
    eu = found.profiles["eu"]
    north = eu.systems[TIMELINE]
    assert north == eu.systems[ALERTS]
    assert (north.url, north.timeout_s, north.requests_per_s) == ("https://north.example/api", 7.5, 20)
    assert (north.page_records, north.connections, north.severities) == (100, 2, "suricata")
    assert north.times == {"zone": "Europe/Berlin", "numbers": "ms"}
    assert north.credential is not None
    assert north.credential.secret() == SECRET
    assert north.client_cert == folder / "client.pem"
    assert eu.systems[ARTIFACTS].timeout_s == 30
    assert list(found.profiles["files"].systems) == [ARTIFACTS]
    assert SECRET not in repr(found)


def test_every_fault_of_a_file_is_named_in_one_pass(folder: Path) -> None:
    (folder / "open.token").write_text("two\nlines")
    text = """
        colour = "red"
        [systems.timeline]
        adapter = "ransomeye"
        [systems.A]
        adapter = "ransomeye"
        [systems.one]
        adapter = "nothing"
        url = "https://robot:s3cret-of-the-test@one.example"
        token_file = "absent.token"
        timeout_s = 0
        connections = 5
        page_records = 1.5
        severities = "richter"
        times = {zone = "Europe/Nowhere", numbers = "days", day = 1}
        speed = 9
        [systems.two]
        adapter = "ransomeye"
        url = "https://two.example/?key=s3cret-of-the-test"
        token_file = "open.token"
        header = {name = "X-Key", value_file = "north.token"}
        ca_file = "north.token"
        client_cert = "client.pem"
        client_key = "north.token"
        [systems.three]
        adapter = "ransomeye"
        url = "ftp://three.example"
        header = {name = "Host", value_file = "north.token"}
        client_key = "client.key"
        [systems.four]
        adapter = "ransomeye"
        url = "https://four.example"
        options = {depth = 3}
        basic = {user = "a:b"}
        [profiles.none]
        title = "Nothing"
        [profiles.some]
        timeline = "four"
        alerts = "five"
    """
    found = lines(folder, text)
    for expected in (
        "colour: there is no such key; there are systems, profiles.",
        "systems.timeline: this name is that of a service of the environment; choose another.",
        f"systems.A: {sources_file.NAME_RULE}",
        "systems.one.adapter: there is no adapter 'nothing'",
        "systems.one.url: credentials do not belong into a URL; give token_file, header or basic.",
        f"systems.one.token_file: {folder}/absent.token cannot be read (No such file or directory).",
        "systems.one.timeout_s: this must be a number from 1 to 3600.",
        "systems.one.connections: this must be a whole number from 1 to 4.",
        "systems.one.page_records: this must be a whole number from 1 to 100000.",
        "systems.one.severities: there is no such scale; there are cef, cvss, ",
        "systems.one.times.zone: this is no time zone",
        "systems.one.times.numbers: there is no such unit; there are s, ms, us, ns.",
        "systems.one.times.day: there is no such key; there are zone, numbers.",
        "systems.one.speed: there is no such key; there are adapter, url, ",
        "systems.two.url: a base URL has no query and no fragment.",
        "systems.two.header: token_file is given too; give one of token_file, header and basic.",
        f"systems.two.token_file: {folder}/open.token does not hold one line",
        f"systems.two.ca_file: the file holds no PEM certificate ({folder}/north.token).",
        f"systems.two.client_cert: there is no PEM private key ({folder}/north.token).",
        "systems.three.url: a URL begins with http:// or https:// here.",
        "systems.three.header.name: the orchestrator sets this header itself.",
        "systems.three.client_key: client_cert is missing.",
        "systems.four.options.depth: the adapter ransomeye has no such option.",
        "systems.four.basic.password_file: this is missing.",
        "profiles.none: it names no system; give at least one of timeline, alerts and artifacts.",
        "profiles.some.alerts: there is no system five; there are one, two, three, four.",
    ):
        assert any(line.startswith(expected) for line in found), f"{expected!r} is not in {found}"
    assert not any(SECRET in line or "\n" in line for line in found)
    assert read(folder, text).profiles == {}


def test_certificates_are_checked_before_a_system_is_asked(folder: Path) -> None:
    authority = Authority(folder, "another")
    authority.sign("expired", ends=timedelta(days=-1))
    authority.sign("ending", ends=timedelta(days=9))
    expired = lines(folder, with_system('client_cert = "expired.pem"\nclient_key = "expired.key"'))
    day = (NOW - timedelta(days=1)).strftime("%Y-%m-%d")
    assert expired == [f"systems.a.client_cert: the certificate expired on {day} ({folder}/expired.pem)."]
    [differs] = lines(folder, with_system('client_cert = "client.pem"\nclient_key = "ending.key"'))
    assert differs.startswith("systems.a.client_cert: the key does not belong to the certificate (")
    soon = read(folder, with_system('client_cert = "ending.pem"\nclient_key = "ending.key"'))
    assert soon.faults == ()
    assert [str(one).split(" on ")[0] for one in soon.warnings] == ["systems.a.client_cert: the certificate expires"]


def test_what_is_unwise_is_a_warning_and_no_fault(folder: Path) -> None:
    (folder / "north.token").chmod(0o644)
    text = with_system('token_file = "north.token"').replace("https:", "http:")
    found = read(folder, text + '[systems.idle]\nadapter = "ransomeye"\nurl = "https://idle.example"\n')
    assert found.faults == ()
    assert [str(one) for one in found.warnings] == [
        f"systems.a.token_file: every user of this host can access {folder}/north.token; run chmod 600 on it.",
        "systems.a.url: the credential is sent without TLS; use https.",
        "systems.idle: no profile uses it.",
    ]
    assert list(found.profiles) == ["p"]


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (None, "the file cannot be read ("),
        (b"\xff", "the file is not UTF-8 text."),
        (b"a = 1\nb = s3cret", "the file is not valid TOML, line 2, column 5."),
        (b"#" * (1024 * 1024 + 1), "the file is larger than 1 MiB."),
        (b"", "profiles: there is none; write at least one, such as [profiles.main]."),
        (b"systems = 1", "systems: this must be a table."),
    ],
)
def test_a_file_that_is_none_is_one_line(tmp_path: Path, raw: bytes | None, says: str) -> None:
    path = tmp_path / "sources.toml"
    if raw is not None:
        path.write_bytes(raw)
    found = sources_file.read(path, timeout_s=30, now=NOW)
    assert str(found.faults[0]).startswith(says)


def test_the_file_decides_and_the_services_of_the_environment_stay_where_they_are_named(
    folder: Path, settings: Any
) -> None:
    assert (list(configured.current().profiles), configured.current().default) == (["default"], "default")
    settings.ORCH_SOURCES_FILE = read(folder, WHOLE).path
    settings.ORCH_SOURCES_IN_ENVIRONMENT = False
    assert (list(configured.current().profiles), configured.current().default) == (["eu", "files"], "eu")
    settings.ORCH_SOURCES_IN_ENVIRONMENT = True
    assert (list(configured.current().profiles), configured.current().default) == (
        ["default", "eu", "files"],
        "default",
    )
    own = folder / "own.toml"
    own.write_text(WHOLE + '[profiles.default]\nalerts = "south"\n')
    settings.ORCH_SOURCES_FILE = own
    assert configured.current().get("").systems[ALERTS].name == "south"
    with pytest.raises(configured.ProfileUnknownError, match="'us'; there are default, eu, files"):
        configured.current().get("us")


def test_the_check_reads_the_file_anew_and_the_process_does_not(folder: Path, settings: Any) -> None:
    settings.ORCH_SOURCES_FILE = read(folder, WHOLE).path
    assert source_checks.sources_file(None) == []
    assert "files" in configured.current().profiles
    read(folder, WHOLE.replace("profiles.files", "profiles.others").replace("north.token", "gone.token"))
    found = source_checks.sources_file(None)
    assert [(one.id, one.level >= ERROR) for one in found] == [
        ("orch.E017", True), ("orch.E017", True), ("orch.W018", False),
    ]  # fmt: skip
    assert found[0].msg == (
        f"ORCH_SOURCES_FILE: systems.north.token_file: {folder}/gone.token cannot be read (No such file or directory)"
    )
    assert "files" in configured.current().profiles


def test_an_id_in_a_system_is_any_text_within_the_bound() -> None:
    for ref in ("42", "C.123/F.456", "~1234", "fall 7 \u202e", "x" * configured.MOST_REF_CHARS):
        assert configured.is_ref(ref), ref
    for other in ("", "  ", "a\nb", "a\x00", "\x9f", "\ud800", "x" * (configured.MOST_REF_CHARS + 1), 42, None):
        assert not configured.is_ref(other), other


def test_the_document_has_every_key_of_the_file() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "sources.md").read_text(encoding="utf-8")
    rows = [*sources_file.table(sources_file.SYSTEM_KEYS), *sources_file.table(sources_file.PROFILE_KEYS)]
    assert [row for row in rows if row not in text] == []
    for name in rules.scale_names():
        assert re.search(rf"# .*\b{name}\b", text), name
