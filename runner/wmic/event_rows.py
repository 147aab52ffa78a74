"""Rows of the SIEM, or events as a forwarder wrote them, read as typed events.

A row that cannot be read is counted, never an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from runner.wmic.event_fields import (
    RawEvent,
    flattened,
    guid_in,
    hashes_in,
    host_of,
    image_in,
    ip_in,
    local_zones,
    logon_id_in,
    number_in,
    plain_address,
    text_in,
    texts_in,
    time_of,
)
from runner.wmic.events import (
    AccountChanged,
    Connection,
    Event,
    ExplicitLogon,
    FileWritten,
    ImageLoaded,
    Logon,
    Lookup,
    Other,
    Process,
    RegistrySet,
    ShareUsed,
    Source,
    Subscription,
)


class Reading(Struct, frozen=True, kw_only=True):
    """`unread`: rows of none of the three sources, without a host or of a kind nobody asks for."""

    events: tuple[Event, ...]
    unread: int


def read_events(rows: Iterable[RawEvent]) -> Reading:
    """Read rows in the order given. A time without a zone is local: its distance from UTC is taken
    from the host's own Sysmon events when those agree, else the event has no time."""
    flat = [flattened(row) for row in rows]
    zones = local_zones(flat)
    found = [_read(row, zones) for row in flat]
    events = tuple(event for event in found if event is not None)
    return Reading(events=events, unread=len(found) - len(events))


# -- one event -------------------------------------------------------------------------------------


def _source(row: RawEvent) -> Source | None:
    """By channel, provider or Splunk's source type, in any case."""
    fields = ("Channel", "SourceName", "Provider", "Provider_Name", "source", "sourcetype")
    said = " ".join(texts_in(row, *fields)).casefold()
    if "sysmon" in said:
        return Source.SYSMON
    if "wmi-activity" in said:
        return Source.WMI
    return Source.SECURITY if "security" in said else None


def _read(row: RawEvent, zones: Mapping[str, timedelta | None]) -> Event | None:
    source, number, host = _source(row), number_in(row, "EventID", "EventCode"), host_of(row)
    reader = READERS.get((source, number)) if source and number else None
    if source is None or number is None or host is None or reader is None:
        return None
    at = time_of(row, host, zones)
    base = Event(
        source=source,
        id=number,
        host=host,
        at=at,
        ref=_ref(row, source, number, host, at),
        guid=guid_in(row, "ProcessGuid", "SourceProcessGuid", "process_guid"),
        image=image_in(
            row, "Image", "process_path", "NewProcessName", "Application", "ProcessName"
        ),
    )
    return reader(row, base)


def _ref(row: RawEvent, source: Source, number: int, host: str, at: datetime | None) -> str:
    """`Sysmon 1 on WORKSTATION6 at 2020-09-14 12:06:02.316, record 228395`."""
    parts = [f"{source} {number} on {host}"]
    if at is not None:
        parts.append(f" at {at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}")
    record = text_in(row, "RecordNumber", "EventRecordID", "RecordID", "_cd")
    return "".join(parts) + (f", record {record}" if record else "")


def _with(kind: type[Event], base: Event, **more: Any) -> Event:
    return kind(**msgspec.structs.asdict(base), **more)


def _process(row: RawEvent, base: Event) -> Event:
    cmdline = text_in(row, "CommandLine", "cmdline", "process", "Process_Command_Line")
    is_sysmon = base.source is Source.SYSMON
    return _with(
        Process,
        base,
        # Sysmon doubles `%` in this field, and in this field only.
        cmdline=cmdline.replace("%%", "%") if is_sysmon else cmdline,
        parent_guid=guid_in(row, "ParentProcessGuid", "parent_process_guid"),
        parent_image=image_in(row, "ParentImage", "parent_process_path", "ParentProcessName"),
        parent_cmdline=text_in(row, "ParentCommandLine"),
        user=text_in(row, "User", "user") if is_sysmon else _started_as(row),
        logon_id=logon_id_in(row, "LogonId") or _target_session(row),
        pid=number_in(row, "ProcessId") if is_sysmon else number_in(row, "NewProcessId"),
        hashes=hashes_in(row),
        original_name=text_in(row, "OriginalFileName"),
    )


def _target_session(row: RawEvent) -> str | None:
    return logon_id_in(row, "TargetLogonId") or logon_id_in(row, "SubjectLogonId")


def _started_as(row: RawEvent) -> str:
    """4688 names a target account only when it is another one than the subject's."""
    who = "Target" if logon_id_in(row, "TargetLogonId") else "Subject"
    return "\\".join(texts_in(row, f"{who}DomainName", f"{who}UserName"))


_DIRECTIONS = {"%%14592": False, "inbound": False, "%%14593": True, "outbound": True}


