"""What a name in an expression stands for, and whether it has certainly a value by then.

`State` (`runner/lint_state.py`) is what has run at one point of the flow; `Names` judges an
expression's references against it, and knows which type and which words a name may have.
`runner/lint_flow.py` walks the flow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

from msgspec import UNSET, UnsetType

from connectors.model import Alert
from runner.catalogue import ActionSpec, ValueType
from runner.lint_state import State
from runner.playbook_steps import (
    Ask,
    Do,
    ForEach,
    Playbook,
    Repeat,
    RunPlaybook,
    Step,
    every_step,
)
from runner.schema import closest
from runner.template import Partly, Reference, TemplateFault, certain, infer, references

Finding = tuple[str, str, str]
"""Code, text, mend."""

ALWAYS_GIVEN = ("id", "siem", "search", "raw", "host_candidates", "addresses", "conflicts")
"""Fields of an alert that are never null."""
CASE_FIELDS = ("id", "host", "search")
FAILURE_FIELDS = ("kind", "text")
STATUSES = ("succeeded", "failed", "unknown", "skipped", "denied")
ASK_OUTPUTS = {"answer": ValueType.TEXT, "state": ValueType.TEXT}
ASK_STATES = ("answered", "expired", "observed", "denied")
RUN_OUTPUTS = {
    "reason": ValueType.TEXT,
    "verdict": ValueType.TEXT,
    "is_stopped": ValueType.BOOLEAN,
}
MOST_COMBINATIONS = 300


class Names:
    """Judges references of one playbook."""

    def __init__(self, playbook: Playbook, catalogue: Mapping[str, ActionSpec]) -> None:
        steps = list(every_step((*playbook.steps, *playbook.on_error)))
        self._steps = {step.id: step for step in steps}
        self._loops = {step.as_: step for step in steps if isinstance(step, ForEach)}
        self._playbook = playbook
        self._catalogue = catalogue

    def findings(self, text: str, state: State, is_condition: bool) -> Iterator[Finding]:
        """What is wrong with a text's references. Errors: `TemplateFault` for no template."""
        found = references(text)
        guarded = {(ref.name, ref.path) for ref in found if ref.is_guarded}
        for ref in found:
            may_be_empty = is_condition or (ref.name, ref.path) in guarded
            yield from self._reference(ref, state, may_be_empty)

    # -- types and words ---------------------------------------------------------------------------

    def type_of(self, ref: Reference) -> str | None:
        """A reference's type in the catalogue's words, where it can be proved."""
        match ref.name:
            case "alert":
                known = {(): "alert", ("raw",): "object", ("addresses",): "list"}
                if len(ref.path) == 1 and ref.path[0] in ("host_candidates", "conflicts"):
                    return "list"
                return known.get(ref.path, "text" if len(ref.path) == 1 else None)
            case "steps":
                return "text" if len(ref.path) == 2 else None
            case "failure":
                return "text" if len(ref.path) == 1 else None
            case "inputs":
                declared = self._playbook.inputs.get(ref.path[0]) if len(ref.path) == 1 else None
                return declared.type.value if declared else None
            case "vars":
                return self._type_of_var(ref)
        if ref.name in self._loops:
            return self._type_of_item(ref)
        return self._type_of_output(ref)

    def _type_of_var(self, ref: Reference) -> str | None:
        value = self._playbook.vars.get(ref.path[0]) if len(ref.path) == 1 else None
        return self.type_of_value(value)

    def _type_of_item(self, ref: Reference) -> str | None:
        is_target = self.type_of_value(self._loops[ref.name].items) == ValueType.TARGETS
        return "target" if is_target and not ref.path else None

    def _type_of_output(self, ref: Reference) -> str | None:
        step = self._steps.get(ref.name)
        if isinstance(step, ForEach):
            return "list" if not ref.path else None
        outputs = self.outputs(step)
        if not ref.path or outputs is None or len(ref.path) > 1:
            return "object" if not ref.path and outputs is not None else None
        found = outputs.get(ref.path[0])
        return found.value if found else None

    def type_of_value(self, value: object) -> str | None:
        """The type of a value as written, where it can be proved."""
        if isinstance(value, str):
            try:
                return infer(value, self.type_of)
            except TemplateFault:
                return None  # reported with the text's references
        kinds = {bool: "boolean", int: "number", float: "number", list: "list", dict: "object"}
        return kinds.get(type(value))

    def outputs(self, step: Step | None) -> Mapping[str, ValueType] | None:
        """What a step's value holds; None where it has none, or nothing is known of it."""
        match step:
            case Do():
                spec = self._catalogue.get(step.action)
                return spec.outputs if spec else None
            case Ask():
                return ASK_OUTPUTS
            case RunPlaybook():
                return RUN_OUTPUTS
            case Repeat():
                return self.outputs(step.steps[-1]) if step.steps else None
        return None

    def words_of(self, ref: Reference) -> tuple[str, ...] | None:
        """Every text that a reference can be, where there are only so many."""
        if ref.name == "steps" and len(ref.path) == 2 and ref.path[1] == "status":
            return STATUSES
        step = self._steps.get(ref.name)
        if len(ref.path) != 1 or step is None or not isinstance(step.else_value, UnsetType):
            return None
        if isinstance(step, Ask):
            return {"answer": tuple(step.answers), "state": ASK_STATES}.get(ref.path[0])
        spec = self._catalogue.get(step.action) if isinstance(step, Do) else None
        return spec.words.get(ref.path[0]) if spec else None

    def constant(self, text: str | bool) -> bool | None:
        """What a condition always is, whatever happens; None where it may be either.
        Errors: `TemplateFault`."""
        if isinstance(text, bool):
            return text
        words = {(r.name, *r.path): found for r in references(text) if (found := self.words_of(r))}
        count = 1
        for known in words.values():
            count *= len(known)
        if count > MOST_COMBINATIONS:
            return None
        seen = {
            certain(text, scope_of(dict(zip(words, chosen, strict=True))))
            for chosen in product(*words.values())
        }
        return seen.pop() if len(seen) == 1 else None

    # -- references --------------------------------------------------------------------------------

    def _reference(self, ref: Reference, state: State, may_be_empty: bool) -> Iterator[Finding]:
        match ref.name:
            case "alert":
                yield from self._alert(ref, may_be_empty)
            case "case":
                yield from _field("case", ref, CASE_FIELDS)
                if ref.path == ("host",) and not may_be_empty:
                    yield _may_be_empty("case.host")
            case "steps":
                yield from self._status(ref, state)
            case "inputs":
                yield from self._input(ref, may_be_empty)
            case "vars":
                yield from self._var(ref, state)
            case "failure":
                yield from _field("failure", ref, FAILURE_FIELDS)
                if "failure" not in state.values:
                    text = "`failure` is known in the playbook's own `on_error` only"
                    yield "SP202", text, "Ask for a step's status instead."
            case _:
                yield from self._step(ref, state)

    def _step(self, ref: Reference, state: State) -> Iterator[Finding]:
        if ref.name in self._loops:
            if ref.name not in state.values:
                text = f"`{ref.name}` is known inside its `for_each` only"
                yield "SP202", text, "Use it among the loop's own steps."
        elif ref.name not in self._steps:
            known = [*(name for name in self._steps if "-" not in name), *_ROOTS, *self._loops]
            yield "SP201", f"no step has the id `{ref.name}`", closest(ref.name, known)
        elif ref.name not in state.values:
            yield self._not_run(ref.name, state)
        else:
            yield from self._output(ref)

    def _alert(self, ref: Reference, may_be_empty: bool) -> Iterator[Finding]:
        fields = Alert.__struct_fields__
        yield from _field("alert", ref, fields)
        if len(ref.path) != 1 or ref.path[0] not in fields:
            return
        if ref.path[0] not in ALWAYS_GIVEN and not may_be_empty:
            yield _may_be_empty(f"alert.{ref.path[0]}")

    def _input(self, ref: Reference, may_be_empty: bool) -> Iterator[Finding]:
        yield from _field("inputs", ref, tuple(self._playbook.inputs))
        declared = self._playbook.inputs.get(ref.path[0]) if ref.path else None
        is_sure = declared is None or declared.required or declared.default is not UNSET
        if not is_sure and not may_be_empty:
            yield _may_be_empty(f"inputs.{ref.path[0]}")

    def _var(self, ref: Reference, state: State) -> Iterator[Finding]:
        yield from _field("vars", ref, tuple(self._playbook.vars))
        name = ref.path[0] if ref.path else ""
        if name in self._playbook.vars and f"vars.{name}" not in state.values:
            text = f"`vars.{name}` is computed later than this"
            yield "SP202", text, "Move it up: vars are computed in their order."

    def _status(self, ref: Reference, state: State) -> Iterator[Finding]:
        if len(ref.path) != 2 or ref.path[1] != "status":
            yield "SP205", "`steps` knows only `steps.<id>.status`", "Write it so."
        elif ref.path[0] not in self._steps:
            mend = closest(ref.path[0], list(self._steps))
            yield "SP201", f"no step has the id `{ref.path[0]}`", mend
        elif ref.path[0] not in state.statuses:
            yield self._not_run(ref.path[0], state)

    def _not_run(self, step_id: str, state: State) -> Finding:
        step = self._steps[step_id]
        if step_id not in state.statuses:
            text = f"`{step_id}` has not certainly run by then"
            return "SP202", text, "Use it after the step, in the same branch."
        if step.on_error != "fail":
            text = f"`{step_id}` may have failed, and has no value then"
            return "SP203", text, f"Ask for `steps.{step_id}.status`, or let it fail."
        if step.when is not None:
            text = f"`{step_id}` may be skipped by its `when`, and has no value then"
            return "SP203", text, "Give the step an `else_value`."
        text = f"`{step_id}` has no value of its own"
        return "SP203", text, "Use the id of an action, a question, a loop or a `run`."

    def _output(self, ref: Reference) -> Iterator[Finding]:
        step = self._steps[ref.name]
        outputs = {} if isinstance(step, ForEach) else self.outputs(step)
        if outputs is None or not ref.path:
            return
        first = ref.path[0]
        what = f"`{step.action}`" if isinstance(step, Do) else f"`{ref.name}`"
        if first not in outputs:
            mend = closest(first, list(outputs)) if outputs else "It is a list: use it whole."
            yield "SP204", f"{what} has no output `{first}`", mend
        elif len(ref.path) > 1 and outputs[first] in _CLOSED:
            text = f"`{ref.name}.{first}` is a {outputs[first].value}, and has no fields"
            yield "SP204", text, "Use it as it is."
        elif not isinstance(step.else_value, UnsetType) and not (
            isinstance(step.else_value, dict) and first in step.else_value
        ):
            text = f"the `else_value` of `{ref.name}` has no `{first}`"
            yield "SP206", text, f"Add `{first}:` to it."


_ROOTS = ("alert", "case", "inputs", "vars", "steps")
_CLOSED = (
    ValueType.TEXT,
    ValueType.NUMBER,
    ValueType.BOOLEAN,
    ValueType.LIST,
    ValueType.TARGETS,
)


def scope_of(known: Mapping[tuple[str, ...], object]) -> Partly:
    """Names with only these values, by path; every other one is open."""
    scope = Partly()
    for path, value in known.items():
        place = scope
        for part in path[:-1]:
            below = place.setdefault(part, Partly())
            if not isinstance(below, Partly):
                break
            place = below
        place[path[-1]] = value
    return scope


def _may_be_empty(name: str) -> Finding:
    mend = f"Write {{{{ {name} | default('unknown') }}}}."
    return "SP106", f"`{name}` may be empty", mend


def _field(name: str, ref: Reference, known: tuple[str, ...]) -> Iterator[Finding]:
    if ref.path and ref.path[0] not in known:
        yield "SP205", f"`{name}` has no `{ref.path[0]}`", closest(ref.path[0], list(known))
