"""Whether a chat can be reached: what failed, since when, and when another stands in for it.

What fails in one chat holds up nothing in the other. Since when a chat is out of reach is kept in
the journal, because each start from cron is a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec

from connectors.errors import ConnectorError, OutcomeUnknown, Rejected, Unavailable
from connectors.model import Clock
from runner.card_calls import CardCalls
from runner.context import StepFailed, Suspended
from runner.journal import Journal, Tx, approvals
from runner.journal.records import Approval

MOST_FAILURES = 2
STALE_AFTER = timedelta(minutes=10)

_T = TypeVar("_T")


class LeftAlone(Unavailable):
    """The runner's own word, not the chat's: nothing was tried there, so nothing is known of it."""


class Apart:
    """Pieces of work that hold up no other: each is tried, and what went wrong is kept."""

    def __init__(self) -> None:
        self.faults: list[Suspended | ConnectorError | StepFailed] = []

    def do(self, work: Callable[[], _T]) -> _T | None:
        try:
            return work()
        except (Suspended, ConnectorError, StepFailed) as fault:
            self.faults.append(fault)
        return None

    def each(self, pieces: Iterable[Callable[[], object]]) -> None:
        """Each of them, whatever a chat refuses; but where two in a row are put off, the rest waits
        too, because a chat that does not answer must not hold up a cut."""
        put_off = 0
        for piece in pieces:
            known = len(self.faults)
            self.do(piece)
            is_put_off = any(
                isinstance(fault, Suspended) and fault.wait_on == "time"
                for fault in self.faults[known:]
            )
            put_off = put_off + 1 if is_put_off else 0
            if put_off >= MOST_FAILURES:
                return

    def raise_first(self) -> None:
        """What stands against the work as a whole: a plain fault before one that only waits."""
        for fault in sorted(self.faults, key=lambda one: isinstance(one, Suspended)):
            raise fault


class Reach:
    """The chats of one configuration, and how they fared in this look. `stands_in_after`: how long
    a chat must have been out of reach."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        places: Sequence[CardCalls],
        stands_in_after: timedelta,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._places = places
        self._stands_in_after = stands_in_after
        self._failures: dict[str, int] = {}

    def begin(self) -> None:
        """A new look at all questions."""
        self._failures = {}

    @property
    def is_lost(self) -> bool:
        """Is every chat left alone for the rest of this look?"""
        return all(map(self._is_shut, self._places))

    def _is_shut(self, place: CardCalls) -> bool:
        return self._failures.get(place.name, 0) >= MOST_FAILURES

    def do(self, place: CardCalls, work: Callable[[], _T], first_of: Approval | None = None) -> _T:
        """Do something in one chat, unless it could not be reached twice in a row in this look.
        `first_of`: a question of which that chat is tried all the same, once, because without a
        failure of its own nothing stands in for that chat. Errors: as `work`; `LeftAlone`."""
        if self._is_shut(place) and not self._is_untried(place, first_of):
            raise LeftAlone(place.name, "it failed twice and is left alone for a moment")
        try:
            done = work()
        except (Unavailable, OutcomeUnknown):
            self._failures[place.name] = self._failures.get(place.name, 0) + 1
            raise
        except Rejected:
            # A refusal is an answer. A `StepFailed` says nothing here: it may be an old one, which
            # the journal gives back.
            self._failures[place.name] = 0
            raise
        self._failures[place.name] = 0
        return done

    def _is_untried(self, place: CardCalls, approval: Approval | None) -> bool:
        is_noted = len(self._places) == 1 or approval is None or place.name in approval.unread
        return not is_noted

    def note_unreached(self, place: CardCalls, approval: Approval) -> None:
        """Remember since when, over processes and for all questions: a new one does not wait for
        the chat all over again."""
        if len(self._places) == 1:
            return
        with self._journal.write() as tx:
            now = tx.clock.now()
            since = _since(tx, place) or now
            tx.set_meta(_key(place), f"{since.isoformat()} {now.isoformat()}")
            current = approvals.read(tx, approval.id)
            if place.name not in current.unread:
                unread = {**current.unread, place.name: since}
                approvals.save(tx, msgspec.structs.replace(current, unread=unread))

    def note_reached(self, place: CardCalls, approval: Approval) -> None:
        if len(self._places) == 1:
            return
        with self._journal.read() as tx:
            is_clean = tx.meta(_key(place)) is None and place.name not in approval.unread
        if is_clean:
            return
        with self._journal.write() as tx:
            tx.set_meta(_key(place), None)
            current = approvals.read(tx, approval.id)
            unread = {name: at for name, at in current.unread.items() if name != place.name}
            approvals.save(tx, msgspec.structs.replace(current, unread=unread))

    def was_down(self, place: CardCalls, approval: Approval) -> bool:
        """Could it not be reached for as long as the other chat leaves it?"""
        since = approval.unread.get(place.name)
        return since is not None and self._clock.now() - since >= self._stands_in_after


def _key(place: CardCalls) -> str:
    return f"unreached:{place.name}"


def _since(tx: Tx, place: CardCalls) -> datetime | None:
    """Since when it is out of reach; None where that was not seen just now: nobody looks at a chat
    in which no question is open."""
    said = tx.meta(_key(place))
    if said is None:
        return None
    since, last = map(datetime.fromisoformat, said.split())
    return since if tx.clock.now() - last <= STALE_AFTER else None
