"""What is known around one wmic process: parent, account, how often it runs, what it did.

Everything is optional: what nobody looked for stays unknown, which is not the same as "nothing
found". `context_of` reads it out of events; it judges nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from msgspec import Struct

from connectors.model import Alert
from runner.hostname import is_same_host
from runner.wmic.event_fields import RawEvent, flattened, number_in, text_in
from runner.wmic.event_rows import read_events
from runner.wmic.events import (
    Connection,
    Event,
    FileWritten,
    ImageLoaded,
    Lookup,
    Process,
    RegistrySet,
    base_name,
)

START_WINDOW = timedelta(seconds=5)
"""How far an alert's time and its event's may lie apart when no GUID joins them."""


class Seen(Struct, frozen=True):
    """A value and the event that shows it."""

    value: str
    event: str


class TriageContext(Struct, frozen=True, kw_only=True):
    """What surrounds an alert. None or empty: not known.

    `earlier_runs`: the same command shape on this host before, and `other_hosts` that run it, in
    `period_days`. `modules`, `children`, `connections`, `lookups`, `files` and `keys`: what this
    process loaded, started, reached, asked for, wrote and set. `was_searched`: its events were
    searched for, so that their absence means something. `exit_code`: of this process. `is_wmic`:
    its file says that it is wmic, whatever it is called.
    """

    parent: str | None = None
    parent_cmdline: str | None = None
    user: str | None = None
    event: str | None = None
    earlier_runs: int | None = None
    other_hosts: int | None = None
    period_days: int = 30
    modules: tuple[Seen, ...] = ()
    children: tuple[Seen, ...] = ()
    connections: tuple[Seen, ...] = ()
    lookups: tuple[Seen, ...] = ()
    files: tuple[Seen, ...] = ()
    keys: tuple[Seen, ...] = ()
    exit_code: int | None = None
    exit_event: str | None = None
    was_searched: bool = False
    is_wmic: bool | None = None


def context_of(rows: Sequence[RawEvent], alert: Alert) -> TriageContext:
    """Gather what events say about the alert's process. Rows of other processes and hosts are left
    out. Without a GUID in the alert its start is looked for; when several fit, nothing is
    joined."""
    events = read_events(rows).events
    here = [event for event in events if alert.host is None or is_same_host(event.host, alert.host)]
    start = _start(here, alert)
    guid = start.guid if start is not None else _bare(alert.process_guid)
    if guid is None:
        return TriageContext(parent=alert.parent, user=alert.user)
    own = [event for event in here if event.guid == guid and event is not start]
    exit_code, exit_event = _exit(rows, start)
    return TriageContext(
        parent=(start.parent_image if start else "") or alert.parent,
        parent_cmdline=(start.parent_cmdline or None) if start else None,
        user=(start.user if start else "") or alert.user,
        event=start.ref if start else None,
        modules=tuple(Seen(e.path, e.ref) for e in own if isinstance(e, ImageLoaded)),
        children=_children(here, guid),
        connections=tuple(_connections(own)),
        lookups=tuple(Seen(e.asked, e.ref) for e in own if isinstance(e, Lookup)),
        files=tuple(Seen(e.path, e.ref) for e in own if isinstance(e, FileWritten)),
        keys=tuple(Seen(e.key, e.ref) for e in own if isinstance(e, RegistrySet)),
        exit_code=exit_code,
        exit_event=exit_event,
        was_searched=start is not None,
        is_wmic=_is_wmic(start),
    )


def _is_wmic(start: Process | None) -> bool | None:
    name = start.original_name.casefold().strip("-") if start is not None else ""
    return name == "wmic.exe" if name else None


def _bare(guid: str | None) -> str | None:
    return guid.strip("{}").casefold() if guid else None


def _start(events: Iterable[Event], alert: Alert) -> Process | None:
    guid = _bare(alert.process_guid)
    starts = [event for event in events if isinstance(event, Process) and event.guid]
    if guid is not None:
        return next((event for event in starts if event.guid == guid), None)
    fits = [event for event in starts if _fits(event, alert)]
    return fits[0] if len({event.guid for event in fits}) == 1 else None


def _fits(event: Process, alert: Alert) -> bool:
    if not alert.cmdline or alert.occurred_at is None or event.at is None:
        return False
    is_near = abs(event.at - alert.occurred_at) <= START_WINDOW
    # Sysmon doubles `%`, and the reader of events takes that back.
    said = alert.cmdline.replace("%%", "%").split()
    return is_near and event.cmdline.split() == said


def _children(events: Iterable[Event], guid: str) -> tuple[Seen, ...]:
    """Direct children only: those who follow have other parents."""
    return tuple(
        Seen(event.cmdline or event.image, event.ref)
        for event in events
        if isinstance(event, Process) and event.parent_guid == guid
    )


def _connections(events: Iterable[Event]) -> Iterable[Seen]:
    for event in events:
        if isinstance(event, Connection) and event.is_outbound and event.target_address:
            yield Seen(f"{event.target_address}:{event.target_port}", event.ref)


def _exit(rows: Iterable[RawEvent], start: Process | None) -> tuple[int | None, str | None]:
    """Security 4689 names no GUID: it is joined by process id, once, on the start's host."""
    found: set[int] = set()
    for row in (flattened(row) for row in rows):
        if start is None or number_in(row, "EventID", "EventCode") != 4689:
            continue
        is_wmic = base_name(text_in(row, "ProcessName")) == base_name(start.image)
        code = number_in(row, "Status", "Exit_Status", "ExitStatus")
        if is_wmic and code is not None and number_in(row, "ProcessId", "Process_ID") == start.pid:
            found.add(code)
    if len(found) != 1:
        return None, None
    return found.pop(), f"Security 4689 of process {start.pid if start else ''}"
