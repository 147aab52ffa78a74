"""The steps that hold a block which runs again: for each entry of a list, or until it is enough.

Both are bounded by the playbook's author; what would go past the bound is a failure, and never cut
in silence.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from runner.context import Call, StepFailed
from runner.frame import Frame, evaluate, holds
from runner.playbook_steps import ForEach, Repeat


async def for_each(frame: Frame, step: ForEach, path: str) -> None:
    """The block once for each entry, one after the other, under its number. The step's value is the
    list of what the last step gave each time."""
    items = evaluate(step.items, frame.names)
    if not isinstance(items, list | tuple):
        raise StepFailed("playbook", "`for_each` needs a list")
    if len(items) > step.max:
        raise StepFailed("playbook", f"`for_each` has {len(items)} entries, and max is {step.max}")
    results = []
    for number, item in enumerate(items):
        inner = frame.inside(**{step.as_: item})
        await frame.run_block(inner, step.steps, f"{path}/{number}")
        results.append(inner.names.get(step.steps[-1].id))
    frame.keep(step.id, results)


async def repeat(frame: Frame, step: Repeat, path: str) -> None:
    """The block, and again every so many seconds, until the condition holds. The step's value is
    what the last step gave in the last round. Errors: `StepFailed` when `max` or `timeout_s` is
    reached first."""
    began = await _clock(frame, f"{path}#began") if step.timeout_s is not None else None
    for number in range(step.max):
        if number:
            await frame.ctx.sleep(f"{path}#every.{number}", step.every_s)
        if began is not None and step.timeout_s is not None and number:
            now = await _clock(frame, f"{path}#clock.{number}")
            if (now - began).total_seconds() > step.timeout_s:
                text = f"`until` did not hold within {step.timeout_s:g} s ({number} rounds)"
                raise StepFailed("timeout", text)
        inner = frame.inside()
        await frame.run_block(inner, step.steps, f"{path}/{number}")
        if holds(step.until, inner.names):
            frame.keep(step.id, inner.names.get(step.steps[-1].id))
            return
    raise StepFailed("timeout", f"`until` did not hold in {step.max} rounds")


async def _clock(frame: Frame, key: str) -> datetime:
    """The time, journalled: a replay must decide as the first time."""

    def send(_elapsed_s: float) -> Any:
        return frame.ctx.now().isoformat()

    said = await frame.ctx.call(key, Call(name="clock", send=send))
    return msgspec.convert(said, datetime)
