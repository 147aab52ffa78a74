"""One device, one request: the intent, the last look, the call, and the doubt after it.

The lowest part of containment. It decides no policy of its own: it sends exactly what an approval
allows, when every fact still holds, and otherwise says void.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NoReturn, Protocol

import msgspec

from connectors.base import Edr, Effect, action_of
from connectors.errors import ConnectorError, NotFound, OutcomeUnknown, Rejected, Unavailable
from connectors.model import Device, IsolationState
from runner import isolation
from runner.approvals import still_valid
from runner.arming import is_paused, standing_for
from runner.config import Config, Mode
from runner.context import Suspended
from runner.cut_steps import end, new_step, set_due, stop
from runner.effects import wait_after
from runner.guards import LIFTABLE, Facts, Ruling, denials, rule, strictest
from runner.isolation import Outcome, Request
from runner.journal import Journal, Tx, approvals, runs
from runner.journal.records import StepError, StepResult, StepStatus
from runner.roles import Roles

UNCHANGED_READS = 2
"""How many reads, a settle time apart, must say that nothing happened before one repeat."""
MOST_SENDS = 2
DOUBT_S = 600.0
WANTED = {Effect.CONTAIN: IsolationState.CONTAINED, Effect.RELEASE: IsolationState.NORMAL}
COMING = {
    Effect.CONTAIN: IsolationState.CONTAIN_PENDING,
    Effect.RELEASE: IsolationState.RELEASE_PENDING,
}
BEFORE = {Effect.CONTAIN: (IsolationState.NORMAL,), Effect.RELEASE: LIFTABLE}


class FactsOf(Protocol):
    """Where guards get their facts from. Errors: `ConnectorError` when the EDR cannot say."""

    def __call__(
        self, effect: Effect, device: Device, *, is_proved: bool, reserved: int
    ) -> Facts: ...


class Objectors(Protocol):
    """Who says no to a device of a decided question by now. Writes down when it cannot see."""

    def __call__(self, approval_id: str, device_id: str) -> tuple[str, ...]: ...


class Cut:
    """Sends and verifies; every step of it is in the journal before it is in the world."""

    def __init__(
        self,
        journal: Journal,
        config: Config,
        roles: Roles,
        facts: FactsOf,
        objectors: Objectors,
    ) -> None:
        self._journal = journal
        self._config = config
        self._roles = roles
        self._facts = facts
        self._objectors = objectors

    def send(self, request: Request) -> Outcome:
        """Carry one approved request to "accepted", or say why not. Repeat: goes on where it was.

        Suspends while nothing could be sent yet, or while a request may still land.
        """
        with self._journal.read() as tx:
            step = runs.step(tx, request.ctx.run.id, request.key)
        if step is None:
            return self._begin(request, new_step(request))
        match step.status:
            case StepStatus.PENDING:
                self._wait_until(request, step)
                return self._begin(request, step)
            case StepStatus.INTENDED:
                self._wait_until(request, step)
                return self._in_doubt(request, step)
            case StepStatus.UNKNOWN:
                raise Suspended("person")
            case StepStatus.FAILED:
                text = step.error.text if step.error else "failed"
                return Outcome.of(request.device, "failed", text)
        return msgspec.convert(step.value, Outcome)

    # -- waiting -----------------------------------------------------------------------------------

    def _wait_until(self, request: Request, step: StepResult) -> None:
        if step.settle_until is not None and request.ctx.now() < step.settle_until:
            self._suspend(request, step)

    def _suspend(self, request: Request, step: StepResult) -> NoReturn:
        with self._journal.write() as tx:
            set_due(tx, request)
        raise Suspended("time", step.settle_until)

    def _later(
        self, request: Request, step: StepResult, delay_s: float, **changes: Any
    ) -> NoReturn:
        """Write down when to go on, and suspend."""
        later = msgspec.structs.replace(
            step, settle_until=request.ctx.now() + timedelta(seconds=delay_s), **changes
        )
        with self._journal.write() as tx:
            runs.save_step(tx, later)
        self._suspend(request, later)

    # -- sending -----------------------------------------------------------------------------------

    def _begin(self, request: Request, step: StepResult) -> Outcome:
        """Fence, claim, budget and intent in one transaction; then a last look at the device and at
        the answers; then the call."""
        with self._journal.write() as tx:
            why = self._withdrawn(tx, request)
            is_sent = approvals.read(tx, request.approval_id).mode is Mode.ACT
            if why is None and is_sent:
                isolation.reserve(tx, request)
                step = self._intend(tx, request, step)
        if why is not None:
            return self._void(request, step, why)
        if not is_sent:
            return self._practise(request, step)
        try:
            fresh = self._roles.edr.read_device(request.device.device_id)
            if fresh.state in (WANTED[request.effect], COMING[request.effect]):
                return self._found(request, step)
            why = self._changed(request, fresh)
        except NotFound:
            why = "the EDR no longer knows the device"
        except ConnectorError as fault:
            self._postpone(request, step, fault)
        if why is not None:
            return self._void(request, step, why)
        by = self._objectors(request.approval_id, request.device.device_id)
        return self._stopped(request, step, by) if by else self._call(request, step)

    def _withdrawn(self, tx: Tx, request: Request) -> str | None:
        """Why the approval allows nothing any more, or None."""
        approval = approvals.read(tx, request.approval_id)
        claim = approvals.subject(tx, request.claim)
        if not still_valid(approval, request.ctx.now()):
            return "the approval has run out"
        if request.device.device_id not in approval.chosen:
            return "the device is not among those approved"
        if claim is None or claim.approval_id != request.approval_id:
            return "the claim on the device is gone"
        run = request.ctx.run
        alert_id = None if run.requested_by is not None else run.alert_id
        now = standing_for(tx, self._config, alert_id)
        if now.mode is not approval.mode:
            why = "; ".join(now.why) or "as configured"
            return f"asked in the mode {approval.mode}, and it is {now.mode} now ({why})"
        return "the runner is paused" if is_paused(tx) is not None else None

    def _intend(self, tx: Tx, request: Request, step: StepResult) -> StepResult:
        intended = msgspec.structs.replace(
            step,
            status=StepStatus.INTENDED,
            attempt=step.attempt + 1,
            value=None,
            error=None,
            settle_until=request.ctx.now() + timedelta(seconds=self._settle_s(request)),
        )
        return runs.save_step(tx, intended)

    def _settle_s(self, request: Request) -> float:
        method = Edr.isolate_host if request.is_contain else Edr.release_host
        return self._roles.settle_s("edr", action_of(method))

    def _changed(self, request: Request, fresh: Device) -> str | None:
        """Is it still the device that people saw, and do the guards still allow it?"""
        if fresh.state not in BEFORE[request.effect]:
            return f"the EDR says {fresh.state}"
        for name in ("hostname", "domain", "kind", "instance", "tenant"):
            if getattr(fresh, name) != getattr(request.device, name):
                return f"its {name} changed since the question"
        facts = self._facts(request.effect, fresh, is_proved=True, reserved=0)
        answers = rule(facts)
        return denials(answers) if strictest(answers) is Ruling.DENY else None

    def _call(self, request: Request, step: StepResult) -> Outcome:
        edr = self._roles.edr
        send = edr.isolate_host if request.is_contain else edr.release_host
        try:
            send(request.device.device_id, request.reason)
        except Unavailable as fault:
            self._postpone(request, step, fault)
        except Rejected as fault:
            if fault.code == "conflict":
                return self._in_doubt(request, step)
            return self._failed(request, step, str(fault))
        except OutcomeUnknown:
            self._later(request, step, self._settle_s(request))
        return self._accept(request, step, "")

    def _postpone(self, request: Request, step: StepResult, fault: ConnectorError) -> NoReturn:
        """Certainly nothing was sent: keep the claim, try again while the approval stands."""
        error = StepError(kind="unavailable", text=str(fault))
        delay_s = wait_after(fault, step.attempt)
        with self._journal.write() as tx:
            isolation.unreserve(tx, request)
        self._later(request, step, delay_s, status=StepStatus.PENDING, error=error)

    # -- outcomes ----------------------------------------------------------------------------------

    def _found(self, request: Request, step: StepResult) -> Outcome:
        """The device is where it should go, or on its way: nothing is sent."""
        if request.is_contain and step.attempt <= 1:
            return self._accept(request, step, "was isolated before us", is_ours=False)
        return self._accept(request, step, "found so at the EDR")

    def _accept(
        self, request: Request, step: StepResult, why: str, *, is_ours: bool = True
    ) -> Outcome:
        outcome = Outcome.of(request.device, "requested", why)
        with self._journal.write() as tx:
            isolation.accepted(tx, request, why, is_ours=is_ours)
            end(tx, request, step, StepStatus.SUCCEEDED, outcome, outcome.sentence())
        return outcome

    def _void(self, request: Request, step: StepResult, why: str) -> Outcome:
        """Nothing was sent, and nothing will be under this approval."""
        outcome = Outcome.of(request.device, "void", why)
        note = f"Nothing was sent to {request.device.hostname}: {why}."
        with self._journal.write() as tx:
            isolation.take_back(tx, request)
            end(tx, request, step, StepStatus.SUCCEEDED, outcome, note)
        return outcome

    def _stopped(self, request: Request, step: StepResult, by: tuple[str, ...]) -> Outcome:
        """Somebody said no after the yes, and before the call: a no like any other."""
        why = f"{', '.join(by)} said no before anything was sent"
        outcome = Outcome.of(request.device, "denied", why)
        note = f"Nothing was sent to {request.device.hostname}: {why}."
        with self._journal.write() as tx:
            isolation.unreserve(tx, request)
            stop(tx, request, by)
            end(tx, request, step, StepStatus.SUCCEEDED, outcome, note)
        return outcome

    def _practise(self, request: Request, step: StepResult) -> Outcome:
        outcome = Outcome.of(request.device, "practised", "approved, and not sent")
        with self._journal.write() as tx:
            isolation.free_claim(tx, request)
            end(tx, request, step, StepStatus.SKIPPED, outcome, outcome.sentence())
        return outcome

    def _failed(self, request: Request, step: StepResult, text: str) -> Outcome:
        outcome = Outcome.of(request.device, "failed", text)
        failed = msgspec.structs.replace(step, error=StepError(kind="rejected", text=text))
        note = f"{request.device.hostname}: FAILED, NOT done: {text}."
        with self._journal.write() as tx:
            isolation.take_back(tx, request)
            end(tx, request, failed, StepStatus.FAILED, outcome, note)
        return outcome

    # -- doubt -------------------------------------------------------------------------------------

    def _in_doubt(self, request: Request, step: StepResult) -> Outcome:
        """The request may have landed: the device's own record decides, never a guess."""
        try:
            fresh = self._roles.edr.read_device(request.device.device_id)
        except ConnectorError as fault:
            return self._look_later(request, step, wait_after(fault), step.value)
        if fresh.state in (WANTED[request.effect], COMING[request.effect]):
            return self._accept(request, step, "found so at the EDR after a lost answer")
        if fresh.state not in BEFORE[request.effect]:
            return self._look_later(request, step, 10.0, None)
        seen = step.value or {}
        if seen.get("happened"):
            # A person said that it happened, and the record does not: only a person can go on.
            self._hand_over(request, step)
        reads = 1 + seen.get("reads", 0)
        if reads < UNCHANGED_READS:
            return self._look_later(request, step, self._settle_s(request), {"reads": reads})
        if step.attempt >= MOST_SENDS:
            self._hand_over(request, step)
        return self._begin(request, step)

    def _look_later(
        self, request: Request, step: StepResult, delay_s: float, value: Any
    ) -> NoReturn:
        if (request.ctx.now() - step.intended_at).total_seconds() > DOUBT_S:
            self._hand_over(request, step)
        self._later(request, step, delay_s, value=value)

    def _hand_over(self, request: Request, step: StepResult) -> NoReturn:
        """Only a person can say what happened; until then the state is unknown, and said so."""
        code = approvals.code_of(step.scope, step.key)
        note = (
            f"{request.device.hostname}: UNKNOWN whether it happened. Look at the EDR, then run "
            f"stockade resolve {code} happened|not|stop."
        )
        with self._journal.write() as tx:
            isolation.unknown(tx, request)
            approvals.add_note(tx, request.approval_id, note)
            parked = msgspec.structs.replace(step, status=StepStatus.UNKNOWN, settle_until=None)
            runs.save_step(tx, parked)
            set_due(tx, request)
        raise Suspended("person")
