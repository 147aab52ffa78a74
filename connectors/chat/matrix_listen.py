"""What happens in a Matrix room, told as it happens: a long poll that names the messages concerned.

It reads no answers and judges none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from connectors.chat.matrix_calls import PRODUCT, MatrixCalls, object_of, text_of
from connectors.chat.matrix_events import MESSAGE, REACTION
from connectors.errors import Unavailable
from connectors.listening import Ear
from connectors.model import Clock, JsonObject

WAIT_S = 30
"""How long the server keeps a poll when nothing happens: what the specification's examples use."""
MOST_EVENTS = 50
PAUSE_S = 1.0
"""After a poll that was answered at once with nothing, as no server should."""


def listen(calls: MatrixCalls, room: str, me: str, ear: Ear, clock: Clock) -> None:
    """Poll until the ear is stopped. Where it was is kept for as long as it listens; whoever
    listens anew begins with what happens from then on. Errors: as `MatrixCalls.read`.

    Source: https://spec.matrix.org/v1.16/client-server-api/#syncing, 2026-11-25.
    """
    only = _filter(room, me)
    # The first answer says where we are, at once; what it shows is old.
    since = _next(_sync(calls, only, ""))
    while not ear.is_stopped():
        ear.listens()
        began = clock.monotonic()
        answer = _sync(calls, only, since)
        since = _next(answer)
        concerned = list(_concerned(answer, room))
        for message_id in concerned:
            ear.stirs(message_id)
        if not concerned and clock.monotonic() - began < PAUSE_S:
            clock.sleep(PAUSE_S)


def _sync(calls: MatrixCalls, only: str, since: str) -> JsonObject:
    where = {"since": since} if since else {}
    # Our polling is no sign that somebody is there.
    return calls.await_events(WAIT_S if since else 0, filter=only, set_presence="offline", **where)


def _filter(room: str, me: str) -> str:
    """One room's messages and reactions without our own, and nothing else that a sync gives."""
    nothing: JsonObject = {"types": []}
    timeline = {"types": [MESSAGE, REACTION], "not_senders": [me], "limit": MOST_EVENTS}
    of_room = {
        "rooms": [room],
        "timeline": timeline,
        "state": nothing,
        "ephemeral": nothing,
        "account_data": nothing,
    }
    return json.dumps({"room": of_room, "presence": nothing, "account_data": nothing})


def _next(answer: JsonObject) -> str:
    following = text_of(answer.get("next_batch"))
    if not following:
        raise Unavailable(PRODUCT, "gave a sync without saying where it ends")
    return following


def _concerned(answer: JsonObject, room: str) -> Iterator[str]:
    """The messages that something was said or shown about. What a crowd drove out of the list is
    left out: the next look at the cards sees it."""
    rooms = object_of(object_of(answer.get("rooms")).get("join"))
    events = object_of(object_of(rooms.get(room)).get("timeline")).get("events")
    for event in map(object_of, events if isinstance(events, list) else []):
        relation = object_of(object_of(event.get("content")).get("m.relates_to"))
        if message_id := text_of(relation.get("event_id")):
            yield message_id
