"""What each kind of step does; one function a kind, in a visible table.

A step gets `run_block` and never imports the interpreter. Conditions and templates are pure: they
see the alert, the case's names, the inputs and what earlier steps returned. The kinds that hold a
block again and again are in `runner/loops.py`, questions in `runner/asking.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from runner.asking import ask
from runner.context import StepFailed
from runner.frame import Frame, Kind, Stopped, evaluate, holds
from runner.loops import for_each, repeat
from runner.playbook_steps import (
    Ask,
    Do,
    ForEach,
    If,
    Parallel,
    Repeat,
    RunPlaybook,
    Step,
    Stop,
    Switch,
)


async def do(frame: Frame, step: Do, path: str) -> None:
    """One action; its result is known under the step's id."""
    inputs = evaluate(step.with_, frame.names)
    targets = evaluate(step.targets, frame.names)
    value = await frame.act(step, path, inputs, targets)
    frame.keep(step.id, value, _status_of(value))


def _status_of(value: Any) -> str:
    """Denied, void and unknown are values; what was only recorded counts as skipped."""
    state = value.get("state") if isinstance(value, dict) else None
    words = {"denied": "denied", "unknown": "unknown", "void": "denied", "no_device": "denied"}
    if state in ("observed", "practised"):
        return "skipped"
    return words.get(str(state), "succeeded")


async def if_(frame: Frame, step: If, path: str) -> None:
    """One of two branches."""
    is_true = holds(step.condition, frame.names)
    block = step.then if is_true else step.otherwise
    await frame.run_block(frame, block, f"{path}/{'then' if is_true else 'else'}")


async def switch(frame: Frame, step: Switch, path: str) -> None:
    """The branch whose case is exactly the value. Errors: `StepFailed` where there is none."""
    value = evaluate(step.value, frame.names)
    if not isinstance(value, str):
        raise StepFailed("playbook", "the value of `switch` is no text")
    for number, (case, block) in enumerate(step.cases.items(), 1):
        if case == value:
            return await frame.run_block(frame, block, f"{path}/case.{number}")
    if step.default is None:
        raise StepFailed("playbook", f"`switch` has no case for `{value[:100]}`, and no default")
    return await frame.run_block(frame, step.default, f"{path}/default")


async def parallel(frame: Frame, step: Parallel, path: str) -> None:
    """Branches side by side, each blind to the others; a failure counts when all have ended or wait
    for good."""
    frames = {name: frame.inside() for name in step.branches}
    results = await frame.ctx.gather(
        *(_bind(frames[name], block, f"{path}/{name}") for name, block in step.branches.items())
    )
    for branch in frames.values():
        frame.adopt(branch)
    for kind in (StepFailed, Stopped):
        for result in results:
            if isinstance(result, kind):
                raise result


def _bind(frame: Frame, block: tuple[Step, ...], path: str) -> Callable[[], Awaitable[None]]:
    return lambda: frame.run_block(frame, block, path)


async def run_playbook(frame: Frame, step: RunPlaybook, path: str) -> None:
    """Another playbook of the bundle, under this step's path. Its `stop` ends it alone."""
    inputs = evaluate(step.with_, frame.names)
    value = await frame.run_sub(step.playbook, inputs, path)
    frame.keep(step.id, value)


async def stop(frame: Frame, step: Stop, path: str) -> None:
    """End the run. Errors: always `Stopped`."""
    reason = evaluate(step.reason, frame.names)
    verdict = "" if step.verdict is None else evaluate(step.verdict, frame.names)
    raise Stopped(str(reason), str(verdict))


STEP_KINDS: dict[type, Kind] = {
    Do: do,
    If: if_,
    Switch: switch,
    ForEach: for_each,
    Repeat: repeat,
    Parallel: parallel,
    Ask: ask,
    RunPlaybook: run_playbook,
    Stop: stop,
}
"""Every kind of step, by its type."""
