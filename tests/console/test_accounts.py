"""One's own account: signing in and being kept out, passwords, sessions that end, signing out everywhere."""

from __future__ import annotations

import time
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from knox.models import AuthToken

from custody import chain
from custody.models import Event
from foundation.principal import SYSTEM
from orchestrator_site.accounts import session_age
from orchestrator_site.accounts.account_pages import browser_of
from orchestrator_site.accounts.sign_in import REFUSED
from orchestrator_site.models import Choices, ConsoleSession
from tests.support import console_rows as rows

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("orch")]

PASSWORD = "a long enough password"
NEW = "quite another long password"


class QuickHasher(PBKDF2PasswordHasher):
    """The product's hasher at a fraction of its cost: these tests sign in some hundred times."""

    iterations = 100


@pytest.fixture(autouse=True)
def _quick_hasher(settings: Any) -> None:
    settings.PASSWORD_HASHERS = [f"{__name__}.QuickHasher"]


@pytest.fixture
def analyst() -> User:
    return rows.user("analyst", "ana", PASSWORD)


class Visitor(Client):
    """A browser, and what the last try to sign in was answered."""

    answer: Any = None


def sign_in(name: str = "ana", password: str = PASSWORD, *, address: str = "192.0.2.7", **headers: str) -> Visitor:
    client = Visitor(REMOTE_ADDR=address, headers=headers or None)
    client.answer = client.post(reverse("sign-in"), {"username": name, "password": password})
    return client


def is_in(client: Client) -> bool:
    return client.get(reverse("account-page")).status_code == 200


def fail(times: int, name: str = "ana", **options: str) -> None:
    for _ in range(times):
        assert not is_in(sign_in(name, "wrong", **options))


def deeds() -> list[str]:
    return list(Event.objects.order_by("sequence").values_list("action", flat=True))


def lasts(client: Client, name: str, seconds: float) -> None:
    """Put a stamp of the client's session so many seconds into the past."""
    session = client.session
    session[name] = time.time() - seconds
    session.save()


def test_after_five_failures_the_right_password_is_refused_with_the_very_same_page(analyst):
    fail(4)
    assert is_in(sign_in())
    fail(5)
    locked, wrong = sign_in(), sign_in("ana", "wrong")
    absent = sign_in("nobody", "wrong")
    assert not is_in(locked)
    pages = [client.answer for client in (locked, wrong, absent)]
    assert {page.status_code for page in pages} == {200}
    texts = [
        page.content.decode().replace(str(page.context["csrf_token"]), "").replace('value="nobody"', 'value="ana"')
        for page in pages
    ]
    assert texts[0] == texts[1] == texts[2]
    assert REFUSED in texts[0]
    assert "After 5 failures in a row, sign-in is refused for 15 minutes" in texts[0]


def test_a_locked_name_costs_a_password_hash_like_any_other_failure(analyst, monkeypatch):
    hashed: list[str] = []
    original = PBKDF2PasswordHasher.encode

    def encode(self: Any, *given: Any, **named: Any) -> str:
        hashed.append("once")
        return original(self, *given, **named)

    monkeypatch.setattr(PBKDF2PasswordHasher, "encode", encode)
    costs = []
    fail(5)
    for name in ("ana", "nobody"):
        hashed.clear()
        sign_in(name, "wrong")
        costs.append(len(hashed))
    assert costs == [1, 1]


def test_a_lockout_holds_for_one_address_and_one_name_only(analyst):
    rows.user("viewer", "vic", PASSWORD)
    fail(5)
    assert not is_in(sign_in())
    assert is_in(sign_in(address="192.0.2.8"))
    assert is_in(sign_in("vic"))


def test_no_header_moves_a_failure_to_another_address(analyst):
    for number in range(5):
        sign_in("ana", "wrong", **{"X-Forwarded-For": f"198.51.100.{number}", "X-Real-IP": f"198.51.100.{number}"})
    assert not is_in(sign_in())
    assert set(AccessAttempt.objects.values_list("ip_address", flat=True)) == {"192.0.2.7"}


