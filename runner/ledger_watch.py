"""The ledger against the EDR: each isolation read again, and all that the EDR shows as contained.

An offline host is watched until its own record says contained; drift is told, both ways, and never
silently corrected: what somebody else lifted is not isolated again, and what somebody else isolated
is not lifted.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from functools import partial

import msgspec

from connectors.base import Effect
from connectors.errors import ConnectorError
from connectors.model import Device, IsolationState
from runner.context import Carry
from runner.isolation import foreign, foreign_gone, undone, verified
from runner.journal import Journal, Tx, cases, ledger
from runner.journal.ledger import look_again
from runner.journal.records import LedgerRow, LedgerState
from runner.leases import tend
from runner.roles import Roles

log = logging.getLogger(__name__)

SWEEP = "ledger sweep"
SWEEP_EVERY = timedelta(minutes=15)
AGAIN = timedelta(seconds=60)
"""When what could not be read is tried again."""
CONTAINED = (IsolationState.CONTAINED, IsolationState.CONTAIN_PENDING)


class LedgerWatch:
    """Watches isolations. `trouble`: what could not be done, by row."""

    def __init__(
        self, journal: Journal, roles: Roles, carry: Carry, trouble: dict[str, str]
    ) -> None:
        self._journal = journal
        self._roles = roles
        self._carry = carry
        self.trouble = trouble

    def watch(self) -> None:
        """Read each device that is due, and write what its own record says; now and then, all."""
        with self._journal.read() as tx:
            due = ledger.due(tx)
            is_sweep_due = ledger.is_sweep_due(tx)
        for row in due:
            fault = self._carry(f"ledger subject={row.subject}", partial(self._watch, row))
            if fault is not None:
                self.trouble[row.subject] = fault
                self._look_later(row)
        if is_sweep_due:
            with self._journal.write() as tx:
                ledger.sweep_after(tx, AGAIN)
            fault = self._carry(SWEEP, self._sweep)
            if fault is not None:
                self.trouble[SWEEP] = fault

    # -- one device --------------------------------------------------------------------------------

    def _watch(self, row: LedgerRow) -> None:
        try:
            fresh = self._roles.edr.read_device(row.device.device_id)
        except ConnectorError as fault:
            self.trouble[row.subject] = str(fault)
            log.warning("ledger subject=%s not verified: %s", row.subject, fault)
            self._look_later(row)
            return
        self.trouble.pop(row.subject, None)
        with self._journal.write() as tx:
            compare(tx, row, fresh)
            tend(tx, row.subject)

    def _look_later(self, row: LedgerRow) -> None:
        with self._journal.write() as tx:
            current = ledger.find(tx, row.subject) or row
            now = tx.clock.now()
            ledger.keep(tx, msgspec.structs.replace(current, due_at=now + AGAIN))

    # -- all that is contained ---------------------------------------------------------------------

    def _sweep(self) -> None:
        """Find what somebody else contained."""
        with self._journal.read() as tx:
            began_at = tx.clock.now()
        try:
            contained = self._roles.edr.contained_devices()
        except ConnectorError as fault:
            self.trouble[SWEEP] = f"the EDR's contained devices cannot be listed: {fault}"
            log.warning("ledger sweep failed: %s", fault)
            return
        self.trouble.pop(SWEEP, None)
        for device in contained:
            if device.state in CONTAINED:
                with self._journal.write() as tx:
                    if not _moved_since(tx, device, began_at):
                        foreign(tx, device)
        with self._journal.write() as tx:
            ledger.swept(tx, SWEEP_EVERY)


def _moved_since(tx: Tx, device: Device, began_at: datetime) -> bool:
    """Did a step of ours change the row while the EDR's list was read? Then the list is older."""
    row = ledger.find(tx, device.subject)
    return row is not None and any(at >= began_at for at in row.times.values())


def compare(tx: Tx, row: LedgerRow, fresh: Device) -> None:
    """Write what the device's own record says of a row."""
    is_release = row.state is LedgerState.RELEASE_REQUESTED or (
        row.state is LedgerState.UNKNOWN and LedgerState.RELEASE_REQUESTED in row.times
    )
    if row.state is LedgerState.FOREIGN:
        if fresh.state is IsolationState.NORMAL:
            foreign_gone(tx, row, fresh)
    elif fresh.state is IsolationState.CONTAINED and row.state is not LedgerState.RELEASE_REQUESTED:
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
    _note_look(tx, ledger.find(tx, row.subject) or row, fresh)


def _note_look(tx: Tx, current: LedgerRow, fresh: Device) -> None:
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


def _is_undone(row: LedgerRow, fresh: Device) -> bool:
    """Did somebody else lift it, or ask for that? Just after a request the record may lag."""
    if row.state is LedgerState.CONFIRMED:
        return fresh.state in (IsolationState.NORMAL, IsolationState.RELEASE_PENDING)
    is_pending = row.state in (LedgerState.REQUESTED, LedgerState.ACCEPTED)
    return is_pending and fresh.state is IsolationState.RELEASE_PENDING
