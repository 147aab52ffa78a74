"""What a name in an expression stands for, and whether it has certainly a value by then.

`State` is what has run at one point of the flow; `Names` judges an expression's references against
it. `runner/lint.py` walks the flow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct, UnsetType

from connectors.model import Alert
from runner.catalogue import ActionSpec, ValueType
from runner.playbook_steps import Do, Step
from runner.schema import closest
from runner.template import Reference, references

Finding = tuple[str, str, str]
"""Code, text, mend."""

ALWAYS_GIVEN = ("id", "siem", "search", "raw", "host_candidates", "addresses", "conflicts")
"""Fields of an alert that are never null."""
CASE_FIELDS = ("id", "host", "search")


class State(Struct, frozen=True):
    """What is certain at one point: which steps have a value, and which at least a status."""

    values: frozenset[str] = frozenset()
    statuses: frozenset[str] = frozenset()
    is_ended: bool = False

    def with_value(self, step_id: str) -> State:
        return State(self.values | {step_id}, self.statuses, self.is_ended)

    def with_status(self, step_id: str) -> State:
        return State(self.values, self.statuses | {step_id}, self.is_ended)

    def ended(self) -> State:
        return State(self.values, self.statuses, True)

    def going_on(self) -> State:
        return State(self.values, self.statuses, False)

    def or_else(self, other: State) -> State:
        """After one of two ways: only what both have; a way that ended the run does not count."""
        if self.is_ended != other.is_ended:
            return other if self.is_ended else self
        return State(self.values & other.values, self.statuses & other.statuses, self.is_ended)

    def and_also(self, other: State) -> State:
        """After both of two ways."""
        return State(
            self.values | other.values,
            self.statuses | other.statuses,
            self.is_ended or other.is_ended,
        )


class Names:
    """Judges references. `steps` are all steps of the playbook by id."""

    def __init__(self, steps: Mapping[str, Step], catalogue: Mapping[str, ActionSpec]) -> None:
        self._steps = steps
        self._catalogue = catalogue

    def findings(self, text: str, state: State, is_condition: bool) -> Iterator[Finding]:
        """What is wrong with a text's references. Errors: `TemplateFault` for no template."""
        found = references(text)
        guarded = {(ref.name, ref.path) for ref in found if ref.is_guarded}
        for ref in found:
            may_be_empty = is_condition or (ref.name, ref.path) in guarded
            yield from self._reference(ref, state, may_be_empty)

    def type_of(self, ref: Reference) -> str | None:
        """A reference's type in the catalogue's words, where it can be proved."""
        if ref.name == "alert":
            known = {(): "alert", ("raw",): "object", ("addresses",): "list"}
            if len(ref.path) == 1 and ref.path[0] in ("host_candidates", "conflicts"):
                return "list"
            return known.get(ref.path, "text" if len(ref.path) == 1 else None)
        if ref.name == "steps":
            return "text" if len(ref.path) == 2 else None
        outputs = self._outputs(ref.name)
        if not ref.path or outputs is None or len(ref.path) > 1:
            return "object" if not ref.path and outputs is not None else None
        found = outputs.get(ref.path[0])
        return found.value if found else None

    def _outputs(self, step_id: str) -> Mapping[str, ValueType] | None:
        step = self._steps.get(step_id)
        spec = self._catalogue.get(step.action) if isinstance(step, Do) else None
        return spec.outputs if spec else None

    def _reference(self, ref: Reference, state: State, may_be_empty: bool) -> Iterator[Finding]:
        if ref.name == "alert":
            yield from self._alert(ref, may_be_empty)
        elif ref.name == "case":
            yield from _field("case", ref, CASE_FIELDS)
            if ref.path == ("host",) and not may_be_empty:
                yield _may_be_empty("case.host")
        elif ref.name == "steps":
            yield from self._status(ref, state)
        elif ref.name not in self._steps:
            known = [*(name for name in self._steps if "-" not in name), "alert", "case", "steps"]
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
        text = f"`{step_id}` may be skipped by its `when`, and has no value then"
        return "SP203", text, "Give the step an `else_value`."

    def _output(self, ref: Reference) -> Iterator[Finding]:
        outputs = self._outputs(ref.name)
        step = self._steps[ref.name]
        if outputs is None or not isinstance(step, Do) or not ref.path:
            return
        first = ref.path[0]
        if first not in outputs:
            text = f"`{step.action}` has no output `{first}`"
            yield "SP204", text, closest(first, list(outputs))
        elif len(ref.path) > 1 and outputs[first] in _CLOSED:
            text = f"`{ref.name}.{first}` is a {outputs[first].value}, and has no fields"
            yield "SP204", text, "Use it as it is."
        elif not isinstance(step.else_value, UnsetType) and not (
            isinstance(step.else_value, dict) and first in step.else_value
        ):
            text = f"the `else_value` of `{ref.name}` has no `{first}`"
            yield "SP206", text, f"Add `{first}:` to it."


_CLOSED = (ValueType.TEXT, ValueType.NUMBER, ValueType.BOOLEAN, ValueType.LIST, ValueType.TARGETS)


def _may_be_empty(name: str) -> Finding:
    mend = f"Write {{{{ {name} | default('unknown') }}}}."
    return "SP106", f"`{name}` may be empty", mend


def _field(name: str, ref: Reference, known: tuple[str, ...]) -> Iterator[Finding]:
    if ref.path and ref.path[0] not in known:
        yield "SP205", f"`{name}` has no `{ref.path[0]}`", closest(ref.path[0], list(known))
