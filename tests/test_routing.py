"""Which playbook a hit starts, pinned to its text; and what makes two hits one case."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from connectors.model import Alert
from runner.config import Config, SearchConfig
from runner.journal import Journal, cases, runs
from runner.journal.cases import REPEAT_WINDOW
from runner.routing import Admission, Routing, Unrouted, start_run
from tests.fake_clock import FakeClock
from tests.polling import SEEN, polling_world
from tests.world import World
from tests.world_settings import SEARCH


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with polling_world(tmp_path) as found:
        yield found


@pytest.fixture
def search(world: World) -> SearchConfig:
    return world.config.searches[SEARCH]


def alert(number: int, host: str | None = "WS-1", cmdline: str = "wmic /format:x") -> Alert:
    return Alert(
        id=f"alert-{number}", siem="splunk", search=SEARCH, raw={}, host=host, cmdline=cmdline
    )


def admit(world: World, search: SearchConfig, *alerts: Alert) -> list[Admission]:
    with world.journal.write() as tx:
        return [world.service.routing.admit(tx, search, one) for one in alerts]


def test_admit_when_an_alert_is_new_then_it_gets_a_case_and_a_queued_run_of_its_playbook(
    world: World, search: SearchConfig
) -> None:
    assert admit(world, search, alert(1)) == [Admission.NEW]
    case = world.case()
    (run,) = world.runs()
    assert (case.host, case.alert_id, case.status) == ("ws-1", "alert-1", "new")
    assert (run.case_id, run.alert_id, run.status, run.playbook) == (
        case.id,
        "alert-1",
        "queued",
        "seen",
    )
    with world.journal.read() as tx:
        assert runs.bundle(tx, run.bundle_sha256) == SEEN
    assert [entry.kind for entry in world.entries()][-2:] == ["case_opened", "run_queued"]


def test_admit_when_an_alert_is_known_then_nothing_is_written(
    world: World, search: SearchConfig
) -> None:
    assert admit(world, search, alert(1), alert(1)) == [Admission.NEW, Admission.KNOWN]
    before = world.entries()
    assert admit(world, search, alert(1)) == [Admission.KNOWN]
    assert world.entries() == before
    assert world.case().alert_count == 1


@pytest.mark.parametrize(
    ("host", "cmdline"),
    [
        ("WS-1", "wmic /format:x"),
        ("ws-1", "wmic /format:x"),
        ("WS-1$", "wmic /format:x"),
        ("WS-1", "  wmic \t /format:x "),
    ],
)
def test_admit_when_machine_and_command_line_are_the_same_then_it_is_a_repeat_without_a_run(
    world: World, search: SearchConfig, host: str, cmdline: str
) -> None:
    found = admit(world, search, alert(1), alert(2, host, cmdline))
    assert found == [Admission.NEW, Admission.REPEAT]
    assert world.case().alert_count == 2
    assert len(world.runs()) == 1


@pytest.mark.parametrize(
    ("host", "cmdline"),
    [
        ("WS-10", "wmic /format:x"),
        ("WS-1.other.example.test", "wmic /format:x"),
        (None, "wmic /format:x"),
        ("WS-1", "wmic /format:X"),
        ("WS-1", "wmic /format:x\u00a0"),
        ("WS-1", ""),
    ],
)
def test_admit_when_anything_that_counts_differs_then_it_is_a_case_of_its_own(
    world: World, search: SearchConfig, host: str | None, cmdline: str
) -> None:
    found = admit(world, search, alert(1), alert(2, host, cmdline))
    assert found == [Admission.NEW, Admission.NEW]


def test_admit_when_a_day_went_by_without_a_repeat_then_the_next_one_is_judged_anew(
    world: World, search: SearchConfig
) -> None:
    admit(world, search, alert(1))
    world.clock.advance(REPEAT_WINDOW.total_seconds() - 1)
    assert admit(world, search, alert(2)) == [Admission.REPEAT]
    world.clock.advance(REPEAT_WINDOW.total_seconds() - 1)
    assert admit(world, search, alert(3)) == [Admission.REPEAT], "each repeat starts the day anew"
    world.clock.advance(REPEAT_WINDOW.total_seconds())
    assert admit(world, search, alert(4)) == [Admission.NEW]
    assert [case.alert_count for case in world.cases()] == [3, 1]
    assert timedelta(hours=24) == REPEAT_WINDOW


def test_admit_when_two_machines_share_no_name_then_their_cases_are_not_linked(
    world: World, search: SearchConfig
) -> None:
    admit(world, search, alert(1, None), alert(2, None, "wmic /format:y"), alert(3, "WS-3"))
    assert [case.linked for case in world.cases()] == [(), (), ()]


def test_admit_when_the_playbook_is_missing_then_it_says_so_and_the_caller_keeps_nothing(
    world: World, search: SearchConfig
) -> None:
    (world.folder / "playbooks" / "seen.yaml").unlink()
    with pytest.raises(Unrouted, match="the playbook seen: it is nowhere; look at playbook_dir"):
        admit(world, search, alert(1))
    assert world.cases() == []
    with world.journal.read() as tx:
        assert not cases.knows_alert(tx, "alert-1")


def test_playbook_when_asked_twice_then_a_run_that_began_keeps_the_text_it_began_with(
    world: World, search: SearchConfig
) -> None:
    admit(world, search, alert(1))
    file = world.folder / "playbooks" / "seen.yaml"
    file.write_text(SEEN.replace("reason: seen", "reason: changed"))
    world.restart()
    world.clock.advance(1)
    admit(world, search, alert(2, "WS-2"))
    world.tick()
    assert [run.result for run in world.runs()] == ["seen", "changed"]


def test_run_when_started_again_for_a_case_then_its_id_follows_from_case_and_generation(
    tmp_path: Path,
) -> None:
    journal = Journal(tmp_path / "state", FakeClock())
    routing = Routing(Config(state_dir=tmp_path))
    playbook = routing.bundle("wmic-format")
    with journal.write() as tx:
        case = cases.new_case(tx, alert(1), "key", "ws-1")
        cases.add_alert(tx, alert(1), case.id)
        first = start_run(tx, case.id, "alert-1", playbook)
        second = start_run(tx, case.id, "alert-1", playbook, generation=2, requested_by="kim")
        again = start_run(tx, case.id, "alert-1", playbook)
    assert first.id == again.id != second.id
    assert (first.requested_by, second.requested_by) == (None, "kim")
    with journal.read() as tx:
        assert len(runs.of_case(tx, case.id)) == 2
    journal.close()