def _connection(row: RawEvent, base: Event) -> Event:
    said = text_in(row, "Initiated", "Direction").casefold()
    is_outbound = {**_DIRECTIONS, "true": True, "false": False}.get(said)
    return _with(
        Connection,
        base,
        user=text_in(row, "User"),
        is_outbound=is_outbound,
        source_address=ip_in(row, "SourceIp", "SourceAddress"),
        source_port=number_in(row, "SourcePort"),
        target_address=ip_in(row, "DestinationIp", "DestAddress"),
        target_port=number_in(row, "DestinationPort", "DestPort"),
        target_name=text_in(row, "DestinationHostname"),
    )


def _lookup(row: RawEvent, base: Event) -> Event:
    parts = (part.strip() for part in text_in(row, "QueryResults").split(";"))
    found = (plain_address(part) for part in parts)
    answers = tuple(address for address in found if address)
    return _with(Lookup, base, asked=text_in(row, "QueryName").rstrip("."), addresses=answers)


def _logon(row: RawEvent, base: Event) -> Event:
    return _with(
        Logon,
        base,
        type=number_in(row, "LogonType", "Logon_Type") or 0,
        user="\\".join(texts_in(row, "TargetDomainName", "TargetUserName")),
        sid=text_in(row, "TargetUserSid"),
        logon_id=logon_id_in(row, "TargetLogonId"),
        address=ip_in(row, "IpAddress", "src_ip"),
        port=number_in(row, "IpPort"),
        workstation=text_in(row, "WorkstationName"),
        is_success=base.id == 4624,
    )


def _explicit(row: RawEvent, base: Event) -> Event:
    return _with(
        ExplicitLogon,
        base,
        subject="\\".join(texts_in(row, "SubjectDomainName", "SubjectUserName")),
        subject_sid=text_in(row, "SubjectUserSid"),
        user="\\".join(texts_in(row, "TargetDomainName", "TargetUserName")),
        server=text_in(row, "TargetServerName", "TargetInfo").rpartition("/")[2],
    )


def _share(row: RawEvent, base: Event) -> Event:
    return _with(
        ShareUsed,
        base,
        user="\\".join(texts_in(row, "SubjectDomainName", "SubjectUserName")),
        sid=text_in(row, "SubjectUserSid"),
        logon_id=logon_id_in(row, "SubjectLogonId"),
        address=ip_in(row, "IpAddress"),
        share=text_in(row, "ShareName"),
        path=text_in(row, "RelativeTargetName"),
    )


def _account(row: RawEvent, base: Event) -> Event:
    return _with(
        AccountChanged,
        base,
        subject="\\".join(texts_in(row, "SubjectDomainName", "SubjectUserName")),
        logon_id=logon_id_in(row, "SubjectLogonId"),
        account=text_in(row, "TargetUserName"),
    )


def _subscription(row: RawEvent, base: Event) -> Event:
    return _with(
        Subscription,
        base,
        user=text_in(row, "User", "user"),
        operation=text_in(row, "Operation"),
        about=text_in(row, "Name", "Consumer", "Filter").strip('" '),
    )


def _file(row: RawEvent, base: Event) -> Event:
    # Of a marked download Sysmon 15 names the mark; its hash is that of the file.
    path = text_in(row, "TargetFilename").removesuffix(":Zone.Identifier")
    return _with(FileWritten, base, path=path, hashes=hashes_in(row))


def _loaded(row: RawEvent, base: Event) -> Event:
    return _with(ImageLoaded, base, path=text_in(row, "ImageLoaded"), hashes=hashes_in(row))


def _registry(row: RawEvent, base: Event) -> Event:
    return _with(RegistrySet, base, key=text_in(row, "TargetObject"))


def _other(_row: RawEvent, base: Event) -> Event:
    return _with(Other, base)


Reader = Callable[[RawEvent, Event], Event]

READERS: dict[tuple[Source | None, int | None], Reader] = {
    (Source.SYSMON, 1): _process,
    (Source.SYSMON, 3): _connection,
    (Source.SYSMON, 5): _other,
    (Source.SYSMON, 7): _loaded,
    (Source.SYSMON, 11): _file,
    (Source.SYSMON, 13): _registry,
    (Source.SYSMON, 15): _file,
    (Source.SYSMON, 19): _subscription,
    (Source.SYSMON, 20): _subscription,
    (Source.SYSMON, 21): _subscription,
    (Source.SYSMON, 22): _lookup,
    (Source.SECURITY, 4624): _logon,
    (Source.SECURITY, 4625): _logon,
    (Source.SECURITY, 4648): _explicit,
    (Source.SECURITY, 4672): _account,
    (Source.SECURITY, 4688): _process,
    (Source.SECURITY, 4720): _account,
    (Source.SECURITY, 4726): _account,
    (Source.SECURITY, 4728): _account,
    (Source.SECURITY, 4732): _account,
    (Source.SECURITY, 5140): _share,
    (Source.SECURITY, 5145): _share,
    (Source.SECURITY, 5156): _connection,
    (Source.WMI, 5857): _other,
    (Source.WMI, 5858): _other,
}
"""Which events are read, and by what. Source: Microsoft's pages on Sysmon and on each Security
event; `TargetLogonId`, `%%14592` and the like as recorded in OTRF/Security-Datasets; 2026-11-25."""
