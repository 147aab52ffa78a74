"""The functions behind the catalogue: what each verb of a playbook does, in a visible table.

An action reads through the port and changes the world through the effect door; it holds no state and
knows no product.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import Struct

from connectors.base import Action, Chat, Tickets
from connectors.document import Document, Paragraph
from connectors.model import (
    Assessment,
    AssessmentKind,
    Device,
    EventQuery,
    Observable,
    TicketDraft,
    TicketRef,
)
from runner import report
from runner.catalogue import CATALOGUE
from runner.config import Config, Mode
from runner.containment import Containment, Plan
from runner.context import Call, Context, StepFailed, Target
from runner.effects import plain
from runner.hunts import elsewhere, event_of, event_query, evidence, search, spread_query
from runner.identity import prove
from runner.journal import Journal, cases
from runner.playbook import Do
from runner.roles import Roles
from runner.wmic import assess

RANK = {
    AssessmentKind.BENIGN: 0,
    AssessmentKind.UNKNOWN: 1,
    AssessmentKind.SUSPICIOUS: 2,
    AssessmentKind.MALICIOUS: 3,
}
"""How alarming an assessment is: a refusal answers for what is no worse."""
MOST_SPREAD_HOSTS = 25


class Bench(Struct, frozen=True, kw_only=True):
    """What actions work with."""

    journal: Journal
    config: Config
    roles: Roles
    containment: Containment


class Work(Struct, frozen=True, kw_only=True):
    """One action to be done: the port, the step, its path, its rendered inputs and targets."""

    bench: Bench
    ctx: Context
    step: Do
    path: str
    inputs: dict[str, Any]
    targets: Any

    @property
    def mode(self) -> Mode:
        """The mode that holds for this run."""
        return self.ctx.mode


async def act(work: Work) -> Any:
    """Do one action of the catalogue. Errors: `StepFailed`."""
    spec = CATALOGUE[work.step.action]
    missing = [
        name for name, given in spec.inputs.items() if given.required and name not in work.inputs
    ]
    if missing:
        raise StepFailed("playbook", f"{spec.name} lacks {', '.join(missing)}")
    return await ACTIONS[spec.name](work)


def _read(work: Work, name: str, send: Callable[[float], Any]) -> Awaitable[Any]:
    """A read with the step's own time-out and retry."""
    step = work.step
    call = Call(
        name=name,
        send=send,
        again_s=step.timeout_s or 300.0,
        attempts=step.retry.max if step.retry else 1,
    )
    return work.ctx.call(f"{work.path}#{name}", call)


# -- triage ----------------------------------------------------------------------------------------


async def assess_wmic(work: Work) -> Any:
    """Judge the alert, and keep the judgement with the case."""

    def send(_elapsed_s: float) -> Assessment:
        judged = assess(work.ctx.alert)
        with work.bench.journal.write() as tx:
            case = cases.read(tx, work.ctx.run.case_id)
            cases.save(tx, msgspec.structs.replace(case, assessment=judged))
        return judged

    return await _read(work, "assess", send)


def rank_of_case(journal: Journal, case_id: str) -> int:
    """How alarming the case is; one without a judgement counts as unknown."""
    with journal.read() as tx:
        case = cases.find(tx, case_id)
    judged = case.assessment if case is not None else None
    return RANK[judged.assessment if judged is not None else AssessmentKind.UNKNOWN]


# -- devices ---------------------------------------------------------------------------------------


async def find_host(work: Work) -> Any:
    """Read the event behind the alert, find its device exactly, and prove the identity."""
    alert = work.ctx.alert
    bench = work.bench
    event = None
    query = event_query(alert, bench.config.hunts)
    if query is not None and bench.roles.has("siem"):
        found = await search(work.ctx, f"{work.path}#event", bench.roles.siem, query)
        event = event_of(alert, found, bench.config.hunts)

    def send(_elapsed_s: float) -> Target:
        told = event or alert
        now = work.ctx.now()
        return prove(alert, event, _devices(bench.roles, told.host, alert.device_id), now)

    target = msgspec.convert(await _read(work, "device", send), Target)
    return {
        "found": bool(target.devices),
        "proved": target.proved,
        "target": plain(target),
        "summary": target.proof,
    }


def _devices(roles: Roles, host: str | None, device_id: str | None) -> list[Device]:
    if device_id is not None:
        return list(roles.edr.find_devices(device_id=device_id))
    return [] if host is None else list(roles.edr.find_devices(hostname=host))


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
        quorum=work.step.approval_quorum or 1,
        rank=rank_of_case(work.bench.journal, work.ctx.run.case_id),
        drops_all=bool(work.ctx.run.inputs.get("is_whole")),
    )
    outcome = await work.bench.containment.carry_out(work.ctx, plan)
    if outcome["state"] == "failed":
        raise StepFailed("rejected", outcome["summary"])
    return outcome


# -- spread ----------------------------------------------------------------------------------------


async def hunt_spread(work: Work) -> Any:
    """Look for the same stylesheet address on other hosts, and for their devices."""
    bench = work.bench
    hunts = bench.config.hunts
    alert = work.ctx.alert
    indicators = msgspec.convert(work.inputs["indicators"], tuple[Observable, ...])
    begun = await _read(work, "query", lambda _s: spread_query(indicators, hunts, work.ctx.now()))
    if isinstance(begun, str) or not bench.roles.has("siem"):
        gap = begun if isinstance(begun, str) else "not searched: no SIEM is bound"
        return await _read(work, "result", lambda _s: _spread([], [], [gap]))
    query = msgspec.convert(begun, EventQuery)
    found = await search(work.ctx, f"{work.path}#spread", bench.roles.siem, query)
    events = elsewhere(alert, found, hunts)
    gaps = [found.gap] if found.gap else []
    if len(events) > MOST_SPREAD_HOSTS:
        gaps.append(f"incomplete: {len(events)} hosts, the first {MOST_SPREAD_HOSTS} are followed")

    def send(_elapsed_s: float) -> list[Target]:
        now = work.ctx.now()
        return [
            prove(event, event, _devices(bench.roles, event.host, event.device_id), now)
            for event in events[:MOST_SPREAD_HOSTS]
        ]

    targets = await _read(work, "devices", send) if events else []
    hosts = [evidence(event) for event in events]
    return await _read(work, "result", lambda _s: _spread(hosts, targets, gaps))


