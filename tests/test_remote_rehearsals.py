"""The playbook for remote starts, played on a recorded attack over two hosts.

WORKSTATION5 and 6 of the recording are called after two devices that the EDR knows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runner.case_graph import graph_of
from runner.journal.records import ApprovalState, Case, RunStatus
from tests.event_sets import EMPIRE, rows
from tests.world import World, running_world
from tests.world_settings import RESPONDER_A, SEARCH

SOURCE, TARGET = "WORKSTATION50", "WORKSTATION7-SYNTHETIC"
NAMES = {
    "WORKSTATION5.theshire.local": f"{SOURCE}.corp.example.test",
    "WORKSTATION6.theshire.local": f"{TARGET}.corp.example.test",
    "WORKSTATION5$": f"{SOURCE}$",
    "WORKSTATION6$": f"{TARGET}$",
    "/node:WORKSTATION6": f"/node:{TARGET}",
    '"QueryName": "WORKSTATION6"': f'"QueryName": "{TARGET}"',
    "172.18.39.5": "192.0.2.50",
    "172.18.39.6": "192.0.2.107",
}
RECEIPTS = ("@timestamp", "EventTime", "TimeCreated", "RecordNumber", "host")
REMOTE = {
    "searches": {
        SEARCH: None,
        "wmic_remote_hits": {
            "saved_search": "WMIC remote starts",
            "playbook": "wmic-remote",
            "settle_s": 5,
            "canary": "Stockade canary",
        },
    },
    "hunts": {"security_index": "wineventlog"},
    "guards": {"budget": {"per_hour": 5, "fleet_percent": 5.0}},
}


def instant(raw: dict[str, Any]) -> datetime:
    text = raw.get("UtcTime") or raw["@timestamp"].removesuffix("Z").replace("T", " ")
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)


def moved(raw: dict[str, Any], by: timedelta) -> dict[str, Any]:
    kept = {name: value for name, value in raw.items() if name not in RECEIPTS}
    if "UtcTime" in kept:
        kept["UtcTime"] = (instant(raw) + by).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    return kept


def play(world: World) -> None:
    """The recording, its distances kept, so that it began ten minutes ago."""
    text = json.dumps(rows(EMPIRE), ensure_ascii=False)
    for name, other in NAMES.items():
        text = text.replace(name, other)
    found = json.loads(text)
    first = min(instant(raw) for raw in found)
    now = world.clock.now()
    by = now - timedelta(minutes=10) - first
    for raw in found:
        age_s = (now - (instant(raw) + by)).total_seconds()
        world.splunk.add_event(moved(raw, by), age_s=age_s, index_age_s=30)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path, REMOTE) as found:
        found.arm()
        found.clock.advance(60)
        play(found)
        yield found


def settle(world: World) -> None:
    for _ in range(6):
        world.clock.advance(30)
        world.tick()


def agree(world: World) -> None:
    """Answer each question with yes until none is left."""
    for _ in range(6):
        for question in world.questions(ApprovalState.OPEN):
            world.yes(question, RESPONDER_A)
        world.clock.advance(30)
        world.tick()


def case_of(world: World, host: str) -> Case:
    (case,) = [one for one in world.cases() if (one.host or "").startswith(host.casefold())]
    return case


def graph_edges(world: World, case: Case) -> set[tuple[str, str, str]]:
    with world.journal.read() as tx:
        graph = graph_of(tx, case)
    assert graph is not None
    labels = {node.id: node.label.partition(".")[0] for node in graph.nodes}
    return {(labels[e.source], labels[e.target], e.what) for e in graph.edges}


def test_wmic_remote_when_people_agree_then_both_ends_are_isolated(world: World) -> None:
    agree(world)

    assert sorted(world.contains()) == [SOURCE, TARGET]
    assert {run.status for run in world.runs()} == {RunStatus.SUCCEEDED}


def test_wmic_remote_when_people_refuse_then_nobody_is_isolated(world: World) -> None:
    for _ in range(6):
        for question in world.questions(ApprovalState.OPEN):
            world.no(question)
        world.clock.advance(30)
        world.tick()

    assert world.asked_to("contain") == []
    assert {run.status for run in world.runs()} == {RunStatus.SUCCEEDED}


def test_wmic_remote_from_the_target_leads_back_to_the_source(world: World) -> None:
    agree(world)

    case = case_of(world, TARGET)
    text = "\n".join(world.ticket_texts(case))
    assert "it came to the alert's host from WORKSTATION50" in text
    assert "probably first: WORKSTATION50" in text
    assert (SOURCE, TARGET, "started by WMI") in graph_edges(world, case)


def test_wmic_remote_from_the_source_finds_what_ran_on_the_target(world: World) -> None:
    agree(world)

    case = case_of(world, SOURCE)
    text = "\n".join(world.ticket_texts(case))
    assert "something was started by WMI on 1 other host(s): WORKSTATION7-SYNTHETIC" in text
    edges = graph_edges(world, case)
    assert (SOURCE, TARGET, "started by WMI") in edges
    assert not [edge for edge in edges if edge[0] == TARGET]


def test_wmic_remote_proposes_each_host_with_what_speaks_for_it(world: World) -> None:
    settle(world)

    proofs = [item.proof for one in world.questions() for item in one.items]
    assert any("found because it started what ran on" in proof for proof in proofs)
    assert any("Sysmon 1 on WORKSTATION50" in proof for proof in proofs)


def test_wmic_remote_when_it_is_over_then_the_ticket_carries_the_graph_three_times(
    world: World,
) -> None:
    agree(world)

    case = case_of(world, TARGET)
    assert case.ticket is not None
    files = {
        attachment["filename"]: attachment
        for issue in world.jira.all_issues()
        if issue["key"] == case.ticket.key
        for attachment in issue["fields"]["attachment"]
    }
    assert {name.rpartition(".")[2] for name in files} == {"json", "mmd", "svg"}
    assert len(files) == 4, "the evidence, and the graph in three forms"


def test_wmic_remote_without_the_security_log_says_that_it_is_blind(tmp_path: Path) -> None:
    changes = {**REMOTE, "hunts": {"security_index": None}}
    with running_world(tmp_path, changes) as world:
        world.arm()
        world.clock.advance(60)
        play(world)
        agree(world)

        text = "\n".join(world.ticket_texts(case_of(world, TARGET)))
        assert "hunts.security_index is not configured, so logons are not seen" in text


def test_wmic_remote_when_observing_then_nothing_is_written(tmp_path: Path) -> None:
    with running_world(tmp_path, {**REMOTE, "mode": "observe"}) as world:
        world.clock.advance(60)
        play(world)
        settle(world)

        assert world.writes() == {"falcon": 0, "slack": 0, "jira": 0}
        assert {run.status for run in world.runs()} == {RunStatus.SUCCEEDED}
        assert len(world.cases()) == 2
