"""Does a host that the EDR calls isolated still talk? Judged by its own events in the SIEM. Pure.

That no connection is heard proves something only where one would have been heard: the host spoke
before, and often enough that its silence is none of its habits; it is heard still (by events of
other kinds, or by connections that are allowed); nobody touched what writes its events down; and
other hosts' connections arrive. A host of which nothing at all comes any more may have lost its way
to the SIEM with the rest; that proves nothing. A connection that should not be is never explained
away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from msgspec import Struct

from connectors.document import shorten, visible
from connectors.model import Row
from runner.alerts import make_alert
from runner.config import Hunts
from runner.hit_row import values_of
from runner.hostname import full_host, is_same_host
from runner.journal.talk_records import TalkVerdict
from runner.wording import clock_text

CONNECTION = "3"
"""Sysmon's event of a connection."""
SHOWN = 5
NETBIOS = ("137", "138")
_KINDS = {
    "1": "starts of processes",
    "5": "ends of processes",
    "7": "loaded modules",
    "11": "written files",
    "13": "registry values",
    "15": "file streams",
    "22": "look-ups of names",
}

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Event(Struct, frozen=True, kw_only=True):
    """One event of a host. `peer`: the other end of a connection, None where it cannot be read;
    `is_to_itself`: both ends are one address; `protocol`: in small letters, empty if not given."""

    kind: str
    at: datetime
    host: str | None = None
    peer: Address | None = None
    port: str = ""
    image: str = ""
    protocol: str = ""
    is_to_itself: bool = False


class Heard(Struct, frozen=True, kw_only=True):
    """What the SIEM gave. `since`: from when on no connection may be; `until`: what happened before
    is in the SIEM by now, at `looked_at`; by `margin` may a clock be off. `before`: connections
    before the isolation was asked for, at `asked_at`, for as long as `back`; `changes`: its logging
    was changed or stopped, from then on; `connections` and `others`: the host's own since then;
    `peers`: connections of other hosts since then. `gaps`: what was not searched whole."""

    since: datetime
    until: datetime
    looked_at: datetime
    margin: timedelta
    asked_at: datetime
    back: timedelta
    before: tuple[Event, ...] = ()
    changes: tuple[Event, ...] = ()
    connections: tuple[Event, ...] = ()
    others: tuple[Event, ...] = ()
    peers: tuple[Event, ...] = ()
    gaps: tuple[str, ...] = ()
    allowed: tuple[Network, ...] = ()
    own: tuple[Address, ...] = ()


class Judged(Struct, frozen=True, kw_only=True):
    """`foreign`: the addresses that it spoke with and should not have, in order."""

    verdict: TalkVerdict
    text: str
    foreign: tuple[str, ...] = ()


# -- reading ---------------------------------------------------------------------------------------


def read_events(rows: Iterable[Row], siem: str, hunts: Hunts) -> list[Event]:
    """Rows as events, newest last; those without a time say nothing and are left out."""
    found = [_read(row, siem, hunts) for row in rows]
    return sorted((event for event in found if event is not None), key=lambda event: event.at)


def _read(row: Row, siem: str, hunts: Hunts) -> Event | None:
    alert = make_alert(row, siem=siem, search="talk", identity=(), fields=hunts.fields)
    if alert.occurred_at is None:
        return None
    is_outward = _first(row, "Initiated").casefold() != "false"
    source, destination = (address_of(_first(row, one)) for one in ("SourceIp", "DestinationIp"))
    return Event(
        kind=_first(row, "EventCode") or _first(row, "EventID"),
        at=alert.occurred_at,
        host=alert.host,
        peer=destination if is_outward else source,
        port=_first(row, "DestinationPort" if is_outward else "SourcePort"),
        image=_first(row, "Image"),
        protocol=_first(row, "Protocol").casefold(),
        is_to_itself=source is not None and source == destination,
    )


def _first(row: Row, field: str) -> str:
    return next(iter(values_of(row, field)), "")


def address_of(text: str) -> Address | None:
    """An address, an IPv4 one in IPv6's clothes as what it is; None for anything else."""
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def agreeing(events: Iterable[Event], name: str) -> tuple[Event, ...]:
    """Without those that name another host. One that names several, as the other end of a
    connection beside its own, stays: it contradicts, and is no sign of life."""
    return tuple(one for one in events if one.host is None or is_same_host(one.host, name))


def twins(events: Iterable[Event], name: str) -> str | None:
    """A sentence where events carry two full names: by the short one nobody can tell the hosts
    apart."""
    named = (full_host(one) for one in (name, *(event.host or "" for event in events)))
    full = sorted({one for one in named if "." in one})
    if len(full) < 2:
        return None
    shown = visible(shorten(", ".join(full[:SHOWN]), 200))
    return f"{len(full)} hosts of that name are heard: {shown}"


# -- judging ---------------------------------------------------------------------------------------


def judge(heard: Heard) -> Judged:
    """What may be said. Only where all that could be heard was heard, it is silence."""
    foreign = [event for event in heard.connections if _is_foreign(event, heard)]
    if foreign:
        return Judged(
            verdict=TalkVerdict.TALKING,
            text=_contradiction(foreign, heard),
            foreign=tuple(dict.fromkeys(str(event.peer) for event in foreign)),
        )
    doubt = "; ".join(dict.fromkeys(heard.gaps)) or next(_doubts(heard), None)
    if doubt is not None:
        return Judged(verdict=TalkVerdict.UNPROVED, text=f"not confirmed by silence: {doubt}")
    return Judged(verdict=TalkVerdict.SILENT, text=_silence(heard))


