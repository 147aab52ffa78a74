"""What a Slack message shows: the one serializer of its markup.

Blocks are made of `rich_text`, whose text elements Slack parses for nothing, and of buttons with
plain text; `mrkdwn` objects are not used at all. Only `text` (what a phone shows) is markup, made
by `slack_text.plain_text`. It sends nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from msgspec import Struct

from connectors.chat.slack_shown import shown_sha256
from connectors.chat.slack_text import fit, plain_text, prose, size
from connectors.document import Block, Bullets, Code, Heading, Paragraph, Table
from connectors.harmless import safe
from connectors.model import Card, Choice, JsonObject

CODE_LIMIT = 2_800
ITEM_LIMIT = 300
CELL_LIMIT = 120
MAX_ITEMS = 30
BLOCKS_LIMIT = 9_000
"""Of all blocks as JSON, escaped. Slack documents no sum; `msg_blocks_too_long` was seen with
11,341 characters of text (slackapi/bolt-js#2867, read 2026-11-25)."""
ACTION = "stockade."
"""What a button's `action_id` begins with."""
SEPARATOR = "|"
"""Between the parts of a button's value."""
BUTTON_LIMIT = 75
MAX_BUTTONS = 25
"""Source of both: https://docs.slack.dev/reference/block-kit/block-elements/button-element and
…/blocks/actions-block, 2026-11-25."""
MAX_BLOCKS = 45
"""Slack takes 50."""

LEFT_OUT = "Some parts are left out here: the ticket holds them."
ANSWER = "Answer with a reaction:"
OR_PRESS = "Or press a button. One that shows a warning was not heard: react instead."
MINIMAL_NOTE = "Slack refused the full card. Details are in the ticket."


class Message(Struct, frozen=True, kw_only=True):
    """What `chat.postMessage` is given to show."""

    text: str
    blocks: tuple[JsonObject, ...]

    @property
    def sha256(self) -> str:
        return shown_sha256(self.text, self.blocks)


def _text(text: str, *, bold: bool = False) -> JsonObject:
    element: JsonObject = {"type": "text", "text": text}
    return {**element, "style": {"bold": True}} if bold else element


def _section(*elements: JsonObject) -> JsonObject:
    return {"type": "rich_text_section", "elements": list(elements)}


def _rich(element: JsonObject) -> JsonObject:
    return {"type": "rich_text", "elements": [element]}


def _preformatted(text: str) -> JsonObject:
    return {"type": "rich_text_preformatted", "elements": [_text(text)]}


def _list(items: Sequence[str]) -> JsonObject:
    shown = [prose(item, ITEM_LIMIT) for item in items[:MAX_ITEMS]]
    if len(items) > MAX_ITEMS:
        shown.append(f"\u2026 and {len(items) - MAX_ITEMS} more, in the ticket")
    return {
        "type": "rich_text_list",
        "style": "bullet",
        "elements": [_section(_text(item)) for item in shown],
    }


def _table(table: Table) -> str:
    """Lines with padded columns: a cell's own line break is an escape and can forge no row."""
    rows = [[_cell(cell) for cell in row] for row in (table.header, *table.rows[:MAX_ITEMS])]
    columns = max(map(len, rows), default=0)
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(columns)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip()
        for row in rows
    ]
    if len(table.rows) > MAX_ITEMS:
        lines.append(f"\u2026 and {len(table.rows) - MAX_ITEMS} more, in the ticket")
    return fit("\n".join(lines), CODE_LIMIT)


def _cell(text: str) -> str:
    return fit(safe(text), CELL_LIMIT) if text.strip() else ""


def _block(block: Block) -> JsonObject:
    match block:
        case Heading(text):
            return _rich(_section(_text(prose(text, ITEM_LIMIT), bold=True)))
        case Paragraph(text):
            return _rich(_section(_text(prose(text))))
        case Bullets(items):
            return _rich(_list(items))
        case Table():
            return _rich(_preformatted(_table(block) or "(empty)"))
        case Code(text):
            return _rich(_preformatted(fit(safe(text, keep_newlines=True), CODE_LIMIT)))