def _spread(hosts: list[Any], targets: list[Any], gaps: list[str]) -> dict[str, Any]:
    if hosts:
        outcome, summary = "found", f"the same address was used on {len(hosts)} other host(s)"
    elif any(gap.startswith("not searched") for gap in gaps):
        outcome, summary = "not_searched", gaps[0]
    elif gaps:
        outcome, summary = "incomplete", f"nothing found in what was searched; {gaps[0]}"
    else:
        outcome, summary = "none_found", "no other host used the same address in the hunted time"
    return {
        "outcome": outcome,
        "hosts": plain(hosts),
        "targets": [target for target in targets if target["devices"]],
        "summary": summary,
        "not_searched": gaps,
    }


# -- tickets and chat ------------------------------------------------------------------------------


def _action(role: type, name: str) -> Action:
    declared: Action = getattr(role, name).action
    return declared


def correlation_of(case_id: str) -> str:
    """The key by which a case's ticket is found again, for ever."""
    return f"stockade-{case_id}"


async def create_ticket(work: Work) -> Any:
    """Open the case's one ticket; an earlier one with the same key is adopted."""
    bench = work.bench
    case_id = work.ctx.run.case_id
    correlation = correlation_of(case_id)

    def send(_elapsed_s: float) -> TicketRef:
        tickets = bench.roles.tickets
        found = tickets.find_ticket(correlation)
        if found is not None:
            return found
        with bench.journal.read() as tx:
            body = report.case_document(tx, cases.read(tx, case_id), work.mode)
        title = report.ticket_title(str(work.inputs["title"]), work.mode)
        draft = TicketDraft(correlation=correlation, title=title, body=body)
        return tickets.create_ticket(draft)

    action = _action(Tickets, "create_ticket")
    made = await work.ctx.call(
        f"{work.path}#ticket",
        Call(
            name="create_ticket",
            send=send,
            action=action,
            look=lambda: bench.roles.tickets.find_ticket(correlation),
            settle_s=bench.roles.settle_s("tickets", action) if bench.roles.has("tickets") else 0,
            again_s=86400.0,
        ),
    )
    if made is None:
        return {"key": "", "url": ""}
    ref = msgspec.convert(made, TicketRef)
    with bench.journal.read() as tx:
        is_known = cases.read(tx, case_id).ticket == ref
    if not is_known:
        with bench.journal.write() as tx:
            kept = msgspec.structs.replace(cases.read(tx, case_id), ticket=ref)
            cases.save(tx, kept)
            cases.set_reported(tx, case_id, kept.revision)
            tx.entry("ticket_opened", {"case": case_id}, ref)
    return {"key": ref.key, "url": ref.url}


async def comment_ticket(work: Work) -> Any:
    """Add a sentence to the case's ticket."""
    bench = work.bench
    with bench.journal.read() as tx:
        ticket = cases.read(tx, work.ctx.run.case_id).ticket
    if ticket is None:
        return {"key": ""}
    ref = ticket
    key = message_key(work)
    body = Document(blocks=(Paragraph(text=str(work.inputs["text"])),))
    action = _action(Tickets, "comment_ticket")

    def send(_elapsed_s: float) -> dict[str, str]:
        bench.roles.tickets.comment_ticket(ref, key, body)
        return {"key": ref.key}

    def look() -> dict[str, str] | None:
        return {"key": ref.key} if bench.roles.tickets.find_comment(ref, key) else None

    done = await work.ctx.call(
        f"{work.path}#comment",
        Call(
            name="comment_ticket",
            send=send,
            action=action,
            look=look,
            settle_s=bench.roles.settle_s("tickets", action),
        ),
    )
    return done or {"key": ""}


async def post_message(work: Work) -> Any:
    """Say something in the responders' channel, once."""
    roles = work.bench.roles
    key = message_key(work)
    body = report.message_document(str(work.inputs["text"]), work.ctx.run.case_id, work.mode)
    action = _action(Chat, "post_message")
    posted = await work.ctx.call(
        f"{work.path}#message",
        Call(
            name="post_message",
            send=lambda _s: roles.chat.post_message(key, body),
            action=action,
            look=lambda: roles.chat.find_message(key),
            settle_s=roles.settle_s("chat", action) if roles.has("chat") else 0,
        ),
    )
    return {"id": posted["id"] if posted else ""}


def message_key(work: Work) -> str:
    """The key by which a message or a comment of this step is found again."""
    return hashlib.sha256(f"{work.ctx.run.id}:{work.path}".encode()).hexdigest()[:24]


ACTIONS: dict[str, Callable[[Work], Awaitable[Any]]] = {
    "wmic.assess": assess_wmic,
    "edr.find_host": find_host,
    "edr.isolate_host": contain,
    "edr.release_host": contain,
    "hunt.spread": hunt_spread,
    "tickets.create_ticket": create_ticket,
    "tickets.comment_ticket": comment_ticket,
    "chat.post_message": post_message,
}
"""Every action of the catalogue, and nothing else."""
