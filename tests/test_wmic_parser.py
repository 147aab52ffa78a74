"""Where the format switch is found, and how its value is read."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.wmic import assess_line
from runner.wmic.parser import read_format_switches


def values(cmdline: str) -> list[str | None]:
    return [switch.value for switch in read_format_switches(cmdline)]


@pytest.mark.parametrize("dash", ["/", "-", "\u2013", "\u2014", "\u2015"])
def test_switch_with_any_dash_is_found(dash: str) -> None:
    assert values(f"wmic os get {dash}format:a.xsl") == ["a.xsl"]


@pytest.mark.parametrize(
    ("cmdline", "value"),
    [
        ("wmic os get /  format :a", "a"),
        ("wmic os get /FORMAT : a", "a"),
        ("wmic os get /FoRmAt:a", "a"),
        ("wmic os get/format:a", "a"),
        ("/format:a", "a"),
        ("wmic os get /form^at:a", "a"),
        ("wmic os get /^f^o^r^m^a^t^:a", "a"),
        ('wmic os get /format:"C:\\a b\\c.xsl" /every:5', "C:\\a b\\c.xsl"),
        ("wmic os get /format:'a b'", "a b"),
        ("wmic os get /format:\u201da b\u201d", "a b"),
        ('wmic os get /format:ht"t"p://h/a', "http://h/a"),
        ('wmic os get "/format:a b"', "a b"),
        ("wmic os get /format:C:\\a.xsl", "C:\\a.xsl"),
        ("wmic os get /format:http://u:p@h:8080/a", "http://u:p@h:8080/a"),
        ("wmic os get /format:a\u00a0b c", "a\u00a0b"),
        ("wmic os get /format:a\tb", "a"),
    ],
)
def test_value_in_any_spelling_is_read(cmdline: str, value: str) -> None:
    assert values(cmdline) == [value]


@pytest.mark.parametrize(
    ("cmdline", "value", "parameter"),
    [
        ('wmic process get /format:htable:"sortby=Name"', "htable", "sortby=Name"),
        ("wmic os get /format:'lib/csv.xsl':'delimiter=;'", "lib/csv.xsl", "delimiter=;"),
        ("wmic os get /format:C:\\a.xsl:b", "C:\\a.xsl", "b"),
        ("wmic os get /format:csv:", "csv", ""),
    ],
)
def test_parameter_after_the_value_is_split_off(cmdline: str, value: str, parameter: str) -> None:
    (switch,) = read_format_switches(cmdline)
    assert (switch.value, switch.parameter) == (value, parameter)


@pytest.mark.parametrize(
    "cmdline",
    [
        "wmic path Win32_PerfFormattedData_PerfOS_System get Processes",
        "wmic os get /formatted:a",
        "wmic os get format:a",
        "wmic /output:C:/format/a.txt os get",
        "",
    ],
)
def test_word_that_is_no_switch_is_not_found(cmdline: str) -> None:
    assert values(cmdline) == []


def test_switch_without_colon_has_no_value() -> None:
    assert values("wmic qfe list /format") == [None]


def test_several_switches_are_all_read() -> None:
    assert values("wmic os get /format:csv /value -format:http://h/a") == ["csv", "http://h/a"]


def test_open_quotation_is_reported() -> None:
    (switch,) = read_format_switches('wmic os get /format:"http')
    assert (switch.value, switch.is_closed) == ("http", False)


def test_switch_in_the_middle_of_quoted_text_is_marked() -> None:
    cmdline = "wmic process where \"commandline like '%/format:a%'\" get name /format:csv"
    inside = [switch.is_inside_text for switch in read_format_switches(cmdline)]
    assert inside == [True, False]


@given(st.text())
def test_any_text_is_read_without_an_error(text: str) -> None:
    read_format_switches(text)
    assess_line(f"wmic os get /format:{text}")


HEADS = ("wmic ", "wmic os get /format:", "wmic os get '/format:\"")
HOSTILE = (
    "/format:",
    "/format:a ",
    "/format:\"'",
    "/ ",
    "-^ ",
    "'",
    '"',
    "\u201c",
    "%",
    "!x",
    "http:",
)


@pytest.mark.parametrize("piece", HOSTILE)
@pytest.mark.parametrize("head", HEADS)
def test_judging_a_hostile_line_takes_time_in_proportion_to_its_length(
    head: str, piece: str
) -> None:
    short = seconds(head + piece * (8_000 // len(piece)))
    long = seconds(head + piece * (32_000 // len(piece)))
    # A quadratic step would make it sixteen times, and a busy machine may well double the fourfold;
    # the floor keeps the clock's grain out of it.
    assert long < 10 * max(short, 0.001)


def seconds(cmdline: str) -> float:
    """The best of several: other programs can only add."""
    return min(_timed(cmdline) for _ in range(4))


def _timed(cmdline: str) -> float:
    start = time.process_time()
    assess_line(cmdline)
    return time.process_time() - start
