"""How often and how fast: numbers over the journal, for whoever watches the runner.

What is counted over time is read off the chain, from which nothing is taken; the rest is how it
stands.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from runner.journal.transaction import Tx

DECIDED = ("approved", "denied", "expired")


def hits_by_search(tx: Tx) -> dict[str, int]:
    """Alerts ever stored; a known hit is not counted again."""
    rows = tx.all("select search, count(*) from alert group by search")
    return {str(row[0]): int(row[1]) for row in rows}


def cases_opened(tx: Tx) -> int:
    return int(tx.one("select count(*) from entry where kind = 'case_opened'")[0])


def cases_by_assessment(tx: Tx) -> dict[str, int]:
    """Of the cases that are kept; `not_judged` for those without one."""
    rows = tx.all(
        "select coalesce(json_extract(body, '$.assessment.assessment'), 'not_judged'), count(*)"
        " from cases group by 1"
    )
    return {str(row[0]): int(row[1]) for row in rows}


def decision_times_s(tx: Tx) -> dict[str, list[float]]:
    """How a question was decided → from its opening to that, in seconds, for each one."""
    opened = {ref: at for ref, at in _entries(tx, "question_opened", "approval")}
    return {
        state: [
            (at - opened[ref]).total_seconds()
            for ref, at in _entries(tx, f"question_{state}", "approval")
            if ref in opened
        ]
        for state in DECIDED
    }


def containment_times_s(tx: Tx, since: datetime | None = None) -> list[float]:
    """From each request (since then) to the read that first confirmed it, in seconds."""
    events = [(at, ref, True) for ref, at in _entries(tx, "ledger_requested", "subject")]
    events += [(at, ref, False) for ref, at in _entries(tx, "ledger_confirmed", "subject")]
    pending: dict[str, datetime] = {}
    times = []
    for at, ref, is_request in sorted(events, key=lambda event: (event[0], not event[2])):
        if is_request:
            pending.setdefault(ref, at)
        elif ref in pending:
            requested_at = pending.pop(ref)
            if since is None or requested_at >= since:
                times.append((at - requested_at).total_seconds())
    return times


def _entries(tx: Tx, kind: str, ref: str) -> list[tuple[str, datetime]]:
    rows = tx.all("select refs, at from entry where kind = ? order by seq", kind)
    found = [(msgspec.json.decode(row[0], type=dict[str, str]), row[1]) for row in rows]
    return [(refs[ref], datetime.fromisoformat(at)) for refs, at in found if ref in refs]


def began_at(tx: Tx) -> datetime:
    """When the journal was made."""
    return datetime.fromisoformat(tx.one("select at from entry order by seq limit 1")[0])


def whole_polls(tx: Tx, search: str, since_s: float) -> list[float]:
    """When a search was polled to its end, oldest first, in epoch seconds: since then, and the last
    time before."""
    rows = tx.all(
        "select at from poll where search = ? and ok = 1 and at >= coalesce((select max(at) from"
        " poll where search = ? and ok = 1 and at < ?), ?) order by n",
        search,
        search,
        since_s,
        since_s,
    )
    return [float(row[0]) for row in rows]


def silent_canaries(tx: Tx, search: str, since_s: float) -> list[float]:
    """When a search's canary found nothing, or could not be asked, in epoch seconds."""
    rows = tx.all(
        "select at from poll where search = ? and ok = 0 and at >= ?"
        " and json_extract(body, '$.canary') = 0 order by n",
        search,
        since_s,
    )
    return [float(row[0]) for row in rows]
