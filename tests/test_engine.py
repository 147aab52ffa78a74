"""Who goes first, who waits, what is shared: runs beside each other on the real journal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.emulators.slack_workspace import CHANNEL
from runner.journal import Journal
from runner.journal.records import ApprovalState, LedgerState, RunStatus, SubjectState
from tests.world import World, running_world
from tests.world_settings import HOST, RESPONDER_B, SUSPICIOUS, malicious

BESIDE = """\
playbook: beside
description: A branch that fails beside a card that is open.
on: wmic_format_hits
steps:
  - id: triage
    do: wmic.assess
    with: {alert: "{{ alert }}"}
  - parallel:
      record:
        - id: ticket
          do: tickets.create_ticket
          with: {title: "beside"}
      contain:
        - id: host
          do: edr.find_host
          with: {alert: "{{ alert }}"}
        - id: isolate
          do: edr.isolate_host
          targets: ["{{ host.target }}"]
          with: {reason: "{{ triage.summary }}"}
        - id: told
          do: chat.post_message
          with: {text: "after {{ isolate.state }}"}
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path) as world:
        world.arm()
        yield world


@pytest.fixture
def beside(tmp_path: Path) -> Iterator[World]:
    """Jira refuses every ticket for good, and the playbook does not go on from that."""
    changes = {"searches": {"wmic_format_hits": {"playbook": "beside"}}}
    with running_world(tmp_path, changes, playbooks={"beside": BESIDE}) as world:
        world.arm()
        world.jira.misbehave(path="*/issue", status=400, body='{"errors":{}}', times=None)
        yield world


def two_on_one_host(world: World) -> None:
    """Two runs whose command lines differ, on one host."""
    world.hit(cmdline=malicious(HOST, 1))
    world.tick()
    world.hit(cmdline=malicious(HOST, 2))
    world.tick()


def spread_over(world: World, text: str) -> list[str]:
    """The runner's requests that hold this text, in order."""
    return [line for line in world.sent if text in line]


# -- two runs, one host ----------------------------------------------------------------------------


def test_engine_when_two_runs_concern_one_host_then_one_question_and_the_second_waits(
    world: World,
) -> None:
    two_on_one_host(world)
    asked = world.question()
    first, second = world.runs()
    assert (asked.run_id, first.wait_on) == (first.id, "approval")
    assert (second.status, second.wait_on) == (RunStatus.WAITING, "subject")
    assert world.thread(asked) == [
        f"{second.case_id} concerns this device too and waits for this decision."
    ]
    world.ticks(3, every_s=60)
    assert len(world.thread(asked)) == 1
    assert len(world.questions()) == 1


def test_engine_when_the_shared_question_is_approved_then_one_call_and_two_holders(
    world: World,
) -> None:
    two_on_one_host(world)
    world.yes(world.question())
    world.tick()
    assert len(world.asked_to("contain")) == 1
    row = world.isolation()
    assert row is not None
    assert set(row.holders) == {case.id for case in world.cases()}
    assert row.state is LedgerState.CONFIRMED
    assert [run.status for run in world.runs()] == [RunStatus.SUCCEEDED] * 2
    assert len(world.questions()) == 1
    for case in world.cases():
        assert "isolated, confirmed by the EDR's record" in world.ticket_texts(case)[-1]


def test_engine_when_a_third_run_comes_later_then_it_holds_too_without_question_or_call(
    world: World,
) -> None:
    two_on_one_host(world)
    world.yes(world.question())
    world.tick()
    world.hit(cmdline=malicious(HOST, 3))
    world.tick()
    row = world.isolation()
    assert row is not None
    assert len(row.holders) == 3
    assert len(world.questions()) == len(world.asked_to("contain")) == 1


def test_engine_when_the_shared_question_is_denied_then_the_second_is_refused_too(
    world: World,
) -> None:
    two_on_one_host(world)
    world.no(world.question())
    world.tick()
    assert world.asked_to("contain") == []
    assert len(world.questions()) == 1
    assert [run.status for run in world.runs()] == [RunStatus.SUCCEEDED] * 2
    assert "less than four hours ago" in str(world.steps(world.runs()[1]))


def test_engine_when_the_waiting_run_is_worse_than_what_was_denied_then_it_asks(
    world: World,
) -> None:
    world.hit(cmdline=SUSPICIOUS)
    world.tick()
    mild = world.question()
    world.hit(cmdline=malicious())
    world.tick()
    world.no(mild)
    world.tick()
    worse = world.question()
    assert (worse.run_id, worse.rank > mild.rank) == (world.runs()[1].id, True)


def test_engine_when_the_shared_question_is_void_then_one_of_them_asks_again(
    world: World,
) -> None:
    two_on_one_host(world)
    world.slack.edit(CHANNEL, world.message_id(world.question()), "other")
    world.tick()
    again = world.question()
    world.yes(again)
    world.tick()
    assert len(world.asked_to("contain")) == 1
    row = world.isolation()
    assert row is not None
    assert len(row.holders) == 2


