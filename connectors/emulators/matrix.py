"""A Matrix stand-in: one homeserver, one unencrypted room, its messages, reactions and members.

Events are kept as they came and never changed; an edit or a reaction is an event of its own, as
with the real one. The human side (`react`, `unreact`, `erase`) plays the people, in process or over
`/_human/<name>`. Not served: sync, encryption, federation, invitations.
Source: https://spec.matrix.org/v1.16/client-server-api/, 2026-11-25.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, ClassVar
from urllib.parse import unquote

from connectors.emulators.emulator import Emulator
from connectors.emulators.wire import Answer, Call, json_answer
from connectors.model import JsonObject

SERVER = "example.test"
ROOM = f"!emulated:{SERVER}"
BOT = f"@stockade:{SERVER}"
MEMBERS = (BOT, f"@responder-a:{SERVER}", f"@responder-b:{SERVER}")
MESSAGE, REACTION = "m.room.message", "m.reaction"
PAGE = 100


class MatrixError(Exception):
    """The server says no: status and `errcode`."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


class Matrix(Emulator):
    """One homeserver with our account in one room."""

    PRODUCT: ClassVar[str] = "matrix"
    CREDENTIALS: ClassVar[dict[str, str]] = {"token": "syt_"}
    HUMAN: ClassVar[frozenset[str]] = frozenset({"react", "unreact", "erase", "say"})

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.members: dict[str, str] = dict.fromkeys(MEMBERS, "join")
        self._events: list[JsonObject] = []
        self._sent: dict[str, str] = {}
        """Transaction → event: a repeat is the same request."""

    def snapshot(self) -> JsonObject:
        return {"members": self.members, "events": self._events, "sent": self._sent}

    def restore(self, world: JsonObject) -> None:
        self.members, self._events = world["members"], world["events"]
        self._sent = world["sent"]

    # -- people ------------------------------------------------------------------------------------

    def react(self, user: str, event: str, key: str) -> None:
        """Put an emoji under a message. Repeat: it stands there once."""
        with self.lock:
            if self._reaction(user, event, key) is None:
                self._add(user, REACTION, _annotation(event, key))
            self.save()

    def unreact(self, user: str, event: str, key: str) -> None:
        with self.lock:
            found = self._reaction(user, event, key)
            if found is not None:
                found["content"] = {}
                found["unsigned"] = {"redacted_because": {"sender": user}}
            self.save()

    def say(self, user: str, thread: str, text: str) -> str:
        """Write in a message's thread, as clients do; gives the event's id."""
        relation = {
            "rel_type": "m.thread",
            "event_id": thread,
            "is_falling_back": True,
            "m.in_reply_to": {"event_id": thread},
        }
        with self.lock:
            content = {"msgtype": "m.text", "body": text, "m.relates_to": relation}
            event = self._add(user, MESSAGE, content)
            self.save()
            return str(event["event_id"])

    def erase(self, event: str) -> None:
        """Delete a message, as a moderator does."""
        with self.lock:
            found = self._event(event)
            found["content"] = {}
            found["unsigned"] = {"redacted_because": {"sender": "@moderator:example.test"}}
            self.save()

    def messages(self) -> list[JsonObject]:
        """Every message of our account, oldest first: `event_id`, `content` as it is shown now,
        `thread` (None outside of one), `reactions` (key → users)."""
        with self.lock:
            return [
                self._shown(event)
                for event in self._events
                if event["type"] == MESSAGE and _relation(event).get("rel_type") != "m.replace"
            ]

    def _shown(self, event: JsonObject) -> JsonObject:
        edit = self._edit_of(event["event_id"])
        content = edit["content"]["m.new_content"] if edit else event["content"]
        reactions: dict[str, list[str]] = {}
        for one in self._related(event["event_id"], "m.annotation", REACTION):
            reactions.setdefault(_relation(one)["key"], []).append(one["sender"])
        is_reply = _relation(event).get("rel_type") == "m.thread"
        return {
            "event_id": event["event_id"],
            "sender": event["sender"],
            "content": content,
            "thread": _relation(event)["event_id"] if is_reply else None,
            "reactions": reactions,
        }

    # -- serving -----------------------------------------------------------------------------------

    def answer(self, call: Call) -> Answer:
        try:
            if call.header("authorization") != f"Bearer {self.credentials['token']}":
                raise MatrixError(401, "M_UNKNOWN_TOKEN")
            parts = [unquote(part) for part in call.path.split("/")[3:]]
            return self._route(call, parts)
        except MatrixError as no:
            return json_answer({"errcode": no.code, "error": no.code.lower()}, no.status)

    def _route(self, call: Call, parts: list[str]) -> Answer:
        match (call.method, *parts):
            case ("GET", "v3", "account", "whoami"):
                return json_answer({"user_id": BOT})
            case (_, _, "rooms", room, *_) if room != ROOM:
                raise MatrixError(403, "M_FORBIDDEN")
            case ("PUT", "v3", "rooms", _, "send", kind, transaction):
                return self._send(kind, transaction, call.json())
            case ("GET", "v3", "rooms", _, "event", event):
                return json_answer(self._with_edit(self._event(event)))
            case ("GET", "v1", "rooms", _, "relations", event, relation, kind):
                found = [self._with_edit(one) for one in self._related(event, relation, kind)]
                return _page(call, found, "next_batch")
            case ("GET", "v3", "rooms", _, "messages"):
                return _page(call, self._wanted(call), "end")
            case ("GET", "v3", "rooms", _, "state", kind, *rest):
                return json_answer(self._state(kind, "".join(rest)))
        raise MatrixError(404, "M_UNRECOGNIZED")

    def _send(self, kind: str, transaction: str, content: JsonObject) -> Answer:
        if transaction in self._sent:
            return json_answer({"event_id": self._sent[transaction]})
        relation = content.get("m.relates_to", {})
        if kind == REACTION and self._reaction(BOT, relation["event_id"], relation["key"]):
            raise MatrixError(400, "M_DUPLICATE_ANNOTATION")
        event = self._add(BOT, kind, content)
        self._sent[transaction] = event["event_id"]
        return json_answer({"event_id": event["event_id"]}, changed=True)

    def _wanted(self, call: Call) -> list[JsonObject]:
        wanted = json.loads(call.query_value("filter", "{}"))
        return [
            self._with_edit(event)
            for event in reversed(self._events)
            if event["type"] in wanted.get("types", [event["type"]])
            and event["sender"] in wanted.get("senders", [event["sender"]])
        ]

    def _state(self, kind: str, key: str) -> JsonObject:
        if kind == "m.room.member" and key in self.members:
            return {"membership": self.members[key]}
        if kind == "m.room.power_levels":
            return {"users": {BOT: 50}, "events_default": 0}
        if kind == "m.room.create":
            return {"sender": BOT, "content": {"room_version": "11"}}
        raise MatrixError(404, "M_NOT_FOUND")

    # -- events ------------------------------------------------------------------------------------

    def _add(self, sender: str, kind: str, content: JsonObject) -> JsonObject:
        event = {
            "event_id": f"$event{len(self._events) + 1}",
            "type": kind,
            "sender": sender,
            "origin_server_ts": int(self.clock.now().timestamp() * 1000),
            "content": content,
        }
        self._events.append(event)
        return event

    def _event(self, name: str) -> JsonObject:
        for event in self._events:
            if event["event_id"] == name:
                return event
        raise MatrixError(404, "M_NOT_FOUND")

    def _related(self, event: str, relation: str, kind: str) -> Iterator[JsonObject]:
        """Newest first; what was redacted has lost its relation."""
        for one in reversed(self._events):
            said = _relation(one)
            if (one["type"], said.get("rel_type"), said.get("event_id")) == (kind, relation, event):
                yield one

    def _reaction(self, user: str, event: str, key: str) -> JsonObject | None:
        given = self._related(event, "m.annotation", REACTION)
        mine = [one for one in given if one["sender"] == user and _relation(one)["key"] == key]
        return mine[0] if mine else None

    def _edit_of(self, event: str) -> JsonObject | None:
        return next(self._related(event, "m.replace", MESSAGE), None)

    def _with_edit(self, event: JsonObject) -> JsonObject:
        edit = self._edit_of(event["event_id"])
        if edit is None:
            return event
        return {**event, "unsigned": {"m.relations": {"m.replace": edit}}}


def _relation(event: JsonObject) -> JsonObject:
    found: JsonObject = event["content"].get("m.relates_to", {})
    return found


def _annotation(event: str, key: str) -> JsonObject:
    return {"m.relates_to": {"rel_type": "m.annotation", "event_id": event, "key": key}}


def _page(call: Call, found: list[JsonObject], onward: str) -> Answer:
    start = int(call.query_value("from", "0"))
    limit = int(call.query_value("limit", str(PAGE)))
    page: JsonObject = {"chunk": found[start : start + limit]}
    if start + limit < len(found):
        page[onward] = str(start + limit)
    return json_answer(page)
