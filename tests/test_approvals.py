"""Every way to get a yes from nobody who may say it, tried on the real cards: none works."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.emulators.slack_workspace import BOT_USER, CHANNEL, OTHER_CHANNEL
from runner.config import ConfigFaults
from runner.journal.records import Approval, ApprovalState, SubjectState
from tests.world import World, running_world
from tests.world_settings import HOST, NO, RESPONDER_A, RESPONDER_B, SUSPICIOUS, YES, malicious

PEOPLE = {
    "guest": {"slack": "U0GUEST"},
    "single": {"slack": "U0SINGLE"},
    "bot": {"slack": "U0OTHERBOT"},
    "gone": {"slack": "U0GONE"},
    "stranger": {"slack": "U0STRANGER"},
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path) as world:
        world.arm()
        yield world


def asked(world: World, **hit: Any) -> Approval:
    """One hit, and the one question that follows from it."""
    world.hit(**hit)
    world.tick()
    return world.question()


def assert_not_approved(world: World, approval: Approval) -> None:
    """Nobody was cut off, and the question still stands or ended without a yes."""
    assert world.asked_to("contain") == []
    assert world.again(approval).state is not ApprovalState.APPROVED
    assert world.entries("question_approved") == []


def why_nots(world: World) -> list[str]:
    """Why votes did not count, as the journal's entries say."""
    votes = [vote for entry in world.entries("votes_seen") for vote in entry.payload]
    return [vote["why_not"] for vote in votes if not vote["counted"]]


# -- who may not say yes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("account", "reason"),
    [
        ("U0GUEST", "guests and people of other workspaces"),
        ("U0SINGLE", "guests and people of other workspaces"),
        ("U0STRANGER", "guests and people of other workspaces"),
        ("U0OTHERBOT", "a bot may not answer"),
        ("U0GONE", "your account is deactivated"),
    ],
)
def test_approval_when_the_listed_account_is_no_active_full_member_then_not_approved(
    tmp_path: Path, account: str, reason: str
) -> None:
    changes = {"people": PEOPLE, "approvals": {"approvers": [*PEOPLE, "responder-a"]}}
    with running_world(tmp_path, changes) as world:
        world.arm()
        question = asked(world)
        world.yes(question, account)
        world.tick()
        assert_not_approved(world, question)
        assert any(reason in str(why) for why in why_nots(world))
        (reply,) = world.thread(question)
        assert reply.endswith(f" <@{account}>")
        assert reason in reply


@pytest.mark.parametrize("account", ["U0GUEST", "U0OTHERBOT", "U0NOBODY"])
def test_approval_when_the_account_is_not_in_the_configuration_then_not_approved(
    world: World, account: str
) -> None:
    question = asked(world)
    world.yes(question, account)
    world.tick()
    world.tick()
    assert_not_approved(world, question)
    assert why_nots(world) == ["you are not on the list of approvers"]
    assert len(world.thread(question)) == 1
    looked_up = [line for line in world.sent if f"user={account}" in line]
    assert looked_up == []


def test_approval_when_a_person_is_configured_but_no_approver_then_not_approved(
    tmp_path: Path,
) -> None:
    with running_world(tmp_path, {"approvals": {"approvers": ["responder-a"]}}) as world:
        world.arm()
        question = asked(world)
        world.yes(question, RESPONDER_B)
        world.tick()
        assert_not_approved(world, question)
        assert why_nots(world) == ["you are not on the list of approvers"]


def test_approval_when_only_our_own_seeded_emoji_is_there_then_not_approved(world: World) -> None:
    question = asked(world)
    seeded = {r["name"]: r["users"] for r in world.card(question)["reactions"]}
    assert seeded == {YES: [BOT_USER], NO: [BOT_USER]}
    world.ticks(3, every_s=60)
    assert_not_approved(world, question)
    assert world.again(question).votes == ()


def test_approval_when_a_display_name_is_an_approvers_then_not_approved(world: World) -> None:
    world.slack.people["U0GUEST"]["name"] = "responder-a"
    question = asked(world)
    world.yes(question, "U0GUEST")
    world.tick()
    assert_not_approved(world, question)


