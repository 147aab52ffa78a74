"""The one door to the world: intent first, send once, and look before anything is repeated.

`perform` carries every effect that can be looked up or repeated (cards, replies, tickets, comments,
attachments), for a playbook's step and for the follow-up's rows alike. What cuts a device off goes
through `runner/containment.py`, which stands on the same intents.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NoReturn

import msgspec

from connectors.base import Action, Effect, Recovery
from connectors.errors import AuthFailed, ConnectorError, OutcomeUnknown, Rejected, Unavailable
from connectors.model import Clock
from runner.config import Mode
from runner.context import Call, StepFailed, Suspended
from runner.journal import Journal, runs
from runner.journal.records import StepClass, StepError, StepResult, StepStatus

LOOKS = 2
"""How often an effect must be missing, a settle time apart, before it counts as not done: searches
lag behind writes."""
MOST_ATTEMPTS = 2


def plain(value: Any) -> Any:
    """A value as the journal gives it back: dictionaries, lists, texts, numbers."""
    return msgspec.json.decode(msgspec.json.encode(value))


def wait_after(fault: ConnectorError, attempt: int = 1) -> float:
    """Seconds until the same request may be sent again: as told, or growing from 5 to 60."""
    told = getattr(fault, "retry_after_s", None)
    return float(told) if told is not None else min(5.0 * 2 ** (attempt - 1), 60.0)


def ended_as(
    step: StepResult, status: StepStatus, value: Any, error: StepError | None, now: datetime
) -> StepResult:
    """A step with its outcome."""
    return msgspec.structs.replace(
        step, status=status, value=value, error=error, settle_until=None, ended_at=now
    )


def outcome_of(step: StepResult) -> Any:
    """The value of a call that is over. Errors: `StepFailed`; `Suspended` where only a person can
    say what came of it."""
    if step.status in (StepStatus.SUCCEEDED, StepStatus.SKIPPED, StepStatus.DENIED):
        return step.value
    if step.status is StepStatus.UNKNOWN:
        raise Suspended("person")
    error = step.error or StepError(kind="rejected", text="failed")
    raise StepFailed(error.kind, error.text)


def declared(call: Call) -> Action:
    """The action behind an effect's call. Errors: `TypeError` for a read."""
    if call.action is None:
        raise TypeError(f"{call.name} is a read, not an effect")
    return call.action


def forbidden_by(mode: Mode, effect: Effect) -> bool:
    """Must the effect only be recorded in this mode?"""
    if mode is Mode.OBSERVE:
        return effect is not Effect.INVESTIGATE
    return mode is Mode.PRACTICE and effect in (Effect.CONTAIN, Effect.RELEASE)


