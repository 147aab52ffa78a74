"""Which clusters could be suppressed, in exactly which words, and why the others could not.

A proposal is a proposal: a person reads it, names an owner and a reason, and lets it be written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date, timedelta

from connectors.model import AssessmentKind
from runner.clusters import Cluster
from runner.hostname import is_same_host
from runner.masking import mask_secrets
from runner.suppression_file import Suppression, SuppressionShape
from runner.wmic import ascii_lower, full_path, shape_of

LEAST_HITS = 10
LEAST_DAYS = 5
"""What was seen on fewer days has not recurred: an attack, too, meets many hosts in one night."""
MOST_HOSTS = 5
"""Up to so many hosts are named in the proposal, which then holds for them alone."""


def why_not(cluster: Cluster, known: Sequence[Suppression], today: date) -> str | None:
    """Why a cluster is not proposed, as the end of a sentence; None when it is."""
    if cluster.kind is AssessmentKind.BENIGN:
        return "it is benign already, and nobody is asked"
    if cluster.never is not None:
        return cluster.never
    if cluster.shape is None:
        return cluster.why
    if cluster.parent is None:
        return "the full path of its parent is not known; have the search return ParentImage"
    if not cluster.account:
        return "its account is not known"
    if cluster.acted is not None:
        return f"people agreed to act on {cluster.acted}, which is one of them"
    covering = [entry.id for entry in known if entry.holds(today) and _is_covered(cluster, entry)]
    if covering:
        return f"{covering[0]} covers it"
    if cluster.hits < LEAST_HITS or len(cluster.days) < LEAST_DAYS:
        return f"it takes {LEAST_HITS} hits on {LEAST_DAYS} different days"
    if _test_line(cluster) is None:
        return "no line of it can stand in the file"
    return None


def proposed(
    cluster: Cluster, *, owner: str, reason: str, today: date, lasts: timedelta
) -> SuppressionShape:
    """The entry for a cluster that `why_not` has nothing against. Its id follows from what it
    covers."""
    return SuppressionShape(
        id=id_of(cluster),
        search=cluster.search,
        parent=cluster.parent or "",
        account=cluster.account,
        shape=cluster.shape or "",
        hosts=_named_hosts(cluster),
        owner=owner,
        reason=reason,
        created=today.isoformat(),
        expires=(today + lasts).isoformat(),
        test=(_test_line(cluster) or "",),
    )


def _named_hosts(cluster: Cluster) -> tuple[str, ...] | None:
    hosts = tuple(sorted(cluster.hosts.values()))
    return hosts if 0 < len(hosts) <= MOST_HOSTS else None


def id_of(cluster: Cluster) -> str:
    hosts = _named_hosts(cluster) or ()
    named = (cluster.search, cluster.parent or "", cluster.account, cluster.shape or "", *hosts)
    text = "\n".join(map(ascii_lower, named))
    return f"line-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _is_covered(cluster: Cluster, entry: Suppression) -> bool:
    return (
        cluster.search == entry.search
        and ascii_lower(full_path(cluster.parent or "") or "") == entry.parent
        and ascii_lower(cluster.account) == entry.account
        and cluster.shape == entry.shape
        and (
            entry.hosts is None
            or all(
                any(is_same_host(host, named) for named in entry.hosts)
                for host in cluster.hosts.values()
            )
        )
    )


def _test_line(cluster: Cluster) -> str | None:
    """The first example that has the cluster's shape with its secrets masked: the file is read by
    many. All that goes into the file must be printable, so that a review sees all of it."""
    named = (cluster.parent or "", cluster.account, *cluster.hosts.values())
    if not all(text.isprintable() for text in named):
        return None
    lines = (" ".join(mask_secrets(line).split()) for line in cluster.examples)
    return next((line for line in lines if shape_of(line).text == cluster.shape), None)
