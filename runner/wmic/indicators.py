"""Does an event show the same thing as an indicator of the alert, and how telling is that?

`type` of an indicator: url, domain, address, file (a path or a name), hash. A name is compared as a
whole, never as a part of another one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from urllib.parse import unquote, urlsplit

from connectors.model import Observable
from runner.hostname import address_in
from runner.wmic.events import (
    Connection,
    Event,
    FileWritten,
    ImageLoaded,
    Lookup,
    Process,
    base_name,
)
from runner.wmic.places import Confidence
from runner.wmic.senders import is_wmic, names_host

MOST_INDICATORS = 50
SHORTEST_FILE = 5
_CACHED = re.compile(r"\[\d+\](?=\.[^.]*$|$)")
"""What the internet cache puts into the name of a file: `a.xsl` becomes `a[1].xsl`."""


def widened(indicators: Sequence[Observable]) -> tuple[Observable, ...]:
    """Those given, and what they hold: a URL's domain or address and its file's name."""
    found: dict[Observable, None] = {}
    for given in indicators[:MOST_INDICATORS]:
        found[given] = None
        if given.type == "url":
            found.update(dict.fromkeys(_parts_of(given.value)))
    return tuple(found)


def _parts_of(url: str) -> list[Observable]:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return []
    found = []
    if host:
        kind = "domain" if address_in(host) is None else "address"
        found.append(Observable(type=kind, value=host))
    name = base_name(unquote(parts.path))
    if len(name) >= SHORTEST_FILE and "." in name:
        found.append(Observable(type="file", value=name))
    return found


def matches(indicator: Observable, event: Event) -> Confidence | None:
    """How telling it is that this event shows the indicator; None when it does not."""
    value = _value_of(indicator)
    if not value:
        return None
    if isinstance(event, Process):
        return _in_start(indicator.type, value, event)
    if not _is_seen(indicator.type, value, event):
        return None
    if indicator.type == "hash" or base_name(event.image) == "wmic.exe":
        return Confidence.HIGH
    # A domain, an address or a name alone may be everybody's.
    return Confidence.LOW


@lru_cache(maxsize=1000)
def _value_of(indicator: Observable) -> str:
    # Sysmon doubles `%` in command lines, and the indicator was taken from one.
    return indicator.value.replace("%%", "%").casefold()


def _in_start(kind: str, value: str, start: Process) -> Confidence | None:
    if kind == "hash":
        return Confidence.HIGH if value in start.hashes else None
    if kind == "url":
        return Confidence.HIGH if value in start.cmdline.casefold() else None
    name = base_name(value) if kind == "file" else value
    if len(name) < SHORTEST_FILE or not names_host(start.cmdline, {name}):
        return None
    if is_wmic(start):
        return Confidence.MEDIUM if kind == "file" else Confidence.HIGH
    return Confidence.LOW


def _is_seen(kind: str, value: str, event: Event) -> bool:
    match kind, event:
        case "domain", Lookup():
            asked = event.asked.casefold()
            return asked == value or asked.endswith("." + value)
        case "domain", Connection():
            return event.target_name.casefold() == value
        case "address", Connection():
            return event.target_address == value
        case "file", FileWritten():
            name = _CACHED.sub("", base_name(event.path))
            wanted = base_name(value)
            return name in (wanted, wanted.rpartition(".")[0]) and len(wanted) >= SHORTEST_FILE
        case "hash", ImageLoaded() | FileWritten():
            return value in event.hashes
    return False


_WINDOWS_OWN = re.compile(r"[a-z]:\\(?:windows|program files(?: \(x86\))?)\\", re.IGNORECASE)
MOST_DROPPED = 10


def dropped(events: Iterable[Event], guid: str) -> tuple[Observable, ...]:
    """The hashes of what a process started, loaded or wrote where programs are not installed. What
    lies under Windows or Program Files is on every machine and tells nothing."""
    found: dict[str, None] = {}
    for event in events if guid else ():
        match event:
            case Process(parent_guid=parent) if parent == guid:
                path = event.image
            case ImageLoaded(guid=own) | FileWritten(guid=own) if own == guid:
                path = event.path
            case _:
                continue
        if event.hashes and not _WINDOWS_OWN.match(path):
            # Of the several hashes of one file the longest is the surest.
            found[max(event.hashes, key=len)] = None
    return tuple(Observable(type="hash", value=value) for value in found)[:MOST_DROPPED]
