"""What is old and finished is erased, bit by bit; what is erased never starts again; what still
stands, or is under way, stays."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from runner.audit import verify
from runner.journal import polls, retention
from runner.journal.records import ApprovalState, LedgerState
from tests.world import World, running_world
from tests.world_settings import BENIGN, HOST, SEARCH

DAYS = 86400.0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path, {"retention": {"days": 30}}) as found:
        found.arm()
        found.tick()
        yield found


def count(world: World, table: str) -> int:
    with world.journal.read() as tx:
        return int(tx.one(f"select count(*) from {table}")[0])  # noqa: S608


def pass_days(world: World, days: float) -> None:
    world.clock.advance(days * DAYS)
    for _ in range(4):
        world.ticks(1, 60)


def texts(world: World) -> str:
    """All that the journal's file holds, readable or not."""
    with world.journal.read() as tx:
        tx.db.execute("select 1")
    world.journal._db.execute("pragma wal_checkpoint(truncate)")
    return world.journal.path.read_bytes().decode("latin-1")


def test_case_when_it_is_finished_and_old_then_it_is_erased_and_the_chain_is_whole(
    world: World,
) -> None:
    world.hit()
    world.tick()
    world.no(world.question())
    world.tick()
    world.ticks(2, 60)
    assert "stager.example.test" in texts(world)
    pass_days(world, 29)
    assert len(world.cases()) == 1, "not old enough"
    pass_days(world, 2)
    assert world.cases() == []
    assert [count(world, table) for table in ("run", "step", "approval", "subject")] == [0] * 4
    assert count(world, "alert") == 1
    assert "stager.example.test" not in texts(world), "nor in the file's free pages"
    with world.journal.read() as tx:
        verdict = verify(tx)
    assert verdict.faults == ()
    assert verdict.erased > 5
    (entry,) = [one for one in world.entries("erased") if one.payload["cases"]]
    assert len(entry.payload["cases"]) == 1


def test_hit_when_it_was_erased_and_is_found_again_then_it_starts_nothing(world: World) -> None:
    world.hit()
    once = world.splunk.events[-1]
    world.tick()
    world.no(world.question())
    world.tick()
    pass_days(world, 31)
    assert world.cases() == []
    cards = len(world.cards())
    # The same event, moved into the window of the next poll by a restored index.
    now_s = world.clock.now().timestamp()
    moved = msgspec.structs.replace(once, at=now_s, indexed_at=int(now_s), visible_at=now_s)
    world.splunk.events.append(moved)
    world.ticks(3, 60)
    with world.journal.read() as tx:
        rows = tx.all("select sum(json_extract(body, '$.known')) from poll")
    assert rows[0][0] >= 1, "it was found again"
    assert world.cases() == []
    assert len(world.cards()) == cards
    assert count(world, "alert") == 1


def test_hit_when_all_before_it_was_erased_then_it_is_still_one_to_act_on(world: World) -> None:
    """Alerts' numbers go on: the arming counts by them."""
    world.hit(cmdline=BENIGN)
    world.tick()
    world.arm()
    pass_days(world, 31)
    assert world.cases() == []
    world.hit()
    world.tick()
    assert world.question().state is ApprovalState.OPEN


def test_case_when_its_device_is_still_isolated_then_it_stays(world: World) -> None:
    world.hit()
    world.tick()
    world.yes(world.question())
    world.tick()
    pass_days(world, 100)
    assert len(world.cases()) == 1
    assert world.isolation_state() is LedgerState.CONFIRMED
    payloads = [one.payload for one in world.entries("question_approved")]
    assert payloads[0] is not None, "nor is what was said of it erased"
    world.release(HOST)
    world.tick()
    world.yes(world.question())
    world.tick()
    assert world.isolation_state() is LedgerState.RELEASED
    pass_days(world, 20)
    assert len(world.cases()) == 1, "its last run is young"
    pass_days(world, 20)
    assert world.cases() == []
    assert world.isolation() is None


def test_case_when_a_question_of_it_is_open_then_it_stays(tmp_path: Path) -> None:
    changes = {"retention": {"days": 30}, "approvals": {"expires_s": 86400}}
    with running_world(tmp_path, changes) as world:
        world.arm()
        world.tick()
        world.hit()
        world.tick()
        with world.journal.write() as tx:
            erased = retention.erase(tx, world.clock.now() + timedelta(days=1))
        assert erased.cases == 0
        assert world.question().state is ApprovalState.OPEN


def test_erasing_is_bounded_and_goes_on_in_the_next_round(world: World) -> None:
    for number in range(60):
        world.hit(host=f"WS-{number}", cmdline=f"{BENIGN} {number}")
    world.tick(300)
    assert len(world.cases()) == 60
    later = world.clock.now() + timedelta(days=1)
    taken = []
    for _ in range(4):
        with world.journal.write() as tx:
            taken.append(retention.erase(tx, later))
    assert [one.cases for one in taken] == [50, 10, 0, 0]
    assert all(one.payloads <= retention.MOST_ROWS for one in taken)
    assert count(world, "payload") <= 2


def test_polls_when_they_are_old_then_the_last_ones_stay(world: World) -> None:
    world.ticks(5, 60)
    last_ok = watermark_and_last(world)
    with world.journal.write() as tx:
        erased = retention.erase(tx, world.clock.now() + timedelta(days=1))
    assert erased.polls >= 4
    assert watermark_and_last(world) == last_ok
    assert count(world, "poll") == 1


def watermark_and_last(world: World) -> tuple[object, object]:
    with world.journal.read() as tx:
        return polls.watermark(tx, SEARCH), polls.last(tx, SEARCH, ok_only=True)


def test_nothing_is_erased_unless_configured(tmp_path: Path) -> None:
    with running_world(tmp_path) as world:
        world.hit(cmdline=BENIGN)
        world.tick()
        world.clock.advance(5000 * DAYS)
        world.tick()
        assert len(world.cases()) == 1
        assert world.entries("erased") == []
