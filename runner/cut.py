"""One device, one request: the intent, the last look, the call, and the doubt after it.

The lowest part of containment. It decides no policy of its own: it sends exactly what an approval
allows, when every fact still holds, and otherwise says void.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NoReturn, Protocol

import msgspec
from msgspec import Struct

from connectors.base import Action, Edr, Effect
from connectors.errors import ConnectorError, NotFound, OutcomeUnknown, Rejected, Unavailable
from connectors.model import Device, IsolationState
from runner.approvals import still_valid
from runner.arming import is_paused, standing_for
from runner.config import Config, Mode
from runner.context import Context, NotYet, Suspended
from runner.effects import Effects, plain, wait_after
from runner.guards import Facts, Ruling, denials, rule, strictest
from runner.journal import Journal, Tx, approvals, cases, ledger, runs
from runner.journal.ledger import look_again
from runner.journal.records import (
    STANDING,
    LedgerRow,
    LedgerState,
    StepClass,
    StepError,
    StepResult,
    StepStatus,
    Subject,
    SubjectState,
)
from runner.roles import Roles

NORMAL_READS = 2
"""How many reads, a settle time apart, must say that nothing happened before one repeat."""
MOST_SENDS = 2
DOUBT_S = 600.0
VERIFY_S = 90.0
WANTED = {Effect.CONTAIN: IsolationState.CONTAINED, Effect.RELEASE: IsolationState.NORMAL}
COMING = {
    Effect.CONTAIN: IsolationState.CONTAIN_PENDING,
    Effect.RELEASE: IsolationState.RELEASE_PENDING,
}
BEFORE = {Effect.CONTAIN: IsolationState.NORMAL, Effect.RELEASE: IsolationState.CONTAINED}


class Outcome(Struct, frozen=True, kw_only=True):
    """What became of one device."""

    device_id: str
    hostname: str
    subject: str
    state: str
    why: str = ""

    @classmethod
    def of(cls, device: Device, state: str, why: str = "") -> Outcome:
        return cls(
            device_id=device.device_id,
            hostname=device.hostname,
            subject=device.subject,
            state=state,
            why=why,
        )

    def sentence(self) -> str:
        """For people: never better news than what was verified."""
        words = {
            "confirmed": "isolated, confirmed by the EDR",
            "released": "released, confirmed by the EDR",
            "requested": "requested, NOT confirmed",
            "observed": "not asked (observe)",
            "practised": "recorded only (practice)",
        }
        name = self.hostname or "no device"
        return f"{name}: {words.get(self.state, self.state)}" + (
            f" ({self.why})" if self.why else ""
        )


class FactsOf(Protocol):
    def __call__(
        self, effect: Effect, device: Device, *, is_proved: bool, reserved: int
    ) -> Facts: ...


class Cut:
    """Sends and verifies; every step of it is in the journal before it is in the world."""

    def __init__(
        self, journal: Journal, config: Config, roles: Roles, effects: Effects, facts: FactsOf
    ) -> None:
        self._journal = journal
        self._config = config
        self._roles = roles
        self._effects = effects
        self._facts = facts

    # -- sending -----------------------------------------------------------------------------------

    def send(
        self,
        ctx: Context,
        key: str,
        approval_id: str,
        device: Device,
        effect: Effect,
        reason: str,
        mode: Mode,
    ) -> Outcome:
        """Carry one approved request to "accepted", or say why not. Repeat: goes on where it was.

        Suspends while nothing could be sent yet, or while a request may still land.
        """
        job = _Job(
            ctx=ctx,
            key=key,
            approval_id=approval_id,
            device=device,
            effect=effect,
            reason=reason,
            mode=mode,
        )
        with self._journal.read() as tx:
            step = runs.step(tx, ctx.run.id, key)
        if step is None:
            return self._begin(job, self._new_step(job))
        match step.status:
            case StepStatus.PENDING:
                self._wait_until(job, step)
                return self._begin(job, step)
            case StepStatus.INTENDED:
                self._wait_until(job, step)
                return self._in_doubt(job, step)
            case StepStatus.UNKNOWN:
                self._set_due(job, None)
                raise Suspended("person")
            case StepStatus.FAILED:
                text = step.error.text if step.error else "failed"
                return Outcome.of(device, "failed", text)
        return msgspec.convert(step.value, Outcome)

    def _new_step(self, job: _Job) -> StepResult:
        return StepResult(
            scope=job.ctx.run.id,
            key=job.key,
            step_class=StepClass.EFFECT,
            status=StepStatus.PENDING,
            attempt=0,
            intended_at=job.ctx.now(),
        )

    def _wait_until(self, job: _Job, step: StepResult) -> None:
        if step.settle_until is not None and job.ctx.now() < step.settle_until:
            self._suspend(job, step)

    def _suspend(self, job: _Job, step: StepResult) -> NoReturn:
        self._set_due(job, step)
        raise Suspended("time", step.settle_until)

    def _set_due(self, job: _Job, step: StepResult | None) -> None:
        with self._journal.write() as tx:
            approvals.set_due(tx, job.approval_id, step.settle_until if step else None)

    def _begin(self, job: _Job, step: StepResult) -> Outcome:
        """Fence, claim, budget and intent in one transaction; then the last look; then the call."""
        with self._journal.write() as tx:
            why = self._withdrawn(tx, job)
            if why is None and job.mode is Mode.ACT:
                step = self._intend(tx, job, step)
        if why is not None:
            return self._void(job, step, why)
        if job.mode is not Mode.ACT:
            return self._practise(job, step)
        try:
            fresh = self._roles.edr.read_device(job.device.device_id)
            already = self._already(job, step, fresh)
            if already is not None:
                return already
            why = self._changed(job, fresh)
        except NotFound:
            why = "the EDR no longer knows the device"
        except (Unavailable, Rejected) as fault:
            return self._postpone(job, step, fault)
        return self._void(job, step, why) if why is not None else self._call(job, step)

    def _withdrawn(self, tx: Tx, job: _Job) -> str | None:
        """Why the approval allows nothing any more, or None."""
        approval = approvals.read(tx, job.approval_id)
        claim = approvals.subject(tx, _claim_of(job))
        if not still_valid(approval, job.ctx.now()):
            return "the approval has run out"
        if job.device.device_id not in approval.chosen:
            return "the device is not among those approved"
        if claim is None or claim.approval_id != job.approval_id:
            return "the claim on the device is gone"
        run = job.ctx.run
        alert_id = None if run.requested_by is not None else run.alert_id
        now = standing_for(tx, self._config, alert_id)
        if now.mode is not job.mode:
            return "; ".join(now.why) or f"the mode is {now.mode} now"
        return "the runner is paused" if is_paused(tx) is not None else None

    def _intend(self, tx: Tx, job: _Job, step: StepResult) -> StepResult:
        settle_s = self._settle_s(job)
        intended = msgspec.structs.replace(
            step,
            status=StepStatus.INTENDED,
            attempt=step.attempt + 1,
            value=None,
            error=None,
            settle_until=job.ctx.now() + timedelta(seconds=settle_s),
        )
        requested = LedgerState.REQUESTED if job.is_contain else LedgerState.RELEASE_REQUESTED
        self._write_ledger(tx, job, requested)
        return runs.save_step(tx, intended)

    def _settle_s(self, job: _Job) -> float:
        return self._roles.settle_s("edr", job.action)

    def _already(self, job: _Job, step: StepResult, fresh: Device) -> Outcome | None:
        """The device is where it should go, or on its way: nothing is sent."""
        if fresh.state not in (WANTED[job.effect], COMING[job.effect]):
            return None
        if job.is_contain and step.attempt <= 1:
            return self._accept(job, step, "was isolated before us", is_ours=False)
        return self._accept(job, step, "found so at the EDR")

    def _changed(self, job: _Job, fresh: Device) -> str | None:
        """Is it still the device that people saw, and do the guards still allow it?"""
        shown = job.device
        if fresh.state is not BEFORE[job.effect]:
            return f"the EDR says {fresh.state}"
        for name in ("hostname", "domain", "kind", "instance", "tenant"):
            if getattr(fresh, name) != getattr(shown, name):
                return f"its {name} changed since the question"
        facts = self._facts(job.effect, fresh, is_proved=True, reserved=0)
        answers = rule(facts)
        return denials(answers) if strictest(answers) is Ruling.DENY else None

    def _call(self, job: _Job, step: StepResult) -> Outcome:
        edr = self._roles.edr
        request = edr.isolate_host if job.is_contain else edr.release_host
        try:
            request(job.device.device_id, job.reason)
        except Unavailable as fault:
            return self._postpone(job, step, fault)
        except Rejected as fault:
            if fault.code == "conflict":
                return self._doubt(job, step, 0.0)
            return self._failed(job, step, str(fault))
        except OutcomeUnknown:
            return self._doubt(job, step, self._settle_s(job))
        return self._accept(job, step, "")

    # -- outcomes ----------------------------------------------------------------------------------

    def _accept(self, job: _Job, step: StepResult, why: str, *, is_ours: bool = True) -> Outcome:
        outcome = Outcome.of(job.device, "requested", why)
        accepted = LedgerState.ACCEPTED if job.is_contain else LedgerState.RELEASE_REQUESTED
        with self._journal.write() as tx:
            self._write_ledger(tx, job, accepted, is_ours=is_ours, note=why or None)
            if job.is_contain:
                held = Subject(
                    name=job.device.subject,
                    state=SubjectState.HELD,
                    case_id=job.ctx.run.case_id,
                    approval_id=job.approval_id,
                )
                approvals.claim(tx, held)
                runs.wake_waiting_on(tx, f"subject:{job.device.subject}")
            else:
                approvals.free(tx, _claim_of(job))
            approvals.add_note(tx, job.approval_id, outcome.sentence())
            self._end(tx, step, StepStatus.SUCCEEDED, outcome)
        return outcome

    def _end(self, tx: Tx, step: StepResult, status: StepStatus, outcome: Outcome) -> None:
        ended = msgspec.structs.replace(
            step, status=status, value=plain(outcome), settle_until=None, ended_at=tx.clock.now()
        )
        runs.save_step(tx, ended)

    def _void(self, job: _Job, step: StepResult, why: str) -> Outcome:
        """Nothing was sent, and nothing will be under this approval."""
        outcome = Outcome.of(job.device, "void", why)
        with self._journal.write() as tx:
            self._take_back(tx, job)
            approvals.add_note(
                tx, job.approval_id, f"Nothing was sent to {job.device.hostname}: {why}."
            )
            self._end(tx, step, StepStatus.SUCCEEDED, outcome)
        return outcome

    def _take_back(self, tx: Tx, job: _Job) -> None:
        """Free the claim and the reserved budget."""
        approvals.free(tx, _claim_of(job))
        runs.wake_waiting_on(tx, f"subject:{_claim_of(job)}")
        row = ledger.find(tx, job.device.subject)
        if row is None:
            return
        if job.is_contain and row.state is LedgerState.REQUESTED:
            ledger.save(
                tx, msgspec.structs.replace(row, state=LedgerState.NONE, times={}, due_at=None)
            )
        elif row.state is LedgerState.RELEASE_REQUESTED:
            self._restore(tx, row)

    @staticmethod
    def _restore(tx: Tx, row: LedgerRow) -> None:
        """A release that was not sent leaves the isolation as it was last seen."""
        was = LedgerState.CONFIRMED if row.verified_at else LedgerState.ACCEPTED
        times = {k: v for k, v in row.times.items() if k != LedgerState.RELEASE_REQUESTED}
        ledger.save(tx, msgspec.structs.replace(row, state=was, times=times, due_at=tx.clock.now()))

    def _practise(self, job: _Job, step: StepResult) -> Outcome:
        outcome = Outcome.of(job.device, "practised", "practice: approved, and not sent")
        with self._journal.write() as tx:
            approvals.free(tx, _claim_of(job))
            runs.wake_waiting_on(tx, f"subject:{_claim_of(job)}")
            approvals.add_note(tx, job.approval_id, outcome.sentence())
            self._end(tx, step, StepStatus.SKIPPED, outcome)
        return outcome

    def _failed(self, job: _Job, step: StepResult, text: str) -> Outcome:
        with self._journal.write() as tx:
            self._take_back(tx, job)
            ended = msgspec.structs.replace(
                step,
                status=StepStatus.FAILED,
                error=StepError(kind="rejected", text=text),
                settle_until=None,
                ended_at=tx.clock.now(),
            )
            approvals.add_note(
                tx, job.approval_id, f"{job.device.hostname}: FAILED, NOT done: {text}."
            )
            runs.save_step(tx, ended)
        return Outcome.of(job.device, "failed", text)

    def _postpone(self, job: _Job, step: StepResult, fault: ConnectorError) -> Outcome:
        """Certainly nothing was sent: keep the claim, try again while the approval stands."""
        with self._journal.write() as tx:
            later = msgspec.structs.replace(
                step,
                status=StepStatus.PENDING,
                error=StepError(kind="unavailable", text=str(fault)),
                settle_until=job.ctx.now() + timedelta(seconds=wait_after(fault, step.attempt)),
            )
            runs.save_step(tx, later)
        self._suspend(job, later)

    # -- doubt -------------------------------------------------------------------------------------

    def _doubt(self, job: _Job, step: StepResult, settle_s: float) -> Outcome:
        with self._journal.write() as tx:
            doubt = msgspec.structs.replace(
                step, settle_until=job.ctx.now() + timedelta(seconds=settle_s)
            )
            runs.save_step(tx, doubt)
        if settle_s > 0:
            self._suspend(job, doubt)
        return self._in_doubt(job, doubt)

    def _in_doubt(self, job: _Job, step: StepResult) -> Outcome:
        """The request may have landed: the device's own record decides, never a guess."""
        try:
            fresh = self._roles.edr.read_device(job.device.device_id)
        except ConnectorError as fault:
            return self._look_later(job, step, wait_after(fault), step.value)
        if fresh.state in (WANTED[job.effect], COMING[job.effect]):
            return self._accept(job, step, "found so at the EDR after a lost answer")
        if fresh.state is not BEFORE[job.effect]:
            return self._look_later(job, step, 10.0, None)
        reads = 1 + (step.value or {}).get("reads", 0)
        if reads < NORMAL_READS:
            return self._look_later(job, step, self._settle_s(job), {"reads": reads})
        if step.attempt >= MOST_SENDS:
            return self._hand_over(job, step)
        return self._begin(job, step)

    def _look_later(self, job: _Job, step: StepResult, delay_s: float, value: Any) -> Outcome:
        if (job.ctx.now() - step.intended_at).total_seconds() > DOUBT_S:
            return self._hand_over(job, step)
        with self._journal.write() as tx:
            later = msgspec.structs.replace(
                step, value=value, settle_until=job.ctx.now() + timedelta(seconds=delay_s)
            )
            runs.save_step(tx, later)
        self._suspend(job, later)

    def _hand_over(self, job: _Job, step: StepResult) -> NoReturn:
        """Only a person can say what happened; until then the state is unknown, and said so."""
        with self._journal.write() as tx:
            self._write_ledger(tx, job, LedgerState.UNKNOWN)
            approvals.set_due(tx, job.approval_id, None)
            approvals.add_note(
                tx,
                job.approval_id,
                f"{job.device.hostname}: UNKNOWN whether it happened. Look at the EDR, then run "
                f"stockade resolve CODE happened|not|stop.",
            )
            runs.save_step(
                tx, msgspec.structs.replace(step, status=StepStatus.UNKNOWN, settle_until=None)
            )
        raise Suspended("person")

    # -- ledger ------------------------------------------------------------------------------------

    def _write_ledger(
        self,
        tx: Tx,
        job: _Job,
        state: LedgerState,
        *,
        is_ours: bool = True,
        note: str | None = None,
    ) -> None:
        case_id = job.ctx.run.case_id
        row = ledger.find(tx, job.device.subject)
        if row is None or (job.is_contain and row.state not in STANDING):
            row = LedgerRow(
                subject=job.device.subject, device=job.device, state=state, holders=(case_id,)
            )
        holders = row.holders
        if job.is_contain and case_id not in holders:
            holders = (*holders, case_id)
        row = msgspec.structs.replace(
            row,
            state=state,
            holders=holders,
            approval_id=job.approval_id,
            is_ours=is_ours,
            note=note or row.note,
        )
        ledger.save(tx, msgspec.structs.replace(row, due_at=look_again(row, tx.clock.now())))
        for holder in {*holders, case_id}:
            cases.revise(tx, holder)

    def join(self, device: Device, case_id: str, effect: Effect) -> Outcome:
        """Add a holder to an isolation that stands, and say how far it is. Repeat: harmless."""
        with self._journal.write() as tx:
            row = ledger.find(tx, device.subject)
            if row is None or effect is not Effect.CONTAIN:
                return Outcome.of(device, "unknown", "its isolation is not in the ledger")
            if case_id not in row.holders:
                row = msgspec.structs.replace(row, holders=(*row.holders, case_id))
                ledger.save(tx, row)
                cases.revise(tx, case_id)
        state = "confirmed" if row.state is LedgerState.CONFIRMED else "requested"
        return Outcome.of(device, state, "isolated for another case already")

    def finish(self, approval_id: str) -> None:
        """Every device of the approval has its outcome. Repeat: harmless."""
        with self._journal.read() as tx:
            if approvals.read(tx, approval_id).due_at is None:
                return
        with self._journal.write() as tx:
            approvals.set_due(tx, approval_id, None)

    # -- verifying ---------------------------------------------------------------------------------

    def verify(self, subject: str, device_id: str, effect: Effect, elapsed_s: float) -> str:
        """What an independent read says: confirmed or released, requested when time is up, unknown
        when the EDR could not be read. Errors: `NotYet` before that."""
        try:
            fresh = self._roles.edr.read_device(device_id)
        except ConnectorError:
            if elapsed_s > VERIFY_S:
                return "unknown"
            raise NotYet(5.0) from None
        if fresh.state is WANTED[effect]:
            with self._journal.write() as tx:
                record_verified(tx, subject, fresh, effect)
            return "confirmed" if effect is Effect.CONTAIN else "released"
        if elapsed_s > VERIFY_S:
            return "requested"
        raise NotYet(1.0 if elapsed_s < 10 else 10.0)


