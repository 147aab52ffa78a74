"""Which machine has which name and address, as far as events say it.

An address that two machines had is nobody's: a wrong machine is worse than none. Two machines may
share a short name in two domains; they stay two.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache

from msgspec import Struct

from runner import hostname
from runner.hostname import address_in, clean_host
from runner.wmic.events import Connection, Event, Logon, Lookup, Process, Source, account_of

SERVICE_SESSIONS = frozenset({"0x3e7", "0x3e4", "0x3e5", "0x3e3", "0x3e6"})
"""Sessions that every machine has: SYSTEM, NETWORK SERVICE, LOCAL SERVICE, IUSR, ANONYMOUS."""

SAME_START_S = 10.0
"""How far Sysmon's report of a process start and the Security log's may lie apart."""


# The same few names come with every event.
full_host = lru_cache(maxsize=10_000)(hostname.full_host)
short_host = lru_cache(maxsize=10_000)(hostname.normalise_host)


class Confidence(StrEnum):
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def rank(self) -> int:
        return ("low", "medium", "high").index(self.value)


class Named(Struct, frozen=True, kw_only=True):
    """A machine and an address that an event put together."""

    host: str
    address: str


class Places:
    """Names and addresses. `known`: address → host, from a source outside of the events."""

    def __init__(self, events: Iterable[Event], known: Mapping[str, str] | None = None) -> None:
        events = tuple(events)
        self._full: dict[str, set[str]] = defaultdict(set)
        self._spelling: dict[str, str] = {}
        self._hosts: dict[str, set[str]] = defaultdict(set)
        self._answers: dict[str, set[str]] = defaultdict(set)
        self._names: dict[str, str] = {}
        named = [one for event in events for one in _named(event)]
        named += [Named(host=host, address=address) for address, host in (known or {}).items()]
        # Every spelling is noted before any is chosen.
        for host in [*(event.host for event in events), *(one.host for one in named)]:
            self._note(host)
        for one in named:
            self._hosts[one.address].add(self.name_of(one.host))
        for event in events:
            if isinstance(event, Lookup):
                self._answers[short_host(event.asked)].update(event.addresses)
        self._own: dict[str, set[str]] = defaultdict(set)
        for address in self._hosts:
            owner = self.host_at(address)
            if owner is not None:
                self._own[owner].add(address)

    def _note(self, host: str) -> None:
        full = full_host(host)
        self._spelling.setdefault(full, clean_host(host) or host)
        self._full[short_host(host)].add(full)

    def name_of(self, host: str) -> str:
        """One name a machine: the one with the domain, when exactly one domain is known."""
        if host not in self._names:
            self._names[host] = self._name_of(host)
        return self._names[host]

    def _name_of(self, host: str) -> str:
        full = full_host(host)
        if "." not in full:
            longer = [name for name in self._full.get(full, ()) if "." in name]
            full = longer[0] if len(longer) == 1 else full
        return self._spelling.get(full, host)

    def host_at(self, address: str) -> str | None:
        """The machine that had an address; None when none or several did."""
        names = self._hosts.get(address, set())
        return next(iter(names)) if len(names) == 1 else None

    def find(self, text: str) -> str | None:
        """The machine that a name or an address means; None when no event knows it."""
        address = address_in(text)
        if address is not None:
            return self.host_at(address)
        name = clean_host(text)
        if name is None:
            return None
        if short_host(name) in self._full:
            return self.name_of(name)
        found = {self.host_at(address) for address in self._answers.get(short_host(name), ())}
        return found.pop() if len(found) == 1 else None

    def addresses_of(self, host: str) -> frozenset[str]:
        """Addresses that only this machine had, and those that its name was answered with."""
        own = self._own.get(self.name_of(host), set())
        return frozenset(own | self._answers.get(short_host(host), set()))

    @property
    def hosts(self) -> frozenset[str]:
        """Every machine that sent at least one event or is known otherwise."""
        return frozenset(self.name_of(full) for names in self._full.values() for full in names)


def _named(event: Event) -> Iterator[Named]:
    if isinstance(event, Connection) and event.source is Source.SYSMON:
        if event.is_outbound and event.source_address:
            yield Named(host=event.host, address=event.source_address)
        elif event.is_outbound is False and event.target_address and _is_service(event):
            yield Named(host=event.host, address=event.target_address)
    if isinstance(event, Logon) and event.address and event.is_success:
        # A machine's own account logs on from that machine.
        account = account_of(event.user)
        if account.endswith("$"):
            yield Named(host=account.removesuffix("$").upper(), address=event.address)


def _is_service(call: Connection) -> bool:
    """Sysmon writes some incoming datagrams the wrong way round: then the low port is ours."""
    return (call.target_port or 0) < (call.source_port or 0)


def seconds_apart(one: datetime | None, other: datetime | None) -> float | None:
    """Without regard to order: receipt times make causes look later than effects."""
    return None if one is None or other is None else abs((one - other).total_seconds())


def is_near(one: datetime | None, other: datetime | None, window_s: float) -> bool:
    apart = seconds_apart(one, other)
    return apart is not None and apart <= window_s


def processes(events: Iterable[Event]) -> list[Process]:
    """Each process start once: a 4688 goes where Sysmon reported the same start."""
    starts = [event for event in events if isinstance(event, Process)]
    by_pid = {(*_start_of(start), start.pid) for start in starts if start.source is Source.SYSMON}
    times: dict[tuple[str, str], list[datetime]] = defaultdict(list)
    for start in starts:
        # Some forwarders lose Sysmon's process id to the event log's own field of that name.
        if start.source is Source.SYSMON and start.pid is None and start.at is not None:
            times[_start_of(start)].append(start.at)
    for found in times.values():
        found.sort()

    def is_known(start: Process) -> bool:
        if (*_start_of(start), start.pid) in by_pid and start.pid is not None:
            return True
        near = times.get(_start_of(start), [])
        if start.at is None or not near:
            return False
        at = bisect_left(near, start.at - timedelta(seconds=SAME_START_S))
        return at < len(near) and is_near(near[at], start.at, SAME_START_S)

    return [start for start in starts if start.source is Source.SYSMON or not is_known(start)]


def _start_of(start: Process) -> tuple[str, str]:
    return short_host(start.host), start.image.casefold()
