"""The custody chain: each event names the one before, the database keeps it so, and any tampering is found."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from bundles import services as bundle_services
from custody import chain
from custody.models import Event
from foundation.errors import AccessDeniedError
from foundation.principal import SYSTEM, Principal, of_user, shell
from jobs.models import Job

pytestmark = pytest.mark.django_db


def tell(count: int = 4) -> list[dict[str, Any]]:
    """Some events, as exported."""
    for number in range(count):
        chain.record(SYSTEM, "bundle.verify", "bundle", f"b-{number}", details={"n": number})
    return exported()


def exported() -> list[dict[str, Any]]:
    return list(chain.export(Event.objects.order_by("sequence")))


def test_an_empty_chain_is_intact():
    report = chain.verify()
    assert (report.intact, report.events, report.last_hash) == (True, 0, chain.GENESIS)


def test_each_event_names_the_hash_of_the_one_before():
    events = tell()
    assert [event["sequence"] for event in events] == [1, 2, 3, 4]
    assert [event["previous_hash"] for event in events] == [chain.GENESIS, *(event["hash"] for event in events[:-1])]
    report = chain.verify()
    assert (report.intact, report.events, report.last_sequence, report.last_hash) == (True, 4, 4, events[-1]["hash"])
    assert report.last_at == events[-1]["at"]


@pytest.mark.parametrize("field", chain.HASHED_FIELDS)
def test_a_change_of_any_field_is_found(field):
    events = tell()
    events[2][field] = 9 if field == "sequence" else events[2][field] + "x"
    report = chain.verify_exported(events)
    assert (report.intact, report.last_sequence) == (False, 2)
    assert "3" in report.fault


def test_a_change_with_its_hash_made_right_is_found_at_the_next_event():
    events = tell()
    events[1]["actor"] = "somebody else"
    events[1]["hash"] = chain.event_hash(events[1])
    report = chain.verify_exported(events)
    assert (report.intact, report.last_sequence) == (False, 2)


def test_a_chain_whose_end_was_cut_off_is_intact_and_only_its_last_hash_shows_it():
    whole = tell()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # as the database's owner may
        cursor.execute("DELETE FROM orchestrator_custody WHERE sequence > 2")
    report = chain.verify()
    assert (report.intact, report.last_sequence) == (True, 2)
    assert report.last_hash != whole[-1]["hash"]


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a_missing_event_before_the_last_is_found(gone):
    events = tell()
    del events[gone]
    report = chain.verify_exported(events)
    assert (report.intact, report.last_sequence) == (False, gone)
    assert "missing" in report.fault


def test_events_in_another_order_are_found():
    events = tell()
    assert not chain.verify_exported([events[1], events[0], *events[2:]]).intact


@pytest.mark.parametrize("field", [*chain.HASHED_FIELDS, "hash"])
def test_an_event_that_lacks_a_field_is_a_fault_and_no_crash(field):
    events = tell()
    del events[1][field]
    report = chain.verify_exported(events)
    assert (report.intact, report.last_sequence) == (False, 1)


@pytest.mark.parametrize("value", [None, True, 2.0, "2", [], {}])
def test_a_sequence_of_another_type_is_a_fault(value):
    events = tell()
    events[1]["sequence"] = value
    events[1]["hash"] = chain.event_hash(events[1])
    assert not chain.verify_exported(events).intact


def test_names_that_cannot_be_stored_as_they_are_are_told_all_the_same():
    odd = Principal(name="eve\x00\ud800", authenticated_by="token", address="::1\x00")
    chain.record(odd, "bundle.download", "bundle", "b\x00\udfff", incident_id="i\x00", details={"n": "\x00\ud800"})
    event = Event.objects.get()
    assert "\x00" not in event.actor + event.object_id + event.incident_id + event.address
    assert json.loads(event.details) == {"n": "\x00\ud800"}
    assert chain.verify().intact


INSERT = """
INSERT INTO orchestrator_custody
SELECT {sequence}, at, actor, authenticated_by, address, action, object_type, object_id, incident_id, digest, outcome,
    details, {previous}, repeat('a', 64)
