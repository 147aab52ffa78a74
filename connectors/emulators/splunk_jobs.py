"""Search jobs of the Splunk stand-in: what was asked, what was found, and how far it has come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import Struct

from connectors.emulators.spl import time_of
from connectors.emulators.spl_commands import Bounds, Search, StoredEvent
from connectors.model import Row

ADHOC_MAX_COUNT = 10_000
SAVED_MAX_COUNT = 500_000


class JobFault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the next job goes wrong: `content` replaces what its status says (`isFailed`,
    `dispatchState` …), `messages` come with it, `never_done` keeps it running."""

    content: dict[str, Any] = {}
    messages: tuple[tuple[str, str], ...] = ()
    never_done: bool = False


class Job(Struct, kw_only=True):
    """One search under way or done; its rows were taken when it started."""

    sid: str
    search: str
    label: str
    started_at: float
    runs_s: float
    rows: list[Row]
    event_count: int
    bounds: Bounds = Bounds()
    fault: JobFault = JobFault()

    def is_done(self, now: datetime) -> bool:
        return not self.fault.never_done and self._age_s(now) >= self.runs_s

    def _age_s(self, now: datetime) -> float:
        return now.timestamp() - self.started_at

    @property
    def fields(self) -> list[str]:
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def content(self, now: datetime) -> dict[str, Any]:
        """What the job's status says. Types as in Splunk's JSON."""
        done = self.is_done(now)
        waiting = "QUEUED" if self._age_s(now) < self.runs_s / 3 else "RUNNING"
        return {
            "sid": self.sid,
            "label": self.label,
            "dispatchState": "DONE" if done else waiting,
            "isDone": done,
            "isFailed": False,
            "isFinalized": False,
            "isZombie": False,
            "isPaused": False,
            "isSaved": False,
            "doneProgress": 1 if done else 0.3,
            "resultCount": len(self.rows) if done else 0,
            "eventCount": self.event_count,
            "scanCount": self.event_count,
            "runDuration": self.runs_s,
            "ttl": 600,
            "searchEarliestTime": self.bounds.earliest or 0,
            "searchLatestTime": self.bounds.latest or self.started_at,
            **self.fault.content,
        }


def bounds_of(fields: Mapping[str, str], own: Mapping[str, float], now: datetime) -> Bounds:
    """The time range of a job: time words of the search itself win over the call's parameters."""
    found = dict(own)
    for name, parameter in (
        ("earliest", "earliest_time"),
        ("latest", "latest_time"),
        ("index_earliest", "index_earliest"),
        ("index_latest", "index_latest"),
    ):
        text = fields.get(parameter, "")
        if text and name not in found:
            found[name] = time_of(text, now)
    return Bounds(**found)


def run_job(
    sid: str,
    text: str,
    fields: Mapping[str, str],
    events: Iterable[StoredEvent],
    now: datetime,
    *,
    label: str = "",
    runs_s: float = 0.0,
    max_count: int = ADHOC_MAX_COUNT,
    time_win_s: int | None = None,
    fault: JobFault | None = None,
) -> Job:
    """Parse and run a search now, over no more than `time_win_s` before its latest time, as a role
    may limit it. Errors: `SplError`."""
    search = Search(text, now)
    bounds = bounds_of(fields, search.bounds, now)
    if time_win_s is not None:
        latest = bounds.latest if bounds.latest is not None else now.timestamp()
        first = max(bounds.earliest or 0, latest - time_win_s)
        bounds = msgspec.structs.replace(bounds, earliest=first)
    visible = [event for event in events if event.visible_at <= now.timestamp()]
    rows = search.run(visible, bounds)
    return Job(
        sid=sid,
        search=text,
        label=label,
        started_at=now.timestamp(),
        runs_s=runs_s,
        rows=rows[:max_count],
        event_count=len(rows),
        bounds=bounds,
        fault=fault or JobFault(),
    )


def saved_sid(user: str, name: str, number: int, now: datetime) -> str:
    """The sid of a dispatched saved search: who, whose, where, which, when."""
    digest = sha256(name.encode()).hexdigest()[:12]
    return f"{user}__nobody__search__RMD5{digest}_at_{int(now.timestamp())}_{number}"


def scheduler_sid(name: str, at: int, number: int) -> str:
    """The sid of a scheduled run. Source: "Use a webhook alert action", 2026-11-25."""
    digest = sha256(name.encode()).hexdigest()[:12]
    return f"scheduler__nobody__search__RMD5{digest}_at_{at}_{number}"
