"""Due runs, carried side by side: while one waits for a product's answer, others go on.

A run alone is carried where it is, without a thread. Two runs of one case never go side by side:
what the one does (open the ticket, say) the other must find done.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from threading import Lock

import msgspec

from connectors.model import Clock
from runner import arming
from runner.journal import Journal, approvals, runs
from runner.journal.records import Run

TAKES_FOR_S = 5.0
"""How long lanes take runs before polls, reports and the ledger get their turn."""


class Lanes:
    """Carries at most `most` runs at once; `carry` takes one run to where it must wait."""

    def __init__(
        self, journal: Journal, clock: Clock, most: int, carry: Callable[[Run], None]
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._most = most
        self._carry = carry
        self._taking = Lock()
        self._under_way: dict[str, str] = {}

    def carry_due(self, may_take: Callable[[], bool], least: int = 0) -> bool:
        """Carry at least one run that is due and of this rank at least, and more until nothing is,
        `may_take` says no, or others must have a turn. False when nothing was due. Errors:
        `Fenced`, `JournalError`, from whichever lane met them."""
        until = self._clock.monotonic() + TAKES_FOR_S

        def take() -> Run | None:
            is_time = may_take() and self._clock.monotonic() <= until
            return self._take(least) if is_time else None

        first = self._take(least)
        if first is None:
            return False
        second = take() if self._most > 1 else None
        if second is None:
            self._carry_one(first)
            return True
        self._side_by_side([first, second], take)
        return True

    def _side_by_side(self, taken: list[Run], take: Callable[[], Run | None]) -> None:
        from concurrent.futures import ThreadPoolExecutor

        _know_types()

        def lane(run: Run | None) -> None:
            run = run or take()
            while run is not None:
                self._carry_one(run)
                run = take()

        with ThreadPoolExecutor(self._most, thread_name_prefix="lane") as pool:
            begun = [*taken, *[None] * (self._most - len(taken))]
            lanes = [pool.submit(lane, run) for run in begun]
        for ended in lanes:
            ended.result()

    def _carry_one(self, run: Run) -> None:
        try:
            self._carry(run)
        finally:
            with self._taking:
                self._under_way.pop(run.id, None)

    def _take(self, least: int) -> Run | None:
        """The next run that no lane has; none while a lane carries a cut that people agreed to."""
        with self._taking, self._journal.read() as tx:
            if arming.is_paused(tx) is not None:
                return None
            urgent = approvals.due_call(tx)
            if urgent is not None and urgent.run_id in self._under_way:
                return None
            run = runs.next_due(tx, set(self._under_way.values()), least)
            if run is not None:
                self._under_way[run.id] = run.case_id
            return run


_KNOWN: set[type] = set()
"""The types that were looked at."""


def _know_types() -> None:
    """Let msgspec look at each record's type once, in one thread: its first look at a type is not
    safe in two (a crash of the process, seen with 0.22)."""
    waiting = [msgspec.Struct]
    while waiting:
        for kind in waiting.pop().__subclasses__():
            waiting.append(kind)
            if kind in _KNOWN:
                continue
            _KNOWN.add(kind)
            # A type that cannot be decoded never is.
            with suppress(TypeError):
                msgspec.json.Decoder(kind)
