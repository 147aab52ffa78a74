"""A no that comes after the yes and before the call stops it; a later one is told so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.model import Press
from runner.answering import Refused, give_answer, plan_answer
from runner.journal.records import (
    Approval,
    ApprovalState,
    LedgerState,
    RunStatus,
    SubjectState,
)
from runner.pressing import Pressing, binding_of
from tests.world import World, running_world
from tests.world_settings import HOST, NO, RESPONDER_A, RESPONDER_B, YES

PEOPLE = {"responder-a": {"os_user": "ada"}, "responder-b": {"os_user": "bo"}}
CALL = "POST *action_name=contain*"
LAST_READ = "*entities/devices/v2*"
"""What the runner reads just before a call, when people have agreed already."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path, {"approvals": {"cli": True}, "people": PEOPLE}) as world:
        world.arm()
        yield world


def agreed(world: World) -> Approval:
    """A question that people agreed to, while the EDR takes no call: decided, and not sent."""
    world.hit()
    world.tick()
    question = world.question()
    world.yes(question)
    world.falcon.misbehave(status=503, body="{}", times=None)
    world.tick()
    assert world.again(question).due_at is not None
    return question


def go_on(world: World) -> None:
    world.falcon.behave()
    world.ticks(3, every_s=60)


def assert_stopped(world: World, question: Approval, by: str) -> None:
    why = f"{by} said no before anything was sent"
    assert world.asked_to("contain") == []
    assert f"Nothing was sent to {HOST}: {why}." in world.thread(question)
    (entry,) = world.entries("stopped_before_call")
    assert entry.payload["by"] == [by]
    assert world.isolation_state() is LedgerState.NONE
    assert [run.status for run in world.runs()] == [RunStatus.SUCCEEDED]
    with world.journal.read() as tx:
        row = tx.one("select state from subject where name = ?", question.items[0].subject)
    assert row[0] == SubjectState.REFUSED
    assert world.again(question).closed


def answer_here(world: World, question: Approval, word: str, login: str) -> str:
    plan = plan_answer(world.journal, world.config, question.code, word, None, login)
    given = give_answer(world.journal, plan, login)
    assert given.code == 0
    return given.text


def test_no_when_it_comes_while_the_edr_takes_no_call_then_nothing_is_sent(world: World) -> None:
    question = agreed(world)
    world.no(question, RESPONDER_B)
    go_on(world)
    assert_stopped(world, question, "responder-b")
    assert any("STOPPED by responder-b" in text for text in world.ticket_texts())


def test_no_when_it_comes_between_the_decision_and_the_call_then_nothing_is_sent(
    world: World,
) -> None:
    world.hit()
    world.tick()
    question = world.question()
    world.yes(question)
    # The last thing that the runner reads of the device; the answers are read after it.
    world.before.append(("*users.info*", lambda: _then_no(world, question)))
    world.tick()
    assert_stopped(world, question, "responder-b")
    assert "STOPPED by responder-b" in str(world.card(question)["blocks"])


def _then_no(world: World, question: Approval) -> None:
    """From within the look-up of who said yes: the no comes at the device's last reading."""
    world.before.append((LAST_READ, lambda: world.no(question, RESPONDER_B)))


def test_no_when_it_is_given_on_the_machine_after_the_decision_then_nothing_is_sent(
    world: World,
) -> None:
    question = agreed(world)
    assert "people had agreed, and it stops what is not sent yet" in answer_here(
        world, question, "deny", "bo"
    )
    go_on(world)
    assert_stopped(world, question, "responder-b")


def test_no_when_chat_is_down_then_one_on_the_machine_stops_it(world: World) -> None:
    question = agreed(world)
    world.slack.misbehave(path="*", status=500, body="{}", times=None)
    answer_here(world, question, "deny", "bo")
    world.falcon.behave()
    world.ticks(2, every_s=60)
    assert world.asked_to("contain") == []
    world.slack.behave()
    world.ticks(3, every_s=120)
    assert_stopped(world, question, "responder-b")


