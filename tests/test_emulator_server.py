"""Serving, misbehaviour on request, the log, and the separate process: the same for all four."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from connectors.emulators.emulator import Keys
from connectors.emulators.falcon import Falcon
from connectors.emulators.faults import HTML_502, QUOTA_503, rate_limited
from connectors.emulators.fleet import Emulators, running_emulators
from connectors.emulators.slack import Slack
from connectors.emulators.slack_workspace import CHANNEL
from tests.fake_clock import FakeClock
from tests.spawned_emulators import ROOT, RemoteEmulators, spawned_emulators

POST = "/api/chat.postMessage"


@pytest.fixture
def slack() -> Iterator[Slack]:
    emulator = Slack(FakeClock())
    emulator.start()
    yield emulator
    emulator.stop()
    assert emulator.crashes == []


def post(slack: Slack, text: str = "hello", timeout_s: float = 5) -> requests.Response:
    return requests.post(
        slack.base_url + POST,
        json={"channel": CHANNEL, "text": text},
        headers={"Authorization": f"Bearer {slack.credentials['token']}"},
        timeout=timeout_s,
    )


def texts(slack: Slack) -> list[str]:
    return [str(message["text"]) for message in slack.messages()]


# -- misbehaviour ----------------------------------------------------------------------------------


def test_misbehave_when_the_answer_is_lost_then_the_effect_has_happened_once(slack: Slack) -> None:
    slack.misbehave(path="*chat.postMessage", lose_answer=True)

    with pytest.raises(requests.ConnectionError):
        post(slack)

    assert texts(slack) == ["hello"]
    assert [seen.is_answered for seen in slack.effects()] == [False]


def test_misbehave_when_refused_then_nothing_has_happened(slack: Slack) -> None:
    slack.misbehave(refuse=True)

    with pytest.raises(requests.ConnectionError):
        post(slack)

    assert texts(slack) == []
    assert slack.effects() == []
    assert len(slack.requests) == 1


def test_misbehave_when_an_answer_is_replaced_then_the_product_does_nothing(slack: Slack) -> None:
    slack.misbehave(HTML_502)

    answer = post(slack)

    assert (answer.status_code, answer.headers["Content-Type"]) == (502, "text/html")
    assert "<html>" in answer.text
    assert texts(slack) == []


def test_misbehave_when_replaced_and_applied_then_the_product_does_it(slack: Slack) -> None:
    slack.misbehave(status=500, body="{}", apply=True)

    assert post(slack).status_code == 500
    assert texts(slack) == ["hello"]
    assert len(slack.effects(path=POST)) == 1


def test_misbehave_when_the_body_is_cut_then_the_client_sees_less_than_was_promised(
    slack: Slack,
) -> None:
    slack.misbehave(cut_after_bytes=10)

    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        post(slack)

    assert texts(slack) == ["hello"]


def test_misbehave_when_delayed_after_the_effect_then_a_short_timeout_hides_a_done_thing(
    slack: Slack,
) -> None:
    slack.misbehave(delay_after_s=30)

    with pytest.raises(requests.ReadTimeout):
        post(slack, timeout_s=0.2)

    assert texts(slack) == ["hello"]


def test_misbehave_when_delayed_before_then_nothing_has_happened_at_the_timeout(
    slack: Slack,
) -> None:
    slack.misbehave(delay_before_s=0.5)

    with pytest.raises(requests.ReadTimeout):
        post(slack, timeout_s=0.1)
    before = texts(slack)
    deadline = time.monotonic() + 5
    while not texts(slack) and time.monotonic() < deadline:
        time.sleep(0.02)

    # What was sent still lands: a client may not take a time-out for "nothing happened".
    assert (before, texts(slack)) == ([], ["hello"])


def test_misbehave_when_dripping_then_bytes_come_one_by_one(slack: Slack) -> None:
    slack.misbehave(drip_s=0.002)
    started = time.monotonic()

    body = post(slack).content

    assert time.monotonic() - started > 0.002 * len(body)


def test_misbehave_when_calls_are_skipped_then_only_the_nth_is_spoiled(slack: Slack) -> None:
    slack.misbehave(rate_limited(7), path="*chat*", skip=1, times=2)

    statuses = [post(slack).status_code for _ in range(4)]
    limited = [seen for seen in slack.requests if seen.status == 429]

    assert statuses == [200, 429, 429, 200]
    assert len(limited) == 2


def test_misbehave_when_rate_limited_then_the_wait_is_named(slack: Slack) -> None:
    slack.misbehave(rate_limited(7))

    assert post(slack).headers["Retry-After"] == "7"


def test_misbehave_when_another_path_or_method_is_named_then_the_call_goes_well(
    slack: Slack,
) -> None:
    slack.misbehave(path="*chat.update", status=500)
    slack.misbehave(method="GET", status=500)
    slack.misbehave(query="channel=*", status=500)

    assert post(slack).status_code == 200


def test_misbehave_when_for_ever_then_until_behave(slack: Slack) -> None:
    slack.misbehave(QUOTA_503, times=None)
    spoiled = [post(slack).status_code for _ in range(3)]
    slack.behave()

    assert (spoiled, post(slack).status_code) == ([503, 503, 503], 200)


def test_misbehave_when_a_keyword_is_unknown_then_it_raises(slack: Slack) -> None:
    with pytest.raises(TypeError):
        slack.misbehave(lose_anwser=True)


def test_tune_when_a_name_is_not_tunable_then_it_raises(slack: Slack) -> None:
    with pytest.raises(ValueError, match="keys"):
        slack.tune(keys=None)


# -- log -------------------------------------------------------------------------------------------


def test_log_when_a_call_carries_a_credential_then_it_is_masked() -> None:
    falcon = Falcon(FakeClock())
    falcon.start()
    requests.post(falcon.base_url + "/oauth2/token", data=falcon.credentials, timeout=5)
    falcon.stop()

    assert "***" in falcon.requests[0].body
    assert not any(value in repr(falcon.requests) for value in falcon.credentials.values())


def test_log_when_a_product_says_no_then_there_is_no_effect(slack: Slack) -> None:
    refused = post(slack, text="").json()

    assert refused == {"ok": False, "error": "no_text"}
    assert (len(slack.requests), slack.effects()) == (1, [])
    slack.forget_requests()
    assert slack.requests == []


# -- doors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/_control/requests", "/_control/do/messages", "/_human/say"])
@pytest.mark.parametrize("token", [None, "wrong", "é"])
def test_door_when_the_token_is_wrong_then_it_stays_shut(
    slack: Slack, path: str, token: str | None
) -> None:
    headers = (
        {}
        if token is None
        else {
            "X-Control-Token": token.encode(),
            "X-Human-Token": token.encode(),
        }
    )
    answer = requests.post(slack.base_url + path, headers=headers, json={}, timeout=5)

    assert answer.status_code == 403
    assert texts(slack) == []


def test_door_when_a_name_is_not_listed_then_no_method_is_called(slack: Slack) -> None:
    token = {"X-Human-Token": slack.keys.human}

    answer = requests.post(slack.base_url + "/_human/stop", headers=token, json={}, timeout=5)

    assert answer.status_code == 404
    assert slack.base_url


def test_address_when_started_then_only_loopback_listens(tmp_path: Path) -> None:
    with running_emulators(tmp_path, FakeClock()) as world:
        ports = [emulator.address[1] for emulator in world.all()]
        listening = _listening()

        assert {emulator.address[0] for emulator in world.all()} == {"127.0.0.1"}
        # The kernel's own table, not what the server believes: 0100007F is 127.0.0.1.
        assert [listening[port] for port in ports] == [{"0100007F"}] * 4


def _listening() -> dict[int, set[str]]:
    """Port → the addresses that listen on it, of both families."""
    found: dict[int, set[str]] = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            if state == "0A":
                address, port = local.split(":")
                found.setdefault(int(port, 16), set()).add(address)
    return found


def test_stop_when_a_connection_is_open_then_it_is_cut(slack: Slack) -> None:
    with socket.create_connection(slack.address, timeout=5) as left_open:
        left_open.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert left_open.recv(10)
        slack.stop()
        while left_open.recv(65536):
            pass
    slack.start()


def test_crash_when_a_stand_in_fails_then_the_block_fails(tmp_path: Path) -> None:
    broken = pytest.raises(AssertionError, match=r"emulator crashed: .*slack: ValueError")
    with broken, running_emulators(tmp_path, FakeClock()) as world:
        headers = {"X-Control-Token": world.slack.keys.control}
        url = world.slack.base_url + "/_control/tune"
        with pytest.raises(requests.ConnectionError):
            requests.post(url, headers=headers, json={"nope": 1}, timeout=5)


# -- state -----------------------------------------------------------------------------------------


def test_world_when_started_again_then_it_is_the_same(tmp_path: Path) -> None:
    clock = FakeClock()
    with running_emulators(tmp_path, clock) as first:
        post(first.slack, "kept")
        first.slack.react("U0RESPONDA", CHANNEL, first.slack.messages()[0]["ts"], "x")
        first.falcon.set_device("WORKSTATION5", status="contained")
        first.splunk.add_event({"EventID": 1, "CommandLine": "added"})
        seen = (first.credentials(), first.base, first.slack.messages())
    clock.advance(3600)

    with running_emulators(tmp_path, clock) as second:
        assert (second.credentials(), second.base, second.slack.messages()) == seen
        assert second.falcon.device_status("WORKSTATION5") == "contained"
        assert [event.row["CommandLine"] for event in second.splunk._added] == ["added"]
        assert second.splunk.events == first.splunk.events
        assert post(second.slack, "more").json()["ts"] > seen[2][0]["ts"]


def test_state_when_written_then_only_its_owner_reads_it(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    Emulators(folder, FakeClock()).splunk.save()

    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert (modes, stat.S_IMODE(folder.stat().st_mode)) == ({0o600}, 0o700)


def test_keys_when_made_twice_then_they_differ() -> None:
    one, other = (Keys.fresh(Falcon.CREDENTIALS) for _ in range(2))

    values = [*one.credentials.values(), one.control, one.human]
    values += [*other.credentials.values(), other.control, other.human]
    assert len(set(values)) == len(values)


# -- a process of its own --------------------------------------------------------------------------


def say(world: RemoteEmulators, text: str) -> dict[str, Any]:
    """Our app posts; gives Slack's answer."""
    answer = requests.post(
        world.slack.base_url + POST,
        json={"channel": CHANNEL, "text": text},
        headers={"Authorization": f"Bearer {world.slack.credentials['token']}"},
        timeout=5,
    )
    found: dict[str, Any] = answer.json()
    return found


