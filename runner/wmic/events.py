"""What does a Windows event say: rows of Sysmon, Security and WMI-Activity as typed values.

The shapes differ by who forwarded the event (flat, nested under `Event`, renamed by an add-on), and
so do times, braces, case and host names. Nothing here raises for what a row holds; a row that
cannot be read is counted. It judges nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec
from msgspec import Struct

from connectors.model import Row
from runner.hit_row import read_time, values_of
from runner.hostname import address_in, clean_host, normalise_host

RawEvent = Mapping[str, object]
"""A row of the SIEM, or a decoded event as a forwarder wrote it."""


class Source(StrEnum):
    SYSMON = "Sysmon"
    SECURITY = "Security"
    WMI = "WMI-Activity"


class Event(Struct, frozen=True, kw_only=True):
    """What every event has. `ref` names the event for a person; `at` None: no time that can be
    trusted."""

    source: Source
    id: int
    host: str
    at: datetime | None
    ref: str
    guid: str | None = None
    """Of the acting process: lower case, without braces; so is every GUID here."""
    image: str = ""

    @property
    def name(self) -> str:
        return f"{self.source} {self.id}"


class Process(Event, frozen=True, kw_only=True):
    """Sysmon 1 or Security 4688 (which has no GUID). `logon_id` is the session it runs in."""

    cmdline: str = ""
    parent_guid: str | None = None
    parent_image: str = ""
    parent_cmdline: str = ""
    user: str = ""
    logon_id: str | None = None
    pid: int | None = None
    hashes: tuple[str, ...] = ()
    original_name: str = ""


class Connection(Event, frozen=True, kw_only=True):
    """Sysmon 3 or Security 5156. `is_outbound` None: the event does not say."""

    user: str = ""
    is_outbound: bool | None = None
    source_address: str | None = None
    source_port: int | None = None
    target_address: str | None = None
    target_port: int | None = None
    target_name: str = ""


class Lookup(Event, frozen=True, kw_only=True):
    """Sysmon 22: a name was asked for. `addresses` are in the answer."""

    asked: str = ""
    addresses: tuple[str, ...] = ()


class FileWritten(Event, frozen=True, kw_only=True):
    """Sysmon 11."""

    path: str = ""


class ImageLoaded(Event, frozen=True, kw_only=True):
    """Sysmon 7."""

    path: str = ""
    hashes: tuple[str, ...] = ()


class RegistrySet(Event, frozen=True, kw_only=True):
    """Sysmon 13."""

    key: str = ""


class Subscription(Event, frozen=True, kw_only=True):
    """Sysmon 19, 20, 21: a WMI filter, consumer or binding was made or removed."""

    user: str = ""
    operation: str = ""
    about: str = ""


class Logon(Event, frozen=True, kw_only=True):
    """Security 4624, or 4625 (`is_success` false). `address`: where it came from; None is here."""

    type: int = 0
    user: str = ""
    sid: str = ""
    logon_id: str | None = None
    address: str | None = None
    port: int | None = None
    workstation: str = ""
    is_success: bool = True


class ExplicitLogon(Event, frozen=True, kw_only=True):
    """Security 4648: `user` was used with its password by `subject`, against `server`."""

    subject: str = ""
    subject_sid: str = ""
    user: str = ""
    server: str = ""


class ShareUsed(Event, frozen=True, kw_only=True):
    """Security 5140, 5145."""

    user: str = ""
    sid: str = ""
    logon_id: str | None = None
    address: str | None = None
    share: str = ""
    path: str = ""


class AccountChanged(Event, frozen=True, kw_only=True):
    """Security 4720 (made), 4726 (deleted), 4728, 4732 (put into a group); 4672 (privileges)."""

    subject: str = ""
    logon_id: str | None = None
    account: str = ""


class Other(Event, frozen=True, kw_only=True):
    """Sysmon 5, WMI-Activity 5857 and the like: it proves that the host is seen."""


class Reading(Struct, frozen=True, kw_only=True):
    """`unread`: rows of none of the three sources, without a host or of a kind nobody asks for."""

    events: tuple[Event, ...]
    unread: int


# -- the public functions --------------------------------------------------------------------------


def read_events(rows: Iterable[RawEvent]) -> Reading:
    """Read rows in the order given. A time without a zone is local: its distance from UTC is taken
    from the host's own Sysmon events when those agree, else the event has no time."""
    flat = [flattened(row) for row in rows]
    zones = _zones(flat)
    found = [_read(row, zones) for row in flat]
    events = tuple(event for event in found if event is not None)
    return Reading(events=events, unread=len(found) - len(events))