def test_call_when_the_card_was_deleted_then_nobody_could_look_and_that_is_told(
    world: World,
) -> None:
    """A no may have stood under it: gone is not the same as nobody objected."""
    agreed(world)
    world.slack.misbehave(
        path="*reactions.get",
        status=200,
        body='{"ok":false,"error":"message_not_found"}',
        times=None,
    )
    go_on(world)
    assert world.contains() == [HOST]
    assert len(world.entries("last_look_failed")) == 1


def test_call_when_the_card_cannot_be_read_any_more_then_it_is_sent_and_that_is_told(
    world: World,
) -> None:
    question = agreed(world)
    world.slack.misbehave(path="*", status=500, body="{}", times=None)
    world.falcon.behave()
    world.ticks(2, every_s=60)
    assert world.contains() == [HOST]
    world.slack.behave()
    world.ticks(3, every_s=120)
    told = [text for text in world.thread(question) if "could not be read just before" in text]
    assert len(told) == len(world.entries("last_look_failed")) == 1


@pytest.mark.parametrize("account", ["U0GUEST", "U0OTHERBOT", "U0STRANGER"])
def test_no_when_it_is_nobodys_who_may_answer_then_it_stops_nothing(
    world: World, account: str
) -> None:
    question = agreed(world)
    world.no(question, account)
    go_on(world)
    assert world.contains() == [HOST]


def test_no_when_its_account_is_deactivated_then_it_stops_nothing(world: World) -> None:
    question = agreed(world)
    world.slack.people[RESPONDER_B]["deleted"] = True
    world.no(question, RESPONDER_B)
    go_on(world)
    assert world.contains() == [HOST]


def test_no_when_its_account_cannot_be_looked_up_then_it_stops_all_the_same(world: World) -> None:
    question = agreed(world)
    world.slack.misbehave(path="*users.info", status=500, body="{}", times=None)
    world.no(question, RESPONDER_B)
    go_on(world)
    assert_stopped(world, question, "responder-b")


def test_yes_when_it_is_taken_back_after_the_decision_then_it_still_counts(world: World) -> None:
    question = agreed(world)
    world.unreact(question, RESPONDER_A, YES)
    go_on(world)
    assert world.contains() == [HOST]


def test_no_when_the_call_was_sent_then_it_is_told_how_to_undo_it(world: World) -> None:
    world.hit()
    world.tick()
    question = world.question()
    world.yes(question)
    world.before.append((CALL, lambda: world.no(question, RESPONDER_B)))
    world.ticks(3, every_s=60)
    assert world.contains() == [HOST]
    late = [text for text in world.thread(question) if "came too late" in text]
    assert late == [
        f"The no of responder-b came too late: the isolation of {HOST} had been sent; to undo it: "
        f"stockade release {HOST} --reason …"
    ]
    assert world.isolation_state() is LedgerState.CONFIRMED


def test_no_when_given_on_the_machine_after_the_call_then_refused_with_the_way_back(
    world: World,
) -> None:
    world.hit()
    world.tick()
    question = world.question()
    world.yes(question)
    world.ticks(2, every_s=60)
    with pytest.raises(Refused) as refused:
        answer_here(world, question, "deny", "bo")
    assert f"too late to be stopped: stockade release {HOST} --reason …" in str(refused.value)
    with pytest.raises(Refused):
        answer_here(world, question, "approve", "bo")


def test_yes_when_given_on_the_machine_after_the_decision_then_refused(world: World) -> None:
    question = agreed(world)
    with pytest.raises(Refused):
        answer_here(world, question, "approve", "bo")


def test_no_when_it_comes_before_a_release_is_sent_then_nothing_is_lifted(world: World) -> None:
    world.hit()
    world.tick()
    world.yes(world.question())
    world.ticks(2, every_s=60)
    assert world.release(HOST).code == 0
    world.tick()
    release = world.question()
    world.yes(release)
    world.falcon.misbehave(path="*entities/devices/v2*", status=503, body="{}", times=None)
    world.tick()
    assert world.again(release).due_at is not None
    world.no(release, RESPONDER_B)
    go_on(world)
    assert world.lifts() == []
    assert world.isolation_state() is LedgerState.CONFIRMED
    assert world.again(release).closed


