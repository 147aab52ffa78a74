"""Who carries a run: replay, suspension, and the order of calls, on the journal.

The engine drives a playbook's coroutine itself. It keeps nothing between ticks: a step whose
outcome is in the journal returns it, the first one that is not there is performed. A decided
containment goes before every other call, in whatever run it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any

import msgspec

from connectors.base import Effect
from connectors.model import Alert, Clock
from runner.approvals import abandon, decision_of, open_question
from runner.arming import standing_for
from runner.config import Config, Mode
from runner.context import Call, Decision, NotYet, Question, StepFailed, Suspended, merged
from runner.crowding import AGAIN, CROWD, hold_back, let_on
from runner.effects import Effects, outcome_of, plain
from runner.frame import Stopped
from runner.journal import Journal, approvals, cases, runs
from runner.journal.records import (
    ApprovalState,
    CaseStatus,
    Run,
    RunStatus,
    StepClass,
    StepResult,
    StepStatus,
)
from runner.reads import Reads

SHARED_QUESTION_S = 15.0
"""How often a run looks whether another run's question about the same device is settled."""

Play = Callable[["RunContext"], Coroutine[Any, Any, str]]


class RunContext:
    """The port for one run on the journal; see `runner/context.py`. `steps`: what became of its
    calls so far; nobody else writes them while it is under way."""

    def __init__(
        self, engine: Engine, run: Run, alert: Alert, mode: Mode, steps: list[StepResult]
    ) -> None:
        self.run = run
        self.alert = alert
        self.mode = mode
        self._steps = {step.key: step for step in steps}
        self._engine = engine
        self._journal = engine.journal
        self._reads = Reads(engine.journal, engine.effects, run.id, self._steps, self._give_way)

    def now(self) -> datetime:
        return self._engine.clock.now()

    def _give_way(self, key: str) -> None:
        self._engine.give_way(self.run, key)

    async def call(self, key: str, call: Call) -> Any:
        if call.action is None:
            return self._reads.read(key, call)
        step = self._steps.get(key)
        if step is not None and step.status not in (StepStatus.PENDING, StepStatus.INTENDED):
            return outcome_of(step)
        self._give_way(key)
        return self._engine.effects.begin(self.run.id, key, call, self.mode)

    def refusal(self, effect: Effect) -> str | None:
        return self._engine.effects.refusal(effect)

    async def ask(self, key: str, question: Question) -> Decision:
        step = self._steps.get(key)
        if step is None:
            return self._open(key, question)
        so_far = msgspec.convert(step.value["so_far"], Decision)
        if step.status is StepStatus.SUCCEEDED:
            decided = step.value.get("decided")
            return so_far if decided is None else msgspec.convert(decided, Decision)
        return self._decided(step, so_far)

    async def sleep(self, key: str, seconds: float) -> None:
        def send(elapsed_s: float) -> None:
            if elapsed_s < seconds:
                raise NotYet(seconds - elapsed_s)

        self._reads.read(key, Call(name="sleep", send=send), StepClass.WAIT)

    async def gather(self, *branches: Callable[[], Awaitable[Any]]) -> list[Any]:
        results: list[Any] = []
        waiting: list[Suspended] = []
        for branch in branches:
            try:
                results.append(await branch())
            except Suspended as suspended:
                waiting.append(suspended)
            except (StepFailed, Stopped) as ended:
                results.append(ended)
        if waiting:
            raise merged(waiting)
        return results

    # -- questions ---------------------------------------------------------------------------------

    def _open(self, key: str, question: Question) -> Decision:
        """Claim and ask in one transaction; or share another run's question."""
        self._give_way(key)
        config = self._engine.config
        approval = None
        so_far = Decision()
        with self._journal.write() as tx:
            is_held_back = hold_back(tx, self.run, question)
            if not is_held_back:
                so_far, approval = open_question(tx, self.run, key, question, config.approvals)
            if approval is not None or so_far.held or so_far.refused:
                asked = approval is not None
                step = StepResult(
                    scope=self.run.id,
                    key=key,
                    step_class=StepClass.WAIT,
                    status=StepStatus.INTENDED if asked else StepStatus.SUCCEEDED,
                    value={"so_far": plain(so_far), "approval": approval.id if approval else None},
                    intended_at=tx.clock.now(),
                )
                runs.save_step(tx, step)
            if approval is None and not is_held_back:
                let_on(tx)
        if is_held_back:
            raise Suspended(CROWD, self.now() + AGAIN)
        if approval is not None:
            raise Suspended("approval")
        if so_far.held or so_far.refused:
            return so_far
        raise Suspended("subject", self.now() + timedelta(seconds=SHARED_QUESTION_S))

    def _decided(self, step: StepResult, so_far: Decision) -> Decision:
        with self._journal.read() as tx:
            approval = approvals.read(tx, step.value["approval"])
        if approval.state in (ApprovalState.POSTING, ApprovalState.OPEN):
            raise Suspended("approval")
        decided = decision_of(approval)
        whole = msgspec.structs.replace(
            decided,
            refused={**so_far.refused, **decided.refused},
            held=so_far.held,
            waiting=so_far.waiting,
        )
        value = {**step.value, "decided": plain(whole)}
        self._engine.effects.close(step, StepStatus.SUCCEEDED, value)
        return whole


