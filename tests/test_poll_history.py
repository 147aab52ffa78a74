"""Mode `history`: what the scheduler found is read, and what no whole run covers is sought."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.model import SavedSearch, ScheduledRun, SearchJob, Window
from connectors.siem.splunk.window import EVENT_FUTURE_S
from runner.checks import check
from runner.config import SearchConfig
from runner.poll_stretch import from_where, next_step
from tests.fake_clock import FakeClock
from tests.polling import cmdlines, dispatches, poll, polling_world, records, store, watermark
from tests.world import World
from tests.world_settings import SEARCH

NAME = "WMIC format hits"
HISTORY = {"searches": {SEARCH: {"mode": "history", "settle_s": 60, "history_lag_s": 900}}}
MINUTE = 60


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """The scheduler has run once, and that run was read."""
    with polling_world(tmp_path, HISTORY) as found:
        run(found, 90)
        assert poll(found, 0).code == 0
        assert dispatches(found.splunk) == []
        yield found
        assert found.splunk.crashes == []


def run(world: World, earliest_min: int = 15, latest_min: int = 1, age_s: float = 0) -> str:
    """The scheduler runs the search, as `-15m` to `-1m` every five minutes would."""
    return world.splunk.run_schedule(NAME, earliest_min * MINUTE, latest_min * MINUTE, age_s)


def now(world: World) -> int:
    return int(world.clock.now().timestamp())


# -- runs ------------------------------------------------------------------------------------------


def test_history_when_the_schedule_runs_then_each_hit_is_found_without_a_search_of_our_own(
    world: World,
) -> None:
    for number in range(1, 5):
        store(world, number, age_s=100, index_age_s=100)
        world.clock.advance(300)
        sid = run(world)
        assert poll(world, 0).code == 0
        assert watermark(world) == now(world) - MINUTE
        assert sid in world.splunk.jobs, "the scheduler's job is others', too"
    assert len(cmdlines(world)) == 4
    assert dispatches(world.splunk) == []
    assert all(one.from_run and one.ok for one in records(world.journal))


def test_history_when_several_runs_came_since_then_all_are_read_in_one_round(world: World) -> None:
    for _ in range(3):
        world.clock.advance(600)
        run(world)
    before = len(records(world.journal))
    assert poll(world, 0).code == 0
    assert watermark(world) == now(world) - MINUTE
    assert len(records(world.journal)) == before + 3
    assert dispatches(world.splunk) == []


def test_history_when_nothing_ran_yet_then_nothing_is_asked_or_concluded(world: World) -> None:
    before = watermark(world)
    assert poll(world, 300).code == 0
    assert watermark(world) == before
    assert dispatches(world.splunk) == []


def test_history_when_runs_are_older_than_thirty_then_the_newest_is_seen(world: World) -> None:
    for _ in range(40):
        run(world, age_s=3600)
    world.clock.advance(600)
    run(world)
    assert poll(world, 0).code == 0
    assert watermark(world) == now(world) - MINUTE


def test_history_when_somebody_starts_the_search_then_it_is_no_run(world: World) -> None:
    world.clock.advance(300)
    world.service.roles.siem.start_saved_search(
        SavedSearch(name=NAME),
        Window(start=0, end=now(world), event_start=1, event_end=now(world)),
    )
    before = watermark(world)
    assert poll(world, 0).code == 0
    assert watermark(world) == before


# -- gaps ------------------------------------------------------------------------------------------


def test_history_when_an_event_comes_late_then_the_search_for_a_gap_reaches_back(
    world: World,
) -> None:
    store(world, age_s=200, index_age_s=0)
    assert poll(world, 1200).code == 0
    assert len(cmdlines(world)) == 1
    assert len(dispatches(world.splunk)) == 1


def test_history_when_a_run_was_skipped_then_its_stretch_is_searched_for_at_once(
    world: World,
) -> None:
    store(world, 1, age_s=10, index_age_s=10)
    # Fifteen minutes without a run, and the next one reaches back ten.
    world.clock.advance(890)
    store(world, 2, age_s=200, index_age_s=200)
    run(world, earliest_min=10)
    assert poll(world, 0).code == 0
    assert len(cmdlines(world)) == 2
    assert len(dispatches(world.splunk)) == 1
    assert watermark(world) == now(world) - MINUTE
    assert [one.from_run for one in records(world.journal)[-2:]] == [False, True]


def spoiled(**how: Any) -> Any:
    def spoil(world: World) -> None:
        world.splunk.spoil_job(**how)
        run(world)

    return spoil


def expired(world: World) -> None:
    run(world)
    world.splunk.drop_jobs()


@pytest.mark.parametrize(
    "happen",
    [
        spoiled(content={"isFailed": True, "dispatchState": "FAILED"}),
        spoiled(messages=(("WARN", "Search peer idx2 is down"),)),
        spoiled(content={"isFinalized": True}),
        spoiled(never_done=True),
        spoiled(content={"searchEarliestTime": ""}),
        expired,
    ],
    ids=["failed", "partial", "cut short", "never done", "range not told", "expired"],
)
def test_history_when_a_run_is_not_whole_then_it_is_searched_for_once_it_is_late(
    world: World, happen: Any
) -> None:
    store(world, age_s=10, index_age_s=10)
    world.clock.advance(300)
    happen(world)
    assert poll(world, 0).code == 0
    before = watermark(world)
    assert cmdlines(world) == []
    assert dispatches(world.splunk) == []
    assert poll(world, 900).code == 0
    assert len(cmdlines(world)) == 1
    assert len(dispatches(world.splunk)) == 1
    assert watermark(world) == now(world) - MINUTE != before


def test_history_when_a_run_expires_while_it_is_read_then_its_stretch_is_searched_for(
    world: World,
) -> None:
    store(world, age_s=100, index_age_s=100)
    world.clock.advance(300)
    sid = run(world)
    # The list and the first look find it; the look before its rows does not.
    gone = '{"messages":[{"type":"FATAL","text":"Unknown sid."}]}'
    world.splunk.misbehave(method="GET", path=f"*/{sid}", skip=1, times=1, status=404, body=gone)
    assert poll(world, 0).code == 0
    assert len(cmdlines(world)) == 1
    assert len(dispatches(world.splunk)) == 1
    assert watermark(world) == now(world) - MINUTE


def test_history_when_its_rows_are_gone_then_the_poll_is_not_good_and_the_next_one_fills_it(
    world: World,
) -> None:
    before = watermark(world)
    store(world, age_s=100, index_age_s=100)
    world.clock.advance(300)
    sid = run(world)
    world.splunk.misbehave(path=f"*/{sid}/results", times=None, status=404, body='{"messages":[]}')
    assert poll(world, 0).code == 1
    assert watermark(world) == before
    world.splunk.behave()
    assert poll(world).code == 0
    assert len(cmdlines(world)) == 1


def test_history_when_its_search_for_a_gap_is_partial_then_the_watermark_stays(
    world: World,
) -> None:
    before = watermark(world)
    store(world, age_s=10, index_age_s=10)
    world.splunk.spoil_job(messages=(("WARN", "Search peer idx2 is down"),))
    assert poll(world, 1200).code == 1
    assert len(cmdlines(world)) == 1
    assert watermark(world) == before
    assert poll(world).code == 0
    assert watermark(world) == now(world) - MINUTE


def test_history_when_a_gap_has_too_many_rows_then_its_halves_cover_it(world: World) -> None:
    for number in range(1, 8):
        store(world, number, age_s=10, index_age_s=10)
        world.clock.advance(30)
    world.splunk.tune(row_cap=4)
    world.configure({"connectors": {"splunk": {"options": {"row_cap": 4}}}})
    world.restart()
    assert poll(world, 1200).code == 0
    assert len(cmdlines(world)) == 7
    assert len(dispatches(world.splunk)) > 2
    assert 0 <= now(world) - MINUTE - (watermark(world) or 0) < 15


@pytest.mark.parametrize(
    "changed",
    [
        {"dispatch.index_earliest": "-5m"},
        {"search": "_index_earliest=-5m cmdline=*format* | fields cmdline, host"},
    ],
)
def test_history_when_the_schedule_is_over_index_time_then_its_runs_are_not_counted_on(
    world: World, changed: dict[str, str]
) -> None:
    before = watermark(world)
    world.splunk.saved[NAME] |= changed
    world.clock.advance(300)
    run(world)
    assert poll(world, 0).code == 0
    assert watermark(world) == before


# -- check -----------------------------------------------------------------------------------------


def test_check_when_a_search_to_be_read_is_not_scheduled_then_it_is_named(world: World) -> None:
    def said() -> list[str]:
        return [str(one["mend"]) for one in check(world.service).data if not one["ok"]]

    assert any("it is not scheduled" in text for text in said())
    world.splunk.saved[NAME] |= {"is_scheduled": True, "cron_schedule": "*/5 * * * *"}
    assert not any("it is not scheduled" in text for text in said())


# -- which stretch, without a SIEM -----------------------------------------------------------------


def config(**changed: Any) -> SearchConfig:
    return SearchConfig(name="s", saved_search=SavedSearch(name="s"), playbook="p", **changed)


def a_run(start: int, end: int) -> ScheduledRun:
    job = SearchJob(sid=f"{start}-{end}", started_at=FakeClock().now())
    return ScheduledRun(job=job, start=start, end=end)


@pytest.mark.parametrize(
    ("runs", "wanted"),
    [
        ([], None),
        ([(0, 1000)], None),
        ([(900, 1100), (800, 1200), (1150, 1300)], ("800-1200", 1200)),
        ([(1001, 1300)], (None, 1001)),
        ([(1000, 1300)], ("1000-1300", 1300)),
    ],
)
def test_next_step_when_runs_touch_or_leave_a_gap_then_coverage_never_skips_a_second(
    runs: list[tuple[int, int]], wanted: tuple[str | None, int] | None
) -> None:
    step = next_step(1000, 1500, [a_run(*one) for one in runs], config())
    found = step and (step.run.sid if step.run else None, step.asked.covers)
    assert found == wanted


def test_next_step_when_no_run_came_for_long_then_the_gap_is_asked_by_event_time() -> None:
    assert next_step(1000, 1960, [], config()) is None
    step = next_step(1000, 1961, [], config())
    assert step is not None
    window = step.asked.window
    assert (window.event_start, window.event_end, step.asked.covers) == (700, 1901, 1901)
    assert (window.start, window.end) == (max(700 - EVENT_FUTURE_S, 0), 1961)


def test_from_where_when_the_clock_was_set_back_then_it_is_led_back() -> None:
    assert from_where(None, 10_000, config()) == 10_000 - 60 - 3600
    assert from_where(9_000, 10_000, config()) == 9_000
    assert from_where(12_000, 10_000, config()) == 9_940
