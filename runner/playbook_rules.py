"""What an action's effect allows a step to say: targets, retry, approval.

One function a rule; `runner/playbook.py` calls them for each action that the catalogue knows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from msgspec import UnsetType

from connectors.base import Effect
from runner.catalogue import ActionSpec
from runner.playbook_shapes import DoShape
from runner.yaml_reader import Path

Add = Callable[[Path, str, str, str], None]
"""Reports a fault: path, text, mend, code."""


def named(path: Path) -> str:
    """A path as people write it: `steps[2].then[0]`, counted from 1."""
    parts = [f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in path]
    return "".join(parts).removeprefix(".")


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