class Engine:
    """Advances runs. `between_calls` is called before each call that is not in the journal yet:
    there decisions are read."""

    def __init__(
        self,
        journal: Journal,
        config: Config,
        effects: Effects,
        clock: Clock,
        play: Play,
        between_calls: Callable[[], None],
    ) -> None:
        self.journal = journal
        self.config = config
        self.effects = effects
        self.clock = clock
        self._play = play
        self._between_calls = between_calls
        self._gave_way: set[str] = set()

    def give_way(self, run: Run, key: str) -> None:
        """Let a decided containment go first: suspends when another call is more urgent than
        `key`."""
        self._between_calls()
        with self.journal.read() as tx:
            urgent = approvals.due_call(tx)
        if urgent is None:
            return
        path = urgent.key.split("#", 1)[0]
        if urgent.run_id != run.id:
            raise Suspended("time", self.clock.now())
        if not key.startswith(path + "#") and urgent.id not in self._gave_way:
            # Once: a branch beside this one may lead to the call. If none does, it comes later.
            self._gave_way.add(urgent.id)
            raise Suspended("time", self.clock.now())

    def advance(self, run: Run) -> None:
        """Replay a run to its end, or to where it must wait."""
        with self.journal.write() as tx:
            run = runs.save(tx, msgspec.structs.replace(run, status=RunStatus.RUNNING))
            alert = cases.read_alert(tx, run.alert_id)
            cases.set_status(tx, run.case_id, CaseStatus.IN_PROGRESS)
            alert_id = None if run.requested_by is not None else run.alert_id
            mode = standing_for(tx, self.config, alert_id).mode
            steps = runs.steps_of(tx, run.id)
        coroutine = self._play(RunContext(self, run, alert, mode, steps))
        try:
            coroutine.send(None)
        except StopIteration as done:
            self._end(run, RunStatus.SUCCEEDED, result=str(done.value))
        except Suspended as suspended:
            self._suspend(run, suspended)
        except StepFailed as failed:
            self._end(run, RunStatus.FAILED, error=f"{failed.kind}: {failed.text}")
        else:
            raise RuntimeError("a playbook's execution awaited something that is not the port")
        finally:
            coroutine.close()

    def _suspend(self, run: Run, suspended: Suspended) -> None:
        is_parked = suspended.wait_on == "person"
        with self.journal.write() as tx:
            # Somebody may have woken the run while it was on its way: that must not be lost.
            if runs.read(tx, run.id).status is not RunStatus.RUNNING:
                return
            runs.save(
                tx,
                msgspec.structs.replace(
                    run,
                    status=RunStatus.PARKED if is_parked else RunStatus.WAITING,
                    wait_on=suspended.wait_on,
                    wake_at=suspended.wake_at,
                ),
            )
            if is_parked:
                cases.set_status(tx, run.case_id, CaseStatus.ON_HOLD)
                tx.entry("run_parked", {"case": run.case_id, "run": run.id}, None)
                cases.revise(tx, run.case_id)

    def _end(
        self, run: Run, status: RunStatus, *, result: str | None = None, error: str | None = None
    ) -> None:
        with self.journal.write() as tx:
            ended = msgspec.structs.replace(
                run,
                status=status,
                wake_at=None,
                wait_on="",
                ended_at=tx.clock.now(),
                result=result,
                error=error,
            )
            runs.save(tx, ended)
            judged = cases.read(tx, run.case_id).assessment
            if status is RunStatus.SUCCEEDED and judged and judged.assessment == "benign":
                cases.set_status(tx, run.case_id, CaseStatus.RESOLVED)
            for approval in approvals.of_run(tx, run.id):
                abandon(tx, approval)
            tx.entry(
                f"run_{status}",
                {"case": run.case_id, "run": run.id},
                {"result": result, "error": error},
            )
            cases.revise(tx, run.case_id)

    def fail(self, run: Run, text: str) -> None:
        """A run that cannot be carried: a fault of the program, shown to people."""
        self._end(run, RunStatus.FAILED, error=text)
