"""Rich text for Jira, held against the vendor's schema: raw text is text, whatever it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.document import Block, Bullets, Code, Document, Heading, Paragraph, Table
from connectors.tickets.adf import adf_of, last_paragraph
from connectors.tickets.jira_text import MAX_UNITS, units
from tests.jira_documents import ADF, WHOLE_ADF


@pytest.mark.parametrize(
    "node",
    [
        {"type": "paragraph", "content": [{"type": "text", "text": ""}]},
        {
            "type": "codeBlock",
            "content": [{"type": "text", "text": "x", "marks": [{"type": "em"}]}],
        },
        {"type": "bulletList", "content": []},
    ],
)
def test_vendor_schema_when_a_node_is_wrong_then_the_judge_objects(node: Any) -> None:
    document = {"type": "doc", "version": 1, "content": [node]}
    assert not ADF.is_valid(document)
    assert not WHOLE_ADF.is_valid(document)


def test_vendor_schema_when_narrowed_then_what_it_allows_the_whole_one_allows_too() -> None:
    blocks = (Heading("h"), Paragraph("p"), Code("c"), Bullets(("b",)), Table(("t",), (("c",),)))
    adf = adf_of(Document(blocks))
    ADF.validate(adf)
    WHOLE_ADF.validate(adf)


TEXT = st.text(max_size=60)
ROWS = st.lists(st.lists(TEXT, max_size=3).map(tuple), max_size=4).map(tuple)
BLOCKS = st.one_of(
    st.builds(Heading, TEXT),
    st.builds(Paragraph, TEXT),
    st.builds(Code, st.text(max_size=400)),
    st.builds(Bullets, st.lists(TEXT, max_size=4).map(tuple)),
    st.builds(Table, st.lists(TEXT, max_size=3).map(tuple), ROWS),
)
DOCUMENTS = st.builds(Document, st.lists(BLOCKS, max_size=6).map(tuple))
HOSTILE = (
    "{code} {color:red} {noformat} |a| [x|http://x.test] !http://x.test/p.png! h1. APPROVED * -- "
    "@everyone <b>x</b> \x1b[2J \u202e \u2028 \x00 \x9b \ufffe \ud800 \U0001f600"
)


def nodes_of(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if "type" in node:
            yield node
        for value in node.values():
            yield from nodes_of(value)
    elif isinstance(node, list):
        for value in node:
            yield from nodes_of(value)


def size(adf: Any) -> int:
    return units(json.dumps(adf, ensure_ascii=False, separators=(",", ":")))


def skeleton(node: Any) -> Any:
    """The shape without any text: what a text must not be able to change."""
    if isinstance(node, dict):
        return {k: skeleton(v) for k, v in node.items() if k not in ("text", "content")} | {
            "content": [skeleton(v) for v in node.get("content", []) if v["type"] != "text"]
        }
    return node


@settings(max_examples=60, deadline=None)
@given(DOCUMENTS)
def test_adf_when_made_from_any_document_then_valid_and_text_is_only_text(
    document: Document,
) -> None:
    adf = adf_of(document, tail=("[stockade:k]",))
    ADF.validate(adf)
    assert size(adf) <= MAX_UNITS
    kinds = {node["type"] for node in nodes_of(adf)}
    assert kinds <= {
        *("doc", "text", "paragraph", "heading", "codeBlock", "bulletList", "listItem"),
        *("table", "tableRow", "tableHeader", "tableCell"),
    }
    assert not any("marks" in node for node in nodes_of(adf))
    assert last_paragraph(adf) == "[stockade:k]"


@given(TEXT, TEXT)
def test_adf_when_only_the_text_differs_then_the_shape_is_the_same(one: str, other: str) -> None:
    def shape(text: str) -> Any:
        blocks = (Heading(text), Paragraph(text), Code(text), Bullets((text,)), Table((text,), ()))
        return skeleton(adf_of(Document(blocks)))

    assert shape(one) == shape(other)


def test_adf_when_the_text_is_hostile_then_the_reader_sees_exactly_its_characters() -> None:
    [node] = adf_of(Document((Code(HOSTILE),)))["content"]
    [text] = node["content"]
    assert text["text"].startswith("{code} {color:red} {noformat} |a| [x|http://x.test]")
    assert text["text"].endswith("\\x1b[2J \\u202e \\u2028 \\x00 \\x9b \\ufffe \\ud800 \U0001f600")


def test_adf_when_code_has_lines_then_they_stay_and_elsewhere_they_are_escaped() -> None:
    code, paragraph = adf_of(Document((Code("a\nb"), Paragraph("a\nb"))))["content"]
    assert code["content"] == [{"type": "text", "text": "a\nb"}]
    assert paragraph["content"] == [{"type": "text", "text": "a\\x0ab"}]


def test_adf_when_evidence_is_too_long_then_shortened_with_head_and_tail_kept() -> None:
    document = Document((Heading("What happened"), Code("HEAD" + "x" * 60_000 + "TAIL")))
    adf = adf_of(document, tail=("[stockade:k]",))
    ADF.validate(adf)
    heading, code, marker = (node["content"][0]["text"] for node in adf["content"])
    assert heading == "What happened"
    assert code.startswith("HEAD")
    assert code.endswith("TAIL")
    assert "characters left out" in code
    assert marker == "[stockade:k]"
    assert size(adf) <= MAX_UNITS


@pytest.mark.parametrize(
    "blocks",
    [
        [Code("\x1b" * 5_000)] * 40,
        [Paragraph("\U0001f600" * 200)] * 900,
        [Table(("host", "why"), (("ws-1", "x" * 300),) * 5_000)] * 3,
        [Bullets(("x" * 300,) * 5_000)],
    ],
)
def test_adf_when_there_is_far_too_much_then_parts_go_and_a_sentence_says_so(
    blocks: list[Block],
) -> None:
    adf = adf_of(Document(tuple(blocks)), tail=("[stockade:k]",))
    ADF.validate(adf)
    assert size(adf) <= MAX_UNITS
    assert "left out" in json.dumps(adf)
    assert last_paragraph(adf) == "[stockade:k]"


def test_adf_when_rows_differ_in_length_then_padded_to_one_width() -> None:
    [table] = adf_of(Document((Table(("a", "b"), (("1",), ("1", "2", "3"))),)))["content"]
    assert [len(row["content"]) for row in table["content"]] == [3, 3, 3]


PARAGRAPH = {"content": [{"type": "paragraph", "content": 7}]}


@pytest.mark.parametrize(
    "adf", [None, {}, {"content": 1}, {"content": [{"type": "rule"}]}, PARAGRAPH]
)
def test_last_paragraph_when_there_is_none_then_empty(adf: Any) -> None:
    assert last_paragraph(adf) == ""
