"""The searches that a judgement needs: the event behind an alert, and the same thing elsewhere.

Each is start, poll, fetch: no call holds a run. A hunt that could not run says "not searched", one
that saw only a part says so; neither is ever "nothing found".
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import msgspec
from msgspec import Struct

from connectors.base import Siem
from connectors.model import (
    Alert,
    EventQuery,
    Observable,
    Operator,
    Row,
    SearchJob,
    SearchPhase,
    Term,
)
from runner.alerts import DEFAULT_FIELDS, make_alert
from runner.config import Hunts
from runner.context import Call, Context, NotYet, StepFailed
from runner.hostname import is_same_host

EVENT_MARGIN = timedelta(minutes=2)
MOST_ROWS = 1000
CUT = f"incomplete: more than {MOST_ROWS} events"
SEARCH_S = 120.0
"""How long a hunt may run before it counts as not searched."""
MOST_STARTS = 3
"""How often one search is started: its job may be gone after a crash, freed before its rows were
kept, or after an outage."""


class Found(Struct, frozen=True, kw_only=True):
    """What a search gave. `gap` None: complete; else why it is not, or was not run at all."""

    rows: tuple[Row, ...] = ()
    gap: str | None = None
    was_run: bool = True


async def search(
    ctx: Context, key: str, siem: Siem, query: EventQuery, limit_s: float = SEARCH_S
) -> Found:
    """Run one event query to its end, for `limit_s` at the most. A refusal or an outage is a gap,
    not an error."""
    try:
        for again in ("", *(f".{n}" for n in range(1, MOST_STARTS))):
            start, rows = f"{key}#start{again}", f"{key}#rows{again}"
            found = await _searched(ctx, start, rows, siem, query, limit_s)
            if found is not None:
                return found
    except StepFailed as failed:
        return Found(gap=f"not searched: {failed.text}", was_run=False)
    return Found(gap=f"not searched: the SIEM lost the search {MOST_STARTS} times", was_run=False)


async def _searched(
    ctx: Context, start_key: str, rows_key: str, siem: Siem, query: EventQuery, limit_s: float
) -> Found | None:
    """One search from start to rows; None when the SIEM no longer knows it."""

    def start(_elapsed_s: float) -> SearchJob:
        return siem.start_event_query(query)

    def fetch(elapsed_s: float) -> Found | None:
        return fetch_found(siem, job, elapsed_s, limit_s)

    begun = await ctx.call(start_key, Call(name="hunt", send=start, again_s=limit_s))
    job = msgspec.convert(begun, SearchJob)
    rows = await ctx.call(rows_key, Call(name="hunt", send=fetch, again_s=limit_s))
    return msgspec.convert(rows, Found | None)


def fetch_found(siem: Siem, job: SearchJob, elapsed_s: float, limit_s: float) -> Found | None:
    """What a search gave; None when the SIEM no longer knows it. Errors: `NotYet` while it runs;
    `StepFailed` when it failed, or ran longer than `limit_s`."""
    status = siem.search_status(job)
    said = "; ".join(status.messages)
    match status.phase:
        case SearchPhase.RUNNING:
            if elapsed_s > limit_s:
                siem.cancel_search(job)
                raise StepFailed("timeout", f"the search ran for more than {limit_s:.0f} s")
            raise NotYet(0.2 if elapsed_s < 1 else 2.0)
        case SearchPhase.LOST:
            return None
        case SearchPhase.FAILED:
            raise StepFailed("rejected", f"the search {status.phase}: {said or 'no reason given'}")
    rows = tuple(islice(siem.fetch_rows(job, status.row_count), MOST_ROWS + 1))
    siem.cancel_search(job)
    gap = None
    if len(rows) > MOST_ROWS:
        gap = CUT
    elif status.phase is not SearchPhase.COMPLETE:
        gap = f"incomplete: {said or status.phase}"
    return Found(rows=rows[:MOST_ROWS], gap=gap)


def event_query(alert: Alert, hunts: Hunts) -> EventQuery | None:
    """Ask for the event behind an alert; None when too little is known to ask."""
    if hunts.index is None or alert.occurred_at is None or not alert.cmdline:
        return None
    fields = {**DEFAULT_FIELDS, **hunts.fields}
    terms = [_term(fields["cmdline"], Operator.EQUALS, alert.cmdline)]
    if alert.host is not None:
        terms.append(_term(fields["host"], Operator.EQUALS, alert.host))
    return EventQuery(
        index=hunts.index,
        start=alert.occurred_at - EVENT_MARGIN,
        end=alert.occurred_at + EVENT_MARGIN,
        terms=tuple(terms),
        fields=_returned(fields),
        limit=MOST_ROWS,
    )


def event_of(alert: Alert, found: Found, hunts: Hunts) -> Alert | None:
    """The event behind an alert, among the rows; None when there is none, or several machines."""
    events = [row_alert(alert.siem, row, hunts) for row in found.rows]
    same = [
        event
        for event in events
        if event.occurred_at == alert.occurred_at
        or (alert.process_guid is not None and event.process_guid == alert.process_guid)
    ]
    if not same or found.gap is not None:
        return None
    first = same[0]
    hosts_agree = all(
        first.host is not None and event.host is not None and is_same_host(first.host, event.host)
        for event in same
    )
    return first if hosts_agree else None


def spread_query(indicators: Sequence[Observable], hunts: Hunts, now: datetime) -> EventQuery | str:
    """Ask for the same stylesheet address in any command line; a sentence when that cannot be
    asked."""
    if hunts.index is None:
        return "not searched: hunts.index is not configured"
    values = _selective(indicators)
    if not values:
        return "not searched: the command line names no address to look for"
    fields = {**DEFAULT_FIELDS, **hunts.fields}
    return EventQuery(
        index=hunts.index,
        start=now - timedelta(seconds=hunts.lookback_s),
        end=now + timedelta(hours=1),
        terms=(Term(fields=fields["cmdline"], operator=Operator.CONTAINS, values=values),),
        fields=_returned(fields),
        limit=MOST_ROWS,
    )


def _selective(indicators: Sequence[Observable]) -> tuple[str, ...]:
    """Whole addresses first: a domain alone may be everybody's."""
    for kinds in (("url",), ("address",), ("file",)):
        values = tuple(item.value for item in indicators if item.type in kinds)
        if values:
            return values
    return ()


