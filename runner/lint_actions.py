"""What is wrong with one action: its name, its inputs, its targets, its way back."""

from __future__ import annotations

from collections.abc import Mapping

from connectors.base import Effect
from runner.catalogue import ActionSpec, Input, ValueType, fits
from runner.lint_state import State
from runner.lint_values import Add, Value, Values
from runner.playbook_rules import named
from runner.playbook_steps import Do
from runner.schema import closest


class Actions:
    """Judges the steps that do an action; findings go to `add`."""

    def __init__(self, catalogue: Mapping[str, ActionSpec], values: Values, add: Add) -> None:
        self._catalogue = catalogue
        self._values = values
        self._add = add

    def step(self, step: Do, state: State) -> None:
        spec = self._catalogue.get(step.action)
        if spec is None:
            self._unknown_action(step)
            for key, value in step.with_.items():
                self._values.value(Value(value, (*step.path, "with", key)), state)
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
            self._values.value(Value(value, where, taken.type if taken else None), state)

    def _targets(self, step: Do, state: State) -> None:
        where = (*step.path, "targets")
        if isinstance(step.targets, str):
            self._values.value(Value(step.targets, where, ValueType.TARGETS), state)
        elif isinstance(step.targets, list):
            for number, target in enumerate(step.targets):
                self._values.value(Value(target, (*where, number), ValueType.TARGET), state)

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
            elif value is not None and not fits(value, wanted):
                text = f"{named(where)} must be of type {wanted.value}"
                self._add(where, "SP105", text, "Use a value of that type.")
