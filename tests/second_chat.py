"""A world with a fall-back chat: Slack first, and a Matrix room that stands in for it.

with two_chats(tmp_path) as world:
    question = asked(world)
    slack_is_down(world)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from connectors.chat.matrix_ids import EMOJI
from connectors.emulators.matrix import MEMBERS
from connectors.model import JsonObject
from runner.journal.records import Approval
from tests.world import World, running_world
from tests.world_settings import merged

_, ADA, BO = MEMBERS
AFTER_S = 120
"""How long Slack must have been out of reach, as `approvals.fallback_after_s` says by default."""
CHANGES: dict[str, Any] = {
    "people": {
        "responder-a": {"matrix": ADA, "os_user": "ada"},
        "responder-b": {"matrix": BO, "os_user": "bo"},
    },
    "roles": {"chat_fallback": "matrix"},
    "approvals": {"cli": True},
}


@contextmanager
def two_chats(folder: Path, **approvals: Any) -> Iterator[World]:
    """The keywords are keys of `approvals`."""
    changes = merged(CHANGES, {"approvals": approvals})
    with running_world(folder, changes, second_chat=True) as world:
        yield world


def slack_is_down(world: World, **how: Any) -> None:
    world.slack.misbehave(path="*", times=None, **(how or {"status": 500, "body": "{}"}))


def matrix_is_down(world: World) -> None:
    world.emulators.matrix.misbehave(path="*", times=None, status=500, body="{}")


def stand_ins(world: World) -> list[JsonObject]:
    """Every card in the fall-back chat."""
    return [one for one in world.emulators.matrix.messages() if one["thread"] is None]


def stand_in(world: World) -> JsonObject:
    """The only card in the fall-back chat."""
    (found,) = stand_ins(world)
    return found


def text_in_matrix(world: World) -> str:
    return str(stand_in(world)["content"]["body"])


def thread_in_matrix(world: World) -> list[str]:
    """What stands under the card there, oldest first."""
    return [
        str(one["content"]["body"])
        for one in world.emulators.matrix.messages()
        if one["thread"] is not None
    ]


def answer_in_matrix(world: World, emoji: str, user: str = ADA) -> None:
    world.emulators.matrix.react(user, stand_in(world)["event_id"], EMOJI[emoji])


def asked(world: World) -> Approval:
    """A question whose card stands in Slack."""
    world.arm()
    world.hit()
    world.tick()
    return world.question()


def asked_in_matrix(world: World) -> Approval:
    """A question whose card stands in Matrix only, because Slack is down."""
    world.arm()
    slack_is_down(world)
    world.hit()
    world.ticks(4, 60)
    return world.question()
