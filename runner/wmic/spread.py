"""Where else is it: the same indicator, what was started remotely, and where the account went.

Pure, over events that were read for it, linear but for sorting. What is found on a large part of
the fleet is "not selective" and never spread: it would be a machine park's own software.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from connectors.model import Observable
from runner.wmic.accounts import skipped_account
from runner.wmic.events import (
    AccountChanged,
    Event,
    ExplicitLogon,
    Logon,
    Process,
    account_of,
    base_name,
)
from runner.wmic.findings import (
    MOST_REFS,
    Found,
    How,
    NotSelective,
    Seed,
    Skipped,
    Spread,
    joined_findings,
    when_found,
)
from runner.wmic.indicators import matches, widened
from runner.wmic.places import Confidence, Places
from runner.wmic.reached import reached_hosts
from runner.wmic.remote import JOIN_S, RemoteStart, remote_starts

MOST_HOSTS = 50
"""More hosts than that are not spread that a person can act on."""
LARGE_PART = 0.2
FEWEST_FOR_PART = 5
"""In a small fleet a share says nothing: fewer hosts than that are always shown."""
PERSONAL_LOGONS = frozenset({3, 10})


def spread_of(
    seed: Seed,
    events: Sequence[Event],
    known: Mapping[str, str] | None = None,
    fleet_size: int | None = None,
) -> Spread:
    """Everything that events say of the seed elsewhere. `known`: address → host, from outside.
    `fleet_size`: hosts in all; without it, those that the events name."""
    return _Searcher(seed, events, Places(events, known), fleet_size).search()


def is_selective(hosts: int, fleet_size: int | None) -> bool:
    """Whether something that so many hosts share tells where to look."""
    is_part = (
        hosts >= FEWEST_FOR_PART and fleet_size is not None and hosts > LARGE_PART * fleet_size
    )
    return not is_part and hosts <= MOST_HOSTS


class _Searcher:
    def __init__(
        self, seed: Seed, events: Sequence[Event], places: Places, fleet_size: int | None
    ) -> None:
        self._seed = seed
        self._events = events
        self._places = places
        self._home = places.name_of(seed.host)
        self._fleet = max(fleet_size or 0, len(places.hosts))
        self._not_selective: list[NotSelective] = []
        self._skipped: dict[str, str] = {}
        self._gaps: list[str] = []
        self._since: dict[str, datetime | None] = {self._home: seed.at}
        """Hosts that count as bad, and since when; None is for as long as events tell."""
        self._since |= dict.fromkeys(map(places.name_of, seed.sources))
        self._changes: dict[tuple[str, str], list[AccountChanged]] = defaultdict(list)
        for event in events:
            if isinstance(event, AccountChanged) and event.account and event.logon_id:
                self._changes[places.name_of(event.host), event.logon_id].append(event)

    def search(self) -> Spread:
        found = self._same_indicators()
        for one in found:
            if one.confidence is not Confidence.LOW:
                self._since.setdefault(one.host, one.at)
        started = self._remote_starts()
        found += started
        found += self._nodes({one.host for one in started})
        found += self._reached({one.host for one in found})
        found += self._credentials()
        found += self._logons()
        skipped = (Skipped(account=name, why=why) for name, why in self._skipped.items())
        return Spread(
            found=tuple(sorted(found, key=when_found)),
            not_selective=tuple(self._not_selective),
            skipped=tuple(skipped),
            gaps=tuple(dict.fromkeys(self._gaps)),
        )

    def _is_selective(self, what: str, hosts: int) -> bool:
        if not is_selective(hosts, self._fleet):
            self._not_selective.append(NotSelective(what=what, hosts=hosts, of=self._fleet))
            return False
        return True

    def _is_later(self, event: Event, host: str) -> bool:
        """Not before the host turned bad; an event without a time counts as later."""
        since = self._since.get(host)
        return since is None or event.at is None or event.at >= since - timedelta(seconds=JOIN_S)

    # -- the same thing ----------------------------------------------------------------------------

    def _same_indicators(self) -> list[Found]:
        by_indicator: dict[Observable, dict[str, list[tuple[Confidence, Event]]]] = {}
        wanted = widened(self._seed.indicators)
        for event in self._events:
            host = self._places.name_of(event.host)
            if host == self._home:
                continue
            for indicator in wanted:
                confidence = matches(indicator, event)
                if confidence is not None:
                    hosts = by_indicator.setdefault(indicator, defaultdict(list))
                    hosts[host].append((confidence, event))
        return [
            self._same(indicator, host, seen)
            for indicator, hosts in by_indicator.items()
            if self._is_selective(f"{indicator.type} {indicator.value}", len(hosts))
            for host, seen in hosts.items()
        ]

    @staticmethod
    def _same(indicator: Observable, host: str, seen: Sequence[tuple[Confidence, Event]]) -> Found:
        best = max((confidence for confidence, _ in seen), key=lambda one: one.rank)
        times = [event.at for _, event in seen if event.at is not None]
        who = base_name(seen[0][1].image) or "an unknown program"
        return Found(
            host=host,
            how=How.SAME_INDICATOR,
            what=f"{who} met the same {indicator.type}",
            confidence=best,
            at=min(times, default=None),
            indicator=indicator,
            evidence=tuple(event.ref for _, event in seen[:MOST_REFS]),
        )

    # -- remote starts -----------------------------------------------------------------------------

    def _remote_starts(self) -> list[Found]:
        """From each bad host on to those where it started something, and on from there."""
        by_source: dict[str, list[RemoteStart]] = defaultdict(list)
        for start in remote_starts(self._events, self._places):
            if start.source is not None and not start.is_local:
                by_source[start.source].append(start)
        found: dict[tuple[str, str, How], Found] = {}
        waiting = deque(self._since)
        while waiting:
            source = waiting.popleft()
            for start in by_source.pop(source, ()):
                if not self._is_later(start.deed, source):
                    continue
                one = self._started(source, start)
                place = (source, one.host, one.how)
                found[place] = joined_findings(found[place], one) if place in found else one
                if one.host not in self._since:
                    self._since[one.host] = one.at
                    waiting.append(one.host)
        return list(found.values())

    def _started(self, source: str, start: RemoteStart) -> Found:
        deed = start.deed
        is_process = isinstance(deed, Process)
        what = f"{base_name(deed.image)} was started" if is_process else "a subscription was made"
        logon_id = deed.logon_id if isinstance(deed, Process) else None
        session = (self._places.name_of(deed.host), logon_id or "")
        changed = self._changes.get(session, [])[:MOST_REFS]
        if changed:
            names = ", ".join(dict.fromkeys(one.account for one in changed))
            what += f" and changed account {names}"
        return Found(
            host=self._places.name_of(deed.host),
            how=How.REMOTE_START if is_process else How.SUBSCRIPTION,
            what=f"{what} by WMI from {source}: {start.why}",
            confidence=start.confidence,
            at=deed.at,
            source=source,
            account=deed.user if self._is_followed(deed.user) else None,
            evidence=(*start.evidence, *(one.ref for one in changed)),
        )

    def _nodes(self, started: set[str]) -> list[Found]:
        """The hosts that the command line names, where no event shows that something ran."""
        found = []
        for node in self._seed.nodes:
            host = self._places.find(node)
            if host is None:
                self._gaps.append(f"the command line names {node}, of which no event tells")
            named = host or node
            if named not in started and named != self._home:
                what = "the command line names it; no event shows that anything ran there"
                found.append(
                    Found(
                        host=named,
                        how=How.NAMED,
                        what=what,
                        confidence=Confidence.LOW,
                        at=self._seed.at,
                        source=self._home,
                    )
                )
        return found

    def _reached(self, known: set[str]) -> list[Found]:
        """The hosts that the process reached, where the line does not say which it was to ask."""
        seed = self._seed
        own = widened(seed.indicators)
        reached = reached_hosts(seed.guid, self._home, self._events, self._places, own)
        return [
            Found(
                host=host,
                how=How.REACHED,
                what="wmic reached it; no event shows that anything ran there",
                confidence=Confidence.LOW,
                at=event.at,
                source=self._home,
                evidence=(event.ref,),
            )
            for host, event in reached.items()
            if host not in known
        ]

    # -- accounts ----------------------------------------------------------------------------------

    def _is_followed(self, user: str, sid: str = "") -> bool:
        why = skipped_account(user, sid)
        if why is not None and user:
            self._skipped.setdefault(user, why)
        return why is None

    def _credentials(self) -> list[Found]:
        """Where a bad host used somebody's password."""
        found: dict[tuple[str, str, str], Found] = {}
        for event in self._events:
            if not isinstance(event, ExplicitLogon):
                continue
            source = self._places.name_of(event.host)
            target = self._places.find(event.server)
            is_here = target is None or target == source
            if source not in self._since or is_here or not self._is_later(event, source):
                continue
            # The system itself logs people on; only what a person's process did tells.
            if not self._is_followed(event.subject, event.subject_sid):
                continue
            if target is not None and self._is_followed(event.user):
                place = (source, target, account_of(event.user))
                found.setdefault(
                    place,
                    Found(
                        host=target,
                        how=How.CREDENTIALS,
                        what=f"{base_name(event.image)} on {source} used the password of"
                        f" {event.user} against it",
                        confidence=Confidence.MEDIUM,
                        at=event.at,
                        source=source,
                        account=event.user,
                        evidence=(event.ref,),
                    ),
                )
        return list(found.values())

    def _logons(self) -> list[Found]:
        """Where the account logged on over the network afterwards."""
        seed = self._seed
        if not self._is_followed(seed.user, seed.sid):
            return []
        by_host: dict[str, list[Logon]] = defaultdict(list)
        for event in self._events:
            if not isinstance(event, Logon) or not event.is_success:
                continue
            host = self._places.name_of(event.host)
            is_same = account_of(event.user) == account_of(seed.user)
            is_personal = event.type in PERSONAL_LOGONS and event.address is not None
            if host != self._home and is_same and is_personal and self._is_later(event, self._home):
                by_host[host].append(event)
        if not self._is_selective(f"account {seed.user}", len(by_host)):
            return []
        return [self._logged_on(host, logons) for host, logons in by_host.items()]

    def _logged_on(self, host: str, logons: Sequence[Logon]) -> Found:
        sources = [self._places.host_at(str(logon.address)) for logon in logons]
        bad = next((source for source in sources if source in self._since), None)
        return Found(
            host=host,
            how=How.LOGON,
            what=f"{self._seed.user} logged on there from {bad or logons[0].address}",
            confidence=Confidence.MEDIUM if bad else Confidence.LOW,
            at=min((logon.at for logon in logons if logon.at is not None), default=None),
            source=bad,
            account=self._seed.user,
            evidence=tuple(logon.ref for logon in logons[:MOST_REFS]),
        )
