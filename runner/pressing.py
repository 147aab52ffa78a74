"""Buttons that people press in chat: written down here, judged with the reactions.

A press counts as the same account's reaction would, by the same rules and at the runner's next
look. What is refused here is only what belongs to no open question of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from connectors.document import visible
from connectors.model import Answer, MessageRef, Press
from runner.config import Config
from runner.journal import Journal, Tx, approvals
from runner.journal.pressed import Pressed
from runner.journal.records import Approval, ApprovalState, ChoiceRole

NO_ROLES = (ChoiceRole.DENY, ChoiceRole.VETO)
MOST_REMEMBERED = 500
"""Refusals that are written down, by one process: whoever presses without end fills no disk."""


def binding_of(approval: Approval) -> str:
    """What a button is bound to beside its card: the question's code and exactly what it allows."""
    return f"{approval.code}.{approval.plan_sha256}"


def with_presses(
    approval: Approval, answers: Sequence[Answer], *, is_second: bool
) -> tuple[Answer, ...]:
    """One card's answers, those that were given with its buttons included."""
    pressed = [one for one in approval.pressed if one.is_second == is_second]
    return (*answers, *(Answer(account=one.account, choice=one.choice) for one in pressed))


def came_meanwhile(tx: Tx, approval: Approval) -> bool:
    """Was something answered since the question was read that is about to be decided? A no that is
    written down already must not come too late."""
    current = approvals.read(tx, approval.id)
    return (current.pressed, current.local) != (approval.pressed, approval.local)


class Pressing:
    """Writes presses down. `on_new`: is told the message of each that is to be judged now, once it
    is written."""

    def __init__(
        self,
        journal: Journal,
        config: Config,
        on_new: Callable[[str], None] = lambda _message_id: None,
    ) -> None:
        self._journal = journal
        self._config = config
        self._on_new = on_new
        self._refused: set[tuple[str, str, str]] = set()

    def note(self, press: Press) -> str | None:
        """Write it down; gives what the person is to be told when it does not count. Repeat: an
        account's press of one choice is written down once. Errors: as `Journal.write`'s."""
        with self._journal.write() as tx:
            approval = approvals.find(tx, press.card) if approvals.is_id(press.card) else None
            why = press.refusal or _why_not(approval, press)
            if approval is None or why is not None:
                why = why or "its question is not known"
                self._note_refused(tx, press, approval, why)
                return f"Your press does not count: {why}."
            is_new = self._note_taken(tx, press, approval)
        if is_new:
            self._on_new(press.message_id)
        return None

    def _note_taken(self, tx: Tx, press: Press, approval: Approval) -> bool:
        """False when it was written down before."""
        is_second = not _is_at(approval.message, press)
        known = {(one.account, one.choice, one.is_second) for one in approval.pressed}
        if (press.account, press.choice, is_second) in known:
            return False
        said = Pressed(
            account=press.account,
            choice=press.choice,
            at=tx.clock.now(),
            team=press.team,
            channel=press.channel,
            message_id=press.message_id,
            pressed_at=press.pressed_at,
            envelope=press.envelope,
            is_second=is_second,
        )
        approvals.save(tx, msgspec.structs.replace(approval, pressed=(*approval.pressed, said)))
        tx.entry("button_pressed", {"case": approval.case_id, "approval": approval.id}, said)
        for person in self._config.people.values():
            account = person.fallback_account if is_second else person.account
            if account == press.account:
                # Others see a reaction; a press only the one who made it.
                label = _labels(approval)[press.choice]
                approvals.add_note(tx, approval.id, f"{person.name} pressed «{label}».")
        return True

    def _note_refused(self, tx: Tx, press: Press, approval: Approval | None, why: str) -> None:
        known = (press.account, press.message_id, why)
        if known in self._refused or len(self._refused) >= MOST_REMEMBERED:
            return
        self._refused.add(known)
        refs = {} if approval is None else {"case": approval.case_id, "approval": approval.id}
        facts = {name: visible(str(value)) for name, value in msgspec.structs.asdict(press).items()}
        tx.entry("button_refused", refs, {**facts, "refusal": why})


def _why_not(approval: Approval | None, press: Press) -> str | None:
    """Why a press belongs to no open question; None when it is to be judged."""
    if approval is None:
        return "its question is not known"
    if not _takes(approval, press.choice):
        return f"the question is {approval.state} already"
    cards = approvals.messages_of(approval)
    if not cards:
        return "the question is only just being put; press again in a moment, or react"
    if not any(_is_at(card, press) for card in cards):
        return "the button is of another card"
    if press.binding != binding_of(approval):
        return "the button is of another plan"
    if press.choice not in _labels(approval):
        return "the question has no such answer"
    return None


def _takes(approval: Approval, choice: str) -> bool:
    """A no to what people agreed to is taken, too: it stops what is not sent yet, and else whoever
    gave it is told that it came too late."""
    if approval.state is ApprovalState.APPROVED:
        noes = {asked.choice.emoji for asked in approval.choices if asked.role in NO_ROLES}
        return choice in noes and not approval.closed
    return approval.state in (ApprovalState.POSTING, ApprovalState.OPEN)


def _is_at(card: MessageRef | None, press: Press) -> bool:
    return card is not None and (card.channel, card.id) == (press.channel, press.message_id)


def _labels(approval: Approval) -> dict[str, str]:
    return {asked.choice.emoji: asked.choice.label for asked in approval.choices}
