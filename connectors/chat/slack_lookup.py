"""Where a message of a channel is looked for, and one message itself."""

from __future__ import annotations

from datetime import datetime, timedelta

from connectors.chat.slack_calls import PRODUCT, SlackCalls, objects_of
from connectors.chat.slack_ids import channel_of, timestamp_of
from connectors.errors import NotFound
from connectors.model import JsonObject, MessageRef

LOOK_BACK = timedelta(hours=72)
LOOK_SLACK = timedelta(minutes=30)
"""How far our clock may be before the server's."""


def message_at(calls: SlackCalls, channel: str, timestamp: str) -> JsonObject:
    """One message of a channel itself. Errors: `NotFound`."""
    page = calls.read(
        "conversations.history", channel=channel, latest=timestamp, inclusive="true", limit=1
    )
    for message in objects_of(page.get("messages")):
        if message.get("ts") == timestamp:
            return message
    raise NotFound(PRODUCT, "the message is no longer in its channel")


def where_to_look(
    channel: str, thread: MessageRef | None, sent_at: datetime | None, now: datetime
) -> tuple[str, dict[str, str | int]]:
    """The method, and what it is asked with: the thread, or the channel since then."""
    if thread is not None:
        where = {"channel": channel_of(thread), "ts": timestamp_of(thread)}
        return "conversations.replies", {**where}
    since = now - LOOK_BACK if sent_at is None else sent_at - LOOK_SLACK
    return "conversations.history", {"channel": channel, "oldest": f"{since.timestamp():.6f}"}
