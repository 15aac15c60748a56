"""What goes wrong between the adapter of Velociraptor and its server: one clear line for each, without its words."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from bundles.sources import faults
from bundles.sources.adapters.protocol import Wanted
from bundles.sources.adapters.velociraptor import api_client, options, tls
from bundles.sources.adapters.velociraptor.adapter import VelociraptorAdapter
from bundles.sources.limits import DEFAULT_LIMITS
from bundles.sources.profiles import Credential
from bundles.sources.trace import Tally
from jobs.errors import PermanentError, RetryableError
from tests.support.certificates import Issuer
from tests.support.velociraptor_server import CLIENT, FLOW, SERVER_NAME, StoredFlow, Velociraptor

REF = f"{CLIENT}/{FLOW}"
THEIRS = "words of the server, with its secret hunter2"
Code = grpc.StatusCode


@pytest.fixture
def server(tmp_path):
    with Velociraptor(tmp_path) as running:
        yield running


def ask(server, *, ref=REF, timeout_s=5, url="", limits=DEFAULT_LIMITS):
    """What a connection and the first queries say."""
    with VelociraptorAdapter(server.system(timeout_s=timeout_s, url=url), faults.ARTIFACTS, limits) as adapter:
        return adapter.offer(ref)


def error_of(server, **options):
    with pytest.raises((RetryableError, PermanentError)) as raised:
        ask(server, **options)
    text = str(raised.value)
    assert "hunter2" not in text
    assert "\n" not in text
    return raised.value, text


def abort(code):
    return lambda *given: given[-1].abort(code, THEIRS)


def test_a_sound_server_answers(server):
    server.add(StoredFlow())
    assert ask(server).records == 0


def test_the_url_of_the_system_wins_over_the_connection_string(server):
    server.add(StoredFlow())
    server.write_client(api_connection_string="127.0.0.1:1")
    assert ask(server, url=f"grpc://{server.place}").records == 0
    error, text = error_of(server)
    assert isinstance(error, RetryableError)
    assert "cannot be reached" in text


def test_proxies_of_the_environment_are_not_used(server, monkeypatch):
    for name in ("grpc_proxy", "https_proxy", "http_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server.add(StoredFlow())
    assert ask(server).records == 0


def test_a_server_certificate_of_another_authority_is_not_accepted(server):
    server.stop()
    server.start(authority=Issuer("another"))
    error, text = error_of(server)
    assert error.code == faults.MISCONFIGURED
    assert "the server's TLS certificate is not accepted" in text


def test_a_server_certificate_with_another_name_is_not_accepted(server):
    server.stop()
    server.start(name="velociraptor.example.org")
    assert "its name is not VelociraptorServer" in error_of(server)[1]


def test_the_pinned_name_of_the_file_is_the_one_that_counts(server):
    server.stop()
    server.start(name="Frontend01")
    server.write_client(pinned_server_name="Frontend01")
    server.add(StoredFlow())
    assert ask(server).records == 0


def test_an_expired_server_certificate_is_named(server):
    server.stop()
    server.start(days=-1)
    assert "expired" in error_of(server)[1]


def test_a_client_certificate_that_the_server_refuses_is_named(server):
    server.stop()
    server.start(trusted=Issuer("another"))
    error, text = error_of(server)
    assert error.code == faults.MISCONFIGURED
    assert "refuses the client certificate" in text


def test_a_refusal_that_comes_as_a_tls_alert_is_named_with_it(server):
    """As Go's servers send it; the gRPC server of these tests closes the connection without one."""
    certificate, key = server.authority.issue(SERVER_NAME, host=SERVER_NAME)
    (server.client_file.parent / "server.pem").write_bytes(certificate + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.client_file.parent / "server.pem")
    context.load_verify_locations(cadata=Issuer("another").pem.decode())
    context.verify_mode = ssl.CERT_REQUIRED
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as pool:

        def refuse() -> None:
            accepted, _ = listening.accept()
            with accepted, contextlib.suppress(ssl.SSLError):
                context.wrap_socket(accepted, server_side=True)

        refused = pool.submit(refuse)
        place = f"127.0.0.1:{listening.getsockname()[1]}"
        said = tls.fault(place, api_client.load(server.client_file), 5)
        refused.result()
    assert said.startswith("the server refuses the client certificate (")
    assert "UNKNOWN_CA" in said


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"days": -1}, "the client certificate in .* expired on 20"),
        ({"authority": Issuer("another")}, "is not from the CA in it"),
        ({"client_private_key": Issuer().issue("x")[1].decode()}, "is not the one of its certificate"),
        ({"client_private_key": "-----BEGIN ENCRYPTED PRIVATE KEY-----"}, "has a password"),
        ({"client_private_key": "hunter2"}, "the private key in .* cannot be read"),
        ({"client_cert": "hunter2"}, "a certificate in .* cannot be read"),
        ({"ca_certificate": None}, "has no ca_certificate"),
        ({"api_connection_string": None}, "has no api_connection_string"),
        ({"api_connection_string": "unix:/tmp/hunter2"}, "is not host:port"),
    ],
)
def test_a_client_file_that_cannot_be_used_is_named_with_what_to_do(server, changed, said):
    path = server.write_client(**changed)
    with pytest.raises(PermanentError, match=said) as raised:
        ask(server)
    assert raised.value.code == faults.MISCONFIGURED
    assert str(path) in str(raised.value)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "said"), [("a: [", "is not YAML"), ("- 1", "has no ca_"), (None, "cannot be read")]
)
def test_a_client_file_of_another_kind_is_refused(server, content, said):
    server.client_file.unlink()
    if content is not None:
        server.client_file.write_text(content)
    assert said in error_of(server)[1]


