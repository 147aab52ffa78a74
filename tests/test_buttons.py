"""Buttons over Socket Mode: an answer like any other, from a card that somebody listens to."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Timer
from typing import Any

import msgspec
import pytest

from connectors.chat.slack_blocks import ACTION, OR_PRESS, card_message
from connectors.document import Document
from connectors.emulators.slack_messages import buttons_of
from connectors.emulators.slack_workspace import BOT_USER, CHANNEL, OTHER_CHANNEL
from connectors.model import Answer, Card, Choice, JsonObject, MessageRef, Press
from runner.journal import Journal, approvals
from runner.journal.records import Approval, ApprovalState, SecondCard
from runner.pressing import Pressing, binding_of, with_presses
from tests.acting import PATIENCE_S, Acting, wait_for
from tests.command_line import QUICK, command_line
from tests.world import World, running_world
from tests.world_settings import HOST, NO, RESPONDER_A, RESPONDER_B, YES, merged

WITH_BUTTONS: dict[str, Any] = {
    "connectors": {
        "slack": {"credentials": {"app_token": {"file": "secrets/slack.app_token"}}},
    }
}
QUORUM = {**WITH_BUTTONS, "approvals": {"quorum": 2}}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path, WITH_BUTTONS) as world:
        world.arm()
        listen(world)
        yield world
        world.service.hearing.stop()


def listen(world: World) -> None:
    world.service.hearing.start()
    wait_for(world.service.hearing.is_listening)


def asked(world: World, **hit: Any) -> Approval:
    world.hit(**hit)
    world.tick()
    return world.question()


def press(world: World, question: Approval, choice: str, user: str = RESPONDER_A) -> bool:
    return world.slack.press(user, CHANNEL, world.message_id(question), ACTION + choice)


def envelope_of(
    world: World, question: Approval, choice: str = YES, user: str = RESPONDER_A
) -> Any:
    return world.slack.pressed(user, CHANNEL, world.message_id(question), ACTION + choice)


def refusals(world: World) -> list[str]:
    return [str(entry.payload["refusal"]) for entry in world.entries("button_refused")]


def buttons(world: World, question: Approval) -> list[JsonObject]:
    return buttons_of(world.card(question))


# -- the card --------------------------------------------------------------------------------------


def test_card_when_somebody_listens_then_it_has_a_button_for_each_answer(world: World) -> None:
    question = asked(world)
    made = buttons(world, question)
    assert [button["action_id"] for button in made] == [f"{ACTION}{YES}", f"{ACTION}{NO}"]
    assert {button["text"]["emoji"] for button in made} == {False}
    card, binding, choice = made[0]["value"].split("|")
    assert (card, choice) == (question.id, YES)
    assert binding == f"{question.code}.{question.plan_sha256}"
    shown = json.dumps(world.card(question)["blocks"])
    assert "Answer with a reaction:" in shown
    assert OR_PRESS in shown
    world.tick()
    assert world.again(question).state is ApprovalState.OPEN, "Slack's additions are no edit"


def test_card_when_it_asks_about_a_wave_then_each_device_has_its_button() -> None:
    numbers = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "keycap_ten")
    choices = tuple(
        Choice(name=f"veto-{emoji}", emoji=emoji, label=f"not this one: {'H' * 300}")
        for emoji in (YES, NO, *numbers)
    )
    card = Card(key="k", fallback="x", body=Document(()), choices=choices, binding="B")
    (actions,) = [one for one in card_message(card).blocks if one["type"] == "actions"]
    assert len(actions["elements"]) == 12
    assert max(len(one["text"]["text"]) for one in actions["elements"]) <= 75


def test_card_when_nobody_listens_then_it_has_no_button(tmp_path: Path) -> None:
    with running_world(tmp_path, WITH_BUTTONS) as world:
        world.arm()
        question = asked(world)
        assert buttons(world, question) == []
        assert OR_PRESS not in json.dumps(world.card(question))


def test_card_when_there_is_no_app_token_then_listening_ends_and_nothing_changes(
    tmp_path: Path,
) -> None:
    with running_world(tmp_path) as world:
        world.arm()
        world.service.hearing.start()
        question = asked(world)
        assert buttons(world, question) == []
        assert not world.service.hearing.is_listening()
        world.yes(question)
        world.ticks(1, 10)
        assert world.contains() == [HOST]
        world.service.hearing.stop()


def test_card_when_the_package_is_not_installed_then_it_has_no_button_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "slack_sdk"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "slack_sdk", None)
    with running_world(tmp_path, WITH_BUTTONS) as world:
        world.arm()
        world.service.hearing.start()
        wait_for(lambda: "install stockade[socket]" in caplog.text)
        world.service.hearing.stop()
        assert buttons(world, asked(world)) == []
        mends = [str(result.mend) for result in world.service.roles.chat.check()]
        assert any("install stockade[socket]" in mend for mend in mends)


def test_card_when_it_is_decided_then_its_buttons_are_gone(world: World) -> None:
    question = asked(world)
    world.no(question)
    world.ticks(1, 10)
    assert buttons(world, question) == []


# -- presses ---------------------------------------------------------------------------------------


def test_press_when_an_approver_says_yes_then_it_is_written_down_judged_and_told(
    world: World,
) -> None:
    question = asked(world)
    assert press(world, question, YES)
    (entry,) = world.entries("button_pressed")
    assert entry.refs["approval"] == question.id
    assert entry.payload["account"] == RESPONDER_A
    assert entry.payload["channel"] == CHANNEL
    assert entry.payload["message_id"] == world.message_id(question)
    assert {"team", "pressed_at", "envelope", "choice", "at"} <= set(entry.payload)
    world.ticks(1, 10)
    decided = world.again(question)
    assert decided.state is ApprovalState.APPROVED
    assert decided.decided_by == ("responder-a",)
    assert world.contains() == [HOST]
    assert any("responder-a pressed «" in text for text in world.thread(question))


def test_press_when_an_approver_says_no_then_it_beats_a_yes_by_reaction(world: World) -> None:
    question = asked(world)
    assert press(world, question, NO, RESPONDER_B)
    world.yes(question)
    world.ticks(1, 10)
    assert world.again(question).state is ApprovalState.DENIED
    assert world.contains() == []


def test_press_when_it_is_the_same_person_as_the_reaction_then_it_is_one_vote(
    tmp_path: Path,
) -> None:
    with running_world(tmp_path, QUORUM) as world:
        world.arm()
        listen(world)
        question = asked(world)
        world.yes(question)
        assert press(world, question, YES)
        world.ticks(2, 10)
        assert world.again(question).state is ApprovalState.OPEN
        assert press(world, question, YES, RESPONDER_B)
        world.ticks(1, 10)
        assert world.again(question).decided_by == ("responder-a", "responder-b")
        world.service.hearing.stop()


def test_press_when_it_is_delivered_again_then_it_counts_once(world: World) -> None:
    question = asked(world)
    envelope = envelope_of(world, question, NO)
    for attempt in range(3):
        again = {**envelope, "retry_attempt": attempt, "envelope_id": f"again-{attempt}"}
        assert world.slack.deliver(again), "each delivery is acknowledged"
    assert len(world.entries("button_pressed")) == 1
    assert len(world.again(question).pressed) == 1


def test_press_when_serve_works_then_it_is_looked_at_before_the_next_regular_look(
    tmp_path: Path,
) -> None:
    with running_world(tmp_path, WITH_BUTTONS) as world:
        world.arm()
        acting = Acting(world)
        acting.then(lambda: wait_for(world.service.hearing.is_listening))
        acting.then(lambda: bool(world.hit()))
        acting.then(lambda: bool(world.questions(ApprovalState.OPEN)))
        pressed_at: list[Any] = []

        def press_after_a_look() -> bool:
            since_s = world.clock.monotonic() - (world.service._cards_read_at or 0)
            if not 1.6 <= since_s <= 2.0:
                return False
            assert press(world, world.question(), YES)
            pressed_at.append(world.clock.now())
            return True

        acting.then(press_after_a_look)
        acting.then(lambda: not world.questions(ApprovalState.OPEN))
        acting.run()
        (decided,) = world.questions(ApprovalState.APPROVED)
        assert decided.decided_at is not None
        assert (decided.decided_at - pressed_at[0]).total_seconds() < 1.0
        assert world.contains() == [HOST]


LAST_READ = "*entities/devices/v2*"
CALL = "POST *action_name=contain*"


def test_press_when_a_no_comes_between_the_decision_and_the_call_then_nothing_is_sent(
    world: World,
) -> None:
    question = asked(world)
    world.yes(question)

    def then_no() -> None:
        world.before.append((LAST_READ, lambda: pressed_no(world, question)))

    world.before.append(("*users.info*", then_no))
    world.ticks(2, 10)
    assert world.again(question).state is ApprovalState.APPROVED, "people had agreed before"
    assert world.asked_to("contain") == []
    why = "responder-b said no before anything was sent"
    assert f"Nothing was sent to {HOST}: {why}." in world.thread(question)


def test_press_when_a_no_comes_after_the_call_then_it_is_told_that_it_came_too_late(
    world: World,
) -> None:
    question = asked(world)
    world.yes(question)
    world.before.append((CALL, lambda: pressed_no(world, question)))
    world.ticks(3, 60)
    assert world.contains() == [HOST]
    assert any("The no of responder-b came too late" in text for text in world.thread(question))


def pressed_no(world: World, question: Approval) -> None:
    assert press(world, question, NO, RESPONDER_B)


# -- the connection --------------------------------------------------------------------------------


def test_connection_when_slack_asks_for_a_new_one_then_presses_are_heard_again(
    world: World,
) -> None:
    question = asked(world)
    world.clock.advance(600)
    world.slack.socket_mode.disconnect()
    wait_for(lambda: world.slack.socket_mode.connections == 2)
    assert press(world, question, NO)
    world.ticks(1, 10)
    assert world.again(question).state is ApprovalState.DENIED


def test_connection_when_it_is_cut_then_it_is_made_again_and_a_press_counts(world: World) -> None:
    question = asked(world)
    world.slack.socket_mode.drop()
    wait_for(lambda: world.slack.socket_mode.connections == 2)
    assert press(world, question, YES)
    world.ticks(1, 10)
    assert world.contains() == [HOST]


def test_serve_when_it_ended_then_its_buttons_are_dead_and_reactions_count(world: World) -> None:
    question = asked(world)
    world.service.hearing.stop()
    world.slack.acknowledged_s = 1.0
    assert not press(world, question, YES)
    world.restart()
    world.ticks(1, 10)
    assert world.again(question).state is ApprovalState.OPEN
    world.yes(question)
    world.ticks(1, 10)
    assert world.contains() == [HOST]


def test_serve_when_told_to_stop_then_it_had_said_that_it_listens_and_ends_cleanly(
    tmp_path: Path,
) -> None:
    with (
        command_line(tmp_path, merged(QUICK, WITH_BUTTONS)) as line,
        line.start("serve") as served,
    ):
        watchdog = Timer(PATIENCE_S, served.kill)
        watchdog.start()
        assert served.stderr is not None
        told = []
        for text in served.stderr:
            told.append(text)
            if "answers in chat are heard at once" in text:
                break
        served.send_signal(signal.SIGTERM)
        out, err = served.communicate()
        watchdog.cancel()
    assert (served.returncode, out) == (0, "stopped\n")
    assert "Traceback" not in "".join(told) + err
    assert "Exception ignored" not in err
    assert sum("heard at once" in text for text in told) == 1


def test_press_when_another_process_took_over_then_it_is_not_acknowledged(world: World) -> None:
    """It would be lost otherwise: nobody reads what was not written down."""
    question = asked(world)
    world.journal.own()
    (world.config.state_dir / "runner.lock").unlink()
    other = Journal(world.config.state_dir, world.clock)
    assert other.own()
    world.slack.acknowledged_s = 1.0
    assert not press(world, question, YES)
    other.close()
    assert world.again(question).pressed == ()


def test_check_when_the_app_token_lacks_its_scope_then_it_is_named(world: World) -> None:
    def said() -> list[str]:
        results = world.service.roles.chat.check()
        return [str(result.mend) for result in results if not result.ok]

    assert said() == []
    world.slack.tune(app_scopes="authorizations:read")
    (mend,) = said()
    assert mend == "missing_scope: the app needs the scope connections:write"


# -- attacks ---------------------------------------------------------------------------------------


def assert_nothing_came_of_it(world: World, *questions: Approval) -> None:
    world.ticks(2, 10)
    assert world.contains() == []
    for question in questions:
        assert world.again(question).state is not ApprovalState.APPROVED


def put(envelope: Any, *path: Any, to: Any) -> Any:
    """The envelope with something else in one place."""
    changed = json.loads(json.dumps(envelope))
    place = changed["payload"]
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = to
    return changed


@pytest.mark.parametrize(
    ("path", "to", "why"),
    [
        (("user", "team_id"), "T0STRANGE", "it comes from another workspace"),
        (("team", "id"), "T0STRANGE", "it comes from another workspace"),
        (("team",), None, "it comes from another workspace"),
        (("channel", "id"), OTHER_CHANNEL, "it comes from another channel"),
        (("container", "channel_id"), OTHER_CHANNEL, "it comes from another channel"),
        (("container", "is_ephemeral"), True, "it names no message"),
        (("container", "type"), "view", "it names no message"),
        (("container", "message_ts"), "1.1", "it names no message"),
        (("message", "ts"), "1.1", "it names no message"),
        (("api_app_id",), "A0STRANGE", "it is of another app"),
        (("user", "id"), BOT_USER, "it names no person"),
        (("user", "id"), "login:ada", "it names no person"),
        (("user",), None, "it names no person"),
        (("actions", 0, "value"), "", "its question is not known"),
        (("actions", 0, "value"), "a|b|c", "its question is not known"),
    ],
)
def test_press_when_it_is_not_from_our_card_then_it_is_refused_and_the_reason_written_down(
    world: World, path: tuple[Any, ...], to: Any, why: str
) -> None:
    question = asked(world)
    assert world.slack.deliver(put(envelope_of(world, question), *path, to=to)), "acknowledged"
    assert refusals(world) == [why]
    assert_nothing_came_of_it(world, question)
    assert world.again(question).pressed == ()


@pytest.mark.parametrize(
    "path",
    [
        ("actions", 0, "value"),
        ("actions", 0, "action_ts"),
        ("container", "message_ts"),
        ("user", "id"),
        ("team", "id"),
        ("channel", "id"),
    ],
)
@pytest.mark.parametrize("half", ["{}", "{}|b|x"])
def test_press_when_a_text_of_it_holds_half_a_character_then_acknowledged_and_heard_on(
    world: World, path: tuple[Any, ...], half: str
) -> None:
    """JSON can carry a lone surrogate, which no table takes."""
    question = asked(world)
    envelope = put(envelope_of(world, question), *path, to=half.format("\ud800"))
    assert world.slack.deliver(envelope), "acknowledged"
    assert press(world, question, NO)
    assert [one.choice for one in world.again(question).pressed][-1] == NO
    world.ticks(1, 10)
    assert world.again(question).state is ApprovalState.DENIED


@pytest.mark.parametrize("card", ["\ud800", "ask-\ud800", "", "ask-1", "ask-" + "A" * 16])
def test_note_when_the_card_is_no_id_of_ours_then_its_question_is_not_known(
    world: World, card: str
) -> None:
    pressed = Press(
        account=RESPONDER_A,
        team="T0EMULATED",
        channel=CHANNEL,
        message_id="1.1",
        card=card,
        binding="b",
        choice=YES,
        pressed_at="1.1",
        envelope="e",
    )
    told = Pressing(world.journal, world.config).note(pressed)
    assert told == "Your press does not count: its question is not known."


def test_press_when_refused_or_repeated_then_no_look_is_hastened(world: World) -> None:
    question = asked(world)
    other = put(envelope_of(world, question), "actions", 0, "value", to="a|b|c")
    assert world.slack.deliver(other)
    assert refusals(world) != []
    assert not world.service.hearing.is_any()
    assert press(world, question, YES)
    wait_for(world.service.hearing.is_any)
    assert world.service.hearing.take({world.message_id(question)})
    assert press(world, question, YES)
    assert not world.service.hearing.is_any()


def test_press_when_a_button_of_one_card_is_sent_for_another_then_neither_is_answered(
    world: World,
) -> None:
    first = asked(world)
    world.hit(host="DESK-001-SYNTHETIC.corp.example.test", user="user1001")
    world.tick()
    second = next(one for one in world.questions(ApprovalState.OPEN) if one.id != first.id)
    value = envelope_of(world, second)["payload"]["actions"][0]["value"]
    assert world.slack.deliver(put(envelope_of(world, first), "actions", 0, "value", to=value))
    assert refusals(world) == ["the button is of another card"]
    assert_nothing_came_of_it(world, first, second)


def test_press_when_the_value_names_another_plan_or_answer_then_refused(world: World) -> None:
    question = asked(world)
    card, binding, choice = buttons(world, question)[0]["value"].split("|")
    for value in (f"{card}|{binding[:-1]}0|{choice}", f"{card}||{choice}", f"{card}|{binding}|one"):
        envelope = put(envelope_of(world, question), "actions", 0, "value", to=value)
        assert world.slack.deliver(envelope)
    assert set(refusals(world)) == {
        "the button is of another plan",
        "the question has no such answer",
    }
    assert_nothing_came_of_it(world, question)


@pytest.mark.parametrize(
    ("marks", "why"),
    [
        ({"is_restricted": True}, "guests and people of other workspaces may not answer"),
        ({"deleted": True}, "your account is deactivated"),
        ({"is_bot": True}, "a bot may not answer"),
    ],
)
def test_press_when_the_listed_account_may_not_answer_then_not_approved_and_told(
    world: World, marks: dict[str, bool], why: str
) -> None:
    question = asked(world)
    world.slack.people[RESPONDER_A].update(marks)
    assert press(world, question, YES)
    assert_nothing_came_of_it(world, question)
    assert any(why in text for text in world.thread(question))


def test_press_when_somebody_is_not_on_the_list_then_not_approved(world: World) -> None:
    question = asked(world)
    assert press(world, question, YES, "U0NOBODY")
    assert_nothing_came_of_it(world, question)


def test_press_when_the_question_is_decided_then_only_the_one_who_pressed_is_told(
    world: World,
) -> None:
    question = asked(world)
    envelope = envelope_of(world, question)
    world.no(question)
    world.ticks(1, 10)
    for number in range(3):
        assert world.slack.deliver({**envelope, "envelope_id": f"late-{number}"})
    assert refusals(world) == ["the question is denied already"], "once, however often"
    wait_for(lambda: bool(world.slack.whispers))
    (account, text) = world.slack.whispers[0]
    assert account == RESPONDER_A
    assert text == "Your press does not count: the question is denied already."
    assert_nothing_came_of_it(world, question)


def test_press_when_the_card_was_edited_then_it_does_not_count(world: World) -> None:
    question = asked(world)
    assert press(world, question, YES)
    world.slack.edit(CHANNEL, world.message_id(question), "ISOLATE SOMETHING ELSE?")
    world.ticks(1, 10)
    assert world.again(question).state is ApprovalState.VOID
    assert world.contains() == []
    assert world.question().pressed == (), "a press is for one card"


def test_press_when_a_button_was_changed_then_the_card_is_void(world: World) -> None:
    question = asked(world)
    message = world.slack._found(CHANNEL, world.message_id(question))
    buttons_of(message)[1]["value"] = buttons_of(message)[0]["value"]
    assert press(world, question, NO), "the no says yes"
    world.ticks(1, 10)
    assert world.again(question).state is ApprovalState.VOID
    assert world.contains() == []


def test_press_when_a_no_comes_while_the_yes_is_read_then_it_is_a_no(world: World) -> None:
    question = asked(world)
    world.yes(question)
    world.before.append(
        ("GET */users.info*", lambda: press(world, question, NO, RESPONDER_B) or None)
    )
    world.ticks(2, 10)
    assert world.again(question).state is ApprovalState.DENIED
    assert world.contains() == []


def test_press_when_an_old_one_is_replayed_for_the_question_that_is_asked_anew_then_refused(
    world: World,
) -> None:
    question = asked(world)
    old = envelope_of(world, question)
    world.slack.delete(CHANNEL, world.message_id(question))
    world.ticks(1, 10)
    again = world.question()
    assert again.id != question.id
    assert world.slack.deliver({**old, "envelope_id": "replayed"})
    assert refusals(world) == ["the question is void already"]
    assert_nothing_came_of_it(world, question, again)


def test_envelope_when_it_is_of_any_other_kind_then_acknowledged_and_nothing_more(
    world: World,
) -> None:
    question = asked(world)
    entries = len(world.entries())
    envelope = envelope_of(world, question)
    for number, odd in enumerate(
        (
            {"type": "events_api", "payload": {"event": {"type": "message"}}},
            {"type": "interactive", "payload": None},
            {"type": "interactive", "payload": {"type": "block_actions", "actions": 7}},
            put(envelope, "type", to="view_submission"),
            put(envelope, "actions", 0, "action_id", to="another"),
            put(envelope, "actions", to=[]),
        )
    ):
        assert world.slack.deliver({**odd, "envelope_id": f"odd-{number}"})
    assert len(world.entries()) == entries


def test_press_when_it_is_under_the_card_of_the_other_chat_then_it_counts_there_only(
    world: World,
) -> None:
    question = asked(world)
    assert question.card is not None
    elsewhere = MessageRef(channel="C0OTHER", id="9.9", sha256="")
    second = SecondCard(name="other", first="slack", card=question.card, message=elsewhere)
    with world.journal.write() as tx:
        approvals.save(tx, msgspec.structs.replace(question, second=second))
    press = Press(
        account="U0OTHER",
        team="T0OTHER",
        channel="C0OTHER",
        message_id="9.9",
        card=question.id,
        binding=binding_of(question),
        choice=YES,
        pressed_at="9.8",
        envelope="e-1",
    )
    pressing = Pressing(world.journal, world.config)
    assert pressing.note(press) is None
    again = world.again(question)
    assert with_presses(again, (), is_second=False) == ()
    assert with_presses(again, (), is_second=True) == (Answer(account="U0OTHER", choice=YES),)
    wrong = msgspec.structs.replace(press, channel=CHANNEL)
    assert pressing.note(wrong) == "Your press does not count: the button is of another card."
