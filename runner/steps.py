"""What each kind of step does; one function a kind, in a visible table.

A step gets `run_block` and never imports the interpreter. Conditions and templates are pure: they
see the alert, the case's names and what earlier steps returned.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from msgspec import UNSET, Struct

from runner.context import Context, StepFailed
from runner.playbook import Do, If, Parallel, Step, Stop
from runner.template import TemplateFault, condition, render

Block = Callable[[tuple[Step, ...], str], Coroutine[Any, Any, None]]
Act = Callable[[Do, str, dict[str, Any], Any], Awaitable[Any]]


class Stopped(Exception):
    """A `stop` step ends the run."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Frame(Struct, frozen=True, kw_only=True):
    """Where a step runs: the port, the names that it sees, and how it runs steps inside it."""

    ctx: Context
    names: dict[str, Any]
    run_block: Block
    act: Act


def evaluate(value: Any, names: dict[str, Any]) -> Any:
    """Render a value. Errors: `StepFailed`."""
    try:
        return render(value, names)
    except TemplateFault as fault:
        raise StepFailed("playbook", fault.text) from None


def holds(text: str | bool, names: dict[str, Any]) -> bool:
    """Decide a condition. Errors: `StepFailed`."""
    try:
        return condition(text, names)
    except TemplateFault as fault:
        raise StepFailed("playbook", fault.text) from None


async def do(frame: Frame, step: Do, path: str) -> None:
    """One action; its result is known under the step's id."""
    inputs = evaluate(step.with_, frame.names)
    targets = evaluate(step.targets, frame.names)
    value = await frame.act(step, path, inputs, targets)
    frame.names[step.id] = value
    frame.names["steps"][step.id] = {"status": _status_of(value)}


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
    await frame.run_block(block, f"{path}/{'then' if is_true else 'else'}")


async def parallel(frame: Frame, step: Parallel, path: str) -> None:
    """Branches side by side; a failure counts when all have ended or wait for good."""
    branches = [
        _bind(frame.run_block, block, f"{path}/{name}") for name, block in step.branches.items()
    ]
    results = await frame.ctx.gather(*branches)
    failures = [result for result in results if isinstance(result, StepFailed)]
    if failures:
        raise failures[0]
    for result in results:
        if isinstance(result, Stopped):
            raise result


def _bind(run_block: Block, block: tuple[Step, ...], path: str) -> Callable[[], Awaitable[None]]:
    return lambda: run_block(block, path)


async def stop(frame: Frame, step: Stop, path: str) -> None:
    """End the run. Errors: always `Stopped`."""
    raise Stopped(str(evaluate(step.reason, frame.names)))


STEP_KINDS: dict[type, Callable[[Frame, Any, str], Coroutine[Any, Any, None]]] = {
    Do: do,
    If: if_,
    Parallel: parallel,
    Stop: stop,
}
"""Every kind of step, by its type."""


def skip(frame: Frame, step: Step) -> None:
    """`when` said no: the step's value is its `else_value`, if it has one."""
    frame.names["steps"][step.id] = {"status": "skipped"}
    if step.else_value is not UNSET:
        frame.names[step.id] = step.else_value