def record_verified(tx: Tx, subject: str, fresh: Device, effect: Effect) -> None:
    """An independent read shows the wanted state. Repeat: harmless."""
    row = ledger.find(tx, subject)
    if row is None:
        return
    now = tx.clock.now()
    if effect is Effect.CONTAIN:
        if row.state is LedgerState.CONFIRMED:
            return
        row = msgspec.structs.replace(row, state=LedgerState.CONFIRMED, verified_at=now, drift=None)
        row = ledger.save(tx, msgspec.structs.replace(row, due_at=look_again(row, now)))
    else:
        if row.state is LedgerState.RELEASED:
            return
        approvals.free(tx, subject)
        row = ledger.save(
            tx,
            msgspec.structs.replace(
                row, state=LedgerState.RELEASED, device=fresh, due_at=None, drift=None
            ),
        )
    if row.approval_id is not None:
        outcome = Outcome.of(fresh, "confirmed" if effect is Effect.CONTAIN else "released")
        approvals.add_note(tx, row.approval_id, outcome.sentence())
    runs.wake_waiting_on(tx, f"subject:{subject}")
    for holder in row.holders:
        cases.revise(tx, holder)


class _Job(Struct, frozen=True, kw_only=True):
    """What one request is about."""

    ctx: Any
    key: str
    approval_id: str
    device: Device
    effect: Effect
    reason: str
    mode: Mode

    @property
    def is_contain(self) -> bool:
        return self.effect is Effect.CONTAIN

    @property
    def action(self) -> Action:
        method = Edr.isolate_host if self.is_contain else Edr.release_host
        declared: Action = method.action  # type: ignore[attr-defined]
        return declared


def _claim_of(job: _Job) -> str:
    return job.device.subject if job.is_contain else f"release:{job.device.subject}"
