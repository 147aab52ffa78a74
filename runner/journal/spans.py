"""What the journal holds of a stretch of time: hits, rulings, questions, polls and isolations since
then. Reads only; what retention has erased is not there, and `erased_before` says so.
"""

from __future__ import annotations

from datetime import datetime

import msgspec
from msgspec import Struct

from runner.journal.poll_records import Poll
from runner.journal.records import Approval, Run
from runner.journal.transaction import Tx


class Hits(Struct, frozen=True, kw_only=True):
    """How many hits of one search went into one case."""

    search: str
    case_id: str
    count: int


class Change(Struct, frozen=True, kw_only=True):
    """One entry about a subject in the ledger: its state, without `ledger_`, and when."""

    subject: str
    state: str
    at: datetime


def hits_since(tx: Tx, since: datetime) -> list[Hits]:
    """By search and case, the first ones first; also of cases that are erased by now."""
    rows = tx.all(
        "select search, case_id, count(*) from alert where received_at >= ?"
        " group by search, case_id order by min(n)",
        since.timestamp(),
    )
    return [Hits(search=row[0], case_id=row[1], count=int(row[2])) for row in rows]


def runs_of(tx: Tx, run_ids: set[str]) -> dict[str, Run]:
    """Those of the runs that are kept, by id."""
    asked = msgspec.json.encode(sorted(run_ids)).decode()
    rows = tx.all("select body from run where id in (select value from json_each(?))", asked)
    found = [msgspec.json.decode(row[0], type=Run) for row in rows]
    return {run.id: run for run in found}


def questions_since(tx: Tx, since: datetime) -> list[Approval]:
    """The questions that were put since then, oldest first."""
    rows = tx.all("select body from approval")
    found = [msgspec.json.decode(row[0], type=Approval) for row in rows]
    return sorted(
        (one for one in found if one.created_at >= since), key=lambda one: (one.created_at, one.id)
    )


def polls_since(tx: Tx, search: str, since: datetime) -> list[Poll]:
    rows = tx.all(
        "select body from poll where search = ? and at >= ? order by n", search, since.timestamp()
    )
    return [msgspec.json.decode(row[0], type=Poll) for row in rows]


def ledger_changes(tx: Tx, since: datetime) -> list[Change]:
    """Every change of the ledger since then, in order."""
    rows = tx.all(
        "select refs, kind, at from entry where kind glob 'ledger_*' and at >= ? order by seq",
        since.strftime("%Y-%m-%dT%H:%M:%S"),
    )
    named = [(msgspec.json.decode(row[0], type=dict[str, str]), row[1], row[2]) for row in rows]
    return [
        Change(
            subject=refs["subject"],
            state=kind.removeprefix("ledger_"),
            at=datetime.fromisoformat(at),
        )
        for refs, kind, at in named
        if "subject" in refs
    ]


def quick_approvals(tx: Tx, since: datetime) -> list[tuple[str, ...]]:
    """By whom a question was approved sooner than its card can be read, for each such question."""
    rows = tx.all(
        "select p.body from entry e join payload p on p.seq = e.seq"
        " where e.kind = 'question_approved_quickly' and e.at >= ? order by e.seq",
        since.strftime("%Y-%m-%dT%H:%M:%S"),
    )
    return [tuple(msgspec.json.decode(row[0])["by"]) for row in rows]


def erased_before(tx: Tx) -> datetime | None:
    """Up to when finished cases and polls were erased; None when nothing ever was."""
    row = tx.one(
        "select p.body from entry e join payload p on p.seq = e.seq where e.kind = 'erased'"
        " order by e.seq desc limit 1"
    )
    if row is None:
        return None
    return datetime.fromisoformat(str(msgspec.json.decode(row[0])["before"]))
