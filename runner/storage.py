"""The commands `backup` and `restore`: a copy that is proved; a journal that comes back unarmed.

Nothing here overwrites a file, and a journal that was replaced is set aside, never removed.
"""

from __future__ import annotations

from pathlib import Path

from connectors.model import Clock
from runner import arming
from runner.audit import Verdict, verify
from runner.config import Config
from runner.effects import plain
from runner.journal import Journal, JournalError, Tx
from runner.journal.copies import bring, discard, opened, put_in_place
from runner.journal.disk import mounts
from runner.journal.opening import prepare_folder
from runner.journal.owner import hold, released
from runner.result import Result


def backup(journal: Journal, clock: Clock, file: Path) -> Result:
    """A whole copy, also while a runner works; exit code 1 when its chain is broken: it is kept
    then, for whoever looks into that. Errors: `JournalError`."""
    journal.copy_to(file)
    verdict = _verdict(file, clock)
    data = {"file": str(file), **plain(verdict)}
    if verdict.faults:
        text = f"{file}: the copy holds what the journal holds, and that is not whole: "
        return Result(code=1, data=data, text=text + "; ".join(verdict.faults))
    text = f"{file}: {verdict.entries} entries, unbroken; head {verdict.head}"
    return Result(code=0, data=data, text=text)


def _verdict(file: Path, clock: Clock) -> Verdict:
    with opened(file) as db:
        return verify(Tx(db, clock, "backup"))


def restore(config: Config, clock: Clock, file: Path, actor: str) -> Result:
    """Put a backup in the journal's place, unarmed; refused while a runner is at work.

    Errors: `JournalError`; whatever was there is there still then.
    """
    state_dir = config.state_dir
    prepare_folder(state_dir, mounts())
    lock = hold(state_dir)
    if lock is None:
        text = f"{state_dir}: a runner is at work on it; stop it, then restore"
        return Result(code=1, data={"error": text}, text=text)
    with released(lock):
        brought = bring(file, state_dir)
        try:
            verdict = _verdict(brought, clock)
            if verdict.faults:
                text = f"{file}: its chain is broken: {'; '.join(verdict.faults)}; take another"
                raise JournalError(text)
            aside = put_in_place(brought, state_dir / "journal.db", clock.now())
        finally:
            discard(brought)
    return _disarmed(Journal(state_dir, clock, actor=actor), file, verdict, aside)


def _disarmed(journal: Journal, file: Path, verdict: Verdict, aside: Path | None) -> Result:
    """What follows once the file is there. A crash before it leaves the noted head of the old one,
    by which the next runner does the same."""
    try:
        with journal.write() as tx:
            arming.restored(tx, f"restored from {file.name}, which ends with entry {verdict.head}")
        journal.note_head()
    finally:
        journal.close()
    kept = f"; what was there before is {aside}" if aside else ""
    text = (
        f"restored: {verdict.entries} entries, unbroken{kept}\n"
        "NOT ARMED: the runner only observes. What happened since this backup is not known to it: "
        "hits of that time are found and judged again. Compare stockade status with the EDR's own "
        "list of contained hosts, let each search be polled once, then run stockade arm"
    )
    data = {"file": str(file), "entries": verdict.entries, "aside": aside and str(aside)}
    return Result(code=0, data=data, text=text)
