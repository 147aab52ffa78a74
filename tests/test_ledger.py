"""Leases, drift the other way, isolations of others, the rebuilt ledger, and undo."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.isolations import renew, show_isolations
from runner.journal.records import ApprovalState, LedgerState
from runner.ledger_rebuild import compare, rebuild
from runner.undo import undo
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