def base_name(path: str) -> str:
    """The file's name of a path, lower case, quotes removed."""
    return path.strip('" ').replace("/", "\\").rpartition("\\")[2].casefold()


def account_of(user: str) -> str:
    r"""`DOMAIN\name` and `name@domain` as `name`, lower case."""
    return user.rpartition("\\")[2].partition("@")[0].casefold()


def host_of(row: RawEvent) -> str | None:
    """The machine that the event is about. Who sent it counts only when the event names none."""
    return next((name for text in _texts(row, *_HOSTS) if (name := clean_host(text))), None)


def flattened(row: RawEvent) -> dict[str, object]:
    """A nested event (`Event.System`, `Event.EventData`) as flat fields; a flat one as it is."""
    event = row.get("Event")
    if not isinstance(event, Mapping):
        return dict(row)
    flat: dict[str, object] = {}
    for part in ("System", "EventData", "UserData"):
        inner = event.get(part)
        for name, value in inner.items() if isinstance(inner, Mapping) else ():
            flat[str(name)] = _leaf(value)
    return flat


def _leaf(value: object) -> object:
    """`{"#attributes": {"SystemTime": …}}` and `{"#text": 1}` as their one value."""
    while isinstance(value, Mapping):
        inner = value.get("#text", value.get("#attributes"))
        value = inner if inner is not None else next(iter(value.values()), None)
    return value


# -- fields ----------------------------------------------------------------------------------------

_HOSTS = ("Computer", "ComputerName", "Hostname", "dvc", "dest", "host")
_UNKNOWN_PROCESS = re.compile(r"(?:&lt;|<)unknown process(?:&gt;|>)", re.IGNORECASE)
_QUARTER = timedelta(minutes=15)


def _texts(row: RawEvent, *fields: str) -> Iterator[str]:
    given: Row = {name: row[name] for name in fields if name in row}  # type: ignore[misc]
    for field in fields:
        yield from values_of(given, field)


def _text(row: RawEvent, *fields: str) -> str:
    """The first field that has a value; empty when none has."""
    return next(_texts(row, *fields), "")


def _guid(row: RawEvent, *fields: str) -> str | None:
    guid = _text(row, *fields).strip("{}").casefold()
    return guid if guid.strip("0-") else None


def _number(row: RawEvent, *fields: str) -> int | None:
    text = _text(row, *fields)
    try:
        return int(text, 16) if text[:2].lower() == "0x" else int(text)
    except ValueError:
        return None


def _logon_id(row: RawEvent, *fields: str) -> str | None:
    """`0x551686`, lower case; None for 0, which means no session."""
    number = _number(row, *fields)
    return hex(number) if number else None


def _address(row: RawEvent, *fields: str) -> str | None:
    """An IPv4 address also when written as IPv6; None for loopback and for no address."""
    text = _text(row, *fields)
    return address_in(text[7:] if text.lower().startswith("::ffff:") else text)


def _image(row: RawEvent, *fields: str) -> str:
    return _UNKNOWN_PROCESS.sub("", _text(row, *fields))


def _hashes(row: RawEvent) -> tuple[str, ...]:
    """`SHA256=AB…,MD5=…` without the names, lower case."""
    parts = (part.rpartition("=")[2].casefold() for part in _text(row, "Hashes").split(","))
    return tuple(part for part in parts if len(part) >= 32 and part.strip("0"))


# -- time ------------------------------------------------------------------------------------------


