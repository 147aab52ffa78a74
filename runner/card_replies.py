"""What people typed in a card's thread: read only where it is proved that it can be read.

A product may allow few such reads, so that they are paced, and one that failed holds up no
reaction. What could not be read is unknown, and said so.
"""

from __future__ import annotations

from connectors.base import Chat
from connectors.errors import ConnectorError, Unavailable
from connectors.model import Clock
from runner.card_calls import CardCalls
from runner.journal import Journal
from runner.journal.records import Approval
from runner.reply_proof import proof_of
from runner.typed_answers import answers_in
from runner.votes import NOTHING_TYPED, Typed

EVERY_S = 15.0
"""How often a card's thread is read while nothing else is decided by it."""
READ_S = 1.5
"""With many cards, what one read takes of the minute that the product counts in."""
FORGOTTEN_S = 300.0
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
        self._faults: dict[str, tuple[float, str]] = {}
        """By chat: until when it is not asked again, and why."""

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

    def look(self, place: CardCalls, approval: Approval, *, is_needed: bool = False) -> Typed:
        """What is typed under a card now; read anew when it is time, or when it `is_needed` and the
        product lets us."""
        message = place.message_of(approval)
        if place.name not in approval.takes_replies or message is None:
            return NOTHING_TYPED
        if (why := self.why_not(place.chat)) is not None:
            return Typed(is_read=False, fault=why)
        now = self._clock.monotonic()
        until, fault = self._faults.get(place.name, (now, ""))
        if now < until:
            return Typed(is_read=False, fault=fault)
        if not is_needed and not self._is_time(place, approval, now):
            return Typed(is_read=False)
        try:
            replies = place.chat.read_replies(message)
        except ConnectorError as refusal:
            return self._unread(place, refusal, now)
        self._read_at[place.name, approval.id] = now
        return Typed(answers=answers_in(replies, approval))

    def _is_time(self, place: CardCalls, approval: Approval, now: float) -> bool:
        self._read_at = {key: at for key, at in self._read_at.items() if now - at < FORGOTTEN_S}
        last = self._read_at.get((place.name, approval.id))
        return last is None or now - last >= max(EVERY_S, READ_S * len(self._read_at))

    def _unread(self, place: CardCalls, refusal: ConnectorError, now: float) -> Typed:
        told_s = refusal.retry_after_s if isinstance(refusal, Unavailable) else None
        fault = f"what is typed in threads cannot be read just now: {refusal.text}"
        self._faults[place.name] = now + max(told_s or 0.0, EVERY_S), fault
        return Typed(is_read=False, fault=fault)
