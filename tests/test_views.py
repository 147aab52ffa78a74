"""What a person asks of the journal: cases, one case, the runner's state; nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from runner import views
from runner.journal.records import RunStatus
from tests.polling import polling_world, store, store_many
from tests.world import World, running_world
from tests.world_settings import HOST, SUSPICIOUS


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """One question is open."""
    with running_world(tmp_path) as found:
        found.arm()
        found.hit()
        found.tick()
        yield found


def status(world: World) -> str:
    return views.show_status(world.journal, world.config, None).text


def test_cases_when_there_are_none_then_it_says_so(tmp_path: Path) -> None:
    with polling_world(tmp_path) as world:
        assert views.list_cases(world.journal).text == "no cases yet"
        assert views.list_cases(world.journal).data == []


def test_cases_when_listed_then_a_line_each_with_id_judgement_ticket_and_state(
    world: World,
) -> None:
    world.hit(cmdline=SUSPICIOUS)
    world.tick()
    lines = views.list_cases(world.journal).text.splitlines()
    assert len(lines) == 2
    (first,) = [line for line in lines if "malicious" in line]
    assert first.startswith(world.cases()[0].id)
    assert "SEC-1" in first
    assert "alerts 1" in first
    assert "waiting for people" in first


def test_cases_when_there_are_very_many_then_the_newest_hundred(tmp_path: Path) -> None:
    with polling_world(tmp_path) as world:
        world.clock.advance(600)
        store_many(world.splunk, 130)
        world.clock.advance(60)
        world.tick()
        store(world, 9000, host="NEWEST")
        world.clock.advance(60)
        world.tick()
        lines = views.list_cases(world.journal).text.splitlines()
        assert len(lines) == 100
        assert "newest" in lines[0]


def test_status_when_a_question_is_open_then_its_code_device_and_end_are_shown(
    world: World,
) -> None:
    question = world.question()
    assert f"question {question.code} open: {HOST} until 2026-11-25 12:31:00 UTC" in status(world)
    assert status(world).startswith("mode act\n")
    assert "runs: 1 waiting" in status(world)


def test_status_when_not_armed_then_it_observes_and_says_why(tmp_path: Path) -> None:
    with running_world(tmp_path) as world:
        world.tick()
        assert status(world).startswith("mode observe (the journal is not armed: run stockade arm")
        found = views.show_status(world.journal, world.config, None).data
        assert (found["mode"], found["configured_mode"]) == ("observe", "act")


def test_status_when_paused_then_it_says_so_and_why(world: World) -> None:
    from runner import commands

    commands.pause(world.journal, "kim", "change window")
    assert "PAUSED: change window" in status(world)
    commands.resume(world.journal, "kim")
    assert "PAUSED" not in status(world)


def test_status_when_a_host_is_isolated_then_it_is_listed_until_its_release_is_verified(
    world: World,
) -> None:
    world.yes(world.question())
    world.ticks(2, 60)
    assert f"isolation {HOST} (" in status(world)
    assert world.release(HOST).code == 0
    world.ticks(1, 60)
    assert f"isolation {HOST} (" in status(world), "asked for is not released"
    world.yes(world.question())
    world.ticks(3, 60)
    assert f"isolation {HOST} (" not in status(world)


def test_status_when_a_run_failed_then_a_person_is_needed_for_a_day(world: World) -> None:
    (run,) = world.runs()
    from runner.journal import runs

    with world.journal.write() as tx:
        ended = msgspec.structs.replace(
            run, status=RunStatus.FAILED, error="boom", ended_at=tx.clock.now(), wake_at=None
        )
        runs.save(tx, ended)
    assert f"A PERSON IS NEEDED: wmic-format failed for {run.case_id} (boom)" in status(world)
    world.clock.advance(24 * 3600 + 1)
    assert "A PERSON IS NEEDED" not in status(world)


def test_views_when_asked_then_the_journal_is_as_before(world: World) -> None:
    before = world.entries()
    views.list_cases(world.journal)
    views.show_case(world.journal, world.config, world.case().id)
    views.show_case(world.journal, world.config, "case-0")
    status(world)
    assert world.entries() == before
    assert not world.journal.is_owned()
