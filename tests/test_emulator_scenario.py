"""The demo's world: is it consistent, plainly marked, and as the recording was?"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import pytest

from connectors.emulators import scenario
from connectors.emulators.spl_commands import Bounds, Search, StoredEvent
from connectors.model import Row
from tests.fake_clock import DEFAULT_START

DATA = files("connectors.emulators") / "data"
HITS = {name for name in scenario.SAVED_SEARCHES if "format" in name}


@pytest.fixture(scope="module")
def events() -> list[StoredEvent]:
    return scenario.events(DEFAULT_START)


def rows(events: list[StoredEvent], search: str) -> list[Row]:
    text = search if search.startswith("search ") else f"search {search}"
    return Search(text, DEFAULT_START).run(events, Bounds())


def recorded() -> list[dict[str, Any]]:
    lines = (DATA / "recorded_t1220.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def instant(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)


def devices() -> dict[str, dict[str, Any]]:
    return {device["hostname"]: device for device in scenario.devices()}


@pytest.mark.parametrize("name", sorted(HITS))
def test_saved_search_when_run_then_it_hits_the_attack_and_the_inventory_only(
    events: list[StoredEvent], name: str
) -> None:
    found = rows(events, scenario.SAVED_SEARCHES[name])

    assert sorted(str(row["host"]) for row in found) == [
        "INVENTORY1-SYNTHETIC",
        "INVENTORY2-SYNTHETIC",
        "INVENTORY3-SYNTHETIC",
        "WORKSTATION5",
    ]


def test_saved_search_when_it_ends_in_table_then_internal_fields_are_gone(
    events: list[StoredEvent],
) -> None:
    short = rows(events, scenario.SAVED_SEARCH)[0]
    long = rows(events, scenario.INTERNAL_FIELDS_SEARCH)[0]

    assert list(short) == ["_time", "process_name", "cmdline", "parent_process", "user", "host"]
    assert {"_time", "_indextime", "_cd", "_bkt", "index", "Computer", "ProcessGuid"} <= set(long)


def test_canary_when_run_then_it_finds_one_event(events: list[StoredEvent]) -> None:
    assert len(rows(events, scenario.SAVED_SEARCHES["Stockade canary"])) == 1


def test_recording_when_moved_then_it_lies_minutes_ago_and_keeps_its_distances(
    events: list[StoredEvent],
) -> None:
    original = sorted(instant(raw["UtcTime"]) for raw in recorded() if "UtcTime" in raw)
    moved = sorted(
        instant(str(event.row["UtcTime"]))
        for event in events
        if "UtcTime" in event.row and "Synthetic" not in event.row
    )

    shifts = {new - old for new, old in zip(moved, original, strict=True)}
    assert len(shifts) == 1
    assert (DEFAULT_START - moved[0]).total_seconds() == pytest.approx(240, abs=30)
    assert all(event.at < DEFAULT_START.timestamp() for event in events)


def test_recording_when_stored_then_the_time_is_utc_for_both_channels(
    events: list[StoredEvent],
) -> None:
    sysmon = rows(events, "index=main host=WORKSTATION5 EventID=1 process_name=WMIC.exe")[0]
    security = rows(events, "index=wineventlog EventID=4689 ProcessName=*wmic.exe")[0]

    started = datetime.fromisoformat(str(sysmon["_time"]))
    ended = datetime.fromisoformat(str(security["_time"]))
    # The recording: started 06:17:03.239 UTC, ended 06:17:11.233 (written as 02:17:11.233 local).
    assert (ended - started).total_seconds() == pytest.approx(7.994)


def test_recording_when_stored_then_the_events_themselves_are_unchanged(
    events: list[StoredEvent],
) -> None:
    times = ("UtcTime", "TimeCreated")
    kept = [
        {name: value for name, value in json.loads(str(e.row["_raw"])).items() if name not in times}
        for e in events
        if "Synthetic" not in e.row
    ]

    assert kept == [
        {name: value for name, value in raw.items() if name not in times} for raw in recorded()
    ]


def test_attack_when_hunted_then_its_traces_hang_together(events: list[StoredEvent]) -> None:
    start = rows(events, "EventID=1 host=WORKSTATION5 process_name=WMIC.exe")[0]
    guid = start["ProcessGuid"]

    assert rows(events, f'EventID=1 ParentProcessGuid="{guid}"')[0]["process_name"] == "calc.exe"
    assert rows(events, f'EventID=3 ProcessGuid="{guid}"')[0]["DestinationIp"] == "151.101.248.133"
    assert rows(events, f'EventID=22 ProcessGuid="{guid}"')[0]["QueryName"] == (
        "raw.githubusercontent.com"
    )
    assert len(rows(events, f'EventID=7 ProcessGuid="{guid}" ImageLoaded=*jscript.dll')) == 1


def test_spread_when_hunted_by_url_then_a_renamed_copy_shows_that_the_search_cannot_see(
    events: list[StoredEvent],
) -> None:
    url = str(rows(events, scenario.SAVED_SEARCH + " | search host=WORKSTATION5")[0]["cmdline"])
    stylesheet = url.split('"')[1]

    found = rows(events, f'EventID=1 original_file_name=wmic.exe cmdline="*{stylesheet}*"')

    assert [(row["host"], row["process_name"]) for row in found] == [
        ("WORKSTATION7-SYNTHETIC", "updater.exe"),
        ("WORKSTATION5", "WMIC.exe"),
    ]
    traces = rows(events, f'ProcessGuid="{found[0]["ProcessGuid"]}"')
    assert {row["EventID"] for row in traces} == {"1", "3", "7", "22"}


def test_made_up_event_when_stored_then_it_says_so_twice(events: list[StoredEvent]) -> None:
    marked = {str(e.row["host"]) for e in events if e.row.get("Synthetic") == "true"}
    unmarked = {str(e.row["host"]) for e in events if "Synthetic" not in e.row}

    assert all(host.endswith("-SYNTHETIC") for host in marked)
    assert unmarked == {"WORKSTATION5"}


def test_event_when_addressed_then_no_two_share_an_address(events: list[StoredEvent]) -> None:
    addresses = {(event.row["_bkt"], event.row["_cd"]) for event in events}

    assert len(addresses) == len(events)


def test_device_when_its_host_logs_then_name_user_and_address_agree(
    events: list[StoredEvent],
) -> None:
    known = devices()
    for row in rows(events, 'EventID=1 cmdline="*format*"'):
        device = known[str(row["host"])]
        assert str(row["user"]).rpartition("\\")[2] == device["last_login_user"]
    for row in rows(events, "EventID=3"):
        assert row["SourceIp"] == known[str(row["host"])]["local_ip"]


def test_devices_when_listed_then_ids_are_unique_and_decoys_are_there() -> None:
    known = devices()

    assert len({device["device_id"] for device in known.values()}) == len(known) == 129
    assert {"WORKSTATION50", "WORKSTATION5-OLD"} <= set(known)
    assert known["DC-SYNTHETIC"]["product_type_desc"] == "Domain Controller"
    assert known["LAPTOP9-SYNTHETIC"]["offline"] is True
    assert [device["status"] for device in known.values()] == ["normal"] * 129


def test_data_when_shipped_then_its_licence_comes_along() -> None:
    licence = (DATA / "LICENSE-OTRF").read_text(encoding="utf-8")
    readme = (DATA / "README.md").read_text(encoding="utf-8")

    assert licence.startswith("MIT License\n\nCopyright (c) 2021 Open Threat Research Forge")
    assert {entry.name for entry in DATA.iterdir()} - {"README.md"} == {
        "LICENSE-OTRF",
        "devices.json",
        "people.json",
        "recorded_t1220.jsonl",
        "synthetic_events.jsonl",
    }
    assert "d9d40ef1" in readme
