"""What the playbook does next: one `async` function over the port.

It keeps nothing between ticks and decides nothing by itself; the same steps with the same journal
give the same path.
"""

from __future__ import annotations

from typing import Any

from runner.context import Context, StepFailed
from runner.playbook import Playbook, Step
from runner.steps import STEP_KINDS, Act, Frame, Stopped, holds, skip


async def play(ctx: Context, playbook: Playbook, names: dict[str, Any], act: Act) -> str:
    """Run a playbook to its end; gives why it ended. Errors: `StepFailed`."""
    known = {**names, "steps": {}}

    async def run_block(steps: tuple[Step, ...], path: str) -> None:
        for step in steps:
            await _run_step(Frame(ctx=ctx, names=known, run_block=run_block, act=act), step, path)

    try:
        await run_block(playbook.steps, "")
    except Stopped as stopped:
        return stopped.reason
    return "all steps done"


async def _run_step(frame: Frame, step: Step, path: str) -> None:
    own_path = f"{path}/{step.id}"
    try:
        if step.when is not None and not holds(step.when, frame.names):
            skip(frame, step)
            return
        await STEP_KINDS[type(step)](frame, step, own_path)
    except StepFailed as failed:
        frame.names["steps"][step.id] = {"status": "failed", "error": failed.text}
        if step.on_error == "fail":
            raise
        if step.on_error != "continue":
            await frame.run_block(step.on_error, f"{own_path}/on_error")
        return
    frame.names["steps"].setdefault(step.id, {"status": "succeeded"})
