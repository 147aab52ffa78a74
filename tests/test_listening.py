"""`serve` hears answers at once: what is heard hastens a look, and decides nothing."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.chat.matrix import Matrix
from connectors.errors import AuthFailed, Unavailable
from connectors.http import HttpSettings, Runtime
from connectors.model import Secret
from runner.cli_clock import SystemClock
from runner.hearing import Heard, Hearing
from runner.journal import Fenced, JournalError
from runner.journal.records import ApprovalState
from runner.service import CARDS_EVERY_S
from tests.acting import Acting, wait_for
from tests.fake_clock import FakeClock
from tests.fake_product import Conversation, FakeTransport, Reply, Request, json_reply
from tests.matrix_room import ALICE, BOB, LONGEST_S, ME, NO, ROOM, YES, Room, running_room
from tests.world import World, running_world
from tests.world_settings import HOST


class TestEar:
    """Stops after so many calls."""

    __test__ = False

    def __init__(self, polls: int) -> None:
        self.left = polls
        self.heard: list[str] = []

    def is_stopped(self) -> bool:
        return self.left <= 0

    def listens(self) -> None:
        self.left -= 1

    def stirs(self, message_id: str) -> None:
        self.heard.append(message_id)


class Server:
    """Answers each sync with the next of these."""

    def __init__(self, *answers: Reply) -> None:
        self.answers = list(answers)
        self.syncs: list[Request] = []
        self.clock = FakeClock()

    def answer(self, request: Request) -> Reply:
        if request.path.endswith("whoami"):
            return json_reply({"user_id": ME})
        self.syncs.append(request)
        return self.answers.pop(0)

    def matrix(self) -> Matrix:
        return Matrix(
            name="soc-matrix",
            tenant="tenant-1",
            settings=HttpSettings(base_url="https://matrix.example.test"),
            credentials={"token": Secret("syt_made_up_5ec2e75ec2e7")},
            options=Matrix.Options(room=ROOM),
            runtime=Runtime(
                clock=self.clock, transport=lambda: FakeTransport(Conversation(self.answer))
            ),
        )


def batch(number: int, *events: dict[str, Any], room: str = ROOM, **more: Any) -> Reply:
    timeline = {"events": list(events), **more}
    joined = {room: {"timeline": timeline}} if events else {}
    return json_reply({"next_batch": f"s{number}", "rooms": {"join": joined}})


def about(event_id: str, kind: str = "m.reaction") -> dict[str, Any]:
    return {"type": kind, "content": {"m.relates_to": {"event_id": event_id}}}


# -- the long poll ---------------------------------------------------------------------------------


def test_listen_when_something_is_said_about_messages_then_each_is_named() -> None:
    thread = about("$two", "m.room.message")
    server = Server(batch(0, about("$old")), batch(1, about("$one"), thread), batch(2))
    ear = TestEar(2)
    server.matrix().listen(ear)
    assert ear.heard == ["$one", "$two"], "what was there before is no news"


def test_listen_when_it_polls_then_it_goes_on_where_it_was_and_waits_at_the_server() -> None:
    server = Server(batch(0), batch(1), batch(2))
    server.matrix().listen(TestEar(2))
    first, second, third = (sync.query for sync in server.syncs)
    assert "since" not in first
    assert first["timeout"] == "0"
    assert (second["since"], second["timeout"]) == ("s0", "30000")
    assert (third["since"], third["timeout"]) == ("s1", "30000")
    only = json.loads(first["filter"])
    assert only["room"]["rooms"] == [ROOM]
    assert only["room"]["timeline"]["not_senders"] == [ME]
    assert first["set_presence"] == "offline"


def test_listen_when_a_server_answers_at_once_with_nothing_then_it_is_not_hurried() -> None:
    server = Server(batch(0), batch(1), batch(2), batch(3))
    server.matrix().listen(TestEar(3))
    assert server.clock.sleeps == [1.0, 1.0, 1.0]


def test_listen_when_other_rooms_or_odd_shapes_come_then_nothing_is_heard() -> None:
    odd: list[Any] = [None, 7, {"content": 7}, {"content": {"m.relates_to": {"event_id": 7}}}]
    server = Server(batch(0), batch(1, about("$x"), room="!other:example.test"), batch(2, *odd))
    ear = TestEar(2)
    server.matrix().listen(ear)
    assert ear.heard == []


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (json_reply({"rooms": {}}), Unavailable),
        (json_reply({"errcode": "M_UNKNOWN_TOKEN", "error": "no"}, 401), AuthFailed),
    ],
)
def test_listen_when_the_server_refuses_then_it_raises(
    answer: Reply, fault: type[Exception]
) -> None:
    with pytest.raises(fault):
        Server(answer).matrix().listen(TestEar(2))


# -- who listens -----------------------------------------------------------------------------------


def test_heard_when_taken_then_the_oldest_first_and_strangers_are_forgotten() -> None:
    heard = Heard()
    for message_id in ("talk", "two", "one", "two"):
        heard.note(message_id)
    assert heard.take({"one", "two"}) == "two"
    assert heard.take({"one", "two"}) == "one"
    assert heard.take({"one", "two"}) is None
    heard.note("talk")
    assert heard.take({"one"}) is None
    assert not heard.is_any()


def test_heard_when_a_crowd_talks_then_it_does_not_grow_without_end() -> None:
    heard = Heard()
    for number in range(5000):
        heard.note(f"talk {number}")
    assert len(heard._messages) == 1000


# -- the service -----------------------------------------------------------------------------------


@pytest.fixture
def room() -> Iterator[Room]:
    with running_room() as found:
        yield found


@pytest.fixture
def world(tmp_path: Path, room: Room) -> Iterator[World]:
    secret = tmp_path / "secrets" / "matrix.token"
    secret.parent.mkdir(mode=0o700)
    secret.touch(mode=0o600)
    secret.write_text("syt_made_up_5ec2e75ec2e7")
    changes = {
        "people": {"responder-a": {"matrix": ALICE}, "responder-b": {"matrix": BOB}},
        "connectors": {
            "matrix": {
                "type": "matrix",
                "base_url": room.base_url,
                "credentials": {"token": {"file": "secrets/matrix.token"}},
                "options": {"room": ROOM},
                "settle_s": 1,
            }
        },
        "roles": {"chat": "matrix"},
    }
    with running_world(tmp_path, changes) as world:
        world.arm()
        yield world


@pytest.mark.parametrize("answer", [YES, NO])
def test_serve_when_somebody_answers_then_the_card_is_looked_at_before_it_would_be(
    world: World, room: Room, answer: str
) -> None:
    world.hit()
    world.tick()
    question = world.question()
    event = world.message_id(question)
    acting = Acting(world)
    due_at: list[datetime] = []

    def react_after_a_look() -> bool:
        """In the middle between two regular looks, once the long poll waits at the server."""
        wait_for(room.is_waited_at)
        since = world.clock.monotonic() - (world.service._cards_read_at or 0)
        if not 1.6 <= since <= 2.0:
            return False
        room.react(ALICE, event, answer)
        wait_for(world.service.hearing.is_any)
        due_at.append(world.clock.now() + timedelta(seconds=CARDS_EVERY_S - since))
        return True

    def is_decided() -> bool:
        return world.again(question).state is not ApprovalState.OPEN

    acting.then(react_after_a_look)
    acting.then(is_decided)
    acting.run()
    decided = world.again(question)
    assert decided.state is (ApprovalState.APPROVED if answer == YES else ApprovalState.DENIED)
    assert decided.decided_by == ("responder-a",)
    assert decided.decided_at is not None
    assert decided.decided_at < due_at[0], "the next regular look was still to come"
    assert world.contains() == ([HOST] if answer == YES else [])


def test_serve_when_it_ends_then_a_poll_that_waits_holds_nothing_up(
    world: World, room: Room
) -> None:
    acting = Acting(world)
    acting.then(lambda: wait_for(room.is_waited_at))
    began = SystemClock().monotonic()
    acting.run()
    assert SystemClock().monotonic() - began < LONGEST_S, "the server still kept the poll"
    assert not world.journal.is_owned()


def test_serve_when_the_server_refuses_to_be_listened_to_then_cards_are_read_as_ever(
    world: World, room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "runner.hearing")
    room.refuse += [json_reply({"errcode": "M_FORBIDDEN", "error": "no"}, 403)] * 3
    world.hit()
    world.tick()
    question = world.question()
    room.react(ALICE, world.message_id(question), YES)
    acting = Acting(world)
    acting.then(lambda: world.again(question).state is ApprovalState.APPROVED)
    acting.then(lambda: room.is_waited_at())
    acting.run()
    told = [record.getMessage() for record in caplog.records]
    assert len([text for text in told if "not heard at once" in text]) == 1
    assert "M_FORBIDDEN" in told[0]
    assert "syt_made_up_5ec2e75ec2e7" not in caplog.text


def test_run_when_cron_starts_it_then_nobody_listens(world: World, room: Room) -> None:
    world.hit()
    world.tick()
    world.ticks(3, 10)
    assert room.syncs == []


# -- when it fails ---------------------------------------------------------------------------------


def refusal(status: int = 403, **headers: str) -> Reply:
    return json_reply({"errcode": "M_FORBIDDEN", "error": "no"}, status, **headers)


def test_hearing_when_refused_again_and_again_then_it_waits_longer_and_says_it_once(
    world: World, room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "runner.hearing")
    room.refuse += [refusal() for _ in range(9)]
    began = world.clock.monotonic()
    world.service.hearing.start()
    wait_for(room.is_waited_at)
    waited_s = world.clock.monotonic() - began
    world.service.hearing.stop()
    # 1, 2, 4, 8, 16, 32, and then a minute each.
    assert 63 + 3 * 60 <= waited_s < 63 + 3 * 60 + 10
    told = [record.getMessage().partition(":")[0] for record in caplog.records]
    assert told == ["answers in chat are not heard at once, but read every few seconds"]


def test_hearing_when_the_server_says_how_long_to_wait_then_it_waits_so_long(
    world: World, room: Room
) -> None:
    room.refuse.append(refusal(429, Retry_After="45"))
    began = world.clock.monotonic()
    world.service.hearing.start()
    wait_for(room.is_waited_at)
    world.service.hearing.stop()
    assert world.clock.monotonic() - began >= 45


def test_hearing_when_the_answer_is_no_json_then_it_is_said_and_tried_again(
    world: World, room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    room.refuse.append(Reply(body=b"[" * 100_000, headers={"Content-Type": "application/json"}))
    world.service.hearing.start()
    wait_for(room.is_waited_at)
    world.service.hearing.stop()
    assert "not heard at once" in caplog.text


def test_hearing_when_started_and_stopped_twice_then_one_thread_listens_at_a_time(
    world: World, room: Room
) -> None:
    hearing = world.service.hearing
    hearing.start()
    hearing.start()
    wait_for(room.is_waited_at)
    assert len([thread for thread in threading.enumerate() if thread.name == "listening"]) == 1
    room.end()
    hearing.stop()
    hearing.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "listening"]


@pytest.mark.parametrize("fault", [Fenced("another owns it"), JournalError("the disk is full")])
def test_hearing_when_the_journal_fails_under_it_then_it_is_said_once_and_it_listens_on(
    world: World, room: Room, fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "runner.hearing")
    left = [fault, fault]

    def carry(_what: str, work: Callable[[], None]) -> str | None:
        if left:
            raise left.pop()
        work()
        return None

    hearing = Hearing(world.journal, world.config, world.service.roles, world.clock, carry)
    hearing.start()
    wait_for(room.is_waited_at)
    hearing.stop()
    told = [record.getMessage() for record in caplog.records]
    assert [str(fault) in text for text in told] == [True]
