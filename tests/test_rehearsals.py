"""Each shipped playbook played on recorded events: once it acts, once it is stopped, once it
watches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.model import AssessmentKind
from runner.journal.records import ApprovalState, LedgerState, RunStatus
from runner.playbook import shipped_playbooks
from tests.world import World, running_world
from tests.world_settings import HOST, RESPONDER_B

SPREAD_HOST = "WORKSTATION7-SYNTHETIC"
BENIGN_HOSTS = {"inventory1-synthetic", "inventory2-synthetic", "inventory3-synthetic"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """The scenario as recorded: one attack, its spread, three inventory scripts."""
    with running_world(tmp_path, recorded=True) as world:
        world.arm()
        yield world


def assessments(world: World) -> dict[str | None, AssessmentKind | None]:
    return {
        case.host: case.assessment.assessment if case.assessment else None for case in world.cases()
    }


def attack_ticket(world: World) -> str:
    (case,) = [case for case in world.cases() if case.ticket is not None]
    return world.ticket_texts(case)[-1]


def test_rehearsals_when_a_playbook_is_shipped_then_it_is_played_here() -> None:
    assert set(shipped_playbooks()) == {"release-host", "wmic-format", "wmic-remote"}


def test_wmic_format_when_people_agree_then_host_and_spread_are_isolated_and_recorded(
    world: World,
) -> None:
    tick = world.tick()
    assert tick.people == 2
    assert assessments(world) == {
        "workstation5": AssessmentKind.MALICIOUS,
        **dict.fromkeys(BENIGN_HOSTS, AssessmentKind.BENIGN),
    }
    devices = [one.items[0].device.hostname for one in world.questions(ApprovalState.OPEN)]
    assert set(devices) == {HOST, SPREAD_HOST}
    for question in world.questions(ApprovalState.OPEN):
        world.yes(question)
    world.ticks(2, every_s=30)
    assert set(world.contains()) == {HOST, SPREAD_HOST}
    assert world.isolation_state(HOST) is LedgerState.CONFIRMED
    assert world.isolation_state(SPREAD_HOST) is LedgerState.CONFIRMED
    assert {run.status for run in world.runs()} == {RunStatus.SUCCEEDED}
    text = attack_ticket(world)
    for part in (
        f"{HOST} isolated, confirmed by the EDR's record",
        f"{SPREAD_HOST} isolated, confirmed by the EDR's record",
        "responder-a (account U0RESPONDA) approved",
        "Spread",
        "updater.exe process list",
        "Not checked",
    ):
        assert part in text
    assert len(world.jira.all_issues()) == 1
    assert world.tick().needs == ()


def test_wmic_format_when_people_refuse_then_nobody_is_isolated_and_the_ticket_says_so(
    world: World,
) -> None:
    world.tick()
    for question in world.questions(ApprovalState.OPEN):
        world.no(question, RESPONDER_B)
    world.ticks(2, every_s=30)
    assert world.asked_to("contain") == []
    assert {run.status for run in world.runs()} == {RunStatus.SUCCEEDED}
    text = attack_ticket(world)
    assert "DENIED by responder-b" in text
    assert "no device is isolated through this case" in text
    assert "confirmed by the EDR" not in text


def test_wmic_format_when_only_the_wave_is_refused_then_only_the_host_is_isolated(
    world: World,
) -> None:
    world.tick()
    for question in world.questions(ApprovalState.OPEN):
        if question.items[0].device.hostname == HOST:
            world.yes(question)
        else:
            world.no(question)
    world.ticks(2, every_s=30)
    assert world.contains() == [HOST]


def test_wmic_format_when_nobody_answers_then_nothing_is_done(world: World) -> None:
    world.tick()
    world.ticks(2, every_s=1800)
    assert world.asked_to("contain") == []
    assert {one.state for one in world.questions()} == {ApprovalState.EXPIRED}
    assert {run.status for run in world.runs()} == {RunStatus.SUCCEEDED}
    assert "EXPIRED" in attack_ticket(world)


def test_wmic_format_when_observing_then_judged_and_nothing_is_written(tmp_path: Path) -> None:
    with running_world(tmp_path, {"mode": "observe"}, recorded=True) as world:
        world.ticks(2, every_s=30)
        assert assessments(world)["workstation5"] is AssessmentKind.MALICIOUS
        assert world.writes() == {"falcon": 0, "slack": 0, "jira": 0}
        assert {run.status for run in world.runs()} == {RunStatus.SUCCEEDED}
        attack = next(run for run in world.runs() if len(world.steps(run)) > 2)
        (isolate,) = [
            step for key, step in world.steps(attack).items() if key.endswith("isolate#rule.0")
        ]
        assert isolate.value["mode"] == "observe"
        (spread,) = [
            step.value for key, step in world.steps(attack).items() if key.endswith("#result")
        ]
        assert [host["host"] for host in spread["hosts"]] == [SPREAD_HOST]


def test_wmic_format_when_practising_then_asked_and_nothing_is_sent(tmp_path: Path) -> None:
    with running_world(tmp_path, {"mode": "practice"}, recorded=True) as world:
        world.tick()
        for question in world.questions(ApprovalState.OPEN):
            world.yes(question)
        world.ticks(2, every_s=30)
        assert world.asked_to("contain") == []
        assert {run.status for run in world.runs()} == {RunStatus.SUCCEEDED}


def test_wmic_format_when_the_hunt_cannot_run_then_not_searched_and_the_host_is_isolated(
    tmp_path: Path,
) -> None:
    with running_world(tmp_path, {"hunts": {"index": None}}, recorded=True) as world:
        world.arm()
        world.tick()
        (question,) = world.questions(ApprovalState.OPEN)
        world.pick(question, question.items[0].device.device_id)
        world.ticks(2, every_s=30)
        assert world.contains() == [HOST]
        assert "not searched" in attack_ticket(world)
        assert "no other host" not in attack_ticket(world)
