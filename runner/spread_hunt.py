"""`hunt.spread`: where else it is, by what is the same and by what was started from here."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from connectors.document import shorten, visible
from connectors.model import Alert, Device, EventQuery, Observable
from runner.context import Target
from runner.effects import plain
from runner.hostname import Hosts, is_same_host, normalise_host
from runner.hunt_fields import whole
from runner.hunt_queries import (
    account_queries,
    around_query,
    deed_queries,
    hash_query,
    logon_queries,
    trace_queries,
)
from runner.hunts import Found, elsewhere, evidence, spread_query, unseen
from runner.scoping import (
    MOST_TARGETS,
    Known,
    Lead,
    Searches,
    addresses_of,
    behind,
    is_own,
    joined_targets,
    known_places,
    lead,
    targets_of,
    usable,
    without_siem,
)
from runner.silence import look_for_silence
from runner.wmic import (
    ACTED,
    Confidence,
    How,
    Seed,
    Spread,
    dropped,
    is_selective,
    parse,
    spread_of,
)
from runner.wmic import Found as Finding
from runner.work import Work, read, taken

MOST_SEARCHES = 20
SAME_HASH = "met the same hash"
SAME_ADDRESS = "the same address was used"
SAME_PROGRAM = "the same program was seen"
BY_WMI = (How.REMOTE_START, How.SUBSCRIPTION)
STARTED = "something was started by WMI"


class _Scope(Struct, frozen=True, kw_only=True):
    """What was found, before its devices are looked up. `hosts` as the case keeps them."""

    leads: tuple[Lead, ...] = ()
    hosts: tuple[dict[str, Any], ...] = ()
    spread: Spread = Spread()
    gaps: tuple[str, ...] = ()
    has_address: bool = True


async def hunt_spread(work: Work) -> Any:
    """Look for the same on other hosts and for what was started there, and for their devices."""
    hunts = work.bench.config.hunts
    indicators = taken(work, "indicators", tuple[Observable, ...])
    taken(work, "sources", tuple[Target, ...])
    sources = list(work.inputs.get("sources") or [])
    why_not = without_siem(work)
    if why_not is not None:
        return await read(work, "result", lambda _s: _result(_Scope(), [], sources, [why_not], []))
    searches = Searches(work, MOST_SEARCHES)
    alert = await behind(work, searches)
    nodes = _nodes(alert, searches)
    asked = await read(work, "same", lambda _s: spread_query(indicators, hunts, work.ctx.now()))
    same = Found()
    gaps: list[str] = []
    if not isinstance(asked, str):
        query = msgspec.convert(asked, EventQuery)
        same = await searches.read(whole(query), "the same address")
        gaps += [] if same.gap else unseen(alert, same, hunts, query)
    elif alert.occurred_at is None:
        gaps.append(asked)
    elif not nodes:
        gaps.append("no address was looked for: the command line names none")
    known = _with_sources(await known_places(work), sources)
    left = await _read_around(work, searches, alert, indicators, known)
    seed = _seed(alert, (*indicators, *left), nodes, sources)

    def conclude(_elapsed_s: float) -> Any:
        scope = _scope(work, alert, searches, same, known, seed)
        return plain(msgspec.structs.replace(scope, has_address=not isinstance(asked, str)))

    scope = msgspec.convert(await read(work, "found", conclude), _Scope)
    targets = await targets_of(work, scope.leads)
    reached = [one.host for one in scope.spread.found if one.how is How.REACHED]
    concerned = (*nodes, *reached, *(str(host["host"]) for host in scope.hosts))
    await look_for_silence(work, searches, alert, concerned)
    gaps = [*searches.gaps, *gaps, *scope.gaps, *([known.gap] if known.gap else [])]
    blind = [*searches.blind, *scope.spread.gaps]
    return await read(work, "result", lambda _s: _result(scope, targets, sources, gaps, blind))


def _has_node_file(alert: Alert) -> bool:
    return parse(alert.cmdline or "").node_file is not None


def _nodes(alert: Alert, searches: Searches) -> tuple[str, ...]:
    """The machines that the line names. A list of them may stand in a file on the host."""
    command = parse(alert.cmdline or "")
    if command.node_file:
        where = visible(shorten(command.node_file, 100))
        searches.gaps.append(
            f"incomplete: the machines that the line asks stand in a file, {where}; only those are"
            " known that it was seen to reach, or on which something started"
        )
    return command.nodes


async def _read_around(
    work: Work,
    searches: Searches,
    alert: Alert,
    indicators: tuple[Observable, ...],
    known: Known,
) -> tuple[Observable, ...]:
    """The other searches, one after the other: what met the same, and what followed the alert.
    Gives what the process left behind, by hash, which counts as an indicator from then on."""
    hunts = work.bench.config.hunts
    began = await read(work, "now", lambda _s: plain(work.ctx.now()))
    now = alert.occurred_at or msgspec.convert(began, type(work.ctx.now()))
    for query in trace_queries(indicators, hunts, now):
        await searches.read(query, "the same name or address in other events")
    at = alert.occurred_at
    if at is None:
        searches.blind.append("not searched: the alert has no time, so what followed is not known")
        return ()
    await searches.read(around_query(alert, hunts), "what the process did")
    left = dropped(searches.events(), (alert.process_guid or "").strip("{}").casefold())
    if left:
        await searches.read(hash_query(left, hunts, now), "the same program elsewhere")
    for query in deed_queries(at, hunts):
        await searches.read(query, "what WMI started elsewhere")

    def own(_elapsed_s: float) -> list[str]:
        found = addresses_of(alert, known.addresses, searches.events())
        return list(dict.fromkeys((*found, *known.addresses)))

    addresses = await read(work, "addresses", own)
    for query in logon_queries(alert, at, addresses, hunts):
        await searches.read(query, "logons from the host")
    for query in account_queries(alert.user or "", at, hunts):
        await searches.read(query, "where the account went")
    return left


# -- what it comes to ------------------------------------------------------------------------------


def _seed(
    alert: Alert,
    indicators: tuple[Observable, ...],
    nodes: tuple[str, ...],
    sources: list[Any],
) -> Seed:
    return Seed(
        host=alert.host or "",
        at=alert.occurred_at,
        user=alert.user or "",
        indicators=indicators,
        nodes=nodes,
        guid=(alert.process_guid or "").strip("{}").casefold() if _has_node_file(alert) else "",
        sources=tuple(device.hostname for device in _devices(sources)),
    )


def _devices(sources: list[Any]) -> list[Device]:
    return [device for one in msgspec.convert(sources, list[Target]) for device in one.devices]


def _with_sources(known: Known, sources: list[Any]) -> Known:
    """With the addresses of the machines that it came from."""
    theirs = {
        address: device.hostname
        for device in _devices(sources)
        for address in device.addresses
        if is_own(address)
    }
    return msgspec.structs.replace(known, addresses={**theirs, **known.addresses})


def _scope(
    work: Work, alert: Alert, searches: Searches, same: Found, known: Known, seed: Seed
) -> _Scope:
    found = spread_of(seed, searches.events(), known.addresses, known.fleet_size)
    events = elsewhere(alert, same, work.bench.config.hunts)
    gaps: list[str] = []
    if not is_selective(len(events), known.fleet_size):
        gaps.append(
            f"not selective: {len(events)} of {known.fleet_size or 'unknown'} hosts used the same"
            " address, so none of them is proposed"
        )
        events = []
    same_there = _same_by_host(found)
    leads = [Lead(event=event, why=_why(same_there, event)) for event in events]
    hosts = [evidence(event) for event in events]
    for one in _further(found, events, alert.host):
        further = lead(work, one.host, searches.rows, f"{one.what} ({one.evidence[0]})")
        if further is not None:
            leads.append(further)
            hosts.append(
                {
                    "host": one.host,
                    "at": one.at,
                    "user": one.account,
                    "cmdline": one.what,
                    "event": one.evidence[0] if one.evidence else None,
                }
            )
    if len(leads) > MOST_TARGETS:
        gaps.append(f"incomplete: {len(leads)} hosts, the first {MOST_TARGETS} are followed")
    return _Scope(leads=tuple(leads), hosts=tuple(hosts), spread=found, gaps=tuple(gaps))


def _same_by_host(found: Spread) -> dict[str, list[Finding]]:
    """What met the same, by the host's short name."""
    by_host: dict[str, list[Finding]] = {}
    for one in found.found:
        if one.how is How.SAME_INDICATOR:
            by_host.setdefault(normalise_host(one.host), []).append(one)
    return by_host


