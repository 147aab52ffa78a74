"""Which events origin and spread want read, written as queries. Pure.

Sysmon's events lie in `hunts.index`, the Security log's in `hunts.security_index`. A sentence comes
instead of a query where it cannot be asked: that is a blind spot, never "nothing found".
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from connectors.model import Alert, EventQuery, Observable, Operator, Term
from runner.alerts import DEFAULT_FIELDS
from runner.config import Hunts
from runner.hunt_fields import EVENT_FIELDS
from runner.wmic import Ask, Wanted, skipped_account

MOST_ROWS = 1000
NEAR = timedelta(seconds=120)
OWNER_NEAR = timedelta(hours=1)
"""How long an address belongs to one machine, before and after."""
BEFORE = timedelta(seconds=60)
AFTER = timedelta(minutes=15)
"""How long after the alert what it started elsewhere is looked for."""
SETTLED = timedelta(days=1)
"""What began less than this ago is no habit."""
RPC_PORT = "135"
AWAKE = ("1", "3", "5", "7", "11", "13", "15", "22")
"""Sysmon's events that are read here: any of them shows that it watched."""

OTHERS = tuple(number for number in AWAKE if number != "3")
CHANGED = ("4", "16", "255")
"""Sysmon's own: its service started or stopped, its configuration changed, it failed."""
ENOUGH = 200

NO_INDEX = "not searched: hunts.index is not configured"
NO_SECURITY = "not searched: hunts.security_index is not configured, so logons are not seen"


# -- triage ----------------------------------------------------------------------------------------


def around_query(alert: Alert, hunts: Hunts) -> EventQuery | str:
    """All events of the alert's process, and the starts of its children."""
    if alert.occurred_at is None or alert.process_guid is None:
        return "not searched: the alert's process is not known, so what it did is not"
    guid = alert.process_guid.strip("{}").casefold()
    fields = (*_names("process_guid", hunts, "ProcessGuid"), "ParentProcessGuid")
    own = _equals(fields, (f"{{{guid}}}", guid))
    host = _host(alert.host, hunts) if alert.host else ()
    times = (alert.occurred_at - BEFORE, alert.occurred_at + AFTER)
    return _sysmon(hunts, times, (), *host, own)


def exit_query(alert: Alert, hunts: Hunts) -> EventQuery | str:
    """With which code wmic ended on the alert's host."""
    if alert.occurred_at is None or alert.host is None:
        return "not searched: the alert names no host or no time, so how it ended is not known"
    times = (alert.occurred_at - BEFORE, alert.occurred_at + AFTER)
    wmic = Term(fields=("ProcessName",), operator=Operator.CONTAINS, values=("\\wmic.exe",))
    return _security(hunts, times, "4689", *_host(alert.host, hunts), wmic)


def recurrence_query(alert: Alert, hunts: Hunts) -> EventQuery | str:
    """The same command line, until a day before the alert: an attack that goes from host to host
    must not look like a habit."""
    if alert.occurred_at is None or not alert.cmdline:
        return "not searched: the alert names no time or no command line, so its habit is not known"
    times = (
        alert.occurred_at - timedelta(seconds=hunts.lookback_s) - SETTLED,
        alert.occurred_at - SETTLED,
    )
    same = _equals(_names("cmdline", hunts, *DEFAULT_FIELDS["cmdline"]), (alert.cmdline,))
    return _sysmon(hunts, times, ("1",), same)


# -- origin ----------------------------------------------------------------------------------------