def _is_foreign(event: Event, heard: Heard) -> bool:
    """Is it, after the isolation, a connection that should not be?"""
    return event.at >= heard.since and _is_outside(event, heard)


def _is_outside(event: Event, heard: Heard) -> bool:
    """Is it a connection with somebody else than itself, everybody, or what is allowed?"""
    peer = event.peer
    if peer is None or peer in heard.own or event.is_to_itself:
        return False
    # What goes to all is sent also by a host that reaches nobody. An address of one machine on the
    # same link is somebody: that is how an attacker goes next door.
    if peer.is_loopback or peer.is_unspecified or peer.is_multicast:
        return False
    is_broadcast = isinstance(peer, IPv4Address) and int(peer) == 0xFFFFFFFF
    if is_broadcast or _is_netbios(event, heard):
        return False
    return not any(peer in network for network in heard.allowed)


def _is_netbios(event: Event, heard: Heard) -> bool:
    """Does it look like NetBIOS's call to all of its own net? How large that is, nobody knows."""
    peer = event.peer
    if event.port not in NETBIOS or event.protocol not in ("", "udp"):
        return False
    if not isinstance(peer, IPv4Address) or int(peer) & 0xFF != 0xFF:
        return False
    nets = {int(one) >> 8 for one in heard.own if isinstance(one, IPv4Address)}
    return int(peer) >> 8 in nets


def _doubts(heard: Heard) -> Iterator[str]:
    """Why silence proves nothing here, the gravest first; nothing when it does."""
    half = _half(heard)
    if heard.changes:
        at = clock_text(heard.changes[-1].at)
        yield f"its logging was changed or stopped, the last time at {at}"
    ahead = [one.at for one in _own(heard) if one.at > heard.looked_at + heard.margin]
    if ahead:
        yield f"its clock is ahead: an event of it is dated {clock_text(max(ahead))}"
    if any(event.peer is None for event in heard.connections):
        yield "it made a connection whose other end cannot be read"
    yield from _habits(heard)
    if not any(half <= event.at <= heard.looked_at for event in heard.peers):
        yield (
            f"no other host's connections are heard after {clock_text(half)}: the feed is behind "
            "or cut"
        )
    yield from _absence(heard)
    called = [event for event in heard.connections if event.at >= heard.since]
    if calls := [event for event in called if _is_netbios(event, heard)]:
        yield (
            f"it sent NetBIOS to {calls[-1].peer} at {clock_text(calls[-1].at)}, which may be all "
            "of its own net or one host"
        )


def _habits(heard: Heard) -> Iterator[str]:
    """Did it speak before, in each of two spans as long as the one in which it should not?"""
    spoken = [event.at for event in heard.before if _is_outside(event, heard)]
    if not spoken:
        yield "no connection of it was heard before the isolation either"
    span = habit_span(heard.since, heard.until, heard.back)
    for end in (heard.asked_at, heard.asked_at - span):
        if not any(end - span < at <= end for at in spoken):
            yield (
                f"it spoke too rarely before: not between {clock_text(end - span)} and "
                f"{clock_text(end)} either"
            )


def habit_span(since: datetime, until: datetime, back: timedelta) -> timedelta:
    """How long each of the two spans before is: as the silence, if so far back is looked."""
    return max(min(until - since, back / 2), timedelta(seconds=1))


def _absence(heard: Heard) -> Iterator[str]:
    """Is it heard no more, or not for long enough?"""
    last = max((event.at for event in _alive(heard)), default=None)
    if last is None:
        yield (
            f"nothing at all of it is heard since {clock_text(heard.since)}: its way to the SIEM "
            "may be cut off, too, and what is not heard proves nothing"
        )
    elif last < _half(heard):
        yield f"it is heard only until {clock_text(last)}: nobody knows what it did after that"


def _half(heard: Heard) -> datetime:
    return heard.since + (heard.until - heard.since) / 2


def _own(heard: Heard) -> list[Event]:
    return [event for event in (*heard.connections, *heard.others) if event.at >= heard.since]


def _alive(heard: Heard) -> list[Event]:
    """Signs of life: its own beyond doubt, and of no time that is still to come."""
    return [one for one in _own(heard) if one.host is not None and one.at <= heard.looked_at]


def _contradiction(foreign: Sequence[Event], heard: Heard) -> str:
    shown = list(dict.fromkeys(_spoken(event) for event in foreign))
    more = f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else ""
    return (
        f"CONTRADICTION: isolated, says the EDR, yet it talks: {len(foreign)} connection(s) since "
        f"{clock_text(heard.since)}, the last at {clock_text(foreign[-1].at)}: "
        f"{'; '.join(shown[:SHOWN])}{more}. Treat it as NOT contained"
    )


def _spoken(event: Event) -> str:
    port = visible(shorten(event.port, 10))
    image = visible(shorten(event.image.rpartition("\\")[2], 60))
    place = f"{event.peer} port {port}" if port else str(event.peer)
    return f"{place} ({image})" if image else place


def _silence(heard: Heard) -> str:
    own = _alive(heard)
    kinds = Counter(_kind(event.kind) for event in own)
    said = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    names = {event.host for event in heard.peers if event.host}
    # What was done after `until` may still be on its way to the SIEM.
    until = min(heard.until, max(event.at for event in own))
    return (
        f"confirmed by silence until {clock_text(until)}: "
        f"no connection of it to anything that is not allowed is heard since "
        f"{clock_text(heard.since)}. It is heard itself ({said}), it spoke with others before, and "
        f"{len(names)} other host(s) are heard meanwhile"
    )


def _kind(number: str) -> str:
    if number == CONNECTION:
        return "allowed connections"
    return _KINDS.get(number, "other events")
