"""What a rehearsal of the past came to, as lines and as data. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from connectors.document import shorten
from runner.replaying import Difference, Replayed
from runner.staged import Played

LINE = 100


def replayed_text(found: Replayed, says: str, gaps: Sequence[str]) -> str:
    """The whole screen. `gaps`: what was not rehearsed, a sentence each."""
    asked = Counter(str(one.state) for case in found.cases for one in case.asked)
    judged = Counter(case.assessment or "not judged" for case in found.cases)
    lines = [
        _head(found, says, gaps),
        f"  judged      {_counted(judged)}",
        f"  questions   {_counted(asked)}",
        f"  isolations  {sum(len(case.isolated) for case in found.cases)}",
        f"  refused     {sum(len(case.refused) for case in found.cases)}",
        f"  duplicates  {sum(case.hits - 1 for case in found.cases)} hit(s) of a case that was"
        f" open, {sum(len(case.shared) for case in found.cases)} device(s) of another case",
        *(f"  only observed: {why}" for why in found.why),
        "",
    ]
    for case in found.cases:
        lines += _case(case)
    return "\n".join([*lines, *(f"NOT REHEARSED: {gap}" for gap in gaps)])


def _head(found: Replayed, says: str, gaps: Sequence[str]) -> str:
    part = "" if found.is_whole and not gaps else "PARTIAL: "
    played = found.hits - found.unplayed
    of = f" of {found.hits}" if found.unplayed else ""
    return (
        f"{part}{played}{of} hit(s) rehearsed, {len(found.cases)} case(s); people are assumed to "
        f"answer: {says}. Nothing was asked or done."
    )


def _counted(counts: Counter[str]) -> str:
    shown = ", ".join(f"{number} {name}" for name, number in counts.most_common())
    return f"{counts.total()}" + (f" ({shown})" if shown else "")


def _case(case: Played) -> list[str]:
    many = f" x{case.hits}" if case.hits > 1 else ""
    lines = [
        f"{case.at:%Y-%m-%d %H:%M} {case.host or '(no host)'} {case.assessment or '-'}{many}"
        f" [{case.search}] {shorten(case.cmdline, LINE)}"
    ]
    lines += [f"    asks about {', '.join(one.about)}: {one.state}" for one in case.asked]
    if case.isolated:
        lines.append(f"    isolates {', '.join(case.isolated)}")
    lines += [f"    refused {why}" for why in case.refused]
    if case.shared:
        lines.append(f"    asked or isolated for another case: {', '.join(case.shared)}")
    if case.does:
        lines.append(f"    tells by {', '.join(case.does)}")
    lines.append(f"    {case.state}: {shorten(case.result, LINE)}")
    return lines


def differences_text(names: tuple[str, str], found: Sequence[Difference], count: int) -> str:
    """What differs between two versions."""
    lines = [f"{names[0]} → {names[1]}: {len(found)} of {count} case(s) differ"]
    for one in found:
        at = f"{one.case.at:%Y-%m-%d %H:%M} {one.case.host or '(no host)'}"
        lines.append(f"{at} {shorten(one.case.cmdline, LINE)}")
        lines += [f"    {line}" for line in one.lines]
    return "\n".join(lines)


def replayed_data(found: Replayed, gaps: Sequence[str]) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.to_builtins(found)
    return {**data, "is_whole": found.is_whole and not gaps, "not_rehearsed": list(gaps)}


def differences_data(names: tuple[str, str], found: Sequence[Difference]) -> dict[str, Any]:
    return {"versions": list(names), "differences": msgspec.to_builtins(list(found))}


def stretch(start: int, end: int) -> str:
    """A stretch of index time for people."""
    first, last = (datetime.fromtimestamp(at, UTC) for at in (start, end))
    return f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}"
