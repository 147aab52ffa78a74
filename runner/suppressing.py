"""Does an accepted line's entry fit this alert, and what becomes of the judgement then?

Only a judgement that is `suspicious` or `unknown` can be made benign: never a malicious one, never
a line that names another machine's stylesheet, and never one whose process was seen to do
something.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from msgspec.structs import replace

from connectors.model import Alert, Assessment, AssessmentKind, Reason
from runner.config import Config
from runner.hostname import is_same_host
from runner.journal import Tx, cases
from runner.journal.records import Case
from runner.suppression_file import Suppression, Suppressions, read_suppressions
from runner.wmic import LEAST, TriageContext, ascii_lower, shape_of, starter_of

MOST_SCORE = LEAST[AssessmentKind.UNKNOWN] - 1
"""The highest score that is benign."""
MOST_ALERTS = 1000
"""A case with more alerts than can be compared is not suppressed."""
_CAN_BE = (AssessmentKind.SUSPICIOUS, AssessmentKind.UNKNOWN)
_ELSEWHERE = ("url", "domain", "address")


def why_never(judged: Assessment) -> str | None:
    """Why no entry may touch this judgement, as a sentence's end; None when one may."""
    if judged.assessment is AssessmentKind.MALICIOUS:
        return "it is malicious"
    if any(seen.type in _ELSEWHERE for seen in judged.indicators):
        return "it names another machine"
    if judged.is_corroborated:
        return "events show what the process did"
    return None


def fitting(
    alerts: Iterable[Alert],
    entries: Iterable[Suppression],
    today: date,
    context: TriageContext | None = None,
) -> Suppression | None:
    """The first entry that holds today and covers each of the alerts, which are one case's.
    `context` is of the first of them."""
    seen = tuple(alerts)
    for entry in entries:
        if (
            seen
            and entry.holds(today)
            and covers(entry, seen[0], context)
            and all(covers(entry, alert) for alert in seen[1:])
        ):
            return entry
    return None


def covers(entry: Suppression, alert: Alert, context: TriageContext | None = None) -> bool:
    """Does every part of an entry fit an alert? What the alert does not say fits nothing."""
    parent = starter_of(alert, context)
    return (
        parent is not None
        and alert.search == entry.search
        and ascii_lower(parent) == entry.parent
        and ascii_lower(alert.user or "") == entry.account
        and shape_of(alert.cmdline).text == entry.shape
        and (
            entry.hosts is None
            or (alert.host is not None and any(is_same_host(alert.host, h) for h in entry.hosts))
        )
    )


def suppress(
    judged: Assessment,
    alerts: Iterable[Alert],
    known: Suppressions,
    today: date,
    context: TriageContext | None = None,
) -> Assessment:
    """The judgement, benign when an entry covers all the alerts of its case. Repeat: a suppressed
    judgement stays as it is."""
    if judged.assessment not in _CAN_BE or why_never(judged) is not None:
        return judged
    if known.faults:
        text = "The suppressions file cannot be used, so nothing was suppressed."
        return replace(judged, reasons=(*judged.reasons, Reason(text=text, weight=0)))
    entry = fitting(alerts, known.entries, today, context)
    if entry is None:
        return judged
    text = f"Suppressed by {entry.id} (owner {entry.owner}, until {entry.expires}): {entry.reason}"
    score = min(judged.score, MOST_SCORE)
    own = Reason(text=text, weight=score - judged.score)
    return replace(
        judged,
        assessment=AssessmentKind.BENIGN,
        score=score,
        summary=text,
        reasons=(own, *judged.reasons),
        suppression=entry.id,
    )


def suppress_in_case(
    tx: Tx,
    config: Config,
    case: Case,
    alert: Alert,
    judged: Assessment,
    context: TriageContext | None = None,
) -> Assessment:
    """The judgement of a case's alert, benign when the file says so of every alert of the case: a
    repeat is one by host and line alone, and may have another parent and another account. Repeat:
    the same, and no second entry in the journal."""
    if config.suppressions_file is None or judged.assessment not in _CAN_BE:
        return judged
    today = tx.clock.now().date()
    known = read_suppressions(config.suppressions_file, today)
    others = cases.alerts_of(tx, case.id, MOST_ALERTS + 1)
    if len(others) > MOST_ALERTS:
        return judged
    made = suppress(judged, (alert, *others), known, today, context)
    was = None if case.assessment is None else case.assessment.suppression
    if made.suppression is not None and made.suppression != was:
        refs = {"case": case.id, "alert": alert.id}
        tx.entry("alert_suppressed", refs, {"suppression": made.suppression})
    return made
