"""A user name and a password in place of a token: one session, opened anew when it ended, and never
a loop that locks the account."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.emulators.emulator import Keys
from connectors.emulators.splunk import Splunk as Emulator
from connectors.errors import AuthFailed, Rejected, Unavailable
from connectors.http import HttpSettings, Runtime
from connectors.model import SavedSearch, SearchPhase, Secret, Window
from connectors.siem.splunk.connection import Splunk
from connectors.siem.splunk.sign_in import LOGIN_REST_S
from runner.checks import check
from runner.config import ConfigFaults
from runner.ticks import run_once
from runner.views import show_status
from tests.fake_clock import FakeClock
from tests.polling import cmdlines, poll, polling_world, records, store
from tests.world import World
from tests.world_settings import SEARCH

HITS = SavedSearch(name="WMIC format hits")
BY_PASSWORD: dict[str, Any] = {
    "connectors": {
        "splunk": {
            "credentials": {
                "token": None,
                "username": {"file": "secrets/splunk.username"},
                "password": {"file": "secrets/splunk.password"},
            }
        }
    }
}
CANARY = {"searches": {SEARCH: {"canary": "Stockade canary"}}}


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    found = Emulator(FakeClock())
    found.start()
    yield found
    found.stop()
    assert found.crashes == []


def client(emulator: Emulator, **changed: Secret) -> Splunk:
    given = {name: Secret(emulator.credentials[name]) for name in ("username", "password")}
    return Splunk(
        name="splunk",
        tenant="example",
        settings=HttpSettings(base_url=emulator.base_url),
        credentials={**given, **changed},
        options=Splunk.Options(),
        runtime=Runtime(clock=emulator.clock, emulated=True),
    )


def logins(emulator: Emulator) -> list[int]:
    """The status of each login that reached splunkd."""
    return [seen.status for seen in emulator.requests if seen.path.endswith("/auth/login")]


def window(emulator: Emulator) -> Window:
    now = int(emulator.clock.now().timestamp())
    return Window(start=now - 3600, end=now, event_start=now - 90_000, event_end=now + 3600)


def test_session_when_many_calls_are_made_then_one_login_serves_them(emulator: Emulator) -> None:
    splunk = client(emulator)
    job = splunk.start_saved_search(HITS, window(emulator))
    status = splunk.search_status(job)
    assert status.phase is SearchPhase.COMPLETE
    assert list(splunk.fetch_rows(job, status.row_count))
    assert logins(emulator) == [200]


@pytest.mark.parametrize("version", ["9.2.1", "9.0.1"])
def test_session_when_it_ends_between_two_pages_then_the_same_job_goes_on_and_no_row_comes_twice(
    emulator: Emulator, version: str
) -> None:
    emulator.tune(version=version, page_cap=2)
    splunk = client(emulator)
    job = splunk.start_saved_search(HITS, window(emulator))
    count = splunk.search_status(job).row_count
    assert count > 2
    rows = splunk.fetch_rows(job, count)
    read = [next(rows)]
    emulator.expire_sessions()
    read += rows
    assert read == list(client(emulator).fetch_rows(job, count))
    assert logins(emulator) == [200, 200, 200]


def test_session_when_a_start_meets_its_end_then_one_job_is_started(emulator: Emulator) -> None:
    splunk = client(emulator)
    splunk.server_time()
    emulator.expire_sessions()
    splunk.start_saved_search(HITS, window(emulator))
    assert len(emulator.jobs) == 1
    assert logins(emulator) == [200, 200]


def test_session_when_even_a_new_one_is_refused_then_it_is_said_after_one_more_login(
    emulator: Emulator,
) -> None:
    splunk = client(emulator)
    splunk.server_time()
    emulator.misbehave(path="*/jobs/*", status=401, body='{"messages":[]}', times=None)
    splunk.start_saved_search(HITS, window(emulator))
    with pytest.raises(AuthFailed) as caught:
        splunk.search_status(splunk.start_probe())
    assert caught.value.status == 401
    assert logins(emulator) == [200, 200]


def test_session_when_a_permission_is_missing_then_no_login_is_made_for_it(
    emulator: Emulator,
) -> None:
    splunk = client(emulator)
    splunk.server_time()
    emulator.misbehave(path="*/dispatch", status=403, body='{"messages":[]}')
    with pytest.raises(AuthFailed):
        splunk.start_saved_search(HITS, window(emulator))
    assert logins(emulator) == [200]


def test_password_when_it_is_wrong_then_it_is_sent_once_and_not_again_for_a_minute(
    emulator: Emulator,
) -> None:
    splunk = client(emulator, password=Secret("wr0ng-pass"))
    for _ in range(5):
        with pytest.raises(AuthFailed, match="user name or the password was refused") as caught:
            splunk.server_time()
        assert caught.value.code == "login"
        assert "wr0ng-pass" not in str(caught.value)
    assert logins(emulator) == [401]
    assert isinstance(emulator.clock, FakeClock)
    emulator.clock.advance(LOGIN_REST_S)
    with pytest.raises(AuthFailed):
        splunk.server_time()
    assert logins(emulator) == [401, 401]


def test_password_when_its_file_was_replaced_then_the_new_one_is_tried_at_once(
    emulator: Emulator,
) -> None:
    now = ["wr0ng-pass"]
    splunk = client(emulator, password=Secret("wr0ng-pass", lambda: now[0]))
    with pytest.raises(AuthFailed):
        splunk.server_time()
    now[0] = emulator.credentials["password"]
    assert splunk.server_time()
    assert logins(emulator) == [401, 200]


def test_login_when_it_gives_no_key_then_nothing_is_concluded(emulator: Emulator) -> None:
    emulator.misbehave(path="*/login", status=200, body="{}")
    with pytest.raises(Unavailable, match="no session key"):
        client(emulator).server_time()


@pytest.mark.parametrize("name", ["username", "password"])
def test_credential_when_empty_then_it_is_refused_before_any_call(
    emulator: Emulator, name: str
) -> None:
    with pytest.raises(Rejected, match=f"the {name} is empty"):
        client(emulator, **{name: Secret(" ")})
    assert emulator.requests == []


def test_check_when_the_password_is_wrong_then_it_says_what_to_do_after_one_login(
    emulator: Emulator,
) -> None:
    bad = [one for one in client(emulator, password=Secret("wr0ng-pass")).check() if not one.ok]
    assert len(bad) == 1
    assert "password" in str(bad[0].mend)
    assert "token" not in str(bad[0].mend)
    assert logins(emulator) == [401]


# -- the whole runner ------------------------------------------------------------------------------


def test_poll_when_signed_in_by_password_then_its_hit_is_found_and_the_key_is_nowhere(
    tmp_path: Path,
) -> None:
    with polling_world(tmp_path, BY_PASSWORD) as world:
        store(world)
        assert poll(world).code == 0
        assert len(cmdlines(world)) == 1
        keys = list(world.splunk._sessions)
        assert keys
        written = b"".join(file.read_bytes() for file in (tmp_path / "journal").rglob("*.*"))
        assert not any(key.encode() in written for key in keys)


def test_tick_when_the_password_is_wrong_then_one_login_is_made_for_all_its_searches(
    tmp_path: Path,
) -> None:
    with polling_world(tmp_path, {**BY_PASSWORD, **CANARY}) as world:
        world.splunk.keys = Keys.fresh(Emulator.CREDENTIALS)
        for _tick in (1, 2):
            assert poll(world).code == 1
            assert logins(world.splunk) == [401]
        assert "refused the sign-in" in str(records(world.journal)[-1].error)


def refused(world: World) -> list[str]:
    return list(show_status(world.journal, world.config, None).data["refused_sign_ins"])


def set_password(world: World, text: str) -> None:
    (world.folder / "secrets" / "splunk.password").write_text(text)
    world.restart()


def test_password_when_refused_then_no_later_process_sends_it_and_status_says_so(
    tmp_path: Path,
) -> None:
    with polling_world(tmp_path, BY_PASSWORD) as world:
        set_password(world, "wr0ng-pass")
        for _ in range(4):
            assert poll(world).code == 1
            world.restart()
            world.clock.advance(600)
        assert logins(world.splunk) == [401], "one attempt, whatever the number of processes"
        assert refused(world) == [world.splunk.base_url]
        seen = show_status(world.journal, world.config, timedelta(days=2))
        assert seen.code == 1
        assert "A PERSON IS NEEDED" in seen.text
        assert "refused the sign-in at" in str(records(world.journal)[-1].error)
        assert run_once(world.service, is_detailed=True).code == 4
        written = b"".join(file.read_bytes() for file in (tmp_path / "journal").rglob("*.*"))
        assert b"wr0ng-pass" not in written


def test_password_when_another_one_is_put_there_then_tried_and_the_memory_ends(
    tmp_path: Path,
) -> None:
    with polling_world(tmp_path, BY_PASSWORD) as world:
        set_password(world, "wr0ng-pass")
        poll(world)
        set_password(world, "an0ther-wrong")
        poll(world)
        set_password(world, "an0ther-wrong")
        poll(world)
        assert logins(world.splunk) == [401, 401]
        set_password(world, world.splunk.credentials["password"])
        assert poll(world).code == 0
        assert refused(world) == []
        assert logins(world.splunk)[2:] == [200]


def test_password_when_check_is_run_by_hand_then_tried_once_more(tmp_path: Path) -> None:
    with polling_world(tmp_path, {**BY_PASSWORD, **CANARY}) as world:
        set_password(world, "wr0ng-pass")
        poll(world)
        world.restart()
        assert check(world.service).code == 1
        assert logins(world.splunk) == [401, 401], "once, not once for each thing that it looks at"
        world.restart()
        poll(world)
        assert logins(world.splunk) == [401, 401]
        # The account was locked, and an administrator let it go: the password is the same.
        world.splunk.keys.credentials["password"] = "wr0ng-pass"
        assert "BAD  siem" not in check(world.service).text
        world.restart()
        assert poll(world).code == 0
        assert logins(world.splunk)[2:] == [200, 200]


def test_password_when_refused_while_the_directory_was_down_then_tried_after_an_hour_then_seldom(
    tmp_path: Path,
) -> None:
    with polling_world(tmp_path, BY_PASSWORD) as world:
        world.splunk.misbehave(path="*/login", status=401, body='{"messages":[]}', times=None)
        made: list[int] = []
        for hour in range(72):
            poll(world)
            world.restart()
            if len(logins(world.splunk)) > len(made):
                made.append(hour)
            world.clock.advance(3600)
        assert made == [0, 1, 3, 7, 15, 31, 55]
        world.splunk.behave()
        for _ in range(8):
            poll(world)
            world.clock.advance(3600)
        assert poll(world).code == 0
        assert refused(world) == []


def test_login_when_a_proxy_forbids_it_then_nothing_is_remembered(tmp_path: Path) -> None:
    with polling_world(tmp_path, BY_PASSWORD) as world:
        world.splunk.misbehave(path="*/login", status=403, body="<html>")
        assert poll(world).code == 1
        assert refused(world) == []
        world.restart()
        assert poll(world).code == 0


# -- the configuration -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("credentials", "words"),
    [
        ({"password": {"file": "secrets/splunk.password"}}, "`token` and `password`"),
        ({"token": None, "username": {"file": "secrets/splunk.username"}}, "has no `password`"),
        ({"token": None}, "has no `token`"),
    ],
)
def test_config_when_not_exactly_one_way_to_sign_in_is_given_then_it_says_so(
    tmp_path: Path, credentials: dict[str, Any], words: str
) -> None:
    with polling_world(tmp_path) as world, pytest.raises(ConfigFaults, match=words):
        world.configure({"connectors": {"splunk": {"credentials": credentials}}})
