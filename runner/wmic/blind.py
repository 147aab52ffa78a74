"""Of which hosts did Sysmon say nothing? What a hunt does not find there proves nothing. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise

from runner.wmic.events import Event, Source
from runner.wmic.places import Places

SILENCE_S = 900.0
"""A host that Sysmon says nothing of for so long may have been blind."""


def blind_spots(
    events: Iterable[Event],
    hosts: Iterable[str],
    start: datetime,
    end: datetime,
    places: Places | None = None,
) -> tuple[str, ...]:
    """Hosts of which Sysmon said nothing in the window, or was silent for `SILENCE_S`.

    `events` must be everything that was read of these hosts, not only what some search looked for.
    """
    events = tuple(events)
    places = places or Places(events)
    seen: dict[str, list[datetime]] = {places.name_of(host): [] for host in hosts}
    for event in events:
        times = seen.get(places.name_of(event.host))
        is_inside = event.at is not None and start <= event.at <= end
        if times is not None and is_inside and event.source is Source.SYSMON and event.at:
            times.append(event.at)
    return tuple(
        sentence for host, times in seen.items() if (sentence := _silence(host, times, start, end))
    )


def _silence(host: str, times: list[datetime], start: datetime, end: datetime) -> str | None:
    if not times:
        return f"{host}: no Sysmon event in the window, so what ran there is not known"
    points = [start, *sorted(times), end]
    longest = max((after - before, before) for before, after in pairwise(points))
    if longest[0] <= timedelta(seconds=SILENCE_S):
        return None
    minutes = longest[0].total_seconds() / 60
    return f"{host}: Sysmon was silent for {minutes:.0f} min from {longest[1]:%Y-%m-%d %H:%M:%S}"
