"""The functions behind the catalogue: what each verb of a playbook does, in a visible table.

An action reads through the port and changes the world through the effect door; it holds no state
and knows no product.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from connectors.base import ROLES, Effect
from connectors.errors import Rejected
from connectors.model import (
    AssessmentKind,
    EventQuery,
)
from runner.catalogue import CATALOGUE, fits
from runner.config import LONGEST_LEASE_H, Mode
from runner.context import StepFailed, Target
from runner.effects import plain
from runner.filters import kind_of
from runner.hunts import event_of, event_query, search
from runner.identity import prove
from runner.journal import Journal, cases
from runner.origin_hunt import hunt_origin
from runner.plan import Plan
from runner.scoping import devices_of, limit_of
from runner.spread_hunt import hunt_spread
from runner.telling import comment_ticket, create_ticket, post_message
from runner.triage import assess_wmic
from runner.work import Work, read

RANK = {
    AssessmentKind.BENIGN: 0,
    AssessmentKind.UNKNOWN: 1,
    AssessmentKind.SUSPICIOUS: 2,
    AssessmentKind.MALICIOUS: 3,
}
"""How alarming an assessment is: a refusal answers for what is no worse."""
NOT_ASKABLE = ("unsafe_name", "too_many")
"""A name in letters that the EDR has no query for; one that too many names begin with."""


async def act(work: Work) -> Any:
    """Do one action of the catalogue. Errors: `StepFailed`."""
    spec = CATALOGUE[work.step.action]
    missing = [
        name for name, given in spec.inputs.items() if given.required and name not in work.inputs
    ]
    if missing:
        raise StepFailed("playbook", f"{spec.name} lacks {', '.join(missing)}")
    for name, given in spec.inputs.items():
        if name in work.inputs and not fits(work.inputs[name], given.type):
            got = kind_of(work.inputs[name])
            text = f"{spec.name} takes `{name}` as {given.type.value}, and got {got}"
            raise StepFailed("playbook", text)
    role = spec.name.partition(".")[0]
    is_bound = role not in ROLES or work.bench.roles.has(role)
    is_watched = work.mode is Mode.OBSERVE and spec.name == "edr.find_host"
    if not is_bound and spec.effect is Effect.INVESTIGATE and not is_watched:
        raise StepFailed("rejected", f"the configuration binds no connector to the role {role}")
    return await ACTIONS[spec.name](work)


# -- devices ---------------------------------------------------------------------------------------


def rank_of_case(journal: Journal, case_id: str) -> int:
    """How alarming the case is; one without a judgement counts as unknown."""
    with journal.read() as tx:
        case = cases.find(tx, case_id)
    judged = case.assessment if case is not None else None
    return RANK[judged.assessment if judged is not None else AssessmentKind.UNKNOWN]


async def find_host(work: Work) -> Any:
    """Read the event behind the alert, find its device exactly, and prove the identity."""
    alert = work.ctx.alert
    bench = work.bench
    if work.mode is Mode.OBSERVE and not bench.roles.has("edr"):
        proof = "no EDR is bound; it would have been looked up there"
        return _host(Target(proved=False, proof=proof, devices=()))
    event = None
    asked = await read(work, "query", lambda _s: event_query(alert, bench.config.hunts))
    if asked is not None and bench.roles.has("siem"):
        query = msgspec.convert(asked, EventQuery)
        found = await search(
            work.ctx, f"{work.path}#event", bench.roles.siem, query, limit_of(work)
        )
        event = event_of(alert, found, bench.config.hunts)

    def send(_elapsed_s: float) -> Target:
        try:
            devices = devices_of(bench.roles, event or alert, alert.device_id)
        except Rejected as fault:
            if fault.code not in NOT_ASKABLE:
                raise
            # Nothing here is a fault of the run: people do it by hand.
            return Target(proved=False, proof=f"it cannot be asked: {fault.text}", devices=())
        return prove(alert, event, devices, work.ctx.now())

    return _host(msgspec.convert(await read(work, "device", send), Target))


def _host(target: Target) -> dict[str, Any]:
    return {
        "found": bool(target.devices),
        "proved": target.proved,
        "target": plain(target),
        "summary": target.proof,
    }


async def contain(work: Work) -> Any:
    """Isolate or release: everything else is the effect door's business."""
    spec = CATALOGUE[work.step.action]
    try:
        targets = msgspec.convert(work.targets, tuple[Target, ...])
    except msgspec.ValidationError:
        raise StepFailed(
            "playbook", f"{spec.name} takes targets from edr.find_host, never names"
        ) from None
    if work.step.max is not None and len(targets) > work.step.max:
        raise StepFailed("playbook", f"{len(targets)} targets, and max is {work.step.max}")
    plan = Plan(
        path=work.path,
        action=spec.name,
        effect=spec.effect,
        targets=targets,
        reason=str(work.inputs["reason"]),
        quorum=_quorum(work),
        rank=rank_of_case(work.bench.journal, work.ctx.run.case_id),
        drops_all=work.inputs.get("is_whole") is True,
        lease_h=_lease_h(work),
    )
    outcome = await work.bench.containment.carry_out(work.ctx, plan)
    if outcome["state"] in ("failed", "void"):
        # Void three times: nobody was asked, or nothing could be sent. That must not look well.
        raise StepFailed("rejected", outcome["summary"])
    return outcome


def _lease_h(work: Work) -> float | None:
    """How long the isolation stands without being renewed: as the step says, or the policy."""
    given = work.inputs.get("lease_h", work.bench.config.guards.lease_h)
    if given is not None and not 0 < given <= LONGEST_LEASE_H:
        text = f"lease_h is {given}; it is more than 0 and at most {LONGEST_LEASE_H} hours"
        raise StepFailed("playbook", text)
    return None if given is None else float(given)


def _quorum(work: Work) -> int:
    """How many must agree. Who started it by hand and is nobody's login in the configuration might
    be anybody who may answer, now or later: then a second one is needed, where there is one."""
    asked = work.step.approval_quorum or 1
    approvals = work.bench.config.approvals
    by = work.ctx.run.requested_by
    if by is None or by in work.bench.config.people:
        return asked
    tiers = (name for tier in approvals.tiers.values() for name in tier.approvers)
    answering = {*approvals.approvers, *approvals.escalate_to, *tiers}
    # How many people a group has is not known here: it counts as more than one.
    return max(asked, min(2, len(answering) + len(approvals.groups)))


ACTIONS: dict[str, Callable[[Work], Awaitable[Any]]] = {
    "wmic.assess": assess_wmic,
    "edr.find_host": find_host,
    "edr.isolate_host": contain,
    "edr.release_host": contain,
    "hunt.origin": hunt_origin,
    "hunt.spread": hunt_spread,
    "tickets.create_ticket": create_ticket,
    "tickets.comment_ticket": comment_ticket,
    "chat.post_message": post_message,
}
"""Every action of the catalogue, and nothing else."""
