"""Which events of a process the judgement gets: refusals, registry, files, odd company."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.model import Assessment, EventQuery, Observable
from runner.config import Hunts
from runner.hunt_queries import exit_query, hash_query
from runner.wmic import read_events
from runner.wmic.indicators import dropped, matches
from tests.test_triage import GUID, alert, hit, judged, said, sysmon
from tests.world import World, running_world
from tests.world_settings import HOST, SUSPICIOUS

SHA256 = "ab" * 32
CACHED = r"C:\Users\a\AppData\Local\Microsoft\Windows\INetCache\IE\X1\one[1].xsl"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    changes = {"mode": "observe", "hunts": {"security_index": "wineventlog"}}
    with running_world(tmp_path, changes) as found:
        yield found


def ended(world: World, status: str, pid: str, host: str = HOST) -> None:
    raw = {
        "Channel": "Security",
        "EventID": 4689,
        "Hostname": host,
        "ProcessName": r"C:\Windows\System32\wbem\WMIC.exe",
        "ProcessId": pid,
        "Status": status,
    }
    world.splunk.add_event(raw, age_s=10, index_age_s=10)


def weight_of(judgement: Assessment, words: str) -> int:
    (weight,) = [reason.weight for reason in judgement.reasons if words in reason.text]
    return weight


@pytest.mark.parametrize(("pid", "is_ours"), [("0x1234", True), ("0x9999", False)])
def test_exit_code_when_of_this_process_then_it_counts_and_of_another_not(
    world: World, pid: str, is_ours: bool
) -> None:
    hit(world, SUSPICIOUS, ProcessId="4660")
    ended(world, "0xacb2", pid)
    found = judged(world)
    assert ("it refused the stylesheet" in said(found)) is is_ours
    if is_ours:
        assert weight_of(found, "it refused the stylesheet") == -15


def test_internet_settings_when_the_process_set_them_then_they_speak_for_a_fetch(
    world: World,
) -> None:
    key = r"HKU\S-1-5-21\Software\Microsoft\Windows\CurrentVersion\Internet Settings\ZoneMap\x"
    hit(world, SUSPICIOUS)
    sysmon(world, 13, TargetObject=key)
    assert weight_of(judged(world), "set up internet access") == 15


def test_harmless_line_under_word_when_its_process_started_a_program_then_it_is_not_benign(
    world: World,
) -> None:
    word = r"C:\Program Files\Microsoft Office\root\Office16\WINWORD.EXE"
    hit(
        world,
        "wmic os get Caption /format:csv",
        ParentImage=word,
        ParentCommandLine=f'"{word}" /n invoice.docm',
    )
    child = {"ProcessGuid": "{0000aaaa-0000-4000-8000-0000000000bb}", "ParentProcessGuid": GUID}
    sysmon(world, 1, CommandLine="calc.exe", **child)
    found = judged(world)
    assert "Wmic started a program" in said(found)
    assert found.assessment == "suspicious"


# -- files by hash ---------------------------------------------------------------------------------


def marked_download(**more: Any) -> dict[str, Any]:
    """Sysmon 15 for a file with the mark of the web."""
    return {
        "Channel": "Microsoft-Windows-Sysmon/Operational",
        "EventID": 15,
        "Computer": HOST,
        "ProcessGuid": GUID,
        "Image": r"C:\Windows\System32\wbem\WMIC.exe",
        "TargetFilename": f"{CACHED}:Zone.Identifier",
        "Hash": f"SHA256={SHA256.upper()},MD5={'cd' * 16}",
        **more,
    }


def test_stylesheet_that_was_fetched_is_known_by_its_hash() -> None:
    events = read_events([marked_download()]).events
    assert dropped(events, GUID.strip("{}")) == (Observable(type="hash", value=SHA256),)
    assert dropped(events, "another") == ()
    assert matches(Observable(type="file", value="one.xsl"), events[0]) == "high"


def test_same_file_under_another_name_is_met_by_its_hash_alone() -> None:
    other = marked_download(TargetFilename=r"C:\Temp\b.txt", Image=r"C:\b.exe")
    (event,) = read_events([other]).events
    assert matches(Observable(type="hash", value=SHA256), event) == "high"
    assert matches(Observable(type="hash", value="ef" * 32), event) is None


def test_hash_query_asks_programs_modules_and_files() -> None:
    query = hash_query([Observable(type="hash", value=SHA256)], Hunts(index="main"), alert_at())
    assert isinstance(query, EventQuery)
    kinds, same = query.terms
    assert kinds.values == ("1", "7", "15")
    assert same.fields == ("Hashes", "Hash")


def test_exit_query_asks_the_security_log_of_the_host_only() -> None:
    query = exit_query(alert(), Hunts(index="main", security_index="sec"))
    assert isinstance(query, EventQuery)
    assert query.index == "sec"
    assert query.end - query.start == timedelta(minutes=16)
    assert (HOST,) in [term.values for term in query.terms]
    assert isinstance(exit_query(alert(host=None), Hunts(security_index="sec")), str)
    assert isinstance(exit_query(alert(), Hunts(index="main")), str)


def alert_at() -> Any:
    return alert().occurred_at
