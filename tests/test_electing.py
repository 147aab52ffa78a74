"""Whom a question is put to: by kind of device, and after a while the next people, too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from connectors.model import Device, DeviceKind
from runner.config import Approvals, Tier
from runner.electing import rule_for
from runner.journal.records import Approval, ApprovalState
from tests.world import World, running_world
from tests.world_settings import HOST, RESPONDER_A, RESPONDER_B

POLICY = Approvals(
    approvers=("ada", "bo"),
    tiers={
        "server": Tier(approvers=("cy", "ada", "dee"), quorum=2),
        "domain_controller": Tier(approvers=("dee", "ada"), quorum=1),
    },
)
W, S = DeviceKind.WORKSTATION, DeviceKind.SERVER
DC, UNKNOWN = DeviceKind.DOMAIN_CONTROLLER, DeviceKind.UNKNOWN


@pytest.mark.parametrize(
    ("kinds", "approvers", "quorum"),
    [
        ((), ("ada", "bo"), 1),
        ((W,), ("ada", "bo"), 1),
        ((S,), ("cy", "ada", "dee"), 2),
        ((UNKNOWN,), ("cy", "ada", "dee"), 2),
        ((DC,), ("dee", "ada"), 1),
        ((W, S), ("ada",), 2),
        ((DC, S), ("dee", "ada"), 2),
        ((W, UNKNOWN, DC), ("ada",), 2),
    ],
)
def test_rule_when_kinds_are_mixed_then_the_strictest(
    kinds: tuple[DeviceKind, ...], approvers: tuple[str, ...], quorum: int
) -> None:
    devices = [
        Device(instance="f", tenant="t", device_id=str(number), hostname="h", kind=kind)
        for number, kind in enumerate(kinds)
    ]
    assert rule_for(POLICY, devices) == Tier(approvers=approvers, quorum=quorum)


def asked(world: World) -> Approval:
    world.arm()
    world.hit()
    world.tick()
    return world.question()


def test_tier_when_it_needs_two_then_one_yes_is_not_enough(tmp_path: Path) -> None:
    both = ["responder-a", "responder-b"]
    tiers = {"workstation": {"approvers": both, "quorum": 2}}
    with running_world(tmp_path, {"approvals": {"tiers": tiers}}) as world:
        question = asked(world)
        world.yes(question)
        world.tick()
        assert world.contains() == []
        world.yes(question, RESPONDER_B)
        world.tick()
        assert world.contains() == [HOST]


def test_tier_when_somebody_is_only_in_the_general_list_then_does_not_count(tmp_path: Path) -> None:
    tiers = {"workstation": {"approvers": ["responder-a"]}}
    with running_world(tmp_path, {"approvals": {"tiers": tiers}}) as world:
        question = asked(world)
        world.yes(question, RESPONDER_B)
        world.tick()
        assert world.contains() == []
        (vote,) = world.again(question).votes
        assert vote.why_not == "you are not on the list of approvers"


@pytest.fixture
def next_in_line(tmp_path: Path) -> Iterator[World]:
    policy = {
        "approvers": ["responder-a"],
        "escalate_to": ["responder-b"],
        "escalate_after_s": 600,
    }
    with running_world(tmp_path, {"approvals": policy}) as world:
        yield world


def test_escalation_when_the_time_has_not_come_then_the_next_people_do_not_count(
    next_in_line: World,
) -> None:
    question = asked(next_in_line)
    assert question.opened_at is not None
    next_in_line.yes(question, RESPONDER_B)
    until_then = (question.opened_at - next_in_line.clock.now()).total_seconds() + 599
    next_in_line.clock.advance(until_then)
    next_in_line.tick(linger_s=0)
    assert next_in_line.contains() == []
    assert next_in_line.entries("question_escalated") == []


def test_escalation_when_due_then_called_once_journalled_and_their_yes_counts(
    next_in_line: World,
) -> None:
    question = asked(next_in_line)
    next_in_line.clock.advance(600)
    next_in_line.tick(linger_s=0)
    next_in_line.restart()
    next_in_line.ticks(2, every_s=10)
    (entry,) = next_in_line.entries("question_escalated")
    assert entry.payload == {"to": ["responder-b"]}
    told = [text for text in next_in_line.thread(question) if "may answer now" in text]
    assert told == [f"Not decided yet: responder-b may answer now, too. <@{RESPONDER_B}>"]
    next_in_line.yes(question, RESPONDER_B)
    next_in_line.tick()
    assert next_in_line.contains() == [HOST]


@pytest.mark.parametrize(("after_s", "is_quick"), [(4, True), (6, False)])
def test_yes_when_it_came_at_once_then_the_thread_and_the_journal_say_so(
    tmp_path: Path, after_s: float, is_quick: bool
) -> None:
    with running_world(tmp_path, {}) as world:
        question = asked(world)
        assert question.opened_at is not None
        since = (world.clock.now() - question.opened_at).total_seconds()
        world.clock.advance(after_s - since)
        world.yes(question, RESPONDER_A)
        world.tick(linger_s=0)
        assert world.again(question).state is ApprovalState.APPROVED
        assert bool(world.entries("question_approved_quickly")) is is_quick
        world.ticks(2, every_s=10)
        assert world.contains() == [HOST]
        told = [text for text in world.thread(question) if "was it read?" in text]
        assert len(told) == is_quick


@pytest.mark.parametrize(
    "more",
    [
        {"escalate_to": ["responder-b"]},
        {"tiers": {"workstation": {"approvers": ["responder-a", "responder-b"]}}},
    ],
)
def test_release_when_started_by_nobody_we_know_then_a_second_yes_whoever_may_answer_later(
    tmp_path: Path, more: dict[str, object]
) -> None:
    """Whoever typed the command may be any of those who answer, the next people among them."""
    with running_world(tmp_path, {"approvals": {"approvers": ["responder-a"], **more}}) as world:
        world.yes(asked(world))
        world.ticks(2, every_s=60)
        assert world.contains() == [HOST]
        assert world.release(HOST, actor="stranger").code == 0
        world.tick()
        question = world.question(ApprovalState.OPEN)
        assert question.quorum == 2
        world.yes(question)
        world.ticks(2, every_s=60)
        assert world.lifts() == []


WARDOG = {"responder-a": {"windows_user": [r"WORKGROUP\wardog"]}}
"""The alert's own user: it concerns responder-a's account."""


def card_lines(world: World) -> str:
    card = world.question(ApprovalState.OPEN).card
    assert card is not None
    return json.dumps([msgspec.to_builtins(block) for block in card.body.blocks])


def test_card_when_asked_then_says_who_may_answer_and_who_is_next(next_in_line: World) -> None:
    asked(next_in_line)
    said = card_lines(next_in_line)
    assert "may answer: responder-a; then responder-b, too (called after 10 min)" in said


def test_card_when_the_only_approver_is_concerned_then_the_next_are_called_at_once(
    tmp_path: Path,
) -> None:
    policy = {"approvers": ["responder-a"], "escalate_to": ["responder-b"]}
    with running_world(tmp_path, {"approvals": policy, "people": WARDOG}) as world:
        question = asked(world)
        said = card_lines(world)
        assert "may answer: nobody; then responder-b, too (called at once)" in said
        assert "left out of this question: responder-a" in said
        world.tick()
        assert len(world.entries("question_escalated")) == 1
        world.yes(question, RESPONDER_B)
        world.tick()
        assert world.contains() == [HOST]


def test_card_when_too_few_are_left_then_says_that_it_can_only_end_as_a_no(
    tmp_path: Path,
) -> None:
    policy = {"approvers": ["responder-a", "responder-b"], "quorum": 2}
    with running_world(tmp_path, {"approvals": policy, "people": WARDOG}) as world:
        question = asked(world)
        assert "TOO FEW for the 2 needed: it can only end as a no" in card_lines(world)
        world.yes(question)
        world.yes(question, RESPONDER_B)
        world.ticks(2, every_s=60)
        assert world.contains() == []
