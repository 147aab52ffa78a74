"""A second chat that stands in for the first: one set of answers, one decision, two cards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.config import ConfigFaults
from runner.journal.records import ApprovalState
from runner.views import show_status
from tests.second_chat import (
    ADA,
    BO,
    answer_in_matrix,
    asked,
    asked_in_matrix,
    matrix_is_down,
    slack_is_down,
    stand_ins,
    text_in_matrix,
    thread_in_matrix,
    two_chats,
)
from tests.world import World
from tests.world_settings import HOST, NO, RESPONDER_A, RESPONDER_B, YES


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with two_chats(tmp_path) as world:
        yield world


def hit_another(world: World) -> None:
    world.falcon.add_device(HOST, hostname="WORKSTATION9", status="normal")
    world.hit(host="WORKSTATION9", cmdline=r"wmic os get /format:C:\Temp\own.xsl")


# -- where the card comes to stand -----------------------------------------------------------------


def test_card_when_the_first_chat_takes_it_then_the_other_has_none(world: World) -> None:
    question = asked(world)
    world.ticks(3, 60)
    assert stand_ins(world) == []
    assert world.again(question).second is None


def test_card_when_the_first_chat_is_down_then_it_stands_in_the_other_and_says_so(
    world: World,
) -> None:
    question = asked_in_matrix(world)
    text = text_in_matrix(world)
    assert "stands in for slack" in text
    assert "a no there would come too late" in text
    assert question.message is None
    assert world.cards() == []
    assert len(world.entries("fallback_card_posted")) == 1


def test_card_when_the_first_chat_is_down_for_a_moment_then_the_other_has_none(
    world: World,
) -> None:
    world.arm()
    slack_is_down(world)
    world.hit()
    world.tick(5)
    assert stand_ins(world) == []
    world.slack.behave()
    world.ticks(2, 60)
    assert (len(world.cards()), stand_ins(world)) == (1, [])


def test_card_when_the_first_chat_refuses_it_then_it_stands_in_the_other_at_once(
    world: World,
) -> None:
    world.arm()
    body = '{"ok": false, "error": "is_archived"}'
    world.slack.misbehave(path="*chat.postMessage", times=None, status=200, body=body)
    world.hit()
    world.tick()
    assert "did not take it" in text_in_matrix(world)
    answer_in_matrix(world, YES)
    world.tick()
    assert world.contains() == [HOST]


def test_card_when_both_chats_refuse_it_then_void_and_a_person_is_needed(world: World) -> None:
    world.arm()
    body = '{"ok": false, "error": "is_archived"}'
    world.slack.misbehave(path="*chat.postMessage", times=None, status=200, body=body)
    world.emulators.matrix.misbehave(
        path="*/send/*", times=None, status=403, body='{"errcode": "M_FORBIDDEN"}'
    )
    world.hit()
    world.ticks(3, 60)
    asked = world.questions()
    assert {one.state for one in asked} == {ApprovalState.VOID}
    assert "is_archived" in str(asked[0].why)
    assert "M_FORBIDDEN" in str(asked[0].why)
    assert world.contains() == []


def test_card_when_both_chats_refuse_it_one_after_the_other_then_void(world: World) -> None:
    world.arm()
    body = '{"ok": false, "error": "is_archived"}'
    world.slack.misbehave(path="*chat.postMessage", times=None, status=200, body=body)
    world.emulators.matrix.misbehave(path="*/send/*", times=None, status=500, body="{}")
    world.hit()
    world.tick()
    first = world.question(ApprovalState.POSTING)
    world.emulators.matrix.behave()
    world.emulators.matrix.misbehave(
        path="*/send/*", times=None, status=403, body='{"errcode": "M_FORBIDDEN"}'
    )
    world.ticks(3, 60)
    ended = world.again(first)
    assert ended.state is ApprovalState.VOID
    assert "is_archived" in str(ended.why)
    assert "M_FORBIDDEN" in str(ended.why)


def test_card_when_nobody_can_say_whether_it_stands_then_the_question_runs_out(
    world: World,
) -> None:
    """Refused by the second chat; that the first one has it is not said, whoever asks."""
    world.arm()
    world.slack.misbehave(path="*chat.postMessage", times=None, lose_answer=True)
    refused = '{"ok": false, "error": "missing_scope"}'
    world.slack.misbehave(path="*conversations.history", times=None, status=200, body=refused)
    world.emulators.matrix.misbehave(
        path="*/send/*", times=None, status=403, body='{"errcode": "M_FORBIDDEN"}'
    )
    world.hit()
    world.ticks(3, 60)
    assert world.questions()[0].state is ApprovalState.POSTING
    world.ticks(2, 1800)
    assert world.questions()[0].state is ApprovalState.EXPIRED


def test_question_when_the_other_chat_refuses_the_cards_before_it_then_it_is_asked_there(
    world: World,
) -> None:
    world.arm()
    slack_is_down(world)
    world.emulators.matrix.misbehave(
        path="*/send/m.room.message/*", times=2, status=403, body='{"errcode": "M_FORBIDDEN"}'
    )
    world.hit()
    world.ticks(3, 60)
    for number in (7, 8, 9):
        host = f"WORKSTATION{number}"
        world.falcon.add_device(HOST, hostname=host, status="normal")
        world.hit(host=host, cmdline=rf"wmic os get /format:C:\Temp\own{number}.xsl")
        world.tick(5)
    world.ticks(2, 60)
    for card in stand_ins(world):
        world.emulators.matrix.react(ADA, card["event_id"], "\u2705")
    world.tick()
    assert world.contains()


def test_question_when_the_first_chat_goes_down_under_two_others_then_it_is_asked_in_the_other(
    world: World,
) -> None:
    asked(world)
    hit_another(world)
    world.tick()
    assert len(world.cards()) == 2
    slack_is_down(world)
    world.falcon.add_device(HOST, hostname="WORKSTATION8", status="normal")
    world.hit(host="WORKSTATION8", cmdline=r"wmic os get /format:C:\Temp\own8.xsl")
    world.ticks(4, 60)
    assert len(world.questions(ApprovalState.OPEN)) == len(stand_ins(world)) == 3


def test_card_when_the_first_chat_goes_down_after_it_was_posted_then_the_other_has_one_too(
    world: World,
) -> None:
    question = asked(world)
    slack_is_down(world)
    world.tick(5)
    assert stand_ins(world) == []
    world.ticks(3, 60)
    assert "stands in for slack" in text_in_matrix(world)
    answer_in_matrix(world, YES)
    world.tick()
    assert world.contains() == [HOST]
    assert world.again(question).decided_by == ("responder-a",)


def test_new_question_when_the_first_chat_is_down_already_then_it_does_not_wait_again(
    world: World,
) -> None:
    asked_in_matrix(world)
    hit_another(world)
    world.tick()
    assert len(world.questions(ApprovalState.OPEN)) == len(stand_ins(world)) == 2


def test_card_when_the_answer_to_posting_in_the_other_is_lost_then_it_is_found_and_not_repeated(
    world: World,
) -> None:
    world.emulators.matrix.misbehave(path="*/send/m.room.message/*", times=1, lose_answer=True)
    question = asked_in_matrix(world)
    world.ticks(2, 60)
    assert len(stand_ins(world)) == 1
    second = world.again(question).second
    assert second is not None
    assert second.message is not None


# -- one set of answers ----------------------------------------------------------------------------


def test_yes_when_given_in_the_other_chat_then_one_cut_and_both_cards_are_locked(
    world: World,
) -> None:
    question = asked(world)
    slack_is_down(world)
    world.ticks(4, 60)
    answer_in_matrix(world, YES)
    world.tick()
    assert world.contains() == [HOST]
    assert "APPROVED by responder-a in matrix" in text_in_matrix(world)
    assert "a no there was not seen" in text_in_matrix(world)
    assert not world.again(question).closed
    world.slack.behave()
    world.ticks(3, 60)
    assert "APPROVED by responder-a in matrix" in str(world.card(question))
    assert any("APPROVED" in text for text in world.thread(question))
    assert world.again(question).closed
    assert len(world.entries("question_approved")) == 1


def test_first_chat_when_it_comes_back_then_it_has_a_card_and_both_answers_are_one_set(
    tmp_path: Path,
) -> None:
    with two_chats(tmp_path, quorum=2) as world:
        question = asked_in_matrix(world)
        answer_in_matrix(world, YES)
        world.tick()
        assert world.contains() == []
        world.slack.behave()
        world.ticks(2, 60)
        question = world.question()
        assert "stands in matrix, too" in str(world.card(question))
        world.yes(question, RESPONDER_A)
        world.tick()
        assert world.contains() == [], "one person over two chats has one vote"
        world.yes(question, RESPONDER_B)
        world.tick()
        assert world.contains() == [HOST]
        assert world.again(question).decided_by == ("responder-a", "responder-b")
        assert "in matrix and in slack" in text_in_matrix(world)


def test_no_when_given_in_either_chat_then_it_beats_a_yes_in_the_other(world: World) -> None:
    question = asked_in_matrix(world)
    world.slack.behave()
    world.ticks(2, 60)
    question = world.question()
    world.no(question, RESPONDER_B)
    answer_in_matrix(world, YES)
    world.tick()
    assert world.again(question).state is ApprovalState.DENIED
    assert world.contains() == []
    assert "DENIED by responder-b in slack" in text_in_matrix(world)


def test_yes_when_chat_showed_it_before_it_went_down_then_it_stands_beside_the_other_chats(
    tmp_path: Path,
) -> None:
    with two_chats(tmp_path, quorum=2) as world:
        question = asked(world)
        world.yes(question, RESPONDER_A)
        world.tick()
        slack_is_down(world)
        world.ticks(4, 60)
        answer_in_matrix(world, YES, BO)
        world.tick()
        assert world.again(question).decided_by == ("responder-a", "responder-b")
        assert world.contains() == [HOST]


def test_no_when_it_stands_in_a_chat_that_nobody_could_read_then_it_is_told_and_how_to_undo(
    world: World,
) -> None:
    question = asked(world)
    slack_is_down(world)
    world.no(question, RESPONDER_B)
    world.ticks(4, 60)
    answer_in_matrix(world, YES)
    world.tick()
    assert world.contains() == [HOST]
    world.slack.behave()
    world.ticks(3, 60)
    assert world.again(question).state is ApprovalState.APPROVED
    said = "The no of responder-b in slack, which could not be read when this was decided, was seen"
    for thread in (thread_in_matrix(world), world.thread(question)):
        (told,) = [text for text in thread if said in text]
        assert f"stockade release {HOST}" in told
    assert len(world.entries("no_came_too_late")) == 1
    assert any(said in text for text in world.ticket_texts())
    assert world.contains() == [HOST]
    assert world.again(question).closed


def test_no_when_it_comes_in_either_chat_before_the_call_then_nothing_is_sent(
    world: World,
) -> None:
    question = asked(world)
    slack_is_down(world)
    world.ticks(4, 60)
    answer_in_matrix(world, YES)
    world.falcon.misbehave(status=503, body="{}", times=None)
    world.tick()
    assert world.again(question).due_at is not None
    world.slack.behave()
    world.no(question, RESPONDER_B)
    world.falcon.behave()
    world.ticks(3, 60)
    assert world.asked_to("contain") == []
    said = f"Nothing was sent to {HOST}: responder-b said no before anything was sent."
    for thread in (thread_in_matrix(world), world.thread(question)):
        assert [text for text in thread if said in text]


def test_yes_when_the_first_chat_fails_only_since_a_moment_then_it_waits_for_a_no_there(
    world: World,
) -> None:
    asked_in_matrix(world)
    world.slack.behave()
    world.ticks(2, 60)
    question = world.question()
    slack_is_down(world)
    world.no(question, RESPONDER_B)
    answer_in_matrix(world, YES)
    world.tick(5)
    assert world.again(question).state is ApprovalState.OPEN
    world.slack.behave()
    world.tick()
    assert world.again(question).state is ApprovalState.DENIED
    assert world.contains() == []


def test_thread_when_the_first_chat_falls_silent_again_then_the_other_says_so_in_time(
    world: World,
) -> None:
    question = asked_in_matrix(world)
    assert thread_in_matrix(world) == []
    world.slack.behave()
    world.ticks(2, 60)
    slack_is_down(world)
    world.ticks(4, 60)
    (said,) = thread_in_matrix(world)
    assert "slack could not be reached since" in said
    assert "a no there would come too late" in said
    answer_in_matrix(world, YES)
    world.tick()
    assert world.again(question).state is ApprovalState.APPROVED


def test_thread_when_the_other_chat_falls_silent_then_the_first_says_so(world: World) -> None:
    asked_in_matrix(world)
    world.slack.behave()
    world.ticks(2, 60)
    matrix_is_down(world)
    world.ticks(4, 60)
    assert "matrix could not be reached since" in "".join(world.thread(world.question()))


def test_no_when_the_first_chat_fails_only_since_a_moment_then_it_counts_at_once(
    world: World,
) -> None:
    asked_in_matrix(world)
    world.slack.behave()
    world.ticks(2, 60)
    slack_is_down(world)
    answer_in_matrix(world, NO)
    world.tick(5)
    assert world.questions()[0].state is ApprovalState.DENIED


def test_answer_when_the_account_is_not_the_one_of_that_chat_then_it_does_not_count(
    world: World,
) -> None:
    question = asked_in_matrix(world)
    world.emulators.matrix.members["@guest:elsewhere.test"] = "join"
    answer_in_matrix(world, YES, "@guest:elsewhere.test")
    world.tick()
    assert world.contains() == []
    (vote,) = world.again(question).votes
    assert (vote.counted, vote.is_second) == (False, True)
    assert any("does not count" in text for text in thread_in_matrix(world))


def test_person_when_without_an_account_in_the_other_chat_then_no_answer_there(
    tmp_path: Path,
) -> None:
    with two_chats(tmp_path) as world:
        world.restart({"people": {"responder-b": {"matrix": None}}})
        assert any("responder-b has no matrix account" in text for text in world.config.warnings)
        asked_in_matrix(world)
        answer_in_matrix(world, YES, BO)
        world.tick()
        assert world.contains() == []
        answer_in_matrix(world, YES, ADA)
        world.tick()
        assert world.contains() == [HOST]


@pytest.mark.parametrize("name", ["Evil User", "Bob"])
def test_answer_when_its_account_can_not_be_called_then_it_is_named_and_the_thread_goes_on(
    world: World, name: str
) -> None:
    asked_in_matrix(world)
    answer_in_matrix(world, YES, f"@{name}:{ADA.partition(':')[2]}")
    world.ticks(2, 900)
    told = thread_in_matrix(world)
    assert any(name in text and "does not count" in text for text in told)
    assert any("Still open" in text for text in told)


# -- cards that are spoiled ------------------------------------------------------------------------


def test_card_when_deleted_in_the_other_chat_then_void_and_asked_anew(world: World) -> None:
    question = asked_in_matrix(world)
    world.emulators.matrix.erase(stand_ins(world)[0]["event_id"])
    world.ticks(2, 60)
    assert world.again(question).state is ApprovalState.VOID
    assert world.question().id != question.id
    assert len(stand_ins(world)) == 2


# -- the roles are given to other connectors -------------------------------------------------------

SWAPPED = {"roles": {"chat": "matrix", "chat_fallback": "slack"}}


def test_roles_when_swapped_while_a_question_is_open_then_void_and_asked_anew(
    world: World,
) -> None:
    question = asked(world)
    world.restart(SWAPPED)
    world.ticks(3, 60)
    ended = world.again(question)
    assert ended.state is ApprovalState.VOID
    assert "went to slack, and roles.chat names matrix now" in str(ended.why)
    assert len(world.cards()) == 1, "no second card in the same channel"
    assert world.thread(question) == []
    assert len(stand_ins(world)) == 1
    world.yes(question)
    world.tick()
    assert world.contains() == []
    answer_in_matrix(world, YES)
    world.tick()
    assert world.contains() == [HOST]


def test_roles_when_swapped_and_the_card_stands_in_the_other_chat_then_void(world: World) -> None:
    question = asked_in_matrix(world)
    world.slack.behave()
    world.restart(SWAPPED)
    world.tick()
    assert world.again(question).state is ApprovalState.VOID
    assert thread_in_matrix(world) == []


def test_roles_when_swapped_after_the_decision_then_nothing_is_sent_to_a_stranger(
    world: World,
) -> None:
    question = asked(world)
    world.no(question)
    world.slack.misbehave(path="*chat.[up]*", times=None, status=500, body="{}")
    world.tick()
    assert world.again(question).state is ApprovalState.DENIED
    assert not world.again(question).closed
    world.slack.behave()
    world.restart(SWAPPED)
    ticks = world.ticks(3, 60)
    assert world.service.crew.cards.trouble == {}
    assert [error for tick in ticks for error in tick.errors if "no room id" in error] == []
    assert world.again(question).closed
    assert stand_ins(world) == []


# -- both down -------------------------------------------------------------------------------------


def test_both_when_down_then_the_command_line_decides(world: World) -> None:
    from runner.answering import give_answer, plan_answer

    question = asked_in_matrix(world)
    matrix_is_down(world)
    plan = plan_answer(world.journal, world.config, question.code, "approve", None, "bo")
    give_answer(world.journal, plan, "bo")
    world.tick()
    assert world.contains() == [HOST]
    settled = world.again(question)
    assert settled.decided_by == ("responder-b",)
    assert set(settled.unread) == {"slack", "matrix"}


def test_both_when_down_then_time_runs_out_and_it_is_a_no(world: World) -> None:
    question = asked_in_matrix(world)
    matrix_is_down(world)
    world.ticks(2, 1800)
    assert world.again(question).state is ApprovalState.EXPIRED
    assert world.contains() == []


# -- what one chat does not hold up in the other ---------------------------------------------------


def test_locking_when_one_chat_is_down_then_other_questions_go_on(world: World) -> None:
    first = asked(world)
    slack_is_down(world)
    world.ticks(4, 60)
    answer_in_matrix(world, YES)
    world.tick()
    assert not world.again(first).closed
    hit_another(world)
    world.tick()
    assert world.question().id != first.id
    world.emulators.matrix.react(ADA, stand_ins(world)[1]["event_id"], "\u2705")
    world.tick()
    assert sorted(world.contains()) == [HOST, "WORKSTATION9"]


def test_thread_when_the_first_chat_is_down_then_the_reminder_is_where_the_card_is(
    world: World,
) -> None:
    asked_in_matrix(world)
    world.ticks(1, 1000)
    (reminder,) = thread_in_matrix(world)
    assert "Still open" in reminder
    assert ADA.partition(":")[0].lstrip("@") in reminder


def test_status_when_a_chat_is_down_then_it_says_so_and_where_the_card_stands(
    world: World,
) -> None:
    asked_in_matrix(world)
    text = show_status(world.journal, world.config, None).text
    assert "slack not reached since 2026-11-25" in text
    assert "a card stands in matrix, the fall-back chat" in text


def test_check_when_a_fallback_is_configured_then_both_chats_are_tried(world: World) -> None:
    from runner.checks import check

    text = check(world.service).text
    assert "chat (slack): Slack takes the token" in text
    assert "chat_fallback (matrix): Matrix takes the token" in text
    matrix_is_down(world)
    assert "BAD  chat_fallback (matrix)" in check(world.service).text


# -- the configuration -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"roles": {"chat_fallback": "slack"}}, "would be down with it"),
        ({"roles": {"chat_fallback": "jira"}}, "is of role tickets"),
        ({"roles": {"chat_fallback": "nowhere"}}, "there is no connector"),
        ({"approvals": {"fallback_after_s": 1800}}, "not before the question expires"),
        (
            {"people": {"responder-a": {"matrix": None}}, "approvals": {"quorum": 2}},
            "approvals.approvers: 1 of them can answer in the fall-back chat",
        ),
        (
            {
                "people": {"responder-a": {"matrix": None}},
                "approvals": {"tiers": {"server": {"approvers": ["responder-a"], "quorum": 1}}},
            },
            "approvals.tiers.server.approvers: 0 of them",
        ),
        (
            {"approvals": {"approvers": ["responder-a", "S0RESPONDERS"], "quorum": 2}},
            "a user group cannot be read while its chat is down",
        ),
        (
            {"roles": {"chat_fallback": None}, "approvals": {"fallback_after_s": 60}},
            "roles has no `chat_fallback`",
        ),
    ],
)
def test_config_when_the_fallback_could_not_do_its_work_then_refused(
    world: World, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigFaults) as refused:
        world.configure(changes)
    assert said in str(refused.value)
