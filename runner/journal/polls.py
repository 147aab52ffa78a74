"""Watermarks, searches under way, and what each poll found."""

from __future__ import annotations

from datetime import datetime

import msgspec

from runner.journal.poll_records import Poll, PollJob
from runner.journal.transaction import Tx


def watermark(tx: Tx, search: str) -> int | None:
    """Index time, in epoch seconds, up to which every hit was stored; None before the first
    poll."""
    row = tx.one("select value from watermark where search = ?", search)
    return None if row is None else int(row[0])


def set_watermark(tx: Tx, search: str, value: int) -> None:
    tx.change("insert or replace into watermark values (?, ?)", search, value)


def job(tx: Tx, search: str) -> PollJob | None:
    row = tx.one("select body from job where search = ?", search)
    return None if row is None else msgspec.json.decode(row[0], type=PollJob)


def set_job(tx: Tx, search: str, started: PollJob | None) -> None:
    if started is None:
        tx.change("delete from job where search = ?", search)
    else:
        body = msgspec.json.encode(started).decode()
        tx.change("insert or replace into job values (?, ?)", search, body)


def add(tx: Tx, poll: Poll) -> None:
    tx.change(
        "insert into poll (search, at, ok, body) values (?, ?, ?, ?)",
        poll.search,
        poll.at.timestamp(),
        int(poll.ok),
        msgspec.json.encode(poll).decode(),
    )


def last(tx: Tx, search: str, *, ok_only: bool = False) -> Poll | None:
    row = tx.one(
        "select body from poll where search = ? and ok >= ? order by n desc limit 1",
        search,
        int(ok_only),
    )
    return None if row is None else msgspec.json.decode(row[0], type=Poll)


def last_canary_at(tx: Tx, search: str) -> datetime | None:
    """When the canary last sang for this search; None when it never did, or is silent now."""
    value = tx.meta(f"canary:{search}")
    return None if value is None else datetime.fromisoformat(value)


def set_canary(tx: Tx, search: str, at: datetime | None) -> None:
    """Note that the canary sang; None: that it did not, which counts at once."""
    tx.set_meta(f"canary:{search}", None if at is None else at.isoformat())
