"""Every way to a yes without a person who may say it ends in no isolation, and the journal says why.

Where each is tried (what is not named stands below, in this file):

| attack | test |
|---|---|
| the bot's own reaction | `test_approvals.py::test_approval_when_only_our_own_seeded_emoji_is_there_then_not_approved` |
| guest, other bot, deactivated, stranger | `test_approvals.py::test_approval_when_the_listed_account_is_no_active_full_member_then_not_approved` |
| deactivated after the list was read | `test_approvals.py::test_approval_when_deactivated_after_the_list_was_read_then_not_approved` |
| an approver's display name | `test_approvals.py::test_approval_when_a_display_name_is_an_approvers_then_not_approved` |
| the affected user | `test_approvals.py::test_approval_when_it_concerns_the_approvers_own_account_then_not_approved` |
| self-approval by who asked for it | `test_approvals.py::test_release_when_the_requester_says_yes_then_not_approved` |
| words instead of an answer | `test_approvals.py::test_approval_when_somebody_only_writes_then_not_approved` |
| seen too late, clock moved | `test_approvals.py::test_approval_when_the_yes_is_seen_around_expiry_then_only_before_it_counts` |
| the time runs out while it is read | `test_approvals.py::test_approval_when_the_time_runs_out_while_it_is_read_then_not_approved` |
| the clock set back | `test_clock_jumps.py::test_tick_when_the_clock_goes_back_behind_a_question_then_a_yes_counts_for_nothing` |
| an edited or deleted card | `test_approvals.py::test_card_when_edited_then_void_and_asked_again_as_a_new_message` |
| a reaction kept from an older card | `test_approvals.py::test_card_when_the_question_expired_then_its_old_reaction_is_no_yes_for_the_next` |
| another channel | `test_approvals.py::test_approval_when_the_yes_is_in_another_channel_then_not_approved` |
| two open: a yes for A used for B | `test_approvals.py::test_approval_when_two_are_open_then_a_yes_for_one_does_nothing_for_the_other` |
| one person twice in chat | `test_approvals.py::test_quorum_when_one_person_answers_twice_then_not_approved` |
| one person over two accounts | `test_votes.py::test_tally_when_one_person_votes_through_two_accounts_then_one_vote` |
| one person in chat and on the machine | `test_answering.py::test_quorum_when_one_person_answers_in_both_places_then_it_is_one_vote` |
| one person by reaction, in words and on the machine | `test_typed_answers.py::test_quorum_when_one_person_reacts_types_and_answers_here_then_it_is_one_vote` |
| words that were deleted, or cannot be read again | `test_typed_answers.py::test_quorum_when_a_typed_yes_was_deleted_then_it_is_withdrawn` |
| the same, while Slack lets nobody read | `test_typed_answers.py::test_reply_when_replies_are_rate_limited_then_unknown_and_said_and_reactions_work` |
| words where nothing is proved | `test_typed_answers.py::test_reply_when_nothing_is_proved_then_it_is_not_read_and_the_journal_says_why` |
| words after the proof's place changed | `test_typed_answers.py::test_reply_when_the_proof_is_of_another_place_by_now_then_not_counted_and_it_says_so` |
| a proof that a bot made | `test_reply_check.py::test_check_when_the_word_is_no_persons_own_then_it_is_no_proof` |
| a no typed just before a yes | `test_typed_answers.py::test_no_when_it_is_typed_after_the_last_look_then_it_is_seen_before_a_yes_counts` |
| somebody else's login on the machine | `test_answering.py::test_answer_when_it_may_not_be_given_then_one_sentence_and_nothing_is_noted` |
| a yes and a no at once | `test_approvals.py::test_approval_when_yes_and_no_come_in_one_reading_then_denied` |
| a button of card A sent for card B | `test_buttons.py::test_press_when_a_button_of_one_card_is_sent_for_another_then_neither_is_answered` |
| a button that was changed | `test_buttons.py::test_press_when_a_button_was_changed_then_the_card_is_void` |
| a press from elsewhere, or by nobody | `test_buttons.py::test_press_when_it_is_not_from_our_card_then_it_is_refused_and_the_reason_written_down` |
| a press by a guest, bot or deactivated account | `test_buttons.py::test_press_when_the_listed_account_may_not_answer_then_not_approved_and_told` |
| an old press, replayed | `test_buttons.py::test_press_when_an_old_one_is_replayed_for_the_question_that_is_asked_anew_then_refused` |
| a yes and a pressed no at once | `test_buttons.py::test_press_when_a_no_comes_while_the_yes_is_read_then_it_is_a_no` |
| one person, a reaction and a press | `test_buttons.py::test_press_when_it_is_the_same_person_as_the_reaction_then_it_is_one_vote` |
| the look-up fails | `test_approvals.py::test_approval_when_the_look_up_fails_then_not_approved_until_it_works` |
| the list of who reacted is cut | `test_slack.py::test_read_card_when_the_list_of_accounts_is_cut_then_unavailable` |
| nobody may approve | `test_approvals.py::test_config_when_nobody_known_may_approve_then_refused` |
| a stand-in that must be at the loopback | `test_config.py::test_config_emulated_takes_loopback_only_and_all_of_it` |

Whoever holds a responder's own token, or the bot's, *is* that responder or the runner: nothing in
chat tells them apart (SECURITY.md).
"""  # noqa: E501

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.chat.slack_thread import plain
from connectors.emulators.slack_workspace import BOT_USER, CHANNEL
from connectors.model import ThreadReply
from runner.answering import give_answer, plan_answer
from runner.config import ConfigFaults
from runner.journal.records import Approval, ApprovalState
from runner.typed_answers import answers_in
from tests.test_field_cases import TEST, defined_in
from tests.test_votes import question as card_question
from tests.typing_people import prove, say
from tests.world import World, running_world
from tests.world_settings import HOST, RESPONDER_A, RESPONDER_B, YES, malicious


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path) as world:
        world.arm()
        yield world