def test_release_when_one_case_drops_its_hold_then_nothing_is_sent_before_the_last(
    world: World,
) -> None:
    two_on_one_host(world)
    world.yes(world.question())
    world.tick()
    first, second = world.cases()
    assert world.release(HOST, case=first.id).code == 0
    world.tick()
    row = world.isolation()
    assert row is not None
    assert row.holders == (second.id,)
    assert world.questions(ApprovalState.OPEN) == []
    assert world.asked_to("lift_containment") == []
    assert len(world.entries("hold_dropped")) == 1
    assert world.release(HOST, case=second.id).code == 0
    world.tick()
    world.yes(world.question())
    world.tick()
    assert len(world.asked_to("lift_containment")) == 1
    assert world.isolation_state() is LedgerState.RELEASED
    with world.journal.read() as tx:
        assert tx.all("select * from subject") == []


def test_release_when_no_case_is_named_then_the_lift_is_sent_once_for_all(world: World) -> None:
    two_on_one_host(world)
    world.yes(world.question())
    world.tick()
    world.release(HOST)
    world.tick()
    world.yes(world.question())
    world.ticks(2, every_s=60)
    assert world.lifts() == [HOST]
    for case in world.cases():
        assert "released, confirmed by the EDR's record" in world.ticket_texts(case)[-1]


def test_release_when_asked_for_twice_then_one_question_and_one_lift(world: World) -> None:
    two_on_one_host(world)
    world.yes(world.question())
    world.tick()
    world.release(HOST)
    world.release(HOST)
    world.tick()
    world.yes(world.question())
    world.ticks(3, every_s=60)
    assert world.lifts() == [HOST]
    assert world.questions(ApprovalState.OPEN) == []


# -- a failed branch beside an open card -----------------------------------------------------------


def test_engine_when_a_branch_fails_beside_an_open_card_then_the_decision_is_carried_out(
    beside: World,
) -> None:
    beside.hit()
    beside.tick()
    question = beside.question()
    (run,) = beside.runs()
    assert (run.status, run.wait_on) == (RunStatus.WAITING, "approval")
    assert beside.steps(run)["/parallel-2/record/ticket#ticket"].status == "failed"
    beside.yes(question)
    beside.tick()
    assert beside.contains() == [HOST]
    assert beside.isolation_state() is LedgerState.CONFIRMED
    assert "after confirmed" in [card["text"] for card in beside.cards()]
    (run,) = beside.runs()
    assert run.status is RunStatus.FAILED
    assert len(beside.jira.requests) == len(spread_over(beside, "/rest/api/3/"))
    created = [line for line in beside.sent if line == "POST /rest/api/3/issue"]
    assert len(created) == 1


def test_engine_when_the_card_beside_a_failed_branch_is_denied_then_nothing_is_sent(
    beside: World,
) -> None:
    beside.hit()
    beside.tick()
    beside.no(beside.question())
    beside.tick()
    assert beside.asked_to("contain") == []
    assert "after denied" in [card["text"] for card in beside.cards()]


def test_engine_when_the_question_is_void_then_a_late_yes_under_it_sends_nothing(
    beside: World,
) -> None:
    beside.hit()
    beside.tick()
    void = beside.question()
    beside.slack.edit(CHANNEL, beside.message_id(void), "other")
    beside.tick()
    beside.yes(void)
    beside.ticks(3, every_s=30)
    assert beside.asked_to("contain") == []
    beside.no(beside.question())
    beside.ticks(2, every_s=30)
    assert beside.asked_to("contain") == []
    assert [one.state for one in beside.questions()] == [ApprovalState.VOID, ApprovalState.DENIED]


# -- a cut goes first ------------------------------------------------------------------------------


def test_engine_when_a_long_hunt_runs_beside_an_approved_cut_then_the_cut_goes_first(
    world: World,
) -> None:
    def slow() -> None:
        world.splunk.tune(job_s=100)

    # The first search reads the event; the second is the hunt.
    jobs = "POST */v2/jobs"
    world.before.append((jobs, lambda: world.before.append((jobs, slow))))
    world.hit()
    world.tick(linger_s=5)
    hunt = "/parallel-3/scope/origin#search.1#rows"
    assert world.steps(world.runs()[0])[hunt].status == "intended"
    world.yes(world.question())
    world.tick(linger_s=5)
    assert world.contains() == [HOST]
    steps = world.steps(world.runs()[0])
    assert steps[hunt].status == "intended"
    world.ticks(10, every_s=30)
    assert world.steps(world.runs()[0])[hunt].status == "succeeded"
    assert len(world.asked_to("contain")) == 1


def test_engine_when_a_yes_comes_while_another_run_works_then_the_cut_goes_before_its_next_call(
    world: World,
) -> None:
    world.hit()
    world.tick()
    question = world.question()

    def answer() -> None:
        world.yes(question)
        world.clock.advance(5)

    # The other run has just started its first search when the yes comes.
    world.before.append(("POST */v2/jobs", answer))
    world.hit(host="DESK-001-SYNTHETIC.corp.example.test", user="user1001")
    world.sent.clear()
    world.tick()
    assert world.contains() == [HOST]
    started = next(n for n, line in enumerate(world.sent) if line.endswith("/v2/jobs"))
    cut = next(n for n, line in enumerate(world.sent) if "action_name=contain" in line)
    between = world.sent[started + 1 : cut]
    is_other_work = [
        line
        for line in between
        if not any(known in line for known in ("/api/", "entities/devices", "queries/devices"))
    ]
    assert is_other_work == []
    assert world.question().items[0].device.hostname == "DESK-001-SYNTHETIC"


