"""Which scheduled runs of a saved search can be counted on, and for which event time.

A run that is not whole (failed, cut short, partial, still running, gone) is not listed: who
reads the list sees a gap, and asks by itself.

Source: docs.splunk.com REST API Reference "saved/searches/{name}/history"; the form of a run's sid
from "Use a webhook alert action"; splunk-sdk-python#467 (30 entries unless `count=0`); 2026-11-25.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from connectors.errors import Unavailable
from connectors.model import Clock, JsonObject, SavedSearch, ScheduledRun, SearchJob, SearchPhase
from connectors.siem.splunk import jobs
from connectors.siem.splunk.product import SAVED_ROW_CAP
from connectors.siem.splunk.rest import Rest, saved_search_path

MOST_RUNS = 20
"""As many are looked at in one go, the oldest first."""
_RUN = re.compile(r"scheduler_.*_at_(?P<due>\d{9,11})_\d+(?:_.*)?")

_INDEX_WORD = re.compile(r"_index_(?:earliest|latest)", re.IGNORECASE)


class Runs:
    """The scheduler's runs, as the account may read them."""

    def __init__(self, rest: Rest, clock: Clock, ignored_warnings: Sequence[str]) -> None:
        self._rest = rest
        self._clock = clock
        self._ignored = ignored_warnings

    def list_runs(self, search: SavedSearch, since: int, settle_s: int) -> list[ScheduledRun]:
        """As `Siem.list_runs`. A search that is scheduled over index time has none: what its runs
        say of event time would be too much."""
        path = saved_search_path(search)
        content = jobs.content_of(self._rest.read_json(path))
        if _has_index_bounds(content):
            return []
        reply = self._rest.read_json(path + "/history", {"count": 0})
        found = sorted(run for run in _due_in(reply) if run[0] > since)[:MOST_RUNS]
        cap = _row_cap(content)
        runs = (self._look(sid, due - settle_s, cap) for due, sid in found)
        return [run for run in runs if run is not None]

    def _look(self, sid: str, settled: int, cap: int) -> ScheduledRun | None:
        reply = self._rest.get(self._rest.job_path(sid), accept=(200, 204, 404))
        if reply.status != 200 or not reply.body.strip():
            return None
        told = reply.json()
        if jobs.read_status(told, cap, self._ignored).phase is not SearchPhase.COMPLETE:
            return None
        start, end = jobs.event_range(jobs.content_of(told))
        if start is None or end is None:
            return None
        job = SearchJob(sid=sid, started_at=self._clock.now(), row_cap=cap)
        return ScheduledRun(job=job, start=math.ceil(start), end=min(int(end), settled))


def _due_in(reply: object) -> Iterator[tuple[int, str]]:
    """When each run of the scheduler was due, and its sid; what people started is left out."""
    entries = reply.get("entry") if isinstance(reply, dict) else None
    if not isinstance(entries, list):
        raise Unavailable(jobs.PRODUCT, "answered without the list of runs")
    for entry in entries:
        sid = str(entry.get("name")) if isinstance(entry, dict) else ""
        match = _RUN.fullmatch(sid)
        if match:
            yield int(match["due"]), sid


def _has_index_bounds(content: JsonObject) -> bool:
    given = any(content.get(f"dispatch.index_{edge}") for edge in ("earliest", "latest"))
    return given or bool(_INDEX_WORD.search(str(content.get("search") or "")))


def _row_cap(content: JsonObject) -> int:
    try:
        return int(str(content.get("dispatch.max_count"))) or SAVED_ROW_CAP
    except ValueError:
        return SAVED_ROW_CAP