def _utc(row: RawEvent) -> datetime | None:
    """Sysmon's `UtcTime` is right; `_time` and a time with a zone are; `@timestamp` is the receipt,
    some seconds late."""
    sysmon = read_time(_text(row, "UtcTime"), is_utc=True)
    if sysmon is not None:
        return sysmon
    texts = _texts(row, "_time", "@timestamp", "SystemTime", "TimeCreated")
    return next((at for text in texts if (at := read_time(text)) is not None), None)


def _local(row: RawEvent) -> datetime | None:
    """The text of a time without a zone, read as if it were UTC."""
    return read_time(_text(row, "TimeCreated", "EventTime"), is_utc=True)


def _zones(rows: Iterable[RawEvent]) -> dict[str, timedelta | None]:
    """How far each host's local time is from UTC; None where its own events disagree."""
    zones: dict[str, timedelta | None] = {}
    for row in rows:
        utc = read_time(_text(row, "UtcTime"), is_utc=True)
        local, host = _local(row), host_of(row)
        if utc is None or local is None or host is None:
            continue
        zone = round((utc - local) / _QUARTER) * _QUARTER
        name = normalise_host(host)
        if zones.setdefault(name, zone) != zone:
            zones[name] = None
    return zones


def _time(row: RawEvent, host: str, zones: Mapping[str, timedelta | None]) -> datetime | None:
    utc = _utc(row)
    local, zone = _local(row), zones.get(normalise_host(host))
    return local + zone if utc is None and local is not None and zone is not None else utc


# -- one event -------------------------------------------------------------------------------------


def _source(row: RawEvent) -> Source | None:
    """By channel, provider or Splunk's source type, in any case."""
    fields = ("Channel", "SourceName", "Provider", "Provider_Name", "source", "sourcetype")
    said = " ".join(_texts(row, *fields)).casefold()
    if "sysmon" in said:
        return Source.SYSMON
    if "wmi-activity" in said:
        return Source.WMI
    return Source.SECURITY if "security" in said else None


def _read(row: RawEvent, zones: Mapping[str, timedelta | None]) -> Event | None:
    source, number, host = _source(row), _number(row, "EventID", "EventCode"), host_of(row)
    reader = READERS.get((source, number)) if source and number else None
    if source is None or number is None or host is None or reader is None:
        return None
    at = _time(row, host, zones)
    base = Event(
        source=source,
        id=number,
        host=host,
        at=at,
        ref=_ref(row, source, number, host, at),
        guid=_guid(row, "ProcessGuid", "SourceProcessGuid", "process_guid"),
        image=_image(row, "Image", "process_path", "NewProcessName", "Application", "ProcessName"),
    )
    return reader(row, base)


def _ref(row: RawEvent, source: Source, number: int, host: str, at: datetime | None) -> str:
    """`Sysmon 1 on WORKSTATION6 at 2020-09-14 12:06:02.316, record 228395`."""
    parts = [f"{source} {number} on {host}"]
    if at is not None:
        parts.append(f" at {at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}")
    record = _text(row, "RecordNumber", "EventRecordID", "RecordID", "_cd")
    return "".join(parts) + (f", record {record}" if record else "")


def _with(kind: type[Event], base: Event, **more: object) -> Event:
    return msgspec.convert({**msgspec.structs.asdict(base), **more}, kind, strict=False)


def _process(row: RawEvent, base: Event) -> Event:
    cmdline = _text(row, "CommandLine", "cmdline", "process", "Process_Command_Line")
    is_sysmon = base.source is Source.SYSMON
    return _with(
        Process,
        base,
        # Sysmon doubles `%` in this field, and in this field only.
        cmdline=cmdline.replace("%%", "%") if is_sysmon else cmdline,
        parent_guid=_guid(row, "ParentProcessGuid", "parent_process_guid"),
        parent_image=_image(row, "ParentImage", "parent_process_path", "ParentProcessName"),
        parent_cmdline=_text(row, "ParentCommandLine"),
        user=_text(row, "User", "user") if is_sysmon else _started_as(row),
        logon_id=_logon_id(row, "LogonId") or _target_session(row),
        pid=_number(row, "ProcessId") if is_sysmon else _number(row, "NewProcessId"),
        hashes=_hashes(row),
        original_name=_text(row, "OriginalFileName"),
    )


