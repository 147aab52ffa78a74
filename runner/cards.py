"""The cards: asking, reading answers, deciding, locking, telling.

Rows, not threads: each question that is not closed is looked at again and again. A card is posted
as a new message each time, read back and compared before any answer counts, and locked as soon as
it is decided. Where a fall-back chat is configured, a question may have a card in both: their
answers are one set, and what fails in one chat holds up nothing in the other.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial

from connectors.errors import ConnectorError
from connectors.model import CardReading, Clock
from runner.approvals import expire, make_void
from runner.arming import is_paused
from runner.card_answers import CardAnswers
from runner.card_calls import CardCalls
from runner.card_closing import CardClosing
from runner.card_posting import CardPosting
from runner.card_reach import Apart, LeftAlone, Reach
from runner.config import FALLBACK, Config
from runner.context import Carry, StepFailed, Suspended
from runner.effects import Effects
from runner.journal import Journal, approvals
from runner.journal.records import Approval, ApprovalState, StepStatus
from runner.last_look import LastLook
from runner.roles import Roles
from runner.user_groups import UserGroups

log = logging.getLogger(__name__)

ASKED_WITHIN = timedelta(minutes=1)
"""A card that takes longer to be posted is a trouble of its own."""


class Cards:
    """Drives every question's cards. `trouble` says why a question could not be put or read."""

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
        bound = ("chat", FALLBACK) if roles.has(FALLBACK) else ("chat",)
        self._places = [CardCalls(roles, effects, config, role) for role in bound]
        groups = UserGroups(config, roles, clock)
        self._answers = CardAnswers(journal, config, self._places, groups, clock)
        self.last_look = LastLook(journal, self._answers, clock)
        self._posting = CardPosting(journal, config, self._answers, self._places)
        after = timedelta(seconds=config.approvals.fallback_after_s)
        self._reach = Reach(journal, clock, self._places, after)
        self._closing = CardClosing(
            journal, self._places, self._reach, self._posting, self._answers, self.last_look
        )
        self._clock = clock
        self._carry = carry
        self.trouble: dict[str, str] = {}
        self._is_paused = False
        self._is_agreed = False

    def advance(self, heard: str | None = None) -> bool:
        """One look at each question; the gravest first. One that fails holds up no other. True when
        the look ended early and is to be gone on with. `heard`: only at the one with this message.

        The look ends early with a yes, because what was agreed to goes before all else. A chat that
        failed twice in a row is left alone for the rest of the look, and when that is every chat
        the look ends, because a chat that is down must not hold up a cut.
        """
        with self._journal.read() as tx:
            waiting = [one for one in approvals.unclosed(tx) if heard in (None, *_ids(one))]
            self._is_paused = is_paused(tx) is not None
        looked_at = {one.code for one in waiting}
        kept = {} if heard is None else self.trouble
        self.trouble = {code: why for code, why in kept.items() if code not in looked_at}
        self._is_agreed = False
        self._reach.begin()
        for approval in waiting:
            if heard is not None:
                self._answers.replies.hurry(approval)
            fault = self._carry(f"card approval={approval.id}", partial(self._serve, approval))
            if fault is not None:
                self.trouble[approval.code] = fault
            if self._is_agreed or self._reach.is_lost:
                break
        return self._is_agreed

    def _serve(self, approval: Approval) -> None:
        try:
            self._is_agreed = self._turn(approval)
        except Suspended:
            self._is_agreed = self._answers.count_here(approval.id)
            if self._is_unasked(approval):
                self.trouble[approval.code] = "its card is not posted yet: nobody was asked"
        except (ConnectorError, StepFailed) as fault:
            self._note_trouble(approval, fault)
            self._expire_unseen(approval)
            self._is_agreed = self._answers.count_here(approval.id)

    def _note_trouble(
        self, approval: Approval, *faults: BaseException, unknown: tuple[str, ...] = ()
    ) -> None:
        for fault in faults:
            if not isinstance(fault, Suspended):
                log.warning("card approval=%s not served: %s", approval.id, fault)
        said = [str(fault) for fault in faults if not isinstance(fault, Suspended)]
        said += unknown
        if said:
            self.trouble[approval.code] = "; ".join(dict.fromkeys(said))

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
            case ApprovalState.POSTING | ApprovalState.OPEN if self._was_moved(approval):
                return False
            case ApprovalState.POSTING if self._is_paused:
                return False
            case ApprovalState.POSTING:
                self._ask(approval)
            case ApprovalState.OPEN:
                return self._watch(approval)
            case _:
                self._closing.close(approval)
        return False

    def _was_moved(self, approval: Approval) -> bool:
        """A question whose card went to another connector than is bound now is void: a no under
        that card would not be seen."""
        for place in self._places:
            if (name := place.elsewhere(approval)) is not None:
                role = FALLBACK if place.is_second else "chat"
                why = f"its card went to {name}, and roles.{role} names {place.name} now"
                self._make_void(approval, why)
                return True
        return False

    def _again(self, approval: Approval) -> Approval:
        with self._journal.read() as tx:
            return approvals.read(tx, approval.id)

    # -- asking ------------------------------------------------------------------------------------

    def _ask(self, approval: Approval) -> None:
        """Post the card, in the first chat or else in the one that stands in for it."""
        if self._posting.was_overtaken(approval):
            return
        work = Apart()
        for place in self._places:
            if self._is_wanted(place, approval):
                work.do(partial(self._put, place, approval))
                approval = self._again(approval)
            if approval.state is ApprovalState.OPEN:
                self._note_trouble(approval, *work.faults)
                return
        refusals = [self._posting.refusal(place, approval) for place in self._places]
        said = [why for why in refusals if why is not None]
        if len(said) == len(self._places):
            self._make_void(approval, f"could not ask: {'; '.join(said)}")
        elif self._is_given_up(approval):
            with self._journal.write() as tx:
                expire(tx, approval)
        work.raise_first()

    def _is_given_up(self, approval: Approval) -> bool:
        """Is its time over, and its card tried nowhere any more? Only a person can say whether one
        stands, and none did."""
        until = approval.created_at + timedelta(seconds=approval.expires_s)
        ends = (StepStatus.FAILED, StepStatus.UNKNOWN)
        return self._clock.now() >= (approval.expires_at or until) and all(
            self._posting.posting(place, approval) in ends for place in self._places
        )

    def _is_wanted(self, place: CardCalls, approval: Approval) -> bool:
        """Is a card to be posted here now? The fall-back's at once where the first chat refused its
        own, or refuses to say whether it has it; else once that was out of reach for a while."""
        if self._is_paused:
            return False
        if not place.is_second:
            is_refused = self._posting.posting(place, approval) is StepStatus.FAILED
            return not is_refused or len(self._places) == 1
        first = self._places[0]
        is_lost = self._posting.posting(first, approval) in (StepStatus.FAILED, StepStatus.UNKNOWN)
        return is_lost or self._reach.was_down(first, approval)

    def _put(self, place: CardCalls, approval: Approval) -> None:
        """Post one card; its choices come under it. Errors: as `Effects.perform`."""
        try:
            post = partial(self._posting.post, place, approval)
            posted = self._reach.do(place, post, first_of=approval)
        except LeftAlone:
            raise
        except (Suspended, ConnectorError):
            self._reach.note_unreached(place, approval)
            raise
        except StepFailed:
            # No card will stand there: there is nothing that could not be read.
            self._reach.note_reached(place, approval)
            raise
        self._reach.note_reached(place, approval)
        self._seed(place, posted)

    def _seed(self, place: CardCalls, approval: Approval) -> None:
        """Put the choices under the card. Answers are read whether that works or not."""
        message = place.message_of(approval)
        if message is not None:
            self._reach.do(place, partial(place.seed, approval, message))

    # -- reading -----------------------------------------------------------------------------------

    def _watch(self, approval: Approval) -> bool:
        """Read the cards back, count their answers, decide; expiry is a no. True for a yes."""
        if self._is_over(approval):
            with self._journal.write() as tx:
                expire(tx, approval)
            return False
        work = Apart()
        readings: dict[bool, CardReading] = {}
        for place in self._places:
            if place.message_of(approval) is not None:
                reading = work.do(partial(self._read, place, approval))
                if reading is not None:
                    readings[place.is_second] = reading
            elif self._is_wanted(place, approval):
                work.do(partial(self._put, place, approval))
            approval = self._again(approval)
            if approval.state is not ApprovalState.OPEN:
                return False
        if not readings:
            work.raise_first()
            return False
        return self._decide(approval, readings, work)

    def _read(self, place: CardCalls, approval: Approval) -> CardReading | None:
        """What one card shows; None where it makes the question void. Errors: as `read_card`."""
        message = place.message_of(approval)
        where = f" in {place.name}" if place.is_second else ""
        if message is None:
            return None
        try:
            read = partial(place.read, approval)
            reading = self._reach.do(place, read, first_of=approval)
        except LeftAlone:
            raise
        except ConnectorError:
            self._reach.note_unreached(place, approval)
            raise
        self._reach.note_reached(place, approval)
        if reading is None:
            self._make_void(approval, f"the card{where} was deleted")
            return None
        if reading.sha256 != message.sha256:
            self._make_void(approval, f"the card{where} does not show what was posted")
            return None
        return reading

    def _decide(self, approval: Approval, readings: dict[bool, CardReading], work: Apart) -> bool:
        """Count what could be read, and tell each thread that can be reached."""
        may_agree = self._may_agree(approval, readings)
        counted = self._answers.count(approval, readings, may_agree=may_agree)
        for place in self._places:
            if place.is_second in readings:
                tell = partial(self._answers.tell, approval, counted, place)
                work.do(partial(self._reach.do, place, tell))
                if not counted.is_yes:
                    work.do(partial(self._seed, place, approval))
        unknown = (*self._answers.groups.faults.values(), *counted.unread.values())
        self._note_trouble(approval, *work.faults, unknown=unknown)
        return counted.is_yes

    def _may_agree(self, approval: Approval, readings: dict[bool, CardReading]) -> bool:
        """A yes waits while a card that stands in the other chat fails only since a moment ago: a
        no may stand there, and the next look may see it."""
        return all(
            place.is_second in readings
            or place.message_of(approval) is None
            or self._reach.was_down(place, approval)
            for place in self._places
        )

    def _make_void(self, approval: Approval, why: str) -> None:
        with self._journal.write() as tx:
            make_void(tx, approval, why)


def _ids(approval: Approval) -> list[str]:
    return [message.id for message in approvals.messages_of(approval)]
