"""What a Slack message shows, as a hash: has anybody edited the card?

Read from Slack's pages and public issues, not proved on a live workspace: which keys Slack adds,
that it escapes block texts, and that it writes bare addresses in `text` as links. Where that is
wrong an untouched card looks edited, and its answers do not count; never the other way round.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from hashlib import sha256

from connectors.model import JsonObject

_ENTITIES = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))
# Slack adds these to what was sent (seen in replies; `unicode` beside an emoji's name), and none of
# them changes what a reader sees.
_ADDED_BY_SLACK = frozenset({"block_id", "unicode", "verbatim"})
_AUTO_LINK = re.compile(r"<(?:mailto:|tel:|https?://)([^|<>]+)\|\1>")


def shown_sha256(
    text: str, blocks: Sequence[JsonObject], attachments: Sequence[JsonObject] = ()
) -> str:
    """A hash over what a message shows; equal for a message as sent and as Slack gives it back.

    Entities are taken back until none is left (Slack escapes block texts that were sent raw,
    slackapi/bolt-python#513), white space counts as one blank, keys with empty values and those
    that Slack adds are dropped, neighboring texts of one style are one. Everything else counts,
    kinds of blocks that we never send included.
    """
    shown = {
        "text": _canonical(_AUTO_LINK.sub(r"\1", text)),
        "blocks": _canonical(list(blocks)),
        "attachments": _canonical(list(attachments)),
    }
    encoded = json.dumps(shown, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return sha256(encoded.encode()).hexdigest()


def _canonical(value: object) -> object:
    match value:
        case str():
            return " ".join(_unescape(value).split())
        case dict():
            return {
                str(key): _canonical(inner)
                for key, inner in value.items()
                if inner and key not in _ADDED_BY_SLACK
            }
        case list():
            return [_canonical(inner) for inner in _joined(value)]
        case _:
            return value


def _unescape(text: str) -> str:
    while "&" in text:
        before = text
        for entity, char in _ENTITIES:
            text = text.replace(entity, char)
        if text == before:
            break
    return text


def _joined(elements: list[object]) -> list[object]:
    """Neighboring text elements of one style as one."""
    joined: list[object] = []
    for element in elements:
        previous = joined[-1] if joined else None
        if _is_text(previous) and _is_text(element) and _style(previous) == _style(element):
            joined[-1] = {**previous, "text": f"{previous['text']}{element['text']}"}  # type: ignore[dict-item,index]
        else:
            joined.append(element)
    return joined


def _is_text(element: object) -> bool:
    return (
        isinstance(element, dict)
        and element.get("type") == "text"
        and isinstance(element.get("text"), str)
    )


def _style(element: object) -> object:
    return _canonical(element.get("style") or {}) if isinstance(element, dict) else None
