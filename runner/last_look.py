"""Did anybody say no since people agreed? Asked just before what they agreed to is sent.

A no that is there before the call stops it, whether it was given in chat or on the runner's
machine. What comes later is told that it came too late. It never makes a yes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec

from connectors.base import Effect
from connectors.errors import ConnectorError, NotFound
from connectors.model import Account, Answer, Clock
from runner.card_answers import CardAnswers
from runner.config import Mode
from runner.journal import Journal, approvals, ledger
from runner.journal.records import STANDING, Approval, ApprovalState, LedgerState
from runner.roles import Roles
from runner.votes import noes_of, objectors, votes_of

log = logging.getLogger(__name__)

FRESH_S = 3.0
"""How long one reading serves the next devices of a wave."""


class LastLook:
    """Reads the answers to a question that is decided."""

    def __init__(self, journal: Journal, roles: Roles, answers: CardAnswers, clock: Clock) -> None:
        self._journal = journal
        self._roles = roles
        self._answers = answers
        self._clock = clock
        self._seen: tuple[str, float, tuple[Answer, ...]] | None = None

    def objectors(self, approval_id: str, device_id: str) -> tuple[str, ...]:
        """Who says no to this device by now. Nobody, where chat cannot be read: people agreed, and
        an attack goes on meanwhile; that nobody could look is told in the thread."""
        with self._journal.read() as tx:
            approval = approvals.read(tx, approval_id)
        return self._noes(approval, self._shown(approval), device_id)

    def tell_late(self, approval: Approval) -> None:
        """Tell those whose no came after the call. Errors: `ConnectorError`."""
        if approval.state is not ApprovalState.APPROVED or approval.mode is not Mode.ACT:
            return
        if not approval.items or approval.due_at is not None:
            return
        answers = self._read(approval)
        for item in approval.items:
            device = item.device
            by = self._noes(approval, answers, device.device_id)
            with self._journal.write() as tx:
                row = ledger.find(tx, device.subject)
                if not by or row is None or row.approval_id != approval.id:
                    continue
                late = f"The no of {', '.join(by)} came too late"
                if approval.effect is Effect.CONTAIN and row.state in STANDING:
                    is_sure = row.state is not LedgerState.UNKNOWN
                    sent = "had been sent" if is_sure else "may have been sent"
                    undo = f"to undo it: stockade release {device.hostname} --reason …"
                    text = f"{late}: the isolation of {device.hostname} {sent}; {undo}"
                elif row.state in (LedgerState.RELEASE_REQUESTED, LedgerState.RELEASED):
                    text = f"{late}: the release of {device.hostname} had been sent."
                else:
                    continue
                approvals.add_note(tx, approval.id, text)

    # -- reading -----------------------------------------------------------------------------------

    def _shown(self, approval: Approval) -> tuple[Answer, ...]:
        """What chat shows, or showed a moment ago; nothing where it cannot be read."""
        now = self._clock.monotonic()
        if self._seen is None or self._seen[0] != approval.id or now - self._seen[1] > FRESH_S:
            try:
                answers = self._read(approval)
            except ConnectorError as fault:
                self._tell_unseen(approval, fault)
                answers = ()
            self._seen = (approval.id, now, answers)
        return self._seen[2]

    def _read(self, approval: Approval) -> tuple[Answer, ...]:
        """Whatever the card shows by now: it may be locked, and a no under it is one all the
        same."""
        if approval.message is None:
            return ()
        try:
            return tuple(self._roles.chat.read_card(approval.message).answers)
        except NotFound:
            # There is nothing any more that anybody could answer.
            return ()

    def _tell_unseen(self, approval: Approval, fault: ConnectorError) -> None:
        log.warning("card approval=%s cannot be read before the call: %s", approval.id, fault)
        text = (
            "Whether anybody said no since the decision could not be read just before the call; "
            "it goes on, because people had agreed."
        )
        with self._journal.write() as tx:
            if text not in approvals.read(tx, approval.id).notes:
                approvals.add_note(tx, approval.id, text)
                refs = {"case": approval.case_id, "approval": approval.id}
                tx.entry("last_look_failed", refs, {"why": str(fault)})

    # -- judging -----------------------------------------------------------------------------------

    def _noes(
        self, approval: Approval, answers: Sequence[Answer], device_id: str
    ) -> tuple[str, ...]:
        noes = noes_of(approval, device_id)
        given = [answer for answer in answers if answer.choice in noes]
        electorate = self._answers.electorate(approval, given)
        # Whom chat cannot describe just now is on the list all the same, and a no does less harm.
        accounts = {name: found or _member(name) for name, found in electorate.accounts.items()}
        electorate = msgspec.structs.replace(electorate, accounts=accounts)
        votes = votes_of(approval, given, electorate, self._clock.now())
        return objectors(approval, votes, device_id)


def _member(account: str) -> Account:
    return Account(id=account, is_active=True, is_full_member=True, is_bot=False)
