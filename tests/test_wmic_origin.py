from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from runner.wmic.delivery import Delivery, delivered
from runner.wmic.events import Connection, Event, Logon, Process, Source, base_name
from runner.wmic.origin import MOST_HOSTS, MOST_PARENTS, Ask, Start, Wanted, trace
from runner.wmic.places import Confidence, Places
from tests.event_sets import (
    EMPIRE,
    EXECMETHOD,
    HIJACK,
    MSBUILD,
    SHARPWMI,
    T1220,
    W5,
    W6,
    followed,
    process,
    recorded,
    start_of,
)

AT = datetime(2026, 11, 25, 10, 0, tzinfo=UTC)
WMIPRVSE = r"C:\Windows\System32\wbem\WmiPrvSE.exe"


def started(host: str, number: int, image: str = r"C:\a\x.exe", **more: Any) -> Process:
    """A made-up process start; its GUID is the host and the number."""
    return Process(
        source=Source.SYSMON,
        id=1,
        host=host,
        at=AT + timedelta(seconds=number),
        ref=f"start {number} on {host}",
        guid=f"{host}-{number}".casefold(),
        image=image,
        **more,
    )


def logon(host: str, logon_id: str, address: str | None, **more: Any) -> Logon:
    given: dict[str, Any] = {"at": AT, "type": 3, "user": r"CORP\user-a", **more}
    return Logon(
        source=Source.SECURITY,
        id=4624,
        host=host,
        ref=f"logon {logon_id} on {host}",
        logon_id=logon_id,
        address=address,
        **given,
    )


def connected(host: str, source: str, target: str, **more: Any) -> Connection:
    given: dict[str, Any] = {"is_outbound": True, "target_port": 50000, **more}
    return Connection(
        source=Source.SYSMON,
        id=3,
        host=host,
        at=AT,
        ref=f"connection on {host}",
        source_address=source,
        target_address=target,
        **given,
    )


def hops_of(name: str, image: str) -> list[tuple[str, list[str]]]:
    found = followed(start_of(process(name, image)), recorded(name))
    return [
        (hop.host, [base_name(one.image) for one in hop.chain] or [base_name(hop.image)])
        for hop in found.hops
    ]


# -- recorded sets ---------------------------------------------------------------------------------


def test_trace_of_the_added_account_leads_from_workstation6_to_the_wmic_on_workstation5() -> None:
    assert hops_of(EMPIRE, "net1.exe") == [
        (W6, ["net1.exe", "net.exe"]),
        (W5, ["wmic.exe"]),
    ]


def test_trace_of_the_added_account_joins_a_logon_that_is_later_than_the_process() -> None:
    found = followed(start_of(process(EMPIRE, "net.exe")), recorded(EMPIRE))

    target, source = found.hops
    remote = target.remote
    assert remote is not None
    assert remote.logon is not None
    assert remote.logon.at is not None
    assert remote.deed.at is not None
    assert remote.logon.at > remote.deed.at
    assert (remote.address, remote.source) == ("172.18.39.5", W5)
    assert remote.confidence is Confidence.HIGH
    assert source.delivered.delivery is Delivery.SCRIPT_HOST
    assert "powershell.exe" in source.delivered.why
    assert source.confidence is Confidence.HIGH
    assert any("Sysmon 1 on WORKSTATION5" in ref for ref in source.evidence)


def test_trace_without_wmic_finds_the_implant_by_its_connection() -> None:
    assert hops_of(SHARPWMI, "grunthttp2.exe") == [
        (W6, ["grunthttp2.exe"]),
        (W5, ["grunthttp.exe"]),
    ]


def test_trace_of_a_child_in_a_services_session_is_never_sure() -> None:
    found = followed(start_of(process(HIJACK, "notepad.exe")), recorded(HIJACK))

    assert [hop.host for hop in found.hops] == [W6, W5]
    assert [base_name(one.image) for one in found.hops[1].chain] == ["wmic.exe", "cmd.exe"]
    assert found.hops[0].remote is not None
    assert found.hops[0].remote.confidence is Confidence.MEDIUM
    assert found.hops[1].confidence is Confidence.MEDIUM


@pytest.mark.parametrize(
    ("name", "chain"),
    [
        (EXECMETHOD, ["whoami.exe", "powershell.exe"]),
        (MSBUILD, ["whoami.exe", "powershell.exe", "msbuild.exe", "cmd.exe"]),
    ],
)
def test_trace_of_empires_children_leads_to_powershell_on_workstation5(
    name: str, chain: list[str]
) -> None:
    assert hops_of(name, "whoami.exe") == [(W6, chain), (W5, ["powershell.exe"])]


