"""Answers in words: what counts, together with what, and what happens when they cannot be read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.emulators.slack_workspace import CHANNEL
from runner.journal.records import Approval, ApprovalState
from runner.reply_check import ReplyCheck
from runner.service import Tick
from runner.views import show_case
from tests.second_chat import (
    ADA,
    BO,
    answer_in_matrix,
    asked_in_matrix,
    stand_in,
    text_in_matrix,
    two_chats,
)
from tests.test_answering import PEOPLE, answer
from tests.test_last_look import LAST_READ
from tests.typing_people import WORD, letters, prove, say
from tests.world import World, running_world
from tests.world_settings import HOST, NO, RESPONDER_A, RESPONDER_B, YES

BROKEN = {"ok": False, "error": "ratelimited"}


def typed_world(folder: Path, **approvals: Any) -> Any:
    return running_world(folder, {"approvals": approvals, "people": PEOPLE})


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with typed_world(tmp_path) as world:
        yield world


def asked(world: World) -> Approval:
    world.arm()
    prove(world)
    world.hit()
    world.tick()
    return world.question()


def replies_fail(world: World, times: int | None = None, wait_s: int = 60) -> None:
    world.slack.misbehave(
        path="*conversations.replies",
        status=429,
        body=json.dumps(BROKEN),
        headers={"Retry-After": str(wait_s)},
        times=times,
    )


def later(world: World, every_s: float = 20) -> Tick:
    (tick,) = world.ticks(1, every_s)
    return tick


def shown(world: World, question: Approval) -> str:
    return json.dumps(world.card(question)["blocks"])


@pytest.mark.parametrize(
    "text",
    ["approve CODE", "  Approve   code ", "`approve CODE`", "*APPROVE CODE*", "```approve CODE```"],
)
def test_yes_when_typed_in_the_cards_thread_then_it_cuts(world: World, text: str) -> None:
    question = asked(world)
    assert f"approve {question.code}, or deny {question.code}" in shown(world, question)
    code = question.code.lower() if "code" in text else question.code
    say(world, question, text.replace("CODE", code).replace("code", code))
    later(world)
    assert world.contains() == [HOST]
    assert world.again(question).decided_by == ("responder-a",)
    (vote,) = world.again(question).votes
    assert vote.is_typed
    case = show_case(world.journal, world.config, world.case().id).text
    assert "responder-a (account U0RESPONDA) approved in words" in case


def test_yes_when_also_sent_to_the_channel_then_it_cuts(world: World) -> None:
    question = asked(world)
    say(world, question, "approve CODE", subtype="thread_broadcast")
    later(world)
    assert world.contains() == [HOST]


def test_no_when_typed_then_denied_and_it_beats_ones_own_yes(world: World) -> None:
    question = asked(world)
    world.yes(question)
    say(world, question, "deny CODE")
    later(world)
    assert world.contains() == []
    assert world.again(question).state is ApprovalState.DENIED


def test_no_when_it_is_typed_after_the_last_look_then_it_is_seen_before_a_yes_counts(
    world: World,
) -> None:
    """The thread is read every 15 seconds, but always before a decision to act."""
    question = asked(world)
    later(world)
    say(world, question, "deny CODE", RESPONDER_B)
    world.yes(question)
    later(world, every_s=4)
    assert world.contains() == []
    assert world.again(question).decided_by == ("responder-b",)


def test_quorum_when_one_person_reacts_types_and_answers_here_then_it_is_one_vote(
    tmp_path: Path,
) -> None:
    with typed_world(tmp_path, quorum=2, cli=True) as world:
        question = asked(world)
        world.yes(question)
        say(world, question, "approve CODE")
        assert answer(world, "approve", "ada") == 0
        later(world)
        assert world.contains() == []
        say(world, question, "approve CODE", RESPONDER_B)
        later(world)
        assert world.contains() == [HOST]
        assert world.again(question).decided_by == ("responder-a", "responder-b")


def test_quorum_when_a_typed_yes_was_deleted_then_it_is_withdrawn(tmp_path: Path) -> None:
    with typed_world(tmp_path, quorum=2) as world:
        question = asked(world)
        typed = say(world, question, "approve CODE")
        later(world)
        assert [vote.counted for vote in world.again(question).votes] == [True]
        world.slack.delete(CHANNEL, typed)
        world.yes(question, RESPONDER_B)
        later(world, every_s=4)
        assert world.contains() == []
        typed_vote = next(vote for vote in world.again(question).votes if vote.is_typed)
        assert (typed_vote.withdrawn, typed_vote.why_not) == (True, "withdrawn")


def test_pick_when_the_number_of_a_candidate_is_typed_then_that_one_is_cut(world: World) -> None:
    world.falcon.add_device(HOST, hostname=HOST, status="normal")
    world.arm()
    prove(world)
    world.hit(user=r"CORP\nobody")
    world.tick()
    question = world.question()
    assert "with the number of the device" in shown(world, question)
    say(world, question, "approve CODE")
    later(world)
    assert world.contains() == []
    assert any("does not offer that" in str(vote.why_not) for vote in world.again(question).votes)
    say(world, question, "approve CODE 2")
    later(world)
    assert world.again(question).chosen == (question.items[1].device.device_id,)


def test_reply_when_nothing_is_proved_then_it_is_not_read_and_the_journal_says_why(
    world: World,
) -> None:
    world.arm()
    world.hit()
    world.tick()
    question = world.question()
    say(world, question, "approve CODE")
    world.ticks(3, every_s=20)
    assert world.contains() == []
    assert world.again(question).votes == ()
    assert "thread:" not in shown(world, question)
    assert not [line for line in world.sent if "conversations.replies" in line]
    (ignored,) = world.entries("replies_ignored")
    assert "stockade check --send" in ignored.payload["why"]


def test_reply_when_proved_after_the_card_was_posted_then_its_thread_is_still_not_read(
    world: World,
) -> None:
    world.arm()
    world.hit()
    world.tick()
    question = world.question()
    prove(world)
    say(world, question, "approve CODE")
    later(world)
    assert world.contains() == []


def test_reply_when_the_proof_is_of_another_place_by_now_then_not_counted_and_it_says_so(
    world: World,
) -> None:
    question = asked(world)
    say(world, question, "approve CODE")
    moved = {"slack": {"options": {"channel": "C0NOTOURS"}}}
    world.restart({"connectors": moved})
    tick = later(world)
    assert world.contains() == []
    assert any("another workspace, channel" in error for error in tick.errors)


def test_reply_when_replies_are_rate_limited_then_unknown_and_said_and_reactions_work(
    tmp_path: Path,
) -> None:
    with typed_world(tmp_path, quorum=2) as world:
        question = asked(world)
        say(world, question, "approve CODE")
        later(world)
        assert [vote.counted for vote in world.again(question).votes] == [True]
        replies_fail(world)
        world.yes(question, RESPONDER_B)
        reads = len(world.sent)
        tick = later(world)
        assert world.contains() == [], "a typed yes that cannot be read again is unknown"
        assert any("cannot be read just now" in error for error in tick.errors)
        assert any("react on the card instead" in text for text in world.thread(question))
        (vote,) = [vote for vote in world.again(question).votes if vote.is_typed]
        assert not vote.counted
        asked_for = [line for line in world.sent[reads:] if "conversations.replies" in line]
        assert len(asked_for) == 1, "Slack said how long to wait"
        world.yes(question)
        later(world)
        assert world.contains() == [], "it could not be read only since a moment ago"
        world.restart()
        later(world, every_s=41)
        assert world.contains() == [HOST], "from then on reactions go on without it"


def test_no_when_typed_and_one_reading_fails_as_the_yes_is_counted_then_it_still_denies(
    world: World,
) -> None:
    question = asked(world)
    later(world)
    say(world, question, "deny CODE", RESPONDER_B)
    world.yes(question)
    replies_fail(world, times=1)
    later(world, every_s=4)
    assert world.again(question).state is ApprovalState.OPEN
    later(world, every_s=61)
    assert world.again(question).decided_by == ("responder-b",)
    assert world.contains() == []


@pytest.mark.parametrize(("told_s", "sent"), [(0, []), (600, [HOST])])
def test_no_when_typed_and_the_reading_failed_a_moment_ago_then_the_last_look_asks_if_it_may(
    world: World, told_s: int, sent: list[str]
) -> None:
    question = asked(world)
    replies_fail(world, wait_s=told_s)
    world.ticks(3, every_s=40)
    world.yes(question)

    def then_no() -> None:
        world.slack.behave()
        say(world, question, "deny CODE", RESPONDER_B)

    world.before.append((LAST_READ, then_no))
    later(world, every_s=1)
    assert world.again(question).decided_by == ("responder-a",)
    assert world.contains() == sent


def test_reply_when_it_can_be_read_again_then_it_counts_again(world: World) -> None:
    question = asked(world)
    replies_fail(world, times=1)
    say(world, question, "approve CODE")
    later(world)
    assert world.contains() == []
    later(world, every_s=61)
    assert world.contains() == [HOST]


def test_thread_when_nobody_types_then_it_is_read_at_a_pace(world: World) -> None:
    asked(world)
    before = len(world.sent)
    world.tick(linger_s=60)
    world.ticks(12, every_s=5)
    lines = world.sent[before:]
    reads = len([line for line in lines if "conversations.replies" in line])
    looks = len([line for line in lines if "reactions.get" in line])
    assert 3 <= reads <= looks / 2


def test_attempts_when_somebody_floods_the_thread_then_each_is_told_once(world: World) -> None:
    question = asked(world)
    for number in range(30):
        letters = "BCDFGHJKLM"
        code = f"ZZZ{letters[number % 10]}{letters[number // 10]}"
        say(world, question, f"approve {code}", "U0GUEST")
    world.ticks(3, every_s=20)
    told = [text for text in world.thread(question) if "does not count" in text]
    assert len(told) == 1
    assert "U0GUEST" in told[0]
    case = show_case(world.journal, world.config, world.case().id).text
    assert "(account U0GUEST) typed «approve»" in case


def test_no_when_typed_between_the_decision_and_the_call_then_nothing_is_sent(
    world: World,
) -> None:
    question = asked(world)
    world.yes(question)
    # The device is read once more just before the call: by then people had agreed.
    world.before.append((LAST_READ, lambda: say(world, question, "deny CODE", RESPONDER_B)))
    later(world)
    assert world.asked_to("contain") == []
    (entry,) = world.entries("stopped_before_call")
    assert entry.payload["by"] == ["responder-b"]


def test_thread_when_it_is_longer_than_it_may_be_read_then_what_is_typed_is_unknown(
    world: World,
) -> None:
    """As an app is served that is distributed outside the marketplace: one page a minute."""
    question = asked(world)
    say(world, question, "approve CODE")
    first = {
        "ok": True,
        "messages": [world.card(question), *world.slack.messages()[-1:]],
        "has_more": True,
        "response_metadata": {"next_cursor": "15"},
    }
    world.slack.misbehave(
        path="*conversations.replies", status=200, body=json.dumps(first), times=1
    )
    replies_fail(world, times=1)
    tick = later(world)
    assert world.contains() == []
    assert any("cannot be read just now" in error for error in tick.errors)


def test_thread_when_something_is_heard_there_then_it_is_read_at_once(world: World) -> None:
    question = asked(world)
    later(world)
    cards = world.service.crew.cards
    say(world, question, "deny CODE")
    cards.advance()
    assert world.again(question).state is ApprovalState.OPEN, "it was read a moment ago"
    cards.advance(heard=world.message_id(question))
    assert world.again(question).state is ApprovalState.DENIED


def test_thread_when_something_is_heard_elsewhere_then_it_is_read_no_sooner(world: World) -> None:
    question = asked(world)
    later(world)
    cards = world.service.crew.cards
    say(world, question, "deny CODE")
    cards.advance(heard="1700000000.000001")
    cards.advance()
    assert world.again(question).state is ApprovalState.OPEN


# -- a second chat ---------------------------------------------------------------------------------


def proved_in_both(world: World) -> None:
    """`check --send` with a person in each chat."""

    def tell(text: str) -> None:
        told = WORD.search(text)
        assert told is not None
        if text.startswith("slack"):
            world.slack.say(RESPONDER_A, CHANNEL, told[1], world.cards()[-1]["ts"])
        else:
            world.emulators.matrix.say(ADA, stand_in(world)["event_id"], told[1])

    results = ReplyCheck(world.service, letters, tell, 30).results()
    assert [one.ok for one in results] == [True, True]
    world.emulators.matrix.erase(stand_in(world)["event_id"])
    world.emulators.matrix._events.clear()


def test_second_chat_when_proved_there_then_its_card_takes_words_too(tmp_path: Path) -> None:
    with two_chats(tmp_path) as world:
        proved_in_both(world)
        question = asked_in_matrix(world)
        assert f"approve {question.code}" in text_in_matrix(world)
        world.emulators.matrix.say(BO, stand_in(world)["event_id"], f"approve {question.code}")
        world.ticks(1, 20)
        assert world.contains() == [HOST]
        assert world.again(question).decided_by == ("responder-b",)


def test_second_chat_when_a_no_is_typed_there_then_it_beats_the_yes_in_it(tmp_path: Path) -> None:
    with two_chats(tmp_path) as world:
        proved_in_both(world)
        question = asked_in_matrix(world)
        answer_in_matrix(world, YES)
        world.emulators.matrix.say(BO, stand_in(world)["event_id"], f"deny {question.code}")
        world.ticks(1, 20)
        assert world.contains() == []
        assert world.again(question).state is ApprovalState.DENIED


def test_second_chat_when_only_the_first_is_proved_then_its_card_takes_reactions_only(
    tmp_path: Path,
) -> None:
    with two_chats(tmp_path) as world:
        prove_first(world)
        question = asked_in_matrix(world)
        assert "thread:" not in text_in_matrix(world)
        world.emulators.matrix.say(BO, stand_in(world)["event_id"], f"approve {question.code}")
        world.ticks(1, 20)
        assert world.contains() == []
        answer_in_matrix(world, NO, BO)
        world.ticks(1, 20)
        assert world.again(question).state is ApprovalState.DENIED


def prove_first(world: World) -> None:
    def tell(text: str) -> None:
        if text.startswith("slack") and (told := WORD.search(text)) is not None:
            world.slack.say(RESPONDER_A, CHANNEL, told[1], world.cards()[-1]["ts"])

    results = ReplyCheck(world.service, letters, tell, 10).results()
    assert [one.ok for one in results] == [True, False]
    world.emulators.matrix._events.clear()
