"""Of which hosts did Sysmon say nothing around an alert? There, "nothing found" means nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from connectors.model import Alert
from runner.effects import plain
from runner.hostname import distinct_hosts
from runner.hunt_fields import raw_events
from runner.hunt_queries import AFTER, seen_query
from runner.scoping import Searches
from runner.wmic import blind_spots, read_events
from runner.work import Work, read

MOST_WATCHED = 6
"""Of how many hosts it is asked whether Sysmon sees them, a search each."""
BACK = timedelta(minutes=14)
"""Less than what counts as silence: a host that speaks soon after the alert is not named."""
STILL_COMING = timedelta(minutes=2)


async def look_for_silence(
    work: Work, searches: Searches, alert: Alert, others: Sequence[str]
) -> None:
    """Note each host concerned of which Sysmon said nothing around the alert, or was silent for
    long. Of a busy host not all can be read: that it said something is enough there."""
    at, hunts = alert.occurred_at, work.bench.config.hunts
    hosts = distinct_hosts([host for host in (alert.host, *others) if host])
    if at is None or not hosts:
        return
    began = await read(work, "began", lambda _s: plain(work.ctx.now()))
    # What happened in the last minutes may not be in the SIEM yet.
    until = max(at, min(at + AFTER, msgspec.convert(began, datetime) - STILL_COMING))
    for host in hosts[:MOST_WATCHED]:
        query = seen_query(host, at, hunts)
        found = await searches.read(query, f"whether Sysmon saw {host}", a_part_will_do=True)
        if found.gap is None:
            events = read_events(raw_events(found.rows, hunts)).events
            searches.gaps += blind_spots(events, [host], at - BACK, until)
    if left := hosts[MOST_WATCHED:]:
        searches.blind.append(
            f"not searched: whether Sysmon saw {len(left)} more hosts, {', '.join(left[:5])}"
        )
