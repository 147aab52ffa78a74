"""The walk over a playbook's flow: what each kind of step needs, and what is certain after it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import UnsetType

from connectors.base import Effect
from runner.bundle import Subs
from runner.catalogue import ActionSpec, ValueType
from runner.lint_actions import Actions
from runner.lint_expiry import reached_by_silence
from runner.lint_names import Names
from runner.lint_runs import Runs
from runner.lint_state import Place, State
from runner.lint_values import Value, Values
from runner.playbook_rules import named
from runner.playbook_steps import (
    Ask,
    Do,
    ForEach,
    If,
    Parallel,
    Playbook,
    Repeat,
    RunPlaybook,
    Step,
    Stop,
    Switch,
    every_step,
)
from runner.schema import closest
from runner.template import Reference, TemplateFault, references
from runner.yaml_reader import Fault, Path, Report, read_yaml

Block = tuple[Step, ...]


class Flow:
    """Lints one playbook; `subs` are those that it runs."""

    def __init__(self, playbook: Playbook, catalogue: Mapping[str, ActionSpec], subs: Subs) -> None:
        self._playbook = playbook
        self._catalogue = catalogue
        self._report = Report(playbook.file)
        self._root = read_yaml(playbook.source, Report(playbook.file))
        self._names = Names(playbook, catalogue)
        self._values = Values(self._names, self._add)
        self._actions = Actions(catalogue, self._values, self._add)
        self._runs = Runs(playbook, catalogue, subs, self._values, self._add)

    def findings(self) -> list[Fault]:
        self._runs.start()
        state = State()
        for name, value in self._playbook.vars.items():
            self._values.value(Value(value, ("vars", name)), state)
            state = state.with_value(f"vars.{name}")
        self._block(self._playbook.steps, state, Place())
        self._block(self._playbook.on_error, state.with_value("failure"), Place())
        for step, question in reached_by_silence(self._playbook, self._runs.contains):
            text = f"{named(step.path)} is reached when nobody answers `{question.id}`"
            mend = f"Let `on_expiry` be an answer that prevents it, not `{question.on_expiry}`."
            self._add(step.path, "SP304", text, mend)
        return self._report.sorted()

    def _add(self, path: Path, code: str, text: str, mend: str) -> None:
        place = self._root.find(path) if self._root else (1, 1)
        self._report.add(place, f"{code} {text}", mend, code)

    def _block(self, steps: Block, state: State, place: Place) -> State:
        for step in steps:
            if state.is_ended:
                text = f"{named(step.path)} comes after the run's end"
                self._add(step.path, "SP401", text, "Remove it, or move it before the `stop`.")
                state = state.going_on()
            state = self._step(step, state, place)
        return state

    def _step(self, step: Step, before: State, place: Place) -> State:
        self._values.condition(step.when, (*step.path, "when"), before)
        after = self._inside(step, before, place)
        if step.on_error == "continue":
            after = before.with_status(step.id)
        elif isinstance(step.on_error, tuple):
            handled = self._block(step.on_error, before.with_status(step.id), place)
            after = after.or_else(handled)
        if step.when is not None:
            after = after.or_else(before.with_status(step.id))
            if not isinstance(step.else_value, UnsetType) and step.on_error == "fail":
                after = after.with_value(step.id)
        return after

    def _inside(self, step: Step, state: State, place: Place) -> State:
        """The state after the step when nothing failed and nothing was skipped."""
        done = state.with_status(step.id)
        match step:
            case Do():
                self._do(step, state, place)
                return done.with_value(step.id)
            case Ask():
                question = Value(step.question, (*step.path, "ask"), ValueType.TEXT)
                self._values.value(question, state)
                return done.with_value(step.id)
            case RunPlaybook():
                self._runs.step(step, state, place)
                return done.with_value(step.id)
            case If():
                self._values.condition(step.condition, (*step.path, "if"), state)
                then = self._block(step.then, state, place)
                return then.or_else(self._block(step.otherwise, state, place)).with_status(step.id)
            case Switch():
                return self._switch(step, state, place).with_status(step.id)
            case ForEach():
                return self._for_each(step, state, place)
            case Repeat():
                return self._repeat(step, state, place)
            case Parallel():
                return self._parallel(step, state, place)
        return self._stop(step, state, place)

    def _do(self, step: Do, state: State, place: Place) -> None:
        self._actions.step(step, state)
        spec = self._catalogue.get(step.action)
        if spec and place.in_loop and spec.effect in (Effect.CONTAIN, Effect.RELEASE):
            text = f"`{step.action}` in a loop would ask people again and again"
            mend = "Collect the devices, and give them to one step as `targets`."
            self._add((*step.path, "do"), "SP303", text, mend)

    def _parallel(self, step: Parallel, state: State, place: Place) -> State:
        after = state
        inner = msgspec.structs.replace(place, is_parallel=True)
        for branch in step.branches.values():
            after = after.and_also(self._block(branch, state, inner))
        return after.with_status(step.id)

    def _stop(self, step: Stop, state: State, place: Place) -> State:
        if place.is_parallel:
            text = f"{named(step.path)} would end the run while other branches still act"
            self._add(step.path, "SP402", text, "Move it behind the `parallel`.")
        at = (*step.path, "stop")
        self._values.value(Value(step.reason, (*at, "reason"), ValueType.TEXT), state)
        if step.verdict is not None:
            self._values.value(Value(step.verdict, (*at, "verdict"), ValueType.TEXT), state)
        return state.ended()

    # -- switch ------------------------------------------------------------------------------------

    def _switch(self, step: Switch, state: State, place: Place) -> State:
        where = (*step.path, "switch")
        self._values.value(Value(step.value, where, ValueType.TEXT), state)
        words = self._words(step.value)
        for case in step.cases:
            if words is not None and case not in words:
                text = f"{named(where)} is never `{case}`"
                mend = closest(case, list(words))
                self._add((*step.path, "cases", case), "SP406", text, mend)
        left = set(words or ()) - set(step.cases)
        if step.default is None and (words is None or left):
            which = ", ".join(sorted(left)) if left else "something else"
            text = f"{named(where)} may be {which}, and there is no case for it"
            self._add(where, "SP405", text, "Add `default:`.")
        if step.default is not None and words is not None and not left:
            text = f"{named((*step.path, 'default'))} can never run: each value has a case"
            self._add((*step.path, "default"), "SP401", text, "Remove it.")
        ways = [self._block(block, state, place) for block in step.cases.values()]
        if step.default is not None:
            ways.append(self._block(step.default, state, place))
        after = ways[0]
        for way in ways[1:]:
            after = after.or_else(way)
        return after

    def _words(self, text: str) -> tuple[str, ...] | None:
        """Every text that a lone reference can be, where there are only so many."""
        try:
            found = references(text)
        except TemplateFault:
            return None
        if len(found) != 1 or text.strip("{} ") != _written(found[0]):
            return None
        return self._names.words_of(found[0])

    # -- loops -------------------------------------------------------------------------------------

    def _for_each(self, step: ForEach, state: State, place: Place) -> State:
        where = (*step.path, "for_each")
        self._values.value(Value(step.items, where), state)
        found = self._names.type_of_value(step.items)
        if found not in (None, "list", "targets"):
            text = f"{named(where)} is of type {found}, and must be a list"
            self._add(where, "SP105", text, "Use a list.")
        if isinstance(step.items, list) and len(step.items) > step.max:
            text = f"{named(where)} has {len(step.items)} entries, and max is {step.max}"
            self._add((*step.path, "max"), "SP105", text, "Raise `max`.")
        inner = msgspec.structs.replace(place, in_loop=True)
        end = self._block(step.steps, state.with_value(step.as_), inner)
        return self._after_loop(step, state, end)

    def _repeat(self, step: Repeat, state: State, place: Place) -> State:
        inner = msgspec.structs.replace(place, in_loop=True)
        end = self._block(step.steps, state, inner)
        self._until(step, end)
        after = self._after_loop(step, state, end)
        return after.ended() if end.is_ended else after

    def _after_loop(self, step: ForEach | Repeat, before: State, end: State) -> State:
        """What stands inside a loop is not seen after it, but what its last step gave."""
        after = before.with_status(step.id)
        is_given = bool(step.steps) and step.steps[-1].id in end.values
        return after.with_value(step.id) if is_given else after

    def _until(self, step: Repeat, end: State) -> None:
        """`until` must be able to become true, by what the loop does."""
        where = (*step.path, "until")
        try:
            seen = {_step_of(ref) for ref in references(step.until)}
            always = self._names.constant(step.until)
        except TemplateFault:
            seen, always = set(), None
        inside = {one.id for one in every_step(step.steps)}
        if seen and not seen & inside:
            text = f"{named(where)} does not depend on what the loop does"
        elif always is False:
            text = f"{named(where)} is always false"
        else:
            self._values.condition(step.until, where, end)
            return
        mend = "Ask for what a step inside the loop gives."
        self._add(where, "SP404", text, mend)


def _step_of(ref: Reference) -> str:
    return ref.path[0] if ref.name == "steps" and ref.path else ref.name


def _written(ref: Reference) -> str:
    return ".".join((ref.name, *ref.path))
