"""Whether silence says yes: which containments are reached when nobody answers a question.

The flow is walked once for each answer of a question, with nothing else known: a branch that the
answer rules out is not walked. What silence reaches, and some other answer would have prevented, is
a yes that nobody gave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from runner.lint_names import scope_of
from runner.playbook_steps import (
    Ask,
    ForEach,
    If,
    Parallel,
    Playbook,
    Repeat,
    Step,
    Stop,
    Switch,
    every_step,
)
from runner.template import Partly, TemplateFault, certain, certain_text

Block = tuple[Step, ...]


def reached_by_silence(
    playbook: Playbook, contains: Callable[[Step], bool]
) -> Iterator[tuple[Step, Ask]]:
    """Each containment that expiry reaches and another answer prevents, with the question."""
    steps = list(every_step((*playbook.steps, *playbook.on_error)))
    containments = {step.id: step for step in steps if contains(step)}
    for question in [step for step in steps if isinstance(step, Ask)] if containments else []:
        ways = {answer: _walk(playbook, question, answer) for answer in question.answers}
        silent = _walk(playbook, question, question.on_expiry, is_expired=True)
        for step_id, step in containments.items():
            if step_id in silent and any(step_id not in way for way in ways.values()):
                yield step, question


def _walk(playbook: Playbook, question: Ask, answer: str, *, is_expired: bool = False) -> set[str]:
    """The ids of the steps that may run when the question is answered so."""
    known: dict[tuple[str, ...], object] = {
        (question.id, "answer"): answer,
        (question.id, "state"): "expired" if is_expired else "answered",
        ("steps", question.id, "status"): "denied" if is_expired else "succeeded",
    }
    walk = _Walk(scope_of(known))
    walk.block(playbook.steps)
    walk.block(playbook.on_error)
    return walk.reached


class _Walk:
    """Collects what may run; a step that certainly does not is left out."""

    def __init__(self, known: Partly) -> None:
        self._known = known
        self.reached: set[str] = set()

    def block(self, steps: Block) -> bool:
        """True when the run certainly ends in this block."""
        return any(self._step(step) for step in steps)

    def _step(self, step: Step) -> bool:
        may_run = self._truth(step.when) if step.when is not None else True
        if may_run is False:
            return False
        self.reached.add(step.id)
        is_ended = self._inside(step)
        if isinstance(step.on_error, tuple):
            is_ended = self.block(step.on_error) and is_ended
        return is_ended and may_run is True and step.on_error != "continue"

    def _inside(self, step: Step) -> bool:
        match step:
            case Stop():
                return True
            case If():
                return self._either(self._truth(step.condition), step.then, step.otherwise)
            case Switch():
                return self._switch(step)
            case ForEach():
                self.block(step.steps)
            case Repeat():
                return self.block(step.steps)
            case Parallel():
                return any([self.block(branch) for branch in step.branches.values()])
        return False

    def _either(self, is_true: bool | None, then: Block, otherwise: Block) -> bool:
        if is_true is not None:
            return self.block(then if is_true else otherwise)
        # Both are walked, whatever the first comes to.
        return all([self.block(then), self.block(otherwise)])

    def _switch(self, step: Switch) -> bool:
        value = certain_text(step.value, self._known)
        if value is not None:
            return self.block(step.cases.get(value, step.default or ()))
        return all([self.block(block) for block in (*step.cases.values(), step.default or ())])

    def _truth(self, condition: str | bool) -> bool | None:
        try:
            return certain(condition, self._known)
        except TemplateFault:
            return None
