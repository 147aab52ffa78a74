"""What hunts ask the SIEM for, and the sentence that they give where they cannot ask."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.model import Alert, EventQuery, Observable, Operator
from connectors.siem.splunk.spl import event_search
from runner.config import Hunts
from runner.hunt_fields import EVENT_FIELDS, raw_events, whole
from runner.hunt_queries import (
    AFTER,
    AWAKE,
    BEFORE,
    MOST_ROWS,
    NEAR,
    NO_INDEX,
    NO_SECURITY,
    OWNER_NEAR,
    account_queries,
    ask_queries,
    deed_queries,
    hash_query,
    logon_queries,
    seen_query,
    trace_queries,
)
from runner.wmic import Ask, Wanted

AT = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
HUNTS = Hunts(index="sysmon", security_index="security")
BLIND = Hunts(index="sysmon")
HOST = "WS-1.example.test"


def alert(**how: Any) -> Alert:
    given = {"host": HOST, "occurred_at": AT, "cmdline": "wmic os get", **how}
    return Alert(id="a", siem="splunk", search="s", raw={}, **given)


def asked(query: EventQuery | str) -> EventQuery:
    assert isinstance(query, EventQuery), query
    assert query.limit == MOST_ROWS
    assert set(EVENT_FIELDS) <= set(query.fields)
    assert event_search(query).startswith(f'search index="{query.index}" ')
    return query


def kinds(query: EventQuery) -> tuple[str, ...]:
    """The event numbers that are asked for; none is all."""
    first = query.terms[0]
    return first.values if first.fields == ("EventCode", "EventID") else ()


def sought(query: EventQuery) -> set[str]:
    return {value for term in query.terms for value in term.values}


# -- origin ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "expected", "window"),
    [
        (
            Ask(wanted=Wanted.PROCESS, host=HOST, values=("aa-1",), at=AT),
            [("sysmon", ("1",), {"{aa-1}", "aa-1"})],
            (AT - timedelta(days=7), AT + NEAR),
        ),
        (
            Ask(wanted=Wanted.SESSION, host=HOST, values=("0x551686",), at=AT),
            [("security", ("4624",), {"0x551686", HOST})],
            (AT - timedelta(days=7), AT + NEAR),
        ),
        (
            Ask(wanted=Wanted.ARRIVALS, host=HOST, at=AT),
            [("security", ("4624",), {"3", HOST}), ("sysmon", ("3",), {"135", HOST})],
            (AT - NEAR, AT + NEAR),
        ),
        (
            Ask(wanted=Wanted.OWNER, host="", values=("192.0.2.5",), at=AT),
            [("sysmon", ("3",), {"192.0.2.5", "true"})],
            (AT - OWNER_NEAR, AT + OWNER_NEAR),
        ),
        (
            Ask(wanted=Wanted.SENDER, host=HOST, values=("WS-2",), at=AT),
            [("sysmon", ("1", "3", "22"), {HOST})],
            (AT - NEAR, AT + NEAR),
        ),
    ],
    ids=lambda value: value.wanted if isinstance(value, Ask) else "",
)
def test_ask_queries_of_each_kind_ask_its_index_events_and_window(
    ask: Ask,
    expected: list[tuple[str, tuple[str, ...], set[str]]],
    window: tuple[datetime, datetime],
) -> None:
    queries = [asked(query) for query in ask_queries(ask, HUNTS, AT)]
    assert [(query.index, kinds(query)) for query in queries] == [one[:2] for one in expected]
    for query, (_, _, values) in zip(queries, expected, strict=True):
        assert values <= sought(query)
        assert (query.start, query.end) == window


def test_ask_queries_take_an_arrival_before_and_after_the_process_that_it_allowed() -> None:
    """The recorded logon is received after the process that it let start."""
    ask = Ask(wanted=Wanted.ARRIVALS, host=HOST, at=AT)
    for query in ask_queries(ask, HUNTS, AT):
        assert asked(query).start < AT < asked(query).end


def test_ask_queries_without_a_time_go_by_the_hunts_own() -> None:
    (query,) = ask_queries(Ask(wanted=Wanted.OWNER, host="", values=("192.0.2.5",)), HUNTS, AT)
    assert asked(query).start == AT - OWNER_NEAR


@pytest.mark.parametrize("wanted", [Wanted.SESSION, Wanted.ARRIVALS])
def test_ask_queries_without_the_security_log_say_so(wanted: Wanted) -> None:
    ask = Ask(wanted=wanted, host=HOST, values=("0x1",), at=AT)
    assert NO_SECURITY in ask_queries(ask, BLIND, AT)


# -- spread ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "value", "numbers", "field", "operator", "said"),
    [
        ("domain", "a.example.test", ("22",), "QueryName", Operator.EQUALS, "a.example.test"),
        ("address", "192.0.2.5", ("3",), "DestinationIp", Operator.EQUALS, "192.0.2.5"),
        ("file", r"C:\Temp\evil.xsl", ("11",), "TargetFilename", Operator.CONTAINS, "evil"),
    ],
)
def test_trace_queries_ask_each_indicator_where_it_shows(
    kind: str, value: str, numbers: tuple[str, ...], field: str, operator: Operator, said: str
) -> None:
    (query,) = trace_queries([Observable(type=kind, value=value)], HUNTS, AT)
    assert kinds(asked(query)) == numbers
    term = asked(query).terms[-1]
    assert (term.fields, term.operator, term.values) == ((field,), operator, (said,))
    assert asked(query).start == AT - timedelta(seconds=HUNTS.lookback_s)


@pytest.mark.parametrize("value", ["a.xsl", "x", ""])
def test_trace_queries_of_a_name_that_is_too_short_ask_nothing(value: str) -> None:
    assert trace_queries([Observable(type="file", value=value)], HUNTS, AT) == []


def test_trace_queries_of_several_of_one_kind_are_one_query() -> None:
    both = [Observable(type="domain", value=f"{name}.example.test") for name in "ab"]
    (query,) = trace_queries(both, HUNTS, AT)
    assert asked(query).terms[-1].values == ("a.example.test", "b.example.test")


def test_deed_queries_ask_for_children_and_never_for_wmiprvse_itself() -> None:
    children, subscriptions = [asked(query) for query in deed_queries(AT, HUNTS)]
    assert children.terms[-1].fields == ("ParentImage",)
    assert kinds(subscriptions) == ("19", "20", "21")
    assert {(one.start, one.end) for one in (children, subscriptions)} == {
        (AT - BEFORE, AT + AFTER)
    }


def test_logon_queries_ask_from_the_hosts_addresses_and_for_passwords_used_on_it() -> None:
    logons, passwords = [
        asked(one) for one in logon_queries(alert(), AT, ["192.0.2.5", "192.0.2.6"], HUNTS)
    ]
    assert kinds(logons) == ("4624",)
    assert {"192.0.2.5", "192.0.2.6"} <= sought(logons)
    assert HOST not in sought(logons), "it is where the account went that is asked"
    assert (kinds(passwords), HOST in sought(passwords)) == (("4648",), True)


def test_logon_queries_without_an_address_say_that_logons_elsewhere_are_not_known() -> None:
    first, second = logon_queries(alert(), AT, [], HUNTS)
    assert first == "not searched: the host's address is not known, so its logons elsewhere are not"
    assert kinds(asked(second)) == ("4648",)


def test_logon_queries_without_the_security_log_say_so_once() -> None:
    assert logon_queries(alert(), AT, ["192.0.2.5"], BLIND) == [NO_SECURITY]
    assert set(logon_queries(alert(host=None), AT, ["192.0.2.5"], BLIND)) == {NO_SECURITY}


@pytest.mark.parametrize("user", [r"CORP\kim", "kim@corp.example.test", "kim"])
def test_account_queries_ask_by_name_wherever_it_came_from(user: str) -> None:
    (query,) = [asked(one) for one in account_queries(user, AT, HUNTS)]
    assert (query.index, kinds(query)) == ("security", ("4624",))
    assert {"kim", "3", "10"} <= sought(query)
    assert HOST not in sought(query)


@pytest.mark.parametrize("user", ["", r"NT AUTHORITY\SYSTEM", "WS-1$", "Administrator"])
def test_account_queries_of_an_account_that_every_machine_has_ask_nothing(user: str) -> None:
    assert account_queries(user, AT, HUNTS) == []


def test_account_queries_without_the_security_log_say_so() -> None:
    assert account_queries("kim", AT, BLIND) == [NO_SECURITY]


def test_seen_query_asks_only_for_events_that_are_read() -> None:
    query = asked(seen_query(HOST, AT, HUNTS))
    assert kinds(query) == AWAKE
    assert HOST in sought(query)
    assert (query.start, query.end) == (AT - AFTER, AT + AFTER)


ASKERS: tuple[Callable[[Hunts], list[EventQuery | str]], ...] = (
    lambda hunts: trace_queries([Observable(type="domain", value="a.test")], hunts, AT),
    lambda hunts: deed_queries(AT, hunts),
    lambda hunts: [seen_query(HOST, AT, hunts)],
    lambda hunts: [hash_query([Observable(type="hash", value="ab" * 32)], hunts, AT)],
)


@pytest.mark.parametrize("ask", ASKERS)
def test_queries_without_an_index_are_sentences(
    ask: Callable[[Hunts], list[EventQuery | str]],
) -> None:
    found = ask(Hunts())
    assert found
    assert set(found) == {NO_INDEX}


# -- fields ----------------------------------------------------------------------------------------


def test_configured_fields_are_asked_first_and_read_under_their_own_names() -> None:
    hunts = Hunts(index="sysmon", fields={"host": ("endpoint",), "process_guid": ("proc",)})
    query = asked(seen_query(HOST, AT, hunts))
    (own,) = [term for term in query.terms if HOST in term.values]
    assert own.fields[0] == "endpoint"
    assert "Computer" in own.fields
    (row,) = raw_events([{"endpoint": "WS-9", "proc": "{1}", "host": "collector"}], hunts)
    assert (row["Computer"], row["ProcessGuid"], row["host"]) == ("WS-9", "{1}", "collector")


def test_whole_query_asks_the_same_with_every_field_once() -> None:
    query = asked(seen_query(HOST, AT, HUNTS))
    narrow = EventQuery(
        index=query.index,
        start=query.start,
        end=query.end,
        terms=query.terms,
        fields=("cmdline", "Image"),
    )
    wide = whole(narrow)
    assert (wide.terms, wide.start, wide.end) == (narrow.terms, narrow.start, narrow.end)
    assert wide.fields[:2] == ("cmdline", "Image")
    assert len(wide.fields) == len(set(wide.fields))


def test_fields_that_are_read_include_what_each_weight_needs() -> None:
    needed = {"ImageLoaded", "TargetObject", "TargetFilename", "QueryName", "DestinationIp"}
    assert needed | {"ParentProcessGuid", "Hashes", "Hash", "Status", "OriginalFileName"} <= set(
        EVENT_FIELDS
    )