def ask_queries(ask: Ask, hunts: Hunts, now: datetime) -> list[EventQuery | str]:
    """One ask as one or two queries, or a sentence for each that cannot be asked."""
    at = ask.at or now
    back = timedelta(seconds=hunts.lookback_s)
    host = _host(ask.host, hunts) if ask.host else ()
    match ask.wanted:
        case Wanted.PROCESS:
            guids = [text for guid in ask.values for text in (f"{{{guid}}}", guid)]
            fields = _names("process_guid", hunts, "ProcessGuid")
            return [_sysmon(hunts, (at - back, at + NEAR), ("1",), _equals(fields, guids))]
        case Wanted.SESSION:
            session = _equals(("TargetLogonId", "Logon_ID"), ask.values)
            return [_security(hunts, (at - back, at + NEAR), "4624", *host, session)]
        case Wanted.ARRIVALS:
            port = _equals(("DestinationPort",), (RPC_PORT,))
            near = (at - NEAR, at + NEAR)
            network = _equals(("LogonType", "Logon_Type"), ("3",))
            return [
                _security(hunts, near, "4624", *host, network),
                _sysmon(hunts, near, ("3",), *host, port),
            ]
        case Wanted.OWNER:
            own = _equals(("SourceIp",), ask.values)
            sent = _equals(("Initiated",), ("true",))
            times = (at - OWNER_NEAR, at + OWNER_NEAR)
            return [_sysmon(hunts, times, ("3",), own, sent)]
        case Wanted.SENDER:
            return [_sysmon(hunts, (at - NEAR, at + NEAR), ("1", "3", "22"), *host)]


# -- spread ----------------------------------------------------------------------------------------


def trace_queries(
    indicators: Sequence[Observable], hunts: Hunts, now: datetime
) -> list[EventQuery | str]:
    """The same domain, address or file in lookups, connections and written files."""
    times = (now - timedelta(seconds=hunts.lookback_s), now + timedelta(hours=1))
    found: list[EventQuery | str] = []
    for kind, number, field, operator in (
        ("domain", "22", "QueryName", Operator.EQUALS),
        ("address", "3", "DestinationIp", Operator.EQUALS),
        ("file", "11", "TargetFilename", Operator.CONTAINS),
    ):
        values = tuple(_sought(one) for one in indicators if one.type == kind and _sought(one))
        if values:
            term = Term(fields=(field,), operator=operator, values=values)
            found.append(_sysmon(hunts, times, (number,), term))
    return found


def _sought(indicator: Observable) -> str:
    """The internet cache puts `[1]` before a file's ending, so its stem is looked for."""
    if indicator.type != "file":
        return indicator.value
    name = indicator.value.replace("/", "\\").rpartition("\\")[2]
    stem = name.rpartition(".")[0] or name
    return stem if len(stem) >= 4 else ""


def deed_queries(at: datetime, hunts: Hunts) -> list[EventQuery | str]:
    """What WMI started and what subscriptions were made anywhere, after the alert."""
    times = (at - BEFORE, at + AFTER)
    parent = Term(fields=("ParentImage",), operator=Operator.CONTAINS, values=("\\WmiPrvSE.exe",))
    return [
        _sysmon(hunts, times, ("1",), parent),
        _sysmon(hunts, times, ("19", "20", "21")),
    ]


def logon_queries(
    alert: Alert, at: datetime, addresses: Sequence[str], hunts: Hunts
) -> list[EventQuery | str]:
    """Network logons from the host anywhere, and passwords that were used on it."""
    times = (at - BEFORE, at + AFTER)
    if addresses:
        source = _equals(("IpAddress", "Source_Network_Address"), addresses)
        logons = _security(hunts, times, "4624", source)
    else:
        logons = "not searched: the host's address is not known, so its logons elsewhere are not"
    found = [logons]
    if alert.host is not None:
        found.append(_security(hunts, times, "4648", *_host(alert.host, hunts)))
    return list(dict.fromkeys(found)) if isinstance(logons, str) else found


def account_queries(user: str, at: datetime, hunts: Hunts) -> list[EventQuery | str]:
    """Where the account logged on over the network afterwards, from wherever; nothing to ask of an
    account that every machine has."""
    name = user.rpartition("\\")[2].partition("@")[0]
    if skipped_account(user) is not None:
        return []
    same = _equals(("TargetUserName", "user"), (name,))
    kinds = _equals(("LogonType", "Logon_Type"), ("3", "10"))
    return [_security(hunts, (at - BEFORE, at + AFTER), "4624", same, kinds)]