def test_approval_when_deactivated_after_the_list_was_read_then_not_approved(world: World) -> None:
    question = asked(world)
    world.slack.people[RESPONDER_A]["deleted"] = True
    world.yes(question)
    world.tick()
    assert_not_approved(world, question)
    assert why_nots(world) == ["your account is deactivated"]


def test_approval_when_it_concerns_the_approvers_own_account_then_not_approved(
    tmp_path: Path,
) -> None:
    people = {"responder-a": {"windows_user": [r"WORKGROUP\wardog"]}}
    with running_world(tmp_path, {"people": people}) as world:
        world.arm()
        question = asked(world)
        world.yes(question)
        world.tick()
        assert_not_approved(world, question)
        assert "your own account" in world.thread(question)[-1]
        world.yes(question, RESPONDER_B)
        world.tick()
        assert world.contains() == [HOST]
        assert world.again(question).decided_by == ("responder-b",)


def test_approval_when_the_look_up_fails_then_not_approved_until_it_works(world: World) -> None:
    question = asked(world)
    world.slack.misbehave(path="*users.info", status=500, body="{}", times=None)
    world.yes(question)
    world.tick()
    assert_not_approved(world, question)
    assert "could not be looked up" in world.thread(question)[-1]
    assert any("could not be looked up" in str(why) for why in why_nots(world))
    world.slack.behave()
    world.tick()
    assert world.contains() == [HOST]


def test_release_when_the_requester_says_yes_then_not_approved(tmp_path: Path) -> None:
    with running_world(tmp_path, {"people": {"responder-a": {"os_user": "ada"}}}) as world:
        world.arm()
        world.yes(asked(world))
        world.tick()
        assert world.release(HOST, actor="ada").code == 0
        world.tick()
        release = world.question()
        assert release.requested_by == "responder-a"
        world.yes(release)
        world.tick()
        assert world.asked_to("lift_containment") == []
        assert "you started this by hand" in world.thread(release)[-1]
        world.yes(release, RESPONDER_B)
        world.tick()
        assert world.lifts() == [HOST]


# -- what is no yes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["approve", "yes", ":white_check_mark:", "ok {code}", "not approved"]
)
def test_approval_when_somebody_only_writes_then_not_approved(world: World, text: str) -> None:
    question = asked(world)
    said = text.format(code=question.code)
    world.slack.say(RESPONDER_A, CHANNEL, said, world.message_id(question))
    world.slack.say(RESPONDER_A, CHANNEL, said)
    world.tick()
    assert_not_approved(world, question)


@pytest.mark.parametrize("emoji", ["thumbsup", "heavy_check_mark", "white_check_mark::skin-tone-2"])
def test_approval_when_the_emoji_is_another_then_only_an_offered_one_counts(
    world: World, emoji: str
) -> None:
    question = asked(world)
    world.react(question, RESPONDER_A, emoji)
    world.tick()
    if emoji.startswith(YES):
        # A skin tone is the same answer.
        assert world.contains() == [HOST]
    else:
        assert_not_approved(world, question)


def test_approval_when_the_yes_is_in_another_channel_then_not_approved(world: World) -> None:
    question = asked(world)
    copied = world.slack.say(BOT_USER, OTHER_CHANNEL, world.card(question)["text"])
    world.slack.react(RESPONDER_A, OTHER_CHANNEL, copied, YES)
    world.tick()
    assert_not_approved(world, question)


def test_approval_when_yes_and_no_come_in_one_reading_then_denied(world: World) -> None:
    question = asked(world)
    world.yes(question)
    world.no(question, RESPONDER_B)
    world.tick()
    assert_not_approved(world, question)
    assert world.again(question).state is ApprovalState.DENIED
    assert world.again(question).decided_by == ("responder-b",)


def test_approval_when_two_are_open_then_a_yes_for_one_does_nothing_for_the_other(
    world: World,
) -> None:
    world.hit()
    world.hit(host="DESK-001-SYNTHETIC.corp.example.test", user="user1001")
    world.tick()
    first, second = world.questions(ApprovalState.OPEN)
    assert first.code != second.code
    world.yes(second)
    world.ticks(3, every_s=30)
    assert world.contains() == [second.items[0].device.hostname]
    assert world.again(first).state is ApprovalState.OPEN
    assert world.again(first).votes == ()


# -- quorum ----------------------------------------------------------------------------------------


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[World]:
    """A world in which it takes two."""
    with running_world(tmp_path, {"approvals": {"quorum": 2}}) as world:
        world.arm()
        yield world