def _why(by_host: dict[str, list[Finding]], event: Alert) -> str:
    """What speaks for a host that used the same address, with its event."""
    host = event.host or ""
    named = by_host.get(normalise_host(host), [])
    same = [one for one in named if is_same_host(one.host, host)]
    best = max(same, key=lambda one: one.confidence.rank, default=None)
    return f"{best.what} ({best.evidence[0]})" if best is not None else ""


def _further(found: Spread, events: list[Alert], own: str | None) -> list[Finding]:
    """What was found besides the same address: one finding a host, the surest kinds only."""
    hosts = (own, *(event.host for event in events))
    seen = Hosts(host for host in hosts if host is not None)
    kept = []
    for one in found.found:
        is_same_program = one.how is How.SAME_INDICATOR and one.what.endswith(SAME_HASH)
        is_sure = is_same_program or (one.how in ACTED and one.confidence is not Confidence.LOW)
        if is_sure and one.host not in seen:
            seen.add(one.host)
            kept.append(one)
    return kept


def _result(
    scope: _Scope, targets: list[Any], sources: list[Any], gaps: list[str], blind: list[str]
) -> dict[str, Any]:
    gaps = [*gaps, *(target["proof"] for target in targets if not target["devices"])]
    outcome, summary = _said(scope, gaps)
    for how, said in ((How.NAMED, "the line names"), (How.REACHED, "wmic reached")):
        hosts = [one.host for one in scope.spread.found if one.how is how]
        if hosts:
            summary += f"; {said} {', '.join(hosts[:5])}, where nothing was seen to run"
    wide = [
        f"not selective: {one.what} on {one.hosts} of {one.of}"
        for one in scope.spread.not_selective
    ]
    not_searched = list(dict.fromkeys((*gaps, *blind, *wide)))
    if outcome == "found" and not_searched:
        more = len(not_searched) - 1
        summary += f"; NOT seen: {not_searched[0]}" + (f"; {more} more in the ticket" * (more > 0))
    return {
        "outcome": outcome,
        "hosts": plain(list(scope.hosts)),
        "targets": joined_targets(sources, usable(targets)),
        "summary": summary,
        "not_searched": not_searched,
        "spread": plain(scope.spread),
    }


