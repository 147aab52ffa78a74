"""What a wmic line says, by wmic's own grammar."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.wmic import Subject, Verb, parse


@pytest.mark.parametrize(
    ("cmdline", "expected"),
    [
        ("wmic os get", {"subject": Subject.ALIAS, "name": "os", "verb": Verb.GET}),
        ('"C:\\a b\\WMIC.exe" OS GET', {"program": "C:\\a b\\WMIC.exe", "name": "os"}),
        ("wmic path Win32_X get", {"subject": Subject.PATH, "name": "win32_x"}),
        ("wmic class Win32_X", {"subject": Subject.CLASS, "verb": Verb.NONE}),
        ("wmic context", {"subject": Subject.CONTEXT}),
        ("wmic timezone", {"name": "timezone", "verb": Verb.NONE}),
        ("wmic os get Caption, Version,*", {"properties": ("Caption", "Version", "*")}),
        ("wmic os list full /every:5", {"verb": Verb.LIST, "properties": ("full",)}),
        ("wmic process assoc /resultclass:x", {"verb": Verb.ASSOC}),
        ("wmic /node:WS01 os get", {"nodes": ("WS01",)}),
        ('wmic /node:"a","b",c os get', {"nodes": ("a", "b", "c")}),
        ('wmic /node: "WS01" os get', {"nodes": ("WS01",), "name": "os"}),
        ("wmic /node : a , b os get", {"nodes": ("a", "b"), "name": "os"}),
        ("wmic / node:a, b os get", {"nodes": ("a", "b"), "name": "os"}),
        ("wmic -node:a \u2013node:b os", {"nodes": ("a", "b")}),
        ("wmic /node:@list.txt os get", {"nodes": (), "node_file": "list.txt"}),
        ('wmic /node:"a"/user:"b" os get', {"nodes": ("a",), "user": "b"}),
        (
            'wmic /user:"CORP\\a b" /password:"x y" os get',
            {"user": "CORP\\a b", "has_password": True},
        ),
        ('wmic /namespace:"\\\\root\\x" os get', {"namespace": "\\\\root\\x"}),
        ("wmic /output:STDOUT os get", {"output": "STDOUT"}),
        ("wmic /append:a.txt os get", {"output": "a.txt"}),
        (
            "wmic /failfast:on /trace:off /record:r.xml /privileges:enable /role:x os get",
            {"switches": ("failfast", "trace", "record", "privileges", "role")},
        ),
        ("wmic process where name='a b' get x", {"where": "name=a b", "verb": Verb.GET}),
        ("wmic process where(name='a') get x", {"where": "(name=a)", "verb": Verb.GET}),
        ('wmic process "where a=1" get x', {"where": "a=1", "verb": Verb.GET}),
        ("wmic process where name = svchost delete", {"verb": Verb.DELETE}),
        ('wmic useraccount where (sid like "a-%-1") get x', {"where": "(sid like a-%-1)"}),
        ("wmic process where (a=1 and not b='x') delete", {"verb": Verb.DELETE}),
        ("wmic path win32_process.handle='4' get name", {"where": ".handle=4"}),
        ('wmic service "Mesh Agent" call stopservice', {"where": "Mesh Agent"}),
        ("wmic process 4604 get name", {"where": "4604", "verb": Verb.GET}),
        (
            "wmic product where name='a' uninstall /nointeractive",
            {"verb": Verb.OTHER, "method": "uninstall"},
        ),
        (
            'wmic process call create "C:\\a.exe -x","C:\\Tools"',
            {"verb": Verb.CALL, "method": "create", "arguments": ("C:\\a.exe -x", "C:\\Tools")},
        ),
        (
            'wmic /node:WS02 process call create "cmd /c a, b"',
            {"nodes": ("WS02",), "arguments": ("cmd /c a, b",)},
        ),
        ("wmic computersystem where a=1 set B=True", {"verb": Verb.SET, "properties": ("B=True",)}),
        ("cmd /c wmic /node:W6 process call create x", {"nodes": ("W6",), "method": "create"}),
    ],
)
def test_line_is_read_as_wmic_reads_it(cmdline: str, expected: dict[str, Any]) -> None:
    command = parse(cmdline)
    assert {name: getattr(command, name) for name in expected} == expected


@pytest.mark.parametrize(
    "cmdline",
    [
        "wmic /node:a /user:b /password:c path Win32_X where \"a='1' and b like '%c%'\" get d,e"
        ' /translate:nocomma /value /format:csv:"sortby=x" /every:5 /repeat:2',
        "wmic os get /  format :csv /all",
        'wmic 	/output:"a.csv"		bios	get name, version	/format:csv',
    ],
)
def test_line_with_everything_in_its_place_is_whole(cmdline: str) -> None:
    command = parse(cmdline)
    assert command.unread == ()
    assert command.is_whole
    assert command.is_query


@pytest.mark.parametrize(
    "cmdline",
    [
        "wmic os get %x%",
        "wmic os g^et",
        "wm^ic os get",
        "wmic os get /unknown:x",
        "wmic os get a b",
        'wmic "os" get',
        "wmic os where (a=1 call create x",
        'wmic os get "a',
        "wmic os list full x=y",
        "wmic os delete x",
        "wmic shadowcopy /nointeractive",
        "wmic os get /value x",
        "cmd /c wmic os get",
        "wmic os get " + "a," * 10 + " b " * 2000,
        "",
    ],
)
def test_line_that_does_not_fit_is_never_called_whole(cmdline: str) -> None:
    assert not parse(cmdline).is_whole


@pytest.mark.parametrize(
    ("nodes", "is_remote"),
    [("localhost", False), (".", False), ("127.0.0.1", False), ("WS01", True), ("@f", True)],
)
def test_only_another_machine_is_remote(nodes: str, is_remote: bool) -> None:
    assert parse(f"wmic /node:{nodes} os get").is_remote is is_remote


@given(st.text())
def test_any_text_is_parsed_without_an_error(text: str) -> None:
    parse(text)
    parse(f"wmic {text}")


@given(st.text(alphabet="wmic os/-:\"'(),=@% \tgetcalform", max_size=60))
def test_text_of_the_grammars_own_letters_is_parsed_without_an_error(text: str) -> None:
    parse(f"wmic {text}")


PIECES = ("/node:a, ", "/ ", "a ", '"a" ', "(", "where ", "where a=1 ", "wmic ", '"', '/node:"a"')
MORE = ("a,", ": ", "^ ", "= ", "/x: ", "call create ", "'", "(a ", '"x",')


@pytest.mark.parametrize("piece", PIECES + MORE)
@pytest.mark.parametrize("head", ["wmic ", "wmic process where ", "wmic process call create "])
def test_parsing_a_hostile_line_takes_time_in_proportion_to_its_length(
    head: str, piece: str
) -> None:
    short, long = (seconds(head + piece * (size // len(piece))) for size in (8_000, 32_000))
    # A quadratic step would make it sixteen times, and a busy machine may well double the fourfold;
    # the floor keeps the clock's grain out of it.
    assert long < 10 * max(short, 0.001)


def seconds(cmdline: str) -> float:
    return min(_timed(cmdline) for _ in range(4))


def _timed(cmdline: str) -> float:
    start = time.process_time()
    parse(cmdline)
    return time.process_time() - start
