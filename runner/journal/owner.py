"""Which process is the runner of a state folder: a lock that the kernel drops with its owner.

So there is no lease to tune and no dead owner.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from runner.journal.faults import JournalError


def hold(state_dir: Path) -> int | None:
    """Take the lock: a descriptor, to be closed at the end; None when another one has it.

    Errors: `JournalError`.
    """
    path = state_dir / "runner.lock"
    while True:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise JournalError(f"{path}: cannot be opened: {error.strerror}") from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        # Somebody may have unlinked the file between open and lock: then this lock is nobody's.
        with suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(fd).st_ino:
                return fd
        os.close(fd)


def is_held(state_dir: Path) -> bool:
    """Has some process the lock? Looking makes no file."""
    try:
        fd = os.open(state_dir / "runner.lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def place_of(state_dir: Path) -> str | None:
    """What the lock file is to its file system: a copy of the folder, put back or moved, is another
    file, and nothing writes to this one. None before anybody took the lock. Errors:
    `JournalError`."""
    path = state_dir / "runner.lock"
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise JournalError(f"{path}: cannot be looked at: {error.strerror}") from None
    return f"{found.st_ino}:{found.st_ctime_ns}"


@contextmanager
def released(lock: int) -> Iterator[None]:
    """Give a lock up at the end of the block."""
    try:
        yield
    finally:
        os.close(lock)
