"""What is posted and told about one question: each call an effect of its own, done once.

It decides nothing; `runner/cards.py` says what is to be sent.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from typing import Any

from connectors.base import Chat, action_of
from connectors.errors import ConnectorError
from connectors.model import Account
from runner.config import Mode
from runner.context import Call
from runner.effects import Effects
from runner.journal.records import Approval
from runner.roles import Roles
from runner.wording import marked

log = logging.getLogger(__name__)


class CardCalls:
    """Sends what belongs to a question's card and thread."""

    def __init__(self, roles: Roles, effects: Effects) -> None:
        self._roles = roles
        self._effects = effects

    def account(self, account: str) -> Account | None:
        """Who that is, as chat says now; None when it cannot be looked up."""
        try:
            return self._roles.chat.read_account(account)
        except ConnectorError as fault:
            log.warning("account=%s cannot be looked up: %s", account, fault)
            return None

    def reply(
        self, approval: Approval, key: str, text: str, mentions: tuple[str, ...] = ()
    ) -> None:
        """Say something in the card's thread, once for each key."""
        message = approval.message
        if message is None:
            return
        chat = self._roles.chat
        said = marked(text, approval.mode)
        marker = hashlib.sha256(f"{approval.id}:{key}".encode()).hexdigest()[:24]
        self.perform(
            approval,
            key,
            "post_reply",
            lambda: chat.post_reply(message, marker, said, mentions),
            look=lambda: chat.find_message(marker, message),
        )

    def perform(
        self,
        approval: Approval,
        key: str,
        verb: str,
        send: Callable[[], Any],
        look: Callable[[], Any] | None = None,
    ) -> Any:
        """Perform one role method of chat, once for each key. Errors: as `Effects.perform`."""
        action = action_of(getattr(Chat, verb))
        call = Call(
            name=verb,
            send=lambda _elapsed_s: send(),
            action=action,
            look=look,
            settle_s=self._roles.settle_s("chat", action),
            again_s=86400.0,
        )
        # A card that was opened must be served to its end, whatever the mode is by then.
        return self._effects.perform(scope_of(approval), key, call, Mode.ACT)


def scope_of(approval: Approval) -> str:
    """Under which name the journal keeps a card's calls."""
    return f"approval:{approval.id}"
