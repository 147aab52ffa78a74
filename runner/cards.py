"""The cards: asking, reading answers, deciding, locking, telling.

Rows, not threads: each question that is not closed is looked at again and again. A card is posted
as a new message each time, read back and compared before any answer counts, and locked as soon as
it is decided.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial

import msgspec

from connectors.errors import ConnectorError, NotFound
from connectors.model import Card, Clock, MessageRef
from runner import card_text
from runner.approvals import expire, make_void
from runner.arming import is_paused, standing_for
from runner.card_answers import CardAnswers
from runner.card_calls import CardCalls, scope_of
from runner.config import Config
from runner.context import Carry, StepFailed, Suspended
from runner.effects import Effects
from runner.journal import Journal, approvals, cases, runs
from runner.journal.records import Approval, ApprovalState
from runner.last_look import LastLook
from runner.roles import Roles

log = logging.getLogger(__name__)

ASKED_WITHIN = timedelta(minutes=1)
"""A card that takes longer to be posted is a trouble of its own."""
MOST_FAILURES = 2
CLOSES_AFTER = timedelta(hours=24)
"""How long a decided card's thread is told what became of it."""


class Cards:
    """Drives every question's card. `trouble` says why a question could not be put or read."""

    def __init__(
        self,
        journal: Journal,
        config: Config,
        roles: Roles,
        effects: Effects,
        clock: Clock,
        carry: Carry,
    ) -> None:
        self._journal = journal
        self._config = config
        self._roles = roles
        self._calls = CardCalls(roles, effects)
        self._answers = CardAnswers(journal, config, self._calls, clock)
        self.last_look = LastLook(journal, roles, self._answers, clock)
        self._clock = clock
        self._carry = carry
        self.trouble: dict[str, str] = {}
        self._is_paused = False
        self._failures = 0
        self._is_agreed = False

    def advance(self, heard: str | None = None) -> bool:
        """One look at each question; the gravest first. One that fails holds up no other. True when
        the look ended early and is to be gone on with. `heard`: only at the one with
        this message.

        The look ends early with a yes, because what was agreed to goes before all else, and after
        two failures in a row, because a chat that is down must not hold up a cut.
        """
        with self._journal.read() as tx:
            waiting = [one for one in approvals.unclosed(tx) if heard in (None, _message_id(one))]
            self._is_paused = is_paused(tx) is not None
        looked_at = {one.code for one in waiting}
        kept = {} if heard is None else self.trouble
        self.trouble = {code: why for code, why in kept.items() if code not in looked_at}
        self._failures, self._is_agreed = 0, False
        for approval in waiting:
            fault = self._carry(f"card approval={approval.id}", partial(self._serve, approval))
            if fault is not None:
                self.trouble[approval.code] = fault
            if self._is_agreed or self._failures == MOST_FAILURES:
                break
        return self._is_agreed

    def _serve(self, approval: Approval) -> None:
        try:
            self._is_agreed = self._turn(approval)
            self._failures = 0
        except Suspended:
            self._is_agreed = self._answers.count_here(approval.id)
            if self._is_unasked(approval):
                self.trouble[approval.code] = "its card is not posted yet: nobody was asked"
        except (ConnectorError, StepFailed) as fault:
            self._failures += 1
            log.warning("card approval=%s not served: %s", approval.id, fault)
            self.trouble[approval.code] = str(fault)
            self._expire_unseen(approval)
            self._is_agreed = self._answers.count_here(approval.id)

    def _expire_unseen(self, approval: Approval) -> None:
        """Time runs out whether chat can be read or not; a late answer does not count."""
        if approval.state is ApprovalState.OPEN and self._is_over(approval):
            with self._journal.write() as tx:
                expire(tx, approval)

    def _is_unasked(self, approval: Approval) -> bool:
        waited = self._clock.now() - approval.created_at
        return approval.state is ApprovalState.POSTING and waited > ASKED_WITHIN

    def _is_over(self, approval: Approval) -> bool:
        return approval.expires_at is None or self._clock.now() >= approval.expires_at

    def _turn(self, approval: Approval) -> bool:
        """True when people just said yes."""
        match approval.state:
            case ApprovalState.POSTING if self._is_paused:
                return False
            case ApprovalState.POSTING:
                self._post(approval)
            case ApprovalState.OPEN:
                return self._watch(approval)
            case _:
                self._close(approval)
        return False

    # -- asking ------------------------------------------------------------------------------------

    def _post(self, approval: Approval) -> None:
        """Build the card and post it; then the question is open, with its choices under it."""
        if self._was_overtaken(approval):
            return
        chat = self._roles.chat
        try:
            posted = self._calls.perform(
                approval,
                "post",
                "post_card",
                lambda: chat.post_card(self._built(approval)),
                look=lambda: self._adopt(approval.id),
            )
        except StepFailed as failed:
            with self._journal.write() as tx:
                make_void(tx, approval, f"could not ask: {failed.text}")
            raise
        message = msgspec.convert(posted, MessageRef)
        with self._journal.write() as tx:
            current = approvals.read(tx, approval.id)
            opened = msgspec.structs.replace(
                current, state=ApprovalState.OPEN, opened_at=tx.clock.now(), message=message
            )
            approvals.save(tx, opened)
            tx.entry("card_posted", {"approval": approval.id}, message)
            cases.revise(tx, approval.case_id)
        self._seed(opened, message)

    def _was_overtaken(self, approval: Approval) -> bool:
        """A question whose mode no longer holds is not put; the run asks anew, or only observes."""
        with self._journal.read() as tx:
            run = runs.read(tx, approval.run_id)
            alert_id = None if run.requested_by is not None else run.alert_id
            mode = standing_for(tx, self._config, alert_id).mode
            is_sent = runs.step(tx, scope_of(approval), "post") is not None
        if mode is not approval.mode and not is_sent:
            self._make_void(approval, f"the mode is {mode} now")
            return True
        return False

    def _adopt(self, approval_id: str) -> MessageRef | None:
        """The card as it was posted before the answer was lost. One that shows something else by
        now is adopted with the hash that it should have: it becomes void at the first look."""
        chat = self._roles.chat
        found = chat.find_message(approval_id)
        with self._journal.read() as tx:
            card = approvals.read(tx, approval_id).card
        if found is None or card is None or chat.is_card(card, found.sha256):
            return found
        return msgspec.structs.replace(found, sha256=chat.card_sha256(card))

    def _built(self, approval: Approval) -> Card:
        """The card as it is about to be sent: each time it is, its time starts anew."""
        who = self._answers.who_may(approval)
        with self._journal.write() as tx:
            expires_at = tx.clock.now() + timedelta(seconds=approval.expires_s)
            current = approvals.read(tx, approval.id)
            timed = msgspec.structs.replace(current, expires_at=expires_at)
            card = card_text.card(tx, timed, self._answers.called(), who)
            approvals.save(tx, msgspec.structs.replace(timed, card=card))
        return card

    def _seed(self, approval: Approval, message: MessageRef) -> None:
        """Put the choices under the card. Answers are read whether that works or not."""
        choices = tuple(asked.choice for asked in approval.choices)
        chat = self._roles.chat
        self._calls.perform(
            approval, "seed", "seed_choices", lambda: chat.seed_choices(message, choices)
        )

    # -- reading -----------------------------------------------------------------------------------

    def _watch(self, approval: Approval) -> bool:
        """Read the card back, count its answers, decide; expiry is a no. True for a yes."""
        if self._is_over(approval):
            with self._journal.write() as tx:
                expire(tx, approval)
            return False
        if approval.message is None:
            self._make_void(approval, "the card is not known")
            return False
        try:
            reading = self._roles.chat.read_card(approval.message)
        except NotFound:
            self._make_void(approval, "the card was deleted")
            return False
        if reading.sha256 != approval.message.sha256:
            self._make_void(approval, "the card does not show what was posted")
            return False
        is_agreed = self._answers.count(approval, reading)
        if not is_agreed:
            self._seed(approval, approval.message)
        return is_agreed

    def _make_void(self, approval: Approval, why: str) -> None:
        with self._journal.write() as tx:
            make_void(tx, approval, why)

    # -- after the decision ------------------------------------------------------------------------

    def _close(self, approval: Approval) -> None:
        """Lock the card at once, tell the thread, and close when there is nothing more to tell."""
        lost: StepFailed | None = None
        try:
            self._lock(approval)
        except StepFailed as failed:
            # The card or its channel is gone: that is told once, and then there is nobody to tell.
            lost = failed
        else:
            self.last_look.tell_late(approval)
        with self._journal.write() as tx:
            current = approvals.read(tx, approval.id)
            is_told = len(current.notes) == len(approval.notes)
            now = tx.clock.now()
            is_old = now - (current.decided_at or now) > CLOSES_AFTER
            # An approved call that is still to be sent keeps its card.
            if lost is not None or (is_told and (is_old or current.due_at is None)):
                approvals.save(tx, msgspec.structs.replace(current, closed=True))
        if lost is not None:
            raise lost

    def _lock(self, approval: Approval) -> None:
        message, asked = approval.message, approval.card
        if message is None or asked is None:
            return
        with self._journal.read() as tx:
            locked = card_text.locked_card(tx, approval, asked)
            decided = card_text.decision_reply(tx, approval)
        chat = self._roles.chat
        self._calls.perform(
            approval, "lock", "update_card", lambda: chat.update_card(message, locked)
        )
        self._calls.reply(approval, "decided", decided)
        self._answers.tell_notes(approval)


def _message_id(approval: Approval) -> str | None:
    return None if approval.message is None else approval.message.id
