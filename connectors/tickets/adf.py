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
)
from connectors.model import JsonObject
from connectors.tickets.jira_text import Fitting, shown, units

_HEADING_LEVEL = 3
_LEAST_AROUND = 30


def adf_of(document: Document, *, tail: Sequence[str] = ()) -> JsonObject:
    """The document as ADF, with one paragraph for each text of `tail` at its end, kept whole.
    What is too long for Jira is shortened (`jira_text.Fitting`)."""
    fitting = Fitting(_node, _paragraph, lambda nodes: _size(_doc(nodes)), _LEAST_AROUND)
    return _doc(fitting.fitted(document, tail))


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


def _size(node: JsonObject) -> int:
    return units(json.dumps(node, ensure_ascii=False, separators=(",", ":")))


def _doc(content: Sequence[JsonObject]) -> JsonObject:
    return {"type": "doc", "version": 1, "content": [*content] or [_paragraph("")]}


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
