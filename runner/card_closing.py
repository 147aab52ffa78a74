"""What is still to be done about a question that is decided: lock its cards, tell their threads.

Each piece is apart: that a chat refuses to change a card silences nobody in its thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from connectors.errors import OutcomeUnknown, Unavailable
from runner import card_text
from runner.card_answers import CardAnswers
from runner.card_calls import CardCalls
from runner.card_posting import CardPosting
from runner.card_reach import Apart, Reach
from runner.context import Suspended
from runner.journal import Journal, approvals
from runner.journal.records import Approval
from runner.last_look import LastLook


class CardClosing:
    """Serves decided questions to their end. `places`: the first chat, and the fall-back chat where
    there is one."""

    def __init__(
        self,
        journal: Journal,
        places: Sequence[CardCalls],
        reach: Reach,
        posting: CardPosting,
        answers: CardAnswers,
        last_look: LastLook,
    ) -> None:
        self._journal = journal
        self._places = places
        self._reach = reach
        self._posting = posting
        self._answers = answers
        self._last_look = last_look

    def close(self, approval: Approval) -> None:
        """Lock each card at once, tell its thread, and close when there is nothing more to tell.

        What a chat refused for good is over: a card or a channel that is gone has nobody to tell.
        Errors: the first of what went wrong, as `Effects.perform`.
        """
        work = Apart()
        for place in self._places:
            here = Apart()
            self._finish(place, approval, here)
            work.faults += here.faults
        is_waiting = any(
            isinstance(fault, (Suspended, Unavailable, OutcomeUnknown)) for fault in work.faults
        )
        with self._journal.write() as tx:
            current = approvals.read(tx, approval.id)
            is_told = len(current.notes) == len(approval.notes)
            # An approved call that is still to be sent keeps its card open for a no.
            if is_told and current.due_at is None and not is_waiting:
                approvals.save(tx, msgspec.structs.replace(current, closed=True))
        work.raise_first()

    def _finish(self, place: CardCalls, approval: Approval, work: Apart) -> None:
        """All that is left to be done in one chat; nothing in one that never had the card."""
        if place.elsewhere(approval) is not None:
            return
        adopt = partial(self._posting.adopt_late, place, self._again(approval))
        standing = work.do(partial(self._reach.do, place, adopt))
        if standing is None:
            return
        message, asked = place.message_of(standing), place.card_of(standing)
        if message is None or asked is None:
            return
        with self._journal.read() as tx:
            locked = card_text.locked_card(tx, standing, asked)
            decided = card_text.decision_reply(tx, standing)
        pieces: list[Callable[[], object]] = [
            partial(place.lock, standing, message, locked),
            partial(place.reply, standing, "decided", decided),
            *self._answers.notes_of(standing, place),
            partial(self._last_look.tell_late, standing, place),
        ]
        work.each(partial(self._reach.do, place, piece) for piece in pieces)

    def _again(self, approval: Approval) -> Approval:
        with self._journal.read() as tx:
            return approvals.read(tx, approval.id)
