"""Which machines did a process reach, where its line does not name them (`/node:@file`)? Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address

from connectors.model import Observable
from runner.wmic.events import Connection, Event, Lookup
from runner.wmic.places import Places


def reached_hosts(
    guid: str, home: str, events: Iterable[Event], places: Places, but_for: Sequence[Observable]
) -> dict[str, Event]:
    """Machine → the first event that shows it: a name that the process asked for, or an address of
    the own network that it connected to. `but_for`: where its stylesheet came from."""
    known = {one.value.casefold() for one in but_for}
    found: dict[str, Event] = {}
    for event in events:
        target = _target(event, known) if guid and event.guid == guid else None
        if target is None:
            continue
        host = places.find(target) or target
        if host != home:
            found.setdefault(host, event)
    return found


def _target(event: Event, known: set[str]) -> str | None:
    match event:
        case Lookup(asked=name) if name and name.casefold() not in known:
            return name
        case Connection(is_outbound=True, target_address=str(address)) if address not in known:
            return None if ip_address(address).is_global else address
    return None
