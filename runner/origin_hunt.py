"""`hunt.origin`: where an alert came from, read step by step back through parents and machines."""

from __future__ import annotations

from typing import Any

import msgspec

from runner.effects import plain
from runner.hunt_queries import ask_queries
from runner.scoping import (
    Lead,
    Searches,
    behind,
    joined_targets,
    known_places,
    lead,
    targets_of,
    usable,
    without_siem,
)
from runner.wmic import Ask, Confidence, Start, Trace, trace
from runner.work import Work, read

MOST_SEARCHES = 16
MOST_ROUNDS = 8


async def hunt_origin(work: Work) -> Any:
    """Follow the alert's process back, within bounds, and find the devices on the way."""
    why_not = without_siem(work)
    if why_not is not None:
        return await read(work, "origin", lambda _s: _result(None, [], [why_not]))
    searches = Searches(work, MOST_SEARCHES)
    start = await _start(work, searches)
    if start is None:
        gaps = [*searches.gaps, *searches.blind, "not searched: the alert names no host or no time"]
        return await read(work, "origin", lambda _s: _result(None, [], gaps))
    known = await known_places(work)
    way = await _way_back(work, searches, start, known.addresses)
    leads = _leads(work, way, searches)
    targets = await targets_of(work, leads)
    gaps = [*searches.gaps, *searches.blind, *way.gaps, *([known.gap] if known.gap else [])]
    return await read(work, "origin", lambda _s: _result(way, targets, gaps))


async def _start(work: Work, searches: Searches) -> Start | None:
    """The alert's process, by the event behind it when that can be read."""
    told = await behind(work, searches)
    if told.host is None or told.occurred_at is None:
        return None
    guid = (told.process_guid or "").strip("{}").casefold()
    return Start(host=told.host, at=told.occurred_at, guid=guid or None, cmdline=told.cmdline)


async def _way_back(work: Work, searches: Searches, start: Start, known: dict[str, str]) -> Trace:
    answered: set[Ask] = set()
    hunts, at = work.bench.config.hunts, start.at or work.ctx.run.created_at

    async def step(number: int) -> Trace:
        def send(_elapsed_s: float) -> Any:
            return plain(trace(start, searches.events(), answered, known))

        # Kept, so that no replay walks the whole way again.
        return msgspec.convert(await read(work, f"trace.{number}", send), Trace)

    way = await step(0)
    for number in range(1, MOST_ROUNDS + 1):
        if not way.asks:
            return way
        for ask in way.asks:
            for query in ask_queries(ask, hunts, at):
                await searches.read(query, f"{ask.wanted} of {ask.host or ask.values[0]}")
            answered.add(ask)
        way = await step(number)
    # What was not asked any more is unknown, and said to be.
    answered |= set(way.asks)
    return await step(MOST_ROUNDS + 1)


def _leads(work: Work, way: Trace, searches: Searches) -> list[Lead]:
    """The machines before the alert's own, where the way to them is more than a guess."""
    found = []
    for hop, before in zip(way.hops[1:], way.hops, strict=False):
        if hop.confidence is Confidence.LOW:
            continue
        why = f"it started what ran on {before.host} ({', '.join(hop.evidence[-2:])})"
        one = lead(work, hop.host, searches.rows, why)
        if one is not None:
            found.append(one)
    return found


def _result(way: Trace | None, targets: list[Any], gaps: list[str]) -> dict[str, Any]:
    kept = usable(joined_targets(targets))
    gaps = [*gaps, *(target["proof"] for target in targets if not target["devices"])]
    empty: dict[str, Any] = {
        "delivery": "unknown",
        "host": "",
        "hosts": [],
        "targets": [],
        "trace": None,
    }
    if way is None or not way.hops:
        summary = gaps[0] if gaps else "not searched: the alert's event was not found"
        return {**empty, "outcome": "not_searched", "summary": summary, "not_searched": gaps}
    last = way.hops[-1]
    names = " ← ".join(hop.host for hop in way.hops)
    where = (
        f"it came to the alert's host from {last.host} ({names}); there: " if way.hops[1:] else ""
    )
    return {
        "outcome": "incomplete" if gaps else "traced",
        "delivery": last.delivered.delivery,
        "host": last.host,
        "hosts": [
            {
                "host": hop.host,
                "at": plain(hop.at),
                "image": hop.image,
                "delivery": hop.delivered.delivery,
                "why": hop.delivered.why,
                "confidence": hop.confidence,
            }
            for hop in way.hops
        ],
        "targets": kept,
        "summary": f"{where}{last.delivered.delivery}: {last.delivered.why}",
        "not_searched": gaps,
        "trace": plain(way),
    }
