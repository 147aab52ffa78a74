"""What is posted and told about one question in one chat: each call an effect of its own, done
once.

It decides nothing; `runner/cards.py` says what is to be sent. There is one of these for the first
chat, and one for the fall-back chat where one is configured.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, cast

import msgspec

from connectors.base import Chat, action_of
from connectors.errors import ConnectorError, NotFound, Rejected
from connectors.model import Account, Card, CardReading, MessageRef
from runner.config import FALLBACK, Config, Mode, Person
from runner.context import Call
from runner.effects import Effects
from runner.journal.records import Approval, SecondCard
from runner.roles import Roles
from runner.wording import marked

log = logging.getLogger(__name__)


class CardCalls:
    """Sends what belongs to a question's card and thread in the chat of one role."""

    def __init__(self, roles: Roles, effects: Effects, config: Config, role: str = "chat") -> None:
        self._roles = roles
        self._effects = effects
        self._role = role
        self._people = config.people
        self.name = config.roles.get(role, role)
        """What the configuration calls the chat."""
        self.is_second = role == FALLBACK

    @property
    def chat(self) -> Chat:
        """Errors: `Rejected` where no chat is bound."""
        return cast(Chat, self._roles.connector(self._role))

    # -- what the journal holds of this chat -------------------------------------------------------

    def message_of(self, approval: Approval) -> MessageRef | None:
        """Where the card stands; None as long as it does not."""
        if not self.is_second:
            return approval.message
        return None if approval.second is None else approval.second.message

    def card_of(self, approval: Approval) -> Card | None:
        """What it was to show when it was last sent."""
        if not self.is_second:
            return approval.card
        return None if approval.second is None else approval.second.card

    def with_card(self, approval: Approval, card: Card, first: str) -> Approval:
        """The question, with the card that is about to be sent. `first`: the first chat's name."""
        if not self.is_second:
            return msgspec.structs.replace(approval, card=card, chat=self.name)
        since = approval.unread.get(first)
        second = SecondCard(name=self.name, first=first, since=since, card=card)
        return msgspec.structs.replace(approval, second=second)

    def elsewhere(self, approval: Approval) -> str | None:
        """The connector that has the question's card, where this role names another one by now.
        What is known of that card means nothing here, and would be sent to a stranger."""
        if not self.is_second:
            sent_to = approval.chat
        else:
            sent_to = None if approval.second is None else approval.second.name
        return None if sent_to == self.name else sent_to

    def with_typing(self, approval: Approval, is_typing: bool) -> Approval:
        """The question, with whether its card here says how to answer in words."""
        others = tuple(name for name in approval.takes_replies if name != self.name)
        names = (*others, self.name) if is_typing else others
        return msgspec.structs.replace(approval, takes_replies=names)

    def with_message(self, approval: Approval, message: MessageRef) -> Approval:
        """The question, with its card posted."""
        if approval.second is None or not self.is_second:
            return msgspec.structs.replace(approval, message=message)
        second = msgspec.structs.replace(approval.second, message=message)
        return msgspec.structs.replace(approval, second=second)

    def key(self, name: str) -> str:
        """Under which key the journal keeps a call."""
        return f"second.{name}" if self.is_second else name

    def read(self, approval: Approval) -> CardReading | None:
        """What the card shows; None when somebody deleted it, or it was never posted. Errors: as
        `read_card`."""
        message = self.message_of(approval)
        if message is None:
            return None
        try:
            return self.chat.read_card(message)
        except NotFound:
            return None

    # -- people ------------------------------------------------------------------------------------

    def account_of(self, person: Person) -> str | None:
        return person.fallback_account if self.is_second else person.account

    def accounts(self, names: Sequence[str]) -> tuple[str, ...]:
        """The accounts of these people; who has none here cannot be called here."""
        found = [self.account_of(self._people[name]) for name in names]
        return tuple(account for account in found if account is not None)

    def account(self, account: str) -> Account | None:
        """Who that is, as chat says now; None when it cannot be looked up."""
        try:
            return self.chat.read_account(account)
        except ConnectorError as fault:
            log.warning("account=%s cannot be looked up: %s", account, fault)
            return None

    # -- sending -----------------------------------------------------------------------------------

    def post(
        self, approval: Approval, build: Callable[[], Card], look: Callable[[datetime], Any]
    ) -> Any:
        """Post the card. Errors: as `Effects.perform`."""
        chat = self.chat
        return self.perform(
            approval, "post", "post_card", lambda: chat.post_card(build()), look=look
        )

    def settle_post(self, approval: Approval, look: Callable[[datetime], Any]) -> Any:
        """What became of a posting that was under way; nothing is posted any more. Errors: as
        `Effects.perform`, `StepFailed` where no card stands."""

        def never() -> None:
            raise Rejected(self.name, "the question was decided before its card was posted")

        return self.perform(approval, "post", "post_card", never, look=look)

    def seed(self, approval: Approval, message: MessageRef) -> None:
        """Put the choices under the card. Errors: as `Effects.perform`."""
        chat = self.chat
        choices = tuple(asked.choice for asked in approval.choices)
        self.perform(approval, "seed", "seed_choices", lambda: chat.seed_choices(message, choices))

    def lock(self, approval: Approval, message: MessageRef, locked: Card) -> None:
        """Show the card as it stands once it is decided. Errors: as `Effects.perform`."""
        chat = self.chat
        self.perform(approval, "lock", "update_card", lambda: chat.update_card(message, locked))

    def reply(
        self, approval: Approval, key: str, text: str, mentions: tuple[str, ...] = ()
    ) -> None:
        """Say something in the card's thread, once for each key."""
        message = self.message_of(approval)
        if message is None:
            return
        chat = self.chat
        said = marked(text, approval.mode)
        named = f"{approval.id}:{self.key(key)}"
        marker = hashlib.sha256(named.encode()).hexdigest()[:24]
        self.perform(
            approval,
            key,
            "post_reply",
            lambda: chat.post_reply(message, marker, said, mentions),
            look=lambda at: chat.find_message(marker, message, sent_at=at),
        )

    def perform(
        self,
        approval: Approval,
        key: str,
        verb: str,
        send: Callable[[], Any],
        look: Callable[[datetime], Any] | None = None,
    ) -> Any:
        """Perform one role method of chat, once for each key. Errors: as `Effects.perform`."""
        action = action_of(getattr(Chat, verb))
        call = Call(
            name=verb,
            send=lambda _elapsed_s: send(),
            action=action,
            look=look,
            settle_s=self._roles.settle_s(self._role, action),
            again_s=86400.0,
        )
        # A card that was opened must be served to its end, whatever the mode is by then.
        return self._effects.perform(scope_of(approval), self.key(key), call, Mode.ACT)


def scope_of(approval: Approval) -> str:
    """Under which name the journal keeps a card's calls."""
    return f"approval:{approval.id}"
