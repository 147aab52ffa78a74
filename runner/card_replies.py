"""What people typed in a card's thread: read only where it is proved that it can be read.

A product may allow few such reads, so that they are paced, and one that failed holds up no
reaction. What could not be read is unknown, and said so.
"""

from __future__ import annotations

from datetime import timedelta

import msgspec

from connectors.base import Chat
from connectors.errors import ConnectorError, Unavailable
from connectors.model import Clock, MessageRef
from runner.card_calls import CardCalls
from runner.journal import Journal, approvals
from runner.journal.records import Approval
from runner.reply_proof import proof_of
from runner.typed_answers import answers_in
from runner.votes import NOTHING_TYPED, Typed

EVERY_S = 15.0
"""How often a card's thread is read while nothing else is decided by it."""
READ_S = 1.5
"""With many cards, what one read takes of the minute that the product counts in."""
FORGOTTEN_S = 300.0
LOST_AFTER = timedelta(seconds=60)
"""How long a thread must have been unreadable before a yes goes on without it."""
NOT_PROVED = "it is not proved that replies can be read here: stockade check --send proves it"
ELSEWHERE = (
    "that replies can be read was proved in another workspace, channel or as another app: "
    "stockade check --send proves it here"
)


class CardReplies:
    """Reads the threads of the cards that say how to answer in words."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._read_at: dict[tuple[str, str], float] = {}
        self._faults: dict[str, tuple[float, float, str]] = {}
        """By chat: until when it is not asked again, by our pace and by what the product told, and
        why."""

    def why_not(self, chat: Chat) -> str | None:
        """Why no typed answer is taken there; None when they are."""
        with self._journal.read() as tx:
            proof = proof_of(tx, chat.name)
        if proof is None:
            return NOT_PROVED
        try:
            return None if chat.read_place() == proof.place else ELSEWHERE
        except ConnectorError as fault:
            return f"chat does not say where it is: {fault.text}"

    def hurry(self, approval: Approval) -> None:
        """Something was said there just now: the pace of what nobody asked for does not hold."""
        kept = {key: at for key, at in self._read_at.items() if key[1] != approval.id}
        self._read_at = kept

    def look(
        self,
        place: CardCalls,
        approval: Approval,
        *,
        is_needed: bool = False,
        is_last: bool = False,
    ) -> Typed:
        """What is typed under a card now; read anew when it is time, or when it `is_needed`.
        `is_last`: also where it failed a moment ago, as long as the product lets us."""
        message = place.message_of(approval)
        if place.name not in approval.takes_replies or message is None:
            return NOTHING_TYPED
        typed = self._look(place, approval, message, is_needed=is_needed, is_last=is_last)
        if typed.is_read or typed.fault is not None:
            self._note(place, approval, is_lost=typed.fault is not None)
        return typed

    def _look(
        self,
        place: CardCalls,
        approval: Approval,
        message: MessageRef,
        *,
        is_needed: bool,
        is_last: bool,
    ) -> Typed:
        if (why := self.why_not(place.chat)) is not None:
            return Typed(is_read=False, fault=why)
        now = self._clock.monotonic()
        until, told_until, fault = self._faults.get(place.name, (now, now, ""))
        if now < (told_until if is_last else until):
            return Typed(is_read=False, fault=fault)
        if not (is_needed or is_last) and not self._is_time(place, approval, now):
            return Typed(is_read=False)
        try:
            replies = place.chat.read_replies(message)
        except ConnectorError as refusal:
            return self._unread(place, refusal, now)
        self._read_at[place.name, approval.id] = now
        return Typed(answers=answers_in(replies, approval))

    def is_lost(self, place: CardCalls, approval: Approval) -> bool:
        """Could this card's thread not be read for so long that nobody waits for it?"""
        with self._journal.read() as tx:
            since = approvals.read(tx, approval.id).replies_unread.get(place.name)
            return since is not None and tx.clock.now() - since >= LOST_AFTER

    def _note(self, place: CardCalls, approval: Approval, *, is_lost: bool) -> None:
        """Remember since when, over processes: each start from cron is one of its own."""
        with self._journal.read() as tx:
            if (place.name in approvals.read(tx, approval.id).replies_unread) is is_lost:
                return
        with self._journal.write() as tx:
            current = approvals.read(tx, approval.id)
            replies_unread = {
                name: at for name, at in current.replies_unread.items() if name != place.name
            }
            if is_lost:
                replies_unread[place.name] = tx.clock.now()
            approvals.save(tx, msgspec.structs.replace(current, replies_unread=replies_unread))

    def _is_time(self, place: CardCalls, approval: Approval, now: float) -> bool:
        self._read_at = {key: at for key, at in self._read_at.items() if now - at < FORGOTTEN_S}
        last = self._read_at.get((place.name, approval.id))
        return last is None or now - last >= max(EVERY_S, READ_S * len(self._read_at))

    def _unread(self, place: CardCalls, refusal: ConnectorError, now: float) -> Typed:
        told_s = refusal.retry_after_s if isinstance(refusal, Unavailable) else None
        fault = f"what is typed in threads cannot be read just now: {refusal.text}"
        told_until = now + (told_s or 0.0)
        self._faults[place.name] = max(told_until, now + EVERY_S), told_until, fault
        return Typed(is_read=False, fault=fault)