def seen_query(host: str, at: datetime, hunts: Hunts) -> EventQuery | str:
    """What Sysmon saw on one host around the alert."""
    channel = Term(fields=("source", "Channel"), operator=Operator.CONTAINS, values=("Sysmon",))
    return _sysmon(hunts, (at - AFTER, at + AFTER), AWAKE, *_host(host, hunts), channel)


def talk_queries(
    names: Sequence[str],
    before: tuple[datetime, datetime, datetime],
    changed_from: datetime,
    since: tuple[datetime, datetime],
    hunts: Hunts,
) -> dict[str, EventQuery | str]:
    """What a host said in each of the two spans before it was isolated and says since, whether its
    logging was changed, and whether others are heard, by name. Of most that some was is enough: the
    newest `ENOUGH` then stand for all. A host whose clock is ahead is heard up to an hour."""
    host = _equals(_names("host", hunts, *DEFAULT_FIELDS["host"]), names)
    ahead = since[1] + timedelta(hours=1)
    return {
        "earlier": _sysmon(hunts, (before[0], before[1]), ("3",), host, most=ENOUGH),
        "before": _sysmon(hunts, (before[1], before[2]), ("3",), host, most=ENOUGH),
        "changes": _sysmon(hunts, (changed_from, ahead), CHANGED, host, most=ENOUGH),
        "connections": _sysmon(hunts, (since[0], ahead), ("3",), host),
        "others": _sysmon(hunts, (since[0], ahead), OTHERS, host, most=ENOUGH),
        "peers": _sysmon(hunts, since, ("3",), most=ENOUGH),
    }


def hash_query(hashes: Sequence[Observable], hunts: Hunts, now: datetime) -> EventQuery | str:
    """The same program, module or file, by its hash, started, loaded or written anywhere."""
    times = (now - timedelta(seconds=hunts.lookback_s), now + timedelta(hours=1))
    values = tuple(one.value for one in hashes)
    same = Term(fields=("Hashes", "Hash"), operator=Operator.CONTAINS, values=values)
    return _sysmon(hunts, times, ("1", "7", "15"), same)


# -- one query -------------------------------------------------------------------------------------


def _names(meaning: str, hunts: Hunts, *standard: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*hunts.fields.get(meaning, ()), *standard)))


def _host(host: str, hunts: Hunts) -> tuple[Term]:
    return (_equals(_names("host", hunts, *DEFAULT_FIELDS["host"]), (host,)),)


def _equals(fields: Sequence[str], values: Sequence[str]) -> Term:
    return Term(fields=tuple(fields), operator=Operator.EQUALS, values=tuple(values))


def _sysmon(
    hunts: Hunts,
    times: tuple[datetime, datetime],
    numbers: tuple[str, ...],
    *terms: Term,
    most: int = MOST_ROWS,
) -> EventQuery | str:
    if hunts.index is None:
        return NO_INDEX
    return _query(hunts.index, times, numbers, terms, most)


def _security(
    hunts: Hunts, times: tuple[datetime, datetime], number: str, *terms: Term
) -> EventQuery | str:
    if hunts.security_index is None:
        return NO_SECURITY
    return _query(hunts.security_index, times, (number,), terms)


def _query(
    index: str,
    times: tuple[datetime, datetime],
    numbers: tuple[str, ...],
    terms: Sequence[Term],
    most: int = MOST_ROWS,
) -> EventQuery:
    kinds = (_equals(("EventCode", "EventID"), numbers),) if numbers else ()
    return EventQuery(
        index=index,
        start=times[0],
        end=times[1],
        terms=(*kinds, *terms),
        fields=EVENT_FIELDS,
        limit=most,
    )
