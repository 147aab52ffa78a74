"""A document on a terminal: readable, and nothing in it can steer the terminal or forge a line."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.document import Block, Bullets, Code, Document, Heading, Paragraph, Table
from runner.terminal import WIDTH, text_of

HOSTILE = "\x1b[2J\x1b]0;owned\x07\r\nINFO all is well\x00\u202egnp.exe\u2028x\u200bz\x9b31m\ud800"


def document(*blocks: Block) -> Document:
    return Document(blocks=blocks)


def test_text_when_blocks_of_each_kind_then_each_is_on_lines_of_its_own() -> None:
    shown = text_of(
        document(
            Heading("Case 7"),
            Paragraph("A short one."),
            Code("wmic os get"),
            Bullets(("one", "two")),
            Table(("fact", "value"), (("host", "WS-1"), ("long name", "x"))),
            Table(("host", "at", "user"), (("WS-1", "12:00", "kim"),)),
        )
    )
    assert shown.splitlines() == [
        "",
        "Case 7",
        "──────",
        "A short one.",
        "  │ wmic os get",
        "  • one",
        "  • two",
        "  host       WS-1",
        "  long name  x",
        "  • host WS-1; at 12:00; user kim",
    ]


def test_text_when_a_line_is_long_then_it_is_folded_and_an_address_stays_whole() -> None:
    address = "https://stager.example.test/a-very-long-path-with-hyphens/x.xsl"
    shown = text_of(document(Paragraph(f"{'word ' * 30}{address} {'word ' * 10}")))
    assert max(map(len, shown.splitlines())) <= WIDTH
    assert any(address in line for line in shown.splitlines())


def test_text_when_code_is_longer_than_a_line_then_nothing_of_it_is_lost() -> None:
    code = "".join(chr(0x21 + number % 90) for number in range(1000))
    lines = text_of(document(Code(code))).splitlines()
    assert "".join(line.removeprefix("  │ ") for line in lines) == code
    assert max(map(len, lines)) <= WIDTH


@pytest.mark.parametrize(
    "block",
    [
        Heading(HOSTILE),
        Paragraph(HOSTILE),
        Code(HOSTILE),
        Bullets((HOSTILE,)),
        Table(("fact", "value"), ((HOSTILE, HOSTILE),)),
        Table(("a", "b", "c"), ((HOSTILE, HOSTILE, HOSTILE),)),
    ],
    ids=lambda block: type(block).__name__,
)
def test_text_when_evidence_is_hostile_then_every_control_character_is_an_escape(
    block: Block,
) -> None:
    shown = text_of(document(block))
    assert steering(shown) == []
    assert "\\x1b[2J" in shown
    assert "\\u202e" in shown
    # The forged line stands in the middle of one, after its escaped line break.
    assert not any(line.strip(" •│").startswith("INFO") for line in shown.splitlines())


@given(st.text(st.characters(), max_size=300))
def test_text_when_evidence_is_anything_then_it_never_steers_and_never_breaks(text: str) -> None:
    blocks = (Heading(text), Paragraph(text), Code(text), Bullets((text, text)))
    table = Table(("fact", "value"), ((text, text),))
    assert steering(text_of(document(*blocks, table))) == []


@pytest.mark.parametrize("hidden", ["\u00ad", "\u180e", "\u200d", "\ufff9", "\U000e0041", "\ue000"])
def test_text_when_a_character_would_not_be_seen_then_it_is_shown_as_an_escape(hidden: str) -> None:
    shown = text_of(document(Paragraph(f"WS{hidden}-1")))
    assert hidden not in shown
    assert f"{ord(hidden):x}" in shown


@pytest.mark.parametrize("text", ["Zürich", "東京 駅", "\u00a0x", "naïve café", "😀", "مرحبا"])
def test_text_when_it_is_only_foreign_then_it_stays_as_it_is(text: str) -> None:
    assert text_of(document(Code(text))) == f"  │ {text}"


def steering(shown: str) -> list[str]:
    """What a terminal would not just draw, line breaks apart."""
    return [
        char
        for char in shown
        if char != "\n" and unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    ]
