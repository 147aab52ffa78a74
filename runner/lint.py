"""What is wrong with a playbook before it runs.

It follows the flow without running anything: what has certainly run by then, which value has which
type. It knows no product and opens nothing. Each finding has a code; `FINDINGS` says what it means,
and `docs/playbooks.md` how to mend it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct, UnsetType

from connectors.base import Effect
from runner.catalogue import ActionSpec, Input, ValueType
from runner.lint_names import Names, State
from runner.playbook import read_playbook
from runner.playbook_rules import named
from runner.playbook_steps import Do, If, Parallel, Playbook, PlaybookFaults, Step, Stop
from runner.schema import closest
from runner.template import TemplateFault, check_template, infer, is_template
from runner.yaml_reader import Fault, Path, Report, read_yaml

FINDINGS: dict[str, str] = {
    "SP101": "the action is in no catalogue",
    "SP102": "the role is unknown",
    "SP103": "the action lacks an input that it needs",
    "SP104": "the action does not know this input",
    "SP105": "the value has the wrong type",
    "SP106": "the value may be empty (null), which fails the step",
    "SP107": "the condition is no boolean",
    "SP108": "the expression cannot be read",
    "SP201": "no step has this id",
    "SP202": "the step has not certainly run by then",
    "SP203": "the step may be skipped, or fail, and has no value then",
    "SP204": "the action has no such output",
    "SP205": "the alert, the case or `steps` has no such field",
    "SP206": "`else_value` lacks an output that is used",
    "SP301": "the containment cannot be undone",
    "SP302": "the targets are no devices that a step found",
    "SP401": "the step can never run",
    "SP402": "a `stop` inside `parallel`",
}
"""Every code, and what it means."""


def lint(playbook: Playbook, catalogue: Mapping[str, ActionSpec]) -> list[Fault]:
    """Every finding in a playbook that could be read, in the order of the file."""
    return _Lint(playbook, catalogue).findings()


def lint_text(text: str, file: str, catalogue: Mapping[str, ActionSpec]) -> list[Fault]:
    """What the reader refuses, or else what lint finds, in the order of the file."""
    try:
        return lint(read_playbook(text, file, catalogue), catalogue)
    except PlaybookFaults as refused:
        return refused.faults


class _Value(Struct, frozen=True):
    """A value as written, its place, and the type that it must have (None: any)."""

    value: object
    path: Path
    wanted: ValueType | None = None


class _Lint:
    def __init__(self, playbook: Playbook, catalogue: Mapping[str, ActionSpec]) -> None:
        self._playbook = playbook
        self._catalogue = catalogue
        self._report = Report(playbook.file)
        self._root = read_yaml(playbook.source, Report(playbook.file))
        self._names = Names({step.id: step for step in _all(playbook.steps)}, catalogue)

    def findings(self) -> list[Fault]:
        self._block(self._playbook.steps, State(), is_parallel=False)
        return self._report.sorted()

    def _add(self, path: Path, code: str, text: str, mend: str) -> None:
        place = self._root.find(path) if self._root else (1, 1)
        self._report.add(place, f"{code} {text}", mend, code)

    # -- flow --------------------------------------------------------------------------------------

    def _block(self, steps: tuple[Step, ...], state: State, *, is_parallel: bool) -> State:
        for step in steps:
            if state.is_ended:
                text = f"{named(step.path)} comes after the run's end"
                self._add(step.path, "SP401", text, "Remove it, or move it before the `stop`.")
                state = state.going_on()
            state = self._step(step, state, is_parallel)
        return state

    def _step(self, step: Step, before: State, is_parallel: bool) -> State:
        self._condition(step.when, (*step.path, "when"), before)
        after = self._inside(step, before, is_parallel)
        if step.on_error == "continue":
            after = before.with_status(step.id)
        elif isinstance(step.on_error, tuple):
            handled = self._block(
                step.on_error, before.with_status(step.id), is_parallel=is_parallel
            )
            after = after.or_else(handled)
        if step.when is not None:
            after = after.or_else(before.with_status(step.id))
            if not isinstance(step.else_value, UnsetType) and step.on_error == "fail":
                after = after.with_value(step.id)
        return after

    def _inside(self, step: Step, state: State, is_parallel: bool) -> State:
        """The state after the step when nothing failed and nothing was skipped."""
        if isinstance(step, Do):
            self._do(step, state)
            return state.with_status(step.id).with_value(step.id)
        if isinstance(step, If):
            self._condition(step.condition, (*step.path, "if"), state)
            then = self._block(step.then, state, is_parallel=is_parallel)
            otherwise = self._block(step.otherwise, state, is_parallel=is_parallel)
            return then.or_else(otherwise).with_status(step.id)
        if isinstance(step, Parallel):
            after = state
            for branch in step.branches.values():
                after = after.and_also(self._block(branch, state, is_parallel=True))
            return after.with_status(step.id)
        return self._stop(step, state, is_parallel)

    def _stop(self, step: Stop, state: State, is_parallel: bool) -> State:
        if is_parallel:
            text = f"{named(step.path)} would end the run while other branches still act"
            self._add(step.path, "SP402", text, "Move it behind the `parallel`.")
        at = (*step.path, "stop")
        self._value(_Value(step.reason, (*at, "reason"), ValueType.TEXT), state)
        if step.verdict is not None:
            self._value(_Value(step.verdict, (*at, "verdict"), ValueType.TEXT), state)
        return state.ended()

    # -- actions -----------------------------------------------------------------------------------

    def _do(self, step: Do, state: State) -> None:
        spec = self._catalogue.get(step.action)
        if spec is None:
            self._unknown_action(step)
            for key, value in step.with_.items():
                self._value(_Value(value, (*step.path, "with", key)), state)
            return
        self._inverse(step, spec)
        self._inputs(step, spec, state)
        self._targets(step, state)
        self._else_value(step, spec)

    def _unknown_action(self, step: Do) -> None:
        where = (*step.path, "do")
        family = step.action.partition(".")[0]
        families = sorted({name.partition(".")[0] for name in self._catalogue})
        if family not in families:
            text = f"`{family}` is no role and no family of actions"
            self._add(where, "SP102", text, closest(family, families))
            return
        known = [name for name in self._catalogue if name.startswith(f"{family}.")]
        self._add(where, "SP101", f"no action `{step.action}`", closest(step.action, known))

    def _inverse(self, step: Do, spec: ActionSpec) -> None:
        if spec.effect is not Effect.CONTAIN:
            return
        inverse = self._catalogue.get(spec.inverse or "")
        if (
            inverse is None
            or inverse.effect is not Effect.RELEASE
            or not (spec.takes_targets and inverse.takes_targets)
        ):
            text = f"`{spec.name}` has no release that takes the same targets"
            self._add((*step.path, "do"), "SP301", text, "Use an action that can be undone.")

    def _inputs(self, step: Do, spec: ActionSpec, state: State) -> None:
        for key, known in spec.inputs.items():
            if known.required and key not in step.with_:
                text = f"`{spec.name}` needs `{key}`"
                mend = f"Add `{key}:` ({known.type.value}) to `with`."
                self._add((*step.path, "do"), "SP103", text, mend)
        for key, value in step.with_.items():
            where = (*step.path, "with", key)
            taken: Input | None = spec.inputs.get(key)
            if taken is None:
                mend = closest(key, list(spec.inputs))
                self._add(where, "SP104", f"`{spec.name}` knows no `{key}`", mend)
            self._value(_Value(value, where, taken.type if taken else None), state)

    def _targets(self, step: Do, state: State) -> None:
        where = (*step.path, "targets")
        if isinstance(step.targets, str):
            self._value(_Value(step.targets, where, ValueType.TARGETS), state)
        elif isinstance(step.targets, list):
            for number, target in enumerate(step.targets):
                self._value(_Value(target, (*where, number), ValueType.TARGET), state)

    def _else_value(self, step: Do, spec: ActionSpec) -> None:
        """A written value may stand in for any output, but never for a device."""
        if not isinstance(step.else_value, dict):
            return
        for key, value in step.else_value.items():
            where = (*step.path, "else_value", key)
            wanted = spec.outputs.get(key)
            if wanted is None:
                mend = closest(key, list(spec.outputs))
                self._add(where, "SP204", f"`{spec.name}` has no output `{key}`", mend)
            elif wanted in (ValueType.TARGET, ValueType.TARGETS):
                if value not in (None, []):
                    text = f"{named(where)} names a device"
                    self._add(where, "SP302", text, "Write [] or null: devices are found.")
            elif value is not None and self._type(value) != wanted.value:
                text = f"{named(where)} is of type {self._type(value)}, and must be {wanted.value}"
                self._add(where, "SP105", text, "Use a value of that type.")

    # -- values ------------------------------------------------------------------------------------

    def _value(self, item: _Value, state: State) -> None:
        """Check a value's expressions, and its type where it can be proved."""
        for text, path in _texts(item.value, item.path):
            self._references(text, path, state, is_condition=False)
        found = self._type(item.value)
        wanted = item.wanted
        if wanted is None or wanted.value == found:
            return
        if wanted in (ValueType.TARGET, ValueType.TARGETS):
            text = f"{named(item.path)} must be a {wanted.value} that a step found"
            mend = "Use the `target` of edr.find_host, or the `targets` of a hunt."
            self._add(item.path, "SP302", text, mend)
        elif found is not None and (wanted.value, found) not in _ALSO_FITS:
            text = f"{named(item.path)} is of type {found}, and must be {wanted.value}"
            self._add(item.path, "SP105", text, "Use a value of that type.")

    def _type(self, value: object) -> str | None:
        if isinstance(value, str):
            try:
                return infer(value, self._names.type_of)
            except TemplateFault:
                return None  # reported with the text's references
        kinds = {bool: "boolean", int: "number", float: "number", list: "list", dict: "object"}
        return kinds.get(type(value))

    def _condition(self, condition: str | bool | None, path: Path, state: State) -> None:
        if not isinstance(condition, str):
            return
        self._references(condition, path, state, is_condition=True)
        found = self._type(condition)
        if found not in (None, "boolean"):
            text = f"{named(path)} is of type {found}, not true or false"
            self._add(path, "SP107", text, "Compare it with something.")

    def _references(self, text: str, path: Path, state: State, *, is_condition: bool) -> None:
        if not is_template(text):
            return
        try:
            check_template(text)
        except TemplateFault as fault:
            self._add(path, "SP108", fault.text, "Write an expression as docs/playbooks.md has it.")
            return
        for code, what, mend in self._names.findings(text, state, is_condition):
            self._add(path, code, f"{named(path)}: {what}", mend)


_ALSO_FITS = {("list", "targets"), ("object", "target"), ("object", "alert")}
"""Wanted and found: what is more special than it needs to be."""


def _all(steps: tuple[Step, ...]) -> Iterator[Step]:
    for step in steps:
        yield step
        if isinstance(step, If):
            yield from _all(step.then)
            yield from _all(step.otherwise)
        if isinstance(step, Parallel):
            for branch in step.branches.values():
                yield from _all(branch)
        if isinstance(step.on_error, tuple):
            yield from _all(step.on_error)


def _texts(value: object, path: Path) -> Iterator[tuple[str, Path]]:
    if isinstance(value, str):
        yield value, path
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _texts(item, (*path, number))