def asked(world: World, **hit: Any) -> Approval:
    world.hit(**hit)
    world.tick()
    return world.question()


def assert_no_isolation(world: World, approval: Approval) -> None:
    """Nothing reached the EDR, and no entry speaks of a yes."""
    assert world.asked_to("contain") == []
    assert world.again(approval).state is not ApprovalState.APPROVED
    assert world.entries("question_approved") == []


def reasons(world: World) -> list[str]:
    """Why answers did not count, as the journal's entries say."""
    votes = [vote for entry in world.entries("votes_seen") for vote in entry.payload]
    return [str(vote["why_not"]) for vote in votes if not vote["counted"]]


def test_attacks_when_they_are_tried_elsewhere_then_those_tests_are_there() -> None:
    named = [(found["file"], found["name"]) for found in TEST.finditer(str(__doc__))]
    assert len(named) == 37
    assert [one for one in named if one[1] not in defined_in(one[0])] == []


# -- accounts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "account",
    [
        "u0responda",
        "W0RESPONDA",
        "U0RESPONDA\u200b",
        " U0RESPONDA",
        "\uff35 0RESPONDA",
        "U0RESPOND",
    ],
)
def test_yes_when_the_account_only_looks_like_an_approvers_then_not_approved(
    world: World, account: str
) -> None:
    question = asked(world)
    world.slack.people[account] = {**world.slack.people[RESPONDER_A], "id": account}
    world.yes(question, account)
    world.ticks(2, every_s=30)
    assert_no_isolation(world, question)
    assert not [vote for vote in world.again(question).votes if vote.counted]


def test_yes_when_the_account_is_a_login_of_the_machine_then_not_approved(tmp_path: Path) -> None:
    """Votes given on the runner's machine are kept under `login:…`: chat cannot bring one in."""
    changes = {"approvals": {"cli": True}, "people": {"responder-a": {"os_user": "ada"}}}
    changes["people"]["responder-b"] = {"os_user": "bo"}
    with running_world(tmp_path, changes) as world:
        world.arm()
        question = asked(world)
        world.yes(question, "login:ada")
        world.ticks(2, every_s=30)
        assert_no_isolation(world, question)