def _target_session(row: RawEvent) -> str | None:
    return _logon_id(row, "TargetLogonId") or _logon_id(row, "SubjectLogonId")


def _started_as(row: RawEvent) -> str:
    """4688 names a target account only when it is another one than the subject's."""
    who = "Target" if _logon_id(row, "TargetLogonId") else "Subject"
    return "\\".join(_texts(row, f"{who}DomainName", f"{who}UserName"))


_DIRECTIONS = {"%%14592": False, "inbound": False, "%%14593": True, "outbound": True}


def _connection(row: RawEvent, base: Event) -> Event:
    said = _text(row, "Initiated", "Direction").casefold()
    is_outbound = {**_DIRECTIONS, "true": True, "false": False}.get(said)
    return _with(
        Connection,
        base,
        user=_text(row, "User"),
        is_outbound=is_outbound,
        source_address=_address(row, "SourceIp", "SourceAddress"),
        source_port=_number(row, "SourcePort"),
        target_address=_address(row, "DestinationIp", "DestAddress"),
        target_port=_number(row, "DestinationPort", "DestPort"),
        target_name=_text(row, "DestinationHostname"),
    )


def _lookup(row: RawEvent, base: Event) -> Event:
    parts = (part.strip() for part in _text(row, "QueryResults").split(";"))
    found = (address_in(part.removeprefix("::ffff:")) for part in parts)
    answers = tuple(address for address in found if address)
    return _with(Lookup, base, asked=_text(row, "QueryName").rstrip("."), addresses=answers)


def _logon(row: RawEvent, base: Event) -> Event:
    return _with(
        Logon,
        base,
        type=_number(row, "LogonType", "Logon_Type") or 0,
        user="\\".join(_texts(row, "TargetDomainName", "TargetUserName")),
        sid=_text(row, "TargetUserSid"),
        logon_id=_logon_id(row, "TargetLogonId"),
        address=_address(row, "IpAddress", "src_ip"),
        port=_number(row, "IpPort"),
        workstation=_text(row, "WorkstationName"),
        is_success=base.id == 4624,
    )


def _explicit(row: RawEvent, base: Event) -> Event:
    return _with(
        ExplicitLogon,
        base,
        subject="\\".join(_texts(row, "SubjectDomainName", "SubjectUserName")),
        subject_sid=_text(row, "SubjectUserSid"),
        user="\\".join(_texts(row, "TargetDomainName", "TargetUserName")),
        server=_text(row, "TargetServerName", "TargetInfo").rpartition("/")[2],
    )


def _share(row: RawEvent, base: Event) -> Event:
    return _with(
        ShareUsed,
        base,
        user="\\".join(_texts(row, "SubjectDomainName", "SubjectUserName")),
        sid=_text(row, "SubjectUserSid"),
        logon_id=_logon_id(row, "SubjectLogonId"),
        address=_address(row, "IpAddress"),
        share=_text(row, "ShareName"),
        path=_text(row, "RelativeTargetName"),
    )


def _account(row: RawEvent, base: Event) -> Event:
    return _with(
        AccountChanged,
        base,
        subject="\\".join(_texts(row, "SubjectDomainName", "SubjectUserName")),
        logon_id=_logon_id(row, "SubjectLogonId"),
        account=_text(row, "TargetUserName"),
    )


def _subscription(row: RawEvent, base: Event) -> Event:
    return _with(
        Subscription,
        base,
        user=_text(row, "User", "user"),
        operation=_text(row, "Operation"),
        about=_text(row, "Name", "Consumer", "Filter").strip('" '),
    )


def _file(row: RawEvent, base: Event) -> Event:
    return _with(FileWritten, base, path=_text(row, "TargetFilename"))


def _loaded(row: RawEvent, base: Event) -> Event:
    return _with(ImageLoaded, base, path=_text(row, "ImageLoaded"), hashes=_hashes(row))


def _registry(row: RawEvent, base: Event) -> Event:
    return _with(RegistrySet, base, key=_text(row, "TargetObject"))


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