def test_another_browser_does_not_start_the_count_afresh(analyst):
    for number in range(5):
        sign_in("ana", "wrong", **{"User-Agent": f"browser {number}"})
    assert not is_in(sign_in())


def test_a_peer_without_an_address_is_throttled_too(analyst):
    for _ in range(5):
        sign_in("ana", "wrong", address="")
    assert not is_in(sign_in(address=""))
    assert is_in(sign_in())


def test_a_lockout_ends_after_the_cool_off_whatever_was_tried_meanwhile(analyst):
    fail(5)
    fail(3)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE axes_accessattempt SET attempt_time = attempt_time - interval '16 minutes'")
    assert is_in(sign_in())
    assert not AccessAttempt.objects.exists()


def test_what_was_typed_as_a_password_is_stored_nowhere(analyst):
    fail(2)
    sign_in("ana", "sentinel-password")
    client = sign_in()
    client.post(
        reverse("account-page"),
        {"old_password": "sentinel-old", "new_password1": "sentinel-new", "new_password2": "sentinel-new"},
    )
    stored = str(list(AccessAttempt.objects.values())) + str(list(Event.objects.values()))
    assert "failures_since_start" in stored
    assert "sentinel" not in stored


def test_a_lockout_is_told_to_custody_once_and_of_users_who_exist(analyst, caplog):
    fail(8)
    fail(8, "hunter2-typed-in-the-wrong-field")
    events = Event.objects.filter(action="user.lock_out")
    assert [(event.object_id, event.outcome, event.address) for event in events] == [
        ("ana", "too_many_failures", "192.0.2.7")
    ]
    assert "sign-in locked for ana from 192.0.2.7" in caplog.text
    assert "an unknown name" in caplog.text
    assert "hunter2" not in caplog.text


def test_an_operator_unlocks_with_a_command_and_custody_knows(analyst):
    fail(5)
    out = StringIO()
    call_command("unlock_sign_in", "ana", stdout=out)
    assert out.getvalue() == "unlocked\n"
    assert is_in(sign_in())
    assert "user.unlock" in deeds()
    call_command("unlock_sign_in", "ana", stdout=(again := StringIO()))
    assert "no failed sign-in" in again.getvalue()


def test_the_admin_has_no_door_of_its_own():
    rows.user("operator", "olga", PASSWORD)
    stranger = Client()
    answer = stranger.post(
        reverse("admin:login") + "?next=/admin/jobs/job/", {"username": "olga", "password": PASSWORD}
    )
    assert answer.status_code == 302
    assert answer["Location"] == f"{reverse('sign-in')}?next=/admin/jobs/job/"
    assert not is_in(stranger)
    olga = sign_in("olga")
    assert olga.get(reverse("admin:index")).status_code == 200


def test_who_may_not_enter_the_admin_is_told_so_and_not_sent_round(analyst):
    answer = sign_in().get(reverse("admin:index"), follow=True)
    assert answer.status_code == 403
    assert "operators and administrators" in answer.content.decode()


def test_custody_records_who_came_and_who_left(analyst):
    client = sign_in()
    client.post(reverse("sign-out"))
    Client().post(reverse("sign-out"))
    assert deeds() == ["user.sign_in", "user.sign_out"]
    event = Event.objects.get(action="user.sign_in")
    assert (event.actor, event.authenticated_by, event.address) == ("ana", "session", "192.0.2.7")