USER = {"id": RESPONDER_A, "deleted": False, "is_bot": False}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"ok": True},
        {"ok": True, "user": {}},
        {"ok": True, "user": {**USER, "id": RESPONDER_B}},
        {"ok": True, "user": {"id": RESPONDER_A}},
        {"ok": True, "user": {**USER, "deleted": "no"}},
        {"ok": True, "user": {**USER, "is_restricted": True}},
        {"ok": True, "user": {**USER, "is_stranger": True}},
        {"ok": True, "user": {**USER, "team_id": "T0OTHER"}},
        {"ok": False, "error": "user_not_found", "user": USER},
    ],
    ids=json.dumps,
)
def test_yes_when_chat_describes_the_account_badly_then_not_approved_and_it_says_so(
    world: World, body: dict[str, Any]
) -> None:
    question = asked(world)
    world.slack.misbehave(path="*users.info", status=200, body=json.dumps(body), times=None)
    world.yes(question)
    world.tick()
    assert_no_isolation(world, question)
    (why,) = set(reasons(world))
    assert "could not be looked up" in why or "guests and people of other workspaces" in why


def test_yes_when_the_approver_is_taken_off_the_list_before_it_is_read_then_not_approved(
    world: World,
) -> None:
    question = asked(world)
    world.yes(question)
    world.restart({"approvals": {"approvers": ["responder-b"], "mention": ["responder-b"]}})
    world.tick()
    assert_no_isolation(world, question)
    assert reasons(world) == ["you are not on the list of approvers"]


def test_quorum_when_half_of_it_is_off_the_list_and_chat_is_down_then_not_approved(
    tmp_path: Path,
) -> None:
    """What chat showed before stands, but not for somebody who may answer no more."""
    people = {"responder-a": {"os_user": "ada"}, "responder-b": {"os_user": "bo"}}
    people["third"] = {"os_user": "cy", "slack": "U0GUEST"}
    approvals = {"cli": True, "quorum": 2, "approvers": ["responder-a", "responder-b", "third"]}
    with running_world(tmp_path, {"people": people, "approvals": approvals}) as world:
        world.arm()
        question = asked(world)
        world.yes(question)
        world.tick()
        assert [vote.counted for vote in world.again(question).votes] == [True]
        left = {"approvers": ["responder-b", "third"], "mention": ["responder-b"]}
        world.restart({"approvals": left})
        world.slack.misbehave(path="*", status=500, body="{}", times=None)
        plan = plan_answer(world.journal, world.config, question.code, "approve", None, "bo")
        assert give_answer(world.journal, plan, "bo").code == 0
        world.ticks(2, every_s=30)
        assert_no_isolation(world, question)
        assert "you are not on the list of approvers" in reasons(world)


# -- answers that are not to this card -------------------------------------------------------------


def test_yes_when_it_stands_under_a_copy_of_the_card_then_not_approved(world: World) -> None:
    """Somebody posts the card once more, word by word and block by block, and an approver is
    fooled."""
    question = asked(world)
    card = world.card(question)
    for author in (RESPONDER_B, BOT_USER):
        copied = world.slack.say(author, CHANNEL, card["text"])
        world.slack._channels[CHANNEL][copied].update(
            blocks=card["blocks"], metadata=card.get("metadata"), bot_id="B0OTHER"
        )
        world.slack.react(RESPONDER_A, CHANNEL, copied, YES)
    world.ticks(2, every_s=30)
    assert_no_isolation(world, question)
    assert world.again(question).votes == ()


def test_yes_when_the_token_is_of_another_workspace_by_now_then_not_approved(world: World) -> None:
    question = asked(world)
    world.yes(question)
    world.restart()
    other = {"ok": True, "team_id": "T0OTHER", "user_id": BOT_USER, "bot_id": "B0STOCKADE"}
    world.slack.misbehave(path="*auth.test", status=200, body=json.dumps(other), times=None)
    tick = world.tick()
    assert_no_isolation(world, question)
    assert world.again(question).votes == ()
    assert any("workspace" in error for error in tick.errors)


# -- typed answers ---------------------------------------------------------------------------------


@pytest.fixture
def typed(world: World) -> Approval:
    """A question whose card offers answers in words."""
    prove(world)
    return asked(world)


def slack_reply(text: str) -> ThreadReply:
    return ThreadReply(account=RESPONDER_A, text=plain(text))


def quote(text: str) -> dict[str, Any]:
    part = {"type": "rich_text_quote", "elements": [{"type": "text", "text": text}]}
    return {"blocks": [{"type": "rich_text", "elements": [part]}]}


def struck(text: str) -> dict[str, Any]:
    element = {"type": "text", "text": text, "style": {"strike": True}}
    part = {"type": "rich_text_section", "elements": [element]}
    return {"blocks": [{"type": "rich_text", "elements": [part]}]}


