"""Where did it come from: back through parents, sessions and machines to where the events end.

A pure step function. `trace` reads what is known and says what to read next (`Trace.asks`, queries
as data); its caller reads that, adds the events, marks the asks as answered and calls again, until
nothing is asked. It goes over at most `MOST_HOSTS` machines and `MOST_PARENTS` parents on each, and
never over the same process twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from runner.wmic.delivery import Delivered, delivered
from runner.wmic.events import Event, Logon, Process, base_name
from runner.wmic.places import SERVICE_SESSIONS, Confidence, Places, is_near, processes, short_host
from runner.wmic.remote import HOST_PROCESS, Arrivals, RemoteStart, is_remote_child, joined
from runner.wmic.senders import SENDER_S, sender

MOST_HOSTS = 5
MOST_PARENTS = 16


class Wanted(StrEnum):
    """What an ask is for, and what its `values` are."""

    PROCESS = "process"
    """The start of a process. Values: its GUID."""
    SESSION = "session"
    """The logon that began a session. Values: the logon id."""
    ARRIVALS = "arrivals"
    """Network logons and RPC connections to the host, near the time. No values."""
    OWNER = "owner"
    """Which machine had an address, near the time; `host` is empty. Values: the address."""
    SENDER = "sender"
    """What on the host reached for another one, near the time. Values: its names, addresses."""


class Ask(Struct, frozen=True, kw_only=True):
    """What to read next. `at` None: no time is known."""

    wanted: Wanted
    host: str
    values: tuple[str, ...] = ()
    at: datetime | None = None


class Start(Struct, frozen=True, kw_only=True):
    """What the question is about: a process on a host, by GUID or by its command line."""

    host: str
    at: datetime | None
    guid: str | None = None
    cmdline: str | None = None
    image: str = ""


class Hop(Struct, frozen=True, kw_only=True):
    """One machine on the way back. `chain`: the process, its parent, and so on, as far as events
    tell; empty when only `image` is known. `remote`: who started it from another machine."""

    host: str
    image: str
    chain: tuple[Process, ...]
    delivered: Delivered
    remote: RemoteStart | None = None
    confidence: Confidence = Confidence.HIGH
    """That this machine's process is the one that the next hop's question leads to."""
    evidence: tuple[str, ...] = ()
    at: datetime | None = None


class Trace(Struct, frozen=True, kw_only=True):
    """The way back, the alert's machine first. `asks`: what would lead further; `gaps`: why it
    cannot; `is_cut`: a bound or a cycle ended it."""

    hops: tuple[Hop, ...]
    asks: tuple[Ask, ...]
    gaps: tuple[str, ...]
    is_cut: bool = False


def trace(
    start: Start,
    events: Sequence[Event],
    answered: Set[Ask] = frozenset(),
    known: Mapping[str, str] | None = None,
) -> Trace:
    """Follow one process back as far as these events go. `known`: address → host, from outside.
    Repeat: the same input gives the same trace."""
    return _Tracer(events, answered, known or {}).follow(start)


class _Tracer:
    """One walk over a fixed set of events."""

    def __init__(
        self, events: Sequence[Event], answered: Set[Ask], known: Mapping[str, str]
    ) -> None:
        self._events = events
        self._answered = answered
        self._places = Places(events, known)
        self._arrivals = Arrivals(events, self._places)
        self._starts = processes(events)
        self._by_guid = {
            (short_host(start.host), start.guid): start for start in self._starts if start.guid
        }
        self._asks: list[Ask] = []
        self._gaps: list[str] = []
        self._is_cut = False

    def follow(self, start: Start) -> Trace:
        hops: list[Hop] = []
        seen: set[tuple[str, str | None]] = set()
        confidence = Confidence.HIGH
        evidence: tuple[str, ...] = ()
        found: Start | None = start
        while found is not None:
            place = (self._places.name_of(found.host), found.guid)
            if self._is_bound(place, hops, seen):
                break
            seen.add(place)
            hop = self._hop(found, confidence, evidence)
            hops.append(hop)
            found, confidence, evidence = self._sender(hop)
        return Trace(
            hops=tuple(hops),
            asks=tuple(dict.fromkeys(self._asks)),
            gaps=tuple(dict.fromkeys(self._gaps)),
            is_cut=self._is_cut,
        )

    def _is_bound(
        self, place: tuple[str, str | None], hops: list[Hop], seen: set[tuple[str, str | None]]
    ) -> bool:
        if place in seen:
            self._gaps.append(f"the way back leads to {place[0]} again: a circle, not followed")
        elif len(hops) == MOST_HOSTS:
            self._gaps.append(f"the way back goes over more than {MOST_HOSTS} hosts: cut there")
        else:
            return False
        self._is_cut = True
        return True

    # -- one machine -------------------------------------------------------------------------------

    def _hop(self, start: Start, confidence: Confidence, evidence: tuple[str, ...]) -> Hop:
        chain = self._chain(start)
        child = next((process for process in chain if is_remote_child(process)), None)
        logon = self._session(chain)
        remote = self._remote(child) if child is not None else None
        return Hop(
            host=self._places.name_of(start.host),
            image=chain[0].image if chain else start.image,
            chain=chain,
            delivered=delivered(chain, logon),
            remote=remote or self._remote_session(chain, logon),
            confidence=confidence,
            evidence=evidence,
            at=chain[0].at if chain else start.at,
        )

    def _chain(self, start: Start) -> tuple[Process, ...]:
        process = self._find(start)
        chain: list[Process] = []
        seen: set[str | None] = set()
        while process is not None:
            chain.append(process)
            seen.add(process.guid)
            if base_name(process.parent_image) == HOST_PROCESS:
                # Above WmiPrvSE stands only Windows; who asked is another question.
                break
            parent = process.parent_guid
            if parent is None or len(chain) == MOST_PARENTS or parent in seen:
                if parent is not None:
                    self._gaps.append(f"{process.host}: parents go in a circle or on and on; cut")
                    self._is_cut = True
                break
            process = self._by_guid.get((short_host(process.host), parent))
            if process is None:
                self._ask_for_process(chain[-1].host, parent, chain[-1])
        return tuple(chain)

    def _find(self, start: Start) -> Process | None:
        host = short_host(start.host)
        if start.guid is not None:
            found = self._by_guid.get((host, start.guid))
            if found is None:
                self._ask_for_process(start.host, start.guid, start)
            return found
        same = [
            process
            for process in self._starts
            if short_host(process.host) == host
            and start.cmdline is not None
            and process.cmdline == start.cmdline
            and is_near(process.at, start.at, SENDER_S)
        ]
        if len(same) != 1:
            self._gaps.append(f"{start.host}: the process's own start is not among the events")
        return same[0] if len(same) == 1 else None

    def _ask_for_process(self, host: str, guid: str, near: Process | Start) -> None:
        ask = Ask(wanted=Wanted.PROCESS, host=host, values=(guid,), at=near.at)
        name = base_name(near.parent_image if isinstance(near, Process) else near.image)
        self._want(ask, f"{host}: no event shows the start of {name or 'the process'}")

    def _session(self, chain: Sequence[Process]) -> Logon | None:
        """The logon behind the oldest process that runs for a person."""
        own = [p for p in chain if p.logon_id and p.logon_id not in SERVICE_SESSIONS]
        if not own:
            return None
        last = own[-1]
        logon = self._arrivals.session(last.host, str(last.logon_id), last.at)
        if logon is None:
            values = (str(last.logon_id),)
            ask = Ask(wanted=Wanted.SESSION, host=last.host, values=values, at=last.at)
            self._want(ask, f"{last.host}: no event shows how session {last.logon_id} began")
        return logon

    # -- the machine before ------------------------------------------------------------------------

    def _remote(self, child: Process) -> RemoteStart:
        ask = Ask(wanted=Wanted.ARRIVALS, host=child.host, at=child.at)
        remote = joined(child, self._arrivals, self._places)
        if remote.address is None and not remote.is_local:
            self._want(ask, f"{child.host}: {remote.why}")
        elif remote.confidence is not Confidence.HIGH:
            self._want(ask, None)
        return remote

    def _remote_session(self, chain: Sequence[Process], logon: Logon | None) -> RemoteStart | None:
        """A session that somebody began over the network: WinRM, a remote desktop, SSH."""
        if not chain or logon is None or logon.address is None or logon.type not in (3, 10):
            return None
        if logon.address in self._places.addresses_of(logon.host):
            return None
        return RemoteStart(
            deed=chain[-1],
            logon=logon,
            address=logon.address,
            source=self._places.host_at(logon.address),
            confidence=Confidence.MEDIUM,
            why=f"a logon of type {logon.type} from {logon.address} began its session",
            evidence=(chain[-1].ref, logon.ref),
        )

    def _sender(self, hop: Hop) -> tuple[Start | None, Confidence, tuple[str, ...]]:
        """The same question on the machine that started it."""
        nobody = None, Confidence.LOW, ()
        remote = hop.remote
        if remote is None or (remote.address is None and not remote.is_local):
            return nobody
        source = hop.host if remote.is_local else remote.source
        if source is None:
            ask = Ask(
                wanted=Wanted.OWNER, host="", values=(str(remote.address),), at=remote.deed.at
            )
            self._want(ask, f"{remote.address} started it; which machine had it is not known")
            return nobody
        found = sender(hop.host, source, remote, self._events, self._places)
        names = tuple(sorted({hop.host, *self._places.addresses_of(hop.host)}))
        ask = Ask(wanted=Wanted.SENDER, host=source, values=names, at=remote.deed.at)
        if found is not None and found[1] is not Confidence.HIGH:
            self._want(ask, None)
        if found is None:
            self._want(ask, f"{source} started it; what there did so is not among the events")
            host = Start(host=source, at=remote.deed.at)
            is_new = not remote.is_local and ask in self._answered
            # That machine is known, only not what there did it.
            return (host, remote.confidence, remote.evidence) if is_new else nobody
        event, confidence = found
        start = Start(host=event.host, at=event.at, guid=event.guid, image=event.image)
        worst = min(confidence, remote.confidence, key=lambda one: one.rank)
        return start, worst, (*remote.evidence, event.ref)

    def _want(self, ask: Ask, gap: str | None) -> None:
        if ask not in self._answered:
            self._asks.append(ask)
        elif gap is not None:
            self._gaps.append(gap)
