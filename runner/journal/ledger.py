"""The ledger: the truth about each isolation, from request to verified release."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from runner.journal.records import STANDING, LedgerRow, LedgerState
from runner.journal.store import Tx, instant


def find(tx: Tx, subject: str) -> LedgerRow | None:
    row = tx.one("select body from ledger where subject = ?", subject)
    return None if row is None else msgspec.json.decode(row[0], type=LedgerRow)


def save(tx: Tx, row: LedgerRow) -> LedgerRow:
    """Store a row and append its state to the chain."""
    now = tx.clock.now()
    if row.state not in row.times:
        row = msgspec.structs.replace(row, times={**row.times, row.state: now})
    keep(tx, row)
    tx.entry(
        f"ledger_{row.state}",
        {"subject": row.subject},
        {"holders": row.holders, "drift": row.drift, "verified_at": row.verified_at},
    )
    return row


def keep(tx: Tx, row: LedgerRow) -> None:
    """Store a row that tells nothing new: when it was last looked at, and when it is next."""
    requested = row.times.get(LedgerState.REQUESTED)
    tx.change(
        "insert or replace into ledger values (?, ?, ?, ?, ?)",
        row.subject,
        row.state,
        None if row.due_at is None else row.due_at.timestamp(),
        None if requested is None else requested.timestamp(),
        msgspec.json.encode(row).decode(),
    )


def requested_since(tx: Tx, since: datetime) -> int:
    """How many isolations were requested through us: what the budget counts."""
    row = tx.one("select count(*) from ledger where requested_at > ?", since.timestamp())
    return int(row[0])


def standing(tx: Tx) -> list[LedgerRow]:
    """Devices that are, or may be, cut off through us."""
    return [row for row in every(tx) if row.state in STANDING]


def every(tx: Tx) -> list[LedgerRow]:
    rows = tx.all("select body from ledger")
    return [msgspec.json.decode(row[0], type=LedgerRow) for row in rows]


def of_case(tx: Tx, case_id: str) -> list[LedgerRow]:
    return [row for row in every(tx) if case_id in row.holders]


def due(tx: Tx) -> list[LedgerRow]:
    rows = tx.all("select body from ledger where due_at <= ?", tx.now_s())
    return [msgspec.json.decode(row[0], type=LedgerRow) for row in rows]


def next_due_at(tx: Tx) -> datetime | None:
    return instant(tx.one("select min(due_at) from ledger where due_at is not null")[0])


def look_again(row: LedgerRow, now: datetime) -> datetime | None:
    """When to read the device next: soon while something is pending, rarely once it is settled."""
    if row.state in (LedgerState.NONE, LedgerState.RELEASED, LedgerState.FAILED):
        return None
    pending = row.state in (
        LedgerState.REQUESTED,
        LedgerState.ACCEPTED,
        LedgerState.RELEASE_REQUESTED,
    )
    return now + (timedelta(seconds=20) if pending else timedelta(minutes=15))
