"""Which fields of an event hunts and triage read, and what Windows calls them. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from connectors.model import EventQuery, Row
from runner.config import Hunts
from runner.hit_row import values_of
from runner.wmic import RawEvent

EVENT_FIELDS = (
    "_time",
    "_cd",
    "Channel",
    "SourceName",
    "source",
    "sourcetype",
    "EventCode",
    "EventID",
    "Computer",
    "Hostname",
    "dest",
    "host",
    "UtcTime",
    "RecordNumber",
    "EventRecordID",
    "ProcessGuid",
    "ProcessId",
    "ParentProcessGuid",
    "Image",
    "ParentImage",
    "CommandLine",
    "ParentCommandLine",
    "OriginalFileName",
    "Hashes",
    "User",
    "LogonId",
    "SourceIp",
    "SourcePort",
    "DestinationIp",
    "DestinationPort",
    "DestinationHostname",
    "Initiated",
    "Protocol",
    "QueryName",
    "QueryResults",
    "TargetFilename",
    "ImageLoaded",
    "TargetObject",
    "Hash",
    "Operation",
    "Name",
    "Consumer",
    "Filter",
    "LogonType",
    "TargetUserName",
    "TargetDomainName",
    "TargetUserSid",
    "TargetLogonId",
    "SubjectUserName",
    "SubjectDomainName",
    "SubjectUserSid",
    "SubjectLogonId",
    "TargetServerName",
    "TargetInfo",
    "ProcessName",
    "NewProcessName",
    "ParentProcessName",
    "NewProcessId",
    "Process_ID",
    "Status",
    "Exit_Status",
    "IpAddress",
    "IpPort",
    "WorkstationName",
)
"""What origin and spread read of an event."""
_STANDARD = {
    "host": "Computer",
    "cmdline": "CommandLine",
    "user": "User",
    "process_guid": "ProcessGuid",
    "parent": "ParentCommandLine",
}
"""What a fact of `hunts.fields` is called in an event as Windows wrote it."""


def raw_events(rows: Iterable[Row], hunts: Hunts) -> list[RawEvent]:
    """Rows with the configured fields under the names that Windows gives them."""
    return [_renamed(row, hunts) for row in rows]


def _renamed(row: Row, hunts: Hunts) -> Row:
    named: Row = {}
    for meaning, standard in _STANDARD.items():
        for field in hunts.fields.get(meaning, ()):
            if values := values_of(row, field):
                named.setdefault(standard, values[0])
    return {**row, **named}


def whole(query: EventQuery) -> EventQuery:
    """The same query, with everything that origin and spread read of an event."""
    fields = tuple(dict.fromkeys((*query.fields, *EVENT_FIELDS)))
    return EventQuery(
        index=query.index,
        start=query.start,
        end=query.end,
        terms=query.terms,
        fields=fields,
        limit=query.limit,
    )
