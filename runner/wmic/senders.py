"""Which process on one machine reached for another one?"""

from __future__ import annotations

from collections.abc import Sequence, Set

from runner.wmic.events import Connection, Event, Lookup, Process, base_name
from runner.wmic.places import Confidence, Places, is_near, short_host
from runner.wmic.remote import RemoteStart

SENDER_S = 120.0
"""How far the start here and the sender's deed there may lie apart: two machines' clocks."""
CARRIERS = frozenset({"svchost.exe", "system", "lsass.exe", "services.exe", "spoolsv.exe", ""})
"""They carry what other programs send, so a connection of theirs names no sender."""


def sender(
    host: str, source: str, remote: RemoteStart, events: Sequence[Event], places: Places
) -> tuple[Event, Confidence] | None:
    """The event on `source` whose process reached for `host`: best by command line, then by
    connection, then by name lookup."""
    targets = {short_host(host), *places.addresses_of(host)}
    best: tuple[int, Event, Confidence] | None = None
    for event in events:
        is_there = places.name_of(event.host) == source and event is not remote.deed
        if not is_there or not is_near(event.at, remote.deed.at, SENDER_S):
            continue
        found = _reaches(event, targets, remote)
        if found is not None and (best is None or found[0] > best[0]):
            best = (found[0], event, found[1])
    return best[1:] if best else None


def _reaches(event: Event, targets: Set[str], remote: RemoteStart) -> tuple[int, Confidence] | None:
    """How strongly an event reaches for the targets: a rank and a confidence."""
    if base_name(event.image) in CARRIERS:
        return None
    match event:
        case Process() if is_wmic(event) and names_host(event.cmdline, targets):
            return 4, Confidence.HIGH
        case Connection() if event.is_outbound and event.target_address in targets:
            port = remote.logon.port if remote.logon else None
            is_same = port is not None and port == event.source_port
            return (3, Confidence.HIGH) if is_same else (2, Confidence.MEDIUM)
        case Lookup() if short_host(event.asked) in targets:
            return 1, Confidence.LOW
    return None


def is_wmic(process: Process) -> bool:
    """Also a renamed copy."""
    return "wmic.exe" in (base_name(process.image), process.original_name.casefold())


def names_host(cmdline: str, targets: Set[str]) -> bool:
    """Does a command line hold one of these names or addresses as a whole word?"""
    text = cmdline.casefold()
    for target in targets:
        at = text.find(target)
        while at >= 0:
            around = text[max(at - 1, 0) : at] + text[at + len(target) : at + len(target) + 1]
            if not any(char.isalnum() or char in "-_" for char in around):
                return True
            at = text.find(target, at + 1)
    return False
