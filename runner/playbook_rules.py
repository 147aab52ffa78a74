"""What a step may say beyond its shape: conditions, loops, questions; targets, retry, approval.

One function a rule; `runner/playbook_reader.py` calls them for each step.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from msgspec import UnsetType

from connectors.base import Effect
from runner.catalogue import ActionSpec, ValueType, fits
from runner.playbook_shapes import (
    AskShape,
    DoShape,
    ForEachShape,
    IfShape,
    InputShape,
    PlaybookShape,
    RepeatShape,
    RunShape,
    StepShape,
    SwitchShape,
)
from runner.yaml_reader import Path

Add = Callable[[Path, str, str, str], None]
"""Reports a fault: path, text, mend, code."""


def named(path: Path) -> str:
    """A path as people write it: `steps[2].then[0]`, counted from 1."""
    parts = [f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in path]
    return "".join(parts).removeprefix(".")


def check_file(shape: PlaybookShape, add: Add) -> None:
    """Report what is wrong with the declared inputs."""
    for name, declared in shape.inputs.items():
        if not isinstance(declared.default, UnsetType):
            _default(declared, ("inputs", name, "default"), add)


def _default(declared: InputShape, where: Path, add: Add) -> None:
    """A default is a plain value of the type, and never a device: devices are found."""
    value, wanted = declared.default, declared.type
    is_device = wanted in (ValueType.TARGET, ValueType.ALERT) or (
        wanted is ValueType.TARGETS and value != []
    )
    if declared.required is True:
        add(where, f"{named(where)} has no use: the input is required", "Remove one.", "default")
    elif is_device:
        text = f"{named(where)} would be a device or an alert"
        add(where, text, "Leave the default out; for targets, [] is one.", "default")
    elif not fits(value, wanted):
        add(where, f"{named(where)} must be of type {wanted.value}", "Write one.", "default")
    elif "{{" in str(value):
        add(where, f"{named(where)} holds an expression", "Write a plain value.", "default")


def check_step(shape: StepShape, path: Path, own_name: str | None, add: Add) -> None:
    """Report what a kind of step may not say. `own_name` is the playbook's."""
    _expression(shape.when, (*path, "when"), add)
    match shape:
        case IfShape():
            _expression(shape.if_, (*path, "if"), add)
        case SwitchShape():
            _expression(shape.switch, (*path, "switch"), add)
            _cases(shape, path, add)
        case ForEachShape():
            _expression(shape.for_each, (*path, "for_each"), add)
        case RepeatShape():
            _expression(shape.until, (*path, "until"), add)
        case AskShape():
            _ask(shape, path, add)
        case RunShape() if shape.run == own_name:
            text = f"{named(path)} runs its own playbook, `{shape.run}`, for ever"
            add((*path, "run"), text, "Use repeat, or another playbook.", "run")


def _expression(value: object, path: Path, add: Add) -> None:
    """Where a text stands for what an expression gives, it must be one."""
    if not isinstance(value, str):
        return
    text = value.strip()
    if not (text.startswith("{{") and text.endswith("}}")):
        what = f"{named(path)} is a text, not an expression"
        mend = 'Write "{{ an expression }}"; for a condition, also true or false.'
        add(path, what, mend, "condition")


def _cases(shape: SwitchShape, path: Path, add: Add) -> None:
    for value in shape.cases:
        if "{{" in value:
            text = f"{named(path)} has a case that is an expression"
            add((*path, "cases", value), text, "A case is one exact text.", "case")


def _ask(shape: AskShape, path: Path, add: Add) -> None:
    if shape.on_expiry not in shape.answers:
        text = f"{named(path)}: `{shape.on_expiry}` is none of its answers"
        mend = f"Write which of {', '.join(shape.answers)} silence counts as."
        add((*path, "on_expiry"), text, mend, "expiry")
    for name, label in shape.answers.items():
        if "{{" in label:
            text = f"{named(path)}: the answer `{name}` holds an expression"
            add((*path, "answers", name), text, "Write plain words.", "answer")


def check_action(
    shape: DoShape, spec: ActionSpec, path: Path, given: Collection[str], add: Add
) -> None:
    """Report what the effect of `spec` forbids the step at `path`. `given` are the step's keys as
    written: one that is faulty has been reported, and is not missing."""
    _asking(shape, spec, path, add)
    _targets(shape, spec, path, add)
    if spec.takes_targets and "targets" not in given:
        text = f"{named(path)}: `{shape.do}` needs `targets`"
        mend = 'Add `targets: ["{{ host.target }}"]`, from edr.find_host.'
        add(path, text, mend, "targets")
    if spec.takes_targets and isinstance(shape.targets, str) and isinstance(shape.max, UnsetType):
        text = f"{named(path)}: a list of targets needs `max`"
        add((*path, "targets"), text, "Add `max: 25`, or what you mean.", "max")


def _asking(shape: DoShape, spec: ActionSpec, path: Path, add: Add) -> None:
    if not isinstance(shape.retry, UnsetType) and spec.effect is not Effect.INVESTIGATE:
        text = f"{named(path)}: `{shape.do}` changes the world, and may not have `retry`"
        mend = "Remove it: the runner itself looks before it repeats."
        add((*path, "retry"), text, mend, "retry")
    asks = spec.effect in (Effect.CONTAIN, Effect.RELEASE)
    if not isinstance(shape.timeout_s, UnsetType) and asks:
        text = f"{named(path)}: `{shape.do}` waits for people, and has no `timeout_s`"
        mend = "Remove it: how long a question stands is in the configuration."
        add((*path, "timeout_s"), text, mend, "timeout")
    if not isinstance(shape.approval, UnsetType) and not asks:
        text = f"{named(path)}: `{shape.do}` asks nobody, so `approval` means nothing"
        add((*path, "approval"), text, "Remove it.", "approval")


def _targets(shape: DoShape, spec: ActionSpec, path: Path, add: Add) -> None:
    if not spec.takes_targets:
        for key, value in (("targets", shape.targets), ("max", shape.max)):
            if not isinstance(value, UnsetType):
                text = f"{named(path)}: `{shape.do}` takes no `{key}`"
                add((*path, key), text, "Remove it.", "targets")
        return
    for key in ("target", "targets"):
        if key in shape.with_:
            text = f"{named(path)}: targets do not stand in `with`"
            add((*path, "with", key), text, "Write `targets:` beside `do`.", "targets")
    if isinstance(shape.targets, str):
        _target(shape.targets, (*path, "targets"), path, add)
    elif isinstance(shape.targets, list):
        for number, target in enumerate(shape.targets):
            _target(target, (*path, "targets", number), path, add)


def _target(target: object, where: Path, path: Path, add: Add) -> None:
    if not isinstance(target, str) or not target.strip().startswith("{{"):
        text = f"{named(path)}: a target is a device that a step found, never a name"
        mend = 'Write "{{ … }}" with an output of edr.find_host or of a hunt.'
        add(where, text, mend, "targets")
