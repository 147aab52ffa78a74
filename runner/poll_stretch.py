"""Which stretch of time does a poll ask for next, and by whose search? Pure arithmetic.

In mode `dispatch` a stretch is a window of index time: `connectors/siem/splunk/window.py` has it.
In mode `history` the watermark counts **event time**, as the schedule of a search does: whole
scheduled runs are read one after the other, and a stretch that none of them covers (a run was
skipped, failed, cut short, or expired) is searched for by ourselves, so that no gap stays.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from connectors.model import ScheduledRun, SearchJob, Window
from connectors.siem.splunk.window import EVENT_FUTURE_S, halve, rest_of
from runner.config import SearchConfig
from runner.journal.poll_records import PollJob


class Asked(Struct, frozen=True, kw_only=True):
    """A window to be asked, what is asked after it, and where the watermark stands when all of it
    is stored (None: at the window's end)."""

    window: Window
    rest: tuple[Window, ...] = ()
    has_gap: bool = False
    covers: int | None = None


class Step(Struct, frozen=True, kw_only=True):
    """The next thing to do in mode `history`. `run` None: nobody ran it, ask by ourselves."""

    asked: Asked
    run: SearchJob | None = None
    why: str = ""


def asked_by(started: PollJob) -> Asked:
    """The same again."""
    return Asked(
        window=started.window,
        rest=started.rest,
        has_gap=started.has_gap,
        covers=started.covers,
    )


def halved(started: PollJob) -> Asked:
    """The earlier half of a window with too many rows, and what is to be asked after it."""
    half = halve(started.window)
    rest = rest_of(started.window, half)
    parts = (rest, *started.rest) if rest is not None else started.rest
    return Asked(window=half, rest=parts, has_gap=started.has_gap, covers=started.covers)


def after_part(started: PollJob, *, has_gap: bool) -> Asked:
    """What is asked after one part of a window."""
    first, *rest = started.rest
    return Asked(window=first, rest=tuple(rest), has_gap=has_gap, covers=started.covers)


def from_where(watermark: int | None, now: int, search: SearchConfig) -> int:
    """The event time from which on nothing is certain. A watermark ahead of the SIEM's clock means
    that this clock was set back: it is led back, too."""
    newest = now - search.settle_s
    if watermark is None:
        return max(newest - search.first_lookback_s, 0)
    return watermark if watermark <= now else newest


def next_step(
    since: int, now: int, runs: Sequence[ScheduledRun], search: SearchConfig
) -> Step | None:
    """The run that goes on from `since` and reaches furthest; else the gap before the next run, or
    up to now once `history_lag_s` have passed without one. None: nothing to do yet."""
    new = [run for run in runs if run.end > since]
    touching = [run for run in new if run.start <= since]
    if touching:
        run = max(touching, key=lambda one: one.end)
        window = Window(start=since, end=run.end, event_start=run.start, event_end=run.end)
        return Step(asked=Asked(window=window, covers=run.end), run=run.job)
    if new:
        end = min(run.start for run in new)
        return Step(asked=gap(since - search.overlap_s, end, now), why=_why(since, end))
    newest = now - search.settle_s
    if newest - since > search.history_lag_s:
        return Step(asked=gap(since - search.overlap_s, newest, now), why=_why(since, newest))
    return None


def gap(start: int, end: int, now: int) -> Asked:
    """Event time from `start` to `end`, whenever it was indexed; also by clocks that go ahead."""
    start = max(start, 0)
    window = Window(start=max(start - EVENT_FUTURE_S, 0), end=now, event_start=start, event_end=end)
    return Asked(window=window, covers=end)


def _why(start: int, end: int) -> str:
    return f"no whole scheduled run covers {start} to {end}; it is searched for now"
