"""What a Matrix message shows: the one serializer of its HTML and of its plain text.

Every text is made harmless, shortened and escaped once, here. A mention is made of an account id
alone and is told to the server explicitly, so that no text of an event calls anybody. It sends
nothing.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from hashlib import sha256
from urllib.parse import quote

from msgspec import Struct

from connectors.chat.matrix_ids import EMOJI
from connectors.document import Block, Bullets, Code, Heading, Paragraph, Table, shorten
from connectors.harmless import safe
from connectors.model import Card, Choice, JsonObject

KEY = "com.stockade.key"
"""Where an event's content holds by which key its message is found again."""
CODE_LIMIT = 2_800
PARAGRAPH_LIMIT = 1_500
ITEM_LIMIT = 300
CELL_LIMIT = 120
MAX_ITEMS = 30
SIZE_LIMIT = 40_000
"""Bytes of both forms as JSON. A server takes 65,536 of the whole event.
Source: https://spec.matrix.org/v1.16/client-server-api/#size-limits, 2026-11-25."""

LEFT_OUT = "Some parts are left out here: the ticket holds them."
ANSWER = "Answer with a reaction:"
MINIMAL_NOTE = "Matrix refused the full message. Details are in the ticket."

_CALL = re.compile(r"@(?=room\b|[^\s:@]+:)")
"""What some clients take for a mention, or turn into a link, in any text."""


class Message(Struct, frozen=True, kw_only=True):
    """What a message is to show: an `m.room.message`'s content but for its key and relations."""

    body: str
    formatted: str
    mentions: tuple[str, ...] = ()

    def content(self) -> JsonObject:
        return {
            # `m.notice`, as bots use it otherwise, notifies nobody.
            "msgtype": "m.text",
            "body": self.body,
            "format": "org.matrix.custom.html",
            "formatted_body": self.formatted,
            # Also when it is empty: without it, servers look for names and `@room` in `body`.
            "m.mentions": {"user_ids": list(self.mentions)} if self.mentions else {},
        }

    @property
    def sha256(self) -> str:
        return shown_sha256(self.content())


def shown_sha256(content: JsonObject) -> str:
    """A hash over all that a message's content holds but its key, its relations and whom it calls.
    A server gives content back as it took it: it is part of what an event's id is made of."""
    unseen = (KEY, "m.relates_to", "m.mentions", "m.new_content")
    shown = {key: value for key, value in content.items() if key not in unseen}
    encoded = json.dumps(shown, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return sha256(encoded.encode()).hexdigest()


class _Piece(Struct, frozen=True):
    """One block in both forms."""

    formatted: str
    body: str

    @property
    def size(self) -> int:
        return len(json.dumps([self.formatted, self.body], ensure_ascii=False).encode())


def _dead(text: str, limit: int, *, keep_newlines: bool = False) -> str:
    """Evidence that hides nothing, opens nothing and calls nobody; not yet escaped."""
    shown = safe(text, keep_newlines=keep_newlines)
    return shorten(_CALL.sub("\uff20", shown), limit)


def _inline(text: str, limit: int, tag: str) -> _Piece:
    shown = _dead(text, limit)
    return _Piece(f"<{tag}>{html.escape(shown)}</{tag}>", shown)


def _preformatted(text: str) -> _Piece:
    return _Piece(f"<pre><code>{html.escape(text)}</code></pre>", text)


def _list(items: Sequence[str]) -> _Piece:
    shown = [_dead(item, ITEM_LIMIT) for item in items[:MAX_ITEMS]]
    if len(items) > MAX_ITEMS:
        shown.append(f"\u2026 and {len(items) - MAX_ITEMS} more, in the ticket")
    entries = "".join(f"<li>{html.escape(item)}</li>" for item in shown)
    return _Piece(f"<ul>{entries}</ul>", "\n".join(f"\u2022 {item}" for item in shown))


def _table(table: Table) -> _Piece:
    """Lines with padded columns, because phones show no HTML table: a cell's own line break is an
    escape and can forge no row."""
    rows = [[_cell(cell) for cell in row] for row in (table.header, *table.rows[:MAX_ITEMS])]
    columns = max(map(len, rows), default=0)
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(columns)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip()
        for row in rows
    ]
    if len(table.rows) > MAX_ITEMS:
        lines.append(f"\u2026 and {len(table.rows) - MAX_ITEMS} more, in the ticket")
    return _preformatted(shorten("\n".join(lines), CODE_LIMIT) or "(empty)")


