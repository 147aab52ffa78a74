"""A step's shape as it was read → the step itself: one function a kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import UnsetType

from runner import playbook_shapes as shapes
from runner.playbook_steps import (
    Ask,
    Do,
    ForEach,
    If,
    Parallel,
    Repeat,
    Retry,
    RunPlaybook,
    Step,
    Stop,
    Switch,
)

Block = tuple[Step, ...]


def make(shape: shapes.StepShape, common: dict[str, Any], blocks: Mapping[str, Block]) -> Step:
    """The step of a shape; `blocks` are the blocks inside it, by key, branches as `key.name`."""
    match shape:
        case shapes.DoShape():
            return _do(shape, common)
        case shapes.IfShape():
            then, otherwise = blocks["then"], blocks.get("else", ())
            return If(**common, condition=shape.if_, then=then, otherwise=otherwise)
        case shapes.SwitchShape():
            cases = _branches(blocks, "cases")
            return Switch(**common, value=shape.switch, cases=cases, default=blocks.get("default"))
        case shapes.ForEachShape():
            items, steps = shape.for_each, blocks["steps"]
            return ForEach(**common, items=items, as_=shape.as_, max=shape.max, steps=steps)
        case shapes.RepeatShape():
            return _repeat(shape, common, blocks["repeat"])
        case shapes.ParallelShape():
            return Parallel(**common, branches=_branches(blocks, "parallel"))
        case shapes.AskShape():
            return _ask(shape, common)
        case shapes.RunShape():
            return RunPlaybook(**common, playbook=shape.run, with_=shape.with_)
        case shapes.StopShape():
            return Stop(**common, reason=shape.stop.reason, verdict=_given(shape.stop.verdict))
    raise TypeError(f"{type(shape).__name__} is no kind of step")


def _do(shape: shapes.DoShape, common: dict[str, Any]) -> Do:
    retry = shape.retry
    return Do(
        **common,
        action=shape.do,
        with_=shape.with_,
        targets=_given(shape.targets),
        max=_given(shape.max),
        timeout_s=_given(shape.timeout_s),
        retry=None
        if isinstance(retry, UnsetType)
        else Retry(max=retry.max, wait_s=float(retry.wait_s)),
        approval_quorum=None if isinstance(shape.approval, UnsetType) else shape.approval.quorum,
    )


def _repeat(shape: shapes.RepeatShape, common: dict[str, Any], steps: Block) -> Repeat:
    return Repeat(
        **common,
        steps=steps,
        until=shape.until,
        max=shape.max,
        every_s=float(shape.every_s),
        timeout_s=_given(shape.timeout_s),
    )


def _ask(shape: shapes.AskShape, common: dict[str, Any]) -> Ask:
    return Ask(
        **common,
        question=shape.ask,
        answers=shape.answers,
        expires_s=shape.expires_s,
        on_expiry=shape.on_expiry,
        quorum=shape.quorum,
    )


def _branches(blocks: Mapping[str, Block], key: str) -> dict[str, Block]:
    return {
        name.removeprefix(f"{key}."): steps
        for name, steps in blocks.items()
        if name.startswith(f"{key}.")
    }


def _given(value: Any) -> Any:
    return None if isinstance(value, UnsetType) else value