def elsewhere(alert: Alert, found: Found, hunts: Hunts) -> list[Alert]:
    """The events on other hosts than the alert's, one a host, the earliest first."""
    events = [row_alert(alert.siem, row, hunts) for row in found.rows]
    others: list[Alert] = []
    for event in sorted(events, key=_time_of):
        host = event.host
        if host is None or (alert.host is not None and is_same_host(host, alert.host)):
            continue
        if not any(other.host is not None and is_same_host(host, other.host) for other in others):
            others.append(event)
    return others


def unseen(alert: Alert, found: Found, hunts: Hunts, query: EventQuery) -> list[str]:
    """What a hunt that ran to its end did not see all the same, a sentence each.

    The alert's own event is the control: where even that is not found, nothing else would be.
    """
    events = [row_alert(alert.siem, row, hunts) for row in found.rows]
    nameless = sum(event.host is None for event in events)
    gaps = []
    if nameless:
        gaps.append(f"incomplete: {nameless} events carry no host's name that could be followed")
    in_range = alert.occurred_at is not None and query.start <= alert.occurred_at <= query.end
    if in_range and alert.host is not None:
        is_seen = any(
            event.host is not None and is_same_host(event.host, alert.host) for event in events
        )
        if not is_seen:
            gaps.append("not searched: not even the alert's own event is in what was searched")
    return gaps


def _time_of(event: Alert) -> float:
    return event.occurred_at.timestamp() if event.occurred_at else float("inf")


def row_alert(siem: str, row: Row, hunts: Hunts) -> Alert:
    """A row of a hunt, read as alerts are."""
    return make_alert(row, siem=siem, search="hunt", identity=(), fields=hunts.fields)


def _term(fields: tuple[str, ...], operator: Operator, value: str) -> Term:
    return Term(fields=fields, operator=operator, values=(value,))


def _returned(fields: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    names = [name for group in fields.values() for name in group]
    return tuple(dict.fromkeys(names))


def evidence(event: Alert) -> dict[str, Any]:
    """What a hunt found on one host, as the case keeps it."""
    return {
        "host": event.host,
        "at": event.occurred_at,
        "user": event.user,
        "cmdline": event.cmdline,
        "event": event.process_guid,
    }
