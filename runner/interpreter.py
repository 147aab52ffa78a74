"""What the playbook does next: one `async` function over the port.

It keeps nothing between ticks and decides nothing by itself; the same steps with the same journal
give the same path.
"""

from __future__ import annotations

from typing import Any

import msgspec

from runner.bundle import Bundle
from runner.catalogue import ValueType, fits
from runner.context import Context, StepFailed, Target
from runner.frame import Act, Frame, Stopped, evaluate, holds, skip
from runner.playbook_steps import Declared, Playbook, Step
from runner.steps import STEP_KINDS

ALL_DONE = "all steps done"


class _Placed(StepFailed):
    """A playbook's own fault, which names its file and line."""


async def play(
    ctx: Context, bundle: Bundle, names: dict[str, Any], inputs: dict[str, Any], act: Act
) -> str:
    """Run a bundle's main playbook to its end; gives why it ended. `names` are the alert and the
    case. Errors: `StepFailed`; a run that failed stays failed, whatever its `on_error` does."""

    async def run_sub(name: str, given: Any, path: str) -> dict[str, Any]:
        try:
            reason = await run(bundle.subs[name], given, f"{path}/run.{name}")
        except Stopped as stopped:
            return {"reason": stopped.reason, "verdict": stopped.verdict, "is_stopped": True}
        return {"reason": reason, "verdict": "", "is_stopped": False}

    async def run(playbook: Playbook, given: dict[str, Any], path: str) -> str:
        known = {**names, "steps": {}}
        frame = Frame(
            ctx=ctx, playbook=playbook, names=known, run_block=_run_block, run_sub=run_sub, act=act
        )
        try:
            known["inputs"] = _inputs(playbook, given)
            known["vars"] = _vars(playbook, known)
            await _run_block(frame, playbook.steps, path)
        except StepFailed as failed:
            await _on_error(frame, failed, path)
            raise
        return ALL_DONE

    try:
        return await run(bundle.main, inputs, "")
    except Stopped as stopped:
        return stopped.result


def _inputs(playbook: Playbook, given: dict[str, Any]) -> dict[str, Any]:
    """The declared inputs with their defaults. Errors: `StepFailed` for what does not fit."""
    for name in given:
        if name not in playbook.inputs:
            raise _Placed("playbook", f"{playbook.file}: no input is named `{name}`")
    return {name: _input(playbook, name, one, given) for name, one in playbook.inputs.items()}


def _input(playbook: Playbook, name: str, declared: Declared, given: dict[str, Any]) -> Any:
    value = given.get(name)
    if value is None and not declared.required:
        return None if declared.default is msgspec.UNSET else declared.default
    if value is None:
        raise _Placed("playbook", f"{playbook.file}: the input `{name}` is missing")
    if not fits(value, declared.type) or not _is_device(value, declared.type):
        text = f"{playbook.file}: the input `{name}` must be of type {declared.type.value}"
        raise _Placed("playbook", text)
    return value


def _is_device(value: Any, wanted: ValueType) -> bool:
    """Where devices are wanted, only what a step found is one."""
    shape = {ValueType.TARGET: Target, ValueType.TARGETS: list[Target]}.get(wanted)
    try:
        return shape is None or msgspec.convert(value, shape) is not None
    except msgspec.ValidationError:
        return False


def _vars(playbook: Playbook, known: dict[str, Any]) -> dict[str, Any]:
    """Each computed once, in order; a later one sees the earlier ones. Pure, so that a replay gives
    the same."""
    computed: dict[str, Any] = {}
    for name, value in playbook.vars.items():
        try:
            computed[name] = evaluate(value, {**known, "vars": computed})
        except StepFailed as failed:
            text = f"{playbook.file}: vars.{name}: {failed.text}"
            raise _Placed(failed.kind, text) from None
    return computed


async def _on_error(frame: Frame, failed: StepFailed, path: str) -> None:
    """What the playbook does when it fails. Errors: `StepFailed` with both reasons."""
    if not frame.playbook.on_error:
        return
    known = {name: frame.names.get(name, {}) for name in ("alert", "case", "inputs", "vars")}
    failure = {"kind": failed.kind, "text": failed.text}
    names = {**known, "failure": failure, "steps": {}}
    inner = msgspec.structs.replace(frame, names=names)
    try:
        await frame.run_block(inner, frame.playbook.on_error, f"{path}/playbook.on_error")
    except Stopped:
        return
    except StepFailed as second:
        text = f"{failed.text}; and on_error failed as well: {second.text}"
        raise _Placed(failed.kind, text) from None


async def _run_block(frame: Frame, steps: tuple[Step, ...], path: str) -> None:
    for step in steps:
        await _run_step(frame, step, path)


async def _run_step(frame: Frame, step: Step, path: str) -> None:
    own_path = f"{path}/{step.id}"
    try:
        if step.when is not None and not holds(step.when, frame.names):
            skip(frame, step)
            return
        await STEP_KINDS[type(step)](frame, step, own_path)
    except StepFailed as fault:
        failed = _placed(fault, frame, step)
        frame.names["steps"][step.id] = {"status": "failed", "error": failed.text}
        if step.on_error == "fail":
            raise failed from None
        if step.on_error != "continue":
            await frame.run_block(frame, step.on_error, f"{own_path}/on_error")
        return
    frame.names["steps"].setdefault(step.id, {"status": "succeeded"})


def _placed(failed: StepFailed, frame: Frame, step: Step) -> StepFailed:
    """With file and line, once, where the playbook itself is at fault."""
    if failed.kind != "playbook" or isinstance(failed, _Placed):
        return failed
    return _Placed(failed.kind, f"{frame.playbook.file}:{step.line}: {failed.text}")
