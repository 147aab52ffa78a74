"""What stands in for chat and tickets while a playbook is rehearsed: both in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct

from connectors.document import Document
from connectors.errors import NotFound, Rejected
from connectors.model import (
    Account,
    Answer,
    Card,
    CardReading,
    ChatPlace,
    CheckResult,
    Choice,
    Clock,
    MessageRef,
    ThreadReply,
    TicketDraft,
    TicketRef,
    TicketStatus,
)
from runner.stand_ins import Deed

ANSWER_AFTER = timedelta(seconds=60)
"""How long people take to answer a card in a rehearsal."""


class ChatMemory(Struct, frozen=True):
    """Cards with the time at which each was posted, and what people answered, by key."""

    posted: dict[str, tuple[datetime, Card]] = {}
    answers: dict[str, tuple[Answer, ...]] = {}


class StandInChat:
    """A chat in memory. `told` says what a card asks about, by its key; `answer` what people say
    to it, a minute after it was posted."""

    name = "rehearsal"

    def __init__(
        self,
        clock: Clock,
        deeds: list[Deed],
        told: Callable[[str], str],
        answer: Callable[[str], tuple[Answer, ...]],
    ) -> None:
        self._clock = clock
        self._deeds = deeds
        self._told = told
        self._answer = answer
        self._posted: dict[str, tuple[datetime, Card]] = {}
        self._answers: dict[str, tuple[Answer, ...]] = {}

    def memory(self) -> ChatMemory:
        return ChatMemory(self._posted, self._answers)

    def recall(self, memory: ChatMemory) -> None:
        self._posted, self._answers = dict(memory.posted), dict(memory.answers)

    def next_answer_at(self, now: datetime) -> datetime | None:
        """When people next answer, after `now`."""
        times = (at + ANSWER_AFTER for at, card in self._posted.values() if not card.locked)
        return min((at for at in times if at > now), default=None)

    def card_sha256(self, card: Card) -> str:
        return hashlib.sha256(msgspec.json.encode(card)).hexdigest()

    def is_card(self, card: Card, sha256: str) -> bool:
        return self.card_sha256(card) == sha256

    def can_mention(self, account: str) -> bool:
        return True

    def post_card(self, card: Card) -> MessageRef:
        self._posted[card.key] = (self._clock.now(), card)
        self._deeds.append(Deed(call="chat.post_card", target=self._told(card.key)))
        return self._ref(card)

    def find_message(
        self, key: str, thread: MessageRef | None = None, *, sent_at: datetime | None = None
    ) -> MessageRef | None:
        posted = self._posted.get(key)
        return None if posted is None else self._ref(posted[1])

    def seed_choices(self, ref: MessageRef, choices: Sequence[Choice]) -> None:
        """A reaction of our own is no answer."""

    def read_card(self, ref: MessageRef) -> CardReading:
        posted = self._posted.get(ref.id)
        if posted is None:
            raise NotFound("rehearsal", "there is no such card")
        at, card = posted
        answers: tuple[Answer, ...] = ()
        if self._clock.now() >= at + ANSWER_AFTER:
            if ref.id not in self._answers:
                self._answers[ref.id] = self._answer(ref.id)
            answers = self._answers[ref.id]
        return CardReading(sha256=self.card_sha256(card), answers=answers)

    def update_card(self, ref: MessageRef, card: Card) -> MessageRef:
        self._posted[ref.id] = (self._posted[ref.id][0], card)
        return self._ref(card)

    def post_reply(
        self, thread: MessageRef, key: str, text: str, mentions: Sequence[str] = ()
    ) -> MessageRef:
        return MessageRef(channel=self.name, id=key, sha256="")

    def post_message(self, key: str, body: Document) -> MessageRef:
        from runner.terminal import text_of

        self._deeds.append(Deed(call="chat.post_message", target=" ".join(text_of(body).split())))
        return MessageRef(channel=self.name, id=key, sha256="")

    def read_replies(self, thread: MessageRef) -> Sequence[ThreadReply]:
        return ()

    def read_place(self) -> ChatPlace:
        return ChatPlace(workspace=self.name, channel=self.name, account=self.name)

    def read_group(self, group: str) -> Sequence[str]:
        raise Rejected("rehearsal", f"nobody is known to be in the group {group}")

    def read_account(self, account: str) -> Account:
        return Account(id=account, is_active=True, is_full_member=True, is_bot=False)

    def check(self) -> Sequence[CheckResult]:
        return ()

    def _ref(self, card: Card) -> MessageRef:
        return MessageRef(channel=self.name, id=card.key, sha256=self.card_sha256(card))


class StandInTickets:
    """Tickets in memory."""

    name = "rehearsal"

    def __init__(self, deeds: list[Deed]) -> None:
        self._deeds = deeds
        self._found: dict[str, TicketRef] = {}

    def memory(self) -> dict[str, TicketRef]:
        return self._found

    def recall(self, memory: dict[str, TicketRef]) -> None:
        self._found = dict(memory)

    def create_ticket(self, draft: TicketDraft) -> TicketRef:
        key = f"REHEARSAL-{len(self._found) + 1}"
        ref = TicketRef(id=key, key=key, url="")
        self._found[draft.correlation] = ref
        self._deeds.append(Deed(call="tickets.create_ticket", target=draft.title))
        return ref

    def find_ticket(self, correlation: str) -> TicketRef | None:
        return self._found.get(correlation)

    def comment_ticket(self, ticket: TicketRef, key: str, body: Document) -> None:
        self._deeds.append(Deed(call="tickets.comment_ticket", target=ticket.key))

    def find_comment(self, ticket: TicketRef, key: str) -> bool:
        return False

    def attach_file(self, ticket: TicketRef, name: str, content: bytes) -> None:
        self._deeds.append(Deed(call="tickets.attach_file", target=name))

    def find_attachment(self, ticket: TicketRef, name: str) -> bool:
        return False

    def read_ticket(self, ticket: TicketRef) -> TicketStatus:
        return TicketStatus(name="open", is_closed=False)

    def check(self) -> Sequence[CheckResult]:
        return ()
