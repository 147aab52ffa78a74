"""Does a host that the EDR calls isolated still talk? Judged by its own events in the SIEM. Pure.

That no connection is heard proves something only where one would have been heard: the host spoke
before, it is heard still (by events of other kinds, or by connections that are allowed), and other
hosts' connections arrive. A host of which nothing at all comes any more may have lost its way to
the SIEM with the rest; that proves nothing. A connection that should not be is never explained
away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from msgspec import Struct

from connectors.document import shorten, visible
from connectors.model import Row
from runner.alerts import make_alert
from runner.config import Hunts
from runner.hit_row import values_of
from runner.journal.talk_records import TalkVerdict
from runner.wording import clock_text

CONNECTION = "3"
"""Sysmon's event of a connection."""
SHOWN = 5
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
    """One event of a host. `peer`: the other end of a connection, None where it cannot be read."""

    kind: str
    at: datetime
    host: str | None = None
    peer: Address | None = None
    port: str = ""
    image: str = ""


class Heard(Struct, frozen=True, kw_only=True):
    """What the SIEM gave. `since`: from when on no connection may be; `until`: what happened before
    is in the SIEM by now. `before`: connections before the isolation; `connections` and `others`:
    the host's own since then; `peers`: connections of other hosts since then. `gaps`: what was not
    searched whole."""

    since: datetime
    until: datetime
    before: tuple[Event, ...] = ()
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
    ends = ("DestinationIp", "DestinationPort") if is_outward else ("SourceIp", "SourcePort")
    return Event(
        kind=_first(row, "EventCode") or _first(row, "EventID"),
        at=alert.occurred_at,
        host=alert.host,
        peer=address_of(_first(row, ends[0])),
        port=_first(row, ends[1]),
        image=_first(row, "Image"),
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
    doubt = _doubt(heard)
    if doubt is not None:
        return Judged(verdict=TalkVerdict.UNPROVED, text=f"not confirmed by silence: {doubt}")
    return Judged(verdict=TalkVerdict.SILENT, text=_silence(heard))


def _is_foreign(event: Event, heard: Heard) -> bool:
    """Is it a connection with somebody else than itself, everybody, or what is allowed?"""
    peer = event.peer
    if event.at < heard.since or peer is None or peer in heard.own:
        return False
    # Broadcasts and what is of the link only are sent also by a host that reaches nobody.
    if peer.is_loopback or peer.is_unspecified or peer.is_multicast or peer.is_link_local:
        return False
    is_broadcast = isinstance(peer, IPv4Address) and int(peer) == 0xFFFFFFFF
    return not (is_broadcast or any(peer in network for network in heard.allowed))


def _doubt(heard: Heard) -> str | None:
    """Why silence proves nothing here; None when it does."""
    since, half = clock_text(heard.since), heard.since + (heard.until - heard.since) / 2
    own = [event for event in (*heard.connections, *heard.others) if event.at >= heard.since]
    if heard.gaps:
        return "; ".join(dict.fromkeys(heard.gaps))
    if any(event.peer is None for event in heard.connections):
        return "it made a connection whose other end cannot be read"
    if not any(_is_spoken(event, heard) for event in heard.before):
        return "no connection of it was heard before the isolation either"
    if not any(event.at >= half for event in heard.peers):
        return (
            f"no other host's connections are heard after {clock_text(half)}: the feed is behind "
            "or cut"
        )
    if not own:
        return (
            f"nothing at all of it is heard since {since}: its way to the SIEM may be cut off, "
            "too, and what is not heard proves nothing"
        )
    last = max(event.at for event in own)
    if last < half:
        return f"it is heard only until {clock_text(last)}: nobody knows what it did after that"
    return None


def _is_spoken(event: Event, heard: Heard) -> bool:
    """Is it a connection that an isolation would have ended?"""
    since = event.at - timedelta(seconds=1)
    return _is_foreign(event, _since(heard, since))


def _since(heard: Heard, since: datetime) -> Heard:
    return Heard(since=since, until=heard.until, allowed=heard.allowed, own=heard.own)


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
    own = [event for event in (*heard.connections, *heard.others) if event.at >= heard.since]
    kinds = Counter(_kind(event.kind) for event in own)
    said = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    names = {event.host for event in heard.peers if event.host}
    return (
        f"confirmed by silence until {clock_text(max(event.at for event in own))}: "
        f"no connection of it to anything that is not allowed is heard since "
        f"{clock_text(heard.since)}. It is heard itself ({said}), it spoke with others before, and "
        f"{len(names)} other host(s) are heard meanwhile"
    )


def _kind(number: str) -> str:
    if number == CONNECTION:
        return "allowed connections"
    return _KINDS.get(number, "other events")
