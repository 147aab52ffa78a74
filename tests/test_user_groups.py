"""Slack user groups among the approvers: who is in one is read live, and doubt is nobody."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from connectors.emulators.slack_workspace import USER_GROUP
from runner.config import ConfigFaults
from runner.group_check import check_groups
from runner.journal.records import Approval, ApprovalState
from runner.user_groups import UserGroups
from tests.acting import PATIENCE_S, wait_for
from tests.second_chat import ADA, BO, answer_in_matrix, asked_in_matrix, text_in_matrix, two_chats
from tests.test_answering import PEOPLE, answer
from tests.world import World, running_world
from tests.world_settings import HOST, RESPONDER_A, RESPONDER_B, YES

GROUP = {"approvers": [USER_GROUP]}


def group_world(folder: Path, **approvals: Any) -> Any:
    return running_world(folder, {"approvals": {**GROUP, **approvals}, "people": PEOPLE})


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with group_world(tmp_path) as world:
        yield world


def asked(world: World) -> Approval:
    world.arm()
    world.hit()
    world.tick()
    return world.question()


def card_text(world: World, question: Approval) -> str:
    return json.dumps(world.card(question)["blocks"])


def checked(world: World) -> str:
    return "\n".join(f"{one.ok} {one.what} {one.mend}" for one in check_groups(world.service))


def why_nots(world: World, question: Approval) -> list[str | None]:
    return [vote.why_not for vote in world.again(question).votes]


def test_yes_when_by_a_member_then_it_cuts_and_the_card_names_the_members(world: World) -> None:
    question = asked(world)
    assert "may answer: responder-a, responder-b" in card_text(world, question)
    world.yes(question, RESPONDER_B)
    world.ticks(1, every_s=5)
    assert world.contains() == [HOST]
    assert world.again(question).decided_by == ("responder-b",)


def test_yes_when_taken_out_of_the_group_since_then_it_does_not_count(world: World) -> None:
    question = asked(world)
    world.slack.groups[USER_GROUP] = [RESPONDER_B]
    world.yes(question, RESPONDER_A)
    world.ticks(1, every_s=31)
    assert world.contains() == []
    assert why_nots(world, question) == ["you are not on the list of approvers"]


def test_yes_when_the_member_is_nobody_under_people_then_it_does_not_count(world: World) -> None:
    stranger = "U0NEWCOMER"
    world.slack.people[stranger] = {**world.slack.people[RESPONDER_A], "id": stranger}
    world.slack.groups[USER_GROUP].append(stranger)
    question = asked(world)
    world.yes(question, stranger)
    world.ticks(1, every_s=31)
    assert world.contains() == []
    assert "1 more in it may not answer" in checked(world)


@pytest.mark.parametrize("change", [{"is_restricted": True}, {"deleted": True}, {"is_bot": True}])
def test_yes_when_the_member_is_no_active_full_member_then_it_does_not_count(
    world: World, change: dict[str, bool]
) -> None:
    world.slack.people[RESPONDER_A] |= change
    question = asked(world)
    world.yes(question)
    world.ticks(1, every_s=31)
    assert world.contains() == []


def disable(world: World) -> None:
    world.slack.disabled_groups.add(USER_GROUP)


def empty(world: World) -> None:
    world.slack.groups[USER_GROUP] = []


def remove(world: World) -> None:
    del world.slack.groups[USER_GROUP]


def unscope(world: World) -> None:
    world.slack.tune(scopes=world.slack.scopes.replace("usergroups:read,", ""))


def garble(world: World) -> None:
    body = json.dumps({"ok": True, "users": [RESPONDER_A, 7]})
    world.slack.misbehave(path="*usergroups*", status=200, body=body, times=None)


def limit(world: World) -> None:
    body = json.dumps({"ok": False, "error": "ratelimited"})
    world.slack.misbehave(
        path="*usergroups*", status=429, body=body, headers={"Retry-After": "60"}, times=None
    )


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (disable, "disabled"),
        (empty, "empty or disabled"),
        (remove, "no such user group"),
        (unscope, "needs the scope usergroups:read"),
        (garble, "no list of accounts"),
        (limit, "429"),
    ],
)
def test_group_when_it_cannot_be_read_then_it_approves_nothing_and_is_named(
    world: World, harm: Any, why: str
) -> None:
    question = asked(world)
    harm(world)
    world.yes(question)
    (tick,) = world.ticks(1, every_s=31)
    assert world.contains() == []
    assert any(f"user group {USER_GROUP} cannot be read" in error for error in tick.errors)
    assert "could not be read just now" in str(why_nots(world, question)[0])
    said = checked(world)
    assert f"False user group {USER_GROUP}" in said
    assert why in said


def test_group_when_it_could_not_be_read_at_the_posting_then_the_card_says_so_and_it_heals(
    world: World,
) -> None:
    world.slack.disabled_groups.add(USER_GROUP)
    question = asked(world)
    shown = card_text(world, question)
    assert f"user group {USER_GROUP} cannot be read" in shown
    assert "TOO FEW" in shown
    world.yes(question)
    world.ticks(1, every_s=31)
    assert world.contains() == []
    world.slack.disabled_groups.clear()
    world.ticks(1, every_s=31)
    assert world.contains() == [HOST]


def test_quorum_when_the_group_is_too_small_then_check_says_so(tmp_path: Path) -> None:
    with group_world(tmp_path, quorum=2) as world:
        assert "enough people" not in checked(world)
        world.slack.groups[USER_GROUP] = [RESPONDER_A]
        assert "False approvals: enough people 2 must agree, and 1 may answer now" in checked(world)


def test_quorum_when_a_person_is_named_and_in_the_group_then_it_is_one_vote(
    tmp_path: Path,
) -> None:
    with group_world(tmp_path, quorum=2, approvers=["responder-a", USER_GROUP]) as world:
        question = asked(world)
        world.yes(question)
        world.ticks(1, every_s=31)
        assert world.contains() == []
        world.yes(question, RESPONDER_B)
        world.ticks(1, every_s=31)
        assert world.contains() == [HOST]


def test_answer_when_given_here_then_it_counts_only_for_a_member(tmp_path: Path) -> None:
    with group_world(tmp_path, cli=True) as world:
        world.slack.groups[USER_GROUP] = [RESPONDER_B]
        question = asked(world)
        assert answer(world, "approve", "ada") == 0
        world.ticks(1, every_s=31)
        assert world.contains() == []
        assert answer(world, "approve", "bo") == 0
        world.ticks(1, every_s=31)
        assert world.contains() == [HOST]
        assert world.again(question).state is ApprovalState.APPROVED


def test_reads_when_a_card_is_open_then_the_group_is_asked_at_a_pace(world: World) -> None:
    asked(world)
    before = len(world.sent)
    world.ticks(12, every_s=5)
    reads = [line for line in world.sent[before:] if "usergroups" in line]
    assert 1 <= len(reads) <= 5


@pytest.mark.parametrize(
    "approvals",
    [
        {"mention": [USER_GROUP]},
        {"approvers": ["@responders"]},
        {"approvers": ["S0respond"]},
        {"approvers": [USER_GROUP, USER_GROUP]},
    ],
)
def test_config_when_a_group_is_named_where_none_may_be_then_refused(
    world: World, approvals: dict[str, Any]
) -> None:
    with pytest.raises(ConfigFaults):
        world.configure({"approvals": approvals})


def test_second_chat_when_slack_is_down_then_only_who_is_named_beside_the_group_counts(
    tmp_path: Path,
) -> None:
    with two_chats(tmp_path, approvers=[USER_GROUP, "responder-b"]) as world:
        question = asked_in_matrix(world)
        assert f"user group {USER_GROUP} cannot be read" in text_in_matrix(world)
        answer_in_matrix(world, YES, ADA)
        world.ticks(1, every_s=31)
        assert world.contains() == []
        assert "could not be read just now" in str(why_nots(world, question)[0])
        answer_in_matrix(world, YES, BO)
        world.ticks(1, every_s=31)
        assert world.contains() == [HOST]


def test_check_when_nobody_could_answer_while_slack_is_down_then_it_says_so(
    tmp_path: Path,
) -> None:
    said = "while the user groups' chat is down, 0 may answer elsewhere"
    with group_world(tmp_path, cli=True) as world:
        assert said in checked(world)
        world.restart({"approvals": {"approvers": [USER_GROUP, "responder-a"]}})
        assert "while the user groups' chat" not in checked(world)


# -- several threads -------------------------------------------------------------------------------


def test_policy_when_another_thread_reads_then_it_waits_and_never_sees_the_group_itself(
    world: World,
) -> None:
    """An app on chat's side takes its time; whoever asks meanwhile must not get half a reading."""
    groups = UserGroups(world.config, world.service.roles, world.clock)
    reads, goes_on = Event(), Event()

    def hold() -> None:
        reads.set()
        assert goes_on.wait(PATIENCE_S)

    world.before.append(("*usergroups.users.list*", hold))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(groups.policy)
        assert reads.wait(PATIENCE_S)
        second = pool.submit(groups.policy)
        wait_for(lambda: second.done() or groups._turn.locked())
        goes_on.set()
        policies = [first.result(PATIENCE_S), second.result(PATIENCE_S)]
    assert [policy.approvers for policy in policies] == [("responder-a", "responder-b")] * 2
    assert groups.faults == {}


