"""What events say of the alert's process is judged with the line; what was not seen is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.emulators.faults import HTML_502
from connectors.model import Alert, Assessment, EventQuery
from runner.config import Hunts
from runner.hostname import normalise_host
from runner.hunt_queries import around_query, recurrence_query
from tests.world import World, running_world
from tests.world_settings import HOST, SEARCH, SUSPICIOUS, malicious

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
GUID = "{00000000-0000-4000-8000-0000000000aa}"
HUNTS = Hunts(index="main")
LATE = """\
playbook: late
description: Judge with all that events say.
steps:
  - id: triage
    do: wmic.assess
    with: {alert: "{{ alert }}", around: always}
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path, {"mode": "observe"}) as found:
        yield found


def sysmon(
    world: World, number: int, age_s: float = 20, visible_in_s: float = 0, **facts: Any
) -> None:
    """One event of Sysmon, of the alert's process unless `facts` say otherwise."""
    raw = {
        "Channel": "Microsoft-Windows-Sysmon/Operational",
        "EventID": number,
        "Hostname": HOST,
        "ProcessGuid": GUID,
        "Image": r"C:\Windows\System32\wbem\WMIC.exe",
        **facts,
    }
    world.splunk.add_event(raw, age_s=age_s, index_age_s=age_s, visible_in_s=visible_in_s)


def hit(world: World, cmdline: str, **more: Any) -> None:
    world.hit(cmdline=cmdline, ProcessGuid=GUID, **more)


def judged(world: World, minutes: int = 3) -> Assessment:
    for _ in range(minutes):
        world.tick()
        world.clock.advance(60)
    (case,) = [one for one in world.cases() if one.host == normalise_host(HOST)]
    assert case.assessment is not None
    return case.assessment


def said(judgement: Assessment) -> str:
    return " ".join(reason.text for reason in judgement.reasons)


# -- what is seen ----------------------------------------------------------------------------------


def test_suspicious_line_when_script_ran_in_its_process_then_malicious(world: World) -> None:
    hit(world, SUSPICIOUS)
    sysmon(world, 7, ImageLoaded=r"C:\Windows\System32\jscript.dll")
    sysmon(world, 7, ImageLoaded=r"C:\Windows\System32\scrrun.dll")
    found = judged(world)
    assert found.assessment == "malicious"
    assert found.is_corroborated
    assert "Script ran inside wmic" in said(found)
    assert found.not_searched == ()


def test_suspicious_line_when_its_process_started_a_program_then_malicious(world: World) -> None:
    hit(world, SUSPICIOUS)
    child = {"ProcessGuid": "{0000aaaa-0000-4000-8000-0000000000bb}", "ParentProcessGuid": GUID}
    sysmon(world, 1, CommandLine="calc.exe", **child)
    assert "Wmic started a program" in said(judged(world))


def test_events_of_another_process_or_host_when_read_then_they_say_nothing(world: World) -> None:
    hit(world, SUSPICIOUS)
    for facts in ({"ProcessGuid": "{0000aaaa-0000-4000-8000-0000000000cc}"}, {"Hostname": "WS-9"}):
        sysmon(world, 7, ImageLoaded=r"C:\Windows\System32\jscript.dll", **facts)
        sysmon(world, 7, ImageLoaded=r"C:\Windows\System32\scrrun.dll", **facts)
    found = judged(world)
    assert found.assessment == "suspicious"
    assert not found.is_corroborated


def test_malicious_line_when_events_are_read_then_after_the_question_is_put(world: World) -> None:
    """What an attack did is told; nobody waits for it."""
    world.restart({"mode": "act"})
    world.arm()
    hit(world, malicious())
    sysmon(world, 7, ImageLoaded=r"C:\Windows\System32\jscript.dll")
    sysmon(world, 7, ImageLoaded=r"C:\Windows\System32\wshom.ocx")
    world.splunk.misbehave(HTML_502, method="POST", path="*/search/v2/jobs", times=1)
    found = judged(world)
    assert world.question().state == "open"
    assert "Script ran inside wmic" in said(found)
    assert any("Script ran inside wmic" in text for text in world.ticket_texts())


def test_benign_line_when_judged_then_no_search_is_made(world: World) -> None:
    hit(world, "wmic os get Caption /format:csv")
    before = len(world.sent)
    assert judged(world, minutes=1).assessment == "benign"
    assert "POST /services/search/v2/jobs" not in world.sent[before:]


# -- what is not seen ------------------------------------------------------------------------------


def test_events_that_come_late_when_looked_for_again_then_they_count(tmp_path: Path) -> None:
    """The saved search has the hit half a minute before the index has the process's events."""
    changes = {"mode": "observe", "searches": {SEARCH: {"playbook": "late"}}}
    with running_world(tmp_path, changes, playbooks={"late": LATE}) as world:
        hit(world, SUSPICIOUS)
        for name in ("jscript", "scrrun"):
            sysmon(world, 7, ImageLoaded=rf"C:\Windows\System32\{name}.dll")

        def hide() -> None:
            world.splunk.spoil_job(content={"resultCount": 0})

        world.before.append(("POST /services/search/v2/jobs", hide))
        world.tick(linger_s=10)
        assert world.case().assessment is None
        assert judged(world).assessment == "malicious"


