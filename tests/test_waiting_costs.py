"""What a hit costs that waits for people: a row, and nothing for those that come after it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest

from runner.crowding import CROWD, MOST_OF_ONE_CAMPAIGN
from runner.journal import cases, runs
from tests.test_crowding import ONE_CAMPAIGN, ROOMY, flood
from tests.world import World, running_world
from tests.world_settings import SEARCH, merged

ASKS = """\
playbook: asks
description: Judge the line, and ask to isolate its host.
steps:
  - id: triage
    do: wmic.assess
    with: {alert: "{{ alert }}"}
  - id: host
    do: edr.find_host
    with: {alert: "{{ alert }}"}
  - id: isolate
    do: edr.isolate_host
    targets: ["{{ host.target }}"]
    with: {reason: "{{ triage.summary }}"}
"""
QUIET = {"searches": {SEARCH: {"playbook": "asks", "canary": None, "overlap_s": 1}}}
FEW, MANY = 14, 34


class Quiet(NamedTuple):
    """A quiet tick: the journal's statements and SQLite's instructions, the calls to products; and
    the size of the journal."""

    statements: int
    instructions: int
    calls: int
    size_bytes: int


def crowd(world: World, hits: int) -> None:
    """So many hits of one campaign, all but a few of them held back."""
    world.arm()
    flood(world, hits, ONE_CAMPAIGN)
    world.ticks(3, every_s=30)
    with world.journal.read() as tx:
        assert runs.count_waiting_on(tx, CROWD) == hits - MOST_OF_ONE_CAMPAIGN


def work_of(world: World, work: Callable[[], object]) -> tuple[int, int]:
    """How many statements the journal's file was given, and the instructions that SQLite took for
    them: a query that looks at every waiting row takes some for each."""
    given: list[str] = []
    taken = count()
    db = world.journal._db
    db.set_trace_callback(given.append)
    db.set_progress_handler(lambda: next(taken) < 0, 1)
    work()
    db.set_trace_callback(None)
    db.set_progress_handler(None, 0)
    return len(given), next(taken)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Quiet]:
    """Hits that came in → what a quiet tick costs then."""
    found = {}
    for hits in (FEW, MANY):
        folder = tmp_path_factory.mktemp("crowd")
        changes = merged(ROOMY, QUIET)
        with running_world(folder, changes, playbooks={"asks": ASKS}) as world:
            crowd(world, hits)
            world.clock.advance(30)
            world.sent.clear()
            given, taken = work_of(world, world.tick)
            found[hits] = Quiet(given, taken, len(world.sent), size_of(world))
    return found


def size_of(world: World) -> int:
    """The bytes of all that the journal holds, written out as text."""
    with world.journal.read() as tx:
        return sum(map(len, tx.db.iterdump()))


def test_tick_when_many_wait_then_it_costs_what_it_costs_when_few_do(
    seen: dict[int, Quiet],
) -> None:
    few, many = seen[FEW], seen[MANY]
    assert (many.statements, many.calls) == (few.statements, few.calls)
    assert many.instructions - few.instructions < MANY - FEW, "less than one a waiting row"


def test_journal_when_a_hit_waits_then_it_keeps_so_many_bytes(
    seen: dict[int, Quiet],
) -> None:
    """The hit, the case, each step's result in its row and in the chain, and the wait itself."""
    each = (seen[MANY].size_bytes - seen[FEW].size_bytes) / (MANY - FEW)
    assert each <= 16_000


def test_wait_when_it_is_written_then_it_is_a_row_of_less_than_a_kilobyte(tmp_path: Path) -> None:
    with running_world(tmp_path, merged(ROOMY, QUIET), playbooks={"asks": ASKS}) as world:
        crowd(world, MOST_OF_ONE_CAMPAIGN + 2)
        with world.journal.read() as tx:
            rows = tx.all("select * from run where wait_on = ?", CROWD)
        assert rows
        assert all(sum(len(str(value)) for value in row) < 1024 for row in rows)


def test_report_when_a_case_has_no_ticket_then_it_is_passed_over_once_and_told_in_the_first_one(
    tmp_path: Path,
) -> None:
    """A ticket that is opened late still tells what happened before it."""
    late = ASKS + (
        "  - id: ticket\n    do: tickets.create_ticket\n    with: {title: opened last}\n"
    )
    with running_world(tmp_path, merged(ROOMY, QUIET), playbooks={"asks": late}) as world:
        world.arm()
        world.hit()
        world.tick()
        with world.journal.read() as tx:
            assert not cases.has_unreported(tx)
        world.yes(world.question())
        world.ticks(3, every_s=30)
        assert world.case().ticket is not None
        assert "isolated, confirmed by the EDR's record" in world.ticket_texts()[-1]
        with world.journal.read() as tx:
            assert not cases.has_unreported(tx)
