"""The ledger: the truth about each isolation, from request to verified release."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from runner.journal.records import STANDING, LedgerRow, LedgerState
from runner.journal.talk_records import TalkVerdict
from runner.journal.transaction import Tx, instant


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


def is_counted(tx: Tx, subject: str) -> bool:
    """Was its isolation requested within the hour, so that the budget counts it?"""
    hour_ago = (tx.clock.now() - timedelta(hours=1)).timestamp()
    row = tx.one("select 1 from ledger where subject = ? and requested_at > ?", subject, hour_ago)
    return row is not None


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


def is_sweep_due(tx: Tx) -> bool:
    """Is it time to compare all of the EDR's contained devices with the ledger? Not before there is
    a ledger: an idle runner asks for nothing."""
    due_s = tx.meta("sweep_due_s")
    if due_s is not None and tx.now_s() < float(due_s):
        return False
    return tx.one("select 1 from ledger limit 1") is not None


def is_talk_due(tx: Tx) -> bool:
    """Is there an isolation that nobody listened to yet, or that it is time to listen to again?"""
    now = tx.clock.now()
    confirmed = (row for row in standing(tx) if row.state is LedgerState.CONFIRMED)
    return any(
        row.talk is None or (row.talk.due_at is not None and row.talk.due_at <= now)
        for row in confirmed
    )


def is_contradicted(row: LedgerRow) -> bool:
    """Did the host speak with somebody although the EDR called it isolated?"""
    return row.talk is not None and row.talk.verdict is TalkVerdict.TALKING


def sweep_after(tx: Tx, delay: timedelta) -> None:
    """When all are compared next."""
    tx.set_meta("sweep_due_s", str(tx.now_s() + delay.total_seconds()))


def swept(tx: Tx, again: timedelta) -> None:
    """All of the EDR's contained devices were compared just now; when that is done next."""
    sweep_after(tx, again)
    tx.set_meta("swept_s", str(tx.now_s()))


def swept_at(tx: Tx) -> datetime | None:
    """When they were last compared; None: never since this journal began."""
    at_s = tx.meta("swept_s")
    return instant(None if at_s is None else float(at_s))


def reminder_at(row: LedgerRow) -> datetime | None:
    """When people are reminded of a lease: an hour before its end, or a quarter of a short one."""
    if row.lease_until is None or row.lease_h is None:
        return None
    return row.lease_until - min(timedelta(hours=1), timedelta(hours=row.lease_h / 4))


def look_again(row: LedgerRow, now: datetime) -> datetime | None:
    """When to read the device next: soon while something is pending, rarely once it is settled, and
    when its lease says so."""
    due = _read_again(row, now)
    lease = row.lease_until if row.lease_told else reminder_at(row)
    if due is None or lease is None or row.state not in STANDING:
        return due
    return min(due, max(lease, now + timedelta(seconds=1)))


def _read_again(row: LedgerRow, now: datetime) -> datetime | None:
    if row.state in (LedgerState.NONE, LedgerState.RELEASED, LedgerState.FAILED):
        return None
    pending = row.state in (
        LedgerState.REQUESTED,
        LedgerState.ACCEPTED,
        LedgerState.RELEASE_REQUESTED,
    )
    return now + (timedelta(seconds=20) if pending else timedelta(minutes=15))