# -- replay and ownership --------------------------------------------------------------------------


def test_engine_when_the_process_ends_between_all_steps_then_nothing_happens_twice(
    world: World,
) -> None:
    world.hit()
    for _ in range(4):
        world.tick(linger_s=0)
        world.restart()
        world.clock.advance(2)
    world.tick()
    world.yes(world.question())
    for _ in range(4):
        world.tick(linger_s=0)
        world.restart()
        world.clock.advance(2)
    world.tick()
    assert len(world.questions()) == len(world.asked_to("contain")) == 1
    assert len(world.jira.all_issues()) == len(world.cards()) == 1
    assert world.runs()[0].status is RunStatus.SUCCEEDED
    assert world.isolation_state() is LedgerState.CONFIRMED


def test_engine_when_decided_while_the_runner_was_down_then_carried_out_after_the_start(
    world: World,
) -> None:
    world.hit()
    world.tick()
    world.yes(world.question())
    world.restart()
    world.tick()
    assert world.contains() == [HOST]


def test_engine_when_the_playbook_changes_then_a_run_in_flight_keeps_its_own(
    beside: World,
) -> None:
    beside.hit()
    beside.tick()
    file = beside.folder / "playbooks" / "beside.yaml"
    file.write_text(BESIDE.replace("after", "CHANGED"))
    beside.restart()
    beside.yes(beside.question())
    beside.tick()
    assert [card["text"] for card in beside.cards()][-1] == "after confirmed"


def test_service_when_another_runner_owns_the_journal_then_it_does_nothing(world: World) -> None:
    world.hit()
    other = Journal(world.config.state_dir, world.clock)
    assert other.own()
    world.sent.clear()
    assert world.tick().is_busy
    assert world.sent == []
    other.close()
    assert not world.tick().is_busy
    assert len(world.cases()) == 1


def test_engine_when_one_run_breaks_then_the_others_go_on_and_a_person_is_told(
    tmp_path: Path,
) -> None:
    """A bundle that this version cannot read any more is a fault of its run alone."""
    with running_world(tmp_path) as world:
        world.arm()
        world.hit()
        world.tick()
        with world.journal.write() as tx:
            tx.change("update bundle set body = 'steps: 1'")
        world.hit(host="DESK-001-SYNTHETIC.corp.example.test", user="user1001")
        world.restart()
        tick = world.tick()
        assert any("failed" in need for need in tick.needs)
        assert RunStatus.FAILED in {run.status for run in world.runs()}


def test_subject_when_the_question_is_open_then_claimed_for_its_case(world: World) -> None:
    world.hit()
    world.tick()
    with world.journal.read() as tx:
        row = tx.one("select state, case_id, approval_id from subject")
    question = world.question()
    assert tuple(row) == (SubjectState.ASKED, question.case_id, question.id)
    world.no(question, RESPONDER_B)
    world.tick()
    with world.journal.read() as tx:
        assert tx.one("select state from subject")[0] == SubjectState.REFUSED


# -- a run that breaks -----------------------------------------------------------------------------

BREAKS = """\
playbook: breaks
description: Two branches, of which one asks.
steps:
  - parallel:
      contain:
        - {id: host, do: edr.find_host, with: {alert: "{{ alert }}"}}
        - {id: isolate, do: edr.isolate_host, targets: ["{{ host.target }}"], with: {reason: r}}
      scope:
        - {id: again, do: edr.find_host, with: {alert: "{{ alert }}"}}
"""


def test_engine_when_a_run_breaks_beside_an_open_card_then_the_card_is_void_and_others_go_on(
    tmp_path: Path,
) -> None:
    """What the journal holds of the other branch is of a shape that no code expects."""
    changes = {"searches": {"wmic_format_hits": {"playbook": "breaks"}}}
    with running_world(tmp_path, changes, playbooks={"breaks": BREAKS}) as world:
        world.arm()
        world.hit()
        world.tick()
        assert len(world.questions(ApprovalState.OPEN)) == 1
        with world.journal.write() as tx:
            assert tx.change("update step set value = '5' where key like '%/scope/again#device'")
            tx.change("update run set status = 'queued', wake_at = 0")
        tick = world.tick()
        (run,) = world.runs()
        assert run.status is RunStatus.FAILED
        assert run.error == "a fault of the program: ValidationError"
        assert any("failed for" in need for need in tick.needs)
        assert world.questions(ApprovalState.OPEN) == []
        assert {one.why for one in world.questions()} == {"the run that asked has ended"}
        with world.journal.read() as tx:
            assert tx.all("select * from subject") == []
        world.hit(host="DESK-001-SYNTHETIC.corp.example.test", user="user1001")
        world.tick()
        assert [run.status for run in world.runs()] == [RunStatus.FAILED, RunStatus.WAITING]
        assert world.contains() == []
