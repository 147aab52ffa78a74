"""Which stretch of index time is asked next? Pure arithmetic over whole epoch seconds.

Index time, because an event may arrive long after it happened; `start` inclusive, `end` exclusive,
so that windows meet without a gap. Never relative or snapped times: a repeat must ask the same
question.

A poll goes like this:

    window = next_window(watermark, now)      # None: too early, nothing to ask yet
    COMPLETE  → store the rows and `watermark_after(window)` in one transaction
    PARTIAL   → store the rows; the watermark stays
    TRUNCATED → ask `halve(window)` instead, and when that one is complete `rest_of(window, half)`;
                only the last one's `watermark_after` is sure to lie past the old watermark

`now` is the SIEM's own clock, never the runner's.
"""

from __future__ import annotations

from connectors.model import Window

DEFAULT_OVERLAP_S = 300
"""How far each window reaches back over the last one: what became searchable late is seen then."""
DEFAULT_SETTLE_S = 60
"""How close to now a window ends: indexers' clocks differ, and replication takes its time."""
DEFAULT_FIRST_LOOKBACK_S = 3600
EVENT_PAST_S = 7 * 86400
EVENT_FUTURE_S = 86400
"""Bounds on index time do not widen the range of event time, and a narrow one prunes late
events."""


def next_window(
    watermark: int | None,
    now: int,
    *,
    overlap_s: int = DEFAULT_OVERLAP_S,
    settle_s: int = DEFAULT_SETTLE_S,
    first_lookback_s: int = DEFAULT_FIRST_LOOKBACK_S,
) -> Window | None:
    """The window after `watermark` (None: the first one ever), or None when nothing new can be
    asked.

    A watermark ahead of the SIEM's own clock means that this clock was set back: the window then
    ends where it would anyway, and its `watermark_after` leads the watermark back too, because what
    is indexed from now on carries the smaller times. Known rows come twice; none is lost.
    Errors: `ValueError` for negative lengths or a first look-back of nothing.
    """
    if overlap_s < 0 or settle_s < 0 or first_lookback_s <= 0:
        raise ValueError("overlap and settle time are at least 0, the first look-back more than 0")
    end = now - settle_s
    if watermark is None:
        return _window(end - first_lookback_s, end)
    if watermark > now:
        return _window(end - max(overlap_s, 1), end)
    if end <= watermark:
        return None
    return _window(watermark - overlap_s, end)


def _window(start: int, end: int) -> Window | None:
    start = max(start, 0)
    if end <= start:
        return None
    return Window(
        start=start,
        end=end,
        event_start=max(start - EVENT_PAST_S, 0),
        event_end=end + EVENT_FUTURE_S,
    )


def can_halve(window: Window) -> bool:
    """False for a single second: more rows than the cap in one second are beyond polling."""
    return window.end - window.start > 1


def halve(window: Window) -> Window:
    """The earlier half. Errors: `ValueError` for a window of one second."""
    if not can_halve(window):
        raise ValueError("a window of one second cannot be halved")
    return _part(window, window.start, (window.start + window.end) // 2)


def rest_of(window: Window, done: Window) -> Window | None:
    """What is left of `window` after its first part `done`; None when nothing is."""
    return _part(window, done.end, window.end) if done.end < window.end else None


def _part(window: Window, start: int, end: int) -> Window:
    return Window(start=start, end=end, event_start=window.event_start, event_end=window.event_end)


def watermark_after(window: Window) -> int:
    """The watermark once every row of a complete answer is stored: the window's end, never the
    newest row's time, because rows are not ordered by it and many share a second."""
    return window.end