@pytest.mark.parametrize("code", [Code.PERMISSION_DENIED, Code.UNAUTHENTICATED])
def test_an_api_user_that_is_refused_is_told_the_role_that_it_needs(server, code):
    server.before_query = abort(code)
    error, text = error_of(server)
    assert error.code == faults.REJECTED
    assert "reader,api" in text


def test_a_plugin_that_denies_in_the_log_only_is_a_refusal_too(server):
    server.log_lines["flows"] = f"flows: PermissionDenied: Permission denied: [READ_RESULTS] {THEIRS}"
    error, text = error_of(server)
    assert error.code == faults.REJECTED
    assert "READ_RESULTS" in text


@pytest.mark.parametrize("ref", [f"{CLIENT}/F.none", "C.none/F.none", "H.none"])
def test_what_is_unknown_there_is_named(server, ref):
    error, text = error_of(server, ref=ref)
    assert error.code == faults.UNKNOWN
    assert ref in text


@pytest.mark.parametrize("ref", ["", "case-7", f"{CLIENT}", "F.1", f"{REF},", "H.1/F.1", "C.1/F.1' OR 1=1 --"])
def test_a_reference_that_is_none_is_refused_without_asking(server, ref):
    error, text = error_of(server, ref=ref)
    assert error.code == faults.REJECTED
    assert "C.…/F.…" in text
    assert server.queries == []


@pytest.mark.parametrize(
    ("line", "kind", "said"),
    [
        (f"VQL Error: {THEIRS}.", PermanentError, "too old"),
        (f"Plugin flows not found. {THEIRS}", PermanentError, "too old"),
        (f"collect: <red>Timeout Error:</> Collection timed out {THEIRS}", RetryableError, "longer than it allows"),
        (f"flows: datastore is away {THEIRS}", RetryableError, "failed half-way"),
    ],
)
def test_an_error_that_is_only_in_the_log_is_one(server, line, kind, said):
    server.log_lines["flows"] = line
    error, text = error_of(server)
    assert isinstance(error, kind)
    assert said in text


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        (Code.UNAVAILABLE, RetryableError, "cannot be reached"),
        (Code.INTERNAL, RetryableError, "cannot be reached"),
        (Code.DEADLINE_EXCEEDED, RetryableError, "did not answer in time"),
        (Code.UNIMPLEMENTED, PermanentError, "not the API of Velociraptor"),
        (Code.RESOURCE_EXHAUSTED, PermanentError, "page_records"),
        (Code.UNKNOWN, PermanentError, "gRPC status UNKNOWN"),
    ],
)
def test_each_status_is_one_clear_line(server, code, kind, said):
    server.before_query = abort(code)
    error, text = error_of(server)
    assert isinstance(error, kind)
    assert said in text


