"""Copies of a journal: made while a runner works, looked into, and put in the journal's place.

It judges no chain and arms nothing; `runner/storage.py` does, over what is opened here.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from runner.journal import schema
from runner.journal.faults import JournalError
from runner.journal.opening import version_of

BESIDE = ("-shm", "-wal", "")
"""What belongs to a database, in the order in which it may be taken away: never the file before its
log, or the next file of that name would be read with a log that is not its own."""


def copy_into(source: sqlite3.Connection, target: Path) -> None:
    """Write all of it, as it stands now, to a new file for the owner only; others may go on
    writing meanwhile. Errors: `JournalError`; no file is left then, and none is ever overwritten.
    """
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        mend = "; name a file that is not there yet" if isinstance(error, FileExistsError) else ""
        raise JournalError(f"{target}: cannot be made: {error.strerror}{mend}") from None
    try:
        with closing(sqlite3.connect(target, isolation_level=None)) as copy:
            source.backup(copy)
            # One file and no log beside it: it can be carried away.
            copy.execute("pragma journal_mode = delete")
            _require_sound(target, copy)
        _to_disk(target)
    except BaseException as error:
        target.unlink()
        if isinstance(error, sqlite3.Error | OSError):
            raise JournalError(f"{target}: the copy failed: {error}; none was kept") from None
        raise


def _require_sound(path: Path, db: sqlite3.Connection) -> None:
    """Errors: `JournalError` when pages or indexes are damaged."""
    found = db.execute("pragma integrity_check(1)").fetchone()[0]
    if found != "ok":
        why = " ".join(found.replace("*** in database main ***", "").split())
        raise JournalError(f"{path}: is damaged ({why}); take another copy")


def _to_disk(path: Path) -> None:
    for place in (path, path.parent):
        fd = os.open(place, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def bring(file: Path, state_dir: Path) -> Path:
    """A copy of a backup in the state folder, proved sound and of a version that can be read; to be
    put in place, or removed. Errors: `JournalError`; nothing is left then."""
    if file.with_name(file.name + "-wal").exists():
        raise JournalError(f"{file}: has a log beside it, so it is no backup; use stockade backup")
    brought = state_dir / f"journal.coming.{os.getpid()}.db"
    try:
        with file.open("rb") as source:
            fd = os.open(brought, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(fd, "wb") as target:
                shutil.copyfileobj(source, target)
        with closing(sqlite3.connect(brought, isolation_level=None)) as db:
            _require_journal(file, db)
    except BaseException as error:
        discard(brought)
        if isinstance(error, sqlite3.Error | OSError):
            why = getattr(error, "strerror", None) or error
            raise JournalError(f"{file}: cannot be restored: {why}") from None
        raise
    return brought


def _require_journal(file: Path, db: sqlite3.Connection) -> None:
    version = version_of(db)
    if version > schema.VERSION:
        raise JournalError(schema.too_new(file, version))
    if version == 0:
        raise JournalError(f"{file}: is no journal; name a file that stockade backup made")
    _require_sound(file, db)


def discard(brought: Path) -> None:
    """Repeat: harmless."""
    for end in BESIDE:
        with suppress(FileNotFoundError):
            brought.with_name(brought.name + end).unlink()


def put_in_place(brought: Path, path: Path, at: datetime) -> Path | None:
    """Set a journal aside and put another in its place; where the old one is now, None when there
    was none. The caller holds the runner's lock. Errors: `JournalError`.

    A crash on the way leaves the old journal, none, or the new one: never parts of two.
    """
    aside = free_name(path.with_name(f"journal.replaced.{stamp(at)}.db"))
    was_there = path.exists()
    try:
        if was_there:
            # What its log holds goes into the file first; a damaged one is set aside as it is.
            with suppress(sqlite3.Error), closing(sqlite3.connect(path, timeout=0.5)) as old:
                old.execute("pragma wal_checkpoint(truncate)")
        for end in BESIDE:
            part = path.with_name(path.name + end)
            if part.exists():
                part.rename(aside.with_name(aside.name + end))
        brought.rename(path)
        _to_disk(path)
    except OSError as error:
        raise JournalError(f"{path}: cannot be replaced: {error.strerror}") from None
    return aside if was_there else None


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A copy, to look into. Errors: `JournalError`."""
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            yield db
    except sqlite3.Error as error:
        raise JournalError(f"{path}: cannot be read: {error}") from None


def stamp(at: datetime) -> str:
    return at.strftime("%Y%m%dT%H%M%SZ")


def free_name(path: Path) -> Path:
    """The path, or the first numbered one beside it that is not taken."""
    number, found = 1, path
    while found.exists():
        number += 1
        found = path.with_name(f"{path.stem}.{number}{path.suffix}")
    return found
