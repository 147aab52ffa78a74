"""Leases, drift the other way, isolations of others, the rebuilt ledger, and undo."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runner import views
from runner.checks import check
from runner.isolations import renew, show_isolations
from runner.journal.records import ApprovalState, LedgerState
from runner.ledger_rebuild import compare, rebuild
from runner.result import Result
from runner.undo import undo
from runner.wording import clock_text
from tests.world import World, running_world
from tests.world_settings import HOST, RESPONDER_B


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path, {"guards": {"lease_h": 4}}) as world:
        world.arm()
        yield world


def isolate(world: World) -> None:
    world.hit()
    world.tick()
    world.yes(world.question())
    world.tick()
    assert world.isolation_state() is LedgerState.CONFIRMED


def test_lease_when_it_ends_then_reminded_and_asked_once_and_nothing_is_lifted(
    world: World,
) -> None:
    isolate(world)
    asked = world.questions()[0]
    world.ticks(1, every_s=3 * 3600 + 60)
    assert sum("leased until" in text for text in world.thread(asked)) == 1
    world.restart()
    world.ticks(1, every_s=3600)
    world.restart()
    world.ticks(2, every_s=60)
    assert len(world.questions(ApprovalState.OPEN)) == 1
    assert world.lifts() == []


def test_lease_when_renewed_then_nobody_is_asked_at_its_old_end(world: World) -> None:
    isolate(world)
    done = renew(world.journal, world.config, HOST, "still looked at", "operator", None)
    assert done.code == 0
    world.clock.advance(3600)
    renew(world.journal, world.config, world.questions()[0].code, "again", "operator", None)
    world.ticks(1, every_s=3 * 3600 + 60)
    assert world.questions(ApprovalState.OPEN) == []


def test_drift_when_somebody_contains_what_was_released_then_foreign_and_never_lifted(
    world: World,
) -> None:
    isolate(world)
    asked = world.questions()[0]
    world.release(HOST)
    world.tick()
    world.yes(world.question(), RESPONDER_B)
    world.yes(world.question())
    world.tick()
    assert world.isolation_state() is LedgerState.RELEASED
    world.falcon.set_device(HOST, status="contained")
    world.ticks(2, every_s=1000)
    assert world.isolation_state() is LedgerState.FOREIGN
    assert show_isolations(world.journal, is_all=False).code == 1
    assert world.release(HOST).code == 2
    told = sum("not isolated through this runner" in text for text in world.thread(asked))
    assert told <= 1
    assert "not isolated through this runner" in world.ticket_texts()[-1]


def test_rebuild_when_the_journal_is_lost_then_it_can_be_released_and_names_nobody(
    world: World,
) -> None:
    world.falcon.set_device(HOST, status="contained")
    assert compare(world.service).code == 1
    assert rebuild(world.service, [], "lost", "operator", is_all=False).code == 2
    assert rebuild(world.service, [HOST], "lost", "operator", is_all=False).code == 0
    assert compare(world.service).code == 0
    row = world.isolation()
    assert row is not None
    assert (row.holders, row.approval_id, row.is_ours) == ((), None, False)
    assert world.release(HOST).code == 0
    world.tick()
    world.yes(world.question())
    world.yes(world.question(), RESPONDER_B)
    world.tick()
    assert world.isolation_state() is LedgerState.RELEASED


def test_undo_when_the_case_holds_a_device_then_people_are_asked_and_the_ticket_says_so(
    world: World,
) -> None:
    isolate(world)
    done = undo(world.journal, world.config, world.case().id, "false alarm", "operator")
    assert done.code == 0
    assert f"release {HOST}" in done.text
    world.tick()
    assert world.question().effect == "release"
    assert world.lifts() == []
    assert any("UNDO" in text for text in world.ticket_texts())


def test_release_when_the_device_has_not_carried_it_out_yet_then_it_can_be_taken_back(
    world: World,
) -> None:
    world.falcon.set_device(HOST, offline=True)
    world.hit()
    world.tick()
    world.yes(world.question())
    world.tick(linger_s=200)
    assert world.isolation_state() is LedgerState.ACCEPTED
    world.release(HOST)
    world.tick()
    world.yes(world.question())
    world.yes(world.question(), RESPONDER_B)
    world.tick(linger_s=200)
    assert world.lifts() == [HOST]


def status(world: World) -> Result:
    return views.show_status(world.journal, world.config, None)


def ledger_lines(world: World) -> list[str]:
    """What `check` says of isolations."""
    lines = check(world.service).text.splitlines()
    return [line for line in lines if "ledger" in line or "isolation of" in line]


def test_status_when_a_lease_runs_then_until_when_for_whom_and_who_renewed(world: World) -> None:
    isolate(world)
    case = world.case().id
    (line,) = [one for one in status(world).text.splitlines() if one.startswith("isolation ")]
    assert f"confirmed by the EDR's record; for {case}; lease until" in line
    assert "renewed" not in line
    renew(world.journal, world.config, HOST, "still looked at", "operator", None)
    (row,) = status(world).data["isolated"]
    assert (row["renewed_by"], row["is_overdue"], row["holders"]) == ("operator", False, [case])
    assert "renewed by operator" in status(world).text


def test_status_when_a_lease_ended_unrenewed_then_overdue_until_renewed(world: World) -> None:
    isolate(world)
    row = world.isolation()
    assert row is not None
    assert row.lease_until is not None
    ended = f"lease OVERDUE since {clock_text(row.lease_until)}"
    world.clock.advance(4 * 3600)
    assert ended in status(world).text, "no runner was there to ask"
    world.ticks(2, every_s=5 * 3600)
    assert ended in status(world).text, "it keeps the day of its first end"
    assert ended in show_isolations(world.journal, is_all=False).text
    assert show_isolations(world.journal, is_all=False).code == 1
    assert any(line.startswith("BAD ") and ended in line for line in ledger_lines(world))
    renew(world.journal, world.config, HOST, "still looked at", "operator", None)
    assert "OVERDUE" not in status(world).text
    assert show_isolations(world.journal, is_all=False).code == 0
    assert ledger_lines(world) == ["ok   ledger: 1 isolation(s)"]


def test_status_when_somebody_else_contained_a_device_then_named_and_when_it_was_seen(
    world: World,
) -> None:
    isolate(world)
    world.falcon.set_device("LAPTOP9-SYNTHETIC", status="contained")
    world.ticks(1, every_s=1000)
    (row,) = status(world).data["contained_by_others"]
    assert (row["hostname"], row["is_ours"]) == ("LAPTOP9-SYNTHETIC", False)
    assert "contained by somebody else, not through this runner" in status(world).text
    assert any(
        line.startswith("ok ") and "LAPTOP9-SYNTHETIC" in line for line in ledger_lines(world)
    )
    seen = status(world).data["compared_with_edr_at"]
    world.falcon.misbehave(path="/devices/queries/*", status=503, body="{}", times=None)
    world.ticks(1, every_s=1000)
    assert status(world).data["compared_with_edr_at"] == seen, "a list that could not be read"


def test_status_when_somebody_else_lifted_it_then_said_and_bad_for_a_day(world: World) -> None:
    isolate(world)
    world.falcon.set_device(HOST, status="normal")
    world.ticks(1, every_s=1000)
    (row,) = status(world).data["lifted_by_others"]
    assert row["hostname"] == HOST
    assert status(world).data["isolated"] == []
    assert any(line.startswith("BAD ") and "NOT contained" in line for line in ledger_lines(world))
    world.clock.advance(24 * 3600 + 1)
    assert ledger_lines(world) == ["ok   ledger: 0 isolation(s)"]


def test_status_when_the_release_is_not_carried_out_yet_then_still_listed(world: World) -> None:
    isolate(world)
    world.falcon.set_device(HOST, offline=True)
    world.release(HOST)
    world.tick()
    world.yes(world.question(), RESPONDER_B)
    world.yes(world.question())
    world.tick()
    (row,) = status(world).data["isolated"]
    assert row["state"] == "release_requested"
    assert "still isolated until confirmed" in status(world).text
