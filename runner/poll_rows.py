"""What becomes of the rows of a poll: taken in a stretch of time at a time, and counted.

A flood must not keep people's answers waiting: after a few seconds the rest of the round has its
turn, and the next turn goes on. What was taken is committed; a process that starts anew reads the
same rows again, and those that are known by their key cost next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

import msgspec
from msgspec import Struct

from connectors.model import Alert, Clock, Row, SearchPhase, SearchStatus
from runner.config import SearchConfig
from runner.journal import Journal, Tx, polls
from runner.journal.poll_records import Poll, PollJob
from runner.routing import Admission
from runner.row_chunks import chunks_of

Admit = Callable[[Tx, SearchConfig, Alert], Admission]

TAKES_FOR_S = 3.0
"""How long rows are taken before decisions, runs and reports get their turn."""


class Admitting(Struct, frozen=True, kw_only=True):
    """Whose rows they are, and who takes their alerts in."""

    siem: str
    search: SearchConfig
    admit: Admit


def poll_of(started: PollJob, status: SearchStatus, at: datetime, watermark: int | None) -> Poll:
    """The record of a poll whose search has ended, before its rows are counted."""
    is_whole = status.phase is SearchPhase.COMPLETE and not started.has_gap
    return Poll(
        search=started.search,
        at=at,
        ok=is_whole and not started.rest,
        window=started.window,
        from_run=started.is_run,
        incomplete=None if is_whole else "; ".join(status.messages) or str(status.phase),
        watermark_before=watermark,
        watermark_after=watermark,
    )


class Taking:
    """The rows of one search that has ended, on their way into the journal. `finish` is called in
    the transaction that stores the last of them, with the poll's record."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        to: Admitting,
        started: PollJob,
        rows: Iterator[Row],
        poll: Poll,
        finish: Callable[[Tx, Poll], None],
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._to = to
        self.started = started
        self._chunks = chunks_of(rows)
        self._finish = finish
        self.poll = poll

    def go_on(self) -> bool:
        """Take rows for a few seconds; True when all are stored. Errors: the SIEM's, `Unrouted`;
        what was stored before stays."""
        until = self._clock.monotonic() + TAKES_FOR_S
        for chunk, is_last in self._chunks:
            with self._journal.write() as tx:
                self._store(tx, chunk)
                if is_last:
                    self._finish(tx, self.poll)
                elif chunk:
                    polls.set_job(tx, self._to.search.name, self.started)
            if is_last or self._clock.monotonic() >= until:
                return is_last
        raise RuntimeError("the rows of a poll were asked for after their end")

    def progress(self) -> str:
        """How far it is, as a sentence."""
        return f"{self.poll.rows} of its rows are taken in; the rest follows"

    def _store(self, tx: Tx, chunk: list[Row]) -> None:
        if not chunk:
            return
        # Imported here: most polls bring no row.
        from runner.intake import take_rows

        to, started = self._to, self.started
        taken = take_rows(tx, to.siem, to.search, started.window, chunk, to.admit)
        # What an earlier process stored of the same answer is known by now, and was new.
        self.started = msgspec.structs.replace(
            started, new=started.new + taken.new, late=started.late + taken.late
        )
        rows = self.poll.rows + len(chunk)
        self.poll = msgspec.structs.replace(
            self.poll,
            rows=rows,
            new=self.started.new,
            known=rows - self.started.new,
            late=self.started.late,
        )
