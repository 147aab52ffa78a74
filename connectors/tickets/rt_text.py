"""The one serialiser of plain text, which RT shows as it is: no markup can come out of it.

Only blocks make lines: a line break in evidence is written as an escape, and inside a code block
each line is indented, so that no text can pass for a heading or a paragraph of ours.
"""

from __future__ import annotations

from collections.abc import Sequence

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

MAX_CHARACTERS = 100_000
"""What we write at most into one text. RT holds ten million bytes unless it is told otherwise; what
nobody can read helps nobody."""

_PIECE_LIMITS = (MAX_CHARACTERS, 8000, 4000, 2000, 1000, 500, 200, 80)
_INDENT = "    "


def text_of(document: Document, *, tail: Sequence[str] = ()) -> str:
    """The document as plain text, with a line for each text of `tail` at its end, kept whole.

    What is too long is shortened: first the longest pieces, step by step; at last lines are left
    out from the end, and a sentence says how many.
    """
    end = [visible(text) for text in tail]
    for limit in _PIECE_LIMITS:
        made = "\n\n".join([*_blocks(document, limit), *end])
        if len(made) <= MAX_CHARACTERS:
            return made
    return _cut("\n\n".join(_blocks(document, _PIECE_LIMITS[-1])).split("\n"), end)


def _cut(lines: Sequence[str], end: Sequence[str]) -> str:
    room = MAX_CHARACTERS - sum(len(text) + 2 for text in end) - 100
    kept: list[str] = []
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    gone = f"{len(lines) - len(kept)} lines left out here: the text is too long."
    return "\n\n".join(["\n".join(kept), gone, *end])


def _blocks(document: Document, limit: int) -> list[str]:
    return [text for text in (_block(block, limit) for block in document.blocks) if text]


def _block(block: Block, limit: int) -> str:
    match block:
        case Heading(text):
            line = visible(shorten(text, limit))
            return f"{line}\n{'=' * min(len(line), 72)}" if line else ""
        case Paragraph(text):
            return visible(shorten(text, limit))
        case Code(text):
            lines = visible(shorten(text, limit), keep_newlines=True).split("\n")
            return "\n".join(_INDENT + line for line in lines)
        case Bullets(items):
            return "\n".join(f"- {visible(shorten(item, limit))}" for item in items)
        case Table(header, rows):
            shown = [_row(cells, limit) for cells in ((header, *rows) if header else rows)]
            return "\n".join(shown)


def _row(cells: Sequence[str], limit: int) -> str:
    # A cell that holds the separator would forge a column.
    return " | ".join(visible(shorten(cell, limit)).replace("|", "\\x7c") for cell in cells)