def test_no_when_the_group_that_may_hold_the_person_cannot_be_read_then_it_counts(
    tmp_path: Path,
) -> None:
    with group_world(tmp_path, approvers=["responder-a", USER_GROUP]) as world:
        world.slack.groups[USER_GROUP] = [RESPONDER_B]
        question = asked(world)
        limit(world)
        world.no(question, RESPONDER_B)
        world.yes(question, RESPONDER_A)
        world.ticks(1, every_s=31)
        assert world.again(question).state is ApprovalState.DENIED
        assert world.again(question).decided_by == ("responder-b",)
        assert world.contains() == []


def test_no_when_the_group_cannot_be_read_at_the_last_look_then_nothing_is_sent(
    tmp_path: Path,
) -> None:
    with group_world(tmp_path, approvers=["responder-a", USER_GROUP], cli=True) as world:
        world.slack.groups[USER_GROUP] = [RESPONDER_B]
        question = asked(world)
        world.yes(question, RESPONDER_A)
        world.falcon.misbehave(status=503, body="{}", times=None)
        world.tick()
        limit(world)
        assert answer(world, "deny", "bo") == 0
        world.falcon.behave()
        world.ticks(1, every_s=61)
        assert world.asked_to("contain") == []
        (entry,) = world.entries("stopped_before_call")
        assert entry.payload["by"] == ["responder-b"]


def test_no_when_the_group_can_be_read_and_the_person_is_not_in_it_then_it_does_not_count(
    tmp_path: Path,
) -> None:
    with group_world(tmp_path, approvers=["responder-a", USER_GROUP]) as world:
        world.slack.groups[USER_GROUP] = [RESPONDER_A]
        question = asked(world)
        world.no(question, RESPONDER_B)
        world.ticks(1, every_s=31)
        assert world.again(question).state is ApprovalState.OPEN
