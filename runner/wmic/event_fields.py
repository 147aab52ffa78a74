"""What the fields of one Windows event hold, whoever forwarded it.

The shapes differ (flat, nested under `Event`, renamed by an add-on), and so do times, braces, case
and host names. Nothing here raises for what a row holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from connectors.model import Row
from runner.hit_row import read_time, values_of
from runner.hostname import address_in, clean_host, normalise_host

RawEvent = Mapping[str, object]
"""A row of the SIEM, or a decoded event as a forwarder wrote it."""

_HOSTS = ("Computer", "ComputerName", "Hostname", "dvc", "dest", "host")
_UNKNOWN_PROCESS = re.compile(r"(?:&lt;|<)unknown process(?:&gt;|>)", re.IGNORECASE)
_QUARTER = timedelta(minutes=15)


def host_of(row: RawEvent) -> str | None:
    """The machine that the event is about. Who sent it counts only when the event names none."""
    return next((name for text in texts_in(row, *_HOSTS) if (name := clean_host(text))), None)


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


def texts_in(row: RawEvent, *fields: str) -> Iterator[str]:
    given: Row = {name: row[name] for name in fields if name in row}  # type: ignore[misc]
    for field in fields:
        yield from values_of(given, field)


def text_in(row: RawEvent, *fields: str) -> str:
    """The first field that has a value; empty when none has."""
    return next(texts_in(row, *fields), "")


def guid_in(row: RawEvent, *fields: str) -> str | None:
    guid = text_in(row, *fields).strip("{}").casefold()
    return guid if guid.strip("0-") else None


def number_in(row: RawEvent, *fields: str) -> int | None:
    text = text_in(row, *fields)
    try:
        return int(text, 16) if text[:2].lower() == "0x" else int(text)
    except ValueError:
        return None


def logon_id_in(row: RawEvent, *fields: str) -> str | None:
    """`0x551686`, lower case; None for 0, which means no session."""
    number = number_in(row, *fields)
    return hex(number) if number else None


def ip_in(row: RawEvent, *fields: str) -> str | None:
    """An IPv4 address also when written as IPv6; None for loopback and for no address."""
    return plain_address(text_in(row, *fields))


def plain_address(text: str) -> str | None:
    """As `address_in`, and an IPv4 address is one also when it is written as IPv6."""
    return address_in(text[7:] if text.lower().startswith("::ffff:") else text)


def image_in(row: RawEvent, *fields: str) -> str:
    return _UNKNOWN_PROCESS.sub("", text_in(row, *fields))


def hashes_in(row: RawEvent) -> tuple[str, ...]:
    """`SHA256=AB…,MD5=…` without the names, lower case. Sysmon 15 calls the field `Hash`."""
    said = text_in(row, "Hashes", "Hash").split(",")
    parts = (part.rpartition("=")[2].casefold() for part in said)
    return tuple(part for part in parts if len(part) >= 32 and part.strip("0"))


# -- time ------------------------------------------------------------------------------------------


def _utc(row: RawEvent) -> datetime | None:
    """Sysmon's `UtcTime` is right; `_time` and a time with a zone are; `@timestamp` is the receipt,
    some seconds late."""
    sysmon = read_time(text_in(row, "UtcTime"), is_utc=True)
    if sysmon is not None:
        return sysmon
    texts = texts_in(row, "_time", "@timestamp", "SystemTime", "TimeCreated")
    return next((at for text in texts if (at := read_time(text)) is not None), None)


def _local(row: RawEvent) -> datetime | None:
    """The text of a time without a zone, read as if it were UTC."""
    return read_time(text_in(row, "TimeCreated", "EventTime"), is_utc=True)


def local_zones(rows: Iterable[RawEvent]) -> dict[str, timedelta | None]:
    """How far each host's local time is from UTC; None where its own events disagree."""
    zones: dict[str, timedelta | None] = {}
    for row in rows:
        utc = read_time(text_in(row, "UtcTime"), is_utc=True)
        local, host = _local(row), host_of(row)
        if utc is None or local is None or host is None:
            continue
        zone = round((utc - local) / _QUARTER) * _QUARTER
        name = normalise_host(host)
        if zones.setdefault(name, zone) != zone:
            zones[name] = None
    return zones


def time_of(row: RawEvent, host: str, zones: Mapping[str, timedelta | None]) -> datetime | None:
    utc = _utc(row)
    local, zone = _local(row), zones.get(normalise_host(host))
    return local + zone if utc is None and local is not None and zone is not None else utc