def test_crash_when_it_comes_while_the_answers_are_read_then_still_nothing_is_sent(
    world: World,
) -> None:
    world.hit()
    world.tick()
    question = world.question()
    world.yes(question)

    def crash() -> None:
        world.no(question, RESPONDER_B)
        raise KeyboardInterrupt

    # The next reading after the device's: the last look.
    rule = ("*reactions.get*", crash)
    world.before.append((LAST_READ, lambda: world.before.append(rule)))
    with pytest.raises(KeyboardInterrupt):
        world.tick()
    assert world.again(question).due_at is not None
    world.restart()
    world.ticks(3, every_s=60)
    assert_stopped(world, question, "responder-b")


def test_card_when_a_call_is_sent_then_it_was_read_once_more_than_for_the_decision(
    world: World,
) -> None:
    world.hit()
    world.tick()
    question = world.question()
    world.yes(question)
    reads: list[int] = []
    world.before.append((CALL, lambda: reads.append(_reads(world))))
    before = _reads(world)
    world.tick()
    assert reads == [before + 2]


def _reads(world: World) -> int:
    return sum("reactions.get" in line for line in world.sent)


# -- what is ours is known whether chat can be read or not -----------------------------------------


def press_no(world: World, question: Approval) -> None:
    """As it is written down when chat tells of a press."""
    question = world.again(question)
    assert question.message is not None
    said = Press(
        account=RESPONDER_B,
        team="T0OTHER",
        channel=question.message.channel,
        message_id=question.message.id,
        card=question.id,
        binding=binding_of(question),
        choice=NO,
        pressed_at="9.8",
        envelope="e-1",
    )
    assert Pressing(world.journal, world.config).note(said) is None


def cards_fail(world: World) -> None:
    world.slack.misbehave(path="*reactions.get", times=None, status=500, body="{}")


@pytest.mark.parametrize("broken", ["*reactions.get", "*"])
def test_no_when_it_is_pressed_and_the_card_cannot_be_read_then_denied(
    world: World, broken: str
) -> None:
    world.hit()
    world.tick()
    question = world.question()
    press_no(world, question)
    world.slack.misbehave(path=broken, times=None, status=500, body="{}")
    answer_here(world, question, "approve", "ada")
    world.tick()
    assert world.again(question).state is ApprovalState.DENIED
    assert world.again(question).decided_by == ("responder-b",)
    assert world.contains() == []


def test_no_when_it_is_pressed_after_the_decision_and_the_card_cannot_be_read_then_stopped(
    world: World,
) -> None:
    question = agreed(world)
    press_no(world, question)
    cards_fail(world)
    world.falcon.behave()
    world.ticks(1, every_s=60)
    assert world.asked_to("contain") == []
    (entry,) = world.entries("stopped_before_call")
    assert entry.payload["by"] == ["responder-b"]


@pytest.mark.parametrize("way", ["pressed", "on the machine"])
@pytest.mark.parametrize("read", ["*reactions.get*", "*users.info*"])
def test_no_when_it_is_given_while_the_last_look_reads_then_nothing_is_sent(
    world: World, way: str, read: str
) -> None:
    question = agreed(world)
    # Somebody whose account the last look has to look up, and whose no does not count.
    world.slack.people[RESPONDER_A]["deleted"] = True
    world.no(question, RESPONDER_A)

    def then_no() -> None:
        if way == "pressed":
            press_no(world, question)
        else:
            answer_here(world, question, "deny", "bo")

    world.before.append((LAST_READ, lambda: world.before.append((read, then_no))))
    go_on(world)
    assert_stopped(world, question, "responder-b")


def test_no_when_it_is_pressed_after_the_reading_that_serves_the_wave_then_it_is_seen(
    world: World,
) -> None:
    question = agreed(world)
    device_id = question.items[0].device.device_id
    look = world.service.crew.cards.last_look
    assert look.objectors(question.id, device_id) == ()
    press_no(world, question)
    assert look.objectors(question.id, device_id) == ("responder-b",)
