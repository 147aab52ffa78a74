"""Why the journal cannot be used, as one sentence: what, where, how to mend it."""

from __future__ import annotations

import sqlite3
from pathlib import Path


class JournalError(Exception):
    """The journal cannot be used. The text is one sentence: what, where, how to mend it."""


RESTORE = "put a copy back with stockade restore"
_NOTHING = "nothing was written"
_MENDS = {
    "SQLITE_BUSY": f"{_NOTHING}. Another program holds the file locked: look for a copying one",
    "SQLITE_READONLY": f"{_NOTHING}. Look at permissions, and for a disk mounted read-only",
    "SQLITE_CORRUPT": f"{_NOTHING}; {RESTORE} (a backup)",
    "SQLITE_NOTADB": f"{_NOTHING}; {RESTORE} (a backup)",
}
_FULL = f"{_NOTHING}. Look at disk space and permissions"


def fault_of(path: Path, error: sqlite3.Error) -> JournalError:
    """What SQLite refused, and what a person can do about it."""
    # The primary code: its extended ones begin with the same words.
    name = getattr(error, "sqlite_errorname", None) or ""
    mend = next((mend for code, mend in _MENDS.items() if name.startswith(code)), _FULL)
    return JournalError(f"{path}: {error}; {mend}")
