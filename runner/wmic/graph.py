"""What origin and spread come to: a graph of hosts, accounts and indicators with its evidence.

Pure. It proposes which host was first and in what order to contain, and says what nobody saw. It
contains nothing, and people decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from itertools import pairwise

import msgspec
from msgspec import Struct

from connectors.model import DeviceKind
from runner.hostname import full_host, is_same_host
from runner.wmic.delivery import Delivery
from runner.wmic.findings import Found, How, NotSelective, Skipped, Spread
from runner.wmic.origin import Hop, Trace
from runner.wmic.places import Confidence

ACCOUNT_USED = "account used"


class NodeKind(StrEnum):
    HOST = "host"
    ACCOUNT = "account"
    INDICATOR = "indicator"


class Node(Struct, frozen=True, kw_only=True):
    """`id` is short and safe in every language; `label` is evidence."""

    id: str
    kind: NodeKind
    label: str
    is_alert: bool = False
    is_first: bool = False


class Edge(Struct, frozen=True, kw_only=True):
    """From one node's id to another's. `evidence` names the events; `at` is the earliest."""

    source: str
    target: str
    what: str
    confidence: Confidence
    at: datetime | None = None
    evidence: tuple[str, ...] = ()


class Candidate(Struct, frozen=True, kw_only=True):
    """The host that was probably first, and why; `is_sure` is never claimed."""

    host: str
    reasons: tuple[str, ...]


class Containment(Struct, frozen=True, kw_only=True):
    """One host in the order that is proposed, and why it stands there."""

    host: str
    why: str


class Graph(Struct, frozen=True, kw_only=True):
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    patient_zero: Candidate | None
    order: tuple[Containment, ...]
    blind_spots: tuple[str, ...]
    not_selective: tuple[NotSelective, ...] = ()
    skipped: tuple[Skipped, ...] = ()


def build_graph(
    trace: Trace,
    spread: Spread,
    kinds: Mapping[str, DeviceKind] | None = None,
    blind: Sequence[str] = (),
) -> Graph:
    """One graph out of both. `kinds`: host → kind, from the EDR; unknown counts as a server.
    `blind`: what else was not seen ."""
    trace, spread, kinds = _one_name_each(trace, spread, kinds or {})
    builder = _Builder(trace.hops[0] if trace.hops else None)
    alert = trace.hops[0].host if trace.hops else None
    for near, far in pairwise(trace.hops):
        builder.hop(near, far)
    for found in spread.found:
        builder.found(found)
    zero = _patient_zero(trace, spread)
    nodes = (
        msgspec.structs.replace(
            node,
            is_alert=node.kind is NodeKind.HOST and node.label == alert,
            is_first=zero is not None and node.kind is NodeKind.HOST and node.label == zero.host,
        )
        for node in builder.nodes.values()
    )
    return Graph(
        nodes=tuple(nodes),
        edges=tuple(builder.edges.values()),
        patient_zero=zero,
        order=_order(trace, spread, kinds),
        blind_spots=tuple(dict.fromkeys((*blind, *trace.gaps, *spread.gaps))),
        not_selective=spread.not_selective,
        skipped=spread.skipped,
    )


def graph_json(graph: Graph) -> bytes:
    """UTF-8 JSON, indented."""
    return msgspec.json.format(msgspec.json.encode(graph), indent=2)


def _one_name_each(
    trace: Trace, spread: Spread, kinds: Mapping[str, DeviceKind]
) -> tuple[Trace, Spread, dict[str, DeviceKind]]:
    """The same with one name for each machine: some are spelled without their domain."""
    named = [hop.host for hop in trace.hops]
    named += [host for one in spread.found for host in (one.host, one.source) if host is not None]
    whole = {full_host(host): host for host in named if "." in host}
    names = {}
    for host in (*named, *kinds):
        same = [one for full, one in whole.items() if is_same_host(full, host)]
        # Of two domains it is not known which is meant.
        names[host] = same[0] if len(same) == 1 else host
    hops = (msgspec.structs.replace(hop, host=names[hop.host]) for hop in trace.hops)
    found = (
        msgspec.structs.replace(one, host=names[one.host], source=names.get(one.source or ""))
        for one in spread.found
    )
    return (
        msgspec.structs.replace(trace, hops=tuple(hops)),
        msgspec.structs.replace(spread, found=tuple(found)),
        {names[host]: kind for host, kind in kinds.items()},
    )


class _Builder:
    def __init__(self, alert: Hop | None) -> None:
        self.nodes: dict[tuple[NodeKind, str], Node] = {}
        self.edges: dict[tuple[str, str, str], Edge] = {}
        self._alert = alert
        if alert is not None:
            self.node(NodeKind.HOST, alert.host)

    def node(self, kind: NodeKind, label: str) -> str:
        key = (kind, label.casefold())
        if key not in self.nodes:
            self.nodes[key] = Node(id=f"{kind.value[0]}{len(self.nodes)}", kind=kind, label=label)
        return self.nodes[key].id

    def edge(self, edge: Edge) -> None:
        """The more confident of two equal edges stays."""
        key = (edge.source, edge.target, edge.what)
        known = self.edges.get(key)
        if known is None or known.confidence.rank < edge.confidence.rank:
            self.edges[key] = edge

    def hop(self, near: Hop, far: Hop) -> None:
        refs = (*(near.remote.evidence if near.remote else ()), *far.evidence)
        self.edge(
            Edge(
                source=self.node(NodeKind.HOST, far.host),
                target=self.node(NodeKind.HOST, near.host),
                what=How.REMOTE_START,
                confidence=far.confidence,
                at=near.remote.deed.at if near.remote else near.at,
                evidence=tuple(dict.fromkeys(refs)),
            )
        )

    def found(self, found: Found) -> None:
        target = self.node(NodeKind.HOST, found.host)
        if found.indicator is not None:
            source = self.node(NodeKind.INDICATOR, found.indicator.value)
            if self._alert is not None:
                self._of_alert(self._alert, source, found.indicator.type)
        elif found.source is not None:
            source = self.node(NodeKind.HOST, found.source)
        elif found.account is not None:
            source = self.node(NodeKind.ACCOUNT, found.account)
        else:
            return
        self.edge(_edge(source, target, found))
        if found.account is not None and found.source is not None:
            account = _edge(self.node(NodeKind.ACCOUNT, found.account), target, found)
            self.edge(msgspec.structs.replace(account, what=ACCOUNT_USED))

    def _of_alert(self, alert: Hop, indicator: str, kind: str) -> None:
        start = alert.chain[0].ref if alert.chain else "the alert's command line"
        self.edge(
            Edge(
                source=self.node(NodeKind.HOST, alert.host),
                target=indicator,
                what=f"the alert's {kind}",
                confidence=Confidence.HIGH,
                at=alert.at,
                evidence=(start,),
            )
        )


def _edge(source: str, target: str, found: Found) -> Edge:
    return Edge(
        source=source,
        target=target,
        what=found.how,
        confidence=found.confidence,
        at=found.at,
        evidence=found.evidence,
    )


# -- who was first ---------------------------------------------------------------------------------


def _patient_zero(trace: Trace, spread: Spread) -> Candidate | None:
    """The end of the way back, unless something surer happened earlier on another host."""
    if not trace.hops:
        return None
    last = trace.hops[-1]
    told = last.delivered
    is_known = told.delivery is not Delivery.UNKNOWN
    reasons = [
        f"{told.delivery}: {told.why}" if is_known else f"nothing leads further ({told.why})"
    ]
    if len(trace.hops) > 1:
        names = " ← ".join(hop.host for hop in trace.hops)
        reasons.insert(0, f"the way back from the alert ends there ({names})")
    if trace.is_cut:
        reasons.append("the way back was cut, so an earlier host is possible")
    earlier = _earlier(last, spread)
    if earlier is None:
        return Candidate(host=last.host, reasons=tuple(reasons))
    return Candidate(
        host=earlier.host,
        reasons=(f"{earlier.what} there, before anything on {last.host}", *earlier.evidence[:1]),
    )


def _earlier(last: Hop, spread: Spread) -> Found | None:
    """The first sure finding of the same thing, when it lies before the end of the way back."""
    same = [
        (one.at, one)
        for one in spread.found
        if one.how is How.SAME_INDICATOR
        and one.confidence is Confidence.HIGH
        and one.at is not None
        and last.at is not None
        and one.at < last.at
    ]
    return min(same, key=lambda entry: entry[0], default=(None, None))[1]


_KIND_RANK = {
    DeviceKind.WORKSTATION: 0,
    DeviceKind.SERVER: 1,
    DeviceKind.UNKNOWN: 1,
    DeviceKind.DOMAIN_CONTROLLER: 2,
}


def _order(
    trace: Trace, spread: Spread, kinds: Mapping[str, DeviceKind]
) -> tuple[Containment, ...]:
    """Sources and spreaders first, workstations before servers, domain controllers last."""
    spreaders = {one.source for one in spread.found if one.source is not None}
    spreaders |= {hop.host for hop in trace.hops[1:]}
    reached = {one.host for one in spread.found} | {hop.host for hop in trace.hops[:-1]}
    hosts = dict.fromkeys((*(hop.host for hop in reversed(trace.hops)), *spread.hosts))
    placed = []
    for place, host in enumerate(hosts):
        kind = kinds.get(host, DeviceKind.UNKNOWN)
        spreads = host in spreaders
        met = "it was reached" if host in reached else "the alert is of it"
        why = "it reached for other hosts" if spreads else met
        shown = {DeviceKind.UNKNOWN: "of unknown kind, treated as a server"}.get(kind, f"a {kind}")
        why = f"{why}; {shown.replace('_', ' ')}"
        placed.append((_KIND_RANK[kind], not spreads, place, Containment(host=host, why=why)))
    return tuple(entry[-1] for entry in sorted(placed, key=lambda entry: entry[:3]))
