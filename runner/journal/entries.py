"""Which entries of the chain tell of one case, and what they hold. Reads only.

Entries name runs, approvals and devices; which of them are the case's own is read off the chain
itself, so that it can still be said of a case that was erased.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from runner.journal.transaction import Tx


class Entry(Struct, frozen=True, kw_only=True):
    """One link of the chain, as it is stored; `body` None: it said nothing, or that was erased."""

    seq: int
    at: str
    actor: str
    kind: str
    refs: str
    payload_sha256: str
    prev: str
    sha256: str
    body: str | None


_LINK = (
    "select e.seq, e.at, e.actor, e.kind, e.refs, e.payload_sha256, e.prev, e.sha256, p.body"
    " from entry e left join payload p on p.seq = e.seq"
)


def between(tx: Tx, first: int, last: int) -> Iterator[Entry]:
    """The entries with these numbers, both included, one at a time: they may be many."""
    rows = tx.db.execute(f"{_LINK} where e.seq between ? and ? order by e.seq", (first, last))
    return map(_entry, rows)


def of_case(tx: Tx, case_id: str) -> list[int]:
    """The numbers of the entries that tell of a case, its runs, its questions, and the devices that
    it held; in order."""
    opened = tx.one(
        "select min(seq) from entry where kind = 'case_opened'"
        " and json_extract(refs, '$.case') = ?",
        case_id,
    )[0]
    its_own = _Own(case_id)
    rows: sqlite3.Cursor = tx.db.execute(f"{_LINK} where e.seq >= ? order by e.seq", (opened or 1,))
    return [row[0] for row in rows if its_own.holds(_entry(row))]


class _Own:
    """What belongs to a case, as far as the chain was read: a name is made before it is used."""

    def __init__(self, case_id: str) -> None:
        self._case_id = case_id
        self._names = {case_id}
        self._devices: set[str] = set()

    def holds(self, entry: Entry) -> bool:
        refs = msgspec.json.decode(entry.refs, type=dict[str, str])
        if refs.get("case") == self._case_id:
            self._names |= {refs[name] for name in ("run", "approval") if name in refs}
            return True
        if "case" not in refs and "subject" in refs:
            return self._is_of_device(refs["subject"], entry)
        return any(
            refs[name].rpartition(":")[2] in self._names
            for name in ("scope", "run", "approval")
            if name in refs
        )

    def _is_of_device(self, subject: str, entry: Entry) -> bool:
        """A device's entry is the case's while the case holds the device."""
        if entry.kind.startswith("ledger_") and entry.body is not None:
            held = msgspec.json.decode(entry.body)
            if self._case_id in (held.get("holders") or () if isinstance(held, dict) else ()):
                self._devices.add(subject)
            else:
                self._devices.discard(subject)
        return subject in self._devices


def _entry(row: tuple[int, str, str, str, str, str, str, str, str | None]) -> Entry:
    return Entry(
        seq=row[0],
        at=row[1],
        actor=row[2],
        kind=row[3],
        refs=row[4],
        payload_sha256=row[5],
        prev=row[6],
        sha256=row[7],
        body=row[8],
    )
