"""What `tune` found, as lines for a person and as data."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from runner.clusters import Cluster
from runner.masking import mask_secrets
from runner.past import Slice
from runner.proposals import id_of
from runner.suppression_text import text_of_entries
from runner.suppression_use import Use
from runner.tuning import Searched, Tuned

MOST_SHOWN = 25
FORGEABLE = (
    "read off a command line, which its starter can forge: have the search return ParentImage"
)


def minute(epoch_s: int) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%d %H:%M")


def progress_text(name: str, one: Slice, left: int) -> str:
    said = f"{name} {minute(one.start)} to {minute(one.end)} UTC: {one.rows} hits"
    if one.unknown:
        said += f", NOT WHOLE: {one.unknown}"
    return f"{said}; {left} to go"


def tuned_text(tuned: Tuned, *, with_entries: bool = True) -> str:
    """What a person reads: what was searched, what recurs, and what could be done about it."""
    lines = [line for one in tuned.searched for line in _searched_lines(one)]
    if tuned.left_out:
        lines.append(f"NOT GATHERED: {tuned.left_out} hits, because too many kinds were seen")
    shown = 0
    for cluster, why in zip(tuned.clusters, tuned.why_not, strict=True):
        if why is None or shown < MOST_SHOWN:
            lines += ["", *_cluster_lines(cluster, why)]
            shown += 1
    if len(tuned.clusters) > shown:
        lines += ["", f"and {len(tuned.clusters) - shown} more kinds of hits; --json has them all"]
    is_whole = tuned.is_whole
    if not tuned.clusters:
        lines.append("no hits" if is_whole else "no hits in what was searched")
    lines += [f"NOTHING IS SUPPRESSED: {fault}" for fault in tuned.known.faults]
    if tuned.entries and with_entries:
        lines += ["", "As it would stand in the file:", "", text_of_entries(tuned.entries).rstrip()]
    return "\n".join(lines)


def _searched_lines(one: Searched) -> list[str]:
    if one.why is not None:
        return [f"{one.search}: NOT SEARCHED: {one.why}"]
    first, last = one.slices[0], one.slices[-1]
    rows = sum(part.rows for part in one.slices)
    lines = [f"{one.search} {minute(first.start)} to {minute(last.end)} UTC: {rows} hits"]
    for why, parts in _unknown(one.slices).items():
        stretch = f"{minute(parts[0].start)} to {minute(parts[-1].end)} UTC"
        number = f"{len(parts)} stretches within " if len(parts) > 1 else ""
        lines.append(f"  UNKNOWN {number}{stretch}: {why}")
    return lines


def _unknown(slices: Sequence[Slice]) -> dict[str, list[Slice]]:
    found: dict[str, list[Slice]] = {}
    for one in slices:
        if one.unknown is not None:
            found.setdefault(one.unknown, []).append(one)
    return found


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _cluster_lines(cluster: Cluster, why: str | None) -> list[str]:
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(cluster.kinds.items()))
    hosts = sorted(cluster.hosts.values())
    named = ", ".join(hosts[:5]) + (f" and {len(hosts) - 5} more" if len(hosts) > 5 else "")
    said = f"PROPOSED as {id_of(cluster)}" if why is None else f"not proposed: {why}"
    lines = [
        f"{_many(cluster.hits, 'hit')} on {_many(len(cluster.days), 'day')},"
        f" {_many(len(hosts), 'host')} ({counts}): {said}",
        f"  parent   {mask_secrets(cluster.parent or 'not known')}",
        f"  account  {cluster.account or 'not known'}",
    ]
    if why is None and cluster.is_forgeable:
        lines.append(f"           {FORGEABLE}")
    if cluster.shape is not None:
        lines.append(f"  shape    {cluster.shape}")
    lines += [f"  line     {mask_secrets(line)}" for line in cluster.examples[:1]]
    return [*lines, f"  hosts    {named or 'not known'}"]


def tuned_data(tuned: Tuned) -> dict[str, Any]:
    """The same as data. Passwords are masked where it is printed."""
    return {
        "is_whole": tuned.is_whole,
        "is_stopped": tuned.is_stopped,
        "searched": [
            {
                "search": one.search,
                "why": one.why,
                "hits": sum(part.rows for part in one.slices),
                "unknown": [_slice_data(part) for part in one.slices if part.unknown],
            }
            for one in tuned.searched
        ],
        "left_out": tuned.left_out,
        "clusters": [
            {
                "search": cluster.search,
                "parent": cluster.parent,
                "parent_is_forgeable": cluster.is_forgeable,
                "account": cluster.account,
                "shape": cluster.shape,
                "hits": cluster.hits,
                "hosts": sorted(cluster.hosts.values()),
                "days": sorted(day.isoformat() for day in cluster.days),
                "assessments": {str(kind): n for kind, n in sorted(cluster.kinds.items())},
                "examples": cluster.examples,
                "why_not": why,
            }
            for cluster, why in zip(tuned.clusters, tuned.why_not, strict=True)
        ],
        "proposed": msgspec.to_builtins(tuned.entries),
    }


def _slice_data(one: Slice) -> dict[str, Any]:
    return {"start": minute(one.start), "end": minute(one.end), "why": one.unknown}


# -- the suppressions that stand -------------------------------------------------------------------


def uses_text(uses: Sequence[Use], faults: Sequence[str]) -> str:
    """Each suppression with its hits, and what somebody should look at."""
    lines = [*faults]
    for use in uses:
        last = "never" if use.last_at is None else use.last_at.strftime("last %Y-%m-%d %H:%M UTC")
        entry = use.entry
        hits = _many(use.hits, "hit")
        lines.append(f"{entry.id}  {hits}, {last}; until {entry.expires}, {entry.owner}")
        lines.append(f"  {entry.shape}")
        if use.said is not None:
            lines.append(f"  LOOK: {use.said}")
    return "\n".join(lines) or "no suppressions"


def uses_data(uses: Sequence[Use], faults: Sequence[str]) -> dict[str, Any]:
    return {"faults": list(faults), "suppressions": msgspec.to_builtins(tuple(uses))}