FROM orchestrator_custody WHERE sequence = 4"""


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE orchestrator_custody SET actor = 'eve'",
        "UPDATE orchestrator_custody SET sequence = sequence",
        "DELETE FROM orchestrator_custody",
        "TRUNCATE orchestrator_custody",
        "TRUNCATE orchestrator_custody CASCADE",
        INSERT.format(sequence=9, previous="hash"),
        INSERT.format(sequence=5, previous="previous_hash"),
    ],
    ids=["change", "touch", "delete", "truncate", "truncate all", "leave a gap", "fork"],
)
def test_the_database_itself_refuses_to_change_the_record(statement):
    before = tell()
    refused = pytest.raises(DatabaseError, match=r"append-only|does not follow|permission denied")
    with refused, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert exported() == before


def test_django_cannot_change_or_delete_an_event_either():
    tell(1)
    event = Event.objects.get()
    for change in (event.save, event.delete, lambda: Event.objects.update(actor="eve")):
        with pytest.raises(DatabaseError), transaction.atomic():
            change()
    assert chain.verify().intact


def test_what_was_changed_behind_the_databases_back_is_found():
    tell()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE orchestrator_custody SET outcome = 'nothing to see' WHERE sequence = 2")
        cursor.execute("SET LOCAL session_replication_role = origin")
    report = chain.verify()
    assert (report.intact, report.last_sequence) == (False, 1)
    assert "event 2" in report.fault


def test_an_event_is_rolled_back_with_its_deed():
    tell(1)
    with transaction.atomic():
        bundle_services.request_bundle(SYSTEM, incident_id="x")
        assert (Event.objects.count(), Job.objects.count()) == (2, 1)
        transaction.set_rollback(True)
    assert (Event.objects.count(), Job.objects.count()) == (1, 0)
    tell(1)
    assert (chain.verify().intact, Event.objects.count()) == (True, 2)


def test_a_deed_is_undone_when_it_cannot_be_told(monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise DatabaseError("no line today")

    monkeypatch.setattr(chain, "record", broken)
    with pytest.raises(DatabaseError):
        bundle_services.request_bundle(SYSTEM, incident_id="x")
    assert not Job.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_many_that_tell_at_once_make_one_chain():
    def tell_some() -> None:
        for _ in range(10):
            chain.record(SYSTEM, "bundle.verify", "bundle", "b")
        connection.close()

    threads = [threading.Thread(target=tell_some) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report = chain.verify()
    assert (report.intact, report.events) == (True, 40)


def test_a_principal_may_what_its_permissions_say_and_nothing_else():
    one = Principal(name="a", authenticated_by="token", permissions=frozenset({"bundles.view_bundle"}))
    one.require("bundles.view_bundle")
    for permission in ("bundles.create_bundle", "bundles.view_bundle ", "view_bundle", ""):
        with pytest.raises(AccessDeniedError):
            one.require(permission)
    with pytest.raises(AccessDeniedError):
        Principal(name="b", authenticated_by="token").require("bundles.view_bundle")
    assert SYSTEM.may("anything")
    assert shell("root").may("anything")
    assert shell("root").name == "cli:root"


def test_an_inactive_or_unknown_user_may_nothing(django_user_model):
    from django.contrib.auth.models import AnonymousUser

    user = django_user_model.objects.create_superuser("root", password="x" * 20)
    assert of_user(user, authenticated_by="session", address="::1").may("bundles.view_bundle")
    user.is_active = False
    for nobody in (user, AnonymousUser()):
        principal = of_user(nobody, authenticated_by="session", address="::1")
        assert (principal.name, principal.permissions, principal.address) == ("anonymous", frozenset(), "::1")