class Effects:
    """Performs effects under (scope, key), each once. `allowed`: by configuration."""

    def __init__(
        self, journal: Journal, clock: Clock, allowed: frozenset[Effect] = frozenset(Effect)
    ) -> None:
        self._journal = journal
        self.clock = clock
        self._allowed = allowed

    def refusal(self, effect: Effect) -> str | None:
        """Why the configuration does not allow an effect; None when it does."""
        return None if effect in self._allowed else f"{effect} is not in guards.allowed_effects"

    def begin(self, scope: str, key: str, call: Call, mode: Mode) -> Any:
        """As `perform`, for what nobody has begun: refused where the configuration does not allow
        it. Then the value is `{denied: why}`, for ever after."""
        why = self.refusal(declared(call).effect)
        if why is not None:
            step = self._step(scope, key) or self._new(scope, key, call)
            if step.status is StepStatus.PENDING:
                error = StepError(kind="denied", text=why)
                return self.close(step, StepStatus.DENIED, {"denied": why}, error)
        return self.perform(scope, key, call, mode, call.unsent)

    def perform(self, scope: str, key: str, call: Call, mode: Mode, unsent: Any = None) -> Any:
        """Do it, or give what became of it before.

        `unsent` is the step's value when the mode only records. Errors: `StepFailed`; `Suspended`
        until it can be looked up, tried again, or resolved by a person; `AuthFailed`, postponed,
        for a call that outlasts a refused sign-in.
        """
        action = declared(call)
        if step := self._step(scope, key):
            match step.status:
                case StepStatus.INTENDED:
                    return self._in_doubt(step, call)
                case StepStatus.PENDING if not forbidden_by(mode, action.effect):
                    return self._send_later(step, call)
                case StepStatus.PENDING:
                    return self.close(step, StepStatus.SKIPPED, plain(unsent))
            return outcome_of(step)
        if forbidden_by(mode, action.effect):
            return self.close(self._new(scope, key, call), StepStatus.SKIPPED, plain(unsent))
        return self._send(self.intend(self._new(scope, key, call), call.settle_s), call)

    # -- steps -------------------------------------------------------------------------------------

    def _step(self, scope: str, key: str) -> StepResult | None:
        with self._journal.read() as tx:
            return runs.step(tx, scope, key)

    def _new(self, scope: str, key: str, call: Call) -> StepResult:
        return StepResult(
            scope=scope,
            key=key,
            step_class=StepClass.READ if call.action is None else StepClass.EFFECT,
            status=StepStatus.PENDING,
            attempt=0,
            intended_at=self.clock.now(),
        )

    def intend(self, step: StepResult, settle_s: float) -> StepResult:
        """Write down that the call is about to be sent."""
        intended = msgspec.structs.replace(
            step,
            status=StepStatus.INTENDED,
            attempt=step.attempt + 1,
            value=None,
            settle_until=self._after(settle_s),
        )
        with self._journal.write() as tx:
            return runs.save_step(tx, intended)

    def close(
        self,
        step: StepResult,
        status: StepStatus,
        value: Any = None,
        error: StepError | None = None,
    ) -> Any:
        """Write the outcome down; gives its value."""
        ended = ended_as(step, status, value, error, self.clock.now())
        with self._journal.write() as tx:
            runs.save_step(tx, ended)
        return value

    def _after(self, seconds: float) -> datetime:
        return self.clock.now() + timedelta(seconds=seconds)

    # -- sending -----------------------------------------------------------------------------------

    def _send(self, step: StepResult, call: Call) -> Any:
        """Send what was just intended."""
        try:
            value = plain(call.send((self.clock.now() - step.intended_at).total_seconds()))
        except Unavailable as fault:
            raise Suspended("time", self._postpone(step, call, fault)) from None
        except Rejected as fault:
            # Without a status the product did more than look at who asks: not to be repeated.
            is_at_the_door = isinstance(fault, AuthFailed) and fault.status is not None
            if not (call.outlasts_sign_in and is_at_the_door):
                self.fail(step, "rejected", str(fault))
            self._postpone(step, call, fault)
            raise
        except OutcomeUnknown as fault:
            delay_s = call.settle_s
            if declared(call).recovery is Recovery.REPEAT:
                delay_s = max(delay_s, wait_after(fault, step.attempt))
            doubt = msgspec.structs.replace(step, settle_until=self._after(delay_s))
            with self._journal.write() as tx:
                runs.save_step(tx, doubt)
            raise Suspended("time", doubt.settle_until) from None
        return self.close(step, StepStatus.SUCCEEDED, value)

    def fail(self, step: StepResult, kind: str, text: str) -> NoReturn:
        """Errors: always `StepFailed`, journalled."""
        self.close(step, StepStatus.FAILED, None, StepError(kind=kind, text=text))
        raise StepFailed(kind, text)

    def _postpone(self, step: StepResult, call: Call, fault: ConnectorError) -> datetime:
        """Nothing was done: try again at the time that it gives, but not for ever."""
        if (self.clock.now() - step.intended_at).total_seconds() > call.again_s:
            self.fail(step, "unavailable", str(fault))
        later = msgspec.structs.replace(
            step,
            status=StepStatus.PENDING,
            error=StepError(kind="unavailable", text=str(fault)),
            settle_until=(at := self._after(wait_after(fault, step.attempt))),
        )
        with self._journal.write() as tx:
            runs.save_step(tx, later)
        return at

    def _send_later(self, step: StepResult, call: Call) -> Any:
        if step.settle_until is not None and self.clock.now() < step.settle_until:
            raise Suspended("time", step.settle_until)
        ready = msgspec.structs.replace(step, error=None)
        return self._send(self.intend(ready, call.settle_s), call)

    # -- doubt -------------------------------------------------------------------------------------

    def _in_doubt(self, step: StepResult, call: Call) -> Any:
        """An intent without an outcome: wait until it can no longer land, then look."""
        if step.settle_until is not None and self.clock.now() < step.settle_until:
            raise Suspended("time", step.settle_until)
        if declared(call).recovery is Recovery.REPEAT:
            if (self.clock.now() - step.intended_at).total_seconds() > call.again_s:
                self._hand_over(step)
            return self._send(self.intend(step, call.settle_s), call)
        if call.look is None:
            self._hand_over(step)
        return self._look(step, call, call.look)

    def _look(self, step: StepResult, call: Call, look: Callable[[datetime], Any]) -> Any:
        try:
            found = look(step.intended_at)
        except (Unavailable, OutcomeUnknown) as fault:
            raise Suspended("time", self._after(wait_after(fault))) from None
        except Rejected:
            self._hand_over(step)
        if found is not None:
            return self.close(step, StepStatus.SUCCEEDED, plain(found))
        if (step.value or {}).get("happened"):
            # A person said that it happened: it is never sent again, and nobody else can say more.
            self._hand_over(step)
        looks = 1 + (step.value or {}).get("looks", 0)
        if looks < LOOKS:
            again = msgspec.structs.replace(
                step, value={"looks": looks}, settle_until=self._after(call.settle_s)
            )
            with self._journal.write() as tx:
                runs.save_step(tx, again)
            raise Suspended("time", again.settle_until)
        if step.attempt >= MOST_ATTEMPTS:
            self._hand_over(step)
        return self._send(self.intend(step, call.settle_s), call)

    def _hand_over(self, step: StepResult) -> NoReturn:
        """Only a person can say what happened. Errors: always `Suspended`."""
        self.close(step, StepStatus.UNKNOWN, step.value)
        raise Suspended("person")
