"""Answers that are given on the runner's machine: one decision with those in chat, same rules."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.answering import Refused, give_answer, plan_answer
from runner.config import ConfigFaults
from runner.journal.records import Approval, ApprovalState
from tests.world import World, running_world
from tests.world_settings import HOST, RESPONDER_B

PEOPLE = {"responder-a": {"os_user": "ada"}, "responder-b": {"os_user": "bo"}}


def cli_world(folder: Path, **approvals: Any) -> Any:
    return running_world(folder, {"approvals": {"cli": True, **approvals}, "people": PEOPLE})


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with cli_world(tmp_path) as world:
        yield world


def asked(world: World) -> Approval:
    world.arm()
    world.hit()
    world.tick()
    return world.question()


def answer(world: World, word: str, login: str, which: str | None = None) -> int:
    code = world.questions()[-1].code
    plan = plan_answer(world.journal, world.config, code, word, which, login)
    return give_answer(world.journal, plan, login).code


def refused(world: World, word: str, login: str, which: str | None = None) -> str:
    with pytest.raises(Refused) as why:
        answer(world, word, login, which)
    return str(why.value)


def chat_is_down(world: World) -> None:
    world.slack.misbehave(path="*", status=500, body="{}", times=None)


def test_yes_when_given_here_then_it_cuts_and_the_thread_says_so(world: World) -> None:
    question = asked(world)
    assert answer(world, "approve", "ada") == 0
    world.tick()
    assert world.contains() == [HOST]
    assert world.again(question).decided_by == ("responder-a",)
    said = "responder-a answered «approve» on the runner's machine (login ada)."
    assert [text for text in world.thread(question) if "machine" in text] == [said]
    assert len(world.entries("answered_here")) == 1


def test_yes_when_chat_is_down_then_it_still_cuts_and_is_told_later(world: World) -> None:
    question = asked(world)
    chat_is_down(world)
    world.tick()
    assert world.contains() == []
    answer(world, "approve", "ada")
    world.ticks(2, every_s=30)
    assert world.contains() == [HOST]
    world.slack.behave()
    world.ticks(3, every_s=90)
    assert any("APPROVED by responder-a" in text for text in world.thread(question))
    assert (
        sum("on the runner's machine (login ada)" in text for text in world.thread(question)) == 1
    )


def test_yes_when_the_card_was_never_posted_then_it_counts_all_the_same(world: World) -> None:
    chat_is_down(world)
    world.arm()
    world.hit()
    world.tick()
    assert [one.state for one in world.questions()] == [ApprovalState.POSTING]
    answer(world, "approve", "ada")
    world.ticks(2, every_s=30)
    assert world.contains() == [HOST]


def test_no_when_given_here_then_it_beats_a_yes_in_chat(world: World) -> None:
    question = asked(world)
    answer(world, "deny", "bo")
    world.yes(question)
    world.ticks(2, every_s=30)
    assert world.contains() == []
    assert world.again(question).state is ApprovalState.DENIED


def test_quorum_when_one_person_answers_in_both_places_then_it_is_one_vote(
    tmp_path: Path,
) -> None:
    with cli_world(tmp_path, quorum=2) as world:
        question = asked(world)
        world.yes(question)
        answer(world, "approve", "ada")
        world.ticks(2, every_s=30)
        assert world.contains() == []
        world.yes(question, RESPONDER_B)
        world.ticks(2, every_s=30)
        assert world.contains() == [HOST]


def test_quorum_when_one_answers_in_chat_and_one_here_while_it_is_down_then_both_count(
    tmp_path: Path,
) -> None:
    with cli_world(tmp_path, quorum=2) as world:
        question = asked(world)
        world.yes(question)
        world.tick()
        chat_is_down(world)
        answer(world, "approve", "bo")
        world.ticks(2, every_s=30)
        assert world.contains() == [HOST]


def test_answer_when_it_comes_too_late_then_nothing_is_done(world: World) -> None:
    question = asked(world)
    chat_is_down(world)
    world.clock.advance(question.expires_s - 1)
    answer(world, "approve", "ada")
    world.clock.advance(2)
    world.ticks(2, every_s=30)
    assert world.contains() == []
    assert world.again(question).state is ApprovalState.EXPIRED


def test_answer_when_cli_is_off_then_refused(tmp_path: Path) -> None:
    with running_world(tmp_path, {"people": PEOPLE}) as world:
        asked(world)
        assert "approvals.cli is off" in refused(world, "approve", "ada")


@pytest.mark.parametrize(
    ("login", "word", "which", "why"),
    [
        ("mallory", "approve", None, "nobody's os_user"),
        ("operator", "approve", None, "not among those who may answer it now"),
        ("ada", "approve", "7", "say which: approve CODE: approve"),
    ],
)
def test_answer_when_it_may_not_be_given_then_one_sentence_and_nothing_is_noted(
    world: World, login: str, word: str, which: str | None, why: str
) -> None:
    asked(world)
    assert why in refused(world, word, login, which)
    world.ticks(2, every_s=30)
    assert world.contains() == []
    assert world.entries("answered_here") == []


def test_answer_when_it_concerns_the_person_then_refused(tmp_path: Path) -> None:
    people = {"responder-a": {"os_user": "ada", "windows_user": [r"WORKGROUP\wardog"]}}
    settings = {"approvals": {"cli": True}, "people": people}
    with running_world(tmp_path, settings) as world:
        asked(world)
        assert "your own account" in refused(world, "approve", "ada")


def test_answer_when_an_approver_is_taken_off_the_list_before_the_look_then_it_counts_no_more(
    world: World,
) -> None:
    question = asked(world)
    answer(world, "approve", "ada")
    world.restart({"approvals": {"approvers": ["responder-b"]}})
    world.ticks(2, every_s=30)
    assert world.contains() == []
    (vote,) = world.again(question).votes
    assert (vote.account, vote.why_not) == ("login:ada", "you are not on the list of approvers")


@pytest.mark.parametrize(
    ("people", "why"),
    [
        ({"responder-a": {"os_user": "root"}}, "everybody who may be it"),
        ({}, "no approver has an os_user"),
    ],
)
def test_config_when_logins_are_missing_or_shared_then_refused(
    tmp_path: Path, people: dict[str, Any], why: str
) -> None:
    settings = {"approvals": {"cli": True}, "people": people}
    with pytest.raises(ConfigFaults) as faults, running_world(tmp_path, settings):
        pass
    assert why in str([str(fault) for fault in faults.value.faults])


def test_answer_when_cli_is_switched_off_before_the_look_then_it_counts_no_more(
    world: World,
) -> None:
    question = asked(world)
    answer(world, "approve", "ada")
    world.restart({"approvals": {"cli": False}})
    world.ticks(2, every_s=30)
    assert world.contains() == []
    assert [vote.why_not for vote in world.again(question).votes] == [
        "answers are taken in chat only"
    ]


def test_answer_when_the_decided_card_cannot_be_locked_then_other_questions_go_on(
    world: World,
) -> None:
    question = asked(world)
    chat_is_down(world)
    answer(world, "approve", "ada")
    world.ticks(2, every_s=30)
    assert world.contains() == [HOST]
    world.slack.behave()
    world.slack.misbehave(path="*chat.update", status=500, body="{}", times=None)
    world.falcon.add_device(HOST, hostname="WORKSTATION9", status="normal")
    world.hit(host="WORKSTATION9", cmdline=r"wmic os get /format:C:\Temp\own.xsl")
    world.ticks(2, every_s=30)
    (other,) = [one for one in world.questions(ApprovalState.OPEN) if one.id != question.id]
    world.yes(other)
    assert all(not tick.is_busy for tick in world.ticks(3, every_s=30))
    assert sorted(world.contains()) == [HOST, "WORKSTATION9"]
