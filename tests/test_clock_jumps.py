"""The time of day jumps, forward and back: nothing is accepted, sent or asked that would not have
been, no hit is lost or counted twice, and people are told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from runner.journal import polls
from runner.journal.records import ApprovalState
from tests.fake_clock import FakeClock
from tests.world import World, running_world
from tests.world_settings import HOST, SEARCH

HOURS = 3600.0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path) as found:
        found.arm()
        found.tick()
        yield found


class Beside:
    """Splunk's own clock, `apart_s` from the runner's."""

    def __init__(self, clock: FakeClock, apart_s: float) -> None:
        self._clock = clock
        self._apart = timedelta(seconds=apart_s)
        self.monotonic = clock.monotonic
        self.sleep = clock.sleep

    def now(self) -> datetime:
        return self._clock.now() + self._apart


def watermark(world: World) -> int:
    with world.journal.read() as tx:
        found = polls.watermark(tx, SEARCH)
    assert found is not None
    return found


def told(world: World) -> list[str]:
    """What the next tick says of the clock."""
    return [text for text in world.ticks(1, 60)[0].errors if "clock" in text]


def test_tick_when_the_clock_jumps_forward_then_a_question_expires_and_it_is_named(
    world: World,
) -> None:
    world.hit()
    world.tick()
    question = world.question()
    world.yes(question)
    world.clock.jump(5 * HOURS)
    (text,) = told(world)
    assert "jumped 18000 s forward" in text
    assert world.again(question).state is ApprovalState.EXPIRED
    assert world.contains() == []
    (entry,) = world.entries("clock_jumped")
    assert entry.payload == {"seconds": 18000}
    assert told(world) == [], "said once"


def test_tick_when_the_clock_goes_back_behind_a_question_then_a_yes_counts_for_nothing(
    world: World,
) -> None:
    world.hit()
    world.tick()
    question = world.question()
    world.yes(question)
    world.clock.jump(-5 * HOURS)
    (text,) = told(world)
    assert "went 18000 s back" in text
    assert world.again(question).state is not ApprovalState.APPROVED
    assert world.contains() == []


def test_tick_when_the_clock_goes_back_then_a_decided_question_is_not_opened_again(
    world: World,
) -> None:
    world.hit()
    world.tick()
    question = world.question()
    world.clock.advance(1801)
    world.tick()
    assert world.again(question).state is ApprovalState.EXPIRED
    world.yes(question)
    world.clock.jump(-1 * HOURS)
    world.ticks(3, 60)
    assert world.again(question).state is ApprovalState.EXPIRED
    assert world.contains() == []


@pytest.mark.parametrize("jump_s", [5 * HOURS, -5 * HOURS])
def test_tick_when_the_clock_jumps_after_an_isolation_then_nothing_is_doubled(
    world: World, jump_s: float
) -> None:
    world.hit()
    world.tick()
    world.yes(world.question())
    world.tick()
    assert world.contains() == [HOST]
    cards, tickets = len(world.cards()), len(world.jira.all_issues())
    world.clock.jump(jump_s)
    world.ticks(4, 60)
    assert world.contains() == [HOST]
    assert (len(world.cards()), len(world.jira.all_issues())) == (cards, tickets)
    assert len(world.cases()) == 1


@pytest.mark.parametrize("jump_s", [5 * HOURS, -5 * HOURS])
def test_poll_when_only_the_runners_clock_jumps_then_the_siems_own_time_counts(
    world: World, jump_s: float
) -> None:
    own = Beside(world.clock, -jump_s)
    world.splunk.clock = own
    world.clock.jump(jump_s)
    before = watermark(world)
    world.ticks(3, 60)
    assert before < watermark(world) <= own.now().timestamp()


def test_tick_when_a_minute_goes_by_as_it_should_then_nothing_is_said(world: World) -> None:
    assert [told(world) for _ in range(3)] == [[], [], []]
    assert world.entries("clock_jumped") == []


def test_tick_when_the_jump_came_between_two_processes_then_it_is_named_too(world: World) -> None:
    world.restart()
    world.clock.jump(-300)
    assert told(world) != []
