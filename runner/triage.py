"""`wmic.assess`: what the line says, and what the events around its process add.

The line is judged first. The searches come where they can change the judgement, or where the
playbook asks for them; what they did not give is said, and never counts as "nothing happened".
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from connectors.model import Alert, Assessment, AssessmentKind, Row
from runner.config import Hunts
from runner.context import StepFailed
from runner.hostname import normalise_host
from runner.hunt_fields import raw_events
from runner.hunt_queries import around_query, exit_query, recurrence_query
from runner.hunts import Found, row_alert
from runner.journal import cases
from runner.scoping import Searches, behind, without_siem
from runner.suppressing import suppress_in_case
from runner.wmic import TriageContext, assess, context_of
from runner.work import Work, read

MOST_SEARCHES = 8
FRESH_S = 120.0
LOOK_AGAIN_S = 30.0
"""So long after a look that did not even find the start comes the second, and last."""
WHAT_IT_DID = "what the process did"
NOT_SEEN = "not seen: even the start of the process is missing, so what it did is not known"
NOT_YET = "not seen yet: the start is so new that what the process did may still be on its way"
GRAVITY = tuple(AssessmentKind)
AROUND = ("never", "when_open", "always")
"""When events are searched for: `when_open` for a line that is neither harmless nor an attack, or
harmless in odd company, at once and without waiting; `always` looks once more where nothing is
there yet."""


async def assess_wmic(work: Work) -> Any:
    """Judge the alert, and keep the judgement with the case. Errors: `StepFailed` for an `around`
    that is none of `AROUND`."""
    alert = work.ctx.alert
    around = work.inputs.get("around") or AROUND[0]
    if around not in AROUND:
        raise StepFailed("playbook", f"`around` is one of {', '.join(AROUND)}, not {around!r}")
    context: TriageContext | None = None
    gaps: tuple[str, ...] = ()
    is_open = _is_open(assess(alert))
    if around == "always" or (around == "when_open" and is_open):
        context, gaps = await _surroundings(work, looks=2 if around == "always" else 1)

    def send(_elapsed_s: float) -> Assessment:
        judged = replace(assess(alert, context), not_searched=gaps)
        with work.bench.journal.write() as tx:
            case = cases.read(tx, work.ctx.run.case_id)
            judged = suppress_in_case(tx, work.bench.config, case, alert, judged, context)
            judged = _not_milder(judged, case.assessment)
            cases.save(tx, replace(case, assessment=judged))
        return judged

    return await read(work, "assess", send)


def _not_milder(judged: Assessment, before: Assessment | None) -> Assessment:
    """What was judged with events stands when this time something was not seen: a search that fails
    is no good news."""
    if before is None or not judged.not_searched:
        return judged
    if GRAVITY.index(judged.assessment) >= GRAVITY.index(before.assessment):
        return judged
    return replace(before, not_searched=judged.not_searched)


def _is_open(by_line: Assessment) -> bool:
    """Neither harmless nor an attack; nor a harmless line in odd company, as under Word."""
    if by_line.assessment is AssessmentKind.BENIGN:
        return any(reason.weight > 0 for reason in by_line.reasons)
    return by_line.assessment is not AssessmentKind.MALICIOUS


async def _surroundings(work: Work, looks: int) -> tuple[TriageContext | None, tuple[str, ...]]:
    """What events say of the alert's process, and what was not seen, a sentence each."""
    why_not = without_siem(work)
    if why_not is not None:
        return None, (f"{why_not} ({WHAT_IT_DID})",)
    searches = Searches(work, MOST_SEARCHES)
    alert, context = await _deeds(work, searches, looks)
    hunts = work.bench.config.hunts
    found = await searches.read(recurrence_query(alert, hunts), "how often the command runs")
    context = _with_frequency(context, alert, found, hunts)
    return context, tuple(dict.fromkeys((*searches.gaps, *searches.blind)))


async def _deeds(work: Work, searches: Searches, looks: int) -> tuple[Alert, TriageContext]:
    """The alert as its event tells it, and what its process did; looked for once more when not even
    its start is there yet. Sysmon's events of one process come at different times: that nothing
    followed a new start means nothing."""
    hunts = work.bench.config.hunts
    alert, context = work.ctx.alert, TriageContext()
    for look in range(1, looks + 1):
        alert = await behind(work, searches)
        query = around_query(alert, hunts)
        found = Found() if isinstance(query, str) else await searches.read(query, WHAT_IT_DID)
        rows = [*found.rows, *await _ends(work, searches, alert)]
        context = context_of(raw_events(rows, hunts), alert)
        if searches.gaps or context.was_searched:
            break
        if look < looks:
            await work.ctx.sleep(f"{work.path}#later", LOOK_AGAIN_S)
    if searches.gaps:
        # What was seen counts; that more was not seen means nothing.
        context = replace(context, was_searched=False)
    elif not context.was_searched:
        searches.blind.append(NOT_SEEN)
    elif _age_s(work, alert) < FRESH_S and not _has_deeds(context):
        context = replace(context, was_searched=False)
        searches.blind.append(NOT_YET)
    return alert, context


async def _ends(work: Work, searches: Searches, alert: Alert) -> Sequence[Row]:
    """How wmic processes ended on the host. Without the Security log that is not known, which is
    so on many sites and changes little: nothing is said of it."""
    hunts = work.bench.config.hunts
    if hunts.security_index is None:
        return ()
    return (await searches.read(exit_query(alert, hunts), "how the process ended")).rows


def _age_s(work: Work, alert: Alert) -> float:
    """How old the event was when the run began."""
    at = alert.occurred_at
    return 0.0 if at is None else (work.ctx.run.created_at - at).total_seconds()


def _has_deeds(context: TriageContext) -> bool:
    seen = (context.modules, context.children, context.connections, context.lookups, context.files)
    return any((*seen, context.keys)) or context.exit_code is not None


def _with_frequency(
    context: TriageContext, alert: Alert, found: Found, hunts: Hunts
) -> TriageContext:
    """How often the same line ran before, here and elsewhere. Of a part of the events only what is
    there counts: it gives a least number, and never "none"."""
    here = normalise_host(alert.host) if alert.host else None
    hosts = _hosts_of(found, alert, hunts)
    earlier, others = hosts.count(here), len({host for host in hosts if host != here})
    is_whole = found.gap is None and here is not None
    return replace(
        context,
        earlier_runs=earlier if earlier or is_whole else None,
        other_hosts=others if others or is_whole else None,
        period_days=round(timedelta(seconds=hunts.lookback_s) / timedelta(days=1)),
    )


def _hosts_of(found: Found, alert: Alert, hunts: Hunts) -> Sequence[str]:
    events = (row_alert(alert.siem, row, hunts) for row in found.rows)
    return [normalise_host(event.host) for event in events if event.host is not None]