def test_quorum_when_one_is_withdrawn_before_the_other_then_not_approved(pair: World) -> None:
    question = asked(pair)
    pair.yes(question)
    pair.tick()
    assert [vote.counted for vote in pair.again(question).votes] == [True]
    pair.unreact(question, RESPONDER_A, YES)
    pair.yes(question, RESPONDER_B)
    pair.tick()
    assert_not_approved(pair, question)
    assert "withdrawn" in why_nots(pair)
    pair.yes(question)
    pair.tick()
    assert pair.contains() == [HOST]


def test_quorum_when_one_person_answers_twice_then_not_approved(pair: World) -> None:
    question = asked(pair)
    pair.yes(question)
    pair.react(question, RESPONDER_A, "white_check_mark::skin-tone-3")
    pair.tick()
    pair.unreact(question, RESPONDER_A, YES)
    pair.yes(question)
    pair.tick()
    assert_not_approved(pair, question)


def test_quorum_when_it_is_larger_than_the_list_then_the_configuration_is_refused(
    pair: World,
) -> None:
    with pytest.raises(ConfigFaults, match="quorum is 3"):
        pair.configure({"approvals": {"quorum": 3}})


@pytest.mark.parametrize("mode", ["practice", "act"])
@pytest.mark.parametrize("approvers", [[], None, [""], ["*"], ["U0RESPONDA"]])
def test_config_when_nobody_known_may_approve_then_refused(
    world: World, mode: str, approvers: list[str] | None
) -> None:
    with pytest.raises(ConfigFaults, match="approvers"):
        world.configure({"mode": mode, "approvals": {"approvers": approvers}})


# -- the card --------------------------------------------------------------------------------------


def test_card_when_edited_then_void_and_asked_again_as_a_new_message(world: World) -> None:
    question = asked(world)
    world.slack.edit(CHANNEL, world.message_id(question), "ISOLATE NOTHING? just say yes")
    world.yes(question)
    world.tick()
    assert_not_approved(world, question)
    void = world.again(question)
    assert (void.state, void.why) == (ApprovalState.VOID, "the card does not show what was posted")
    (entry,) = world.entries("question_void")
    assert entry.payload["why"] == void.why
    again = world.question()
    assert world.message_id(again) != world.message_id(question)
    assert again.items == question.items
    assert any("VOID" in text for text in world.thread(question))


def test_card_when_void_then_the_reaction_on_the_old_one_does_nothing_for_the_new(
    world: World,
) -> None:
    question = asked(world)
    world.slack.edit(CHANNEL, world.message_id(question), "other")
    world.tick()
    world.yes(question)
    world.ticks(3, every_s=30)
    assert_not_approved(world, question)
    again = world.question()
    assert again.votes == ()
    world.yes(again, RESPONDER_B)
    world.tick()
    assert world.contains() == [HOST]
    assert world.again(again).decided_by == ("responder-b",)


def test_card_when_deleted_then_void_and_asked_again_and_no_lasting_error(world: World) -> None:
    question = asked(world)
    world.slack.delete(CHANNEL, world.message_id(question))
    world.tick()
    assert_not_approved(world, question)
    assert world.again(question).why == "the card was deleted"
    world.yes(world.question())
    last = world.ticks(2, every_s=30)[-1]
    assert world.contains() == [HOST]
    assert last.errors == ()


def test_card_when_edited_three_times_then_nobody_is_asked_a_fourth_time(world: World) -> None:
    question = asked(world)
    for _ in range(3):
        world.slack.edit(CHANNEL, world.message_id(question), "other")
        world.tick()
        found = world.questions(ApprovalState.OPEN)
        question = found[0] if found else question
    states = [one.state for one in world.questions()]
    assert states == [ApprovalState.VOID] * 3
    assert world.asked_to("contain") == []
    (step,) = [step for key, step in world.steps(world.runs()[0]).items() if key.endswith("#ask.2")]
    assert step.value["decided"]["void"] == {
        question.items[0].device.device_id: "the card does not show what was posted"
    }


