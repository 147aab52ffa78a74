"""What people answered under a card: counted, reminded of, and taken to the next people."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import timedelta

import msgspec

from connectors.model import Account, Answer, CardReading, Clock
from runner import card_text
from runner.approvals import affected_users, settle
from runner.card_calls import CardCalls
from runner.config import Config
from runner.electing import (
    Voters,
    approvers_of,
    escalates_after_s,
    escalates_at,
    voters_of,
)
from runner.journal import Journal, Tx, approvals
from runner.journal.records import Approval, ApprovalState, Vote
from runner.votes import LOGIN, Electorate, tally, votes_given_here, votes_of

QUICK = timedelta(seconds=5)
"""Nobody reads a card in less."""


class CardAnswers:
    """Judges one reading of a card, and says in its thread what follows."""

    def __init__(self, journal: Journal, config: Config, calls: CardCalls, clock: Clock) -> None:
        self._journal = journal
        self._config = config
        self._calls = calls
        self._clock = clock

    def called(self) -> tuple[str, ...]:
        """The accounts that a card calls."""
        return self._accounts(self._config.approvals.mention)

    def _accounts(self, names: Sequence[str]) -> tuple[str, ...]:
        people = [self._config.people[name] for name in names]
        return tuple(person.account for person in people if person.account is not None)

    def count(self, approval: Approval, reading: CardReading) -> bool:
        """Judge what one reading of the card shows. True for a yes."""
        electorate = self.electorate(approval, reading.answers)
        votes = votes_of(approval, reading.answers, electorate, self._clock.now())
        decided = self._decide(approval, votes)
        self._answer(approval, votes)
        if decided is None:
            self._remind(approval)
            self._escalate(approval)
            self.tell_notes(approval)
        return decided is ApprovalState.APPROVED

    def count_here(self, approval_id: str) -> bool:
        """Judge what was answered on the runner's machine while chat cannot be read; what chat
        showed before stands. True for a yes. A question that is decided stays as it is."""
        with self._journal.read() as tx:
            approval = approvals.read(tx, approval_id)
        if not approval.local or approval.state not in (ApprovalState.POSTING, ApprovalState.OPEN):
            return False
        electorate = self.electorate(approval, ())
        in_chat = [vote for vote in approval.votes if not vote.account.startswith(LOGIN)]
        shown = [electorate.kept(vote) for vote in in_chat]
        votes = (*shown, *votes_given_here(approval, electorate))
        return self._decide(approval, votes) is ApprovalState.APPROVED

    def _decide(self, approval: Approval, votes: tuple[Vote, ...]) -> ApprovalState | None:
        """What the question is settled as; None while it stays open."""
        voted = msgspec.structs.replace(approval, votes=votes)
        outcome = tally(voted, votes)
        if outcome is not None:
            with self._journal.write() as tx:
                settled = settle(tx, voted, outcome)
                _note_quick(tx, settled)
            return settled.state
        if votes != approval.votes:
            with self._journal.write() as tx:
                # A command may have added to it since it was read.
                current = approvals.read(tx, approval.id)
                approvals.save(tx, msgspec.structs.replace(current, votes=votes))
                tx.entry("votes_seen", {"approval": approval.id}, votes)
        return None

    def voters(self, approval: Approval) -> Voters:
        """Who may answer."""
        config = self._config
        with self._journal.read() as tx:
            affected = affected_users(tx, approval)
        return voters_of(config.approvals, config.people, approval, affected)

    def who_may(self, approval: Approval) -> str:
        """What the card says about who may answer."""
        after_s = escalates_after_s(self._config.approvals, approval)
        return card_text.who_may_answer(approval, self.voters(approval), after_s)

    def electorate(self, approval: Approval, answers: Sequence[Answer]) -> Electorate:
        """Look up, live, each account that answered and could be an approver's."""
        with self._journal.read() as tx:
            affected = affected_users(tx, approval)
        people = self._config.people
        known = {person.account for person in people.values()}
        accounts: dict[str, Account | None] = {}
        for answer in answers:
            if answer.account in known and answer.account not in accounts:
                accounts[answer.account] = self._calls.account(answer.account)
        return Electorate(
            people=people,
            approvers=approvers_of(self._config.approvals, approval),
            accounts=accounts,
            affected_users=affected,
            requested_by=approval.requested_by,
            takes_logins=self._config.approvals.cli,
        )

    def _answer(self, approval: Approval, votes: Sequence[Vote]) -> None:
        """Tell those whose answer does not count, each once for each reason."""
        labels = {asked.choice.emoji: asked.choice.label for asked in approval.choices}
        for vote in votes:
            if vote.why_not is None or vote.withdrawn:
                continue
            text = f'The answer "{labels[vote.choice]}" does not count: {vote.why_not}.'
            told = hashlib.sha256(f"{vote.account}:{vote.choice}:{vote.why_not}".encode())
            called = () if vote.account.startswith(LOGIN) else (vote.account,)
            self._calls.reply(approval, f"uncounted.{told.hexdigest()[:12]}", text, called)

    def _remind(self, approval: Approval) -> None:
        """Once, when half the time has gone."""
        if approval.expires_at is None:
            return
        left = approval.expires_at - self._clock.now()
        if left <= timedelta(seconds=approval.expires_s / 2):
            text = card_text.reminder(approval)
            self._calls.reply(approval, "remind", text, self.called())

    def _escalate(self, approval: Approval) -> None:
        """Call the next people, once; from then on they may answer, too."""
        policy = self._config.approvals
        due = escalates_at(policy, approval, self.voters(approval))
        if due is None or self._clock.now() < due:
            return
        if approval.escalated_at is None:
            with self._journal.write() as tx:
                current = approvals.read(tx, approval.id)
                now = tx.clock.now()
                approvals.save(tx, msgspec.structs.replace(current, escalated_at=now))
                refs = {"case": approval.case_id, "approval": approval.id}
                tx.entry("question_escalated", refs, {"to": policy.escalate_to})
        names = ", ".join(policy.escalate_to)
        text = f"Not decided yet: {names} may answer now, too."
        self._calls.reply(approval, "escalate", text, self._accounts(policy.escalate_to))

    def tell_notes(self, approval: Approval) -> None:
        for place, note in enumerate(approval.notes):
            self._calls.reply(approval, f"note.{place}", note)


def _note_quick(tx: Tx, settled: Approval) -> None:
    if settled.state is not ApprovalState.APPROVED or not settled.items:
        return
    if settled.opened_at is None or settled.decided_at is None:
        return
    if settled.decided_at - settled.opened_at >= QUICK:
        return
    by = ", ".join(settled.decided_by)
    text = f"Approved by {by} less than 5 seconds after the card was posted: was it read?"
    approvals.add_note(tx, settled.id, text)
    refs = {"case": settled.case_id, "approval": settled.id}
    tx.entry("question_approved_quickly", refs, {"by": settled.decided_by})