def test_a_tab_left_open_is_signed_out_although_its_live_parts_go_on_asking(analyst):
    client = sign_in()
    lasts(client, session_age.SEEN, 29 * 60)
    assert client.get(reverse("home"), headers={"HX-Request": "true"}).status_code == 200
    assert client.get(reverse("home"), headers={"Sec-Fetch-Mode": "cors"}).status_code == 200
    assert time.time() - client.session[session_age.SEEN] > 28 * 60
    lasts(client, session_age.SEEN, 31 * 60)
    answer = client.get(
        reverse("home"),
        headers={"HX-Request": "true", "HX-Current-URL": "http://testserver/console/jobs?status=failed"},
    )
    assert answer.status_code == 204
    wanted = f"{reverse('sign-in')}?next=/console/jobs%3Fstatus%3Dfailed&ended=idle"
    assert answer["HX-Redirect"] == wanted
    assert "signed out after 30 minutes without activity" in client.get(wanted).content.decode()
    assert not is_in(client)
    assert not ConsoleSession.objects.filter(user=analyst).exists()


def test_going_to_a_page_keeps_a_session_alive(analyst):
    client = sign_in()
    lasts(client, session_age.SEEN, 29 * 60)
    assert is_in(client)
    assert time.time() - client.session[session_age.SEEN] < 60


def test_no_activity_carries_a_session_beyond_its_age(analyst):
    client = sign_in()
    lasts(client, session_age.BEGAN, 8 * 3600 + 5)
    answer = client.get(reverse("home"))
    assert answer["Location"].endswith("?next=/")
    again = sign_in()
    row = ConsoleSession.objects.get(user=analyst)
    assert (row.expire_date - row.began_at).total_seconds() <= 8 * 3600  # type: ignore[operator]
    lasts(again, session_age.SEEN, 60)
    assert is_in(again)
    row.refresh_from_db()
    assert (row.expire_date - row.began_at).total_seconds() <= 8 * 3600  # type: ignore[operator]


def test_a_session_without_its_times_has_ended(analyst):
    client = sign_in()
    session = client.session
    del session[session_age.SEEN]
    session.save()
    assert not is_in(client)


def test_a_session_that_has_ended_serves_the_api_no_more(analyst):
    client = sign_in()
    assert client.get("/jobs").status_code == 200
    lasts(client, session_age.SEEN, 31 * 60)
    assert client.get("/jobs").status_code == 401


def test_the_account_page_shows_role_and_sessions(analyst):
    client = sign_in(**{"User-Agent": "A browser <b>"})
    text = client.get(reverse("account-page")).content.decode()
    assert "<b>analyst</b>" in text
    assert "192.0.2.7" in text
    assert "A browser &lt;b&gt;" in text
    home = client.get(reverse("home")).content.decode()
    assert f'href="{reverse("account-page")}"' in home


def test_sessions_of_an_earlier_password_are_not_shown_as_alive(analyst):
    sign_in(address="192.0.2.99")
    analyst.set_password(NEW)
    analyst.save()
    text = sign_in(password=NEW).get(reverse("account-page")).content.decode()
    assert "192.0.2.7" in text
    assert "192.0.2.99" not in text


def test_a_browser_is_named_in_few_words_and_in_full():
    chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36"
    assert browser_of(chrome) == "Chrome on Linux"
    assert browser_of(chrome + " Edg/130.0") == "Edge on Linux"
    assert browser_of("a thing") == "a thing"
    assert browser_of("") == ""


def change(client: Client, old: str = PASSWORD, new: str = NEW, again: str = "") -> Any:
    form = {"action": "password", "old_password": old, "new_password1": new, "new_password2": again or new}
    return client.post(reverse("account-page"), form)


def test_a_changed_password_ends_the_other_sessions_and_keeps_this_one(analyst):
    here, there = sign_in(), sign_in()
    token = AuthToken.objects.create(user=analyst)[1]
    assert change(here)["Location"] == reverse("account-page")
    assert is_in(here)
    assert not is_in(there)
    assert not is_in(sign_in())
    assert is_in(sign_in(password=NEW))
    assert Client().get("/jobs", headers={"Authorization": f"Token {token}"}).status_code == 200
    assert "user.change_password" in deeds()