def test_process_when_steered_from_outside_then_it_does_as_told(tmp_path: Path) -> None:
    with spawned_emulators(tmp_path, "--contain-s", "0") as world:
        sent = say(world, "card")
        world.slack.human("react", user="U0RESPONDB", channel=CHANNEL, ts=sent["ts"], name="x")
        world.slack.misbehave(path="*chat.postMessage", lose_answer=True)
        with pytest.raises(requests.ConnectionError):
            say(world, "lost")
        world.falcon.do("set_device", hostname="WORKSTATION5", offline=True)

        messages = world.slack.do("messages")
        assert [message["text"] for message in messages] == ["card", "lost"]
        assert messages[0]["reactions"] == [{"name": "x", "users": ["U0RESPONDB"], "count": 1}]
        assert [seen["is_answered"] for seen in world.slack.effects()] == [True, False]


def test_process_when_killed_then_the_next_one_sees_what_was_answered(tmp_path: Path) -> None:
    killed: list[RemoteEmulators] = []

    def until_killed() -> None:
        with spawned_emulators(tmp_path) as world:
            killed.append(world)
            assert say(world, "before the kill")["ok"]
            os.kill(world.pid, signal.SIGKILL)

    with pytest.raises(RuntimeError, match="ended with -9"):
        until_killed()

    with spawned_emulators(tmp_path) as again:
        assert again.credentials() == killed[0].credentials()
        assert [message["text"] for message in again.slack.do("messages")] == ["before the kill"]


def test_process_when_a_ports_file_is_named_then_it_holds_addresses_and_credentials(
    tmp_path: Path,
) -> None:
    ports = tmp_path / "ports.json"
    command = [sys.executable, "-m", "connectors.emulators", "--state", str(tmp_path / "state")]
    process = subprocess.Popen([*command, "--ports-file", str(ports)], cwd=ROOT)
    deadline = time.monotonic() + 10
    while not ports.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    described = json.loads(ports.read_text())
    process.terminate()

    assert process.wait(10) == 0
    assert set(described) == {"splunk", "falcon", "slack", "jira"}
    assert described["jira"]["credentials"].keys() == {"email", "api_token"}
    assert stat.S_IMODE(ports.stat().st_mode) == 0o600


def test_process_when_its_starter_ends_then_it_ends_too(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "connectors.emulators", "--state", str(tmp_path)]
    process = subprocess.Popen(
        [*command, "--until-stdin-closes"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    with process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline()
        process.stdin.close()

        assert process.wait(10) == 0
