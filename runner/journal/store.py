"""The file itself: opening, ownership, and when a transaction is written.

It refuses a network file system, a newer file, and a writer that is no longer the owner. It decides
nothing.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock

from connectors.model import Clock
from runner.journal import schema
from runner.journal.disk import Mount, mounts, passing
from runner.journal.faults import JournalError, fault_of
from runner.journal.noted_head import read_head, write_head
from runner.journal.opening import connect, prepare_folder, version_of
from runner.journal.owner import hold, is_held, released
from runner.journal.transaction import Tx

log = logging.getLogger(__name__)


class Fenced(Exception):
    """Another process owns the journal now: whatever this one wanted to write is not written."""


class Journal:
    """One file in one state folder on one local disk.

    Reading and small commands need no ownership. A runner calls `own()` first; from then on each
    write checks that nobody took over (`Fenced`). `on`: what is mounted (None: as the kernel says).
    """

    def __init__(
        self,
        state_dir: Path,
        clock: Clock,
        *,
        actor: str = "runner",
        on_commit: Callable[[], None] | None = None,
        on: list[Mount] | None = None,
    ) -> None:
        self.state_dir = state_dir
        self.path = state_dir / "journal.db"
        self._clock = clock
        self._actor = actor
        self._on_commit = on_commit
        self._epoch: int | None = None
        self._lock_fd: int | None = None
        self.passing = passing(prepare_folder(state_dir, mounts() if on is None else on))
        """What the folder's disk is, when it ends with the container or the machine."""
        self._db = connect(self.path)
        self._turn = RLock()
        self._riding: list[Callable[[Tx], object]] = []
        try:
            self._migrate()
        except sqlite3.DatabaseError as error:
            raise fault_of(self.path, error) from None

    # -- opening -----------------------------------------------------------------------------------

    def _migrate(self) -> None:
        """Make the tables, or bring older ones up to date. Errors: `JournalError`."""
        version = version_of(self._db)
        if version > schema.VERSION:
            raise JournalError(schema.too_new(self.path, version))
        if version == 0:
            self._create()
        elif version < schema.VERSION:
            self._upgrade(version)

    def _create(self) -> None:
        with self._transaction("immediate") as tx:
            # Another process may have been first.
            if version_of(tx.db) == 0:
                for statement in schema.statements(schema.TABLES):
                    tx.db.execute(statement)
                tx.db.execute(f"pragma user_version = {schema.VERSION:d}")
                tx.set_meta("epoch", "0")
                tx.entry("journal_created", {})

    def _upgrade(self, version: int) -> None:
        # Imported here: it is needed once in the life of a version.
        from runner.journal import upgrade

        lock = hold(self.state_dir)
        if lock is None:
            raise JournalError(
                f"{self.path}: is of version {version}, and a runner is at work on it; stop that "
                f"one, then start this Stockade, which brings it to version {schema.VERSION}"
            )
        with released(lock):
            if version_of(self._db) != version:
                return
            copy = upgrade.keep_copy(self._db, self.path, version, self._clock.now())
            try:
                with self._transaction("immediate") as tx:
                    upgrade.apply(tx.db, version)
                    facts = {"from": version, "to": schema.VERSION, "copy": copy.name}
                    tx.entry("journal_upgraded", {}, facts)
            except JournalError as fault:
                raise upgrade.failed(self.path, version, fault, copy) from None

    # -- ownership ---------------------------------------------------------------------------------

    def own(self) -> bool:
        """Become the one runner of this state folder; False when another process is.

        The kernel drops the lock with its owner, so there is no lease to tune and no dead owner.
        Repeat: an owner stays one. Errors: `JournalError`.
        """
        if self._lock_fd is not None:
            return True
        self._lock_fd = hold(self.state_dir)
        if self._lock_fd is None:
            return False
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
        with self._turn:
            self._riding.clear()

    def is_owned(self) -> bool:
        """True when some process, this one or another, is the runner now."""
        if self._lock_fd is not None:
            return True
        return is_held(self.state_dir)

    def close(self) -> None:
        self.disown()
        self._db.close()

    # -- transactions ------------------------------------------------------------------------------

    @contextmanager
    def write(self, actor: str | None = None) -> Iterator[Tx]:
        """A transaction that is wholly written or not at all. Errors: `Fenced`, `JournalError`."""
        with self._turn:
            riding = tuple(self._riding)
            with self._transaction("immediate", actor) as tx:
                if self._epoch is not None and tx.meta("epoch") != str(self._epoch):
                    raise Fenced("another process took the journal over")
                for change in riding:
                    self._ride(change, tx)
                yield tx
            del self._riding[: len(riding)]
        if self._on_commit is not None:
            self._on_commit()

    def write_with_next(self, change: Callable[[Tx], object]) -> None:
        """Write something in whatever transaction is written next, before that one's own: for what
        can be found out again. Lost with the process, or with the ownership, before then. One that
        cannot be written fails the transaction that it rides with, which may rest on it, and rides
        with no other."""
        with self._turn:
            self._riding.append(change)

    def _ride(self, change: Callable[[Tx], object], tx: Tx) -> None:
        try:
            change(tx)
        except sqlite3.OperationalError:
            raise  # A full or a busy disk: it is tried again with the next.
        except Exception as fault:
            if type(fault) is not sqlite3.DatabaseError:
                self._riding.remove(change)
                log.exception("what was to be written with the next transaction is given up")
            raise

    @contextmanager
    def read(self) -> Iterator[Tx]:
        """One consistent view of the journal."""
        with self._transaction("deferred") as tx:
            yield tx

    @contextmanager
    def _transaction(self, kind: str, actor: str | None = None) -> Iterator[Tx]:
        try:
            # One connection for all threads of a runner: a transaction is one thread's at a time.
            with self._turn:
                self._db.execute(f"begin {kind}")
                try:
                    yield Tx(self._db, self._clock, actor or self._actor)
                    self._db.execute("commit")
                finally:
                    # On a full disk SQLite has rolled back by itself, and asking again would hide
                    # why.
                    if self._db.in_transaction:
                        self._db.execute("rollback")
        except sqlite3.OperationalError as error:
            raise fault_of(self.path, error) from None
        except sqlite3.DatabaseError as error:
            # Its subclasses, the one above apart, are faults of the program and stay what they are.
            if type(error) is not sqlite3.DatabaseError:
                raise
            raise fault_of(self.path, error) from None

    def copy_to(self, target: Path) -> None:
        """A whole copy of the journal as it stands, also while a runner works. Errors:
        `JournalError`; a file that is there already is never overwritten."""
        from runner.journal.copies import copy_into

        copy_into(self._db, target)

    def rewrite(self) -> None:
        """Write the file anew, so that nothing deleted can be read in it or in its log; whoever
        writes meanwhile waits. Errors: `JournalError`; what is not deleted is whole then."""
        from runner.journal.traces import rewrite

        try:
            with self._turn:
                rewrite(self.path, self._db)
        except sqlite3.Error as error:
            raise fault_of(self.path, error) from None

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

    def no_head_noted(self) -> str | None:
        """A sentence when a runner was at work here and no head is noted: nothing would tell of a
        tail that was cut off. Errors: none; a damaged file is `lost_since_head`'s."""
        with self.read() as tx:
            was_owned = tx.meta("epoch") not in (None, "0")
        if not was_owned or (self.state_dir / "head").exists():
            return None
        return "no head is noted beside the journal: entries cut off at its end would not show"
