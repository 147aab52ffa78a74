"""People who type in a world's Slack: in a card's thread, and under `check --send`'s message."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import count
from typing import Any

from connectors.emulators.slack_workspace import CHANNEL
from connectors.model import CheckResult
from runner.journal.records import Approval
from runner.reply_check import ReplyCheck
from tests.world import World
from tests.world_settings import RESPONDER_A

WORD = re.compile(r"type ([A-Z]+) in the thread")
_places = count()


def letters(alphabet: str) -> str:
    """Another one each time, and no chance."""
    return alphabet[next(_places) * 7 % len(alphabet)]


def check_replies(
    world: World, then: Callable[[str, str], Any] | None = None, wait_s: float = 30
) -> CheckResult:
    """`check --send` in a world; `then` is what people do once they are told: it gets the word and
    the test message's `ts`."""

    def tell(text: str) -> None:
        if then is not None and (told := WORD.search(text)) is not None:
            then(told[1], world.cards()[-1]["ts"])

    (result,) = ReplyCheck(world.service, letters, tell, wait_s).results()
    return result


def types(world: World, user: str = RESPONDER_A, **more: Any) -> Callable[[str, str], str]:
    """A person who types the word that is shown, in lower case."""
    return lambda word, ts: world.slack.say(user, CHANNEL, word.lower(), ts, more or None)


def prove(world: World) -> None:
    assert check_replies(world, types(world)).ok


def say(world: World, approval: Approval, text: str, user: str = RESPONDER_A, **more: Any) -> str:
    """A person types in a card's thread; `CODE` stands for the card's code."""
    written = text.replace("CODE", approval.code)
    return world.slack.say(user, CHANNEL, written, world.message_id(approval), more or None)
