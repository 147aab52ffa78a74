"""The searches of a step: counted, kept, and what they do not give said once; and who is meant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from connectors.errors import Rejected
from connectors.model import (
    Alert,
    Device,
    EventQuery,
    IsolationState,
    Operator,
    Row,
    SearchJob,
    SearchPhase,
    SearchStatus,
    Term,
)
from runner.config import Config, Hunts
from runner.context import Call, StepFailed
from runner.effects import plain
from runner.hunts import CUT
from runner.hunts import MOST_ROWS as ONE_SEARCH
from runner.scoping import (
    Lead,
    Searches,
    addresses_of,
    is_own,
    joined_targets,
    lead,
    targets_of,
    usable,
    without_siem,
)
from runner.wmic import read_events
from runner.work import Work

AT = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
SYSMON = "Microsoft-Windows-Sysmon/Operational"


class Direct:
    """The port without a journal: each call is made at once."""

    alert = Alert(id="a", siem="splunk", search="s", raw={}, host="WS-1", occurred_at=AT)

    async def call(self, _key: str, call: Call) -> Any:
        try:
            return plain(call.send(0.0))
        except Rejected as fault:
            raise StepFailed("rejected", str(fault)) from None

    def now(self) -> datetime:
        return AT


class OneSiem:
    """Answers every query with the same rows, or refuses it."""

    def __init__(self, rows: Sequence[Row] = (), refusal: str | None = None) -> None:
        self.rows, self.refusal = list(rows), refusal
        self.asked: list[EventQuery] = []

    def start_event_query(self, query: EventQuery) -> SearchJob:
        self.asked.append(query)
        if self.refusal is not None:
            raise Rejected("siem", self.refusal)
        return SearchJob(sid="1", started_at=AT)

    def search_status(self, _job: SearchJob) -> SearchStatus:
        return SearchStatus(phase=SearchPhase.COMPLETE, row_count=len(self.rows))

    def fetch_rows(self, _job: SearchJob, _row_count: int) -> Iterator[Row]:
        yield from self.rows

    def cancel_search(self, _job: SearchJob) -> None:
        """Nothing is under way."""


class OneEdr:
    def __init__(self, *devices: Device, refusal: str | None = None) -> None:
        self.devices, self.refusal = devices, refusal

    def find_devices(
        self, *, hostname: str | None = None, device_id: str | None = None
    ) -> list[Device]:
        if self.refusal is not None:
            raise Rejected("edr", self.refusal)
        return [one for one in self.devices if hostname and one.hostname == hostname]


class Bound:
    """The roles that are bound."""

    def __init__(self, **roles: Any) -> None:
        self.__dict__.update(roles)

    def has(self, role: str) -> bool:
        return role in self.__dict__


def work(hunts: Hunts | None = None, **roles: Any) -> Work:
    config = SimpleNamespace(hunts=hunts or Hunts(index="main"))
    bench = SimpleNamespace(config=cast(Config, config), roles=Bound(**roles))
    step = SimpleNamespace(timeout_s=None, retry=None)
    parts: Any = (bench, Direct(), step)
    return Work(bench=parts[0], ctx=parts[1], step=parts[2], path="/p", inputs={}, targets=None)


def query(value: str = "x") -> EventQuery:
    term = Term(fields=("CommandLine",), operator=Operator.CONTAINS, values=(value,))
    return EventQuery(
        index="main", start=AT, end=AT + timedelta(1), terms=(term,), fields=("host",)
    )


def run(coroutine: Any) -> Any:
    """A coroutine that waits for nothing, to its end."""
    with pytest.raises(StopIteration) as done:
        coroutine.send(None)
    return done.value.value


def row(host: str = "WS-2", **more: str) -> Row:
    return {"Channel": SYSMON, "EventID": "1", "Computer": host, "_time": AT.isoformat(), **more}


# -- searches --------------------------------------------------------------------------------------


def test_searches_keep_rows_of_all_and_each_event_once() -> None:
    siem = OneSiem([row(), row(), row("WS-3")])
    searches = Searches(work(siem=siem), 5)
    for _ in range(2):
        assert run(searches.read(query(), "anything")).gap is None
    assert len(searches.rows) == 6
    assert [event.host for event in searches.events()] == ["WS-2", "WS-3"]
    assert (searches.gaps, searches.blind) == ([], [])


def test_searches_when_their_number_is_reached_then_no_more_are_made_and_that_is_said_once() -> (
    None
):
    siem = OneSiem([row()])
    searches = Searches(work(siem=siem), 2)
    found = [run(searches.read(query(), "anything")) for _ in range(4)]
    assert len(siem.asked) == 2
    assert [one.was_run for one in found] == [True, True, False, False]
    assert searches.gaps == ["incomplete: 2 searches were made, and no more are"]


def test_searches_when_one_is_refused_then_it_is_named_with_what_it_was_for() -> None:
    searches = Searches(work(siem=OneSiem(refusal="no rights")), 5)
    found = run(searches.read(query(), "what the process did"))
    assert not found.was_run
    (gap,) = searches.gaps
    assert gap.startswith("not searched: ")
    assert "no rights" in gap
    assert gap.endswith("(what the process did)")


def test_searches_when_something_cannot_be_asked_then_it_costs_none_and_is_blind() -> None:
    siem = OneSiem()
    searches = Searches(work(siem=siem), 1)
    for _ in range(2):
        assert not run(searches.read("not searched: no index", "x")).was_run
    assert (searches.blind, searches.gaps, siem.asked) == (["not searched: no index"], [], [])


@pytest.mark.parametrize("a_part_will_do", [False, True])
def test_searches_when_cut_then_said_unless_a_part_will_do(a_part_will_do: bool) -> None:
    siem = OneSiem([row(RecordNumber=str(number)) for number in range(ONE_SEARCH + 1)])
    searches = Searches(work(siem=siem), 5)
    found = run(searches.read(query(), "x", a_part_will_do=a_part_will_do))
    assert (found.gap, len(found.rows)) == (CUT, ONE_SEARCH)
    assert searches.gaps == ([] if a_part_will_do else [f"{CUT} (x)"])


def test_searches_when_refused_then_said_even_where_a_part_would_do() -> None:
    searches = Searches(work(siem=OneSiem(refusal="no rights")), 5)
    run(searches.read(query(), "x", a_part_will_do=True))
    assert len(searches.gaps) == 1


@pytest.mark.parametrize(
    ("hunts", "roles", "said"),
    [
        (Hunts(index="main"), {}, "no SIEM is bound"),
        (Hunts(), {"siem": OneSiem()}, "hunts.index is not configured"),
        (Hunts(index="main"), {"siem": OneSiem()}, None),
    ],
)
def test_without_siem_says_why_nothing_can_be_searched(
    hunts: Hunts, roles: dict[str, Any], said: str | None
) -> None:
    why_not = without_siem(work(hunts, **roles))
    assert why_not == (None if said is None else f"not searched: {said}")


# -- who is meant ----------------------------------------------------------------------------------


def device(hostname: str, device_id: str = "d-1", **more: Any) -> Device:
    return Device(
        instance="edr",
        tenant="t",
        device_id=device_id,
        hostname=hostname,
        state=IsolationState.NORMAL,
        last_seen_at=AT,
        **more,
    )


def event(host: str, **more: Any) -> Alert:
    raw: Row = {"Computer": host}
    return Alert(id="e", siem="splunk", search="hunt", raw=raw, host=host, occurred_at=AT, **more)


def test_targets_of_carry_why_each_is_proposed() -> None:
    edr = OneEdr(device("WS-2", users=("kim",)))
    found = [Lead(event=event("WS-2", user=r"CORP\kim"), why="it met the same url (event 7)")]
    (target,) = run(targets_of(work(edr=edr), found))
    assert target["proved"]
    assert target["proof"].endswith("found because it met the same url (event 7)")


def test_targets_of_a_host_that_the_edr_does_not_know_have_no_device() -> None:
    (target,) = run(targets_of(work(edr=OneEdr()), [Lead(event=event("WS-9"), why="x")]))
    assert (target["proved"], usable([target])) == (False, [])


def test_targets_of_when_the_edr_refuses_then_each_host_is_named_as_not_looked_up() -> None:
    leads = [Lead(event=event(host), why="x") for host in ("WS-2", "WS-3")]
    found = run(targets_of(work(edr=OneEdr(refusal="no scope")), leads))
    assert [(one["proved"], one["devices"]) for one in found] == [(False, ()), (False, ())]
    assert "WS-2: NOT looked up in the EDR" in found[0]["proof"]
    assert "no scope" in found[1]["proof"]


@pytest.mark.parametrize(("roles", "leads"), [({}, 1), ({"edr": OneEdr()}, 0)])
def test_targets_of_nobody_or_without_an_edr_are_none(roles: dict[str, Any], leads: int) -> None:
    given = [Lead(event=event("WS-2"), why="x")] * leads
    assert run(targets_of(work(**roles), given)) == []


def test_joined_targets_keep_each_device_once_with_its_first_proof() -> None:
    def target(proof: str, *ids: str) -> dict[str, Any]:
        return {"proof": proof, "devices": [{"device_id": one} for one in ids]}

    joined = joined_targets([target("first", "1")], [target("again", "1"), target("new", "1", "2")])
    assert [one["proof"] for one in joined] == ["first", "new"]


def test_lead_is_the_event_of_the_host_that_says_most() -> None:
    rows = [row("WS-2"), row("WS-2", user=r"CORP\kim"), row("WS-3", user=r"CORP\lee")]
    best = lead(work(), "ws-2.example.test", rows, "because")
    assert best is not None
    assert (best.event.user, best.why) == (r"CORP\kim", "because")
    assert lead(work(), "WS-9", rows, "because") is None


@pytest.mark.parametrize(
    ("address", "is_ours"),
    [("192.168.2.5", True), ("10.0.0.1", True), ("8.8.8.8", False), ("x", False), ("", False)],
)
def test_is_own_leaves_out_public_addresses(address: str, is_ours: bool) -> None:
    assert is_own(address) is is_ours


def test_addresses_of_a_host_come_from_the_edr_and_from_events_and_of_none_are_none() -> None:
    raw = {
        "Channel": SYSMON,
        "EventID": 3,
        "Computer": "WS-1",
        "Initiated": "true",
        "SourceIp": "192.168.2.7",
        "UtcTime": "2026-11-25 12:00:00.000",
    }
    events = read_events([raw]).events
    assert addresses_of(event("WS-1"), {"192.168.2.5": "WS-1"}, events) == [
        "192.168.2.5",
        "192.168.2.7",
    ]
    assert addresses_of(nameless(), {"192.168.2.5": "WS-1"}, events) == []


def nameless() -> Alert:
    return Alert(id="e", siem="splunk", search="hunt", raw={})
