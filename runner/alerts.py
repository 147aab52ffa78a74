"""A hit's row becomes an alert: which fields mean what, and what to say when they disagree.

Never raises for what a row holds, so that a bad row never stops its neighbours; never picks one of
two machines. What a person must know about the row stands in `Alert.conflicts`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from operator import itemgetter

from connectors.model import Alert, Row
from runner.hit_row import (
    EVENT_ADDRESS,
    UTC_BY_DEFINITION,
    digest,
    hashed,
    identity_of,
    read_time,
    spelled,
    storable_row,
    texts_of,
    values_of,
)
from runner.hostname import address_in, clean_host, distinct_hosts, full_host, is_same_host
from runner.masking import shown

DEFAULT_FIELDS: dict[str, tuple[str, ...]] = {
    "host": ("Computer", "ComputerName", "Hostname", "dvc", "dest", "host"),
    "cmdline": ("cmdline", "CommandLine", "process", "Process_Command_Line"),
    "parent": ("parent_process", "ParentCommandLine", "ParentImage", "parent_process_path"),
    "user": ("user", "User"),
    "process_guid": ("ProcessGuid", "process_guid"),
    "device_id": ("aid", "sensor_id", "device_id"),
    "addresses": ("src_ip", "SourceIp", "dvc_ip", "host_ip"),
    "occurred": ("_time", "UtcTime"),
    "indexed": ("_indextime",),
}
"""What a fact is called in rows, best first. A search's `fields` replaces single lines of it."""

SENDER = "host"
"""Who sent the event to Splunk: with forwarding a collector, so any other field goes before it."""


_ADDRESS = itemgetter(*EVENT_ADDRESS)
_SPELLED_ADDRESS = "".join(f"{spelled(name)}|1:%d:%s" for name in EVENT_ADDRESS)


class AlertIds:
    """What the alerts of one search are known by. Made for a poll of a million rows, of which most
    are known: what is the same in each row is spelled once."""

    def __init__(self, siem: str, search: str, identity: tuple[str, ...]) -> None:
        self._identity = identity
        self._search = spelled(siem) + spelled(search)

    def of(self, row: Row) -> str:
        """Repeat: the same row gives the same id, whatever `_serial` and `_si` say. Errors: none.

        Each field's name, then its values as received; a missing field has none.
        """
        return self._by_address(row) or self._by_fields(row)

    def _by_address(self, row: Row) -> str | None:
        """As `_by_fields` says it of a row with a plain address in Splunk, as nearly each is."""
        try:
            index, bucket, place, indexed = _ADDRESS(row)
        except KeyError:
            return None
        if not (type(index) is type(bucket) is type(place) is type(indexed) is str):
            return None
        parts = self._search + _SPELLED_ADDRESS % (
            *(len(index), index, len(bucket), bucket),
            *(len(place), place, len(indexed), indexed),
        )
        return hashed(parts) if bucket and place and parts.isascii() else None

    def _by_fields(self, row: Row) -> str:
        parts = self._search
        for name in identity_of(row, self._identity):
            parts += spelled(name) + spelled(texts_of(row, name))
        return hashed(parts)


def make_alert(
    row: Row,
    *,
    siem: str,
    search: str,
    identity: tuple[str, ...],
    fields: Mapping[str, tuple[str, ...]],
) -> Alert:
    """Read one row. `fields`: meaning → field names, over `DEFAULT_FIELDS`. Repeat: the same row
    gives the same alert. Errors: none."""
    read = _RowReader(row, {**DEFAULT_FIELDS, **fields})
    host, candidates = read.host()
    return Alert(
        id=AlertIds(siem, search, identity).of(row),
        siem=siem,
        search=search,
        raw=storable_row(row),
        occurred_at=read.time("occurred", "The event's time"),
        indexed_at=read.time("indexed", "The index time"),
        host=host,
        host_candidates=candidates,
        user=read.fact("user", _account),
        cmdline=read.cmdline(),
        parent=read.first("parent"),
        process_guid=read.fact("process_guid", lambda guid: guid.strip("{}").casefold()),
        device_id=read.device_id(),
        addresses=read.addresses(),
        conflicts=tuple(read.conflicts),
    )


def case_key(alert: Alert) -> str:
    """What makes two alerts one case: the SIEM, the machine, the command line.

    The machine's domain belongs to it as far as it is known: two cases for one machine cost a
    question less than one case for two machines, of which the second would never be looked at.
    """
    hosts = [alert.host] if alert.host else sorted(alert.host_candidates)
    if not hosts:
        # Without a name, only the same row is certainly the same machine.
        return digest([alert.siem, [alert.id], _cmdline_digest(alert.cmdline)])
    return digest([alert.siem, [full_host(host) for host in hosts], _cmdline_digest(alert.cmdline)])


def _cmdline_digest(cmdline: str | None) -> str:
    return digest([[]] if cmdline is None else [normalise_cmdline(cmdline)])


