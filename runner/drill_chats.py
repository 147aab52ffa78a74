"""What people see and do in the chat of a drill: the first, or the one that stands in for it."""

from __future__ import annotations

from typing import Protocol

from connectors.chat.matrix_html import KEY
from connectors.chat.matrix_ids import EMOJI, choice_of
from connectors.emulators.fleet import Emulators
from connectors.emulators.matrix import BOT, ROOM, SERVER
from connectors.emulators.slack_workspace import BOT_USER, CHANNEL
from connectors.model import JsonObject

RESPONDERS = ("U0RESPONDA", "U0RESPONDB")
SECOND_RESPONDERS = (f"@responder-a:{SERVER}", f"@responder-b:{SERVER}")
REFUSAL = '{"ok": false, "error": "account_inactive"}'
"""What a first chat says whose token was revoked: it takes no card, and is never read again."""


class DrillChat(Protocol):
    """One chat of a drill; messages are shaped as Slack's."""

    us: str
    people: tuple[str, ...]

    def messages(self) -> list[JsonObject]: ...

    def react(self, person: str, message: str, emoji: str) -> None: ...


class FirstChat:
    """Slack, where everything works."""

    us = BOT_USER
    people: tuple[str, ...] = RESPONDERS

    def __init__(self, products: Emulators) -> None:
        self._slack = products.slack

    def messages(self) -> list[JsonObject]:
        return [one for one in self._slack.messages(CHANNEL) if one["user"] == BOT_USER]

    def react(self, person: str, message: str, emoji: str) -> None:
        self._slack.react(person, CHANNEL, message, emoji)


class SecondChat:
    """Matrix, while Slack refuses everything."""

    us = BOT
    people: tuple[str, ...] = SECOND_RESPONDERS

    def __init__(self, products: Emulators) -> None:
        self._matrix = products.matrix
        products.slack.misbehave(path="*", times=None, status=200, body=REFUSAL)

    def messages(self) -> list[JsonObject]:
        return [_as_slack(one) for one in self._matrix.messages() if one["sender"] == BOT]

    def react(self, person: str, message: str, emoji: str) -> None:
        self._matrix.react(person, message, EMOJI[emoji])


def _as_slack(message: JsonObject) -> JsonObject:
    shown = message["content"]
    reactions = [
        {"name": choice_of(key) or key, "users": users}
        for key, users in message["reactions"].items()
    ]
    return {
        "ts": message["event_id"],
        "thread_ts": message["thread"],
        # What Slack calls a card's text: the line that a phone shows.
        "text": str(shown.get("body", "")).partition("\n")[0],
        "metadata": {"event_payload": {"key": shown.get(KEY)}},
        "reactions": reactions,
    }


SECOND_CONNECTOR = """\
  matrix:
    type: matrix
    base_url: {url}
    credentials: {{token: {{file: secrets/matrix.token}}}}
    options: {{room: "{room}"}}
    settle_s: {settle_s}
roles: {{"""


def with_second_chat(config: str, products: Emulators, settle_s: float) -> str:
    """The configuration's text, with the second chat and people's accounts there."""
    url = products.matrix.base_url
    connector = SECOND_CONNECTOR.format(url=url, room=ROOM, settle_s=settle_s)
    for first, second in zip(RESPONDERS, SECOND_RESPONDERS, strict=True):
        config = config.replace(f"slack: {first}", f'slack: {first}, matrix: "{second}"')
    return config.replace("roles: {", connector).replace(
        "chat: slack,", "chat: slack, chat_fallback: matrix,"
    )
