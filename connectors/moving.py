"""What a ticket system can, beyond the role `Tickets`, that moves tickets from status to status.

Not every one does: whoever moves tickets asks first (`isinstance`), and leaves the others alone.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol, runtime_checkable

from connectors.base import Effect, Recovery, action
from connectors.model import CaseStage, TicketMove, TicketRef


@runtime_checkable
class MovesTickets(Protocol):
    """Looks for the way first, and then takes it."""

    def plan_move(self, ticket: TicketRef, stage: CaseStage) -> TicketMove | None:
        """The way to where tickets of this stage belong; None, without a call, when configuration
        says none. Errors: `Rejected` with code `no_transition` for no way, several, or one that
        asks for more; `no_permission` where the account is shown none."""
        ...

    def was_moved(self, ticket: TicketRef, move: TicketMove, since: datetime) -> bool:
        """Did the ticket go this way since then, wherever it is by now?"""
        ...

    @action(Effect.DOCUMENT, Recovery.LOOK, settle_s=30)
    def move_ticket(self, ticket: TicketRef, move: TicketMove) -> None:
        """Reads the status first: there already is done; anywhere else than `from_status` is
        `Rejected` with code `moved`, and nothing is sent."""
        ...
