"""Did anybody say no since people agreed? Asked just before what they agreed to is sent.

A no that is there before the call stops it, whether it was given in chat or on the runner's
machine. What comes later is told that it came too late. It never makes a yes.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import msgspec

from connectors.base import Effect
from connectors.errors import ConnectorError, NotFound
from connectors.model import Answer, Clock
from runner import card_second
from runner.card_answers import CardAnswers
from runner.card_calls import CardCalls
from runner.choices import noes_of
from runner.config import Mode
from runner.journal import Journal, approvals, cases, ledger
from runner.journal.records import STANDING, Approval, ApprovalState, LedgerRow, LedgerState
from runner.votes import Electorate, objectors, votes_of

log = logging.getLogger(__name__)

FRESH_S = 3.0
"""How long one reading serves the next devices of a wave."""


Shown = Mapping[bool, tuple[Answer, ...]]
"""What each chat shows, by whether it is the fall-back's."""


class LastLook:
    """Reads the answers to a question that is decided, in each chat that has a card of it."""

    def __init__(self, journal: Journal, answers: CardAnswers, clock: Clock) -> None:
        self._journal = journal
        self._answers = answers
        self._clock = clock
        self._seen: tuple[str, float, Shown] | None = None

    def objectors(self, approval_id: str, device_id: str) -> tuple[str, ...]:
        """Who says no to this device by now. Of a chat that cannot be read only what was pressed
        is known: people agreed, and an attack goes on meanwhile; that nobody could look is told in
        the thread."""
        shown = self._shown(self._again(approval_id))
        approval = self._again(approval_id)
        noes = noes_of(approval, device_id)
        pressed = tuple(one for one in approval.pressed if one.choice in noes)
        asked = msgspec.structs.replace(approval, pressed=pressed)
        shown = _noes_in(shown, approval, device_id)
        electorate = self._answers.electorate(asked, shown)
        # What was answered here, or pressed, while all that was read counts, too.
        return self._noes(self._again(approval_id), shown, electorate, device_id)

    def tell_late(self, approval: Approval, place: CardCalls) -> None:
        """Tell those whose no in this chat came after the call. Errors: `ConnectorError`."""
        if approval.state is not ApprovalState.APPROVED or approval.mode is not Mode.ACT:
            return
        if not approval.items or approval.due_at is not None:
            return
        typed = self._answers.replies.look(place, approval)
        try:
            found = self._read(approval, place)
        except NotFound:
            # There is nothing any more that anybody could answer.
            found = ()
        shown = {place.is_second: (*found, *typed.answers)}
        current = self._again(approval.id)
        pressed = tuple(one for one in current.pressed if one.is_second == place.is_second)
        # Only what stands in a chat can have been unseen there.
        local = () if place.name in approval.unread else current.local
        asked = msgspec.structs.replace(current, local=local, pressed=pressed)
        for item in approval.items:
            noes = _noes_in(shown, approval, item.device.device_id)
            electorate = self._answers.electorate(asked, noes)
            by = self._noes(asked, noes, electorate, item.device.device_id)
            with self._journal.write() as tx:
                row = ledger.find(tx, item.device.subject)
                if not by or row is None or row.approval_id != approval.id:
                    continue
                text = _too_late(approval, row, card_second.late_no(approval, by, place.name))
                if text is not None and text not in approvals.read(tx, approval.id).late_noes:
                    approvals.add_note(tx, approval.id, text)
                    current = approvals.read(tx, approval.id)
                    late_noes = (*current.late_noes, text)
                    approvals.save(tx, msgspec.structs.replace(current, late_noes=late_noes))
                    refs = {"case": approval.case_id, "approval": approval.id}
                    tx.entry("no_came_too_late", refs, {"by": by, "chat": place.name})
                    cases.revise(tx, approval.case_id)

    # -- reading -----------------------------------------------------------------------------------

    def _shown(self, approval: Approval) -> Shown:
        """What the chats show, or showed a moment ago; nothing of one that cannot be read. What was
        pressed is not among it: that is never a moment old."""
        now = self._clock.monotonic()
        if self._seen is None or self._seen[0] != approval.id or now - self._seen[1] > FRESH_S:
            shown: dict[bool, tuple[Answer, ...]] = {}
            for place in self._answers.places:
                try:
                    found = self._read(approval, place)
                except ConnectorError as fault:
                    self._tell_unseen(approval, place, str(fault))
                    continue
                typed = self._answers.replies.look(place, approval, is_last=True)
                if typed.fault is not None:
                    self._tell_unseen(approval, place, typed.fault)
                shown[place.is_second] = (*found, *typed.answers)
            self._seen = (approval.id, now, shown)
        return self._seen[2]

    def _read(self, approval: Approval, place: CardCalls) -> tuple[Answer, ...]:
        """Whatever the card shows by now: it may be locked, and a no under it is one all the
        same."""
        message = place.message_of(approval)
        return () if message is None else place.chat.read_card(message).answers

    def _tell_unseen(self, approval: Approval, place: CardCalls, fault: str) -> None:
        log.warning("card approval=%s cannot be read before the call: %s", approval.id, fault)
        where = f" in {place.name}" if len(self._answers.places) > 1 else ""
        text = (
            f"Whether anybody said no{where} since the decision could not be read just before the"
            " call; it goes on, because people had agreed."
        )
        with self._journal.write() as tx:
            if text not in approvals.read(tx, approval.id).notes:
                approvals.add_note(tx, approval.id, text)
                refs = {"case": approval.case_id, "approval": approval.id}
                tx.entry("last_look_failed", refs, {"why": fault})

    # -- judging -----------------------------------------------------------------------------------

    def _again(self, approval_id: str) -> Approval:
        with self._journal.read() as tx:
            return approvals.read(tx, approval_id)

    def _noes(
        self, approval: Approval, shown: Shown, electorate: Electorate, device_id: str
    ) -> tuple[str, ...]:
        now = self._clock.now()
        votes = votes_of(approval, shown.get(False, ()), electorate, now, shown.get(True, ()))
        return objectors(approval, votes, device_id)


def _noes_in(shown: Shown, approval: Approval, device_id: str) -> Shown:
    noes = noes_of(approval, device_id)
    return {
        is_second: tuple(answer for answer in answers if answer.choice in noes)
        for is_second, answers in shown.items()
    }


def _too_late(approval: Approval, row: LedgerRow, late: str) -> str | None:
    """What is told of a no that came too late; None where nothing was done."""
    host = row.device.hostname
    if approval.effect is Effect.CONTAIN and row.state in STANDING:
        sent = "had been sent" if row.state is not LedgerState.UNKNOWN else "may have been sent"
        undo = f"to undo it: stockade release {host} --reason …"
        return f"{late}: the isolation of {host} {sent}; {undo}"
    if row.state in (LedgerState.RELEASE_REQUESTED, LedgerState.RELEASED):
        return f"{late}: the release of {host} had been sent."
    return None
