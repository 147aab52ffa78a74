"""How a question's card comes to stand in a chat: built, posted once, found again after a crash."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

import msgspec

from connectors.listening import OffersButtons
from connectors.model import Card, MessageRef
from runner import card_second, card_text
from runner.approvals import make_void
from runner.arming import standing_for
from runner.card_answers import CardAnswers
from runner.card_calls import CardCalls, scope_of
from runner.config import Config
from runner.context import StepFailed
from runner.journal import Journal, Tx, approvals, cases, runs
from runner.journal.records import Approval, ApprovalState, StepStatus
from runner.pressing import binding_of
from runner.typed_answers import how_to_type

UNPOSTED = (None, StepStatus.FAILED, StepStatus.SKIPPED)


class CardPosting:
    """Posts cards. `places`: the first chat, and the fall-back chat where there is one."""

    def __init__(
        self, journal: Journal, config: Config, answers: CardAnswers, places: Sequence[CardCalls]
    ) -> None:
        self._journal = journal
        self._config = config
        self._answers = answers
        self._places = places

    def post(self, place: CardCalls, approval: Approval) -> Approval:
        """Build the card and post it; then the question is open. Errors: as `Effects.perform`."""
        posted = place.post(
            approval,
            partial(self._built, place, approval),
            partial(self._adopt, place, approval.id),
        )
        return self._stands(place, approval, msgspec.convert(posted, MessageRef))

    def adopt_late(self, place: CardCalls, approval: Approval) -> Approval:
        """A card whose posting was under way when the question was decided: it is found, so that it
        can be locked, or is never posted. Errors: `Suspended` as long as nobody knows."""
        if place.message_of(approval) is not None:
            return approval
        with self._journal.read() as tx:
            step = runs.step(tx, scope_of(approval), place.key("post"))
        if step is None or step.status in UNPOSTED:
            return approval
        try:
            posted = place.settle_post(approval, partial(self._adopt, place, approval.id))
        except StepFailed:
            return approval
        return self._stands(place, approval, msgspec.convert(posted, MessageRef))

    def posting(self, place: CardCalls, approval: Approval) -> StepStatus | None:
        """How far the posting came; None while it was not tried. FAILED: this chat will never have
        a card of the question. UNKNOWN: only a person can say whether it has."""
        with self._journal.read() as tx:
            step = runs.step(tx, scope_of(approval), place.key("post"))
        return None if step is None else step.status

    def refusal(self, place: CardCalls, approval: Approval) -> str | None:
        """Why this chat will never have a card of the question; None while it may."""
        with self._journal.read() as tx:
            step = runs.step(tx, scope_of(approval), place.key("post"))
        if step is None or step.status is not StepStatus.FAILED:
            return None
        return step.error.text if step.error is not None else f"{place.name}: failed"

    def was_overtaken(self, approval: Approval) -> bool:
        """A question whose mode no longer holds is not put; the run asks anew, or only observes."""
        with self._journal.read() as tx:
            run = runs.read(tx, approval.run_id)
            alert_id = None if run.requested_by is not None else run.alert_id
            mode = standing_for(tx, self._config, alert_id).mode
            keys = [place.key("post") for place in self._places]
            is_sent = any(runs.step(tx, scope_of(approval), key) for key in keys)
        if mode is not approval.mode and not is_sent:
            with self._journal.write() as tx:
                make_void(tx, approval, f"the mode is {mode} now")
            return True
        return False

    def _stands(self, place: CardCalls, approval: Approval, message: MessageRef) -> Approval:
        """The card stands: the first one that does opens the question."""
        with self._journal.write() as tx:
            posted = place.with_message(approvals.read(tx, approval.id), message)
            if posted.state is ApprovalState.POSTING:
                now = tx.clock.now()
                posted = msgspec.structs.replace(posted, state=ApprovalState.OPEN, opened_at=now)
            approvals.save(tx, posted)
            kind = "fallback_card_posted" if place.is_second else "card_posted"
            tx.entry(kind, {"approval": approval.id}, message)
            cases.revise(tx, approval.case_id)
        return posted

    def _adopt(self, place: CardCalls, approval_id: str, sent_at: datetime) -> MessageRef | None:
        """The card as it was posted before the answer was lost. One that shows something else by
        now is adopted with the hash that it should have: it becomes void at the first look."""
        chat = place.chat
        found = chat.find_message(approval_id, sent_at=sent_at)
        with self._journal.read() as tx:
            card = place.card_of(approvals.read(tx, approval_id))
        if found is None or card is None or chat.is_card(card, found.sha256):
            return found
        return msgspec.structs.replace(found, sha256=chat.card_sha256(card))

    def _built(self, place: CardCalls, approval: Approval) -> Card:
        """The card as it is about to be sent. As long as none stands, its time starts anew."""
        who = self._answers.who_may(approval)
        why_not_typed = self._answers.replies.why_not(place.chat)
        with self._journal.write() as tx:
            current = place.with_typing(approvals.read(tx, approval.id), why_not_typed is None)
            if why_not_typed is not None:
                refs = {"case": approval.case_id, "approval": approval.id}
                why = {"chat": place.name, "why": why_not_typed}
                tx.entry("replies_ignored", refs, why)
            typed = how_to_type(current) if why_not_typed is None else None
            if current.state is ApprovalState.POSTING:
                expires_at = tx.clock.now() + timedelta(seconds=approval.expires_s)
                current = msgspec.structs.replace(current, expires_at=expires_at)
            notice = self._notice(tx, place, current)
            said = tuple(one for one in (who, typed) if one is not None)
            card = card_text.card(tx, current, self._answers.called(place), said, notice)
            if isinstance(place.chat, OffersButtons) and place.chat.offers_buttons():
                card = msgspec.structs.replace(card, binding=binding_of(current))
            approvals.save(tx, place.with_card(current, card, self._places[0].name))
        return card

    def _notice(self, tx: Tx, place: CardCalls, approval: Approval) -> str | None:
        """What the card says of the other chat's."""
        first = self._places[0]
        if place.is_second:
            step = runs.step(tx, scope_of(approval), first.key("post"))
            is_refused = step is not None and step.status is StepStatus.FAILED
            refusal = step.error.text if is_refused and step and step.error else None
            return card_second.stands_in(first.name, approval.unread.get(first.name), refusal)
        if approval.second is not None and approval.second.message is not None:
            return card_second.is_also_in(approval.second.name)
        return None
