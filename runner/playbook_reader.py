"""How a playbook's steps are read: each with its kind, its id, its blocks, and every fault.

A step that cannot be made is reported and left out. `runner/playbook.py` is the door.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, cast

from msgspec import UnsetType

from runner import playbook_shapes as shapes
from runner.catalogue import ActionSpec
from runner.playbook_made import Block, make
from runner.playbook_rules import check_action, check_file, check_step, named
from runner.playbook_steps import Step
from runner.schema import decode
from runner.yaml_reader import Node, Report
from runner.yaml_reader import Path as Where

T = TypeVar("T")

_WORDS_OF_EXPRESSIONS = ("true", "false", "none", "and", "or", "not", "in", "is", "if", "else")
_ROOTS = ("alert", "case", "inputs", "vars", "steps", "failure")
RESERVED_IDS = frozenset({*_ROOTS, *_WORDS_OF_EXPRESSIONS})
"""Names that an expression already understands."""
BLOCK_KEYS = ("then", "else", "default", "steps", "repeat", "on_error")
"""Keys of a step that hold a list of steps."""
BRANCH_KEYS = ("parallel", "cases")
"""Keys of a step that hold such lists by name."""


class StepReader:
    """Reads blocks of steps, and what the whole file says beside them."""

    def __init__(self, root: Node, report: Report, catalogue: Mapping[str, ActionSpec]) -> None:
        self._root = root
        self._report = report
        self._catalogue = catalogue
        self._ids: dict[str, tuple[int, int]] = {}
        children = root.value if isinstance(root.value, dict) else {}
        name = children["playbook"].value if "playbook" in children else None
        self._own_name = name if isinstance(name, str) else None

    def file(self, shape: shapes.PlaybookShape | None) -> None:
        """Check what stands beside the steps."""
        if _has(self._root, "vars"):
            for below, text in _texts(self._root.find(("vars",)), ("vars",)):
                self._template(text, below)
        if shape is not None:
            check_file(shape, self._add)

    def block(self, path: Where, ordinal: str) -> Block:
        """The steps of one list. `ordinal` is the list's place, free of line numbers."""
        node: Node | None = self._root
        for part in path:
            node = node.find((part,)) if node is not None and _has(node, part) else None
        if node is None or not isinstance(node.value, list):
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
        check_step(shape, path, self._own_name, self._add)
        if isinstance(shape, shapes.DoShape) and shape.do in self._catalogue:
            # An action that the catalogue lacks is lint's finding.
            spec = self._catalogue[shape.do]
            check_action(shape, spec, path, self._root.find(path).keys, self._add)
        if isinstance(shape, shapes.ForEachShape):
            self._claim(shape.as_, (*path, "as"))
        on_error = blocks["on_error"] if isinstance(shape.on_error, list) else shape.on_error
        common: dict[str, Any] = {
            "id": step_id,
            "path": path,
            "line": node.line,
            "name": given(shape.name),
            "when": given(shape.when),
            "else_value": shape.else_value,
            "on_error": on_error,
        }
        return make(shape, common, blocks)

    def _kind(self, node: Node, path: Where) -> str | None:
        found = [key for key in node.keys if key in shapes.STEP_SHAPES]
        if len(found) == 1:
            return found[0]
        known = list(shapes.STEP_SHAPES)
        if found:
            text = f"{named(path)} is of several kinds: {', '.join(found)}"
            self._add(path, text, "Make a step of each.", "kind")
        else:
            text = f"{named(path)} has no kind, but {', '.join(node.keys) or 'nothing'}"
            self._add(path, text, f"Write one of {', '.join(known)}.", "kind")
        return None

    def _id(self, shape: shapes.StepShape, kind: str, path: Where, ordinal: str) -> str:
        """The given id, or one that no author can write, because it holds a hyphen."""
        if isinstance(shape.id, UnsetType):
            return f"{kind}-{ordinal}"
        self._claim(shape.id, (*path, "id"))
        return shape.id

    def _claim(self, name: str, path: Where) -> None:
        """A name that expressions will know: reserved ones and second ones are faults."""
        node = self._root.find(path)
        place = (node.line, node.column)
        first = self._ids.setdefault(name, place)
        if name in RESERVED_IDS:
            text = f"the id `{name}` already means something in expressions"
            self._add(path, text, "Choose another.", "id")
        elif first != place:
            text = f"the id `{name}` is used a second time; the first is in line {first[0]}"
            self._add(path, text, "Ids are unique in a file.", "id")

    def _common(self, shape: shapes.StepShape, path: Where) -> None:
        if not isinstance(shape.else_value, UnsetType):
            if isinstance(shape.when, UnsetType):
                text = f"{named(path)} has `else_value`, but no `when` that could skip it"
                self._add((*path, "else_value"), text, "Add `when:`, or remove it.", "else-value")
            for where, text in _texts(self._root.find((*path, "else_value")), ()):
                if "{{" in text:
                    what = f"{named(path)}.else_value holds an expression"
                    at = (*path, "else_value", *where)
                    self._add(at, what, "Write a plain value.", "else-value")

    def _templates(self, node: Node, path: Where) -> None:
        """Statements, comments and templated keys are refused before any expression is parsed."""
        for key, child in cast("dict[str, Node]", node.value).items():
            if key not in BLOCK_KEYS and key not in BRANCH_KEYS:
                for below, text in _texts(child, (key,)):
                    self._template(text, (*path, *below))

    def _template(self, text: str, path: Where) -> None:
        if "{%" in text or "{#" in text:
            what = f"{named(path)} holds a statement or a comment"
            self._add(path, what, "Only expressions are known: {{ … }}.", "template")


def _has(node: Node, part: str | int) -> bool:
    if isinstance(node.value, dict):
        return part in node.value
    return isinstance(node.value, list) and isinstance(part, int) and part < len(node.value)


def _blocks(node: Node, path: Where, ordinal: str) -> Iterator[tuple[str, Where, str]]:
    """The blocks inside a step: name, path and place. Read whatever else is wrong with the step."""
    children = cast("dict[str, Node]", node.value)
    for key in BLOCK_KEYS:
        if key in children and isinstance(children[key].value, list):
            yield key, (*path, key), f"{ordinal}.{key}."
    for key in BRANCH_KEYS:
        branches = children[key].value if key in children else None
        if isinstance(branches, dict):
            for number, name in enumerate(branches):
                # A case may be any text; a branch's name may stand in an id.
                place = name if key == "parallel" else f"case{number + 1}"
                yield f"{key}.{name}", (*path, key, name), f"{ordinal}.{place}."


def given(value: T | UnsetType) -> T | None:
    """An optional key's value, or None."""
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
