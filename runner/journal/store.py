"""The file itself: opening, ownership, transactions, and the chain of entries.

It refuses a network file system, a newer file, and a writer that is no longer the owner. It decides
nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from connectors.model import Clock
from runner.journal import schema
from runner.journal.disk import NETWORK_FILE_SYSTEMS, file_system_of, mounts
from runner.journal.noted_head import read_head, write_head

GENESIS = "0" * 64


class JournalError(Exception):
    """The journal cannot be used. The text is one sentence: what, where, how to mend it."""


class Fenced(Exception):
    """Another process owns the journal now: whatever this one wanted to write is not written."""


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


class Journal:
    """One file in one state folder on one local disk.

    Reading and small commands need no ownership. A runner calls `own()` first; from then on each
    write checks that nobody took over (`Fenced`).
    """

    def __init__(
        self,
        state_dir: Path,
        clock: Clock,
        *,
        actor: str = "runner",
        on_commit: Callable[[], None] | None = None,
    ) -> None:
        self.state_dir = state_dir
        self.path = state_dir / "journal.db"
        self._clock = clock
        self._actor = actor
        self._on_commit = on_commit
        self._epoch: int | None = None
        self._lock_fd: int | None = None
        self._prepare_folder()
        self._db = self._connect()
        try:
            self._migrate()
        except sqlite3.DatabaseError as error:
            raise JournalError(f"{self.path}: {error}; restore it from a backup") from None

    # -- opening -----------------------------------------------------------------------------------

    def _prepare_folder(self) -> None:
        try:
            self.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            mode = self.state_dir.stat().st_mode & 0o777
        except OSError as error:
            raise JournalError(
                f"{self.state_dir}: {error.strerror}; name another state_dir"
            ) from None
        if mode & 0o077:
            raise JournalError(
                f"{self.state_dir}: others may read it (mode {mode:o}); run chmod 700 on it"
            )
        kind = file_system_of(self.state_dir, mounts())
        if kind in NETWORK_FILE_SYSTEMS:
            raise JournalError(f"{self.state_dir}: lies on {kind}; the journal needs a local disk")

    def _connect(self) -> sqlite3.Connection:
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            db = sqlite3.connect(
                self.path, timeout=30, isolation_level=None, check_same_thread=False
            )
            db.execute("pragma journal_mode = wal")
            db.execute("pragma synchronous = full")
        except (OSError, sqlite3.Error) as error:
            text = f"{self.path}: cannot be opened: {error}; restore it from a backup"
            raise JournalError(text) from None
        return db

    def _migrate(self) -> None:
        if self._version() == schema.VERSION:
            return
        with self._transaction("immediate") as tx:
            version = self._version()
            if version > schema.VERSION:
                raise JournalError(
                    f"{self.path}: was written by a newer Stockade (version {version}); upgrade"
                )
            if version == 0:
                for statement in schema.TABLES.split(";"):
                    if statement.strip():
                        tx.db.execute(statement)
                tx.db.execute(f"pragma user_version = {schema.VERSION:d}")
                tx.set_meta("epoch", "0")
                tx.entry("journal_created", {})

    def _version(self) -> int:
        return int(self._db.execute("pragma user_version").fetchone()[0])

    # -- ownership ---------------------------------------------------------------------------------

    def own(self) -> bool:
        """Become the one runner of this state folder; False when another process is.

        The kernel drops the lock with its owner, so there is no lease to tune and no dead owner.
        Repeat: an owner stays one. Errors: `JournalError`.
        """
        if self._lock_fd is not None:
            return True
        path = self.state_dir / "runner.lock"
        while True:
            try:
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise JournalError(f"{path}: cannot be opened: {error.strerror}") from None
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                return False
            # Somebody may have unlinked the file between open and lock: then this lock is nobody's.
            with suppress(FileNotFoundError):
                if path.stat().st_ino == os.fstat(fd).st_ino:
                    break
            os.close(fd)
        self._lock_fd = fd
        with self._transaction("immediate") as tx:
            self._epoch = int(tx.meta("epoch") or 0) + 1
            tx.set_meta("epoch", str(self._epoch))
        return True

    def disown(self) -> None:
        """Give the ownership up. Repeat: harmless."""
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None
            self._epoch = None

    def is_owned(self) -> bool:
        """True when some process, this one or another, is the runner now."""
        if self._lock_fd is not None:
            return True
        try:
            fd = os.open(self.state_dir / "runner.lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def close(self) -> None:
        self.disown()
        self._db.close()

    # -- transactions ------------------------------------------------------------------------------

    @contextmanager
    def write(self, actor: str | None = None) -> Iterator[Tx]:
        """A transaction that is wholly written or not at all. Errors: `Fenced`, `JournalError`."""
        with self._transaction("immediate", actor) as tx:
            if self._epoch is not None and tx.meta("epoch") != str(self._epoch):
                raise Fenced("another process took the journal over")
            yield tx
        if self._on_commit is not None:
            self._on_commit()

    @contextmanager
    def read(self) -> Iterator[Tx]:
        """One consistent view of the journal."""
        with self._transaction("deferred") as tx:
            yield tx

    @contextmanager
    def _transaction(self, kind: str, actor: str | None = None) -> Iterator[Tx]:
        try:
            self._db.execute(f"begin {kind}")
            try:
                yield Tx(self._db, self._clock, actor or self._actor)
            except BaseException:
                # On a full disk SQLite has rolled back by itself, and asking again would hide why.
                if self._db.in_transaction:
                    self._db.execute("rollback")
                raise
            self._db.execute("commit")
        except sqlite3.OperationalError as error:
            if self._db.in_transaction:
                self._db.execute("rollback")
            raise JournalError(
                f"{self.path}: {error}; nothing was written. Look at disk space and permissions"
            ) from None
        except sqlite3.DatabaseError as error:
            # Its subclasses, the one above apart, are faults of the program and stay what they are.
            if type(error) is not sqlite3.DatabaseError:
                raise
            raise JournalError(f"{self.path}: {error}; restore it from a backup") from None

    # -- the chain ---------------------------------------------------------------------------------

    def note_head(self) -> None:
        """Write the chain's head beside the journal, so that a lost or restored one is noticed.
        Errors: `JournalError`; the head that was noted before stands then."""
        with self.read() as tx:
            seq, head = tx.head()
        try:
            write_head(self.state_dir, seq, head)
        except OSError as error:
            raise JournalError(
                f"{self.state_dir}: the head cannot be noted: {error.strerror}."
                " Look at disk space and permissions"
            ) from None

    def lost_since_head(self) -> str | None:
        """A sentence when the journal is not the one whose head was noted (lost or restored)."""
        try:
            noted = read_head(self.state_dir)
        except ValueError as damaged:
            return str(damaged)
        if noted is None:
            return None
        seq, head = noted
        with self.read() as tx:
            row = tx.one("select sha256 from entry where seq = ?", seq)
        if row is None or row[0] != head:
            return f"the journal lacks entry {seq}, which was there: it was lost or restored"
        return None


def instant(epoch_s: float | None) -> datetime | None:
    """Epoch seconds as an aware UTC time."""
    return None if epoch_s is None else datetime.fromtimestamp(epoch_s, UTC)
