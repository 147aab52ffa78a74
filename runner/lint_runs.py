"""What is wrong with how a playbook is started, and with how it starts others."""

from __future__ import annotations

from collections.abc import Mapping

from connectors.base import Effect
from runner.bundle import Subs, named_runs, way_back
from runner.catalogue import ActionSpec
from runner.lint_state import Place, State
from runner.lint_values import Add, Value, Values
from runner.playbook_steps import Do, Playbook, RunPlaybook, Step, every_step
from runner.schema import closest


class Runs:
    """Judges inputs and sub-playbooks; findings go to `add`."""

    def __init__(
        self,
        playbook: Playbook,
        catalogue: Mapping[str, ActionSpec],
        subs: Subs,
        values: Values,
        add: Add,
    ) -> None:
        self._playbook = playbook
        self._catalogue = catalogue
        self._subs = subs
        self._values = values
        self._add = add

    def start(self) -> None:
        """A hit gives no inputs: a playbook that hits start must need none."""
        for name, declared in self._playbook.inputs.items():
            if self._playbook.on is not None and declared.required:
                text = f"the input `{name}` is required, and a hit gives none"
                self._add(("inputs", name), "SP503", text, "Give it a default, or remove `on`.")

    def step(self, step: RunPlaybook, state: State, place: Place) -> None:
        where = (*step.path, "run")
        sub = self._subs.get(step.playbook)
        for key, value in step.with_.items():
            declared = sub.inputs.get(key) if sub else None
            wanted = declared.type if declared else None
            self._values.value(Value(value, (*step.path, "with", key), wanted), state)
        if way_back(step.playbook, self._playbook, self._subs):
            text = f"`{step.playbook}` runs `{self._playbook.name}` or itself again"
            self._add(where, "SP502", text, "A playbook may not run itself, however far round.")
        elif sub is None:
            text = f"there is no playbook `{step.playbook}` beside this one that can be read"
            mend = "Name one that exists, and lint it first."
            self._add(where, "SP501", text, mend)
        else:
            self._inputs(step, sub)
            if place.in_loop and self.contains(step):
                text = f"`{step.playbook}` isolates or releases, and would ask again and again"
                self._add(where, "SP303", text, "Run it outside the loop, with all devices.")

    def _inputs(self, step: RunPlaybook, sub: Playbook) -> None:
        for key, declared in sub.inputs.items():
            if declared.required and key not in step.with_:
                text = f"`{sub.name}` needs `{key}`"
                mend = f"Add `{key}:` ({declared.type.value}) to `with`."
                self._add((*step.path, "run"), "SP103", text, mend)
        for key in step.with_:
            if key not in sub.inputs:
                where = (*step.path, "with", key)
                known = list(sub.inputs)
                mend = closest(key, known) if known else "It takes no inputs."
                self._add(where, "SP104", f"`{sub.name}` knows no `{key}`", mend)

    def contains(self, step: Step) -> bool:
        """Does the step itself isolate or release, or run a playbook that does?"""
        if isinstance(step, Do):
            spec = self._catalogue.get(step.action)
            return spec is not None and spec.effect in (Effect.CONTAIN, Effect.RELEASE)
        if not isinstance(step, RunPlaybook):
            return False
        seen: set[str] = set()
        waiting = [step.playbook]
        while waiting:
            sub = self._subs.get(waiting.pop())
            if sub is None or sub.name in seen:
                continue
            seen.add(sub.name)
            steps = (*sub.steps, *sub.on_error)
            if any(isinstance(one, Do) and self.contains(one) for one in every_step(steps)):
                return True
            waiting += [one.playbook for one in named_runs(sub)]
        return False
