"""Where a step runs: the port, the names that it sees, and how it runs what is inside it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeAlias

import msgspec
from msgspec import UNSET, Struct

from runner.context import Context, StepFailed
from runner.playbook_steps import Do, Playbook, Step
from runner.template import TemplateFault, condition, render

Act = Callable[[Do, str, dict[str, Any], Any], Awaitable[Any]]
Block: TypeAlias = "Callable[[Frame, tuple[Step, ...], str], Coroutine[Any, Any, None]]"
RunSub = Callable[[str, Any, str], Awaitable[dict[str, Any]]]
"""Runs a playbook of the bundle: name, inputs, path."""
Kind: TypeAlias = "Callable[[Frame, Any, str], Coroutine[Any, Any, None]]"


class Stopped(Exception):
    """A `stop` step ends the playbook that it stands in. `verdict` is its author's word, if any."""

    def __init__(self, reason: str, verdict: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.verdict = verdict

    @property
    def result(self) -> str:
        """What the run's record and the case's report say."""
        return f"{self.reason} (verdict: {self.verdict})" if self.verdict else self.reason


class Frame(Struct, frozen=True, kw_only=True):
    """One place of the flow. `names` is what expressions see there; it grows as steps end."""

    ctx: Context
    playbook: Playbook
    names: dict[str, Any]
    run_block: Block
    run_sub: RunSub
    act: Act

    def keep(self, step_id: str, value: Any, status: str = "succeeded") -> None:
        """What a step gave, and how it ended."""
        self.names[step_id] = value
        self.names["steps"][step_id] = {"status": status}

    def inside(self, **more: Any) -> Frame:
        """A place whose steps are not seen from here, unless they are adopted."""
        names = {**self.names, "steps": dict(self.names["steps"]), **more}
        return msgspec.structs.replace(self, names=names)

    def adopt(self, inner: Frame) -> None:
        """See what the steps inside gave."""
        steps = {**self.names["steps"], **inner.names["steps"]}
        self.names.update(inner.names)
        self.names["steps"] = steps


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


def skip(frame: Frame, step: Step) -> None:
    """`when` said no: the step's value is its `else_value`, if it has one."""
    frame.names["steps"][step.id] = {"status": "skipped"}
    if step.else_value is not UNSET:
        frame.names[step.id] = step.else_value
