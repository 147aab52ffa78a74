"""The alerts of a journal that is only read: nothing in it is changed, whoever is at work on it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

import msgspec

from connectors.model import Alert
from runner.journal import schema
from runner.journal.faults import JournalError, fault_of
from runner.journal.opening import version_of

FILE = "journal.db"


def stored_alerts(state_dir: Path, since: datetime) -> Iterator[tuple[Alert, float]]:
    """Each alert that came since then, oldest first, with when it came in epoch seconds. Errors:
    `JournalError` when there is no journal, or one of another version."""
    path = state_dir / FILE
    if not path.is_file():
        raise JournalError(f"{path}: there is no journal yet, and so nothing is stored")
    # A relative path would be read as a part of the address.
    address = f"file:{quote(str(path.resolve()))}?mode=ro"
    try:
        db = sqlite3.connect(address, uri=True, timeout=30, isolation_level=None)
    except sqlite3.Error as error:
        raise fault_of(path, error) from None
    try:
        if version_of(db) != schema.VERSION:
            raise JournalError(
                f"{path}: is of another version; stockade run brings it to version {schema.VERSION}"
            )
        rows = db.execute(
            "select body, received_at from alert where received_at >= ? order by n",
            (since.timestamp(),),
        )
        for body, received_at in rows:
            yield msgspec.json.decode(body, type=Alert), float(received_at)
    except sqlite3.DatabaseError as error:
        raise fault_of(path, error) from None
    finally:
        db.close()
