"""What did another machine start here by WMI, and which machine was it?

A remote start is a child of WmiPrvSE.exe, or a WMI subscription that was made; WmiPrvSE itself also
runs on machines where nobody did anything remotely and proves nothing. The machine behind it comes
from the network logon with the child's session, or, where the child runs in a service's session,
from what arrived at that time. Times join within a window and never by order.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from msgspec import Struct

from runner.wmic.accounts import skipped_account
from runner.wmic.events import (
    Connection,
    Event,
    Logon,
    Process,
    Subscription,
    account_of,
    base_name,
)
from runner.wmic.places import SERVICE_SESSIONS, Confidence, Places, is_near, processes

HOST_PROCESS = "wmiprvse.exe"
JOIN_S = 60.0
"""How far a logon, a connection and a process start may lie apart and still be one deed."""
RPC_PORT = 135
NETWORK = 3
NOT_STARTED = frozenset({HOST_PROCESS, "werfault.exe", "wmiadap.exe"})
"""Children of WmiPrvSE that Windows itself starts."""

_Timed = TypeVar("_Timed", bound=Event)


class RemoteStart(Struct, frozen=True, kw_only=True):
    """One child of WmiPrvSE, or one subscription. `address` None: where it came from is not known
    (`why` says it). `is_local`: this machine asked itself."""

    deed: Process | Subscription
    logon: Logon | None = None
    address: str | None = None
    source: str | None = None
    is_local: bool = False
    confidence: Confidence = Confidence.LOW
    why: str = ""
    evidence: tuple[str, ...] = ()


class Arrivals:
    """What came to each machine over the network, by time."""

    def __init__(self, events: Iterable[Event], places: Places) -> None:
        self._places = places
        self._sessions: dict[tuple[str, str], list[Logon]] = defaultdict(list)
        logons: dict[str, list[Logon]] = defaultdict(list)
        calls: dict[str, list[Connection]] = defaultdict(list)
        for event in events:
            host = places.name_of(event.host)
            if isinstance(event, Logon) and event.is_success and event.logon_id:
                self._sessions[host, event.logon_id].append(event)
                logons[host].append(event)
            elif isinstance(event, Connection) and _is_rpc_call(event):
                calls[host].append(event)
        self._logons = {host: _Timeline(found) for host, found in logons.items()}
        self._calls = {host: _Timeline(found) for host, found in calls.items()}

    def session(self, host: str, logon_id: str, at: datetime | None) -> Logon | None:
        """The logon that began a session, the nearest in time when the id was used twice."""
        found = self._sessions.get((self._places.name_of(host), logon_id), [])
        far = float("inf")
        return min(found, key=lambda one: _apart(one.at, at, far), default=None)

    def logons(self, host: str, at: datetime | None) -> list[Logon]:
        """Network logons of people from other machines, near a time."""
        line = self._logons.get(self._places.name_of(host))
        own = self._places.addresses_of(host)
        return [
            logon
            for logon in (line.near(at) if line else [])
            if logon.type == NETWORK
            and logon.address
            and logon.address not in own
            and skipped_account(logon.user, logon.sid) is None
        ]

    def calls(self, host: str, at: datetime | None) -> list[Connection]:
        """Connections of other machines to the RPC port, near a time."""
        line = self._calls.get(self._places.name_of(host))
        own = self._places.addresses_of(host)
        return [call for call in (line.near(at) if line else []) if call.source_address not in own]


class _Timeline(Generic[_Timed]):
    """Events by time; those without a time are in no window."""

    def __init__(self, events: Sequence[_Timed]) -> None:
        dated = [(event.at, place, event) for place, event in enumerate(events) if event.at]
        dated.sort(key=lambda entry: entry[:2])
        self._times = [at for at, _, _ in dated]
        self._events = [event for _, _, event in dated]

    def near(self, at: datetime | None) -> list[_Timed]:
        if at is None:
            return []
        window = timedelta(seconds=JOIN_S)
        first = bisect_left(self._times, at - window)
        return self._events[first : bisect_right(self._times, at + window)]


def _is_rpc_call(call: Connection) -> bool:
    is_incoming = call.is_outbound is False and call.source_address is not None
    return is_incoming and call.target_port == RPC_PORT


def _apart(one: datetime | None, other: datetime | None, default: float) -> float:
    return default if one is None or other is None else abs((one - other).total_seconds())


def is_remote_child(process: Process) -> bool:
    """A child of WmiPrvSE that somebody asked for."""
    is_child = base_name(process.parent_image) == HOST_PROCESS
    return is_child and base_name(process.image) not in NOT_STARTED


def remote_starts(events: Sequence[Event], places: Places) -> list[RemoteStart]:
    """Every child of WmiPrvSE and every subscription of a person, with the machine behind it."""
    arrivals = Arrivals(events, places)
    children = [process for process in processes(events) if is_remote_child(process)]
    made = [event for event in events if isinstance(event, Subscription) and _is_made(event)]
    return [
        *(joined(child, arrivals, places) for child in children),
        *(_by_arrival(subscription, arrivals, places) for subscription in made),
    ]


def _is_made(subscription: Subscription) -> bool:
    is_new = subscription.operation.casefold() == "created"
    return is_new and skipped_account(subscription.user) is None


def joined(child: Process, arrivals: Arrivals, places: Places) -> RemoteStart:
    """One child with the logon or connection that brought it."""
    if child.logon_id and child.logon_id not in SERVICE_SESSIONS:
        logon = arrivals.session(child.host, child.logon_id, child.at)
        if logon is not None:
            return _by_session(child, logon, places)
    return _by_arrival(child, arrivals, places)


def _by_session(child: Process, logon: Logon, places: Places) -> RemoteStart:
    own = places.addresses_of(child.host)
    is_local = logon.address is None or logon.address in own
    confidence = Confidence.HIGH if is_near(logon.at, child.at, JOIN_S) else Confidence.MEDIUM
    where = "this machine itself" if is_local else f"{logon.address}"
    return RemoteStart(
        deed=child,
        logon=logon,
        address=None if is_local else logon.address,
        source=None if is_local or not logon.address else places.host_at(logon.address),
        is_local=is_local,
        confidence=confidence,
        why=f"it runs in session {child.logon_id}, which a logon of type {logon.type} from {where}"
        " began",
        evidence=(child.ref, logon.ref),
    )


def _by_arrival(deed: Process | Subscription, arrivals: Arrivals, places: Places) -> RemoteStart:
    """Without a session of its own a deed can only be laid beside what arrived then."""
    logons = {
        str(logon.address): logon
        for logon in arrivals.logons(deed.host, deed.at)
        if isinstance(deed, Process) or account_of(logon.user) == account_of(deed.user)
    }
    calls = {str(call.source_address): call for call in arrivals.calls(deed.host, deed.at)}
    both = logons.keys() & calls.keys()
    found = both or logons.keys() | calls.keys()
    if len(found) != 1:
        what = "nothing arrived" if not found else f"{len(found)} machines reached this one"
        why = f"{what} within {JOIN_S:.0f} s, so where it came from is not known"
        return RemoteStart(deed=deed, why=why, evidence=(deed.ref,))
    address = next(iter(found))
    seen = [event.ref for event in (logons.get(address), calls.get(address)) if event is not None]
    what = "a network logon and an RPC connection" if both else "one arrival"
    return RemoteStart(
        deed=deed,
        logon=logons.get(address),
        address=address,
        source=places.host_at(address),
        confidence=Confidence.MEDIUM if both else Confidence.LOW,
        why=f"{what} from {address} lie within {JOIN_S:.0f} s of it; no session ties them",
        evidence=(deed.ref, *seen),
    )
