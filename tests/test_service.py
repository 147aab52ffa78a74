"""One tick does all that is due, one broken case stops no other, and waiting costs little."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from connectors.emulators.faults import QUOTA_503
from runner.journal import Fenced, Journal, runs
from runner.service import Service, Tick
from tests.polling import SEEN, polling_world, records, store, store_many, watermark
from tests.world import World, running_world
from tests.world_settings import HOST, malicious


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with polling_world(tmp_path) as found:
        yield found


def test_tick_when_a_hit_waits_then_it_is_polled_judged_and_ended_in_one(world: World) -> None:
    world.clock.advance(60)
    store(world)
    assert world.tick() == Tick()
    (run,) = world.runs()
    assert (run.status, run.result) == ("succeeded", "seen")


def test_tick_when_many_hits_come_at_once_then_each_is_judged(world: World) -> None:
    world.clock.advance(600)
    store_many(world.splunk, 120, spread_s=300)
    world.clock.advance(60)
    assert world.tick() == Tick()
    with world.journal.read() as tx:
        assert tx.all("select status, count(*) from run group by status") == [("succeeded", 120)]


def test_tick_when_the_program_itself_fails_in_one_case_then_the_others_go_on_and_it_is_said(
    world: World,
) -> None:
    """The playbook that the one run is pinned to is not in the journal: no code expects that."""
    world.clock.advance(60)
    store(world, 1)
    store(world, 2)
    world.service.poller.begin()
    while world.service.poller.next_due_at() is not None:
        world.clock.advance(1)
        world.service.poller.advance()
    broken, sound = world.runs()
    with world.journal.write() as tx:
        runs.save(tx, msgspec.structs.replace(broken, bundle_sha256="nowhere"))
    tick = world.tick()
    states = {run.id: run for run in world.runs()}
    assert states[sound.id].status == "succeeded"
    assert states[broken.id].status == "failed"
    assert "a fault of the program: TypeError" in str(states[broken.id].error)
    (need,) = tick.needs
    assert broken.case_id in need
    assert "look at stockade show" in need


def test_tick_when_nothing_is_due_soon_then_it_does_not_stay(world: World) -> None:
    before = world.clock.now()
    world.tick(20)
    assert world.clock.now() - before < timedelta(seconds=1)


def test_tick_when_people_are_waited_for_then_it_does_not_stay(tmp_path: Path) -> None:
    with running_world(tmp_path) as world:
        world.arm()
        world.hit()
        before = world.clock.now()
        assert world.tick(20).people == 1
        assert world.clock.now() - before < timedelta(seconds=2)


def test_tick_when_an_older_copy_of_the_journal_is_back_then_it_is_said_loudly_and_once(
    world: World,
) -> None:
    world.arm()
    world.tick()
    (world.folder / "journal" / "head").write_text("999 " + "0" * 64 + "\n")
    (error,) = world.tick().errors
    assert "lacks entry 999" in error
    assert "not armed" in error
    assert world.tick().errors == ()
    assert [entry.kind for entry in world.entries()].count("journal_lost") == 1


def test_tick_when_another_process_took_over_then_nothing_more_is_written(world: World) -> None:
    other = Journal(world.config.state_dir, world.clock)

    def take_over() -> None:
        (world.config.state_dir / "runner.lock").unlink()
        assert other.own()

    world.clock.advance(60)
    store(world)
    world.before.append(("POST *results", take_over))
    with pytest.raises(Fenced):
        world.tick()
    assert world.cases() == []
    assert watermark(world) is None
    other.close()


def test_tick_when_it_ends_then_the_head_is_noted_and_the_lock_is_free(world: World) -> None:
    world.tick()
    with world.journal.read() as tx:
        seq, head = tx.head()
    assert (world.config.state_dir / "head").read_text() == f"{seq} {head}\n"
    assert not world.journal.is_owned()


def test_tick_when_splunk_and_slack_fail_then_each_is_said_and_the_rest_is_done(
    tmp_path: Path,
) -> None:
    with running_world(tmp_path) as world:
        world.arm()
        world.hit()
        world.tick()
        question = world.question()
        world.splunk.misbehave(QUOTA_503, path="*/dispatch", times=None)
        world.slack.misbehave(path="*reactions.get", status=503, body="{}", times=None)
        world.clock.advance(60)
        errors = world.tick().errors
        assert any(error.startswith("search wmic_format_hits: splunk: ") for error in errors)
        assert any(error.startswith(f"question {question.code}: ") for error in errors)
        world.slack.behave()
        world.yes(question)
        world.clock.advance(60)
        world.tick()
        assert world.contains() == [HOST], "a Splunk that is down holds up no decided call"


def test_serve_when_told_to_stop_then_between_two_calls_and_the_next_goes_on(world: World) -> None:
    world.clock.advance(60)
    store(world)
    stops: list[bool] = []
    world.before.append(("GET *search/v2/jobs/*", lambda: stops.append(True)))
    ticks: list[Tick] = []
    world.service.serve(lambda: bool(stops), ticks.append)
    assert [tick.errors for tick in ticks] == [()]
    assert not world.journal.is_owned()
    world.restart()
    world.tick()
    assert len(world.cases()) == 1


def test_serve_when_left_alone_then_it_polls_each_minute_and_naps_in_between(
    world: World,
) -> None:
    until = world.clock.now() + timedelta(minutes=5)
    ticks: list[Tick] = []
    world.service.serve(lambda: world.clock.now() >= until, ticks.append)
    assert 4 <= len(records(world.journal)) <= 6
    assert len(ticks) == len(records(world.journal))
    assert max(world.clock.sleeps) <= 1.0, "a stop or a vote never waits long"


def test_serve_when_another_runner_is_at_work_then_it_waits_and_takes_over(world: World) -> None:
    other = Journal(world.config.state_dir, world.clock)
    assert other.own()
    ticks: list[Tick] = []

    def should_stop() -> bool:
        if len(ticks) == 2:
            other.disown()
        return any(not tick.is_busy for tick in ticks)

    world.service.serve(should_stop, ticks.append)
    assert [tick.is_busy for tick in ticks] == [True, True, False]
    assert len(records(world.journal)) == 1
    other.close()


def test_serve_when_a_yes_comes_during_a_minute_then_it_is_acted_on_within_seconds(
    tmp_path: Path,
) -> None:
    with running_world(tmp_path) as world:
        world.arm()
        world.hit(cmdline=malicious())
        world.tick()
        question = world.question()
        said_at = world.clock.now() + timedelta(seconds=20)
        done: list[timedelta] = []

        def should_stop() -> bool:
            now = world.clock.now()
            if now >= said_at:
                world.yes(question)
            if world.contains() and not done:
                done.append(now - said_at)
            return bool(done) or now > said_at + timedelta(minutes=2)

        world.service.serve(should_stop, lambda _tick: None)
        assert done
        assert done[0] < timedelta(seconds=10)


def test_playbooks_when_two_searches_share_one_then_it_is_read_once(world: World) -> None:
    first = world.service.routing.bundle("seen")
    assert world.service.routing.bundle("seen") is first
    assert first.body == SEEN
    assert isinstance(world.service, Service)


def test_service_when_it_should_act_and_is_not_armed_then_it_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def said() -> int:
        return sum("not armed: hits are only observed" in line for line in caplog.messages)

    with running_world(tmp_path) as world:
        world.ticks(3, every_s=60)
        assert said() == 1
        world.restart()
        world.tick()
        assert said() == 1
        world.arm()
        world.ticks(2, every_s=60)
        assert said() == 1


def test_tick_when_one_case_cannot_be_reported_then_the_others_are_and_it_is_said(
    tmp_path: Path,
) -> None:
    """A record that no code expects: the report of its case fails, in each tick."""
    with running_world(tmp_path) as world:
        world.arm()
        world.hit()
        world.tick()
        broken = world.case()
        with world.journal.write() as tx:
            tx.change("update alert set body = '{}'")
            tx.change("update cases set revision = revision + 1")
        world.hit(cmdline=malicious(number=2))
        errors = world.tick().errors
        assert f"{broken.id}: a fault of the program: ValidationError" in errors
        (sound,) = [case for case in world.cases() if case.id != broken.id]
        assert world.ticket_texts(sound)[2:], "nothing was told to its ticket"


def test_tick_when_one_card_cannot_be_served_then_the_others_are_and_it_is_said(
    tmp_path: Path,
) -> None:
    with running_world(tmp_path) as world:
        world.arm()
        world.hit()
        world.tick()
        broken = world.question()
        with world.journal.write() as tx:
            tx.change("update alert set body = '{}'")
        world.no(broken)
        world.falcon.add_device(HOST, hostname="WORKSTATION6")
        world.hit("WORKSTATION6")
        tick = world.tick()
        assert [why for why in tick.errors if "a fault of the program: ValidationError" in why]
        assert [one.state for one in world.questions() if one.id != broken.id] == ["open"]
