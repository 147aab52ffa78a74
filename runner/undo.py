"""The command `undo`: all that a case did to the world and that can be taken back.

It plans, and asks by the same door as `release --case`; it lifts nothing itself. What is in doubt
is named and not touched.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from connectors.base import Effect
from runner.commands import requester
from runner.config import Config
from runner.effects import plain
from runner.journal import Journal, Tx, approvals, cases, ledger, runs
from runner.journal.records import (
    STANDING,
    ApprovalState,
    Case,
    LedgerRow,
    LedgerState,
    StepClass,
    StepResult,
    StepStatus,
)
from runner.releasing import ask_release
from runner.result import Result


class UndoPlan(Struct, frozen=True, kw_only=True):
    """`releases`: hosts that people are asked to let back; `drops`: hosts that stay isolated for
    other cases; `doubts`: what is not touched, and why; `stays`: what cannot be taken back."""

    case_id: str
    releases: tuple[str, ...]
    drops: tuple[str, ...]
    doubts: tuple[str, ...]
    stays: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        return not (self.releases or self.drops)

    def text(self) -> str:
        lines = [f"release {name}: people are asked" for name in self.releases]
        lines += [f"drop this case's hold of {name}: it stays isolated" for name in self.drops]
        lines += [f"NOT touched: {doubt}" for doubt in self.doubts]
        lines += [f"stays: {what}" for what in self.stays]
        return "\n".join([f"to undo {self.case_id}:", *(lines or ["nothing was done"])])


def plan_undo(journal: Journal, case_id: str) -> UndoPlan | None:
    """What an undo would do; None for a case that does not exist. Changes nothing."""
    with journal.read() as tx:
        case = cases.find(tx, case_id)
        return None if case is None else _plan(tx, case)


def undo(journal: Journal, config: Config, case_id: str, reason: str, actor: str) -> Result:
    """Ask for each release of the plan. Repeat: what is asked already is not asked twice."""
    with journal.write(actor) as tx:
        case = cases.find(tx, case_id)
        if case is None:
            text = f"there is no case {case_id}; stockade cases lists them"
            return Result(code=2, data={"error": text}, text=text)
        plan = _plan(tx, case)
        by = requester(config, actor)
        started = [
            ask_release(tx, row, case_id, reason, by, is_whole=False)
            for row in _standing(tx, case_id)
            if _doubt(row) is None
        ]
        tx.entry("undo_asked", {"case": case_id}, {"reason": reason, "plan": plan}, actor=actor)
        said = (
            f"{by} asked to undo this case: {reason}. Stays: {'; '.join(plan.stays) or 'nothing'}"
        )
        cases.save(tx, msgspec.structs.replace(cases.read(tx, case_id), undo=said))
    is_whole = not plan.doubts
    text = plan.text() + "\n" + ("asked" if started else "nothing to ask for")
    data = {**plain(plan), "runs": started}
    return Result(code=0 if is_whole else 1, data=data, text=text)


def _standing(tx: Tx, case_id: str) -> list[LedgerRow]:
    return [row for row in ledger.of_case(tx, case_id) if row.state in STANDING]


def _plan(tx: Tx, case: Case) -> UndoPlan:
    rows = ledger.of_case(tx, case.id)
    sure = [row for row in rows if row.state in STANDING and _doubt(row) is None]
    doubts = [doubt for row in rows if (doubt := _doubt(row)) is not None]
    return UndoPlan(
        case_id=case.id,
        releases=tuple(row.device.hostname for row in sure if len(row.holders) == 1),
        drops=tuple(row.device.hostname for row in sure if len(row.holders) > 1),
        doubts=tuple([*doubts, *_open(tx, case)]),
        stays=tuple(_stays(tx, case)),
    )


def _doubt(row: LedgerRow) -> str | None:
    """Why an isolation is left as it is; None when it can be undone, or nothing stands."""
    name = row.device.hostname
    if row.state is LedgerState.UNKNOWN:
        return f"{name}: whether it is isolated is unknown; look at the EDR, then release it"
    if row.state is LedgerState.FOREIGN or (
        row.state in STANDING and not (row.is_ours or row.adopted_by)
    ):
        return f"{name}: somebody else had isolated it; stockade release --foreign lifts it"
    return None


_UNDECIDED = (ApprovalState.POSTING, ApprovalState.OPEN)


def _open(tx: Tx, case: Case) -> list[str]:
    """What still goes on for the case, and may still do something."""
    found = []
    for run in runs.of_case(tx, case.id):
        found += [
            f"question {one.code} is open; answer it with no"
            for one in approvals.of_run(tx, run.id)
            if one.effect is Effect.CONTAIN and one.state in _UNDECIDED
        ]
        found += [
            f"nobody knows whether {step.key} happened; stockade resolve "
            f"{approvals.code_of(step.scope, step.key)}"
            for step in runs.steps_of(tx, run.id)
            if step.status is StepStatus.UNKNOWN
        ]
        found += [
            f"whether {step.key} happened is being looked up; repeat this when it is known"
            for step in runs.steps_of(tx, run.id)
            if _is_looked_up(step)
        ]
    return found


def _is_looked_up(step: StepResult) -> bool:
    """A ticket or message that may be there. (What an isolation came to is the ledger's to say.)"""
    is_open = step.step_class is StepClass.EFFECT and step.status is StepStatus.INTENDED
    return is_open and "#do." not in step.key


def _stays(tx: Tx, case: Case) -> list[str]:
    stays = [] if case.ticket is None else [f"ticket {case.ticket.key}"]
    asked = [
        one.code
        for run in runs.of_case(tx, case.id)
        for one in approvals.of_run(tx, run.id)
        if one.message is not None or one.second is not None
    ]
    return stays + [f"the card of question {code}, and what was said under it" for code in asked]
