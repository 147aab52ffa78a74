"""What deleted text leaves behind in a state folder, and how it goes: pages that are free, the log
beside the file, and older copies of it, which are only named."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from runner.journal.faults import JournalError


def rewrite(path: Path, db: sqlite3.Connection) -> None:
    """Write the file anew without its free pages, and empty its log. Errors: `JournalError`."""
    db.execute("vacuum")
    is_busy = bool(db.execute("pragma wal_checkpoint(truncate)").fetchone()[0])
    if is_busy:
        raise JournalError(f"{path}: another program reads it, so its log cannot be emptied")


def older_copies(path: Path) -> list[str]:
    """The names of copies that an upgrade or a restore kept beside the journal."""
    return sorted(copy.name for copy in path.parent.glob("journal.*.db") if copy != path)
