"""A case's graph: what its hunts for origin and spread came to, for the ticket and its files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from connectors.document import Block, Bullets, Heading
from connectors.model import Device, DeviceKind
from runner.context import Target
from runner.journal import Tx, cases, runs
from runner.journal.records import Case, StepResult
from runner.masking import mask_all
from runner.wmic import (
    Delivered,
    Delivery,
    Graph,
    Hop,
    Spread,
    Trace,
    build_graph,
    graph_json,
    mermaid_text,
    svg_picture,
)

MOST_ORDER = 25


def graph_of(tx: Tx, case: Case) -> Graph | None:
    """The graph of a case's last hunts, passwords masked; None when no hunt was made."""
    steps = [step for run in runs.of_case(tx, case.id) for step in runs.steps_of(tx, run.id)]
    origin, spread = _last(steps, "#origin", "trace"), _last(steps, "#result", "spread")
    if origin is None and spread is None:
        return None
    alert = cases.read_alert(tx, case.alert_id)
    unknown = Delivered(delivery=Delivery.UNKNOWN, why="it was not followed back")
    here = Hop(
        host=alert.host or "an unknown host",
        image="",
        chain=(),
        delivered=unknown,
        at=alert.occurred_at,
    )
    trace = (
        msgspec.convert(origin["trace"], Trace)
        if origin is not None
        else Trace(hops=(here,), asks=(), gaps=())
    )
    found = Spread() if spread is None else msgspec.convert(spread["spread"], Spread)
    hunts = [value for value in (origin, spread) if value is not None]
    gaps = [str(gap) for value in hunts for gap in value.get("not_searched", ())]
    targets = [one for value in hunts for one in value.get("targets", ())]
    targets += [step.value for step in steps if step.key.endswith("#device") and step.value]
    graph = build_graph(trace, found, _kinds(trace, found, targets), gaps)
    return msgspec.convert(mask_all(msgspec.to_builtins(graph)), Graph)


def _last(steps: Iterable[StepResult], suffix: str, key: str) -> dict[str, Any] | None:
    values = [step.value for step in steps if step.key.endswith(suffix) and step.value]
    return next((value for value in reversed(values) if value.get(key)), None)


def _kinds(trace: Trace, spread: Spread, targets: Sequence[Any]) -> dict[str, DeviceKind]:
    """Host → kind, as the EDR says of the devices that were proved."""
    proved = [one for one in msgspec.convert(targets, list[Target]) if one.proved]
    devices = {_short(device.hostname): device for one in proved for device in one.devices}
    hosts = [*(hop.host for hop in trace.hops), *spread.hosts]
    found: dict[str, Device] = {
        host: devices[_short(host)] for host in hosts if _short(host) in devices
    }
    return {host: device.kind for host, device in found.items()}


def _short(host: str) -> str:
    return host.partition(".")[0].casefold()


def graph_files(case: Case, graph: Graph) -> dict[str, bytes]:
    """File name → content: JSON, Mermaid, SVG."""
    name = f"graph-{case.id}"
    return {
        f"{name}.json": graph_json(graph),
        f"{name}.mmd": mermaid_text(graph).encode(),
        f"{name}.svg": svg_picture(graph).encode(),
    }


def origin_blocks(graph: Graph | None, hunts: Sequence[dict[str, Any]]) -> list[Block]:
    """Where it came from, and what is proposed, for people; nothing without a hunt for it."""
    if not hunts:
        return []
    said = [str(hunt.get("summary")) for hunt in hunts]
    if graph is not None and graph.patient_zero is not None:
        zero = graph.patient_zero
        said.append(f"probably first: {zero.host}, because {'; '.join(zero.reasons)}")
    blocks: list[Block] = [Heading(text="Origin"), Bullets(items=tuple(said))]
    if graph is not None and len(graph.order) > 1:
        order = tuple(
            f"{place}. {one.host}: {one.why}"
            for place, one in enumerate(graph.order[:MOST_ORDER], 1)
        )
        blocks += [Heading(text="Proposed order of containment"), Bullets(items=order)]
    return blocks
