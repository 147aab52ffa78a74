from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.wmic.event_rows import READERS, read_events
from runner.wmic.events import (
    AccountChanged,
    Connection,
    ImageLoaded,
    Logon,
    Lookup,
    Process,
    Source,
    Subscription,
    account_of,
    base_name,
)
from tests.event_sets import DC, EMPIRE, FOLDER, SUBSCRIPTION, T1220, W6, process, recorded, rows

SETS = sorted(path.stem for path in FOLDER.glob("*.jsonl"))


def sysmon(**more: object) -> dict[str, object]:
    return {
        "Channel": "Microsoft-Windows-Sysmon/Operational",
        "EventID": 1,
        "Computer": "HOST-A.corp.example.test",
        "UtcTime": "2026-11-25 10:00:00.250",
        **more,
    }


@pytest.mark.parametrize("name", SETS)
def test_read_events_of_every_recorded_set_reads_all_with_host_and_time(name: str) -> None:
    given_rows = rows(name)

    reading = read_events(given_rows)

    unread = {row["EventID"] for row in given_rows if "EventID" in row} - {i for _, i in READERS}
    assert all(event.host and event.at is not None for event in reading.events)
    assert len(reading.events) + reading.unread == len(given_rows)
    assert reading.unread == sum(row.get("EventID") in unread for row in given_rows)


def test_read_events_where_the_collector_sent_names_the_endpoint() -> None:
    assert {row["host"] for row in rows(EMPIRE)} == {"wec.internal.cloudapp.net"}
    assert {event.host for event in recorded(EMPIRE)} == {
        "WORKSTATION5.theshire.local",
        W6,
        DC,
    }


def test_read_events_when_time_created_is_local_takes_the_distance_from_sysmon() -> None:
    start = process(T1220, "wmic.exe")
    (security,) = [
        event
        for event in recorded(T1220)
        if isinstance(event, Process)
        and event.source is Source.SECURITY
        and base_name(event.image) == "wmic.exe"
    ]

    assert start.at == datetime(2020, 10, 18, 6, 17, 3, 239000, tzinfo=UTC)
    assert security.at == start.at


def test_read_events_when_nobody_says_the_zone_gives_no_time() -> None:
    row = {"Channel": "Security", "EventID": 4624, "Hostname": "HOST-A"}

    (event,) = read_events([{**row, "TimeCreated": "2026-11-25 10:00:00"}]).events

    assert event.at is None


def test_read_events_when_a_hosts_zones_disagree_gives_no_time() -> None:
    local = {"Channel": "Security", "EventID": 4624, "Computer": "HOST-A.corp.example.test"}

    reading = read_events(
        [
            sysmon(TimeCreated="2026-11-25 06:00:00"),
            sysmon(TimeCreated="2026-11-25 08:00:00"),
            {**local, "TimeCreated": "2026-11-25 06:00:01"},
        ]
    )

    assert reading.events[2].at is None


def test_read_events_when_the_security_event_has_a_receipt_time_only_takes_that() -> None:
    logon = next(
        event
        for event in recorded(EMPIRE)
        if isinstance(event, Logon) and event.logon_id == "0x551686"
    )
    start = process(EMPIRE, "net.exe")

    assert logon.type == 3
    assert logon.address == "172.18.39.5"
    assert logon.port == 60065
    assert start.logon_id == logon.logon_id
    assert start.at is not None
    assert logon.at is not None
    assert logon.at > start.at, "the set is worth its place: the cause seems later than its effect"


def test_read_events_reads_a_process_start_of_sysmon() -> None:
    start = process(EMPIRE, "wmic.exe")

    assert start.guid is not None
    assert start.guid == start.guid.casefold().strip("{}")
    assert start.name == "Sysmon 1"
    assert base_name(start.parent_image) == "powershell.exe"
    assert account_of(start.user) == "pgustavo"
    assert start.original_name == "wmic.exe"
    assert len(start.hashes) == 4
    assert start.ref.startswith(
        "Sysmon 1 on WORKSTATION5.theshire.local at 2020-09-14 12:06:01.826"
    )


def test_read_events_of_a_nested_event_reads_the_same_fields() -> None:
    (start,) = recorded("wmiexec_sysmon1")

    assert isinstance(start, Process)
    assert start.host == "fs02.offsec.lan"
    assert start.logon_id == "0x3e7"
    assert start.at == datetime(2021, 4, 26, 15, 3, 5, 976000, tzinfo=UTC)


def test_read_events_of_a_4688_takes_the_session_that_it_runs_in() -> None:
    starts = [event for event in recorded("wmic_shadowcopy_delete_4688")]

    first = starts[0]
    assert isinstance(first, Process)
    assert first.guid is None
    assert first.pid == 0x12C
    assert first.logon_id == "0x542c77d"
    assert first.user == "OFFSEC\\admmig"


def test_read_events_of_a_splunk_row_reads_the_add_ons_names() -> None:
    row: dict[str, object] = {
        "_time": "2026-11-25T10:00:00.000+00:00",
        "sourcetype": "XmlWinEventLog:Microsoft-Windows-Sysmon/Operational",
        "EventCode": "1",
        "dest": "HOST-A",
        "host": "collector.example.test",
        "process": "wmic os get",
        "process_path": r"C:\Windows\System32\wbem\WMIC.exe",
        "process_guid": ["{0000000A-0000-4000-8000-00000000ABCD}"],
        "parent_process_path": "?",
        "user": r"CORP\user-a",
    }

    (event,) = read_events([row]).events

    assert isinstance(event, Process)
    assert event.host == "HOST-A"
    assert event.cmdline == "wmic os get"
    assert event.guid == "0000000a-0000-4000-8000-00000000abcd"
    assert event.parent_image == ""


