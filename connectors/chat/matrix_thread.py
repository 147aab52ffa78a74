"""What people wrote in a Matrix thread: whole messages of their own, or why one is none.

It knows no question and no code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from connectors.chat.matrix_calls import object_of, text_of
from connectors.chat.matrix_events import MESSAGE, edit_of, is_writable, relation_of
from connectors.model import JsonObject, ThreadReply

BY_BOT = "a notice, which bots write, is no answer"
SPECIAL = "only a plain text message is an answer"
EDITED = "an edited message is no answer: write a new one"
QUOTING = "a message that quotes another one is no answer"

_MARKS = re.compile(r"(```|`|\*\*|\*|__|_)(.*)\1", re.DOTALL)
_TAGS = re.compile(r"</?(?:p|br|code|pre|strong|b|em|i) ?/?>")
"""What a client makes of code, bold and italic; a quote or what is struck through stays."""


def written_in(events: Iterable[JsonObject], card: str, me: str) -> Sequence[ThreadReply]:
    """The replies to one event, oldest first. One that was redacted is no message any more.

    Source: https://spec.matrix.org/v1.16/client-server-api/#threading, 2026-11-25.
    """
    found = [_reply(event, me) for event in events if _is_reply(event, card)]
    # The server gives the newest first.
    return tuple(reversed(found))


def _is_reply(event: JsonObject, card: str) -> bool:
    relation = relation_of(event)
    return (
        event.get("type") == MESSAGE
        and relation.get("rel_type") == "m.thread"
        and relation.get("event_id") == card
        and is_writable(text_of(event.get("sender")))
        and "redacted_because" not in object_of(event.get("unsigned"))
    )


def _reply(event: JsonObject, me: str) -> ThreadReply:
    sender = text_of(event.get("sender"))
    return ThreadReply(
        account=sender,
        text=plain(text_of(object_of(event.get("content")).get("body"))),
        fault=_fault(event),
        is_ours=sender == me,
    )


def _fault(event: JsonObject) -> str | None:
    content, relation = object_of(event.get("content")), relation_of(event)
    if edit_of(event) is not None or "m.new_content" in content:
        return EDITED
    if content.get("msgtype") != "m.text":
        return BY_BOT if content.get("msgtype") == "m.notice" else SPECIAL
    # In a thread each message names the one before it; only a real reply does not say so.
    if relation.get("m.in_reply_to") and relation.get("is_falling_back") is not True:
        return QUOTING
    shown = content.get("formatted_body")
    if shown is not None and plain(_TAGS.sub(" ", text_of(shown))) != plain(
        text_of(content.get("body"))
    ):
        return SPECIAL
    return None


def plain(text: str) -> str:
    """The text in one line, without the marks of code, bold and italic around the whole of it."""
    text = " ".join(text.split())
    while (match := _MARKS.fullmatch(text)) is not None:
        text = match[2].strip()
    return text
