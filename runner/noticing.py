"""What a round notices before it works: a lost journal, a clock that jumped, a disk that will not
last, a runner that nobody armed.

Each is a sentence; none of them makes the runner bolder. It repairs nothing.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from pathlib import Path

from msgspec import Struct, json

from connectors.model import Clock
from runner import arming
from runner.config import Config, Mode
from runner.journal import Journal
from runner.journal.owner import place_of

log = logging.getLogger(__name__)

JUMP = timedelta(minutes=2)
"""So far two clocks may drift apart between two rounds before it is told."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def notice(journal: Journal, config: Config, clock: Clock) -> list[str]:
    """The sentences that belong to what the round could not do. Repeat: what is said once only is
    kept in the journal."""
    found = [*_lost(journal), *_jumped(journal, clock)]
    _say_passing(journal, config)
    _say_unarmed(journal, config)
    return found


def _lost(journal: Journal) -> list[str]:
    lost = journal.lost_since_head() or _moved(journal)
    if lost is None:
        return []
    log.error("journal: %s; it is not armed", lost)
    with journal.write() as tx:
        arming.restored(tx, lost)
        tx.entry("journal_lost", {}, {"why": lost})
        tx.set_meta("place", place_of(journal.state_dir))
    journal.note_head()
    return [f"{lost}; the runner is not armed"]


def _moved(journal: Journal) -> str | None:
    """A sentence when the whole folder, the noted head with it, was copied or put back: it agrees
    with itself, and may know nothing of what was isolated since. Notes the place the first time."""
    place = place_of(journal.state_dir)
    with journal.read() as tx:
        noted = tx.meta("place")
    if noted == place:
        return None
    if noted is None:
        with journal.write() as tx:
            tx.set_meta("place", place)
        return None
    return (
        "the state folder was copied, moved or put back from a snapshot, or runner.lock in it was "
        "linked or given to another owner"
    )


# -- the clock -------------------------------------------------------------------------------------


class _Seen(Struct, frozen=True):
    """Both clocks at the last round, and since which start of the machine the second one counts."""

    wall: datetime
    monotonic_s: float
    boot: str


def _jumped(journal: Journal, clock: Clock) -> list[str]:
    """Did the time of day move otherwise than time passed? A forward jump ends questions early,
    which is a no; whatever else it does, people must know."""
    now = _Seen(clock.now(), clock.monotonic(), _boot())
    with journal.read() as tx:
        text = tx.meta("clock")
    before = None if text is None else json.decode(text, type=_Seen)
    jump = timedelta(0) if before is None else _jump(before, now)
    with journal.write() as tx:
        tx.set_meta("clock", json.encode(now).decode())
        if abs(jump) > JUMP:
            tx.entry("clock_jumped", {}, {"seconds": int(jump.total_seconds())})
    if abs(jump) <= JUMP:
        return []
    seconds = int(abs(jump.total_seconds()))
    told = (
        f"the machine's clock jumped {seconds} s forward: questions may have expired early, and "
        "the budget of an hour may be free again"
        if jump > timedelta(0)
        else f"the machine's clock went {seconds} s back: what is due waits longer"
    )
    log.error("clock: %s", told)
    return [told]


def _jump(before: _Seen, now: _Seen) -> timedelta:
    apart = now.wall - before.wall
    if before.boot == now.boot and now.monotonic_s >= before.monotonic_s:
        return apart - timedelta(seconds=now.monotonic_s - before.monotonic_s)
    # The machine was started anew: how long it was off, nobody can tell; only that time went back.
    return min(apart, timedelta(0))


def _boot() -> str:
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


# -- said once -------------------------------------------------------------------------------------


def _say_passing(journal: Journal, config: Config) -> None:
    """A journal that ends with its container forgets what it isolated: it is not armed there."""
    if journal.passing is None or config.emulated or config.accept_passing_disk:
        return
    with journal.read() as tx:
        is_armed = arming.arming(tx) is not None
    if is_armed:
        with journal.write() as tx:
            arming.disarm(tx, f"state_dir lies on {journal.passing}")
    if _is_news(journal, "told_passing", journal.passing) or is_armed:
        log.error("state_dir lies on %s: not armed; mount a volume there", journal.passing)


def _say_unarmed(journal: Journal, config: Config) -> None:
    """Loudly, once: who configured `act` and armed nothing believes that the runner acts."""
    if config.mode is not Mode.ACT:
        return
    with journal.read() as tx:
        is_armed = arming.arming(tx) is not None
    if _is_news(journal, "told_unarmed", None if is_armed else "yes") and not is_armed:
        log.error("not armed: hits are only observed before stockade arm --reason …")


def _is_news(journal: Journal, key: str, said: str | None) -> bool:
    """Was something else said before? Notes what is said now."""
    with journal.read() as tx:
        before = tx.meta(key)
    if before == said:
        return False
    with journal.write() as tx:
        tx.set_meta(key, said)
    return True
