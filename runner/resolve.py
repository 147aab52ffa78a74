"""A person says what happened where no product can: the end of an unknown outcome."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from runner.journal import Tx, approvals, runs
from runner.journal.records import RunStatus, StepError, StepResult, StepStatus


class Said(StrEnum):
    """`happened`: look again and adopt it; `not`: it did not, send it again; `stop`: give it up.

    Even then nothing is called contained before the EDR's own record says so.
    """

    HAPPENED = "happened"
    NOT = "not"
    STOP = "stop"


def find_parked(tx: Tx, code: str) -> StepResult | None:
    """The call whose outcome is unknown and whose code this is."""
    for step in runs.parked_steps(tx):
        if approvals.code_of(step.scope, step.key) == code.upper():
            return step
    return None


def resolve(tx: Tx, step: StepResult, said: Said, actor: str) -> None:
    """Write down what a person said, and let the run go on."""
    now = tx.clock.now()
    match said:
        case Said.HAPPENED:
            resolved = msgspec.structs.replace(
                step,
                status=StepStatus.INTENDED,
                value={"happened": True},
                settle_until=now,
                intended_at=now,
            )
        case Said.NOT:
            resolved = msgspec.structs.replace(
                step, status=StepStatus.PENDING, attempt=0, value=None, settle_until=now
            )
        case Said.STOP:
            error = StepError(kind="outcome_unknown", text=f"given up by {actor}")
            resolved = msgspec.structs.replace(
                step, status=StepStatus.FAILED, error=error, ended_at=now
            )
            _give_up(tx, step)
    runs.save_step(tx, resolved)
    tx.entry(
        "outcome_resolved", {"scope": step.scope, "step": step.key}, {"said": said}, actor=actor
    )
    run = runs.find(tx, step.scope)
    if run is not None:
        runs.save(
            tx, msgspec.structs.replace(run, status=RunStatus.QUEUED, wake_at=now, wait_on="")
        )


def _give_up(tx: Tx, step: StepResult) -> None:
    """Free what the request held claimed; its device stays under watch, as unknown as it is."""
    path, is_cut, rest = step.key.partition("#do.")
    if not is_cut:
        return
    n, _, device_id = rest.partition("/")
    approval = approvals.find(tx, approvals.approval_id(step.scope, f"{path}#ask.{n}"))
    if approval is None:
        return
    for item in approval.items:
        if item.device.device_id == device_id:
            approvals.free(tx, item.subject)
    runs.wake_waiting_on(tx, "subject")
