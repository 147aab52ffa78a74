"""After the run: the ledger against the EDR, and tickets that say what was verified."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from connectors.emulators.scenario import device_id
from runner.journal import cases, runs
from runner.journal.records import (
    Approval,
    LedgerState,
    RunStatus,
    StepClass,
    StepResult,
    StepStatus,
)
from tests.world import World, running_world
from tests.world_settings import HOST, RESPONDER_B, malicious


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path) as world:
        world.arm()
        yield world


def isolated(world: World) -> Approval:
    world.hit()
    world.tick()
    question = world.question()
    world.yes(question)
    world.tick()
    assert world.isolation_state() is LedgerState.CONFIRMED
    return question


def drifted(world: World) -> Approval:
    """Somebody else released the host at the EDR, and the follow-up has seen it."""
    question = isolated(world)
    world.falcon.set_device(HOST, status="normal")
    world.ticks(2, every_s=900)
    return question


# -- drift -----------------------------------------------------------------------------------------


def test_drift_when_somebody_else_released_the_host_then_ticket_and_thread_say_so(
    world: World,
) -> None:
    question = drifted(world)
    row = world.isolation()
    assert row is not None
    assert "somebody else released it, it is NOT contained" in str(row.drift)
    assert any("DRIFT" in text and "NOT contained" in text for text in world.thread(question))
    assert "DRIFT: the EDR says normal" in world.ticket_texts()[-1]
    assert world.asked_to("contain") == world.asked_to("contain")[:1]
    count = len(world.thread(question))
    world.ticks(3, every_s=900)
    assert len(world.thread(question)) == count


def test_drift_when_somebody_else_released_it_then_it_stands_no_longer(world: World) -> None:
    drifted(world)
    row = world.isolation()
    assert row is not None
    assert row.state is LedgerState.RELEASED
    assert "somebody else released it" in str(row.drift)
    assert "isolated, confirmed" not in world.ticket_texts()[-1]


def test_drift_when_the_state_is_a_word_nobody_knows_then_not_called_contained(
    world: World,
) -> None:
    isolated(world)
    world.falcon.set_device(HOST, status="isolating_v2")
    world.ticks(2, every_s=900)
    row = world.isolation()
    assert row is not None
    assert row.drift == "the EDR no longer says whether it is contained"
    assert row.state is LedgerState.UNKNOWN


def test_drift_when_a_new_hit_comes_then_people_are_asked_again(world: World) -> None:
    drifted(world)
    world.hit(cmdline=malicious(HOST, 2))
    world.tick()
    again = world.question()
    assert again.run_id == world.runs()[1].id
    world.yes(again)
    world.tick()
    assert world.contains() == [HOST, HOST]
    row = world.isolation()
    assert row is not None
    assert (row.state, row.drift, len(row.holders)) == (LedgerState.CONFIRMED, None, 1)


def test_hold_when_the_host_was_let_back_unseen_then_people_are_asked_again(
    world: World,
) -> None:
    isolated(world)
    world.falcon.set_device(HOST, status="normal")
    world.hit(cmdline=malicious(HOST, 2))
    world.tick()
    assert world.question().run_id == world.runs()[1].id
    assert world.isolation_state() is LedgerState.RELEASED
    world.yes(world.question())
    world.tick()
    assert world.contains() == [HOST, HOST]


def test_hold_when_a_release_is_under_way_then_the_new_case_is_not_told_it_is_contained(
    world: World,
) -> None:
    isolated(world)
    world.falcon.set_device(HOST, offline=True)
    world.release(HOST)
    world.tick()
    world.yes(world.question(), RESPONDER_B)
    world.tick(linger_s=300)
    assert world.isolation_state() is LedgerState.RELEASE_REQUESTED
    world.hit(cmdline=malicious(HOST, 2))
    world.tick(linger_s=300)
    assert "confirmed by the EDR's record" not in world.ticket_texts(world.cases()[1])[-1]
    assert world.runs()[-1].wait_on == "subject"
    world.falcon.set_device(HOST, offline=False)
    world.ticks(2, every_s=60)
    assert world.isolation_state() is LedgerState.RELEASED
    assert world.question().case_id == world.cases()[1].id


# -- time ------------------------------------------------------------------------------------------


def test_ledger_when_pending_then_read_soon_and_when_confirmed_rarely(world: World) -> None:
    isolated(world)
    row = world.isolation()
    assert row is not None
    assert row.due_at is not None
    assert (row.due_at - world.clock.now()).total_seconds() == 900
    world.sent.clear()
    world.ticks(3, every_s=60)
    assert [line for line in world.sent if "entities/devices" in line] == []
    world.ticks(1, every_s=900)
    assert [line for line in world.sent if "entities/devices" in line]


def test_ledger_when_the_edr_cannot_be_read_then_said_and_nothing_is_believed(
    world: World,
) -> None:
    isolated(world)
    before = world.isolation()
    world.falcon.misbehave(status=503, body="{}", times=None)
    (tick,) = world.ticks(1, every_s=900)
    assert any("isolation:falcon:demo" in error for error in tick.errors)
    after = world.isolation()
    assert before is not None
    assert after is not None
    assert after.verified_at == before.verified_at
    world.falcon.behave()
    assert world.ticks(1, every_s=120)[0].errors == ()


# -- tickets ---------------------------------------------------------------------------------------


def test_ticket_when_the_case_goes_on_then_each_comment_says_the_state_as_verified(
    world: World,
) -> None:
    world.falcon.set_device(HOST, offline=True)
    world.hit()
    world.tick()
    assert "waiting for people" in world.ticket_texts()[-1]
    world.yes(world.question())
    world.tick(linger_s=5)
    requested = world.ticket_texts()[-1]
    assert "requested and accepted, NOT contained yet" in requested
    assert "responder-a (account U0RESPONDA) approved: first seen" in requested
    world.falcon.set_device(HOST, offline=False)
    world.tick(linger_s=300)
    assert f"{HOST} ({device_id(HOST)}): isolated, confirmed" in world.ticket_texts()[-1]
    assert f"To undo: stockade release {HOST}" in world.ticket_texts()[-1]
    assert len(world.jira.all_issues()) == 1


def test_ticket_when_nothing_changed_then_no_comment(world: World) -> None:
    isolated(world)
    count = len(world.ticket_texts())
    world.ticks(4, every_s=300)
    assert len(world.ticket_texts()) == count


def test_ticket_when_the_runs_have_ended_then_the_evidence_is_attached_once(world: World) -> None:
    isolated(world)
    world.ticks(2, every_s=900)
    (issue,) = world.jira.all_issues()
    names = [attachment["filename"] for attachment in issue["fields"]["attachment"]]
    assert names == [f"evidence-{world.case().id}.json"]
    content = world.jira.file(issue["fields"]["attachment"][0]["id"])
    assert malicious().replace('"', '\\"').encode() in content


def attached(world: World) -> list[str]:
    (issue,) = world.jira.all_issues()
    return [attachment["filename"] for attachment in issue["fields"]["attachment"]]


def test_evidence_when_the_state_changes_later_then_attached_once_more_with_its_revision(
    world: World,
) -> None:
    drifted(world)
    world.ticks(3, every_s=900)
    first = f"evidence-{world.case().id}"
    assert attached(world) == [f"{first}.json", f"{first}-revision-2.json"]
    (issue,) = world.jira.all_issues()
    content = world.jira.file(issue["fields"]["attachment"][1]["id"])
    assert json.loads(content)["ledger"][0]["drift"]


def test_evidence_when_only_another_case_is_linked_then_not_attached_again(world: World) -> None:
    isolated(world)
    first = world.case()
    revision = first.revision
    world.hit(cmdline=malicious(HOST, 2))
    world.ticks(3, every_s=60)
    linked = next(case for case in world.cases() if case.id == first.id)
    assert linked.revision > revision
    issue = next(one for one in world.jira.all_issues() if one["key"] == "SEC-1")
    names = [one["filename"] for one in issue["fields"]["attachment"]]
    assert names == [f"evidence-{first.id}.json"]


def test_evidence_when_the_later_answer_is_lost_then_found_under_its_name(world: World) -> None:
    isolated(world)
    world.jira.misbehave(method="POST", path="*/attachments", lose_answer=True)
    world.falcon.set_device(HOST, status="normal")
    world.ticks(5, every_s=900)
    first = f"evidence-{world.case().id}"
    assert attached(world) == [f"{first}.json", f"{first}-revision-2.json"]


def test_evidence_when_the_state_changes_while_the_first_is_in_doubt_then_both_are_settled(
    world: World,
) -> None:
    world.jira.misbehave(method="POST", path="*/attachments", lose_answer=True)
    isolated(world)
    world.falcon.set_device(HOST, status="normal")
    world.ticks(4, every_s=900)
    first = f"evidence-{world.case().id}"
    assert attached(world) == [f"{first}.json", f"{first}-revision-2.json"]
    scope = f"case:{world.case().id}"
    with world.journal.read() as tx:
        steps = runs.steps_of(tx, scope)
    assert {step.status for step in steps if "attach" in step.key} == {StepStatus.SUCCEEDED}


# -- a ticket that is gone -------------------------------------------------------------------------


def told_gone(world: World) -> int:
    return sum(
        "was deleted, or may no longer be seen" in str(one) for one in world.slack.messages()
    )


def test_ticket_when_deleted_then_told_once_and_no_other_is_opened(world: World) -> None:
    isolated(world)
    world.jira.delete_issue("SEC-1")
    world.falcon.set_device(HOST, status="normal")
    ticks = world.ticks(4, every_s=900)
    world.falcon.set_device(HOST, status="contained")
    ticks += world.ticks(4, every_s=900)
    assert told_gone(world) == 1
    assert world.jira.all_issues() == []
    assert any("SEC-1" in error for tick in ticks for error in tick.errors)
    assert not any("SEC-1" in error for error in ticks[-1].errors)


def comments(world: World) -> str:
    (issue,) = world.jira.all_issues()
    return json.dumps(issue["fields"]["comment"])


def test_ticket_when_it_can_be_seen_again_then_the_next_news_are_told_there(world: World) -> None:
    isolated(world)
    issue = world.jira.delete_issue("SEC-1")
    world.falcon.set_device(HOST, status="normal")
    world.ticks(2, every_s=900)
    world.jira.show_issue(issue)
    assert "DRIFT" not in comments(world)
    world.hit(cmdline=malicious(HOST, 2))
    world.tick()
    (issue, _other) = world.jira.all_issues()
    assert "DRIFT" in json.dumps(issue["fields"]["comment"])


def test_ticket_when_moved_to_another_project_then_still_told(world: World) -> None:
    isolated(world)
    world.jira.rename_issue("SEC-1", "OPS-7")
    world.falcon.set_device(HOST, status="normal")
    world.ticks(2, every_s=900)
    assert "DRIFT" in comments(world)
    assert told_gone(world) == 0


def test_ticket_when_the_chat_loses_the_word_of_it_then_it_stands_once(world: World) -> None:
    isolated(world)
    world.jira.delete_issue("SEC-1")
    world.slack.misbehave(path="*chat.postMessage", lose_answer=True, times=2)
    world.falcon.set_device(HOST, status="normal")
    world.ticks(6, every_s=900)
    assert told_gone(world) == 1


def test_ticket_when_the_answer_to_create_is_lost_then_adopted(world: World) -> None:
    world.jira.misbehave(method="POST", path="*/issue", lose_answer=True)
    isolated(world)
    world.ticks(3, every_s=30)
    assert len(world.jira.all_issues()) == 1
    assert world.case().ticket is not None


def test_ticket_when_a_comments_answer_is_lost_then_it_stands_once(world: World) -> None:
    world.jira.misbehave(method="POST", path="*/comment", lose_answer=True, times=2)
    isolated(world)
    world.ticks(4, every_s=60)
    texts = world.ticket_texts()
    assert len(texts) == len(set(texts))
    assert "isolated, confirmed by the EDR's record" in texts[-1]


def test_ticket_when_jira_is_down_then_the_isolation_goes_on_and_the_ticket_follows(
    world: World,
) -> None:
    world.jira.misbehave(status=503, body="{}", times=None)
    isolated(world)
    assert world.jira.all_issues() == []
    world.jira.behave()
    world.ticks(4, every_s=120)
    assert "isolated, confirmed by the EDR's record" in world.ticket_texts()[-1]
    assert world.runs()[0].status is RunStatus.SUCCEEDED


def test_ledger_when_two_cases_hold_then_both_tickets_are_told(world: World) -> None:
    isolated(world)
    world.hit(cmdline=malicious(HOST, 2))
    world.tick()
    world.falcon.set_device(HOST, status="normal")
    world.ticks(2, every_s=900)
    for case in world.cases():
        assert "DRIFT" in world.ticket_texts(case)[-1]
    row = world.isolation()
    assert row is not None
    assert set(row.holders) == {case.id for case in world.cases()}


# -- what a yes is worth in another mode -----------------------------------------------------------


def test_release_when_asked_then_the_card_says_for_whom_it_is_isolated(world: World) -> None:
    isolated(world)
    world.release(HOST)
    world.tick()
    card = json.dumps(world.card(world.question())["blocks"])
    assert f"is isolated for {world.cases()[0].id}" in card


@pytest.mark.parametrize(("asked_in", "answered_in"), [("practice", "act"), ("act", "practice")])
def test_yes_when_the_mode_is_another_by_then_then_void_and_nothing_is_sent(
    tmp_path: Path, asked_in: str, answered_in: str
) -> None:
    with running_world(tmp_path) as world:
        world.arm()
        world.restart({"mode": asked_in})
        world.hit()
        world.tick()
        question = world.question()
        world.restart({"mode": answered_in})
        world.yes(question)
        world.tick()
        assert world.contains() == []
        assert any("Nothing was sent to" in text for text in world.thread(question))
        assert world.question().id != question.id


def test_comment_when_an_older_one_may_still_arrive_then_the_newer_waits_for_it(
    world: World,
) -> None:
    """The last comment must tell the end, also when the one before it is slow."""
    isolated(world)
    world.ticks(2, every_s=60)
    case = world.case()
    with world.journal.write() as tx:
        old = StepResult(
            scope=f"case:{case.id}",
            key=f"comment.{case.revision}",
            step_class=StepClass.EFFECT,
            status=StepStatus.INTENDED,
            attempt=1,
            intended_at=tx.clock.now(),
            settle_until=tx.clock.now() + timedelta(seconds=300),
        )
        runs.save_step(tx, old)
        cases.revise(tx, case.id)
    before = len(world.ticket_texts())
    world.ticks(2, every_s=60)
    assert len(world.ticket_texts()) == before
    world.ticks(4, every_s=60)
    assert len(world.ticket_texts()) == before + 1
