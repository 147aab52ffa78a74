"""The workspace behind the Slack stand-in: channels and their messages, and the people in them."""

from __future__ import annotations

from typing import ClassVar

from connectors.emulators import scenario
from connectors.emulators.emulator import Emulator, Keys
from connectors.emulators.slack_messages import TEAM, add_reaction, buttons_of, take_reaction
from connectors.emulators.slack_socket import SocketMode, pressed
from connectors.emulators.store import StateFile
from connectors.model import Clock, JsonObject

BOT_USER = "U0STOCKADE"
BOT_ID = "B0STOCKADE"
CHANNEL = "C0RESPONSE"
OTHER_CHANNEL = "C0NOTOURS"
"""A channel that our app is not in."""
USER_GROUP = "S0RESPOND"
SCOPES = (
    "chat:write,reactions:read,reactions:write,users:read,users:read.email,usergroups:read,"
    "channels:history,groups:history,channels:read"
)


ACKNOWLEDGED_S = 20.0
"""How long a press waits to be acknowledged. Slack's three seconds would fail on a busy machine."""


class Workspace(Emulator):
    """What happened in the channels, kept over restarts; its public methods play the people."""

    COMMANDS: ClassVar[frozenset[str]] = frozenset({"messages"})
    HUMAN: ClassVar[frozenset[str]] = frozenset(
        {"react", "unreact", "press", "say", "edit", "delete"}
    )

    def __init__(
        self, clock: Clock, *, keys: Keys | None = None, store: StateFile | None = None
    ) -> None:
        super().__init__(clock, keys=keys, store=store)
        self.scopes, self.app_scopes = SCOPES, "connections:write"
        self.socket_mode = SocketMode()
        self.acknowledged_s = ACKNOWLEDGED_S
        self.whispers: list[tuple[str, str]] = []
        """What only one person saw: account and text."""
        self.people = {person["id"]: person for person in scenario.people()}
        self.people[BOT_USER] = {"id": BOT_USER, "name": "stockade", "is_bot": True}
        self.groups = {USER_GROUP: ["U0RESPONDA", "U0RESPONDB"]}
        self.disabled_groups: set[str] = set()
        self._channels: dict[str, dict[str, JsonObject]] = {CHANNEL: {}, OTHER_CHANNEL: {}}
        self._last_number = 0

    def snapshot(self) -> JsonObject:
        return {"channels": self._channels, "last_number": self._last_number}

    def restore(self, world: JsonObject) -> None:
        self._channels = world["channels"]
        self._last_number = world["last_number"]

    # -- the people --------------------------------------------------------------------------------

    def react(self, user: str, channel: str, ts: str, name: str) -> None:
        """A person puts a reaction under a message. Repeat: harmless."""
        with self.lock:
            message = self._found(channel, ts)
            add_reaction(message, name, user)
            self.save()

    def unreact(self, user: str, channel: str, ts: str, name: str) -> None:
        """A person takes a reaction back; nothing is left of it."""
        with self.lock:
            take_reaction(self._found(channel, ts), name, user)
            self.save()

    def press(self, user: str, channel: str, ts: str, action_id: str) -> bool:
        """A person presses a button; False when nobody acknowledged it, which they see as a
        warning."""
        return self.deliver(self.pressed(user, channel, ts, action_id))

    def pressed(self, user: str, channel: str, ts: str, action_id: str) -> JsonObject:
        """What Slack sends of a press. Errors: `KeyError` for a button that is not there."""
        with self.lock:
            message = self._found(channel, ts)
            who = {"id": user, "team_id": self.people.get(user, {}).get("team_id", TEAM)}
            for button in buttons_of(message):
                if button["action_id"] == action_id:
                    return pressed(who, channel, dict(message), button)
        raise KeyError(action_id)

    def deliver(self, envelope: JsonObject) -> bool:
        """Send an envelope to whoever is connected; True when it was acknowledged."""
        is_sent = self.socket_mode.send(envelope)
        return is_sent and self.socket_mode.is_acknowledged(
            envelope["envelope_id"], self.acknowledged_s
        )

    def stop(self) -> None:
        self.socket_mode.stop()
        super().stop()

    def say(
        self,
        user: str,
        channel: str,
        text: str,
        thread_ts: str | None = None,
        more: JsonObject | None = None,
    ) -> str:
        """A person writes; gives the message's `ts`. `more`: what else Slack would say of it."""
        with self.lock:
            message = self._new(channel, user, text, thread_ts)
            message.update(more or {})
            self.save()
            return str(message["ts"])

    def edit(self, channel: str, ts: str, text: str, user: str = "U0RESPONDA") -> None:
        """The shown text becomes another, as by somebody who may edit it."""
        with self.lock:
            message = self._found(channel, ts)
            message.update(text=text, edited={"user": user, "ts": ts})
            self.save()

    def delete(self, channel: str, ts: str) -> None:
        with self.lock:
            self._found(channel, ts)
            del self._channels[channel][ts]
            self.save()

    def messages(self, channel: str = CHANNEL) -> list[JsonObject]:
        """Every message of a channel, threads included, oldest first."""
        with self.lock:
            return [dict(message) for message in self._channels[channel].values()]

    def _found(self, channel: str, ts: str) -> JsonObject:
        """Errors: `KeyError` for a channel or message that is not there."""
        return self._channels[channel][ts]

    def _new(self, channel: str, user: str, text: str, thread_ts: str | None) -> JsonObject:
        self._last_number += 1
        ts = f"{int(self.clock.now().timestamp())}.{self._last_number:06d}"
        message: JsonObject = {
            "type": "message",
            "user": user,
            "text": text,
            "ts": ts,
            "team": TEAM,
        }
        if thread_ts:
            message["thread_ts"] = thread_ts
        self._channels[channel][ts] = message
        return message
