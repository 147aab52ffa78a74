"""What a playbook says: YAML → typed steps, all faults at once.

It proves what can be seen without following the flow; `runner/lint.py` proves the rest. It runs
nothing, parses no expression, and never imports jinja2.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, cast

from msgspec import UnsetType

from runner import playbook_shapes as shapes
from runner.catalogue import ActionSpec
from runner.playbook_rules import check_action, named
from runner.playbook_steps import (
    Do,
    If,
    Parallel,
    Playbook,
    PlaybookFaults,
    Retry,
    Step,
    Stop,
)
from runner.schema import decode
from runner.yaml_reader import Fault, Node, Report, read_yaml
from runner.yaml_reader import Path as Where

__all__ = [
    "Do",
    "Fault",
    "If",
    "Parallel",
    "Playbook",
    "PlaybookFaults",
    "Retry",
    "Step",
    "Stop",
    "find_playbook",
    "read_playbook",
    "shipped_playbooks",
]

T = TypeVar("T")

_WORDS_OF_EXPRESSIONS = ("true", "false", "none", "and", "or", "not", "in", "is", "if", "else")
RESERVED_IDS = frozenset({"alert", "case", "inputs", "steps", *_WORDS_OF_EXPRESSIONS})
"""Names that an expression already understands."""


def read_playbook(text: str, file: str, catalogue: Mapping[str, ActionSpec]) -> Playbook:
    """Read a playbook's text. Errors: `PlaybookFaults` with every fault."""
    report = Report(file)
    playbook = None
    root = read_yaml(text, report)
    if root is not None:
        shape = decode(root, shapes.PlaybookShape, report)
        steps = _Reader(root, report, catalogue).block(("steps",), "")
        if shape is not None:
            playbook = Playbook(
                name=shape.playbook,
                description=shape.description,
                on=_given(shape.on),
                severity=shape.severity,
                techniques=shape.techniques,
                steps=steps,
                file=file,
                source=text,
                sha256=hashlib.sha256(text.encode()).hexdigest(),
            )
    if report.faults or playbook is None:
        raise PlaybookFaults(report.sorted())
    return playbook


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


