"""What people see in chat: the question, the reminder, the end; each a message of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.emulators.slack_workspace import BOT_USER, CHANNEL
from runner.journal.records import Approval, ApprovalState, RunStatus
from tests.world import World, running_world
from tests.world_settings import HOST, NO, RESPONDER_A, RESPONDER_B, YES, malicious


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path) as world:
        world.arm()
        yield world


def asked(world: World, **hit: Any) -> Approval:
    world.hit(**hit)
    world.tick()
    return world.question()


def shown(world: World, question: Approval) -> str:
    """All that a card shows, as one text."""
    return json.dumps(world.card(question)["blocks"], ensure_ascii=False)


def reactions(world: World, question: Approval) -> dict[str, list[str]]:
    return {one["name"]: one["users"] for one in world.card(question).get("reactions", [])}


# -- the question ----------------------------------------------------------------------------------


def test_card_when_posted_then_a_phone_shows_what_who_and_until_when(world: World) -> None:
    question = asked(world)
    assert question.expires_at is not None
    until = question.expires_at.strftime("%H:%M UTC")
    text = world.card(question)["text"]
    assert text == f"ISOLATE {HOST}? by {until} <@{RESPONDER_A}>"
    assert "<!channel>" not in text


def test_card_when_posted_then_both_answers_are_seeded_by_us(world: World) -> None:
    question = asked(world)
    assert reactions(world, question) == {YES: [BOT_USER], NO: [BOT_USER]}


def test_card_when_posted_then_it_says_why_which_device_what_breaks_and_what_silence_means(
    world: World,
) -> None:
    question = asked(world)
    text = shown(world, question)
    for part in (
        "malicious",
        "hxxps://stager[.]example[.]test/",
        "Speaks for an attack",
        "Speaks against",
        question.items[0].device.device_id,
        "its logged-on user wardog agrees",
        "A yes cuts the device off",
        f"stockade release {HOST}",
        "No answer by then is a no",
        question.code,
        question.case_id,
    ):
        assert part in text


def test_card_when_posted_then_its_anchor_is_an_entry_of_the_journal(world: World) -> None:
    question = asked(world)
    ((seq, begun),) = re.findall(r"journal anchor (\d+):([0-9a-f]{16})\b", shown(world, question))
    (found,) = [entry for entry in world.entries() if entry.sha256.startswith(begun)]
    assert found.seq == int(seq)
    opened = world.entries("question_opened")[0]
    assert found.seq >= opened.seq
    assert question.plan_sha256[:16] in shown(world, question)


def test_card_when_several_cases_ask_then_each_has_a_message_and_a_code_of_its_own(
    world: World,
) -> None:
    world.hit()
    world.hit(host="DESK-001-SYNTHETIC.corp.example.test", user="user1001")
    world.tick()
    first, second = world.questions(ApprovalState.OPEN)
    assert world.message_id(first) != world.message_id(second)
    assert first.code != second.code
    assert len(world.cards()) == 2


def test_card_when_the_evidence_is_markup_then_nobody_is_called_and_no_link_is_made(
    world: World,
) -> None:
    nasty = malicious() + " <!channel> <@U0GUEST> <https://x.example.test|Approve> `{{ 7*7 }}`"
    question = asked(world, cmdline=nasty)
    card = world.card(question)
    everything = card["text"] + shown(world, question)
    users = re.findall(r'"type": "user", "user_id": "(\w+)"', everything)
    assert set(users) == {RESPONDER_A}
    assert '"type": "broadcast"' not in everything
    assert '"type": "link"' not in everything
    assert '"type": "mrkdwn"' not in everything
    assert "{{ 7*7 }}" in everything
    assert re.findall(r"<[^>]+>", card["text"]) == [f"<@{RESPONDER_A}>"]


@pytest.mark.parametrize("filler", ["&" * 30_000, "A" * 30_000])
def test_card_when_the_line_is_very_long_then_people_are_asked_all_the_same(
    world: World, filler: str
) -> None:
    question = asked(world, cmdline=f'{malicious()} "{filler}"')
    assert NO in reactions(world, question)
    assert len(reactions(world, question)) == 2


def test_card_when_slack_refuses_it_as_too_long_then_the_short_form_is_sent(world: World) -> None:
    world.slack.misbehave(
        path="*chat.postMessage", body='{"ok":false,"error":"msg_too_long"}', status=200
    )
    question = asked(world)
    assert "ISOLATE" in world.card(question)["text"]
    world.yes(question)
    world.tick()
    assert world.contains() == [HOST]


# -- posting ---------------------------------------------------------------------------------------


def test_card_when_the_answer_to_posting_is_lost_then_adopted_and_not_posted_twice(
    world: World,
) -> None:
    world.slack.misbehave(path="*chat.postMessage", lose_answer=True)
    world.hit()
    world.ticks(3, every_s=5)
    assert len(world.cards()) == 1
    assert world.question().message is not None


@pytest.mark.parametrize("days", [1, 10])
def test_card_when_the_answer_was_lost_and_the_runner_then_down_for_days_then_not_posted_twice(
    world: World, days: int
) -> None:
    world.slack.misbehave(path="*chat.postMessage", lose_answer=True)
    world.hit()
    for _ in range(20):
        if world.questions(ApprovalState.POSTING):
            break
        world.clock.advance(1)
        world.tick(0.5)
    assert (world.question(ApprovalState.POSTING).message, len(world.cards())) == (None, 1)
    world.clock.advance(days * 86400)
    world.restart()
    world.tick()
    first = world.questions()[0]
    assert first.message is not None
    keys = [card["metadata"]["event_payload"]["key"] for card in world.cards()]
    assert keys.count(first.id) == 1


def test_card_when_chat_is_down_then_its_time_starts_when_it_is_posted(world: World) -> None:
    world.slack.misbehave(status=503, body="{}", times=None)
    world.hit()
    assert world.tick().people == 1
    assert world.question(ApprovalState.POSTING).opened_at is None
    ticks = world.ticks(3, every_s=1200)
    assert all("nobody was asked" in str(tick.errors) for tick in ticks)
    assert world.question(ApprovalState.POSTING).state is ApprovalState.POSTING
    world.slack.behave()
    world.ticks(2, every_s=90)
    question = world.question()
    assert question.opened_at is not None
    assert question.expires_at is not None
    assert 0 <= (question.expires_at - question.opened_at).total_seconds() <= 1800
    assert (question.expires_at - world.clock.now()).total_seconds() > 1500
    assert world.thread(question) == []
    world.yes(question)
    world.tick()
    assert world.contains() == [HOST]


def test_card_when_its_choices_cannot_be_seeded_then_answers_count_all_the_same(
    world: World,
) -> None:
    world.slack.misbehave(path="*reactions.add", status=500, body="{}", times=None)
    question = asked(world)
    world.yes(question)
    world.tick()
    assert world.contains() == [HOST]


def test_card_when_chat_hiccups_after_posting_then_the_choices_are_seeded_later(
    world: World,
) -> None:
    world.slack.misbehave(path="*reactions.add", status=500, body="{}", times=8)
    question = asked(world)
    last = world.ticks(10, every_s=60)[-1]
    assert reactions(world, question).keys() == {YES, NO}
    assert last.needs == ()


def test_card_when_chat_refuses_us_for_good_then_void_said_and_not_open(world: World) -> None:
    world.slack.misbehave(
        path="*chat.postMessage",
        status=200,
        body='{"ok":false,"error":"channel_not_found"}',
        times=None,
    )
    world.hit()
    tick = world.tick()
    assert any("channel_not_found" in error for error in tick.errors)
    world.ticks(2, every_s=30)
    assert {one.state for one in world.questions()} == {ApprovalState.VOID}
    assert all("could not ask" in str(one.why) for one in world.questions())
    assert len(world.questions()) <= 3
    assert world.asked_to("contain") == []


# -- time ------------------------------------------------------------------------------------------


def test_card_when_half_the_time_has_gone_then_one_reminder_that_calls(world: World) -> None:
    question = asked(world)
    world.clock.advance(840)
    world.tick()
    assert world.thread(question) == []
    world.clock.advance(60)
    world.ticks(3, every_s=60)
    (reminder,) = world.thread(question)
    assert reminder.startswith("Still open: without a yes by")
    assert reminder.endswith(f"nothing is done. <@{RESPONDER_A}>")


def test_card_when_it_expires_then_locked_told_and_nothing_done(world: World) -> None:
    question = asked(world)
    world.clock.advance(1800)
    world.ticks(2, every_s=10)
    card = world.card(question)
    assert "EXPIRED" in card["text"]
    assert "This question takes no more answers" in shown(world, question)
    assert any(text.startswith("EXPIRED") for text in world.thread(question))
    assert world.asked_to("contain") == []
    assert world.again(question).closed


@pytest.mark.parametrize(("emoji", "word"), [(YES, "APPROVED by responder-b"), (NO, "DENIED by")])
def test_card_when_decided_then_locked_at_once_and_the_thread_told(
    world: World, emoji: str, word: str
) -> None:
    question = asked(world)
    world.react(question, RESPONDER_B, emoji)
    world.tick()
    assert world.card(question)["text"].startswith(word)
    assert "takes no more answers" in shown(world, question)
    assert "What was asked" in shown(world, question)
    assert world.thread(question)[0].startswith(word)


def test_card_when_decided_then_a_later_answer_changes_nothing(world: World) -> None:
    question = asked(world)
    world.no(question)
    world.tick()
    world.unreact(question, RESPONDER_A, NO)
    world.yes(question)
    world.yes(question, RESPONDER_B)
    world.ticks(3, every_s=60)
    assert world.again(question).state is ApprovalState.DENIED
    assert world.asked_to("contain") == []


def test_card_when_approved_and_then_withdrawn_before_the_call_then_what_was_decided_stands(
    world: World,
) -> None:
    question = asked(world)
    world.yes(question)
    world.falcon.misbehave(status=503, body="{}", times=None)
    world.tick()
    world.unreact(question, RESPONDER_A, YES)
    world.falcon.behave()
    world.ticks(2, every_s=60)
    assert world.again(question).decided_by == ("responder-a",)
    assert world.contains() == [HOST]


def test_card_when_all_is_told_then_closed_and_read_no_more(world: World) -> None:
    question = asked(world)
    world.yes(question)
    world.ticks(2, every_s=10)
    assert world.again(question).closed
    world.ticks(2, every_s=60)
    world.sent.clear()
    world.ticks(2, every_s=60)
    assert [line for line in world.sent if "/api/" in line] == []


def test_card_when_something_happens_after_it_was_closed_then_its_thread_is_told(
    world: World,
) -> None:
    question = asked(world)
    world.yes(question)
    world.ticks(2, every_s=10)
    world.falcon.set_device(HOST, status="normal")
    world.ticks(2, every_s=900)
    assert "DRIFT" in world.thread(question)[-1]


def test_uncounted_answer_when_it_stays_then_told_once(world: World) -> None:
    question = asked(world)
    world.slack.react("U0GUEST", CHANNEL, world.message_id(question), YES)
    world.ticks(4, every_s=60)
    assert len(world.thread(question)) == 1


# -- what a chat refuses for good ------------------------------------------------------------------

REFUSED = '{"ok": false, "error": "restricted_action"}'
UPDATE_REFUSED = '{"ok": false, "error": "edit_window_closed"}'


def test_question_when_anothers_replies_are_refused_then_it_is_served_all_the_same(
    world: World,
) -> None:
    world.slack.misbehave(path="*reactions.add", times=None, status=200, body=REFUSED)
    first = asked(world)
    world.slack.react("U0GUEST", CHANNEL, world.message_id(first), YES)
    world.falcon.add_device(HOST, hostname="WORKSTATION9", status="normal")
    world.hit(host="WORKSTATION9", cmdline=r"wmic os get /format:C:\Temp\own9.xsl")
    world.tick()
    world.slack.misbehave(path="*chat.postMessage", times=None, status=200, body=REFUSED)
    world.slack.react("U0OTHER", CHANNEL, world.message_id(first), YES)
    world.tick(10)
    (second,) = [one for one in world.questions() if one.id != first.id]
    world.yes(second)
    world.ticks(2, every_s=20)
    assert world.contains() == ["WORKSTATION9"]


def test_card_when_it_cannot_be_locked_then_its_thread_is_told_all_the_same(world: World) -> None:
    question = asked(world)
    world.slack.misbehave(path="*chat.update", times=None, status=200, body=UPDATE_REFUSED)
    world.yes(question)
    world.ticks(2, every_s=30)
    assert world.contains() == [HOST]
    assert any(text.startswith("APPROVED") for text in world.thread(question))
    assert world.again(question).closed


def test_card_when_it_cannot_be_locked_and_the_call_is_to_be_sent_then_it_stays_open_for_a_no(
    world: World,
) -> None:
    question = asked(world)
    world.slack.misbehave(path="*chat.update", times=None, status=200, body=UPDATE_REFUSED)
    world.falcon.misbehave(status=503, body="{}", times=None)
    world.yes(question)
    world.ticks(2, every_s=10)
    waiting = world.again(question)
    assert (waiting.state, waiting.closed) == (ApprovalState.APPROVED, False)
    assert waiting.due_at is not None
    world.no(question, RESPONDER_B)
    world.falcon.behave()
    world.ticks(2, every_s=60)
    assert world.asked_to("contain") == []


# -- a wave ----------------------------------------------------------------------------------------


def test_wave_when_others_have_the_same_address_then_one_question_with_a_veto_for_each(
    world: World,
) -> None:
    line = malicious("campaign")
    for number in (1, 2, 3):
        # Only the hunt sees these: their program has another name.
        world.hit(
            host=f"DESK-{number:03d}-SYNTHETIC.corp.example.test",
            user=f"user{1000 + number}",
            cmdline=line,
            Image=r"C:\Users\Public\updater.exe",
        )
    world.hit(cmdline=line)
    world.restart({"guards": {"budget": {"per_hour": 9, "fleet_percent": 10}}})
    world.tick()
    (wave,) = [one for one in world.questions() if len(one.items) > 1]
    assert len(wave.items) == 3
    assert "ISOLATE 3 devices" in world.card(wave)["text"]
    spared = wave.items[1].device
    world.pick(wave, spared.device_id, RESPONDER_B)
    world.yes(wave)
    world.tick()
    assert len(world.contains()) == 2
    assert spared.hostname not in world.contains()
    assert "vetoed by responder-b" in str(world.steps(world.runs()[0]))


def test_question_when_chat_refuses_it_three_times_then_the_run_failed_and_a_person_is_needed(
    world: World,
) -> None:
    world.slack.misbehave(
        path="*chat.postMessage",
        body=json.dumps({"ok": False, "error": "not_in_channel"}),
        times=None,
    )
    world.hit()
    tick = None
    for _ in range(4):
        tick = world.tick()
    assert world.contains() == []
    assert [run.status for run in world.runs()] == [RunStatus.FAILED]
    assert tick is not None
    assert any("failed for" in need for need in tick.needs)
