"""The part of SPL that the Splunk stand-in evaluates."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.emulators.spl import SplError, Terms, split_pipeline, time_of
from connectors.emulators.spl_commands import Bounds, Search, StoredEvent
from connectors.model import Row
from tests.fake_clock import DEFAULT_START

ROW: Row = {
    "host": "WORKSTATION5",
    "cmdline": 'wmic  os get /format:"C:\\x\\a*b.xsl"',
    "user": ["alice", "bob"],
    "port": "443",
    "ip": "192.0.2.7",
    "_raw": "user_name=alice url=http://x.example.test/a.xsl",
    "_time": "2026-11-25T12:00:00.000+00:00",
    "_cd": "12:1",
}


def matches(search: str, row: Row = ROW) -> bool:
    return Terms(search, DEFAULT_START).predicate()(row)


@pytest.mark.parametrize(
    "search",
    [
        "",
        'host="workstation5"',
        "host=WORKSTATION5 port=443",
        'cmdline="*FORMAT*"',
        r'cmdline="*\"C:\\x\\*"',
        'user="bob"',
        "user IN (carol, bob)",
        "port>=443",
        "port=443.0",
        "ip=192.0.2.0/24",
        "alice",
        '"http://x.example.test"',
        "exam*",
        "NOT host=other",
        "NOT missing=x",
        "host!=other",
        # OR binds tighter than AND in the search command.
        "host=workstation5 OR host=other port=443",
        "(host=other OR (host=workstation5 AND user=alice)) port=443",
    ],
)
def test_search_when_the_row_has_it_then_it_matches(search: str) -> None:
    assert matches(search)


@pytest.mark.parametrize(
    "search",
    [
        "host=WORKSTATION",
        "missing=x",
        "missing!=x",
        "missing=*",
        "port>443",
        "ip=198.51.100.0/24",
        "lice",
        "NOT host=workstation5",
        "host=workstation5 OR host=other port=80",
        "host=WORKSTATION5 AND user=carol",
    ],
)
def test_search_when_the_row_has_it_not_then_it_does_not_match(search: str) -> None:
    assert not matches(search)


@pytest.mark.parametrize(
    "search",
    [
        'host="open',
        "host=",
        "(host=a",
        "host=a)",
        "host IN ()",
        "AND",
        "`macro`",
        "[search x]",
        "port<high",
        "host==a",
    ],
)
def test_search_when_it_is_outside_the_subset_then_it_is_refused(search: str) -> None:
    with pytest.raises(SplError):
        matches(search)


def test_pipeline_when_a_pipe_is_quoted_then_it_does_not_split() -> None:
    text = r'search a="x|y\"|z" ```note | here``` | head 1'

    assert split_pipeline(text) == [r'search a="x|y\"|z"', "head 1"]


def run(search: str, *rows: Row) -> list[Row]:
    events = [
        StoredEvent(at=float(number), indexed_at=number, visible_at=0.0, row=row)
        for number, row in enumerate(rows or (ROW,), 1)
    ]
    return Search(search, DEFAULT_START).run(events, Bounds())


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("""lower('host')=lower("Workstation5")""", True),
        ("""lower(host)=="workstation5" """, True),
        ('host="workstation5"', False),
        ("""lower('host')=lower("work*")""", False),
        ('port=80 OR host="WORKSTATION5" AND port=443', True),
        ('(port=443 OR host="x") AND ip="192.0.2.8"', False),
        ('missing="x"', False),
        ('missing!="x"', False),
    ],
)
def test_where_when_compared_then_case_counts_and_a_star_is_plain(
    condition: str, holds: bool
) -> None:
    assert bool(run(f"search * | where {condition}".replace("search *", "search host=*"))) is holds


@pytest.mark.parametrize(
    "command",
    [
        'where like(host, "x%")',
        'where upper(host)="X"',
        "where host",
        'where (host="a"',
        'where NOT host="a"',
        "delete",
        "map search=x",
        "stats count by host",
        "stats sum(x)",
        "eval a=b",
        "head -1",
        "table",
        "makeresults count=5",
        "sort _time",
        "rest /services",
        "collect index=x",
        "search earliest=-1h",
        "",
    ],
)
def test_command_when_it_is_not_served_then_it_is_refused(command: str) -> None:
    with pytest.raises(SplError):
        run(f"search host=* | {command}")


def test_table_when_separators_are_mixed_then_only_these_columns_stay_in_order() -> None:
    assert [list(row) for row in run("search host=* | table _time port, host,missing")] == [
        ["_time", "port", "host"]
    ]


def test_fields_when_kept_then_internal_fields_stay_and_when_dropped_they_go() -> None:
    kept = run('search host=* | fields "host", port')
    dropped = run("search host=* | fields - _* user")

    assert set(kept[0]) == {"host", "port", "_raw", "_time", "_cd"}
    assert set(dropped[0]) == {"host", "cmdline", "port", "ip"}


def test_rows_when_found_then_the_newest_event_comes_first() -> None:
    rows = run("search n=* | head 2", {"n": "1"}, {"n": "2"}, {"n": "3"})

    assert [row["n"] for row in rows] == ["3", "2"]


def test_stats_when_nothing_matches_then_the_count_is_zero() -> None:
    assert run("search host=nobody | stats count") == [{"count": "0"}]


def test_search_command_later_when_used_then_it_filters_the_rows() -> None:
    assert run('search host=* | search user="alice" | table host') == [{"host": "WORKSTATION5"}]


def test_bounds_when_the_search_names_times_then_they_are_taken_out() -> None:
    search = Search("search host=* earliest=-1h latest=1700000000", DEFAULT_START)

    hour_ago = DEFAULT_START.timestamp() - 3600
    assert search.bounds == {"earliest": hour_ago, "latest": 1_700_000_000.0}


@pytest.mark.parametrize(
    ("text", "ago_s"),
    [("now", 0), ("", 0), ("-15m", 900), ("-7d", 604_800), ("+1d", -86_400), ("-90m@h", 7_200)],
)
def test_time_when_relative_then_it_counts_from_now(text: str, ago_s: float) -> None:
    assert time_of(text, DEFAULT_START) == DEFAULT_START.timestamp() - ago_s


@pytest.mark.parametrize("text", ["yesterday", "-5", "@w0", "1 h"])
def test_time_when_it_is_no_modifier_then_it_is_refused(text: str) -> None:
    with pytest.raises(SplError):
        time_of(text, DEFAULT_START)


@pytest.mark.parametrize("start", ["host=x", "| rest /services", "|", ""])
def test_search_when_it_starts_wrong_then_it_is_refused(start: Any) -> None:
    with pytest.raises(SplError, match="must begin with a generating command"):
        Search(start, DEFAULT_START)
