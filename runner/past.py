"""What did a saved search find in the past? Asked slice by slice, newest first, and told honestly.

The same search by the same calls as a poll, but nothing is stored and no watermark moves. A slice
that was not answered whole is unknown, with why; it is never an empty one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from msgspec import Struct

from connectors.base import Siem
from connectors.errors import ConnectorError, Rejected, Unavailable
from connectors.model import Clock, Row, SavedSearch, SearchJob, SearchPhase, SearchStatus, Window
from connectors.siem.splunk.window import (
    EVENT_FUTURE_S,
    EVENT_PAST_S,
    can_halve,
    halve,
    rest_of,
)

SLICE_S = 86_400
JOB_LIVES_S = 600.0
LOOK_DELAYS_S = (0.1, 0.2, 0.4, 0.8, 1.5)
MOST_STARTS = 4
"""How often one slice's search is started: a job may get lost, or the SIEM be busy."""
QUOTA_WAIT_S = 30.0
MOST_FAILURES = 3
"""So many unanswered slices in a row end the search: the SIEM is down."""
MOST_ROWS = 500_000
STOPPED = "stopped before it was asked"


class Slice(Struct, frozen=True, kw_only=True):
    """One stretch of index time, in epoch seconds. `unknown`: why rows may be missing."""

    start: int
    end: int
    rows: int = 0
    unknown: str | None = None


class _NotWhole(Exception):
    """The slice was not answered whole; the text says why."""


class Past:
    """Asks one saved search. `take` gets each row; `tell` each slice, as soon as it is done, with
    how many are left. `is_stopped` after somebody pressed ctrl-c, which ends it between two
    calls, or inside one."""

    def __init__(
        self,
        siem: Siem,
        clock: Clock,
        take: Callable[[Row], None],
        tell: Callable[[Slice, int], None],
    ) -> None:
        self._siem = siem
        self._clock = clock
        self._take = take
        self._tell = tell
        self._rows = 0
        self._done: list[Slice] = []
        self._left: list[Window] = []
        self.is_stopped = False

    def search(self, search: SavedSearch, since: timedelta, settle_s: int) -> tuple[Slice, ...]:
        """Every slice from now back to `since`, oldest first. Errors: `ConnectorError` when the
        SIEM does not even tell its time."""
        end = int(self._siem.server_time().timestamp()) - settle_s
        return self.search_windows(search, slices(end - int(since.total_seconds()), end))

    def search_windows(self, search: SavedSearch, windows: Sequence[Window]) -> tuple[Slice, ...]:
        """The same for given windows, asked in their order."""
        left = self._left = list(windows)
        done = self._done = []
        failures = 0
        why: str | None = None
        while left:
            window = left[0]
            if why is None and self._rows >= MOST_ROWS:
                why = f"not asked: {MOST_ROWS} rows were read, and no more are"
            if why is not None:
                done.append(Slice(start=window.start, end=window.end, unknown=why))
                left.pop(0)
                continue
            found, why = self._one(search, window, left)
            if found is None:
                continue
            done.append(found)
            left.pop(0)
            self._tell(found, len(left))
            failures = failures + 1 if found.unknown and not found.rows else 0
            if why is None and failures >= MOST_FAILURES:
                why = f"not asked: {failures} slices in a row were not answered"
        return tuple(sorted(done, key=lambda one: one.start))

    def so_far(self) -> tuple[Slice, ...]:
        """What is known when ctrl-C came between two slices: each that is left is unknown."""
        known = {one.start for one in self._done}
        left = [
            Slice(start=one.start, end=one.end, unknown=STOPPED)
            for one in self._left
            if one.start not in known
        ]
        return tuple(sorted([*self._done, *left], key=lambda one: one.start))

    def unasked(self) -> str | None:
        """Why nothing is known at all, when ctrl-C came before the first slice."""
        return None if self._done or self._left else STOPPED

    def _one(
        self, search: SavedSearch, window: Window, left: list[Window]
    ) -> tuple[Slice | None, str | None]:
        """One slice, and why the others need not be asked. None: it was halved into `left`."""
        before = self._rows
        unknown: str | None = None
        why: str | None = None
        try:
            job, status = self._finished(search, window)
            if status.phase is SearchPhase.TRUNCATED and can_halve(window):
                self._free(job)
                half = halve(window)
                rest = rest_of(window, half)
                left[:1] = [rest, half] if rest is not None else [half]
                return None, None
            unknown = self._fetch(job, status)
        except _NotWhole as fault:
            unknown = str(fault)
        except ConnectorError as fault:
            unknown = str(fault)
            # What is refused once is refused each time.
            why = f"not asked: {fault}" if isinstance(fault, Rejected) else None
        except KeyboardInterrupt:
            self.is_stopped = True
            unknown = why = STOPPED if self._rows == before else "stopped at the keyboard"
        rows = self._rows - before
        return Slice(start=window.start, end=window.end, rows=rows, unknown=unknown), why

    def _finished(self, search: SavedSearch, window: Window) -> tuple[SearchJob, SearchStatus]:
        """A job that has ended with rows. Errors: `_NotWhole`, `ConnectorError`."""
        for _ in range(MOST_STARTS):
            try:
                job = self._siem.start_saved_search(search, window)
            except Unavailable as fault:
                if fault.code != "search_quota":
                    raise
                self._clock.sleep(min(fault.retry_after_s or QUOTA_WAIT_S, QUOTA_WAIT_S))
                continue
            status = self._wait(job)
            if status.phase is SearchPhase.LOST:
                continue
            if status.phase is SearchPhase.FAILED:
                self._free(job)
                raise _NotWhole("; ".join(status.messages) or "the search failed")
            return job, status
        raise _NotWhole(f"the SIEM was too busy, or forgot it, {MOST_STARTS} times")

    def _wait(self, job: SearchJob) -> SearchStatus:
        began = self._clock.monotonic()
        looks = 0
        try:
            while (status := self._siem.search_status(job)).phase is SearchPhase.RUNNING:
                if self._clock.monotonic() - began > JOB_LIVES_S:
                    raise _NotWhole(f"it did not end within {JOB_LIVES_S:.0f} seconds")
                self._clock.sleep(LOOK_DELAYS_S[min(looks, len(LOOK_DELAYS_S) - 1)])
                looks += 1
        except (KeyboardInterrupt, _NotWhole):
            self._free(job)
            raise
        return status

    def _fetch(self, job: SearchJob, status: SearchStatus) -> str | None:
        """Hand all rows on; why some may be missing."""
        try:
            for row in self._siem.fetch_rows(job, status.row_count):
                self._rows += 1
                self._take(row)
        finally:
            self._free(job)
        if status.phase is SearchPhase.COMPLETE:
            return None
        if status.phase is SearchPhase.TRUNCATED:
            return "one second holds more rows than a search may return"
        return "; ".join(status.messages) or str(status.phase)

    def _free(self, job: SearchJob) -> None:
        """Give the slot back. One that stays ends by itself, and the rows are as good."""
        try:
            self._siem.cancel_search(job)
        except ConnectorError:
            return


def slices(start: int, end: int) -> list[Window]:
    """Whole slices back from `end`, newest first."""
    found = []
    while end > start:
        begin = max(start, end - SLICE_S)
        found.append(
            Window(
                start=begin,
                end=end,
                event_start=max(begin - EVENT_PAST_S, 0),
                event_end=end + EVENT_FUTURE_S,
            )
        )
        end = begin
    return found
