"""Does an accepted line's entry fit this alert, and what becomes of the judgement then?

Only a judgement that is `suspicious` or `unknown` can be made benign: never a malicious one, never
a line that names another machine's stylesheet, and never one whose process was seen to do
something.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date

from msgspec import Struct
from msgspec.structs import replace

from connectors.model import Alert, Assessment, AssessmentKind, Reason
from runner.config import Config
from runner.hostname import is_same_host
from runner.journal import Tx, cases
from runner.journal.records import Case
from runner.suppression_file import Suppression, Suppressions, read_suppressions
from runner.wmic import LEAST, TriageContext, ascii_lower, is_forgeable, shape_of, starter_of

log = logging.getLogger(__name__)

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


class Facts(Struct, frozen=True, kw_only=True):
    """What an entry is compared with, of one alert. None, and an empty text, fit nothing."""

    search: str
    parent: str | None
    account: str
    shape: str | None
    host: str | None


def facts_of(alert: Alert, context: TriageContext | None = None) -> Facts:
    parent = starter_of(alert, context)
    return Facts(
        search=alert.search,
        parent=None if parent is None else ascii_lower(parent),
        account=ascii_lower(alert.user or ""),
        shape=shape_of(alert.cmdline).text,
        host=alert.host,
    )


def covers(entry: Suppression, facts: Facts) -> bool:
    """Does every part of an entry fit?"""
    return (
        facts.search == entry.search
        and facts.parent == entry.parent
        and facts.account == entry.account
        and facts.shape == entry.shape
        and (
            entry.hosts is None
            or (facts.host is not None and any(is_same_host(facts.host, h) for h in entry.hosts))
        )
    )


def suppress(
    judged: Assessment,
    alerts: Sequence[Alert],
    known: Suppressions,
    today: date,
    context: TriageContext | None = None,
) -> Assessment:
    """The judgement, benign when an entry that holds today covers each of the alerts, which are one
    case's; `context` is of the first of them. Repeat: a suppressed judgement stays as it is."""
    if judged.assessment not in _CAN_BE or why_never(judged) is not None:
        return judged
    if known.faults:
        log.error("nothing is suppressed: %s", known.faults[0])
        text = "The suppressions file cannot be used, so nothing was suppressed."
        return replace(judged, reasons=(*judged.reasons, Reason(text=text, weight=0)))
    # A case of many alerts has few facts: each is compared once.
    seen = {facts_of(alerts[0], context), *map(facts_of, alerts[1:])}
    holding = (entry for entry in known.entries if entry.holds(today))
    entry = next((e for e in holding if all(covers(e, facts) for facts in seen)), None)
    if entry is None:
        return judged
    until = f"owner {entry.owner}, until {entry.expires}"
    text = f"Suppressed by {entry.id} ({until}): {entry.reason.rstrip('.')}."
    if is_forgeable(alerts[0]):
        text += " Its parent is what a command line says: have the search return ParentImage."
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
