"""What the journal keeps about polls: the one under way, and each that is over."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from connectors.model import SearchJob, Window


class PollJob(Struct, frozen=True, kw_only=True):
    """A poll under way. `rest`: parts of the window that are asked after this one, because the
    whole had more rows than the SIEM gives at once."""

    search: str
    window: Window
    job: SearchJob
    rest: tuple[Window, ...] = ()
    has_gap: bool = False
    """An earlier part was not whole: the rows are taken, and the watermark stays."""
    covers: int | None = None
    """Where the watermark stands after all of it, when that is not the window's end."""
    is_run: bool = False
    """The job is the scheduler's, which others read, too: it is never cancelled."""
    new: int = 0
    """So many of its rows were new and are stored: a next process counts them as known."""
    late: int = 0


class Poll(Struct, frozen=True, kw_only=True):
    """One finished poll of one search."""

    search: str
    at: datetime
    ok: bool
    window: Window | None
    from_run: bool = False
    rows: int = 0
    new: int = 0
    known: int = 0
    late: int = 0
    skipped: int = 0
    incomplete: str | None = None
    canary: bool | None = None
    error: str | None = None
    watermark_before: int | None = None
    watermark_after: int | None = None
