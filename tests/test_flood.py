"""A flood of hits: the worst is carried first, others have their turn, and each hit is counted."""

from __future__ import annotations

from pathlib import Path

import msgspec

from connectors.http import Runtime
from connectors.model import Alert
from runner.config import SearchConfig
from runner.journal import Journal, Tx, cases, polls, runs
from runner.poll import Poller
from runner.routing import Admission
from runner.row_chunks import ROWS_AT_ONCE
from runner.service import Service, urgency
from tests.polling import poll, polling_world, records, store, store_many
from tests.world import World
from tests.world_settings import BENIGN, SEARCH, SUSPICIOUS, malicious


def carried(world: World) -> list[str]:
    """The hosts of the runs that ended, in that order."""
    ended = world.entries("run_succeeded")
    with world.journal.read() as tx:
        return [str(cases.read(tx, entry.refs["case"]).host) for entry in ended]


def test_flood_when_attacks_are_among_many_hits_then_the_worst_are_carried_first(
    tmp_path: Path,
) -> None:
    with polling_world(tmp_path) as world:
        world.clock.advance(60)
        for number in range(40):
            line = {11: SUSPICIOUS, 23: malicious(), 39: malicious(number=2)}.get(number, BENIGN)
            store(world, number, host=f"WS-{number}", cmdline=line)
        assert poll(world, after_s=0).code == 0
        order = carried(world)
        assert len(order) == 40
        assert set(order[:2]) == {"ws-23", "ws-39"}
        assert order[2] == "ws-11"


def test_flood_when_hits_still_come_in_then_only_what_looks_like_an_attack_is_carried(
    tmp_path: Path,
) -> None:
    with polling_world(tmp_path) as world:
        world.clock.advance(60)
        store(world, 1, host="WS-1", cmdline=BENIGN)
        store(world, 2, host="WS-2", cmdline=malicious())
        poll(world, after_s=0)
        with world.journal.write() as tx:
            tx.change("update run set status = 'queued', wake_at = ?", tx.now_s())
            found = runs.next_due(tx, least=1)
            assert found is not None
            assert cases.read(tx, found.case_id).host == "ws-2"
            tx.change("update run set status = 'succeeded' where id = ?", found.id)
            assert runs.next_due(tx, least=1) is None
            assert runs.next_due(tx) is not None


def test_urgency_when_a_hit_cannot_be_looked_at_then_it_goes_first() -> None:
    """Whatever breaks in judging breaks the run of that hit, and no poll."""
    odd = Alert(id="alert-1", siem="splunk", search=SEARCH, raw={}, cmdline=b"wmic")  # type: ignore[arg-type]
    assert urgency(odd) == runs.MOST_URGENT
    assert urgency(msgspec.structs.replace(odd, cmdline=BENIGN)) == 0


def test_flood_when_rows_take_long_then_others_have_their_turn_and_a_new_process_goes_on(
    tmp_path: Path,
) -> None:
    with polling_world(tmp_path) as world:
        count = ROWS_AT_ONCE + 5
        world.clock.advance(60)
        store_many(world.splunk, count, spread_s=30)
        world.clock.advance(30)
        world.journal.close()
        slow = Journal(
            world.config.state_dir, world.clock, on_commit=lambda: world.clock.advance(5)
        )
        service = Service(world.config, slow, Runtime(clock=world.clock, emulated=True))
        slow.own()
        service.poller.begin()
        for _ in range(60):
            if service.poller.taking:
                break
            world.clock.advance(1)
            service.poller.advance()
        assert service.poller.taking
        with slow.read() as tx:
            assert cases.last_alert_number(tx) == ROWS_AT_ONCE, "a part, and no more"
            started = polls.job(tx, SEARCH)
            assert started is not None
            assert started.new == ROWS_AT_ONCE
        assert service.poller.unfinished()
        slow.close()
        world.open()
        poll(world, after_s=1)
        (record,) = records(world.journal)
        assert (record.rows, record.new, record.known) == (count, count, 0)
        with world.journal.read() as tx:
            assert cases.last_alert_number(tx) == count


def test_poll_when_rows_are_known_then_they_are_counted_by_key_and_not_read_again(
    tmp_path: Path,
) -> None:
    def admit(_tx: Tx, _search: SearchConfig, _alert: Alert) -> Admission:
        raise AssertionError("a known row was read as if it were new")

    with polling_world(tmp_path) as world:
        world.clock.advance(60)
        for number in range(5):
            store(world, number)
        poll(world, after_s=0)
        world.clock.advance(60)
        poller = Poller(world.journal, world.config, world.service.roles, world.clock, admit)
        poller.begin()
        for _ in range(60):
            if poller.next_due_at() is None:
                break
            world.clock.advance(1)
            poller.advance()
        assert poller.next_due_at() is None
        assert poller.errors == {}
        assert [(one.new, one.known) for one in records(world.journal)] == [(5, 0), (0, 5)]


def test_flood_when_runs_are_over_then_cases_without_a_ticket_are_settled_in_one_go(
    tmp_path: Path,
) -> None:
    with polling_world(tmp_path) as world:
        world.clock.advance(60)
        for number in range(60):
            store(world, number, host=f"WS-{number}", cmdline=BENIGN)
        commits = []
        world.journal.close()
        counting = Journal(world.config.state_dir, world.clock, on_commit=lambda: commits.append(1))
        service = Service(world.config, counting, Runtime(clock=world.clock, emulated=True))
        service.tick(15)
        with counting.read() as tx:
            assert not cases.has_unreported(tx)
        assert len(commits) < 60 * 3, "a start and an end for each run, and no third for its report"
        counting.close()
        world.open()