def test_a_server_that_is_down_can_be_asked_again(server):
    server.stop()
    error, text = error_of(server)
    assert isinstance(error, RetryableError)
    assert "cannot be reached" in text


def test_a_server_that_says_nothing_is_left_after_the_timeout(server):
    server.before_query = lambda _context: server.release.wait()
    error, text = error_of(server, timeout_s=0.3)
    assert isinstance(error, RetryableError)
    assert "did not answer in time" in text


def stop_in_the_list_of_flows(server, act):
    server.part_rows = 1
    server.hunts["H.1"] = {"hunt_id": "H.1", "state": "STOPPED"}
    server.hunt_flows["H.1"] = []
    for number in range(3):
        flow = server.add(StoredFlow(flow_id=f"F.{number}"))
        server.hunt_flows["H.1"].append(f"{flow.client_id}/{flow.flow_id}")
    server.before_part = lambda number, context: act(context) if number == 2 else None


def test_an_answer_that_stops_half_way_is_left_after_the_timeout(server):
    stop_in_the_list_of_flows(server, lambda _context: server.release.wait())
    error, text = error_of(server, ref="H.1", timeout_s=0.3)
    assert isinstance(error, RetryableError)
    assert "stopped sending half-way" in text


def test_an_answer_that_is_cut_is_never_taken_for_a_whole_one(server):
    stop_in_the_list_of_flows(server, abort(Code.UNAVAILABLE))
    error, text = error_of(server, ref="H.1")
    assert isinstance(error, RetryableError)
    assert "broke off half-way" in text


@pytest.mark.parametrize(
    ("raw", "said"),
    [('{"a":NaN}', "field a: .*NaN"), ('{"a":1,"a":2}', "twice"), ('"text"', "not an object"), ('{"a":1e}', "")],
)
def test_one_bad_row_is_named_and_with_a_partial_bundle_left_out_alone(server, raw, said, tmp_path):
    rows = ['{"n":1}', raw, '{"n":3}']
    server.add(StoredFlow(rows={"Windows.A": rows}, context={"query_stats": []}))
    with pytest.raises(PermanentError, match=f"(?s)record 2.*{said}") as raised:
        artifacts_of(server, tmp_path)
    assert raised.value.code == faults.INVALID
    again = tmp_path / "again"
    again.mkdir()
    part, records = artifacts_of(server, again, allow_partial=True)
    (gap,) = part.left_out
    assert "results/Windows.A.json" in gap
    (kept,) = [record.handle["file"] for record in records if record.name == "results/Windows.A.json"]
    assert kept.read_text() == '{"n":1}\n{"n":3}\n'


def test_one_bad_alert_is_left_out_alone_too(server, tmp_path):
    rule = {"artifact": "Windows.*", "part": "alerts"}
    rows = ['{"n":1}', '{"n":NaN}', '{"n":3}']
    server.add(StoredFlow(rows={"Windows.A": rows}, context={"query_stats": []}))
    with VelociraptorAdapter(server.system(rows=[rule]), faults.ALERTS, DEFAULT_LIMITS) as adapter:
        part = adapter.alerts(wanted_of(tmp_path, allow_partial=True))
    (gap,) = part.left_out
    assert f"row {REF}/Windows.A/2: field n" in gap
    assert part.count == 2


