"""What people answered under a card: counted, reminded of, and taken to the next people."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial

import msgspec
from msgspec import Struct

from connectors.document import visible
from connectors.model import Account, Answer, CardReading, Clock
from runner import card_second, card_text
from runner.approvals import affected_users, quick_yes, settle
from runner.card_calls import CardCalls
from runner.card_reach import Apart
from runner.card_replies import CardReplies
from runner.config import Config
from runner.electing import (
    Voters,
    approvers_of,
    escalates_after_s,
    escalates_at,
    voters_of,
    with_accounts,
    with_members,
)
from runner.journal import Journal, Tx, approvals
from runner.journal.records import Approval, ApprovalState, Vote
from runner.pressing import came_meanwhile, with_presses
from runner.user_groups import UserGroups
from runner.votes import APP, LOGIN, Electorate, Typed, tally, votes_of

UNREAD_SAID = "What is typed here is not read just now; react on the card instead"


class Counted(Struct, frozen=True, kw_only=True):
    """What one reading of a question's cards came to. `decided`: as what it was settled, None while
    it stays open. `unread`: why what is typed could not be read, by chat."""

    votes: tuple[Vote, ...]
    decided: ApprovalState | None
    unread: Mapping[bool, str] = {}

    @property
    def is_yes(self) -> bool:
        return self.decided is ApprovalState.APPROVED


class CardAnswers:
    """Judges what a question's cards show, and says in their threads what follows. Readings are
    given by whether they are of the fall-back chat."""

    def __init__(
        self,
        journal: Journal,
        config: Config,
        places: Sequence[CardCalls],
        groups: UserGroups,
        clock: Clock,
    ) -> None:
        self._journal = journal
        self._config = config
        self.places = places
        self.groups = groups
        self.replies = CardReplies(journal, clock)
        self._clock = clock

    def called(self, place: CardCalls) -> tuple[str, ...]:
        """The accounts that a card calls."""
        return place.accounts(self._config.approvals.mention)

    def count(
        self, approval: Approval, readings: Mapping[bool, CardReading], *, may_agree: bool = True
    ) -> Counted:
        """Judge what the cards show that could be read, and what is typed under them; what the
        others showed before stands. With `may_agree` false a yes stays open: a no counts at
        once."""
        typed = self._typed(approval, readings)
        votes = self._votes(approval, readings, typed)
        outcome = tally(approval, votes)
        is_yes = outcome is not None and outcome.state is ApprovalState.APPROVED
        if is_yes and not all(one.is_read for one in typed.values()):
            # A no may have been typed since, and a typed yes may be gone: a yes waits for that
            # look. Where it cannot be had for long, no typed yes is left to count.
            typed = self._typed(approval, readings, is_needed=True)
            votes = self._votes(approval, readings, typed)
            may_agree = may_agree and not self._is_typing_late(approval, typed)
        decided = self._decide(approval, votes, may_agree=may_agree)
        faults = {where: one.fault for where, one in typed.items() if one.fault is not None}
        return Counted(votes=votes, decided=decided, unread=faults)

    def _typed(
        self, approval: Approval, readings: Mapping[bool, CardReading], *, is_needed: bool = False
    ) -> dict[bool, Typed]:
        return {
            place.is_second: self.replies.look(place, approval, is_needed=is_needed)
            for place in self.places
            if place.is_second in readings
        }

    def _votes(
        self,
        approval: Approval,
        readings: Mapping[bool, CardReading],
        typed: Mapping[bool, Typed],
    ) -> tuple[Vote, ...]:
        shown = {is_second: one.answers for is_second, one in readings.items()}
        given = {where: (*shown[where], *typed[where].answers) for where in shown}
        electorate = self.electorate(approval, given)
        now = self._clock.now()
        return votes_of(approval, shown.get(False), electorate, now, shown.get(True), typed)

    def _is_typing_late(self, approval: Approval, typed: Mapping[bool, Typed]) -> bool:
        """Is there a thread that cannot be read only since a moment ago?"""
        return any(
            typed[place.is_second].fault is not None and not self.replies.is_lost(place, approval)
            for place in self.places
            if place.is_second in typed
        )

    def count_here(self, approval_id: str) -> bool:
        """Judge what was answered on the runner's machine or pressed, while no chat can be read;
        what chat showed before stands. True for a yes. A question that is decided stays as it
        is."""
        with self._journal.read() as tx:
            approval = approvals.read(tx, approval_id)
        if approval.state not in (ApprovalState.POSTING, ApprovalState.OPEN):
            return False
        if not approval.local and not approval.pressed:
            return False
        return self.count(approval, {}).is_yes

    def _decide(
        self,
        approval: Approval,
        votes: tuple[Vote, ...],
        *,
        may_agree: bool,
    ) -> ApprovalState | None:
        """What the question is settled as; None while it stays open."""
        voted = msgspec.structs.replace(approval, votes=votes)
        outcome = tally(voted, votes)
        if outcome is not None and (may_agree or outcome.state is not ApprovalState.APPROVED):
            with self._journal.write() as tx:
                if came_meanwhile(tx, approval):
                    return None
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

    def tell(self, approval: Approval, counted: Counted, place: CardCalls) -> None:
        """Say in one thread what follows; a reply that is refused silences no other. Errors: as
        `Effects.perform`."""
        pieces = self._refusals(approval, counted.votes, place)
        if (fault := counted.unread.get(place.is_second)) is not None:
            pieces.append(partial(place.reply, approval, "unread", f"{UNREAD_SAID} ({fault})"))
        if counted.decided is None:
            told = (self._remind, self._escalate, self._tell_unreached)
            pieces += [partial(tell, approval, place) for tell in told]
            pieces += self.notes_of(approval, place)
        work = Apart()
        work.each(pieces)
        work.raise_first()

    def voters(self, approval: Approval) -> Voters:
        """Who may answer."""
        with self._journal.read() as tx:
            affected = affected_users(tx, approval)
        return voters_of(self.groups.policy(), self._config.people, approval, affected)

    def who_may(self, approval: Approval) -> str:
        """What the card says about who may answer."""
        after_s = escalates_after_s(self._config.approvals, approval)
        said = card_text.who_may_answer(approval, self.voters(approval), after_s)
        return "; ".join((said, *self.groups.faults.values()))

    def electorate(
        self, approval: Approval, answers: Mapping[bool, Sequence[Answer]]
    ) -> Electorate:
        """Look up, live, each account that answered, and could be an approver's; none in a chat
        that was not read."""
        with self._journal.read() as tx:
            affected = affected_users(tx, approval)
        people = self._config.people
        policy = self.groups.policy()
        unread = tuple(self.groups.faults)
        anybody = {**self.groups.members, **dict.fromkeys(unread, with_accounts(people))}
        perhaps = with_members(self._config.approvals, anybody)
        accounts: dict[str, Account | None] = {}
        for place in self.places:
            known = {place.account_of(person) for person in people.values()}
            if place.is_second not in answers:
                continue
            shown = answers[place.is_second]
            for answer in with_presses(approval, shown, is_second=place.is_second):
                if answer.account in known and answer.account not in accounts:
                    accounts[answer.account] = place.account(answer.account)
        return Electorate(
            people=people,
            approvers=approvers_of(policy, approval),
            unread=unread,
            perhaps=approvers_of(perhaps, approval) if unread else (),
            accounts=accounts,
            affected_users=affected,
            requested_by=approval.requested_by,
            takes_logins=self._config.approvals.cli,
        )

    def _refusals(
        self, approval: Approval, votes: Sequence[Vote], place: CardCalls
    ) -> list[Callable[[], None]]:
        """Tell those whose answer does not count, each once for each reason, where they gave it."""
        pieces: list[Callable[[], None]] = []
        labels = {asked.choice.emoji: asked.choice.label for asked in approval.choices}
        for vote in votes:
            if vote.why_not is None or vote.withdrawn or vote.is_second != place.is_second:
                continue
            label = labels.get(vote.choice, vote.choice)
            may_call = not vote.account.startswith((LOGIN, APP))
            is_odd = may_call and not place.chat.can_mention(vote.account)
            by = f" of {visible(vote.account[:60])}" if is_odd else ""
            text = f'The answer "{label}"{by} does not count: {vote.why_not}.'
            told = hashlib.sha256(f"{vote.account}:{vote.choice}:{vote.why_not}".encode())
            called = (vote.account,) if may_call and not is_odd else ()
            key = f"uncounted.{told.hexdigest()[:12]}"
            pieces.append(partial(place.reply, approval, key, text, called))
        return pieces

    def _remind(self, approval: Approval, place: CardCalls) -> None:
        """Once, when half the time has gone."""
        if approval.expires_at is None:
            return
        left = approval.expires_at - self._clock.now()
        if left <= timedelta(seconds=approval.expires_s / 2):
            place.reply(approval, "remind", card_text.reminder(approval), self.called(place))

    def _escalate(self, approval: Approval, place: CardCalls) -> None:
        """Call the next people, once; from then on they may answer, too."""
        policy = self.groups.policy()
        due = escalates_at(policy, approval, self.voters(approval))
        if due is None or self._clock.now() < due:
            return
        if approval.escalated_at is None:
            with self._journal.write() as tx:
                current = approvals.read(tx, approval.id)
                if current.escalated_at is None:
                    now = tx.clock.now()
                    approvals.save(tx, msgspec.structs.replace(current, escalated_at=now))
                    refs = {"case": approval.case_id, "approval": approval.id}
                    tx.entry("question_escalated", refs, {"to": policy.escalate_to})
        names = ", ".join(policy.escalate_to) or "nobody"
        text = f"Not decided yet: {names} may answer now, too."
        place.reply(approval, "escalate", text, place.accounts(policy.escalate_to))

    def _tell_unreached(self, approval: Approval, place: CardCalls) -> None:
        """Who answers here must know what nobody sees there; the card that stands in says it
        itself, of the time for which it was posted."""
        after = timedelta(seconds=self._config.approvals.fallback_after_s)
        told = approval.second.since if approval.second is not None and place.is_second else None
        for other in self.places:
            since = approval.unread.get(other.name)
            if other is place or since is None or since == told:
                continue
            if other.message_of(approval) is not None and self._clock.now() - since >= after:
                text = card_second.not_reached(other.name, since)
                place.reply(approval, f"unreached.{since:%Y%m%dT%H%M%S}", text)

    def notes_of(self, approval: Approval, place: CardCalls) -> list[Callable[[], None]]:
        """Tell each note in one thread."""
        return [
            partial(place.reply, approval, f"note.{number}", note)
            for number, note in enumerate(approval.notes)
        ]


def _note_quick(tx: Tx, settled: Approval) -> None:
    text = quick_yes(settled)
    if text is None:
        return
    approvals.add_note(tx, settled.id, text)
    refs = {"case": settled.case_id, "approval": settled.id}
    tx.entry("question_approved_quickly", refs, {"by": settled.decided_by})
