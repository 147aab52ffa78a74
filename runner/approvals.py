"""Who was asked what, and what became of it: the transactions that open and settle a question.

It reads no product. Which votes count is judged in `runner/votes.py`; nothing here turns silence or
doubt into a yes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from connectors.base import Effect
from connectors.model import Device
from runner.choices import choices_of, is_pick
from runner.config import Approvals
from runner.context import ANSWER, Decision, Question
from runner.crowding import let_on
from runner.electing import rule_for
from runner.journal import Tx, approvals, cases, ledger, runs
from runner.journal.records import (
    Approval,
    ApprovalItem,
    ApprovalState,
    LedgerState,
    Run,
    Subject,
    SubjectState,
)
from runner.votes import CLOCK_SLACK, Outcome, in_time

PLAN_VERSION = 1
QUICK = timedelta(seconds=5)
"""Nobody reads a card in less."""


def plan_sha256(question: Question, devices: Sequence[Device], run: Run, key: str) -> str:
    """Exactly what a yes allows. Nothing that changes by itself (times, users, texts) is in it,
    else it would be void each minute."""
    plan = [
        PLAN_VERSION,
        question.action,
        sorted([device.instance, device.tenant, device.device_id] for device in devices),
        question.pick,
        question.mode,
        run.id,
        key,
        run.bundle_sha256,
    ]
    if question.answers:
        plan.append([question.reason, question.answers, question.on_expiry])
    return hashlib.sha256(msgspec.json.encode(plan)).hexdigest()


def affected_users(tx: Tx, approval: Approval) -> frozenset[str]:
    """The user names that a question concerns: of its case's alerts, and of its devices."""
    users = cases.users_of(tx, approval.case_id)
    return frozenset(users.union(*(item.device.users for item in approval.items)))


# -- opening ---------------------------------------------------------------------------------------


def claim_name(effect: Effect, device: Device) -> str:
    """The claim that a question holds: a release is a question of its own about the same
    subject."""
    return device.subject if effect is Effect.CONTAIN else f"release:{device.subject}"


def open_question(
    tx: Tx, run: Run, key: str, question: Question, policy: Approvals
) -> tuple[Decision, Approval | None]:
    """Claim what is free and ask about it, in one transaction.

    Gives the devices that need no question any more (held, refused, waiting for another run's
    question) and the approval that asks about the rest, or None.
    """
    held: list[str] = []
    refused: dict[str, str] = {}
    waiting: list[str] = []
    asked: list[ApprovalItem] = []
    for target in question.targets:
        for device in target.devices:
            name = claim_name(question.effect, device)
            standing = approvals.subject(tx, name)
            if standing is None or _is_open_again(tx, question, device, standing):
                item = ApprovalItem(subject=name, device=device, proof=target.proof)
                asked.append(item)
            elif standing.state is SubjectState.HELD and _is_leaving(tx, device):
                waiting.append(device.device_id)
            elif standing.state is SubjectState.HELD:
                held.append(device.device_id)
            elif standing.state is SubjectState.REFUSED:
                refused[device.device_id] = "people refused it less than four hours ago"
            else:
                waiting.append(device.device_id)
                _note_waiting(tx, standing, run)
    if question.pick and waiting:
        # The candidates of one target are decided together or not at all.
        return Decision(waiting=tuple(device.device_id for device in _devices(question))), None
    so_far = Decision(held=tuple(held), refused=refused, waiting=tuple(waiting))
    return so_far, _ask(
        tx, run, key, question, asked, policy
    ) if asked or question.answers else None


def _is_open_again(tx: Tx, question: Question, device: Device, standing: Subject) -> bool:
    """A refusal does not answer for what is worse, nor an isolation that somebody else undid."""
    if standing.state is SubjectState.REFUSED:
        return question.rank > standing.rank
    row = ledger.find(tx, device.subject) if question.effect is Effect.CONTAIN else None
    return standing.state is SubjectState.HELD and row is not None and row.drift is not None


def _is_leaving(tx: Tx, device: Device) -> bool:
    """Is its release under way? Only when that is verified, a new question can be put."""
    row = ledger.find(tx, device.subject)
    return row is not None and row.state is LedgerState.RELEASE_REQUESTED


def _devices(question: Question) -> list[Device]:
    return [device for target in question.targets for device in target.devices]


def _note_waiting(tx: Tx, standing: Subject, run: Run) -> None:
    if standing.approval_id is not None:
        text = f"{run.case_id} concerns this device too and waits for this decision."
        approvals.add_note(tx, standing.approval_id, text)


def _ask(
    tx: Tx,
    run: Run,
    key: str,
    question: Question,
    items: Sequence[ApprovalItem],
    policy: Approvals,
) -> Approval:
    devices = [item.device for item in items]
    approval_id = approvals.approval_id(run.id, key)
    approval = Approval(
        id=approval_id,
        code=approvals.free_code(tx, approval_id),
        run_id=run.id,
        case_id=run.case_id,
        key=key,
        n=question.n,
        action=question.action,
        effect=question.effect,
        items=tuple(items),
        choices=choices_of(question, devices),
        plan_sha256=plan_sha256(question, devices, run, key),
        quorum=max(question.quorum, rule_for(policy, devices).quorum),
        reason=question.reason,
        rank=question.rank,
        mode=question.mode,
        on_expiry=question.on_expiry,
        lease_h=question.lease_h,
        expires_s=question.expires_s or policy.expires_s,
        created_at=tx.clock.now(),
        requested_by=run.requested_by,
    )
    approvals.save(tx, approval)
    for item in items:
        approvals.claim(
            tx,
            Subject(
                name=item.subject,
                state=SubjectState.ASKED,
                case_id=run.case_id,
                approval_id=approval.id,
                rank=question.rank,
            ),
        )
    tx.entry(
        "question_opened",
        {"case": run.case_id, "run": run.id, "approval": approval.id, "step": key},
        {"plan_sha256": approval.plan_sha256, "subjects": [item.subject for item in items]},
    )
    return approval