@pytest.mark.parametrize(
    "text",
    [
        "approve CODE?",
        "please approve CODE",
        "approve CODE\ndeny CODE",
        "do not approve CODE",
        "approve",
        "CODE",
        "approveCODE",
        "approve CODE 0",
        "approve CODE 11",
        "approve CODE -1",
        "yes CODE",
        "&gt; approve CODE",
        "> approve CODE",
        "~approve CODE~",
        "approve CODE\u200b",
        "\u202eapprove CODE",
        "\u0430pprove CODE",
        "\uff41pprove CODE",
        "<https://example.test|approve CODE>",
        "<@U0RESPONDA> approve CODE",
        ":white_check_mark:",
    ],
)
def test_words_when_they_are_not_the_whole_plain_message_then_they_are_talk(text: str) -> None:
    """Judged without a world: each alone must be no answer at all."""
    said = slack_reply(text.replace("CODE", "BCDFG"))
    question = msgspec.structs.replace(card_question(), code="BCDFG")
    assert [one for one in answers_in([said], question) if one.fault is None] == []
    assert answers_in([slack_reply("approve BCDFG")], question)[0].choice == YES


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"edited": {"user": RESPONDER_A, "ts": "1.0"}}, "edited"),
        ({"edited": None}, "edited"),
        ({"bot_id": "B0OTHER"}, "of an app"),
        ({"app_id": "A0OTHER"}, "of an app"),
        ({"bot_profile": {"id": "B0OTHER"}}, "of an app"),
        ({"subtype": "bot_message"}, "of an app"),
        ({"subtype": "bot_message", "user": None}, "of an app"),
        ({"subtype": "me_message"}, "only a plain message"),
        ({"subtype": "a_kind_of_tomorrow"}, "only a plain message"),
        ({"attachments": [{"is_share": True, "text": "see"}]}, "forwarded"),
        ({"files": [{"id": "F0"}]}, "forwarded"),
        (quote("approve CODE"), "only a plain message"),
        (struck("approve CODE"), "only a plain message"),
    ],
    ids=str,
)
def test_words_when_the_message_is_no_plain_one_of_a_persons_own_then_it_says_why(
    world: World, typed: Approval, more: dict[str, Any], why: str
) -> None:
    say(world, typed, "approve CODE", **json.loads(json.dumps(more).replace("CODE", typed.code)))
    world.ticks(1, every_s=20)
    assert_no_isolation(world, typed)
    assert why in reasons(world)[0]


def test_words_when_they_stand_elsewhere_then_they_are_none(world: World, typed: Approval) -> None:
    """In the channel, in another thread, under another question, with another question's code."""
    world.hit(host="DESK-001-SYNTHETIC.corp.example.test", user="user1001")
    world.tick()
    other = next(one for one in world.questions(ApprovalState.OPEN) if one.id != typed.id)
    say(world, other, f"approve {typed.code}")
    world.slack.say(RESPONDER_A, CHANNEL, f"approve {typed.code}")
    thread = world.slack.say(RESPONDER_B, CHANNEL, "what is this?")
    world.slack.say(RESPONDER_A, CHANNEL, f"approve {typed.code}", thread)
    world.slack.say(RESPONDER_A, CHANNEL, f"approve {typed.code}", world.cards()[0]["ts"])
    world.ticks(2, every_s=20)
    assert_no_isolation(world, typed)
    assert_no_isolation(world, other)
    assert "that is not this question's code" in reasons(world)


@pytest.mark.parametrize(
    ("user", "change", "why"),
    [
        ("U0GUEST", {}, "not on the list"),
        ("U0STRANGER", {}, "not on the list"),
        (RESPONDER_A, {"is_restricted": True}, "guests"),
        (RESPONDER_A, {"deleted": True}, "deactivated"),
        (RESPONDER_A, {"is_bot": True}, "a bot may not"),
        (RESPONDER_A, {"team_id": "T0OTHER"}, "guests"),
    ],
)
def test_words_when_the_person_may_not_answer_then_they_do_not_count(
    world: World, typed: Approval, user: str, change: dict[str, Any], why: str
) -> None:
    world.slack.people[user] = {**world.slack.people.get(RESPONDER_A, {}), "id": user, **change}
    say(world, typed, "approve CODE", user)
    world.ticks(1, every_s=20)
    assert_no_isolation(world, typed)
    assert why in reasons(world)[0]