def test_trace_of_the_stylesheet_run_stays_on_its_host_and_says_what_it_lacks() -> None:
    first = trace(start_of(process(T1220, "wmic.exe")), recorded(T1220))
    found = followed(start_of(process(T1220, "wmic.exe")), recorded(T1220))

    assert [hop.host for hop in found.hops] == ["WORKSTATION5"]
    assert {ask.wanted for ask in first.asks} == {Wanted.PROCESS, Wanted.SESSION}
    assert found.hops[0].delivered.delivery is Delivery.UNKNOWN
    assert any("no event shows the start of cmd.exe" in gap for gap in found.gaps)


def test_trace_of_the_store_calculator_has_no_wmic_above_it() -> None:
    found = followed(start_of(process(T1220, "calculator.exe")), recorded(T1220))

    assert [base_name(one.image) for one in found.hops[0].chain] == ["calculator.exe"]


def test_trace_of_the_direct_child_has_wmic_above_it() -> None:
    found = followed(start_of(process(T1220, "calc.exe")), recorded(T1220))

    assert [base_name(one.image) for one in found.hops[0].chain] == ["calc.exe", "wmic.exe"]


# -- step by step ----------------------------------------------------------------------------------


def test_trace_step_by_step_asks_for_one_thing_after_the_other() -> None:
    """Read only what was asked for, as a hunt does, and arrive at the same end."""
    everything = recorded(EMPIRE)
    known: list[Event] = [process(EMPIRE, "net.exe")]
    start = start_of(process(EMPIRE, "net.exe"))
    answered: set[Ask] = set()
    asked: list[Wanted] = []
    while asks := trace(start, known, frozenset(answered)).asks:
        for ask in asks:
            asked.append(ask.wanted)
            answered.add(ask)
            known += [event for event in everything if event not in known and _answers(ask, event)]

    found = trace(start, known, frozenset(answered))

    assert [hop.host for hop in found.hops] == [W6, W5]
    assert base_name(found.hops[1].image) == "wmic.exe"
    assert asked[:3] == [Wanted.SESSION, Wanted.ARRIVALS, Wanted.OWNER]
    assert Wanted.PROCESS in asked, "a connection named its process before its start was read"
    assert len(asked) < 10


def _answers(ask: Ask, event: Event) -> bool:
    match ask.wanted:
        case Wanted.PROCESS:
            return isinstance(event, Process) and event.guid in ask.values
        case Wanted.SESSION:
            return isinstance(event, Logon) and event.logon_id in ask.values
        case Wanted.ARRIVALS:
            is_call = isinstance(event, Connection) and event.is_outbound is False
            return event.host == ask.host and (is_call or isinstance(event, Logon))
        case Wanted.OWNER:
            is_sent = isinstance(event, Connection) and event.is_outbound is True
            return is_sent and event.source_address in ask.values
        case Wanted.SENDER:
            return event.host == ask.host and isinstance(event, Process | Connection)


def test_trace_when_a_process_is_not_known_asks_for_it_and_then_says_so() -> None:
    start = Start(host="HOST-A", at=AT, guid="gone")

    asked = trace(start, ())
    told = trace(start, (), frozenset(asked.asks))

    assert [(ask.wanted, ask.host, ask.values) for ask in asked.asks] == [
        (Wanted.PROCESS, "HOST-A", ("gone",))
    ]
    assert told.asks == ()
    assert told.gaps == ("HOST-A: no event shows the start of the process",)


def test_trace_without_a_guid_finds_the_process_by_its_command_line() -> None:
    one = started("HOST-A", 1, cmdline="wmic os get /format:x")

    found = trace(Start(host="host-a.corp.example.test", at=AT, cmdline=one.cmdline), [one])

    assert found.hops[0].chain == (one,)


def test_trace_without_a_guid_where_two_processes_fit_takes_neither() -> None:
    two = [started("HOST-A", 1, cmdline="wmic os get"), started("HOST-A", 2, cmdline="wmic os get")]

    found = trace(Start(host="HOST-A", at=AT, cmdline="wmic os get"), two)

    assert found.hops[0].chain == ()
    assert found.gaps


# -- bounds ----------------------------------------------------------------------------------------


def test_trace_where_parents_go_in_a_circle_stops() -> None:
    one = started("HOST-A", 1, parent_guid="host-a-2")
    other = started("HOST-A", 2, parent_guid="host-a-1")

    found = trace(start_of(one), [one, other])

    assert found.hops[0].chain == (one, other)
    assert found.is_cut


