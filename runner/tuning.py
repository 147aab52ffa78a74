"""What recurred among the hits of the past, and what of it could be suppressed.

It asks the SIEM and reads the journal and the suppressions file; it changes none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from functools import partial

from msgspec import Struct

from connectors.errors import ConnectorError
from connectors.model import Row
from runner.alerts import make_alert
from runner.clusters import Cluster, Clusters
from runner.config import Config, SearchConfig
from runner.journal import Journal, approvals, cases, ledger
from runner.past import Past, Slice
from runner.proposals import id_of, proposed, why_not
from runner.service import Service
from runner.suppression_file import Suppressions, SuppressionShape, read_suppressions
from runner.wmic import assess


class Wish(Struct, frozen=True, kw_only=True):
    """What somebody asked `tune` for. `only`: ids; none are all proposals."""

    since: timedelta
    search: str | None = None
    owner: str = "(owner)"
    reason: str = "(reason)"
    lasts: timedelta = timedelta(days=90)
    only: tuple[str, ...] = ()


class Searched(Struct, frozen=True, kw_only=True):
    """One search over the past. `why`: it could not be asked at all."""

    search: str
    slices: tuple[Slice, ...] = ()
    why: str | None = None

    @property
    def is_whole(self) -> bool:
        return self.why is None and not any(one.unknown for one in self.slices)


class Tuned(Struct, frozen=True, kw_only=True):
    """What tuning found. `why_not`: for each cluster why it is not proposed, or None."""

    searched: tuple[Searched, ...]
    clusters: tuple[Cluster, ...]
    why_not: tuple[str | None, ...]
    entries: tuple[SuppressionShape, ...]
    known: Suppressions
    today: date
    left_out: int = 0
    is_stopped: bool = False

    @property
    def is_whole(self) -> bool:
        return all(one.is_whole for one in self.searched) and not self.left_out


def look_back(service: Service, wish: Wish, tell: Callable[[str, Slice, int], None]) -> Tuned:
    """Ask each search over the past, and gather what recurs. `tell` gets each slice, with its
    search and how many are left."""
    config = service.config
    today = service.clock.now().date()
    known = read_suppressions(config.suppressions_file, today)
    found = Clusters()
    agreed = _agreed(service.journal)
    searched: list[Searched] = []
    is_stopped = False
    for name, search in config.searches.items():
        if wish.search not in (None, name) or is_stopped:
            continue
        past = Past(
            service.roles.siem,
            service.clock,
            _taker(service.journal, config, search, found, agreed),
            partial(tell, name),
        )
        try:
            slices = past.search(search.saved_search, wish.since, search.settle_s)
            searched.append(Searched(search=name, slices=slices))
        except ConnectorError as fault:
            searched.append(Searched(search=name, why=str(fault)))
        except KeyboardInterrupt:
            # Between two slices: what is known is told, and what was not asked is named.
            is_stopped = True
            searched.append(Searched(search=name, slices=past.so_far(), why=past.unasked()))
        is_stopped = is_stopped or past.is_stopped
    return _judged(wish, tuple(searched), found, known, today, is_stopped=is_stopped)


def _judged(
    wish: Wish,
    searched: tuple[Searched, ...],
    found: Clusters,
    known: Suppressions,
    today: date,
    *,
    is_stopped: bool,
) -> Tuned:
    clusters = tuple(found.most_first())
    against = tuple(why_not(cluster, known.entries, today) for cluster in clusters)
    wanted = [
        cluster
        for cluster, why in zip(clusters, against, strict=True)
        if why is None and (not wish.only or id_of(cluster) in wish.only)
    ]
    return Tuned(
        searched=searched,
        clusters=clusters,
        why_not=against,
        entries=tuple(
            proposed(one, owner=wish.owner, reason=wish.reason, today=today, lasts=wish.lasts)
            for one in wanted
        ),
        known=known,
        today=today,
        left_out=found.left_out,
        is_stopped=is_stopped,
    )


def _agreed(journal: Journal) -> frozenset[str]:
    """The cases after which people agreed to act, or whose host was cut off."""
    with journal.read() as tx:
        held = {case for row in ledger.every(tx) for case in row.holders}
        return frozenset(held | approvals.approved_cases(tx))


def _taker(
    journal: Journal,
    config: Config,
    search: SearchConfig,
    found: Clusters,
    agreed: frozenset[str],
) -> Callable[[Row], None]:
    def take(row: Row) -> None:
        alert = make_alert(
            row,
            siem=config.roles["siem"],
            search=search.name,
            identity=search.identity,
            fields=search.fields,
        )
        case = None
        if agreed:
            with journal.read() as tx:
                case = cases.case_of_alert(tx, alert.id)
        found.add(alert, assess(alert), case if case in agreed else None)

    return take