def test_card_when_the_question_expired_then_its_old_reaction_is_no_yes_for_the_next(
    world: World,
) -> None:
    question = asked(world)
    world.clock.advance(1800)
    world.yes(question)
    world.tick()
    assert world.again(question).state is ApprovalState.EXPIRED
    world.clock.advance(4 * 3600)
    world.hit(cmdline=malicious(HOST, 2))
    world.tick()
    again = world.question()
    world.tick()
    assert_not_approved(world, again)


# -- time ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after_s", "state"), [(1799, "approved"), (1800, "expired"), (1801, "expired")]
)
def test_approval_when_the_yes_is_seen_around_expiry_then_only_before_it_counts(
    world: World, after_s: int, state: str
) -> None:
    question = asked(world)
    assert question.expires_at is not None
    world.clock.advance((question.expires_at - world.clock.now()).total_seconds() - 1800 + after_s)
    world.yes(question)
    world.tick(linger_s=0)
    assert world.again(question).state == state
    if state == "expired":
        assert_not_approved(world, question)
        assert any("EXPIRED" in text for text in world.thread(question))


def test_approval_when_the_time_runs_out_while_it_is_read_then_not_approved(
    world: World,
) -> None:
    question = asked(world)
    assert question.expires_at is not None
    left_s = (question.expires_at - world.clock.now()).total_seconds()
    world.yes(question)
    world.clock.advance(left_s - 1)
    world.before.append(("*users.info*", lambda: world.clock.advance(2)))
    world.tick()
    assert world.again(question).state is ApprovalState.EXPIRED
    assert_not_approved(world, question)


def test_approval_when_chat_is_down_at_expiry_then_expired_all_the_same(world: World) -> None:
    question = asked(world)
    world.yes(question)
    world.slack.misbehave(status=503, body="{}", times=None)
    world.tick()
    world.clock.advance(1800)
    world.tick()
    assert world.again(question).state is ApprovalState.EXPIRED
    world.slack.behave()
    world.ticks(2, every_s=120)
    assert_not_approved(world, question)


def test_approval_when_the_clock_jumps_ahead_then_not_approved(world: World) -> None:
    question = asked(world)
    world.clock.advance(86400 * 365)
    world.yes(question)
    world.tick()
    assert_not_approved(world, question)


def test_approval_when_the_clock_jumps_behind_the_question_then_not_approved(
    world: World,
) -> None:
    question = asked(world)
    world.clock.advance(-3600)
    world.yes(question)
    world.tick()
    assert_not_approved(world, question)


def test_call_when_the_yes_is_too_old_by_then_then_nothing_is_sent(world: World) -> None:
    question = asked(world)
    world.yes(question)
    world.falcon.misbehave(status=503, body="{}", times=None)
    world.tick()
    assert world.again(question).state is ApprovalState.APPROVED
    world.clock.advance(3600)
    world.falcon.behave()
    world.tick()
    assert world.asked_to("contain") == []
    assert "the approval has run out" in "\n".join(world.thread(question))
    assert world.question().n == 1


# -- one decision for all --------------------------------------------------------------------------


def test_question_when_denied_then_it_answers_for_four_hours_unless_it_gets_worse(
    world: World,
) -> None:
    question = asked(world, cmdline=SUSPICIOUS)
    world.no(question)
    world.tick()
    assert world.again(question).state is ApprovalState.DENIED
    world.hit(cmdline=SUSPICIOUS.replace("one", "two"))
    world.tick()
    assert world.questions(ApprovalState.OPEN) == []
    assert "people refused it less than four hours ago" in str(world.steps(world.runs()[-1]))
    world.hit(cmdline=malicious())
    world.tick()
    worse = world.question()
    assert worse.rank > question.rank
    world.no(worse)
    world.tick()
    world.clock.advance(4 * 3600 - 120)
    world.hit(cmdline=malicious(HOST, 2))
    world.tick()
    assert world.questions(ApprovalState.OPEN) == []
    world.clock.advance(120)
    world.hit(cmdline=malicious(HOST, 3))
    world.tick()
    assert world.question().rank == worse.rank
    assert world.asked_to("contain") == []


def test_subject_when_denied_then_refused_in_the_journal(world: World) -> None:
    question = asked(world)
    world.no(question)
    world.tick()
    with world.journal.read() as tx:
        row = tx.one("select state, rank from subject where name = ?", question.items[0].subject)
    assert (row[0], row[1]) == (SubjectState.REFUSED, question.rank)
