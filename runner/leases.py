"""The lease of an isolation: people are reminded before it ends, and asked to release at its end.

It lifts nothing: at the end of a lease the question is put, and without a yes the isolation stands
and is asked about again when as much time has gone once more.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from runner.isolation import leased
from runner.journal import Tx, approvals, cases, ledger
from runner.journal.ledger import look_again, reminder_at
from runner.journal.records import STANDING, LedgerRow, LedgerState
from runner.releasing import ask_release, asking, case_for
from runner.wording import clock_text

LEASED = (LedgerState.REQUESTED, LedgerState.ACCEPTED, LedgerState.CONFIRMED)
"""States in which a lease runs; what is in doubt is a person's first."""
BY_LEASE = "lease"
"""Who asks for a release at the end of a lease. It is nobody's login, so that the question needs
two people wherever there are two approvers."""


def tend(tx: Tx, subject: str) -> None:
    """Remind, or ask, when it is time. Repeat: each once; what fell due while no runner was at work
    is done at the next occasion."""
    row = ledger.find(tx, subject)
    remind_at = None if row is None else reminder_at(row)
    if row is None or row.lease_until is None or remind_at is None or row.state not in LEASED:
        return
    now = tx.clock.now()
    if now >= row.lease_until:
        _end(tx, row)
    elif now >= remind_at and not row.lease_told:
        name = row.device.hostname
        tell(
            tx,
            msgspec.structs.replace(row, lease_told=True),
            f"{name}: its isolation is leased until {clock_text(row.lease_until)}. To keep it: "
            f"stockade renew {name} --reason …; otherwise people are asked to release it then",
        )


def _end(tx: Tx, row: LedgerRow) -> None:
    name, ended = row.device.hostname, clock_text(row.lease_until)
    if not (row.is_ours or row.adopted_by):
        left = leased(row, None, tx.clock.now())
        why = f"{name}: the lease ended at {ended}. It is not ours to lift: nobody is asked"
        tell(tx, left, why)
        return
    if asking(tx, row) is None:
        reason = f"its lease ended at {ended}, and nobody renewed it"
        ask_release(tx, row, case_for(tx, row), reason, BY_LEASE, is_whole=True)
    # Without a yes it stands, and people are asked again after the same time.
    again = leased(row, row.lease_h, tx.clock.now())
    first = row.lease_ended_at or row.lease_until
    again = msgspec.structs.replace(again, lease_ended_at=first, renewed_by=row.renewed_by)
    tx.entry("lease_ended", {"subject": row.subject}, {"until": row.lease_until})
    tell(
        tx,
        again,
        f"{name}: the lease ended at {ended}: people are asked to release it. Until they agree it "
        "stays isolated",
    )


def renew(tx: Tx, row: LedgerRow, hours: float, actor: str, reason: str) -> LedgerRow:
    """Let a lease begin anew, for so many hours from now. Repeat: from then on."""
    again = msgspec.structs.replace(leased(row, hours, tx.clock.now()), renewed_by=actor)
    refs = {"subject": row.subject}
    tx.entry("lease_renewed", refs, {"hours": hours, "reason": reason}, actor=actor)
    return tell(
        tx,
        again,
        f"{row.device.hostname}: its isolation was renewed by {actor} until "
        f"{clock_text(again.lease_until)}: {reason}",
    )


def is_overdue(row: LedgerRow, now: datetime) -> bool:
    """Did its lease end, and nobody renewed it? True also while no runner was there to ask."""
    if row.lease_until is None or row.state not in STANDING:
        return False
    return row.lease_ended_at is not None or now >= row.lease_until


def lease_text(row: LedgerRow, now: datetime) -> str:
    """Until when it is leased, through whom; or that its lease is over. For a row with a lease."""
    if is_overdue(row, now):
        ended = clock_text(row.lease_ended_at or row.lease_until)
        return f"lease OVERDUE since {ended}: release it, or stockade renew {row.device.hostname}"
    by = "" if row.renewed_by is None else f", renewed by {row.renewed_by}"
    return f"lease until {clock_text(row.lease_until)}{by}"


def tell(tx: Tx, row: LedgerRow, text: str) -> LedgerRow:
    """Keep the row, and say it in the card's thread and in the holders' tickets."""
    row = msgspec.structs.replace(row, due_at=look_again(row, tx.clock.now()), note=text)
    ledger.keep(tx, row)
    if row.approval_id is not None:
        approvals.add_note(tx, row.approval_id, f"{text}.")
    for holder in row.holders:
        cases.revise(tx, holder)
    return row