class _Reader:
    """Reads blocks of steps; a step that cannot be made is reported and left out."""

    def __init__(self, root: Node, report: Report, catalogue: Mapping[str, ActionSpec]) -> None:
        self._root = root
        self._report = report
        self._catalogue = catalogue
        self._ids: dict[str, tuple[int, int]] = {}

    def block(self, path: Where, ordinal: str) -> tuple[Step, ...]:
        """The steps of one list. `ordinal` is the list's place, free of line numbers."""
        node = self._root.find(path)
        if not isinstance(node.value, list):
            return ()  # what stands there has been reported with the step that holds it
        steps = [
            self._step(item, (*path, number), f"{ordinal}{number + 1}")
            for number, item in enumerate(node.value)
        ]
        return tuple(step for step in steps if step is not None)

    def _add(self, path: Where, text: str, mend: str, code: str) -> None:
        self._report.add(self._root.find(path), text, mend, f"playbook-{code}")

    def _step(self, node: Node, path: Where, ordinal: str) -> Step | None:
        if not isinstance(node.value, dict):
            self._add(path, f"{named(path)} is no step", "Write a mapping, `do: …`.", "step")
            return None
        kind = self._kind(node, path)
        if kind is None:
            return None
        blocks = {name: self.block(below, at) for name, below, at in _blocks(node, path, ordinal)}
        shape = decode(node, shapes.STEP_SHAPES[kind], self._report, named(path))
        if shape is None:
            return None
        self._templates(node, path)
        step_id = self._id(shape, kind, path, ordinal)
        self._common(shape, path)
        return self._make(shape, step_id, path, blocks)

    def _kind(self, node: Node, path: Where) -> str | None:
        given = [key for key in node.keys if key in shapes.STEP_SHAPES]
        later = [key for key in node.keys if key in shapes.LATER_KINDS]
        for kind in later:
            text = f"{named(path)}: the step kind `{kind}` is not supported in this version"
            self._report.add(node.keys[kind], text, "Remove this step.", "playbook-later")
        if later:
            return None
        if len(given) == 1:
            return given[0]
        known = list(shapes.STEP_SHAPES)
        if given:
            text = f"{named(path)} is of several kinds: {', '.join(given)}"
            self._add(path, text, "Make a step of each.", "kind")
        else:
            text = f"{named(path)} has no kind, but {', '.join(node.keys) or 'nothing'}"
            self._add(path, text, f"Write one of {', '.join(known)}.", "kind")
        return None

    def _id(self, shape: shapes.StepShape, kind: str, path: Where, ordinal: str) -> str:
        """The given id, or one that no author can write, because it holds a hyphen."""
        if isinstance(shape.id, UnsetType):
            return f"{kind}-{ordinal}"
        node = self._root.find((*path, "id"))
        place = (node.line, node.column)
        first = self._ids.setdefault(shape.id, place)
        if shape.id in RESERVED_IDS:
            text = f"the id `{shape.id}` already means something in expressions"
            self._add((*path, "id"), text, "Choose another.", "id")
        elif first != place:
            text = f"the id `{shape.id}` is used a second time; the first is in line {first[0]}"
            self._add((*path, "id"), text, "Ids are unique in a file.", "id")
        return shape.id

    def _common(self, shape: shapes.StepShape, path: Where) -> None:
        self._condition(shape.when, (*path, "when"))
        if not isinstance(shape.else_value, UnsetType):
            if isinstance(shape.when, UnsetType):
                text = f"{named(path)} has `else_value`, but no `when` that could skip it"
                self._add((*path, "else_value"), text, "Add `when:`, or remove it.", "else-value")
            for below, text in _texts(self._root.find((*path, "else_value")), ()):
                if "{{" in text:
                    what = f"{named(path)}.else_value holds an expression"
                    where = (*path, "else_value", *below)
                    self._add(where, what, "Write a plain value.", "else-value")

    def _condition(self, condition: bool | str | UnsetType, path: Where) -> None:
        if not isinstance(condition, str):
            return
        text = condition.strip()
        if not (text.startswith("{{") and text.endswith("}}")):
            what = f"{named(path)} is a text, not a condition"
            self._add(path, what, 'Write "{{ an expression }}", or true or false.', "condition")

    def _templates(self, node: Node, path: Where) -> None:
        """Statements, comments and templated keys are refused before any expression is parsed."""
        skipped = ("then", "else", "parallel", "on_error")
        own = cast("dict[str, Node]", node.value)
        for key, child in own.items():
            if key in skipped:
                continue
            for below, text in _texts(child, (key,)):
                if "{%" in text or "{#" in text:
                    what = f"{named((*path, *below))} holds a statement or a comment"
                    mend = "Only expressions are known: {{ … }}."
                    self._add((*path, *below), what, mend, "template")

    def _make(
        self,
        shape: shapes.StepShape,
        step_id: str,
        path: Where,
        blocks: Mapping[str, tuple[Step, ...]],
    ) -> Step:
        on_error = blocks["on_error"] if isinstance(shape.on_error, list) else shape.on_error
        common: dict[str, Any] = {
            "id": step_id,
            "path": path,
            "name": _given(shape.name),
            "when": _given(shape.when),
            "else_value": shape.else_value,
            "on_error": on_error,
        }
        if isinstance(shape, shapes.DoShape):
            spec = self._catalogue.get(shape.do)
            # An action that the catalogue lacks is lint's finding.
            if spec is not None:
                check_action(shape, spec, path, self._root.find(path).keys, self._add)
            return Do(**common, **_do(shape))
        if isinstance(shape, shapes.IfShape):
            self._condition(shape.if_, (*path, "if"))
            then, otherwise = blocks["then"], blocks.get("else", ())
            return If(**common, condition=shape.if_, then=then, otherwise=otherwise)
        if isinstance(shape, shapes.StopShape):
            return Stop(**common, reason=shape.stop.reason, verdict=_given(shape.stop.verdict))
        branches = {
            key.removeprefix("parallel."): steps
            for key, steps in blocks.items()
            if key.startswith("parallel.")
        }
        return Parallel(**common, branches=branches)


def _blocks(node: Node, path: Where, ordinal: str) -> Iterator[tuple[str, Where, str]]:
    """The blocks inside a step: name, path and place. Read whatever else is wrong with the step."""
    children = cast("dict[str, Node]", node.value)
    for key in ("then", "else", "on_error"):
        if key in children and isinstance(children[key].value, list):
            yield key, (*path, key), f"{ordinal}.{key}."
    branches = children["parallel"].value if "parallel" in children else None
    if isinstance(branches, dict):
        for name in branches:
            yield f"parallel.{name}", (*path, "parallel", name), f"{ordinal}.{name}."


def _do(shape: shapes.DoShape) -> dict[str, Any]:
    retry = shape.retry
    return {
        "action": shape.do,
        "with_": shape.with_,
        "targets": _given(shape.targets),
        "max": _given(shape.max),
        "timeout_s": _given(shape.timeout_s),
        "retry": None
        if isinstance(retry, UnsetType)
        else Retry(max=retry.max, wait_s=float(retry.wait_s)),
        "approval_quorum": None if isinstance(shape.approval, UnsetType) else shape.approval.quorum,
    }


def _given(value: T | UnsetType) -> T | None:
    return None if isinstance(value, UnsetType) else value


def _texts(node: Node, path: Where) -> Iterator[tuple[Where, str]]:
    """Each text below a node, keys included, with its path."""
    if isinstance(node.value, dict):
        for key, child in node.value.items():
            yield (*path, key), key
            yield from _texts(child, (*path, key))
    elif isinstance(node.value, list):
        for number, child in enumerate(node.value):
            yield from _texts(child, (*path, number))
    elif isinstance(node.value, str):
        yield path, node.value