def test_trace_of_an_endless_line_of_parents_is_cut() -> None:
    line = [started("HOST-A", n, parent_guid=f"host-a-{n + 1}") for n in range(200)]

    found = trace(start_of(line[0]), line)

    assert len(found.hops[0].chain) == MOST_PARENTS
    assert found.is_cut


def remote_chain(count: int, circle: bool = False) -> list[Event]:
    """HOST-0 was reached from HOST-1, that from HOST-2, and so on; or from HOST-0 again."""
    events: list[Event] = []
    for n in range(count):
        host, before = f"HOST-{n}", f"HOST-{(n + 1) % count if circle else n + 1}"
        address = f"192.0.2.{(n + 1) % count + 1 if circle else n + 2}"
        events += [
            started(
                host,
                0,
                r"C:\a\WMIC.exe",
                parent_image=WMIPRVSE,
                logon_id="0x99",
                cmdline=f"wmic /node:HOST-{(n - 1) % count if circle else n - 1} process call",
            ),
            logon(host, "0x99", address),
            connected(before, address, f"192.0.2.{n + 1}", guid=f"{before}-0".casefold()),
        ]
    return events


def test_trace_over_many_hosts_is_cut_and_says_so() -> None:
    found = followed(Start(host="HOST-0", at=AT, guid="host-0-0"), remote_chain(9))

    assert [hop.host for hop in found.hops] == [f"HOST-{n}" for n in range(MOST_HOSTS)]
    assert found.is_cut
    assert any("more than 5 hosts" in gap for gap in found.gaps)


def test_trace_where_hosts_go_in_a_circle_stops_there() -> None:
    found = followed(Start(host="HOST-0", at=AT, guid="host-0-0"), remote_chain(3, circle=True))

    assert [hop.host for hop in found.hops] == ["HOST-0", "HOST-1", "HOST-2"]
    assert any("a circle" in gap for gap in found.gaps)


def test_trace_when_two_hosts_had_the_address_names_neither() -> None:
    child = started("HOST-A", 0, parent_image=WMIPRVSE, logon_id="0x99")
    events: list[Event] = [
        child,
        logon("HOST-A", "0x99", "192.0.2.9"),
        connected("HOST-B", "192.0.2.9", "198.51.100.1"),
        connected("HOST-C", "192.0.2.9", "198.51.100.1"),
    ]

    found = followed(start_of(child), events)

    assert [hop.host for hop in found.hops] == ["HOST-A"]
    assert any("192.0.2.9 started it; which machine" in gap for gap in found.gaps)


def test_trace_when_the_address_is_known_from_outside_follows_it() -> None:
    child = started("HOST-A", 0, parent_image=WMIPRVSE, logon_id="0x99")
    events: list[Event] = [child, logon("HOST-A", "0x99", "192.0.2.9")]

    found = followed(start_of(child), events, known={"192.0.2.9": "HOST-B"})

    assert [hop.host for hop in found.hops] == ["HOST-A", "HOST-B"]
    assert any("HOST-B started it; what there did so" in gap for gap in found.gaps)


def test_trace_of_a_session_that_is_much_older_is_less_sure() -> None:
    child = started("HOST-A", 0, parent_image=WMIPRVSE, logon_id="0x99")
    old = logon("HOST-A", "0x99", "192.0.2.9", at=AT - timedelta(hours=2))

    (hop,) = followed(start_of(child), [child, old]).hops

    assert hop.remote is not None
    assert hop.remote.confidence is Confidence.MEDIUM


def test_trace_when_several_machines_reached_a_services_child_names_none() -> None:
    child = started("HOST-A", 0, parent_image=WMIPRVSE, logon_id="0x3e4")
    events: list[Event] = [
        child,
        logon("HOST-A", "0x11", "192.0.2.8"),
        logon("HOST-A", "0x12", "192.0.2.9"),
    ]

    (hop,) = followed(start_of(child), events).hops

    assert hop.remote is not None
    assert hop.remote.address is None
    assert "2 machines" in hop.remote.why


def test_trace_when_the_machine_asked_itself_looks_for_the_asker_there() -> None:
    child = started("HOST-A", 0, parent_image=WMIPRVSE, logon_id="0x99")
    asker = started(
        "HOST-A", 1, r"C:\Windows\System32\wbem\WMIC.exe", cmdline="wmic /node:HOST-A process call"
    )
    events: list[Event] = [child, asker, logon("HOST-A", "0x99", None, type=2)]

    found = followed(start_of(child), events)

    assert [base_name(hop.image) for hop in found.hops] == ["x.exe", "wmic.exe"]


