"""A Matrix room on a loopback socket: sends, reactions, edits, and a sync that waits for news."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition
from typing import Any

from tests.fake_product import Conversation, Reply, Request, json_reply, loopback_product

ROOM, ME = "!room:example.test", "@stockade:example.test"
ALICE, BOB = "@alice:example.test", "@bob:example.test"
YES, NO = "\u2705", "\u274c"
LONGEST_S = 20.0
"""How long a sync waits at most, on the real clock; a test ends it earlier."""


class Room:
    """Its events in order. `refuse`: what the next syncs are answered with."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.syncs: list[Request] = []
        self.refuse: list[Reply] = []
        self.base_url = ""
        self._news = Condition()
        self._is_over = False

    def react(self, sender: str, event_id: str, key: str) -> None:
        relation = {"rel_type": "m.annotation", "event_id": event_id, "key": key}
        self._add(sender, "m.reaction", {"m.relates_to": relation})

    def is_waited_at(self) -> bool:
        """Does somebody listen, or has done so?"""
        return any("since" in sync.query for sync in self.syncs)

    def end(self) -> None:
        """Let every sync that waits go."""
        with self._news:
            self._is_over = True
            self._news.notify_all()

    def answer(self, request: Request) -> Reply:
        path = request.path.removeprefix("/_matrix/client/")
        of_room = path.partition(f"rooms/{ROOM}/")[2]
        if path == "v3/account/whoami":
            return json_reply({"user_id": ME})
        if path == "v3/sync":
            return self._sync(request)
        if of_room.startswith("send/"):
            return json_reply({"event_id": self._sent(of_room.split("/"), request)})
        if of_room.startswith("state/m.room.member/"):
            return json_reply({"membership": "join"})
        if of_room.startswith("event/"):
            return json_reply(self._shown(of_room.split("/")[1]))
        if of_room.startswith("relations/"):
            return json_reply({"chunk": self._related(*of_room.split("/")[1:])})
        if of_room == "messages":
            return json_reply({"chunk": self.events[::-1]})
        return json_reply({"errcode": "M_UNRECOGNIZED", "error": path}, 404)

    def _add(self, sender: str, kind: str, content: dict[str, Any]) -> str:
        with self._news:
            event_id = f"$event{len(self.events)}"
            self.events.append(
                {
                    "type": kind,
                    "event_id": event_id,
                    "sender": sender,
                    "content": content,
                    "origin_server_ts": 1_893_456_000_000 + len(self.events),
                }
            )
            self._news.notify_all()
        return event_id

    def _sent(self, parts: list[str], request: Request) -> str:
        _, kind, transaction = parts
        for event in self.events:
            if event.get("transaction") == transaction:
                return str(event["event_id"])
        event_id = self._add(ME, kind, request.json)
        self.events[-1]["transaction"] = transaction
        return event_id

    def _shown(self, event_id: str) -> dict[str, Any]:
        event = next(one for one in self.events if one["event_id"] == event_id)
        edits = self._related(event_id, "m.replace", "m.room.message")
        return {**event, "unsigned": {"m.relations": {"m.replace": edits[-1]}}} if edits else event

    def _related(self, event_id: str, relation: str, kind: str) -> list[dict[str, Any]]:
        found = []
        for event in self.events:
            to = event["content"].get("m.relates_to", {})
            if (to.get("event_id"), to.get("rel_type"), event["type"]) == (
                event_id,
                relation,
                kind,
            ):
                found.append(event)
        return found

    def _sync(self, request: Request) -> Reply:
        self.syncs.append(request)
        if self.refuse:
            return self.refuse.pop(0)
        if "since" not in request.query:
            return json_reply({"next_batch": str(len(self.events))})
        since = int(request.query["since"])
        only = json.loads(request.query["filter"])["room"]["timeline"]
        with self._news:
            self._news.wait_for(lambda: self._is_over or self._seen(since, only), LONGEST_S)
            seen, now = self._seen(since, only), len(self.events)
        joined = {ROOM: {"timeline": {"events": seen, "limited": False}}} if seen else {}
        return json_reply({"next_batch": str(now), "rooms": {"join": joined}})

    def _seen(self, since: int, only: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            event
            for event in self.events[since:]
            if event["type"] in only["types"] and event["sender"] not in only["not_senders"]
        ]


@contextmanager
def running_room() -> Iterator[Room]:
    room = Room()
    with loopback_product(Conversation(room.answer)) as room.base_url:
        try:
            yield room
        finally:
            room.end()