@pytest.mark.parametrize(
    ("old", "new", "again", "words"),
    [
        ("wrong", NEW, NEW, "This is not your password"),
        (PASSWORD, "short", "short", "at least 12 characters"),
        (PASSWORD, "password1234", "password1234", "too common"),
        (PASSWORD, NEW, NEW + "!", "match"),
    ],
)
def test_a_password_that_cannot_be_is_refused_and_nothing_changes(analyst, old, new, again, words):
    client = sign_in()
    answer = change(client, old, new, again)
    assert answer.status_code == 200
    assert words in answer.content.decode()
    assert "Your password was not changed" in answer.content.decode()
    assert is_in(sign_in())


def test_a_stolen_session_cannot_try_out_the_password(analyst):
    client = sign_in()
    for _ in range(5):
        change(client, "wrong")
    assert "too many failures" in change(client).content.decode()
    analyst.refresh_from_db()
    assert analyst.check_password(PASSWORD)


@pytest.mark.parametrize("tokens", [False, True])
def test_signing_out_everywhere_ends_all_sessions_and_asks_about_tokens(analyst, tokens):
    AuthToken.objects.create(user=analyst)
    here, there, other = sign_in(), sign_in(), Client()
    other.force_login(rows.user("viewer", "vic"))
    assert "Revoke my API tokens too" in here.get(reverse("account-page")).content.decode()
    form = {"action": "everywhere", **({"tokens": "on"} if tokens else {})}
    answer = here.post(reverse("account-page"), form)
    assert "You are signed out everywhere" in here.get(answer["Location"]).content.decode()
    assert not is_in(here)
    assert not is_in(there)
    assert is_in(other)
    assert AuthToken.objects.filter(user=analyst).exists() is not tokens
    assert "user.sign_out_everywhere" in deeds()


def test_forms_of_the_account_are_refused_from_elsewhere(analyst):
    client = Client(enforce_csrf_checks=True)
    client.force_login(analyst)
    for name in ("account-page", "tokens-page", "revoke-token"):
        assert client.post(reverse(name), {"action": "everywhere"}).status_code == 403
    assert is_in(client)


def test_an_account_made_inactive_is_out_at_once(analyst):
    client = sign_in()
    User.objects.filter(pk=analyst.pk).update(is_active=False)
    assert not is_in(client)


def test_a_person_sees_each_time_in_utc_and_in_the_zone_of_their_choice(analyst: User):
    client = Client()
    client.force_login(analyst)
    page = reverse("custody-page")
    chain.record(SYSTEM, "bundle.create", "job", "1")
    at = Event.objects.latest("sequence").at
    in_utc = f"{at:%Y-%m-%d %H:%M:%S} UTC"
    text = client.get(page).content.decode()
    assert in_utc in text
    assert 'class="zone"' not in text
    with CaptureQueriesContext(connection) as before:
        client.get(page)
    client.post(reverse("account-page"), {"action": "time_zone", "time_zone": "Asia/Kathmandu"})
    with CaptureQueriesContext(connection) as after:
        text = client.get(page).content.decode()
    assert in_utc in text
    assert f'<span class="zone">{at + timedelta(hours=5, minutes=45):%Y-%m-%d %H:%M:%S}+05:45</span>' in text
    assert len(after) == len(before), "it is read with the session"
    assert (
        "selected" in client.get(reverse("account-page")).content.decode().partition('value="Asia/Kathmandu"')[2][:12]
    )


@pytest.mark.parametrize("name", ["Mars/Olympus", "../../etc/passwd", "UTC", "x" * 5000])
def test_a_time_zone_that_is_not_in_the_list_is_refused_and_changes_nothing(analyst: User, name: str):
    client = Client()
    client.force_login(analyst)
    text = client.post(reverse("account-page"), {"action": "time_zone", "time_zone": name}).content.decode()
    assert "There is no such time zone." in text
    assert not Choices.objects.exists()
