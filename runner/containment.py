"""Cutting a device off and letting it back: target, rule, ask, do, verify.

The only caller of `isolate_host` and `release_host`. Nothing is sent without rulings, people's
consent, a claim, an intent, and a fresh look at the device; nothing is called contained before an
independent read of the device says so.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from threading import Lock
from typing import Any

import msgspec

from connectors.base import Effect
from connectors.errors import ConnectorError
from connectors.model import Device
from runner.config import Config, Mode
from runner.context import Call, Context, Decision, NotYet, Target
from runner.cut import COMING, WANTED, Cut, Objectors
from runner.effects import plain
from runner.guards import Facts, GuardAnswer, Ruling, denials, rule, strictest
from runner.isolation import Outcome, Request, drop_holder, join, undone, verified
from runner.journal import Journal, approvals, ledger
from runner.journal.records import LedgerState
from runner.own_hosts import own_hosts
from runner.plan import Plan, distinct, is_askable, question, result, without_device
from runner.protected import read_protected
from runner.roles import Roles

MOST_VOIDS = 3
VERIFY_S = 90.0
"""How long a run waits for the device's own record; after that the follow-up watches it."""


class Containment:
    """Runs a plan to its outcome: {state, summary, devices: [{device_id, hostname, state, why}]}.

    `state` is the worst of the devices' states: unknown, failed, void, requested (NOT contained),
    denied, no_device, observed, practised, confirmed, released.
    """

    def __init__(
        self, journal: Journal, config: Config, roles: Roles, objectors: Objectors
    ) -> None:
        self._journal = journal
        self._config = config
        self._roles = roles
        self._cut = Cut(journal, config, roles, self._facts, objectors)
        self._sending = Lock()

    async def carry_out(self, ctx: Context, plan: Plan) -> dict[str, Any]:
        """Target, rule, ask, do, verify. Suspends while people or devices are waited for."""
        kept = await ctx.call(
            f"{plan.path}#target",
            Call(name="target", send=lambda _s: plain(distinct(plan.targets))),
        )
        targets = msgspec.convert(kept, tuple[Target, ...])
        outcomes = without_device(targets)
        targets = tuple(target for target in targets if is_askable(target, len(targets)))
        pick = len(targets) == 1 and not targets[0].proved
        pending = {device.device_id: device for target in targets for device in target.devices}
        if plan.effect is Effect.RELEASE and not plan.drops_all:
            await self._drop_hold(ctx, plan, pending, outcomes)
        voids = 0
        n = 0
        while pending and voids < MOST_VOIDS:
            await self._rule(ctx, plan, n, pending, outcomes, proved=not pick)
            if not pending:
                break
            asked = question(plan, n, targets, pending, pick=pick, mode=ctx.mode)
            decision = await ctx.ask(f"{plan.path}#ask.{n}", asked)
            self._note_refusals(decision, pending, outcomes)
            await self._join(ctx, plan, n, decision, pending, outcomes, pick=pick)
            done = await self._do(ctx, plan, n, decision, pending, outcomes)
            if pick and done:
                # One of the candidates was picked and dealt with; the others were never meant.
                pending = {}
            is_void = any(
                device_id in pending for device_id in (*decision.void, *decision.approved)
            )
            voids += is_void
            n += 1
        for device_id, device in pending.items():
            outcomes[device_id] = Outcome.of(device, "void", "asked three times, void each time")
        await self._verify(ctx, plan, outcomes)
        return result(plan, outcomes)

    async def _drop_hold(
        self,
        ctx: Context,
        plan: Plan,
        pending: dict[str, Device],
        outcomes: dict[str, Outcome],
    ) -> None:
        """A release drops this case's hold; the lift is asked for when no other case holds."""

        def send(_elapsed_s: float) -> Any:
            with self._journal.write() as tx:
                return {
                    device_id: drop_holder(tx, device, ctx.run.case_id)
                    for device_id, device in pending.items()
                }

        left = await ctx.call(f"{plan.path}#hold", Call(name="hold", send=send))
        for device_id, holders in left.items():
            if holders:
                why = f"still held by {', '.join(holders)}; this case's hold was dropped"
                outcomes[device_id] = Outcome.of(pending.pop(device_id), "denied", why)

    # -- rule --------------------------------------------------------------------------------------

    async def _rule(
        self,
        ctx: Context,
        plan: Plan,
        n: int,
        pending: dict[str, Device],
        outcomes: dict[str, Outcome],
        *,
        proved: bool,
    ) -> None:
        """Ask the guards about each device; what they deny, or the mode only observes, is
        settled."""

        def send(_elapsed_s: float) -> Any:
            with self._journal.read() as tx:
                cut_off = {row.subject for row in ledger.standing(tx)}
            answers = {}
            place = 0
            for shown in pending.values():
                # One that is cut off already gets another holder, and nothing is sent.
                place += shown.subject not in cut_off
                # What is to be released was last shown before it was isolated.
                is_release = plan.effect is Effect.RELEASE
                device = self._roles.edr.read_device(shown.device_id) if is_release else shown
                reserved = 0 if shown.subject in cut_off else place if proved else 1
                answers[device.device_id] = rule(
                    self._facts(plan.effect, device, is_proved=proved, reserved=reserved)
                )
            return {"mode": ctx.mode, "effect": plan.effect, "answers": plain(answers)}

        ruled = await ctx.call(f"{plan.path}#rule.{n}", Call(name="rule", send=send))
        for device_id, device in list(pending.items()):
            answers = msgspec.convert(ruled["answers"][device_id], list[GuardAnswer])
            if strictest(answers) is Ruling.DENY:
                outcomes[device_id] = Outcome.of(device, "denied", denials(answers))
                del pending[device_id]
            elif ruled["mode"] == Mode.OBSERVE:
                why = "observe: people would have been asked"
                outcomes[device_id] = Outcome.of(device, "observed", why)
                del pending[device_id]

    def _facts(self, effect: Effect, device: Device, *, is_proved: bool, reserved: int) -> Facts:
        fleet_size: int | None = None
        if effect is Effect.CONTAIN:
            fleet_size = self._roles.edr.count_devices()
        with self._journal.read() as tx:
            since = tx.clock.now() - timedelta(hours=1)
            isolated_last_hour = ledger.requested_since(tx, since)
            isolated_now = len(ledger.standing(tx))
            row = ledger.find(tx, device.subject)
        guards = self._config.guards
        return Facts(
            effect=effect,
            device=device,
            is_proved=is_proved,
            protected=read_protected(guards.protected_file),
            allowed_effects=guards.allowed_effects,
            isolated_last_hour=isolated_last_hour,
            isolated_now=isolated_now,
            reserved=reserved,
            fleet_size=fleet_size,
            per_hour=guards.budget.per_hour,
            fleet_percent=guards.budget.fleet_percent,
            own_hosts=own_hosts(self._config),
            is_liftable=row is not None and (row.is_ours or row.adopted_by is not None),
        )

    # -- after the question ------------------------------------------------------------------------

    @staticmethod
    def _note_refusals(
        decision: Decision, pending: dict[str, Device], outcomes: dict[str, Outcome]
    ) -> None:
        for device_id, why in decision.refused.items():
            if device := pending.pop(device_id, None):
                outcomes[device_id] = Outcome.of(device, "denied", why)

    async def _join(
        self,
        ctx: Context,
        plan: Plan,
        n: int,
        decision: Decision,
        pending: dict[str, Device],
        outcomes: dict[str, Outcome],
        *,
        pick: bool,
    ) -> None:
        """A device that is cut off for another case already gets one more holder, and no call.
        One that is cut off no longer stays pending, and is asked about."""
        for device_id in decision.held:
            device = pending[device_id]
            if pick:
                why = "isolated for another case; whether it is this host is not proved"
                outcomes[device_id] = Outcome.of(pending.pop(device_id), "no_device", why)
                continue
            joined = await ctx.call(
                f"{plan.path}#join.{n}/{device_id}",
                Call(
                    name="join",
                    send=_bind(partial(self._joined, ctx.run.case_id, plan.lease_h), device),
                ),
            )
            if joined is not None:
                outcomes[device_id] = msgspec.convert(joined, Outcome)
                del pending[device_id]

    def _joined(self, case_id: str, lease_h: float | None, device: Device) -> Outcome | None:
        fresh = self._roles.edr.read_device(device.device_id)
        with self._journal.write() as tx:
            row = ledger.find(tx, device.subject)
            is_cut = fresh.state in (WANTED[Effect.CONTAIN], COMING[Effect.CONTAIN])
            # Just after a request the EDR's record may lag behind it.
            is_asked = row is not None and row.state in (
                LedgerState.REQUESTED,
                LedgerState.ACCEPTED,
            )
            if row is not None and (is_cut or is_asked):
                return join(tx, device, case_id, lease_h)
            if row is not None:
                undone(tx, row, fresh)
            approvals.free(tx, device.subject)
            return None

    async def _do(
        self,
        ctx: Context,
        plan: Plan,
        n: int,
        decision: Decision,
        pending: dict[str, Device],
        outcomes: dict[str, Outcome],
    ) -> bool:
        """Send what was approved, each device for itself: one in doubt holds up no other. True when
        at least one was dealt with; a void one stays pending."""
        if decision.approval_id is None:
            return False
        approval_id = decision.approval_id
        chosen = [pending[device_id] for device_id in decision.approved if device_id in pending]

        async def one(device: Device) -> Outcome:
            request = Request(
                ctx=ctx,
                key=f"{plan.path}#do.{n}/{device.device_id}",
                approval_id=approval_id,
                device=device,
                effect=plan.effect,
                reason=plan.reason,
                lease_h=plan.lease_h,
            )
            # One at a time, whatever runs go side by side: no release meets a cut half-way.
            with self._sending:
                return self._cut.send(request)

        done = await ctx.gather(*[_bind(one, device) for device in chosen])
        for device, outcome in zip(chosen, done, strict=True):
            if isinstance(outcome, BaseException):
                raise outcome
            if outcome.state != "void":
                outcomes[device.device_id] = outcome
                del pending[device.device_id]
        return any(device.device_id not in pending for device in chosen)

    # -- verify ------------------------------------------------------------------------------------

    async def _verify(self, ctx: Context, plan: Plan, outcomes: dict[str, Outcome]) -> None:
        """Read each requested device until it says so itself, for a while."""
        waiting = [outcome for outcome in outcomes.values() if outcome.state == "requested"]

        async def one(outcome: Outcome) -> Any:
            key = f"{plan.path}#verify/{outcome.device_id}"

            def send(elapsed_s: float) -> str:
                return self._read_back(outcome, plan.effect, elapsed_s)

            return await ctx.call(key, Call(name="verify", send=send, again_s=VERIFY_S))

        for outcome, state in zip(
            waiting, await ctx.gather(*[_bind(one, outcome) for outcome in waiting]), strict=True
        ):
            if isinstance(state, BaseException):
                raise state
            outcomes[outcome.device_id] = msgspec.structs.replace(outcome, state=state)

    def _read_back(self, outcome: Outcome, effect: Effect, elapsed_s: float) -> str:
        """What an independent read says: confirmed or released, requested when time is up, unknown
        when the EDR could not be read. Errors: `NotYet` before that."""
        try:
            fresh = self._roles.edr.read_device(outcome.device_id)
        except ConnectorError:
            if elapsed_s > VERIFY_S:
                return "unknown"
            raise NotYet(5.0) from None
        if fresh.state is WANTED[effect]:
            with self._journal.write() as tx:
                verified(tx, outcome.subject, fresh, effect)
            return "confirmed" if effect is Effect.CONTAIN else "released"
        if elapsed_s > VERIFY_S:
            return "requested"
        raise NotYet(1.0 if elapsed_s < 10 else 10.0)


def _bind(function: Any, value: Any) -> Any:
    """A branch that has not started, or a call that is given its elapsed seconds."""
    return lambda *_elapsed_s: function(value)