def _calls(mentions: Sequence[str]) -> list[JsonObject]:
    """The people who are called, as elements that only an account id can make."""
    if not mentions:
        return []
    elements: list[JsonObject] = []
    for account in mentions:
        elements += [{"type": "user", "user_id": account}, _text(" ")]
    return [_rich(_section(*elements[:-1]))]


def _legend(choices: Sequence[Choice]) -> list[JsonObject]:
    if not choices:
        return []
    elements = [_text(ANSWER)]
    for choice in choices:
        label = _text(f" {prose(choice.label, ITEM_LIMIT)}")
        elements += [_text("  "), {"type": "emoji", "name": choice.emoji}, label]
    return [_rich(_section(*elements))]


def _buttons(card: Card) -> list[JsonObject]:
    """A button for each choice, and how to do without."""
    if card.binding is None or card.locked or not card.choices:
        return []
    made = [_button(card, choice) for choice in card.choices[:MAX_BUTTONS]]
    return [_rich(_section(_text(OR_PRESS))), {"type": "actions", "elements": made}]


def _button(card: Card, choice: Choice) -> JsonObject:
    button: JsonObject = {
        "type": "button",
        "action_id": f"{ACTION}{choice.emoji}",
        # Without `emoji`, Slack would draw what stands between colons.
        "text": {
            "type": "plain_text",
            "text": fit(prose(choice.label), BUTTON_LIMIT),
            "emoji": False,
        },
        "value": SEPARATOR.join((card.key, str(card.binding), choice.emoji)),
    }
    style = {"white_check_mark": "primary", "x": "danger"}.get(choice.emoji)
    return {**button, "style": style} if style else button


def _blocks_size(blocks: Iterable[JsonObject]) -> int:
    return size(json.dumps(list(blocks), ensure_ascii=False))


def _within_limits(
    first: list[JsonObject], body: Sequence[Block], last: list[JsonObject]
) -> tuple[JsonObject, ...]:
    """As much of the body as fits; what asks and what answers always does."""
    note = _rich(_section(_text(LEFT_OUT)))
    room = BLOCKS_LIMIT - _blocks_size([*first, *last, note])
    kept: list[JsonObject] = []
    is_cut = False
    for block in body:
        if isinstance(block, Bullets) and not block.items:
            continue
        made = _block(block)
        cost = _blocks_size([made])
        if cost > room or len(first) + len(kept) + len(last) + 1 >= MAX_BLOCKS:
            is_cut = True
            continue
        room -= cost
        kept.append(made)
    return (*first, *kept, *([note] if is_cut else []), *last)


def card_message(card: Card) -> Message:
    """A card in full. A locked one offers no answers."""
    legend = [] if card.locked else [*_legend(card.choices), *_buttons(card)]
    return Message(
        text=plain_text(card.fallback, card.mentions),
        blocks=_within_limits(_calls(card.mentions), card.body.blocks, legend),
    )


def minimal_card(card: Card) -> Message:
    """The shortest form that still asks: no blocks, only text."""
    answers = (
        ""
        if card.locked
        else "".join(f" :{choice.emoji}: {plain_text(choice.label)}" for choice in card.choices)
    )
    asked = plain_text(fit(card.fallback, 1_000), card.mentions)
    note = f"{MINIMAL_NOTE} Reference: {plain_text(fit(card.key, 200))}."
    how = f" {ANSWER}{answers}" if answers else ""
    return Message(text=f"{asked}\n{note}{how}", blocks=())


def text_message(text: str, body: Sequence[Block], mentions: Sequence[str] = ()) -> Message:
    """A message that tells: `text` for the phone, `body` for the reader."""
    return Message(
        text=plain_text(text, mentions), blocks=_within_limits(_calls(mentions), body, [])
    )


def minimal_message(text: str, mentions: Sequence[str] = ()) -> Message:
    return Message(text=f"{plain_text(fit(text, 1_000), mentions)}\n{MINIMAL_NOTE}", blocks=())