def test_words_when_it_is_the_approvers_own_machine_then_they_do_not_count(world: World) -> None:
    world.restart({"people": {"responder-a": {"windows_user": ["wardog"]}}})
    prove(world)
    question = asked(world)
    say(world, question, "approve CODE")
    world.ticks(1, every_s=20)
    assert_no_isolation(world, question)
    assert "your own account" in reasons(world)[0]


def test_words_when_typed_after_the_time_then_they_do_not_count(
    world: World, typed: Approval
) -> None:
    world.clock.advance(1801)
    say(world, typed, "approve CODE")
    world.ticks(2, every_s=20)
    assert_no_isolation(world, typed)
    assert world.again(typed).state is ApprovalState.EXPIRED


def test_words_when_our_own_message_says_them_then_they_are_none(
    world: World, typed: Approval
) -> None:
    say(world, typed, "approve CODE", BOT_USER, bot_id="B0STOCKADE")
    say(world, typed, "approve CODE", BOT_USER)
    world.ticks(1, every_s=20)
    assert_no_isolation(world, typed)
    assert world.again(typed).votes == ()


def test_words_when_the_thread_is_given_in_part_then_a_no_may_be_missing_and_none_counts(
    world: World, typed: Approval
) -> None:
    say(world, typed, "approve CODE")
    for body in ({"ok": True, "messages": []}, {"ok": True}, {"ok": True, "messages": "none"}):
        body = {**body, "has_more": False}
        world.slack.misbehave(
            path="*conversations.replies", status=200, body=json.dumps(body), times=1
        )
        tick = world.ticks(1, every_s=20)[0]
        assert any("cannot be read just now" in error for error in tick.errors)
    assert_no_isolation(world, typed)


# -- answers played again --------------------------------------------------------------------------


def test_yes_when_it_replaces_the_no_that_decided_then_denied_it_stays(world: World) -> None:
    question = asked(world)
    world.no(question)
    world.tick()
    world.unreact(question, RESPONDER_A, "x")
    world.yes(question)
    world.yes(question, RESPONDER_B)
    world.restart()
    world.ticks(3, every_s=60)
    assert_no_isolation(world, question)
    assert world.again(question).state is ApprovalState.DENIED


def test_yes_when_it_was_used_up_then_it_is_none_for_the_next_question_on_the_same_host(
    world: World,
) -> None:
    question = asked(world)
    world.yes(question)
    world.tick()
    assert world.contains() == [HOST]
    world.falcon.set_device(HOST, status="normal")
    world.ticks(2, every_s=900)
    world.hit(cmdline=malicious(HOST, 2))
    world.ticks(2, every_s=60)
    again = world.question()
    assert again.votes == ()
    assert world.message_id(again) != world.message_id(question)
    assert world.contains() == [HOST]


def later(world: World, seconds: float) -> Callable[[], None]:
    return lambda: world.clock.jump(seconds)


@pytest.mark.parametrize("seconds", [-3600, -600, 3600, 86400 * 400])
def test_yes_when_the_clock_is_moved_while_it_is_read_then_not_approved(
    world: World, seconds: float
) -> None:
    question = asked(world)
    world.yes(question)
    world.before.append(("*users.info*", later(world, seconds)))
    world.tick()
    assert_no_isolation(world, question)


# -- the configuration -----------------------------------------------------------------------------


def test_config_when_a_stand_ins_address_is_in_a_real_one_then_refused(world: World) -> None:
    """A stand-in answers whatever it is told: none may stand for a product of a real runner."""
    with pytest.raises(ConfigFaults) as refused:
        world.configure({"emulated": False})
    for product in ("splunk", "falcon", "slack", "jira"):
        assert f"connectors.{product}.base_url is plain http" in str(refused.value)


@pytest.mark.parametrize(
    "people",
    [
        {"responder-b": {"slack": RESPONDER_A}},
        {"responder-a": {"slack": "responder-a"}},
        {"responder-a": {"slack": ""}},
    ],
)
def test_config_when_an_account_is_two_peoples_or_nobodys_then_refused(
    world: World, people: dict[str, Any]
) -> None:
    with pytest.raises(ConfigFaults):
        world.configure({"people": people})