# -- settling --------------------------------------------------------------------------------------


def settle(tx: Tx, approval: Approval, outcome: Outcome) -> Approval:
    """Decide a question, once: state, subjects and the run's wake-up in one transaction.

    Repeat: a question that is settled already stays as it was first settled.
    """
    current = approvals.read(tx, approval.id)
    if current.state not in (ApprovalState.POSTING, ApprovalState.OPEN):
        return current
    now = tx.clock.now()
    if outcome.state is ApprovalState.APPROVED:
        outcome = in_time(current, outcome, now)
    items = tuple(
        msgspec.structs.replace(item, vetoed_by=outcome.vetoed.get(item.device.device_id))
        for item in current.items
    )
    settled = msgspec.structs.replace(
        current,
        state=outcome.state,
        items=items,
        votes=approval.votes,
        decided_at=now,
        decided_by=outcome.by,
        chosen=outcome.chosen,
        why=outcome.why,
        due_at=now if outcome.state is ApprovalState.APPROVED and current.items else None,
    )
    approvals.save(tx, settled)
    _settle_subjects(tx, settled)
    tx.entry(
        f"question_{outcome.state}",
        {"case": settled.case_id, "run": settled.run_id, "approval": settled.id},
        {"by": outcome.by, "chosen": outcome.chosen, "why": outcome.why, "votes": settled.votes},
    )
    runs.wake(tx, settled.run_id)
    let_on(tx)
    cases.revise(tx, settled.case_id)
    return settled


def _settle_subjects(tx: Tx, settled: Approval) -> None:
    for item in settled.items:
        if item.device.device_id in settled.chosen:
            continue
        claim = approvals.subject(tx, item.subject)
        if claim is None or claim.approval_id != settled.id:
            continue
        # A no to candidates is meant for one of them, and nobody knows for which.
        is_unpicked = settled.state is ApprovalState.APPROVED and item.vetoed_by is None
        if settled.state is ApprovalState.VOID or is_unpicked or is_pick(settled):
            approvals.free(tx, item.subject)
        else:
            approvals.refuse(tx, item.subject, settled)
        runs.wake_waiting_on(tx, "subject")


def expire(tx: Tx, approval: Approval) -> Approval:
    """Nobody agreed in time: that is a no."""
    return settle(tx, approval, Outcome(state=ApprovalState.EXPIRED, by=()))


def make_void(tx: Tx, approval: Approval, why: str) -> Approval:
    """The question can no longer be trusted; it is asked again as a new message."""
    return settle(tx, approval, Outcome(state=ApprovalState.VOID, by=(), why=why))


def abandon(tx: Tx, approval: Approval) -> None:
    """The run has ended: what it still asks is void, and what was approved is not sent any more.
    Repeat: harmless."""
    if approval.state in (ApprovalState.POSTING, ApprovalState.OPEN):
        make_void(tx, approval, "the run that asked has ended")
    elif approval.due_at is not None:
        approvals.set_due(tx, approval.id, None)
        approvals.add_note(tx, approval.id, "Nothing more is sent: the run that asked has ended.")
        for item in approval.items:
            claim = approvals.subject(tx, item.subject)
            is_ours = claim is not None and claim.approval_id == approval.id
            if is_ours and claim is not None and claim.state is SubjectState.ASKED:
                approvals.free(tx, item.subject)
        runs.wake_waiting_on(tx, "subject")


def decision_of(approval: Approval) -> Decision:
    """What a settled question allows."""
    ids = [item.device.device_id for item in approval.items] or [ANSWER]
    match approval.state:
        case ApprovalState.APPROVED:
            vetoed = {
                item.device.device_id: f"vetoed by {item.vetoed_by}"
                for item in approval.items
                if item.vetoed_by is not None
            }
            return Decision(approval_id=approval.id, approved=approval.chosen, refused=vetoed)
        case ApprovalState.DENIED:
            why = f"denied by {', '.join(approval.decided_by)}"
            return Decision(approval_id=approval.id, refused=dict.fromkeys(ids, why))
        case ApprovalState.EXPIRED:
            why = "nobody approved it in time, which is a no"
            return Decision(approval_id=approval.id, refused=dict.fromkeys(ids, why))
        case _:
            why = approval.why or "the question became void"
            return Decision(approval_id=approval.id, void=dict.fromkeys(ids, why))


def quick_yes(approval: Approval) -> str | None:
    """What is said of a yes that came faster than anybody reads; None for any other."""
    if approval.state is not ApprovalState.APPROVED or not approval.items:
        return None
    if approval.opened_at is None or approval.decided_at is None:
        return None
    if approval.decided_at - approval.opened_at >= QUICK:
        return None
    by = ", ".join(approval.decided_by)
    return f"Approved by {by} less than 5 seconds after the card was posted: was it read?"


def still_valid(approval: Approval, now: datetime) -> bool:
    """May an approved call still be sent? A yes is good as long as the question would have
    stood."""
    return (
        approval.state is ApprovalState.APPROVED
        and approval.decided_at is not None
        and approval.decided_at - CLOCK_SLACK <= now
        and now < approval.decided_at + timedelta(seconds=approval.expires_s)
    )
