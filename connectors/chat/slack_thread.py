"""What people wrote in a Slack thread: whole messages of their own, or why one is none.

It knows no question and no code. Whatever Slack says of a message that a plain one does not have
speaks against it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from connectors.chat.slack_calls import PRODUCT, SlackCalls, object_of, objects_of, text_of
from connectors.chat.slack_ids import TIMESTAMP
from connectors.chat.slack_product import ACCOUNT
from connectors.chat.slack_replies import Identity
from connectors.document import visible
from connectors.errors import Unavailable
from connectors.model import JsonObject, ThreadReply

PAGE_SIZE = 200
MAX_PAGES = 5

BY_APP = "a message of an app, a bot or a workflow is no answer"
SPECIAL = "only a plain message is an answer"
EDITED = "an edited message is no answer: write a new one"
ATTACHED = "a message with something forwarded, quoted or attached is no answer"

_PLAIN_KINDS = ("", "thread_broadcast")
"""A reply that was sent to the channel, too, is a reply all the same."""
_APP_MARKS = ("bot_id", "app_id", "bot_profile", "display_as_bot")
_EXTRAS = ("attachments", "files", "upload", "x_files", "room")
_MARKS = re.compile(r"(```|`|\*|_)(.*)\1", re.DOTALL)
"""Code, bold and italic; what is struck through or quoted is not what the person says."""
_WRITTEN_IN = ("rich_text_section", "rich_text_preformatted")


def read_thread(
    calls: SlackCalls, channel: str, timestamp: str, me: Identity
) -> Sequence[ThreadReply]:
    """All replies to one message. Errors: `Unavailable` when not all could be read, because a no
    may be among the rest; as `SlackCalls.read`.

    Slack's page says that a bot's token may not read the threads of channels, and that an app which
    is distributed outside the marketplace reads one page of 15 a minute: whether it can be read is
    proved by `stockade check --send`.
    Source: https://docs.slack.dev/reference/methods/conversations.replies, 2026-11-25.
    """
    found: list[JsonObject] = []
    pages = calls.pages("conversations.replies", PAGE_SIZE, channel=channel, ts=timestamp)
    for number, (messages, has_more) in enumerate(pages, start=1):
        found += messages
        if number == MAX_PAGES and has_more:
            text = f"the thread has more than {MAX_PAGES * PAGE_SIZE} messages"
            raise Unavailable(PRODUCT, text)
    if not any(message.get("ts") == timestamp for message in found):
        raise Unavailable(PRODUCT, "conversations.replies did not give the thread's own message")
    return tuple(_reply(message, me) for message in found if _is_reply(message, timestamp))


def _is_reply(message: JsonObject, parent: str) -> bool:
    own = text_of(message.get("ts"))
    return (
        message.get("thread_ts") == parent
        and bool(TIMESTAMP.fullmatch(own))
        and float(own) > float(parent)
    )


def _reply(message: JsonObject, me: Identity) -> ThreadReply:
    user, bot = text_of(message.get("user")), text_of(message.get("bot_id"))
    account = user if ACCOUNT.fullmatch(user) else f"app:{visible(bot[:60]) or 'unknown'}"
    return ThreadReply(
        account=account,
        text=plain(text_of(message.get("text"))),
        fault=_fault(message, account),
        is_ours=user == me.user or (bool(me.bot) and bot == me.bot),
    )


def _fault(message: JsonObject, account: str) -> str | None:
    kind = message.get("subtype") or ""
    if any(message.get(mark) for mark in _APP_MARKS) or account != message.get("user"):
        return BY_APP
    if kind not in _PLAIN_KINDS or message.get("type") != "message":
        return BY_APP if kind == "bot_message" else SPECIAL
    if "edited" in message:
        return EDITED
    if any(message.get(extra) for extra in _EXTRAS):
        return ATTACHED
    return None if _says_its_text(message) else SPECIAL


def _says_its_text(message: JsonObject) -> bool:
    """Do the blocks, where there are some, say the text in one plain paragraph? A quote, a list and
    what is struck through do not."""
    if not message.get("blocks"):
        return True
    blocks = objects_of(message.get("blocks"))
    parts = objects_of(blocks[0].get("elements")) if len(blocks) == 1 else []
    if len(parts) != 1 or blocks[0].get("type") != "rich_text":
        return False
    elements = objects_of(parts[0].get("elements"))
    return (
        parts[0].get("type") in _WRITTEN_IN
        and all(one.get("type") == "text" for one in elements)
        and not any(object_of(one.get("style")).get("strike") for one in elements)
        and plain("".join(text_of(one.get("text")) for one in elements))
        == plain(text_of(message.get("text")))
    )


def plain(text: str) -> str:
    """The text in one line, without the marks of code, bold and italic around the whole of it."""
    text = " ".join(text.split())
    while (match := _MARKS.fullmatch(text)) is not None:
        text = match[2].strip()
    return text