def _cell(text: str) -> str:
    return _dead(text, CELL_LIMIT) if text.strip() else ""


def _piece(block: Block) -> _Piece:
    match block:
        case Heading(text):
            return _inline(text, ITEM_LIMIT, "strong")
        case Paragraph(text):
            return _inline(text, PARAGRAPH_LIMIT, "p")
        case Bullets(items):
            return _list(items)
        case Table():
            return _table(block)
        case Code(text):
            return _preformatted(_dead(text, CODE_LIMIT, keep_newlines=True))


def _calls(mentions: Sequence[str]) -> list[_Piece]:
    """The people who are called, as links that only an account id can make."""
    if not mentions:
        return []
    links = [
        f'<a href="https://matrix.to/#/{quote(account, safe="@:")}">{html.escape(account)}</a>'
        for account in mentions
    ]
    return [_Piece(f"<p>{' '.join(links)}</p>", " ".join(mentions))]


def _legend(choices: Sequence[Choice]) -> list[_Piece]:
    if not choices:
        return []
    shown = [f"{EMOJI[choice.emoji]} {_dead(choice.label, ITEM_LIMIT)}" for choice in choices]
    entries = "".join(f"<br>{html.escape(line)}" for line in shown)
    return [_Piece(f"<p>{ANSWER}{entries}</p>", "\n".join((ANSWER, *shown)))]


def _within_limits(
    first: list[_Piece], blocks: Sequence[Block], last: list[_Piece], mentions: Sequence[str]
) -> Message:
    """As much of the body as fits; what asks and what answers always does."""
    note = _Piece(f"<p>{LEFT_OUT}</p>", LEFT_OUT)
    room = SIZE_LIMIT - sum(piece.size for piece in (*first, *last, note))
    kept: list[_Piece] = []
    is_cut = False
    for block in blocks:
        if isinstance(block, Bullets) and not block.items:
            continue
        made = _piece(block)
        if made.size > room:
            is_cut = True
            continue
        room -= made.size
        kept.append(made)
    return _joined([*first, *kept, *([note] if is_cut else []), *last], mentions)


def _joined(pieces: Sequence[_Piece], mentions: Sequence[str]) -> Message:
    return Message(
        body="\n".join(piece.body for piece in pieces),
        formatted="".join(piece.formatted for piece in pieces),
        mentions=tuple(mentions),
    )


def card_message(card: Card) -> Message:
    """A card in full. A locked one offers no answers."""
    legend = [] if card.locked else _legend(card.choices)
    # A phone shows the beginning of `body`.
    first = [_inline(card.fallback, ITEM_LIMIT, "p"), *_calls(card.mentions)]
    blocks = card.body.blocks
    if blocks and isinstance(blocks[0], Heading) and blocks[0].text == card.fallback:
        first = [_piece(blocks[0]), *_calls(card.mentions)]
        blocks = blocks[1:]
    return _within_limits(first, blocks, legend, card.mentions)


def minimal_card(card: Card) -> Message:
    """The shortest form that still asks."""
    note = f"{MINIMAL_NOTE} Reference: {card.key}."
    first = [_inline(card.fallback, ITEM_LIMIT, "p"), *_calls(card.mentions)]
    legend = [] if card.locked else _legend(card.choices)
    return _joined([*first, _inline(note, ITEM_LIMIT, "p"), *legend], card.mentions)


def text_message(blocks: Sequence[Block], mentions: Sequence[str] = ()) -> Message:
    """A message that tells."""
    return _within_limits(_calls(mentions), blocks, [], mentions)


def minimal_message(text: str, mentions: Sequence[str] = ()) -> Message:
    pieces = [_inline(text, ITEM_LIMIT, "p"), _inline(MINIMAL_NOTE, ITEM_LIMIT, "p")]
    return _joined([*_calls(mentions), *pieces], mentions)