def test_start_that_is_new_when_nothing_followed_it_then_that_means_nothing(world: World) -> None:
    hit(world, SUSPICIOUS)
    found = judged(world)
    assert any("may still be on its way" in gap for gap in found.not_searched)
    assert "nothing was logged" not in said(found)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hunts": {"index": None}}, "hunts.index is not configured"),
        ({"hunts": {"index": "empty"}}, "even the start of the process is missing"),
    ],
)
def test_line_when_nothing_can_be_seen_around_it_then_that_is_said(
    world: World, changes: dict[str, Any], words: str
) -> None:
    world.restart(changes)
    hit(world, SUSPICIOUS)
    found = judged(world)
    assert found.assessment == "suspicious"
    assert any(words in gap for gap in found.not_searched), found.not_searched
    assert "nothing was logged" not in said(found)
    assert "ran this command" not in said(found) or "index" not in words


def refused(world: World) -> None:
    world.splunk.misbehave(
        method="POST", path="*/search/v2/jobs", status=403, body="{}", times=None
    )


def partial(world: World) -> None:
    for _ in range(30):
        world.splunk.spoil_job(messages=(("WARN", "peer idx2 is down"),))


@pytest.mark.parametrize("spoil", [refused, partial])
def test_line_when_a_search_fails_or_is_partial_then_absence_means_nothing(
    world: World, spoil: Callable[[World], None]
) -> None:
    hit(world, SUSPICIOUS)
    world.before.append(("POST /services/search/v2/jobs", lambda: spoil(world)))
    found = judged(world, minutes=6)
    assert found.assessment == "suspicious"
    assert found.not_searched
    assert "nothing was logged" not in said(found)
    if spoil is refused:
        assert "No host ran this command" not in said(found)


# -- how often -------------------------------------------------------------------------------------


def test_frequency_when_the_line_ran_before_then_it_is_counted_but_not_of_the_last_day(
    world: World,
) -> None:
    for days in (2, 3):
        sysmon(world, 1, age_s=days * 86400, CommandLine=SUSPICIOUS, ProcessGuid=f"{{0-{days}}}")
    for number in range(12):
        # An attack that goes from host to host within the day is no habit.
        sysmon(
            world,
            1,
            age_s=600,
            CommandLine=SUSPICIOUS,
            Hostname=f"WS-{number}",
            ProcessGuid=f"{{1-{number}}}",
        )
    hit(world, SUSPICIOUS)
    found = judged(world)
    assert "The same command ran on this host 2 times" in said(found)
    assert "other hosts run the same command" not in said(found)


def test_frequency_when_many_hosts_have_the_habit_then_it_is_said(world: World) -> None:
    for number in range(12):
        sysmon(
            world,
            1,
            age_s=2 * 86400,
            CommandLine=SUSPICIOUS,
            Hostname=f"WS-{number}",
            ProcessGuid=f"{{1-{number}}}",
        )
    hit(world, SUSPICIOUS)
    assert "12 other hosts run the same command." in said(judged(world))


# -- the queries -----------------------------------------------------------------------------------


def alert(**how: Any) -> Alert:
    given: dict[str, Any] = {
        "occurred_at": NOW,
        "cmdline": SUSPICIOUS,
        "host": HOST,
        "process_guid": GUID,
        **how,
    }
    return Alert(id="a", siem="splunk", search="hits", raw={}, **given)


def test_around_query_when_the_process_is_known_then_it_asks_for_it_and_its_children() -> None:
    query = around_query(alert(), HUNTS)
    assert isinstance(query, EventQuery)
    fields = {field for term in query.terms for field in term.fields}
    assert {"ProcessGuid", "ParentProcessGuid"} <= fields
    assert query.start < NOW < query.end


@pytest.mark.parametrize("missing", ["occurred_at", "process_guid"])
def test_around_query_when_the_process_is_not_known_then_a_sentence(missing: str) -> None:
    assert str(around_query(alert(**{missing: None}), HUNTS)).startswith("not searched: ")


def test_recurrence_query_when_asked_then_it_ends_a_day_before() -> None:
    query = recurrence_query(alert(), HUNTS)
    assert isinstance(query, EventQuery)
    assert query.end == NOW - timedelta(days=1)
    assert query.start == query.end - timedelta(seconds=HUNTS.lookback_s)


@pytest.mark.parametrize("missing", ["occurred_at", "cmdline"])
def test_recurrence_query_when_too_little_is_known_then_a_sentence(missing: str) -> None:
    assert str(recurrence_query(alert(**{missing: None}), HUNTS)).startswith("not searched: ")


def test_second_look_when_it_is_refused_then_the_judgement_is_no_milder(tmp_path: Path) -> None:
    """The first look saw that Word started it; the second sees nothing, which is no good news."""
    word = r"C:\Program Files\Microsoft Office\root\Office16\WINWORD.EXE"
    with running_world(tmp_path, {"mode": "observe"}) as world:
        hit(world, SUSPICIOUS, ParentImage=word)
        world.before.append(("GET */devices/queries/devices/*", lambda: refused(world)))
        world.tick(linger_s=10)
        first = world.case().assessment
        assert first is not None
        found = judged(world, minutes=6)
        assert world.before == []
        assert (found.assessment, found.score) == ("malicious", 85)
        assert "Wmic was started by winword.exe" in said(found)
        assert any("403" in gap for gap in found.not_searched)
