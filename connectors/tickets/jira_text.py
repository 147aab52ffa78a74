"""What a text field of Jira holds: characters that every Jira takes, and no more than fits.

Shared by the two serialisers, `adf` (Cloud) and `wiki` (Data Center); it holds no markup.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from connectors.document import Block, Bullets, Document, Table, shorten, visible

MAX_UNITS = 32_767
"""What a Jira text field holds. Which characters Jira counts is not documented, so what is sent is
held to it, markup and all: the strictest reading."""

_MAX_SUMMARY = 255
_PIECE_LIMITS = (MAX_UNITS, 8000, 4000, 2000, 1000, 500, 200, 80)
_MOST_ROWS = 50

# No character at all in XML, through which Jira exports; `visible` need not know them elsewhere.
_NONCHARACTERS = {0xFFFE: "\\ufffe", 0xFFFF: "\\uffff"}

Part = TypeVar("Part")


def units(text: str) -> int:
    """Length in UTF-16 code units, as Java counts."""
    return len(text.encode("utf-16-le")) // 2


def shown(text: str, *, keep_newlines: bool = False) -> str:
    """Text that any Jira field takes: control and invisible characters as escapes."""
    return visible(text, keep_newlines=keep_newlines).translate(_NONCHARACTERS)


def summary_of(title: str) -> str:
    """A title as one line of at most 255 UTF-16 units, never empty."""
    text = shown(title.strip()) or "(no title)"
    limit = _MAX_SUMMARY
    while units(short := shorten(text, limit)) > _MAX_SUMMARY:
        limit -= (units(short) - _MAX_SUMMARY + 1) // 2
    return short


class Fitting(Generic[Part]):
    """Makes a document's parts in one language so that they fit. `part`: a block, its pieces held
    to a limit, in that language, None for one that says nothing; `paragraph`: a text of our own;
    `size`: what parts together cost, in units; `least_around`: what each piece of text costs at
    least beside itself, so that it is known without making it that ten thousand rows do not fit."""

    def __init__(
        self,
        part: Callable[[Block, int], Part | None],
        paragraph: Callable[[str], Part],
        size: Callable[[Sequence[Part]], int],
        least_around: int,
    ) -> None:
        self._part = part
        self._paragraph = paragraph
        self._size = size
        self._least_around = least_around

    def fitted(self, document: Document, tail: Sequence[str]) -> list[Part]:
        """The document's parts, and one paragraph for each text of `tail` at their end, whole.

        What is too long is shortened rather than refused: first the longest pieces (evidence),
        step by step; at last rows and blocks are left out from the end, and a sentence says how
        many."""
        end = [self._paragraph(shown(text)) for text in tail]
        lengths = [len(text) for text in document.texts()]
        for limit in _PIECE_LIMITS:
            if sum(min(length, limit) + self._least_around for length in lengths) > MAX_UNITS:
                continue
            made = [*self._parts(document.blocks, limit), *end]
            if self._size(made) <= MAX_UNITS:
                return made
        return self._cut(document.blocks, end)

    def _cut(self, blocks: Sequence[Block], end: Sequence[Part]) -> list[Part]:
        parts = self._parts([_few_rows(block) for block in blocks], _PIECE_LIMITS[-1])
        least = [*end, self._left_out(len(parts))]
        used = around = self._size(least)
        kept: list[Part] = []
        for part in parts:
            used += self._size([*least, part]) - around
            if used > MAX_UNITS:
                break
            kept.append(part)
        gone = len(parts) - len(kept)
        return [*kept, *([self._left_out(gone)] if gone else []), *end]

    def _parts(self, blocks: Sequence[Block], limit: int) -> list[Part]:
        return [part for part in (self._part(block, limit) for block in blocks) if part is not None]

    def _left_out(self, count: int) -> Part:
        return self._paragraph(f"{count} parts left out here: Jira takes no longer text.")


def _few_rows(block: Block) -> Block:
    match block:
        case Table(header, rows) if len(rows) > _MOST_ROWS:
            more = (f"{len(rows) - _MOST_ROWS} more rows left out",)
            return Table(header, (*rows[:_MOST_ROWS], more))
        case Bullets(items) if len(items) > _MOST_ROWS:
            more = (f"{len(items) - _MOST_ROWS} more left out",)
            return Bullets((*items[:_MOST_ROWS], *more))
    return block
