"""Where a case stands, as its ticket's status may say it. Pure, and it promises nothing: only what
was verified is contained or closed."""

from __future__ import annotations

from connectors.model import AssessmentKind, CaseStage
from runner.journal import Tx, ledger, runs
from runner.journal.records import LIVE, Case, LedgerRow, LedgerState, Run, RunStatus

_DOUBTFUL = (LedgerState.UNKNOWN, LedgerState.FAILED, LedgerState.FOREIGN)


def stage_of(tx: Tx, case: Case) -> CaseStage | None:
    """None: nothing that a status should say, as where people decided against an isolation."""
    rows = [row for row in ledger.of_case(tx, case.id) if row.state is not LedgerState.NONE]
    found = runs.of_case(tx, case.id)
    if _needs_a_person(rows, found):
        return CaseStage.ON_HOLD
    states = {row.state for row in rows}
    if states and states <= {LedgerState.CONFIRMED, LedgerState.RELEASED}:
        if LedgerState.CONFIRMED in states:
            # A run that goes on may still ask about another machine, which is not cut off.
            return CaseStage.IN_PROGRESS if _is_live(found) else CaseStage.CONTAINED
        return CaseStage.IN_PROGRESS if _is_live(found) else CaseStage.CLOSED
    if _is_live(found) or states:
        return CaseStage.IN_PROGRESS
    judged = case.assessment
    if found and judged is not None and judged.assessment is AssessmentKind.BENIGN:
        return CaseStage.CLOSED
    return None


def _needs_a_person(rows: list[LedgerRow], found: list[Run]) -> bool:
    is_doubtful = any(
        row.state in _DOUBTFUL
        or row.drift
        or (row.state is LedgerState.CONFIRMED and ledger.is_contradicted(row))
        for row in rows
    )
    return is_doubtful or any(run.status in (RunStatus.PARKED, RunStatus.FAILED) for run in found)


def _is_live(found: list[Run]) -> bool:
    return any(run.status in LIVE for run in found)
