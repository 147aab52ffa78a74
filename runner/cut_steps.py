"""What the journal says of one device's call: begun, stopped, ended, and when the next is due.

Transactions only: it speaks to no product and decides nothing.
"""

from __future__ import annotations

import msgspec

from runner.choices import is_pick
from runner.effects import plain
from runner.isolation import Outcome, Request
from runner.journal import Tx, approvals, runs
from runner.journal.records import StepClass, StepResult, StepStatus


def new_step(request: Request) -> StepResult:
    """The step before its first try."""
    return StepResult(
        scope=request.ctx.run.id,
        key=request.key,
        step_class=StepClass.EFFECT,
        status=StepStatus.PENDING,
        attempt=0,
        intended_at=request.ctx.now(),
    )


def end(
    tx: Tx, request: Request, step: StepResult, status: StepStatus, outcome: Outcome, note: str
) -> None:
    """Write the outcome down, and tell the card's thread."""
    approvals.add_note(tx, request.approval_id, note)
    ended = msgspec.structs.replace(
        step, status=status, value=plain(outcome), settle_until=None, ended_at=tx.clock.now()
    )
    runs.save_step(tx, ended)
    set_due(tx, request)


def stop(tx: Tx, request: Request, by: tuple[str, ...]) -> None:
    """A no that came after the yes, and before the call. It answers for other cases, too, as one
    that came in time does."""
    approval = approvals.read(tx, request.approval_id)
    items = tuple(
        msgspec.structs.replace(item, vetoed_by=", ".join(by))
        if item.device.device_id == request.device.device_id
        else item
        for item in approval.items
    )
    approvals.save(tx, msgspec.structs.replace(approval, items=items))
    if is_pick(approval):
        approvals.free(tx, request.claim)
    else:
        approvals.refuse(tx, request.claim, approval)
    runs.wake_waiting_on(tx, "subject")
    refs = {"case": request.case_id, "run": request.ctx.run.id, "approval": approval.id}
    tx.entry("stopped_before_call", refs, {"device": request.device.device_id, "by": by})


def set_due(tx: Tx, request: Request) -> None:
    """When the approval's next call is due: the earliest of its devices; None when all are dealt
    with, or wait for a person."""
    approval = approvals.read(tx, request.approval_id)
    prefix = request.key.rpartition("/")[0]
    times = []
    for device_id in approval.chosen:
        step = runs.step(tx, request.ctx.run.id, f"{prefix}/{device_id}")
        if step is None:
            times.append(request.ctx.now())
        elif step.status in (StepStatus.PENDING, StepStatus.INTENDED):
            times.append(step.settle_until or request.ctx.now())
    due_at = min(times, default=None)
    if due_at != approval.due_at:
        approvals.set_due(tx, request.approval_id, due_at)
