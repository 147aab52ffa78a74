"""After the run: the ledger against the EDR, and the tickets kept up.

Rows, each an intent and an outcome of its own; nothing here needs a run to be alive. An offline
host is watched until its own record says contained; drift is told, never silently corrected.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from connectors.base import Effect, Tickets, action_of
from connectors.errors import ConnectorError
from connectors.model import Clock, Device, IsolationState, TicketRef
from runner import report
from runner.config import Config, Mode
from runner.context import Call, Carry, StepFailed, Suspended
from runner.effects import Effects
from runner.evidence import case_files
from runner.isolation import undone, verified
from runner.journal import Journal, cases, ledger, runs
from runner.journal.ledger import look_again
from runner.journal.records import LIVE, Case, LedgerRow, LedgerState
from runner.roles import Roles

log = logging.getLogger(__name__)


class FollowUp:
    """Watches isolations and reports cases. `trouble`: what could not be done, by row."""

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
        self._effects = effects
        self._clock = clock
        self._carry = carry
        self.trouble: dict[str, str] = {}

    # -- the ledger --------------------------------------------------------------------------------

    def watch_ledger(self) -> None:
        """Read each device that is due, and write what its own record says."""
        with self._journal.read() as tx:
            due = ledger.due(tx)
        for row in due:
            fault = self._carry(f"ledger subject={row.subject}", partial(self._watch, row))
            if fault is not None:
                self.trouble[row.subject] = fault
                self._look_later(row)

    def _watch(self, row: LedgerRow) -> None:
        try:
            fresh = self._roles.edr.read_device(row.device.device_id)
        except ConnectorError as fault:
            self.trouble[row.subject] = str(fault)
            log.warning("ledger subject=%s not verified: %s", row.subject, fault)
            self._look_later(row)
            return
        self.trouble.pop(row.subject, None)
        self._compare(row, fresh)

    def _look_later(self, row: LedgerRow) -> None:
        with self._journal.write() as tx:
            current = ledger.find(tx, row.subject) or row
            now = tx.clock.now()
            ledger.keep(tx, msgspec.structs.replace(current, due_at=now + timedelta(seconds=60)))

    def _compare(self, row: LedgerRow, fresh: Device) -> None:
        is_release = row.state is LedgerState.RELEASE_REQUESTED or (
            row.state is LedgerState.UNKNOWN and LedgerState.RELEASE_REQUESTED in row.times
        )
        with self._journal.write() as tx:
            if fresh.state is IsolationState.CONTAINED and (
                row.state is not LedgerState.RELEASE_REQUESTED
            ):
                verified(tx, row.subject, fresh, Effect.CONTAIN)
            elif fresh.state is IsolationState.NORMAL and is_release:
                # Also a release that nobody knew the outcome of.
                verified(tx, row.subject, fresh, Effect.RELEASE)
            elif fresh.state is IsolationState.NORMAL and row.state is LedgerState.UNKNOWN:
                # Long after any request could land, the device's own record says: not contained.
                note = "the EDR says that it is not contained"
                ledger.save(tx, msgspec.structs.replace(row, state=LedgerState.FAILED, note=note))
                for holder in row.holders:
                    cases.revise(tx, holder)
            elif _is_undone(row, fresh):
                log.warning("ledger subject=%s drift: the EDR says %s", row.subject, fresh.state)
                undone(tx, row, fresh)
            current = ledger.find(tx, row.subject) or row
            looked = msgspec.structs.replace(current, due_at=look_again(current, tx.clock.now()))
            if current.state is LedgerState.CONFIRMED and fresh.state is IsolationState.CONTAINED:
                looked = msgspec.structs.replace(looked, verified_at=tx.clock.now())
            elif current.state is LedgerState.CONFIRMED:
                # What the EDR no longer says is not known any more.
                drift = "the EDR no longer says whether it is contained"
                looked = msgspec.structs.replace(looked, state=LedgerState.UNKNOWN, drift=drift)
                for holder in current.holders:
                    cases.revise(tx, holder)
            if (looked.state, looked.drift) != (current.state, current.drift):
                ledger.save(tx, looked)
            else:
                ledger.keep(tx, looked)

    # -- case reports ------------------------------------------------------------------------------

    def report_cases(self) -> None:
        """Tell each ticket what changed since it was last told; one comment for all of it."""
        with self._journal.read() as tx:
            waiting = cases.unreported(tx)
        for case in waiting:
            fault = self._carry(f"report case={case.id}", partial(self._keep_up, case))
            if fault is not None:
                self.trouble[case.id] = fault

    def _keep_up(self, case: Case) -> None:
        try:
            self._report(case)
        except Suspended:
            return
        except (ConnectorError, StepFailed) as fault:
            self.trouble[case.id] = str(fault)
            log.warning("ticket case=%s not kept up: %s", case.id, fault)
        else:
            self.trouble.pop(case.id, None)

    def _report(self, case: Case) -> None:
        with self._journal.read() as tx:
            is_over = all(run.status not in LIVE for run in runs.of_case(tx, case.id))
            document = report.case_document(tx, case, self._config.mode)
            files = case_files(tx, case) if is_over and case.ticket else {}
        if case.ticket is None:
            if is_over:
                self._set_reported(case)
            return
        ticket = case.ticket
        tickets = self._roles.tickets
        key = hashlib.sha256(f"{case.id}:{case.revision}".encode()).hexdigest()[:24]
        self._perform(
            case,
            f"comment.{case.revision}",
            "comment_ticket",
            lambda: tickets.comment_ticket(ticket, key, document),
            lambda: tickets.find_comment(ticket, key) or None,
        )
        for name, content in files.items():
            self._attach(case, ticket, name, content)
        self._set_reported(case)

    def _attach(self, case: Case, ticket: TicketRef, name: str, content: bytes) -> None:
        """One file of the evidence, once when the case's runs have ended."""
        tickets = self._roles.tickets
        self._perform(
            case,
            f"attach.{name}",
            "attach_file",
            lambda: tickets.attach_file(ticket, name, content),
            lambda: tickets.find_attachment(ticket, name) or None,
        )

    def _set_reported(self, case: Case) -> None:
        with self._journal.write() as tx:
            cases.set_reported(tx, case.id, case.revision)

    def _perform(
        self,
        case: Case,
        key: str,
        verb: str,
        send: Callable[[], Any],
        look: Callable[[], Any],
    ) -> None:
        action = action_of(getattr(Tickets, verb))
        call = Call(
            name=verb,
            send=lambda _elapsed_s: send(),
            action=action,
            look=look,
            settle_s=self._roles.settle_s("tickets", action),
            again_s=86400.0,
        )
        # A ticket that was opened is kept up, whatever the mode is by then.
        self._effects.perform(f"case:{case.id}", key, call, Mode.ACT)

    # -- time --------------------------------------------------------------------------------------

    def next_due_at(self) -> datetime | None:
        with self._journal.read() as tx:
            return ledger.next_due_at(tx)


def _is_undone(row: LedgerRow, fresh: Device) -> bool:
    """Did somebody else lift it, or ask for that? Just after a request the record may lag."""
    if row.state is LedgerState.CONFIRMED:
        return fresh.state in (IsolationState.NORMAL, IsolationState.RELEASE_PENDING)
    is_pending = row.state in (LedgerState.REQUESTED, LedgerState.ACCEPTED)
    return is_pending and fresh.state is IsolationState.RELEASE_PENDING
