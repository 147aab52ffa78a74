"""A ticket's status: moved as the case goes on, and left to people as soon as one of them moved it.

Steps of the case's own scope: `way.<n>` is the way as it was found, `move.<n>` the move.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec
from msgspec import Struct

from connectors.base import action_of
from connectors.errors import Rejected
from connectors.model import CaseStage, TicketMove, TicketRef
from connectors.moving import MovesTickets
from runner.case_stage import stage_of
from runner.config import Mode
from runner.context import Call, StepFailed
from runner.effects import Effects, plain
from runner.journal import Journal, Tx, runs
from runner.journal.records import Case, StepClass, StepResult, StepStatus
from runner.roles import Roles

log = logging.getLogger(__name__)

Tell = Callable[[str, str], None]
"""Says a sentence in the ticket, once for its key."""


class _Way(Struct, frozen=True, kw_only=True):
    """`move` None: it is not moved, for the reason in `why`."""

    stage: CaseStage
    move: TicketMove | None = None
    why: str | None = None


class TicketState:
    """Moves tickets. The promise: never one that somebody else moved since our last move."""

    def __init__(self, journal: Journal, roles: Roles, effects: Effects) -> None:
        self._journal = journal
        self._roles = roles
        self._effects = effects

    def keep_up(self, case: Case, ticket: TicketRef, scope: str, tell: Tell) -> None:
        """Bring the ticket where the case's stage belongs, when configuration says where.

        Errors: a failed look is the connector's; `Suspended` while a move is in doubt. A move that
        is refused is told in the ticket, and not tried again until the stage is another."""
        moving = self._roles.tickets
        if not isinstance(moving, MovesTickets):
            return
        ways = self._found(scope)[0]
        with self._journal.read() as tx:
            stage = stage_of(tx, case)
            sent = runs.step(tx, scope, f"move.{len(ways)}")
        is_sent = sent is not None and sent.status is not StepStatus.PENDING
        if ways and (is_sent or ways[-1].stage is stage):
            # What may have been sent comes first, whatever the stage is by now; what was not sent
            # is not, once the case is elsewhere.
            self._go(moving, ticket, scope, len(ways), ways[-1], tell)
        if stage is None or (ways and ways[-1].stage is stage):
            return
        way = self._look(moving, ticket, stage, self._found(scope)[1])
        if way is not None:
            number = len(ways) + 1
            self._keep(scope, f"way.{number}", way)
            self._go(moving, ticket, scope, number, way, tell)

    def _found(self, scope: str) -> tuple[list[_Way], str | None]:
        """Each way as it was found, oldest first; and where our last move put the ticket."""
        with self._journal.read() as tx:
            steps = {step.key: step for step in runs.steps_of(tx, scope)}
        return _ways(steps), _last_moved(steps)

    def is_closed_by_us(self, tx: Tx, scope: str) -> bool:
        """Did our last move, of a case that was closed, succeed?"""
        steps = {step.key: step for step in runs.steps_of(tx, scope)}
        ways = _ways(steps)
        step = steps.get(f"move.{len(ways)}")
        is_done = step is not None and step.status is StepStatus.SUCCEEDED
        return is_done and ways[-1].stage is CaseStage.CLOSED

    def _look(
        self, moving: MovesTickets, ticket: TicketRef, stage: CaseStage, last: str | None
    ) -> _Way | None:
        """The way as it is now; None when configuration names none."""
        try:
            move = moving.plan_move(ticket, stage)
        except Rejected as fault:
            if fault.code != "no_transition":
                raise
            return _Way(stage=stage, why=f"Stockade did not move this ticket: {fault.text}.")
        if move is None:
            return None
        is_ours = move.is_untouched if last is None else move.from_status == last
        if not is_ours:
            why = "Somebody else moved this ticket: Stockade leaves its status to people."
            return _Way(stage=stage, why=why)
        return _Way(stage=stage, move=move)

    def _go(
        self,
        moving: MovesTickets,
        ticket: TicketRef,
        scope: str,
        number: int,
        way: _Way,
        tell: Tell,
    ) -> None:
        """Move it, or say why not. Repeat: each is done and said once."""
        move = way.move
        if move is None:
            tell(str(way.why), f"{way.why} The case is now: {way.stage.value}.")
            return
        action = action_of(MovesTickets.move_ticket)
        call = Call(
            name="move_ticket",
            send=lambda _elapsed_s: moving.move_ticket(ticket, move),
            action=action,
            look=lambda since: moving.was_moved(ticket, move, since) or None,
            settle_s=self._roles.settle_s("tickets", action),
            again_s=86400.0,
            outlasts_sign_in=True,
        )
        try:
            # A ticket that was opened is kept up, whatever the mode is by then.
            self._effects.perform(scope, f"move.{number}", call, Mode.ACT)
        except StepFailed as fault:
            log.warning("ticket=%s of %s was not moved: %s", ticket.key, scope, fault)
            text = f"Stockade did not move this ticket to {move.to_status}: {fault.text}."
            tell(f"move.{number}", text)

    def _keep(self, scope: str, key: str, way: _Way) -> None:
        with self._journal.write() as tx:
            now = tx.clock.now()
            step = StepResult(
                scope=scope,
                key=key,
                step_class=StepClass.READ,
                status=StepStatus.SUCCEEDED,
                value=plain(way),
                intended_at=now,
                ended_at=now,
            )
            runs.save_step(tx, step)


def _ways(steps: dict[str, StepResult]) -> list[_Way]:
    """Each way as it was found, oldest first."""
    count = sum(key.startswith("way.") for key in steps)
    return [msgspec.convert(steps[f"way.{n}"].value, _Way) for n in range(1, count + 1)]


def _last_moved(steps: dict[str, StepResult]) -> str | None:
    """Where our last move put it; None while there was none."""
    ways = _ways(steps)
    for number in range(len(ways), 0, -1):
        step, move = steps.get(f"move.{number}"), ways[number - 1].move
        if move is not None and step is not None and step.status is StepStatus.SUCCEEDED:
            return move.to_status
    return None
