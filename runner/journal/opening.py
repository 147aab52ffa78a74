"""How the folder and the file of a journal are opened: for the owner only, on a local disk only.

It refuses what cannot hold a journal, and changes nothing in one.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from runner.journal.disk import NETWORK_FILE_SYSTEMS, Mount, mount_of
from runner.journal.faults import RESTORE, JournalError


def prepare_folder(state_dir: Path, mounts: list[Mount]) -> Mount:
    """Make the folder if need be; the mount that it lies on. Errors: `JournalError`."""
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = state_dir.stat().st_mode & 0o777
    except OSError as error:
        raise JournalError(f"{state_dir}: {error.strerror}; name another state_dir") from None
    if mode & 0o077:
        raise JournalError(f"{state_dir}: others may read it (mode {mode:o}); run chmod 700 on it")
    mount = mount_of(state_dir, mounts)
    if mount.kind in NETWORK_FILE_SYSTEMS:
        raise JournalError(f"{state_dir}: lies on {mount.kind}; the journal needs a local disk")
    return mount


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, or make it. Errors: `JournalError`."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        mend = "look at permissions, and whether the disk is full or mounted read-only"
        raise JournalError(f"{path}: cannot be opened: {error.strerror}; {mend}") from None
    try:
        db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = full")
    except sqlite3.Error as error:
        raise JournalError(f"{path}: cannot be opened: {error}; {RESTORE}, a backup") from None
    return db


def version_of(db: sqlite3.Connection) -> int:
    """Of the tables; 0 for a file that has none yet."""
    return int(db.execute("pragma user_version").fetchone()[0])
