"""One transaction: the journal's words on one side, its tables on the other; and the chain.

It decides nothing, and knows no file.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from connectors.model import Clock

GENESIS = "0" * 64


class Tx:
    """One transaction: the journal's words on one side, its tables on the other."""

    def __init__(self, db: sqlite3.Connection, clock: Clock, actor: str) -> None:
        self.db = db
        self.clock = clock
        self.actor = actor

    def now_s(self) -> float:
        """Epoch seconds."""
        return self.clock.now().timestamp()

    def one(self, query: str, *values: Any) -> Any:
        """The first row of a query, or None."""
        return self.db.execute(query, values).fetchone()

    def all(self, query: str, *values: Any) -> list[Any]:
        return self.db.execute(query, values).fetchall()

    def change(self, query: str, *values: Any) -> int:
        """Run a change; how many rows it met."""
        return self.db.execute(query, values).rowcount

    def meta(self, key: str) -> str | None:
        row = self.one("select value from meta where key = ?", key)
        return None if row is None else str(row[0])

    def set_meta(self, key: str, value: str | None) -> None:
        if value is None:
            self.change("delete from meta where key = ?", key)
        else:
            self.change("insert or replace into meta values (?, ?)", key, value)

    def entry(
        self, kind: str, refs: Mapping[str, str], payload: Any = None, actor: str | None = None
    ) -> str:
        """Append to the chain; the new head hash. The payload lies apart and can be erased."""
        seq, prev = self.head()
        body = msgspec.json.encode(payload).decode()
        fields = [
            seq + 1,
            self.clock.now().isoformat(),
            actor or self.actor,
            kind,
            msgspec.json.encode(dict(sorted(refs.items()))).decode(),
            hashlib.sha256(body.encode()).hexdigest(),
            prev,
        ]
        head = entry_sha256(fields)
        self.change("insert into entry values (?, ?, ?, ?, ?, ?, ?, ?)", *fields, head)
        if payload is not None:
            self.change("insert into payload values (?, ?)", seq + 1, body)
        return head

    def head(self) -> tuple[int, str]:
        """The last entry's number and hash; (0, zeros) when there is none."""
        row = self.one("select seq, sha256 from entry order by seq desc limit 1")
        return (0, GENESIS) if row is None else (int(row[0]), str(row[1]))


def entry_sha256(fields: list[Any]) -> str:
    """The chain's hash: over number, time, actor, kind, refs, payload hash and the hash before."""
    return hashlib.sha256(msgspec.json.encode(fields)).hexdigest()


def instant(epoch_s: float | None) -> datetime | None:
    """Epoch seconds as an aware UTC time."""
    return None if epoch_s is None else datetime.fromtimestamp(epoch_s, UTC)
