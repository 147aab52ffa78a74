"""What Slack refuses in a message, and how it gives one back.

Limits from reference/apis.md section 3.2 (docs.slack.dev), 2026-11-25. That Slack adds `block_id`,
`verbatim` and `emoji` to what was sent is seen in public replies, not proved on a live workspace.
"""

from __future__ import annotations

import json
from typing import Any

from connectors.model import JsonObject

MAX_TEXT = 40_000
MAX_BLOCKS = 50
MAX_SECTION_TEXT = 3_000
MAX_HEADER_TEXT = 150
MAX_BUTTON_TEXT = 75
MAX_BUTTON_VALUE = 2_000
MAX_ACTION_ID = 255
_BLOCK_TYPES = frozenset(
    {"section", "actions", "divider", "header", "context", "image", "rich_text", "input"}
)


def decoded(value: Any) -> Any:
    """`blocks` and `metadata` come as JSON, or as a text that holds JSON. Errors: `ValueError`."""
    return json.loads(value) if isinstance(value, str) else value


def refusal_of(text: str, blocks: Any) -> str | None:
    """The error code that Slack answers, or None when it takes the message."""
    if not text and not blocks:
        return "no_text"
    if len(text) > MAX_TEXT:
        return "msg_too_long"
    if blocks is None:
        return None
    if not isinstance(blocks, list) or len(blocks) > MAX_BLOCKS:
        return "invalid_blocks"
    return None if all(_is_block(block) for block in blocks) else "invalid_blocks"


def _is_block(block: Any) -> bool:
    if not isinstance(block, dict) or str(block.get("type")) not in _BLOCK_TYPES:
        return False
    text = block.get("text")
    if block["type"] in ("section", "header"):
        limit = MAX_SECTION_TEXT if block["type"] == "section" else MAX_HEADER_TEXT
        if isinstance(text, dict):
            said = text.get("text")
            return isinstance(said, str) and 0 < len(said) <= limit
        return block["type"] == "section" and bool(block.get("fields"))
    if block["type"] == "actions":
        elements = block.get("elements")
        return isinstance(elements, list) and all(map(_is_button, elements)) and bool(elements)
    if block["type"] in ("context", "rich_text"):
        return isinstance(block.get("elements"), list) and bool(block["elements"])
    return True


def _is_button(element: Any) -> bool:
    """Limits: docs.slack.dev/reference/block-kit/block-elements/button-element, 2026-11-25."""
    if not isinstance(element, dict) or element.get("type") != "button":
        return False
    text = element.get("text")
    return (
        isinstance(text, dict)
        and text.get("type") == "plain_text"
        and 0 < len(str(text.get("text", ""))) <= MAX_BUTTON_TEXT
        and 0 < len(str(element.get("action_id", ""))) <= MAX_ACTION_ID
        and len(str(element.get("value", ""))) <= MAX_BUTTON_VALUE
        and element.get("style") in (None, "primary", "danger")
    )


def stored(blocks: list[JsonObject], seed: str) -> list[JsonObject]:
    """The blocks as Slack gives them back: with what it adds."""
    return [
        {**_filled(block), "block_id": block.get("block_id") or f"b{seed[-4:]}{number}"}
        for number, block in enumerate(blocks)
    ]


def _filled(value: Any) -> Any:
    if isinstance(value, list):
        return [_filled(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    filled = {name: _filled(inner) for name, inner in value.items()}
    if filled.get("type") == "mrkdwn":
        filled.setdefault("verbatim", False)
    if filled.get("type") == "plain_text":
        filled.setdefault("emoji", True)
    return filled


_HISTORY = ("channels:history", "groups:history")
_NEEDED: dict[str, tuple[str, ...]] = {
    "conversations.history": _HISTORY,
    "conversations.replies": _HISTORY,
    "usergroups.users.list": ("usergroups:read",),
}
"""Method → the scopes one of which it needs, for those that a workspace may have left out.
Source: the methods' pages at https://docs.slack.dev/reference/methods, 2026-11-25."""


def missing_scope(method: str, granted: str) -> str | None:
    """The scope without which Slack refuses the method; None when it is granted."""
    needed = _NEEDED.get(method, ())
    held = granted.split(",")
    return None if not needed or any(scope in held for scope in needed) else needed[0]
