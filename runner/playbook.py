"""What a playbook says: YAML → typed steps, all faults at once.

It proves what can be seen without following the flow; `runner/lint.py` proves the rest. It runs
nothing, parses no expression, and never imports jinja2. `runner/bundle.py` puts a playbook together
with those that it runs.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from msgspec import UNSET

from runner import playbook_shapes as shapes
from runner.catalogue import ActionSpec
from runner.playbook_reader import StepReader, given
from runner.playbook_steps import (
    Ask,
    Declared,
    Do,
    ForEach,
    If,
    Parallel,
    Playbook,
    PlaybookFaults,
    Repeat,
    Retry,
    RunPlaybook,
    Step,
    Stop,
    Switch,
)
from runner.schema import decode
from runner.yaml_reader import Fault, Report, read_yaml

__all__ = [
    "Ask",
    "Declared",
    "Do",
    "Fault",
    "ForEach",
    "If",
    "Parallel",
    "Playbook",
    "PlaybookFaults",
    "Repeat",
    "Retry",
    "RunPlaybook",
    "Step",
    "Stop",
    "Switch",
    "find_playbook",
    "read_playbook",
    "shipped_playbooks",
]


def read_playbook(text: str, file: str, catalogue: Mapping[str, ActionSpec]) -> Playbook:
    """Read a playbook's text. Errors: `PlaybookFaults` with every fault."""
    report = Report(file)
    playbook = None
    root = read_yaml(text, report)
    if root is not None:
        shape = decode(root, shapes.PlaybookShape, report)
        reader = StepReader(root, report, catalogue)
        steps = reader.block(("steps",), "")
        on_error = reader.block(("on_error",), "on_error.")
        reader.file(shape)
        if shape is not None:
            playbook = Playbook(
                name=shape.playbook,
                description=shape.description,
                on=given(shape.on),
                severity=shape.severity,
                techniques=shape.techniques,
                inputs={name: _declared(one) for name, one in shape.inputs.items()},
                vars=shape.vars,
                steps=steps,
                on_error=on_error,
                file=file,
                source=text,
                sha256=hashlib.sha256(text.encode()).hexdigest(),
            )
    if report.faults or playbook is None:
        raise PlaybookFaults(report.sorted())
    return playbook


def _declared(shape: shapes.InputShape) -> Declared:
    """Required, unless there is a default or the author says otherwise."""
    has_default = shape.default is not UNSET
    required = not has_default if shape.required is UNSET else bool(shape.required)
    return Declared(type=shape.type, required=required, default=shape.default)


def shipped_playbooks() -> dict[str, str]:
    """The playbooks of this distribution: name → text."""
    folder = resources.files("playbooks")
    return {
        entry.name.removesuffix(".yaml"): entry.read_text(encoding="utf-8")
        for entry in folder.iterdir()
        if entry.name.endswith(".yaml")
    }


def find_playbook(name: str, playbook_dir: Path | None) -> tuple[str, str]:
    """A playbook's text, and where it came from.

    With a folder, only that folder counts: a file that went missing there never turns into the
    shipped one. Errors: `KeyError` for a name that is not there or is no name.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
        raise KeyError(name)
    if playbook_dir is None:
        return shipped_playbooks()[name], f"playbooks/{name}.yaml"
    path = playbook_dir / f"{name}.yaml"
    if not path.is_file():
        raise KeyError(name)
    return path.read_text(encoding="utf-8"), str(path)