def test_trace_of_a_remote_desktop_session_goes_to_where_it_came_from() -> None:
    one = started("HOST-A", 0, parent_image=r"C:\Windows\explorer.exe", logon_id="0x77")
    events: list[Event] = [one, logon("HOST-A", "0x77", "192.0.2.9", type=10)]

    found = followed(start_of(one), events, known={"192.0.2.9": "HOST-B"})

    assert [hop.host for hop in found.hops] == ["HOST-A", "HOST-B"]
    assert found.hops[0].remote is not None
    assert found.hops[0].remote.confidence is Confidence.MEDIUM


def test_trace_over_many_events_takes_a_moment() -> None:
    noise = [started(f"HOST-{n % 300}", n, parent_image=WMIPRVSE) for n in range(20_000)]
    begun = time.perf_counter()

    trace(start_of(noise[0]), noise)

    assert time.perf_counter() - begun < 5


# -- delivery --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("above", "cmdline", "delivery"),
    [
        ("OUTLOOK.EXE", "", Delivery.MAIL),
        ("msedge.exe", "", Delivery.BROWSER),
        ("WINWORD.EXE", "", Delivery.OFFICE),
        ("wscript.exe", "", Delivery.SCRIPT_HOST),
        ("svchost.exe", "svchost.exe -k netsvcs -p -s Schedule", Delivery.TASK),
        ("svchost.exe", "svchost.exe -k netsvcs -p -s wuauserv", Delivery.UNKNOWN),
        ("services.exe", "", Delivery.SERVICE),
        ("wsmprovhost.exe", "", Delivery.REMOTE_LOGON),
        ("explorer.exe", "", Delivery.INTERACTIVE),
        ("odd.exe", "", Delivery.UNKNOWN),
    ],
)
def test_delivered_names_the_kind_of_program_above(
    above: str, cmdline: str, delivery: Delivery
) -> None:
    one = started("HOST-A", 1, parent_image=rf"C:\x\{above}", parent_cmdline=cmdline)

    found = delivered([one], None)

    assert found.delivery is delivery
    assert delivery is Delivery.UNKNOWN or found.ref == one.ref


def test_delivered_when_mail_opened_office_says_mail() -> None:
    chain = [
        started("HOST-A", 1, parent_image=r"C:\x\cmd.exe"),
        started("HOST-A", 2, r"C:\x\cmd.exe", parent_image=r"C:\x\winword.exe"),
        started("HOST-A", 3, r"C:\x\winword.exe", parent_image=r"C:\x\outlook.exe"),
    ]

    assert delivered(chain, None).delivery is Delivery.MAIL


@pytest.mark.parametrize(
    ("logon_type", "delivery"),
    [
        (2, Delivery.INTERACTIVE),
        (3, Delivery.REMOTE_LOGON),
        (4, Delivery.TASK),
        (5, Delivery.SERVICE),
        (9, Delivery.UNKNOWN),
    ],
)
def test_delivered_when_no_program_tells_names_the_sessions_kind(
    logon_type: int, delivery: Delivery
) -> None:
    one = started("HOST-A", 1, parent_image=r"C:\x\cmd.exe")

    found = delivered([one], logon("HOST-A", "0x1", "192.0.2.9", type=logon_type))

    assert found.delivery is delivery


# -- places ----------------------------------------------------------------------------------------


def test_places_of_datagrams_written_the_wrong_way_round_give_no_false_owner() -> None:
    """Sysmon on the domain controller reports an answer to a client as an incoming connection to
    the client's address."""
    places = Places(recorded(EMPIRE))

    assert places.host_at("172.18.39.5") == W5
    assert places.host_at("172.18.39.6") == W6


def test_places_with_one_short_name_in_two_domains_keep_them_apart() -> None:
    places = Places([started("WS-1.a.test", 1), started("WS-1.b.test", 2), started("WS-1", 3)])

    assert places.name_of("ws-1.a.test") == "WS-1.a.test"
    assert places.name_of("WS-1.b.test") == "WS-1.b.test"
    assert places.name_of("ws-1") == "WS-1"


def test_places_with_one_domain_give_one_name() -> None:
    places = Places([started("WS-1", 1), started("WS-1.a.test", 2)])

    assert places.name_of("WS-1") == "WS-1.a.test"
    assert places.hosts == {"WS-1.a.test"}