def _said(scope: _Scope, gaps: list[str]) -> tuple[str, str]:
    if scope.hosts:
        return "found", _named(scope)
    if any(gap.startswith("not searched") for gap in gaps):
        return "not_searched", next(gap for gap in gaps if gap.startswith("not searched"))
    if any(gap.startswith("not selective") for gap in gaps):
        return "not_selective", next(gap for gap in gaps if gap.startswith("not selective"))
    if gaps:
        return "incomplete", f"nothing found in what was searched; {gaps[0]}"
    if not scope.has_address:
        return "none_found", "no event shows that anything was started elsewhere from here"
    return "none_found", "no other host used the same address in the hunted time"


def _named(scope: _Scope) -> str:
    ran = {one.host for one in scope.spread.found if one.how in BY_WMI}
    groups: dict[str, list[str]] = {one: [] for one in (SAME_ADDRESS, SAME_PROGRAM, STARTED)}
    for host in scope.hosts:
        same = SAME_PROGRAM if str(host["cmdline"]).endswith(SAME_HASH) else SAME_ADDRESS
        groups[STARTED if host["host"] in ran else same].append(str(host["host"]))
    return "; ".join(
        f"{what} on {len(names)} other host(s): {', '.join(names[:5])}"
        for what, names in groups.items()
        if names
    )
