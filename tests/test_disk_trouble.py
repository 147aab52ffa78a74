"""The disk is full, locked or read-only: one clear sentence, no action taken, nothing lost; and the
runner goes on by itself once that is mended."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from runner.journal import JournalError
from tests.world import World, running_world
from tests.world_settings import HOST


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path) as found:
        found.arm()
        found.tick()
        found.hit()
        found.tick()
        found.yes(found.question())
        yield found


def said_by(world: World) -> str:
    """The one sentence by which the next tick ends."""
    with pytest.raises(JournalError) as fault:
        world.tick()
    text = str(fault.value)
    assert "\n" not in text
    assert str(world.journal.path) in text
    return text


def goes_on(world: World) -> None:
    """As a new process does, once the disk is mended: what was approved is done, once."""
    assert world.contains() == [], "nothing was sent without its intent"
    world.restart()
    assert len(world.questions()) == 1
    assert world.tick().errors == ()
    assert world.contains() == [HOST]
    assert len(world.cards()) == 1
    assert len(world.cases()) == 1


def test_tick_when_the_disk_is_full_after_a_yes_then_nothing_is_sent(world: World) -> None:
    # Less than there are: SQLite takes no page more than those.
    world.journal._db.execute("pragma max_page_count = 1")
    fill(world)
    assert "disk is full; nothing was written. Look at disk space" in said_by(world)
    goes_on(world)


def fill(world: World) -> None:
    """Use up all that is free inside the file, down to what one small write needs."""
    for size in (3000, 200, 10):
        with suppress(JournalError):
            while True:
                with world.journal.write() as tx:
                    tx.entry("filler", {}, "x" * size)


def test_tick_when_the_file_is_read_only_after_a_yes_then_nothing_is_sent(world: World) -> None:
    world.journal._db.execute("pragma query_only = on")
    assert "nothing was written. Look at permissions, and for a disk mounted" in said_by(world)
    goes_on(world)


def test_tick_when_another_program_locks_the_file_then_nothing_is_sent(world: World) -> None:
    world.journal._db.execute("pragma busy_timeout = 10")
    with closing(sqlite3.connect(world.journal.path, isolation_level=None)) as other:
        other.execute("begin immediate")
        assert "locked; nothing was written. Another program holds" in said_by(world)
        other.execute("rollback")
    goes_on(world)


def test_tick_when_a_page_is_torn_then_it_says_to_restore_and_nothing_is_sent(
    world: World,
) -> None:
    world.journal.close()
    with world.journal.path.open("r+b") as file:
        for page in range(1, world.journal.path.stat().st_size // 4096):
            file.seek(page * 4096)
            file.write(b"\xff" * 4096)
    with pytest.raises(JournalError, match="stockade restore"):
        opened_and_ticked(world)
    assert world.contains() == []


def opened_and_ticked(world: World) -> None:
    world.open()
    world.tick()
