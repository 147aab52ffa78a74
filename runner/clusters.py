"""What recurs among past hits: parent, account and command shape, with hosts and days.

A cluster is what one suppression could cover, and nothing wider. It holds counts and a few
examples; how many clusters and names it keeps is bounded, and what was left out is counted.
"""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime

from msgspec import Struct, field

from connectors.model import Alert, Assessment, AssessmentKind
from runner.hostname import normalise_host
from runner.suppressing import why_never
from runner.wmic import ascii_lower, is_forgeable, shape_of, starter_of

MOST_CLUSTERS = 5_000
MOST_HOSTS = 2_000
MOST_EXAMPLES = 3

Key = tuple[str, str | None, str, str | None, str]


class Cluster(Struct, kw_only=True):
    """Hits that differ in nothing that a suppression names. `shape` None: its lines have none, and
    `why` says so. `is_forgeable`: a parent was read off a command line only. `never`: why none of
    them may be suppressed. `acted`: a case of theirs after which people agreed to act. Command
    lines are as received: mask them before they are shown."""

    search: str
    parent: str | None
    account: str
    shape: str | None
    why: str
    hits: int = 0
    hosts: dict[str, str] = field(default_factory=dict)
    days: set[date] = field(default_factory=set)
    kinds: Counter[AssessmentKind] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    first_at: datetime | None = None
    last_at: datetime | None = None
    is_forgeable: bool = False
    never: str | None = None
    acted: str | None = None

    @property
    def kind(self) -> AssessmentKind:
        """The worst judgement of its hits."""
        worst_first = reversed(tuple(AssessmentKind))
        return next(kind for kind in worst_first if self.kinds[kind])


class Clusters:
    """Gathers hits. `left_out`: how many fit in no cluster any more."""

    def __init__(self) -> None:
        self._found: dict[Key, Cluster] = {}
        self.left_out = 0

    def add(self, alert: Alert, judged: Assessment, acted: str | None = None) -> None:
        """Count one hit."""
        cluster = self._cluster(alert)
        if cluster is None:
            self.left_out += 1
            return
        cluster.hits += 1
        cluster.kinds[judged.assessment] += 1
        cluster.is_forgeable = cluster.is_forgeable or is_forgeable(alert)
        cluster.never = cluster.never or why_never(judged)
        cluster.acted = cluster.acted or acted
        if alert.host is not None and len(cluster.hosts) < MOST_HOSTS:
            cluster.hosts.setdefault(normalise_host(alert.host), alert.host)
        line = alert.cmdline or ""
        if len(cluster.examples) < MOST_EXAMPLES and line not in cluster.examples:
            cluster.examples.append(line)
        at = alert.occurred_at or alert.indexed_at
        if at is not None:
            cluster.days.add(at.date())
            cluster.first_at = at if cluster.first_at is None else min(at, cluster.first_at)
            cluster.last_at = at if cluster.last_at is None else max(at, cluster.last_at)

    def most_first(self) -> list[Cluster]:
        return sorted(self._found.values(), key=lambda one: (-one.hits, str(one.shape)))

    def _cluster(self, alert: Alert) -> Cluster | None:
        parent, shape = starter_of(alert), shape_of(alert.cmdline)
        account = alert.user or ""
        key = (
            alert.search,
            None if parent is None else ascii_lower(parent),
            ascii_lower(account),
            shape.text,
            shape.why,
        )
        if key not in self._found:
            if len(self._found) >= MOST_CLUSTERS:
                return None
            self._found[key] = Cluster(
                search=alert.search,
                parent=parent,
                account=account,
                shape=shape.text,
                why=shape.why,
            )
        return self._found[key]
