"""The commands `isolations` and `renew`: what is isolated, for whom and until when; and for longer.

What is said of a device is what its own record last said; nothing here asks the EDR.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from runner import leases
from runner.config import LONGEST_LEASE_H, Config
from runner.effects import plain
from runner.hostname import is_same_host
from runner.journal import Journal, Tx, approvals, ledger
from runner.journal.records import STANDING, LedgerRow, LedgerState
from runner.result import Result
from runner.wording import clock_text, heard_of, ledger_words

LASTING = (*STANDING, LedgerState.FOREIGN)
"""States in which there may be something to let back."""
DRIFT_SHOWN = timedelta(hours=24)
"""How long an isolation that somebody else undid stays in the list."""


def lasting(tx: Tx) -> list[LedgerRow]:
    return [row for row in ledger.every(tx) if row.state in LASTING]


def is_named(row: LedgerRow, host: str) -> bool:
    return host == row.device.device_id or is_same_host(host, row.device.hostname)


def adopt(tx: Tx, row: LedgerRow, actor: str, reason: str) -> LedgerRow:
    """A person says by name that what is not ours may be lifted through us."""
    refs = {"subject": row.subject}
    tx.entry("isolation_adopted", refs, {"reason": reason}, actor=actor)
    adopted = msgspec.structs.replace(row, adopted_by=actor)
    ledger.keep(tx, adopted)
    return adopted


# -- looking ---------------------------------------------------------------------------------------


def show_isolations(journal: Journal, *, is_all: bool) -> Result:
    """Each isolation with state, holders, lease and drift. Exit code 1 when one needs a person:
    unknown, drifted, overdue, made by somebody else, or still talking."""
    with journal.read() as tx:
        now = tx.clock.now()
        rows = sorted(ledger.every(tx), key=lambda row: row.device.hostname.lower())
    shown = [row for row in rows if is_all or is_open(row, now)]
    is_bad = any(needs_person(row, now) for row in rows if is_open(row, now))
    text = "\n".join(line for row in shown for line in _lines(row, now)) or "nothing is isolated"
    data = [data_of(row, now) for row in shown]
    return Result(code=1 if is_bad else 0, data=data, text=text)


def is_open(row: LedgerRow, now: datetime) -> bool:
    """Does it last, or was it lifted by somebody else within a day?"""
    if row.state is LedgerState.RELEASED and row.drift is not None:
        return now - row.times.get(row.state, now) < DRIFT_SHOWN
    return row.state in LASTING or row.state is LedgerState.RELEASE_REQUESTED


def needs_person(row: LedgerRow, now: datetime) -> bool:
    """Unknown, drifted, overdue, made by somebody else, or still talking."""
    in_doubt = row.state in (LedgerState.UNKNOWN, LedgerState.FOREIGN)
    is_talking = row.state is LedgerState.CONFIRMED and ledger.is_contradicted(row)
    return in_doubt or is_talking or row.drift is not None or leases.is_overdue(row, now)


def data_of(row: LedgerRow, now: datetime) -> dict[str, Any]:
    """One row, for a program."""
    return {
        "hostname": row.device.hostname,
        "device_id": row.device.device_id,
        "state": row.state.value,
        "since": plain(row.times.get(row.state)),
        "verified_at": plain(row.verified_at),
        "holders": list(row.holders),
        "is_ours": row.is_ours,
        "adopted_by": row.adopted_by,
        "lease_until": plain(row.lease_until),
        "lease_ended_at": plain(row.lease_ended_at),
        "renewed_by": row.renewed_by,
        "is_overdue": leases.is_overdue(row, now),
        "drift": row.drift,
        "heard": None if row.talk is None else row.talk.verdict,
        "talked_with": [] if row.talk is None else list(row.talk.foreign),
    }


def status_line(row: LedgerRow, now: datetime) -> str:
    """One isolation in a line: of whom, how it stands, for whom, and until when."""
    said = f"{row.device.hostname} ({row.device.device_id}): {ledger_words(row)}"
    if row.holders:
        said = f"{said}; for {', '.join(row.holders)}"
    if row.lease_until is not None:
        said = f"{said}; {leases.lease_text(row, now)}"
    return said if row.drift is None or row.state is LedgerState.FOREIGN else f"{said}; {row.drift}"


def _lines(row: LedgerRow, now: datetime) -> list[str]:
    since = clock_text(row.times.get(row.state))
    lines = [f"{row.device.hostname} ({row.device.device_id}): {ledger_words(row)}"]
    lines.append(f"  since {since}; for {', '.join(row.holders) or 'no known case'}")
    if row.verified_at is not None:
        lines.append(f"  its record last said contained at {clock_text(row.verified_at)}")
    if not row.is_ours and row.state is not LedgerState.FOREIGN:
        whose = f"adopted by {row.adopted_by}" if row.adopted_by else "isolated before us"
        lines.append(f"  not known to be ours: {whose}")
    if row.lease_until is not None:
        lines.append(f"  {leases.lease_text(row, now)}")
    if row.drift is not None:
        lines.append(f"  DRIFT: {row.drift}")
    if heard := heard_of(row):
        lines.append(f"  {heard}")
    return lines


# -- renewing --------------------------------------------------------------------------------------


def renew(
    journal: Journal,
    config: Config,
    what: str,
    reason: str,
    actor: str,
    wanted: timedelta | None,
) -> Result:
    """Let an isolation's lease begin anew. `what`: a host, a device's id, or the code of the
    question that allowed it; `wanted` None: as long as it was leased for before."""
    with journal.write(actor) as tx:
        rows = [
            row for row in ledger.standing(tx) if is_named(row, what) or _has_code(tx, row, what)
        ]
        if len(rows) != 1:
            return _refused(
                f"{len(rows)} isolations are named {what}; stockade isolations lists all"
            )
        hours = _hours(rows[0], config, wanted)
        if hours is None:
            return _refused(f"{rows[0].device.hostname} has no lease; give it one: --for 8h")
        if not 0 < hours <= LONGEST_LEASE_H:
            return _refused(f"a lease is at most {LONGEST_LEASE_H} hours")
        row = leases.renew(tx, rows[0], hours, actor, reason)
        data = data_of(row, tx.clock.now())
    text = f"{row.device.hostname}: leased until {clock_text(row.lease_until)}"
    return Result(code=0, data=data, text=text)


def _hours(row: LedgerRow, config: Config, wanted: timedelta | None) -> float | None:
    if wanted is not None:
        return wanted.total_seconds() / 3600
    return row.lease_h if row.lease_h is not None else config.guards.lease_h


def _has_code(tx: Tx, row: LedgerRow, code: str) -> bool:
    approval = None if row.approval_id is None else approvals.find(tx, row.approval_id)
    return approval is not None and approval.code == code.upper()


def _refused(text: str) -> Result:
    return Result(code=2, data={"error": text}, text=text)