def normalise_cmdline(cmdline: str) -> str:
    """Blanks between words count once: cmd.exe writes two after the program's name.

    Nothing else is touched: another case may be another address, a no-break space another file.
    """
    return re.sub(r"[ \t]+", " ", cmdline).strip(" \t")


def _account(user: str) -> str:
    return user.rpartition("\\")[2].partition("@")[0].casefold()


def _shown(text: str) -> str:
    return shown(text, 120)


class _RowReader:
    """Reads facts out of one row and gathers what does not fit together."""

    def __init__(self, row: Row, fields: Mapping[str, tuple[str, ...]]) -> None:
        self._row = row
        self._fields = fields
        self.conflicts: list[str] = []

    def _given(self, meaning: str) -> dict[str, tuple[str, ...]]:
        """The fields that have a value for this meaning, best first."""
        named = {field: values_of(self._row, field) for field in self._fields[meaning]}
        return {field: values for field, values in named.items() if values}

    def first(self, meaning: str) -> str | None:
        """The best field's value, where other fields say something else by nature."""
        for values in self._given(meaning).values():
            return values[0]
        return None

    def fact(self, meaning: str, normal: Callable[[str], str]) -> str | None:
        """The best field's one value. Several values are none; other fields that disagree are
        noted."""
        given = self._given(meaning)
        if not given:
            return None
        field, values = next(iter(given.items()))
        if len({normal(value) for value in values}) > 1:
            self._note_several(field, values)
            return None
        for other, others in given.items():
            if {normal(value) for value in others} != {normal(values[0])}:
                self._note(f"{field} says {_shown(values[0])}, but {other} says", others)
        return values[0]

    def device_id(self) -> str | None:
        """The sensor's id, which proves a machine: two ids prove none."""
        given = self._given("device_id")
        ids: dict[str, str] = {}
        for value in (value for values in given.values() for value in values):
            ids.setdefault(value.casefold(), value)
        if len(ids) > 1:
            self._note(f"{' and '.join(given)} name several sensors:", tuple(ids.values()))
            return None
        return next(iter(ids.values()), None)

    def cmdline(self) -> str | None:
        """The command line, the longest of several forms when it holds the others.

        A field with several values is joined by line breaks, so that each part is judged.
        """
        given = self._given("cmdline")
        for field, values in given.items():
            if len(values) > 1:
                self._note_several(field, values)
        texts = {field: "\n".join(values) for field, values in given.items()}
        if not texts:
            return None
        first = next(iter(texts.values()))
        holders = [text for text in texts.values() if _holds(text, first)]
        best = max(holders, key=len)
        for field, text in texts.items():
            if not _holds(best, text):
                self._note(f"{field} is another command line than the one that is judged:", (text,))
        return best

    def host(self) -> tuple[str | None, tuple[str, ...]]:
        """The machine's name, or the names among which a person has to choose.

        A name that the endpoint gives itself goes before the sender's.
        """
        named: dict[str, list[str]] = {}
        for field, values in self._given("host").items():
            named[field] = [name for value in values if (name := self._host_name(field, value))]
        sender = named.pop(SENDER, [])
        own = distinct_hosts(name for names in named.values() for name in names)
        for name in sender:
            if own and not any(is_same_host(name, other) for other in own):
                self._note(
                    f"{SENDER} says {_shown(name)}, which looks like a collector; it is", own
                )
        found = own or distinct_hosts(sender)
        if len(found) > 1:
            self._note("The row names several machines:", found)
            return None, found
        return (found[0] if found else None), ()

    def _host_name(self, field: str, value: str) -> str | None:
        name = clean_host(value)
        if name is None and address_in(value) is None:
            self.conflicts.append(f"{field} holds no machine's name: {_shown(value)}.")
        return name

    def addresses(self) -> tuple[str, ...]:
        """Each IP address that the row gives for the machine."""
        values = [
            value
            for meaning in ("addresses", "host")
            for field, given in self._given(meaning).items()
            if field != SENDER
            for value in given
        ]
        found = (address for value in values if (address := address_in(value)))
        return tuple(dict.fromkeys(found))

    def time(self, meaning: str, what: str) -> datetime | None:
        """The first field that gives one instant; a time that would be a guess is noted instead."""
        for field, values in self._given(meaning).items():
            read = {read_time(value, is_utc=field in UTC_BY_DEFINITION) for value in values}
            instant = next(iter(read))
            if len(read) == 1 and instant is not None:
                return instant
            self._note(f"{what} cannot be read from {field}:", values)
        return None

    def _note_several(self, field: str, values: tuple[str, ...]) -> None:
        self._note(f"{field} has several values:", values)

    def _note(self, sentence: str, values: tuple[str, ...]) -> None:
        listed = ", ".join(_shown(value) for value in values[:5])
        more = f" and {len(values) - 5} more" if len(values) > 5 else ""
        self.conflicts.append(f"{sentence} {listed}{more}.")


def _holds(longer: str, shorter: str) -> bool:
    return normalise_cmdline(shorter).casefold() in normalise_cmdline(longer).casefold()