def test_an_answer_that_is_no_list_is_refused(server):
    server.add(StoredFlow())
    server.answer = "{}"
    error, text = error_of(server)
    assert error.code == faults.INVALID
    assert "its rows were refused" in text


def wanted_of(staging: Path, *, allow_partial: bool = False) -> Wanted:
    tally = Tally(lambda _: None, lambda: None)
    return Wanted(incident_id="case-7", ref=REF, staging=staging, tally=tally, allow_partial=allow_partial)


def artifacts_of(server, staging: Path, *, allow_partial: bool = False):
    with VelociraptorAdapter(server.system(), faults.ARTIFACTS, DEFAULT_LIMITS) as adapter:
        return adapter.artifacts(wanted_of(staging, allow_partial=allow_partial))


def test_more_bytes_of_a_file_than_asked_for_are_refused(server, tmp_path):
    flow = server.add(StoredFlow())
    server.upload(flow, "/a", b"1234")
    server.surplus = b"more"
    with pytest.raises(PermanentError, match="more bytes of a file than it was asked for"):
        artifacts_of(server, tmp_path)


def test_the_key_is_in_no_log_and_no_representation(server, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    server.before_query = abort(Code.UNAVAILABLE)
    key = server.client_file.read_text().partition("PRIVATE KEY-----")[2].split()[0]
    assert error_of(server)[0].code == faults.UNAVAILABLE
    seen = repr(api_client.load(server.client_file))
    assert "VelociraptorServer" in seen
    assert key not in seen + caplog.text + "".join(capfd.readouterr())


def faults_of(server, **changed):
    return VelociraptorAdapter.faults_of(replace(server.system(), **changed))


def test_the_checks_name_each_wrong_option(server):
    file = {"api_client_file": str(server.client_file)}
    rule = {"artifact": "Windows.*", "part": "alerts", "time": "EventTime"}
    assert faults_of(server, options=file | {"rows": [rule]}, url="grpc://[::1]:8001") == []
    wrong: dict[str, dict[str, Any]] = {
        "url": {"url": "https://velociraptor.example:8001"},
        "client_cert": {"client_cert": Path("/a.pem")},
        "credential": {"credential": Credential(kind="bearer", secret_file=Path("/token"))},
        "options.api_client_file": {"options": {"api_client_file": "relative.yaml"}},
        "options.api_client_file: /none cannot be read": {"options": {"api_client_file": "/none"}},
        "options.org": {"options": file | {"org": 3}},
        "options.results": {"options": file | {"results": "some"}},
        "options.most_flows": {"options": file | {"most_flows": 0}},
        "options.rows": {"options": file | {"rows": {}}},
        "options.rows 1: it is not": {"options": file | {"rows": [{"artifact": 1}]}},
        "options.rows 1: it needs": {"options": file | {"rows": [{"artifact": "A", "part": "artifacts"}]}},
        "options.rows 2: there is no tiem": {"options": file | {"rows": [rule, rule | {"tiem": "x"}]}},
        "options.colour": {"options": file | {"colour": "red"}},
    }
    for name, changed in wrong.items():
        (fault,) = faults_of(server, **changed)
        assert fault.startswith(name), name


def test_the_adapter_names_itself_where_the_extra_is_not_installed(server, monkeypatch):
    monkeypatch.setattr(options, "MODULES", ("grpc_that_is_not_here", "google.not_here", "yaml"))
    said = "pip install -r requirements-velociraptor.txt"
    assert [said in fault for fault in faults_of(server)] == [True]
    error, text = error_of(server)
    assert error.code == faults.MISCONFIGURED
    assert said in text


def test_a_part_without_a_rule_says_which_table_to_add(server, tmp_path):
    with (
        VelociraptorAdapter(server.system(), faults.ALERTS, DEFAULT_LIMITS) as adapter,
        pytest.raises(PermanentError, match=r'no table of options.rows has part = "alerts"'),
    ):
        adapter.alerts(wanted_of(tmp_path))
