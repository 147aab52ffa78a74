"""`stockade check --send`: only a person's reply that the runner could read is a proof."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.emulators.slack_workspace import CHANNEL
from runner.checks import check
from tests.command_line import command_line
from tests.typing_people import WORD, check_replies, prove, types
from tests.world import World, running_world
from tests.world_settings import RESPONDER_A


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path) as world:
        yield world


def offers(world: World) -> str:
    """What `check` says of typed answers."""
    lines = check(world.service).text.splitlines()
    return next(line for line in lines if "typed answers" in line)


def test_check_when_a_person_types_the_word_then_it_is_proved_and_the_message_says_so(
    world: World,
) -> None:
    assert "not taken: it is not proved" in offers(world)
    result = check_replies(world, types(world))
    assert result.ok, result
    (proved,) = world.entries("replies_proved")
    assert proved.payload["place"] == {
        "workspace": "T0EMULATED",
        "channel": CHANNEL,
        "account": "U0STOCKADE",
    }
    assert (proved.payload["person"], proved.payload["account"]) == ("responder-a", RESPONDER_A)
    (test,) = world.cards()
    assert test["text"].startswith("Stockade check, done: replies in threads can be read")
    assert offers(world) == "ok   chat (slack): typed answers are taken"
    kinds = [entry.kind for entry in world.entries() if entry.kind.startswith("repl")]
    assert kinds == ["reply_check_begun", "reply_check_posted", "replies_proved"]


def test_check_when_nobody_types_then_it_waits_as_long_as_told_and_proves_nothing(
    world: World,
) -> None:
    began = world.clock.monotonic()
    result = check_replies(world, None, wait_s=30)
    assert not result.ok
    assert "nobody typed the word in time" in str(result.mend)
    assert 20 <= world.clock.monotonic() - began <= 30
    (test,) = world.cards()
    assert "NOT proved" in test["text"]
    assert world.entries("replies_proved") == []


@pytest.mark.parametrize(
    ("user", "more", "why"),
    [
        ("U0STOCKADE", {"bot_id": "B0STOCKADE"}, "nobody typed"),
        ("U0RESPONDA", {"bot_id": "B0OTHER"}, "of an app"),
        ("U0RESPONDA", {"app_id": "A0OTHER"}, "of an app"),
        ("U0RESPONDA", {"edited": {"user": "U0RESPONDA", "ts": "1.0"}}, "edited"),
        ("U0GUEST", {}, "no active full member"),
        ("U0BOT", {}, "no active full member"),
        ("U0NOBODY", {}, "cannot be looked up"),
    ],
)
def test_check_when_the_word_is_no_persons_own_then_it_is_no_proof(
    world: World, user: str, more: dict[str, Any], why: str
) -> None:
    world.slack.people["U0BOT"] = {"id": "U0BOT", "name": "bot", "is_bot": True}
    result = check_replies(world, types(world, user, **more), wait_s=10)
    assert not result.ok
    assert why in str(result.mend)
    assert world.entries("replies_proved") == []


def test_check_when_another_word_is_typed_or_elsewhere_then_it_is_no_proof(world: World) -> None:
    def beside(word: str, ts: str) -> None:
        world.slack.say(RESPONDER_A, CHANNEL, word)
        world.slack.say(RESPONDER_A, CHANNEL, f"{word} it is", ts)
        world.slack.say(RESPONDER_A, CHANNEL, "BCDFGHJK", ts)

    assert not check_replies(world, beside, wait_s=10).ok


def test_check_when_the_history_scope_is_gone_then_an_earlier_proof_is_dropped(
    world: World,
) -> None:
    prove(world)
    world.slack.tune(scopes="chat:write,reactions:read,reactions:write,users:read")
    result = check_replies(world, types(world))
    assert not result.ok
    assert "needs the scope channels:history" in str(result.mend)
    assert len(world.entries("replies_unproved")) == 1
    assert "not taken" in offers(world)


def test_check_when_our_own_reply_is_shown_late_then_an_earlier_proof_stands(
    world: World,
) -> None:
    prove(world)

    def then(_word: str, ts: str) -> None:
        own = {"ts": ts, "user": "U0STOCKADE", "text": "x", "type": "message"}
        body = json.dumps({"ok": True, "messages": [own], "has_more": False})
        world.slack.misbehave(path="*conversations.replies", status=200, body=body, times=2)

    result = check_replies(world, then, wait_s=30)
    assert "nobody typed the word in time" in str(result.mend)
    assert "proved before" in str(result.mend)


def test_check_when_refused_once_then_it_looks_again_and_it_is_proved(world: World) -> None:
    prove(world)
    body = json.dumps({"ok": False, "error": "thread_not_found"})
    world.slack.misbehave(path="*conversations.replies", status=200, body=body, times=1)
    assert check_replies(world, types(world)).ok
    assert world.entries("replies_unproved") == []


def test_check_when_it_was_refused_at_first_only_then_an_earlier_proof_stands(
    world: World,
) -> None:
    prove(world)
    body = json.dumps({"ok": False, "error": "thread_not_found"})
    world.slack.misbehave(path="*conversations.replies", status=200, body=body, times=2)
    result = check_replies(world, None, wait_s=30)
    assert "nobody typed the word in time" in str(result.mend)
    assert "proved before" in str(result.mend)


def test_check_when_there_is_time_for_one_look_only_then_an_earlier_proof_stands(
    world: World,
) -> None:
    prove(world)
    body = json.dumps({"ok": False, "error": "thread_not_found"})
    world.slack.misbehave(path="*conversations.replies", status=200, body=body, times=None)
    assert "proved before" in str(check_replies(world, types(world), wait_s=1).mend)


def test_check_when_nobody_types_then_an_earlier_proof_stands(world: World) -> None:
    prove(world)
    result = check_replies(world, None, wait_s=10)
    assert not result.ok
    assert "proved before" in str(result.mend)
    assert offers(world) == "ok   chat (slack): typed answers are taken"


def test_check_when_replies_are_rate_limited_then_it_waits_as_told_and_sees_it(
    world: World,
) -> None:
    limited = json.dumps({"ok": False, "error": "ratelimited"})
    world.slack.misbehave(
        path="*conversations.replies",
        status=429,
        body=limited,
        headers={"Retry-After": "40"},
        times=1,
    )
    assert check_replies(world, types(world), wait_s=60).ok
    assert 40 in world.clock.sleeps


def test_check_when_the_channel_is_another_then_the_proof_is_void(world: World) -> None:
    prove(world)
    world.restart({"connectors": {"slack": {"options": {"channel": "C0OTHER"}}}})
    assert "another workspace, channel" in offers(world)


def test_check_when_a_runner_works_meanwhile_then_both_go_on(world: World) -> None:
    world.arm()
    world.hit()
    world.tick()
    question = world.question()

    def tick_and_type(word: str, ts: str) -> None:
        world.yes(question)
        assert not world.tick().is_busy
        types(world)(word, ts)

    assert check_replies(world, tick_and_type).ok
    assert world.contains() == ["WORKSTATION5"]


def test_check_when_sent_from_the_command_line_then_it_shows_the_word_and_ends(
    tmp_path: Path,
) -> None:
    with command_line(tmp_path, {"mode": "observe"}) as line:
        done = line("check", "--send", "--wait", "1")
        assert done.code == 1
        assert WORD.search(done.err) is not None
        assert "BAD  chat (slack): typed replies: nobody typed the word in time" in done.err
        done = line("check", "--send", "--wait", "0")
        assert done.code == 2
        assert "1 to 900" in done.err
