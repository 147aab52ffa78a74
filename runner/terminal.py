"""How a document looks on a terminal: plain text, evidence with its control characters shown.

The only place that makes text for a terminal; a command line can move no cursor and forge no line.
"""

from __future__ import annotations

import textwrap

from connectors.document import Block, Bullets, Code, Document, Heading, Paragraph, Table, visible

WIDTH = 96


def text_of(document: Document, indent: str = "") -> str:
    """The document as lines; each block on lines of its own."""
    lines = [line for block in document.blocks for line in _block(block)]
    return "\n".join(indent + line for line in lines)


def _block(block: Block) -> list[str]:
    match block:
        case Heading(text):
            shown = visible(text)
            return ["", shown, "─" * min(len(shown), WIDTH)]
        case Paragraph(text):
            return _wrapped(visible(text), "")
        case Code(text):
            return ["  │ " + part for part in _chunks(visible(text), WIDTH - 4)]
        case Bullets(items):
            return [line for item in items for line in _wrapped(visible(item), "  • ")]
        case Table(header, rows):
            return _table(header, rows)


def _wrapped(text: str, bullet: str) -> list[str]:
    # Never at a hyphen: an address or a name is to be read, and copied, whole.
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=bullet,
        subsequent_indent=" " * len(bullet),
        break_on_hyphens=False,
    ) or [bullet]


def _chunks(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)] or [""]


def _table(header: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> list[str]:
    """Two columns side by side; more of them as a list of facts for each row."""
    if len(header) == 2:
        width = max((len(visible(row[0])) for row in rows), default=0)
        return [
            line
            for name, value in rows
            for line in _wrapped(visible(value), f"  {visible(name):<{width}}  ")
        ]
    lines: list[str] = []
    for row in rows:
        facts = [f"{name} {visible(cell)}" for name, cell in zip(header, row, strict=True)]
        lines += _wrapped("; ".join(facts), "  • ")
    return lines
