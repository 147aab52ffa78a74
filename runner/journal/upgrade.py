"""How the file of an older version becomes one of this version: a copy first, then all or nothing.

The caller holds the runner's lock. An upgrade only adds, or makes indexes anew: whatever is under
way in the journal goes on after it.
"""

from __future__ import annotations

import sqlite3
from datetime import datetime
from pathlib import Path

from runner.journal import schema
from runner.journal.copies import copy_into, free_name, stamp
from runner.journal.faults import JournalError


def keep_copy(db: sqlite3.Connection, path: Path, version: int, at: datetime) -> Path:
    """Copy the file before anything is changed in it; where the copy is. Errors: `JournalError`."""
    target = free_name(path.with_name(f"journal.v{version}.{stamp(at)}.db"))
    try:
        copy_into(db, target)
    except JournalError as fault:
        raise JournalError(
            f"{path}: is not upgraded from version {version} to {schema.VERSION}, because no copy "
            f"of it could be kept: {fault}"
        ) from None
    return target


def apply(db: sqlite3.Connection, version: int) -> None:
    """Run the steps from a version to this one, within the caller's transaction."""
    for step in schema.UPGRADES[version - 1 :]:
        for statement in schema.statements(step):
            db.execute(statement)
    db.execute(f"pragma user_version = {schema.VERSION:d}")


def failed(path: Path, version: int, why: object, copy: Path) -> JournalError:
    return JournalError(
        f"{path}: could not be upgraded from version {version} to {schema.VERSION}: {why}; it is "
        f"as it was, and a copy of it is {copy.name}"
    )