def test_read_events_halves_the_percent_signs_that_sysmon_doubles() -> None:
    reading = read_events(
        [
            sysmon(CommandLine="a %%TEMP%% %%%%", ParentCommandLine="b %TEMP%"),
            {**sysmon(CommandLine="a %%TEMP%%"), "Channel": "security", "EventID": 4688},
        ]
    )

    one, other = reading.events
    assert isinstance(one, Process)
    assert isinstance(other, Process)
    assert one.cmdline == "a %TEMP% %%"
    assert one.parent_cmdline == "b %TEMP%"
    assert other.cmdline == "a %%TEMP%%"


@pytest.mark.parametrize("channel", ["Security", "security", "SECURITY"])
def test_read_events_of_a_channel_in_any_case_reads_it(channel: str) -> None:
    row = {
        "Channel": channel,
        "EventID": 4624,
        "Computer": "HOST-A",
        "IpAddress": "::ffff:192.0.2.7",
    }

    (event,) = read_events([row]).events

    assert isinstance(event, Logon)
    assert event.address == "192.0.2.7"


@pytest.mark.parametrize("text", ["-", "::1", "127.0.0.1", "", "not an address", "LOCAL"])
def test_read_events_of_a_logon_from_here_has_no_address(text: str) -> None:
    row = {"Channel": "Security", "EventID": 4624, "Computer": "HOST-A", "IpAddress": text}

    (event,) = read_events([row]).events

    assert isinstance(event, Logon)
    assert event.address is None


@pytest.mark.parametrize(
    ("said", "is_outbound"),
    [
        ({"Initiated": "true"}, True),
        ({"Initiated": "false"}, False),
        ({}, None),
    ],
)
def test_read_events_of_a_connection_knows_its_direction(
    said: dict[str, str], is_outbound: bool | None
) -> None:
    (event,) = read_events([sysmon(EventID=3, SourceIp="192.0.2.1", **said)]).events

    assert isinstance(event, Connection)
    assert event.is_outbound is is_outbound


@pytest.mark.parametrize(("code", "is_outbound"), [("%%14592", False), ("%%14593", True)])
def test_read_events_of_a_5156_reads_the_numbered_direction(code: str, is_outbound: bool) -> None:
    row = {"Channel": "Security", "EventID": 5156, "Computer": "HOST-A", "Direction": code}

    (event,) = read_events([row]).events

    assert isinstance(event, Connection)
    assert event.is_outbound is is_outbound


def test_read_events_of_a_lookup_reads_the_addresses_of_the_answer() -> None:
    found = [e for e in recorded(T1220) if isinstance(e, Lookup)]

    assert [lookup.asked for lookup in found] == ["raw.githubusercontent.com"]
    assert found[0].addresses == ("151.101.248.133",)


def test_read_events_of_other_kinds_reads_what_they_tell() -> None:
    loaded = {base_name(e.path) for e in recorded(T1220) if isinstance(e, ImageLoaded)}
    changed = {e.account for e in recorded(EMPIRE) if isinstance(e, AccountChanged)}
    made = {(e.id, e.operation) for e in recorded(SUBSCRIPTION) if isinstance(e, Subscription)}

    assert {"jscript.dll", "wshom.ocx", "scrrun.dll"} <= loaded
    assert "backdoor" in changed
    assert (19, "Created") in made


def test_read_events_of_an_unknown_process_has_no_image() -> None:
    (event,) = read_events([sysmon(EventID=22, Image="&lt;unknown process&gt;")]).events

    assert event.image == ""


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"Channel": "Application", "EventID": 1, "Computer": "HOST-A"},
        {"Channel": "Security", "EventID": 1102, "Computer": "HOST-A"},
        {"Channel": "Security", "EventID": "many", "Computer": "HOST-A"},
        {"Channel": "Security", "EventID": 4624, "Computer": "localhost"},
    ],
)
def test_read_events_of_a_row_that_tells_nothing_counts_it(row: dict[str, object]) -> None:
    reading = read_events([row])

    assert reading.events == ()
    assert reading.unread == 1


_VALUES = st.one_of(
    st.none(),
    st.text(max_size=30),
    st.integers(),
    st.lists(st.text(max_size=10), max_size=3),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
)
_FIELDS = sorted({field for name in (EMPIRE, T1220) for row in rows(name) for field in row})


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(READERS, key=str)),
    st.dictionaries(st.sampled_from(_FIELDS), _VALUES, max_size=12),
)
def test_read_events_whatever_a_row_holds_never_raises(
    kind: tuple[Source, int], fields: dict[str, object]
) -> None:
    row = {**fields, "Channel": kind[0], "EventID": kind[1], "Hostname": "HOST-A"}

    reading = read_events([row])

    assert len(reading.events) == 1


def test_read_events_of_many_rows_takes_linear_time() -> None:
    few, many = rows(EMPIRE) * 5, rows(EMPIRE) * 40
    read_events(few)

    begun = time.perf_counter()
    read_events(few)
    short = time.perf_counter() - begun
    begun = time.perf_counter()
    read_events(many)

    assert time.perf_counter() - begun < 8 * short * 4 + 0.5
