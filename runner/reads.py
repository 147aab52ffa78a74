"""What a run reads from the world: asked until there is a result, and then never again.

A read changes nothing, so it needs no intent and may be repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NoReturn

import msgspec

from connectors.errors import OutcomeUnknown, Rejected, Unavailable
from runner.context import Call, NotYet, StepFailed, Suspended
from runner.effects import Effects, ended_as, plain, wait_after
from runner.journal import Journal, runs
from runner.journal.records import StepClass, StepError, StepResult, StepStatus


class Reads:
    """The reads of one run that is under way. `steps`: what became of its calls so far, by key, to
    which each result is added; `give_way` is called before anything is asked."""

    def __init__(
        self,
        journal: Journal,
        effects: Effects,
        scope: str,
        steps: dict[str, StepResult],
        give_way: Callable[[str], None],
    ) -> None:
        self._journal = journal
        self._effects = effects
        self._scope = scope
        self._steps = steps
        self._give_way = give_way

    def _now(self) -> datetime:
        return self._effects.clock.now()

    def read(self, key: str, call: Call, step_class: StepClass = StepClass.READ) -> Any:
        """The result, from the journal or from the product. Errors: `StepFailed`; `Suspended` until
        it is worth asking again."""
        step = self._steps.get(key)
        now = self._now()
        if step is None:
            step = StepResult(
                scope=self._scope,
                key=key,
                step_class=step_class,
                status=StepStatus.PENDING,
                attempt=0,
                intended_at=now,
            )
        elif step.status in (StepStatus.SUCCEEDED, StepStatus.SKIPPED):
            return step.value
        elif step.error is not None and step.status is StepStatus.FAILED:
            raise StepFailed(step.error.kind, step.error.text)
        if step.settle_until is not None and now < step.settle_until:
            raise Suspended("time", step.settle_until)
        self._give_way(key)
        return self._try(step, call)

    def _try(self, step: StepResult, call: Call) -> Any:
        elapsed_s = (self._now() - step.intended_at).total_seconds()
        try:
            value = plain(call.send(elapsed_s))
        except NotYet as not_yet:
            self._later(step, not_yet.delay_s, None)
        except (Unavailable, OutcomeUnknown) as fault:
            tries = step.attempt + 1
            is_over = tries >= call.attempts if call.attempts > 1 else elapsed_s > call.again_s
            if is_over:
                self._fail(step, "unavailable", str(fault))
            wait_s = wait_after(fault, tries) if call.wait_s is None else call.wait_s
            self._later(step, wait_s, str(fault))
        except Rejected as fault:
            self._fail(step, "rejected", str(fault))
        except StepFailed as fault:
            self._fail(step, fault.kind, fault.text)
        return self._keep(step, value)

    def _keep(self, step: StepResult, value: Any) -> Any:
        """A read may be repeated, so its result waits for company: it is on disk no later than
        what rests on it (an intent, a question, the run's end)."""
        ended = ended_as(step, StepStatus.SUCCEEDED, value, None, self._now())
        self._steps[step.key] = ended
        self._journal.write_with_next(lambda tx: runs.save_step(tx, ended))
        return value

    def _fail(self, step: StepResult, kind: str, text: str) -> NoReturn:
        error = StepError(kind=kind, text=text)
        self._steps[step.key] = ended_as(step, StepStatus.FAILED, None, error, self._now())
        self._effects.fail(step, kind, text)

    def _later(self, step: StepResult, delay_s: float, text: str | None) -> NoReturn:
        """Only what was tried is counted as an attempt; waiting for a result is not."""
        again = msgspec.structs.replace(
            step,
            status=StepStatus.INTENDED,
            attempt=step.attempt + (text is not None),
            error=None if text is None else StepError(kind="unavailable", text=text),
            settle_until=self._now() + timedelta(seconds=delay_s),
        )
        with self._journal.write() as tx:
            runs.save_step(tx, again)
        raise Suspended("time", again.settle_until)
