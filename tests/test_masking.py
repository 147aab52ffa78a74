"""Secrets in command lines never reach people; everything else does."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.masking import mask_all, mask_secrets

SECRET = "Zq7kX9wJ"


@pytest.mark.parametrize(
    "line",
    [
        "wmic /node:WS01 /user:CORP\\admin /password:{} process list",
        'wmic /user:"CORP\\admin" /PASSWORD:"{} with blanks" os get',
        "wmic /password:'{} x' os get",
        "wmic /password : {} os get",
        'wmic /password: "{}" /node:WS01 os get',
        "wmic -password:{} os get",
        "wmic \u2013password:{} os get",
        "wmic /password:\u201c{} x\u201d os get",
        'wmic /password:a"{} b"c os get',
        'wmic /password:"{} never closed',
        'cmd /c "wmic /password:{}"',
        "tool --password {} --x",
        "tool --password={}",
        "tool DbPassword={};Server=x",
        '{{"password": "{}"}}',
        "net user backdoor {} /add",
        "net1.exe user /add backdoor {}",
        'net user "some body" {}',
        'wmic process call create "net user /add backdoor {}"',
        "net use \\\\WS01\\c$ {} /user:CORP\\admin",
        'net use Z: "\\\\WS01\\c$" {}',
        "schtasks /create /ru CORP\\a /rp {} /tn x",
        "schtasks /create /s WS01 /u CORP\\a /p {}",
        "psexec \\\\WS01 -u CORP\\a -p {} cmd",
        "PsExec64.exe -p {} \\\\WS01 cmd",
        "winrs -r:WS01 -u:a -p:{} whoami",
        "plink -pw {} a@192.0.2.1",
        "cmdkey /add:WS01 /user:a /pass:{}",
        "wmic -U CORP/admin%{} //WS01 x",
        'wmic -U "admin%{}" //WS01 x',
        "wmic /user:CORP\\admin%{} os get",
        "curl -u admin:{} https://example.test/",
        "wmic os get /format:ftp://u:{}@example.test/a",
        'wmic os get /format:"https://u:{}@example.test/a"',
        "wmic os get /format:https:\\\\u:p@{}@example.test\\a",
        "$p = ConvertTo-SecureString '{}' -AsPlainText -Force",
        "ConvertTo-SecureString -String {} -AsPlainText",
        "curl -H 'Authorization: Bearer {}'",
    ],
)
def test_secret_in_any_known_form_is_masked(line: str) -> None:
    shown = mask_secrets(line.format(SECRET))
    assert SECRET not in shown
    assert "***" in shown
    assert mask_secrets(shown) == shown


@pytest.mark.parametrize(
    "line",
    [
        "wmic useraccount get name,password",
        "wmic useraccount where name='a' set PasswordExpires=FALSE",
        "wmic /node:WS01 /user:CORP\\admin os get /format:csv",
        "wmic os get /format:https://example.test:8443/a.xsl",
        "net user /domain",
        "net user backdoor *",
        "net use * /delete",
        "wmic process where \"commandline like '%-p %'\" get name",
        "powershell -ep bypass -p x",
        "wmic /password /node:WS01 os get",
        "bypass: yes",
        "wmic os get /format:C:\\Users\\Public\\a@b.xsl",
        "",
    ],
)
def test_line_without_a_secret_stays_as_it_is(line: str) -> None:
    assert mask_secrets(line) == line


def test_rest_of_the_line_is_kept() -> None:
    line = 'wmic /user:"CORP\\a" /password:"x y" /node:WS01 os get /format:"ftp://u:p@h.test/a"'
    shown = 'wmic /user:"CORP\\a" /password:"***" /node:WS01 os get /format:"ftp://u:***@h.test/a"'
    assert mask_secrets(line) == shown


def test_plain_data_is_masked_through_and_through() -> None:
    data = {"a": ["/password:x", 1, None], "b": {"c": ("-password x",)}}
    assert mask_all(data) == {"a": ["/password:***", 1, None], "b": {"c": ["-password ***"]}}


@pytest.mark.parametrize(
    "name", ["password", "Passwd", "api_key", "user_password", "Authorization", "auth.token"]
)
def test_field_of_its_own_when_its_name_says_secret_then_masked(name: str) -> None:
    assert mask_all({"raw": {name: "hunter2", "other": "plain"}}) == {
        "raw": {name: "***", "other": "plain"}
    }


@pytest.mark.parametrize("name", ["passed", "compass", "tokens", "TokenElevationType", "secretary"])
def test_field_of_its_own_when_its_name_only_resembles_then_as_it_is(name: str) -> None:
    assert mask_all({name: "seen"}) == {name: "seen"}


PIECES = st.sampled_from(
    [
        *("/password:", "-password ", "net user ", "net use \\\\a ", "-u a:", "-U a%", "://u:p@h"),
        *('"', "'", " ", "x", "psexec ", " -p ", "/rp ", "pwd=", "\u201c", "\u201d", "%", "@", ":"),
        *("/", "*", "ConvertTo-SecureString ", "Bearer abcdefgh1 ", "secret", "\n", "&"),
    ]
)


@given(st.lists(PIECES, max_size=14).map("".join))
def test_masking_twice_changes_nothing(text: str) -> None:
    once = mask_secrets(text)
    assert mask_secrets(once) == once


@given(st.text())
def test_any_text_is_masked_without_an_error(text: str) -> None:
    mask_secrets(text)


@given(st.text(alphabet=st.characters(categories=["L", "N"]), min_size=6))
def test_any_password_of_letters_and_digits_is_gone(password: str) -> None:
    shown = mask_secrets(f"wmic /user:admin /password:{password}\u00df9 /node:WS01 os get")
    assert shown == "wmic /user:admin /password:*** /node:WS01 os get"


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "/password:",
            "password ",
            "net user ",
            "net use ",
            "-u ",
            "://",
            "a:",
            '"',
            "'",
            " ",
            "a",
        ),
        *(
            '"',
            "'",
            "psexec",
            " -p ",
            'net user "',
            "ConvertTo-SecureString ",
            "-u a",
            "pass",
            "\u201c",
        ),
    ],
)
def test_masking_takes_time_in_proportion_to_the_length(piece: str) -> None:
    short, long = (seconds(piece * (size // len(piece))) for size in (16_000, 64_000))
    # A quadratic step would make it sixteen times, and a busy machine may well double the fourfold;
    # the floor keeps the clock's grain out of it.
    assert long < 10 * max(short, 0.001)


def seconds(text: str) -> float:
    return min(_timed(text) for _ in range(4))


def _timed(text: str) -> float:
    start = time.process_time()
    mask_secrets(text)
    return time.process_time() - start


def test_masking_when_another_line_follows_then_its_first_word_is_no_password() -> None:
    """A line break separates no words of one command, and what follows is ours to say."""
    said = "net user /add b\nAssessment: unknown, score 40"
    assert mask_secrets(said) == said
    assert mask_secrets("net user b Zq7kX9\nAssessment") == "net user b ***\nAssessment"
