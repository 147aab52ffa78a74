"""`connectors/siem/splunk/spl.py`: nasty values are escaped or refused, and read back as they were.

`split_literals` below is a small independent reader of SPL that shares nothing with the writer.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.errors import Rejected
from connectors.model import EventQuery, Operator, Term
from connectors.siem.splunk import spl

START = datetime(2026, 11, 25, 11, 0, 0, 500_000, tzinfo=UTC)
END = datetime(2026, 11, 25, 12, 0, 0, 500_000, tzinfo=UTC)


def query(
    *terms: Term, limit: int = 100, fields: tuple[str, ...] = ("_time", "host")
) -> EventQuery:
    return EventQuery(
        index="wineventlog", start=START, end=END, terms=terms, fields=fields, limit=limit
    )


def equals(value: str, *more: str, fields: tuple[str, ...] = ("cmdline",)) -> Term:
    return Term(fields=fields, operator=Operator.EQUALS, values=(value, *more))


def contains(value: str, *more: str, fields: tuple[str, ...] = ("cmdline",)) -> Term:
    return Term(fields=fields, operator=Operator.CONTAINS, values=(value, *more))


def searched(asked: EventQuery) -> str:
    """The search, or the code of its refusal."""
    try:
        return spl.event_search(asked)
    except Rejected as error:
        return str(error.code)


# -- an independent reader -------------------------------------------------------------------------


def split_literals(text: str) -> tuple[str, list[str]]:
    """SPL as (skeleton with a § for each literal, the literals unescaped). A backslash takes the
    next character as it is; an open end raises."""
    skeleton, literals = "", []
    at = 0
    while at < len(text):
        if text[at] != '"':
            skeleton += text[at]
            at += 1
            continue
        at += 1
        value = ""
        while text[at] != '"':
            if text[at] == "\\":
                at += 1
            value += text[at]
            at += 1
        at += 1
        skeleton += "§"
        literals.append(value)
    return skeleton, literals


def test_event_search_when_terms_are_plain_then_this_is_the_search() -> None:
    found = spl.event_search(
        query(
            contains("evil.example.test", fields=("cmdline", "process")),
            equals("WS-1", "ws-1.example.test", fields=("host", "Computer")),
        )
    )
    assert found == (
        'search index="wineventlog"'
        ' (cmdline="*evil.example.test*" OR process="*evil.example.test*")'
        ' AND (host="WS-1" OR host="ws-1.example.test"'
        ' OR Computer="WS-1" OR Computer="ws-1.example.test")'
        ' | head 101 | fields "_time", "host" | fields - _raw'
    )


def test_event_search_when_the_raw_event_is_asked_for_then_it_is_not_taken_out() -> None:
    found = spl.event_search(query(equals("a"), fields=("_raw", "host")))
    assert found.endswith(' | head 101 | fields "_raw", "host"')


ESCAPED = [
    ('a" | delete', 'cmdline="a\\" | delete"'),
    ("x\\", 'cmdline="x\\\\"'),
    ('\\"', 'cmdline="\\\\\\""'),
    ("C:\\Windows\\System32", 'cmdline="C:\\\\Windows\\\\System32"'),
    ("[ search index=* ]", 'cmdline="[ search index=* ]"'),
    ("a) OR (index=*", 'cmdline="a) OR (index=*"'),
    ("a, b OR NOT c", 'cmdline="a, b OR NOT c"'),
    ("| outputlookup x", 'cmdline="| outputlookup x"'),
    ("' OR 1=1 #", 'cmdline="\' OR 1=1 #"'),
    ("%COMSPEC%", 'cmdline="%COMSPEC%"'),
    ("日本語 ünïcode 🦊", 'cmdline="日本語 ünïcode 🦊"'),
    ("x" * 1024, f'cmdline="{"x" * 1024}"'),
]


@pytest.mark.parametrize(("value", "term"), ESCAPED)
def test_event_search_when_a_value_is_nasty_then_it_stays_inside_its_quotes(
    value: str, term: str
) -> None:
    first, _, _ = spl.event_search(query(equals(value))).partition(" | head")
    assert f"({term})" in first
    skeleton, literals = split_literals(spl.event_search(query(equals(value), fields=())))
    assert skeleton.split("|")[0] == "search index=§ (cmdline=§) "
    assert literals[:2] == ["wineventlog", value]


REFUSED = [
    "a`b",
    "WS-1$",
    "$token$",
    "a\nb",
    "a\rb",
    "a\tb",
    "a\x00b",
    "a\x1b[0m",
    "a\x7fb",
    "a\x85b",
    "a\u2028b",
    "a\u2029b",
    "a\ud83db",
    "x" * 1025,
]


@pytest.mark.parametrize("value", REFUSED, ids=ascii)
@pytest.mark.parametrize("operator", Operator)
def test_event_search_when_a_value_cannot_be_carried_then_it_is_not_searched(
    value: str, operator: Operator
) -> None:
    term = Term(fields=("cmdline",), operator=operator, values=("harmless", value))
    with pytest.raises(Rejected, match="not searched") as caught:
        spl.event_search(query(term))
    assert caught.value.code == "unsafe_value"
    assert value not in str(caught.value)


def test_event_search_when_a_part_holds_an_asterisk_then_it_is_not_searched() -> None:
    with pytest.raises(Rejected) as caught:
        spl.event_search(query(contains("a*b")))
    assert caught.value.code == "unsafe_value"


@pytest.mark.parametrize("value", ["a*b", "*", "10", "-1.5e3", "192.0.2.0/24", "2001:db8::/32"])
def test_event_search_when_search_would_match_more_then_where_confirms(value: str) -> None:
    found = spl.event_search(query(equals(value, fields=("src-ip", "dest"))))
    stages = found.split(" | ")
    assert stages[0].endswith(f'("src-ip"="{value}" OR dest="{value}")')
    assert (
        stages[1] == f"where lower('src-ip')=lower(\"{value}\") OR lower('dest')=lower(\"{value}\")"
    )


def test_event_search_when_search_alone_is_exact_then_there_is_no_where() -> None:
    assert "where" not in spl.event_search(query(equals("{11111111-2222}"), contains("10")))


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (query(), "empty_selector"),
        (query(Term(fields=(), operator=Operator.EQUALS, values=("a",))), "empty_selector"),
        (query(Term(fields=("a",), operator=Operator.EQUALS, values=())), "empty_selector"),
        (query(equals("")), "empty_selector"),
        (query(contains("   ")), "empty_selector"),
        (query(equals("a", fields=("a b",))), "unsafe_name"),
        (query(equals("a", fields=("host=x OR",))), "unsafe_name"),
        (query(equals("a*b", fields=("host') OR ('1'",))), "unsafe_name"),
        (query(equals("a", fields=("host\n",))), "unsafe_name"),
        (query(equals("a"), fields=("host | delete",)), "unsafe_name"),
        (query(equals("a"), limit=0), "bad_range"),
        (query(equals("a"), limit=10**9), "bad_range"),
        (query(equals(*map(str, range(501)))), "too_many_values"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_event_search_when_the_query_is_empty_or_unsafe_then_it_is_refused(
    broken: EventQuery, code: str
) -> None:
    with pytest.raises(Rejected) as caught:
        spl.event_search(broken)
    assert caught.value.code == code


@pytest.mark.parametrize("index", ["", "*", "main OR index=*", 'a"b', "-x", "main\n", "a,b"])
def test_event_search_when_the_index_is_no_name_then_it_is_refused(index: str) -> None:
    broken = EventQuery(index=index, start=START, end=END, terms=(equals("a"),), fields=())
    with pytest.raises(Rejected) as caught:
        spl.event_search(broken)
    assert caught.value.code == "unsafe_name"


def test_time_range_when_times_are_broken_seconds_then_it_is_widened() -> None:
    earliest, latest = spl.time_range(query(equals("a")))
    assert earliest == int(START.timestamp())
    assert latest == int(END.timestamp()) + 1


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (START.replace(tzinfo=None), END),
        (END, START),
        (START, START),
        (START.astimezone(timezone(timedelta(hours=9))), START),
    ],
)
def test_time_range_when_it_is_naive_or_runs_backwards_then_it_is_refused(
    start: datetime, end: datetime
) -> None:
    broken = EventQuery(index="main", start=start, end=end, terms=(equals("a"),), fields=())
    with pytest.raises(Rejected) as caught:
        spl.event_search(broken)
    assert caught.value.code == "bad_range"


@given(
    st.text(st.characters() | st.sampled_from("\"\\*|[]()`$=' \n,"), max_size=60),
    st.sampled_from(Operator),
)
def test_event_search_when_any_value_comes_then_it_reads_back_whole_or_is_refused(
    value: str, operator: Operator
) -> None:
    term = Term(fields=("cmdline", "a-b"), operator=operator, values=(value,))
    text = searched(query(term))
    if text in ("unsafe_value", "empty_selector"):
        return
    skeleton, literals = split_literals(text)
    stages = skeleton.split(" | ")
    assert stages[0] == "search index=§ (cmdline=§ OR §=§)"
    assert stages[-3:] == ["head 101", "fields §, §", "fields - _raw"]
    star = "*" if operator is Operator.CONTAINS else ""
    sought = f"{star}{value}{star}"
    assert literals[:4] == ["wineventlog", sought, "a-b", sought]
    if len(stages) == 5:
        assert stages[1] == "where lower('cmdline')=lower(§) OR lower('a-b')=lower(§)"
        assert literals[4:6] == [value, value]
    else:
        assert len(stages) == 4
        assert "*" not in value
