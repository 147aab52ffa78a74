"""The one serialiser of the Atlassian Document Format (ADF), which Jira Cloud wants for rich text.

Raw text becomes text nodes and nothing else: no marks, links, mentions or cards can come out of it.
Source: the vendor's JSON schema, npm `@atlaskit/adf-schema` 57.7.22, read 2026-11-25.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from connectors.document import (
    Block,
    Bullets,
    Code,
    Document,
    Heading,
    Paragraph,
    Table,
    shorten,
    visible,
)
from connectors.model import JsonObject

MAX_UNITS = 32_767
"""What a Jira text field holds. Which characters Jira counts is not documented, so the serialised
document is held to it: the strictest reading."""

_PIECE_LIMITS = (MAX_UNITS, 8000, 4000, 2000, 1000, 500, 200, 80)
_MOST_ROWS = 50
_LEAST_AROUND = 30
"""Each piece of text costs at least this much ADF: so it is known without making it that a document
of ten thousand rows does not fit."""
_HEADING_LEVEL = 3

# No character at all in XML, through which Jira exports; `visible` need not know them elsewhere.
_NONCHARACTERS = {0xFFFE: "\\ufffe", 0xFFFF: "\\uffff"}


def units(text: str) -> int:
    """Length in UTF-16 code units, as Java counts."""
    return len(text.encode("utf-16-le")) // 2


def shown(text: str, *, keep_newlines: bool = False) -> str:
    """Text that any Jira field takes: control and invisible characters as escapes."""
    return visible(text, keep_newlines=keep_newlines).translate(_NONCHARACTERS)


def adf_of(document: Document, *, tail: Sequence[str] = ()) -> JsonObject:
    """The document as ADF, with one paragraph for each text of `tail` at its end, kept whole.

    What is too long for Jira is shortened rather than refused: first the longest pieces (evidence),
    step by step; at last rows and blocks are left out from the end, and a sentence says how many.
    """
    end = [_paragraph(shown(text)) for text in tail]
    lengths = [len(text) for text in document.texts()]
    for limit in _PIECE_LIMITS:
        if sum(min(length, limit) + _LEAST_AROUND for length in lengths) > MAX_UNITS:
            continue
        made = _doc([*_nodes(document.blocks, limit), *end])
        if _size(made) <= MAX_UNITS:
            return made
    return _cut(document.blocks, end)


def last_paragraph(adf: object) -> str:
    """The text of the last paragraph that says anything; empty when the document ends otherwise."""
    content = adf.get("content") if isinstance(adf, dict) else None
    for node in reversed(content if isinstance(content, list) else []):
        if not isinstance(node, dict) or node.get("type") != "paragraph":
            return ""
        parts = node.get("content")
        listed = parts if isinstance(parts, list) else []
        text = "".join(str(part.get("text", "")) for part in listed if isinstance(part, dict))
        if text.strip():
            return text
    return ""


def _cut(blocks: Sequence[Block], end: Sequence[JsonObject]) -> JsonObject:
    nodes = _nodes([_few_rows(block) for block in blocks], _PIECE_LIMITS[-1])
    room = MAX_UNITS - _size(_doc([*end, _left_out(len(nodes))]))
    kept: list[JsonObject] = []
    for node in nodes:
        room -= _size(node) + 1
        if room < 0:
            break
        kept.append(node)
    gone = len(nodes) - len(kept)
    return _doc([*kept, *([_left_out(gone)] if gone else []), *end])


def _few_rows(block: Block) -> Block:
    match block:
        case Table(header, rows) if len(rows) > _MOST_ROWS:
            more = (f"{len(rows) - _MOST_ROWS} more rows left out",)
            return Table(header, (*rows[:_MOST_ROWS], more))
        case Bullets(items) if len(items) > _MOST_ROWS:
            more = (f"{len(items) - _MOST_ROWS} more left out",)
            return Bullets((*items[:_MOST_ROWS], *more))
    return block


def _left_out(count: int) -> JsonObject:
    return _paragraph(f"{count} parts left out here: Jira takes no longer text.")


def _size(node: JsonObject) -> int:
    return units(json.dumps(node, ensure_ascii=False, separators=(",", ":")))


def _doc(content: list[JsonObject]) -> JsonObject:
    return {"type": "doc", "version": 1, "content": content or [_paragraph("")]}


def _nodes(blocks: Sequence[Block], limit: int) -> list[JsonObject]:
    """One node a block; blocks without anything in them have none."""
    return [node for node in (_node(block, limit) for block in blocks) if node is not None]


def _node(block: Block, limit: int) -> JsonObject | None:
    match block:
        case Heading(text):
            return {
                "type": "heading",
                "attrs": {"level": _HEADING_LEVEL},
                "content": _text(shown(shorten(text, limit))),
            }
        case Paragraph(text):
            return _paragraph(shown(shorten(text, limit)))
        case Code(text):
            # Newlines stay: in a code block they are only lines of the same evidence.
            said = shown(shorten(text, limit), keep_newlines=True)
            return {"type": "codeBlock", "content": _text(said)}
        case Bullets(items):
            return _bullets(items, limit) if items else None
        case Table(header, rows):
            return _table(header, rows, limit) if header or rows else None


def _bullets(items: Sequence[str], limit: int) -> JsonObject:
    entries = [
        {"type": "listItem", "content": [_paragraph(shown(shorten(item, limit)))]} for item in items
    ]
    return {"type": "bulletList", "content": entries}


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], limit: int) -> JsonObject:
    width = max(len(header), *(len(row) for row in rows), 1)

    def row_of(kind: str, cells: Sequence[str]) -> JsonObject:
        padded = [*cells, *[""] * (width - len(cells))]
        content = [
            {"type": kind, "content": [_paragraph(shown(shorten(cell, limit)))]} for cell in padded
        ]
        return {"type": "tableRow", "content": content}

    head = [row_of("tableHeader", header)] if header else []
    return {"type": "table", "content": [*head, *(row_of("tableCell", row) for row in rows)]}


def _paragraph(text: str) -> JsonObject:
    return {"type": "paragraph", "content": _text(text)}


def _text(text: str) -> list[dict[str, Any]]:
    """ADF knows no empty text node: nothing is said by no node."""
    return [{"type": "text", "text": text}] if text else []
