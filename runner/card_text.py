"""What a card says: the question with all that a person needs, and what became of it.

Pure: it reads records and makes documents with raw text; each chat connector escapes them once.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from connectors.base import Effect
from connectors.document import (
    Block,
    Bullets,
    Document,
    Heading,
    Paragraph,
    Table,
    visible,
)
from connectors.model import Alert, Card, Choice, Device, IsolationState
from runner.anchors import latest, of_decision
from runner.card_second import not_seen, where_decided
from runner.choices import is_general, is_pick
from runner.electing import Voters
from runner.journal import Tx, cases, ledger
from runner.journal.records import (
    Approval,
    ApprovalItem,
    ApprovalState,
    AskedChoice,
    Case,
    ChoiceRole,
    LedgerRow,
)
from runner.masking import mask_secrets
from runner.wording import (
    VERB,
    assessment_blocks,
    clock_text,
    cmdline_block,
    facts_table,
    ledger_words,
    marked,
)


def card(
    tx: Tx,
    approval: Approval,
    mentions: tuple[str, ...],
    who: tuple[str, ...],
    notice: str | None = None,
) -> Card:
    """The message that asks; `approval.expires_at` must be set. It carries the chain's
    anchor. `who`: who may answer, as `who_may_answer` says it, and how to do it in words.
    `notice`: what is said first."""
    case = cases.read(tx, approval.case_id)
    alert = cases.read_alert(tx, case.alert_id)
    return Card(
        key=approval.id,
        fallback=marked(question_text(approval), approval.mode),
        body=Document(blocks=tuple(_card_blocks(tx, approval, case, alert, who, notice))),
        choices=tuple(_explained(approval, asked) for asked in approval.choices),
        mentions=mentions,
    )


def question_text(approval: Approval) -> str:
    """The question in one line, as a phone shows it."""
    if is_general(approval):
        until = approval.expires_at.strftime("%H:%M UTC") if approval.expires_at else "?"
        return f"{visible(mask_secrets(approval.reason))} Answer by {until}"
    names = [visible(item.device.hostname) for item in approval.items]
    shown = names[0] if len(names) == 1 else f"{len(names)} devices ({', '.join(names[:5])})"
    if is_pick(approval):
        shown = f"one of {', '.join(names[:5])}"
    until = approval.expires_at.strftime("%H:%M UTC") if approval.expires_at else "?"
    return f"{VERB[approval.effect]} {shown}? by {until}"


def _card_blocks(
    tx: Tx, approval: Approval, case: Case, alert: Alert, who: tuple[str, ...], notice: str | None
) -> list[Block]:
    blocks: list[Block] = [Heading(text=marked(question_text(approval), approval.mode))]
    if notice is not None:
        blocks.append(Paragraph(text=notice))
    blocks += assessment_blocks(case.assessment)
    if alert.cmdline:
        blocks.append(cmdline_block(alert.cmdline))
    blocks.append(facts_table(case, alert))
    if not is_general(approval):
        blocks += _about_devices(tx, approval, case)
    blocks.append(Bullets(items=who))
    ticket = f", ticket {case.ticket.key}" if case.ticket else ""
    blocks.append(
        Paragraph(
            text=f"Open until {clock_text(approval.expires_at)}. {_without_answer(approval)} "
            f"Question {approval.code}, {case.id}{ticket}. Plan "
            f"{approval.plan_sha256[:16]}, journal anchor {latest(tx)}."
        )
    )
    return blocks


def _about_devices(tx: Tx, approval: Approval, case: Case) -> list[Block]:
    proofs = tuple(f"{item.device.hostname}: {item.proof}" for item in approval.items)
    blocks: list[Block] = [
        _device_table([item.device for item in approval.items]),
        Bullets(items=proofs),
        *(Paragraph(text=text) for text in _consequence(tx, approval)),
    ]
    if case.assessment is None or approval.reason != case.assessment.summary:
        blocks.append(Paragraph(text=f"Reason: {mask_secrets(approval.reason)}"))
    return blocks


def _without_answer(approval: Approval) -> str:
    """What silence means."""
    if is_general(approval):
        return f"No answer by then counts as: {label_of(approval, approval.on_expiry)}."
    return "No answer by then is a no: nothing is done."


def reminder(approval: Approval) -> str:
    """What the thread is told when half the time has gone."""
    until = approval.expires_at.strftime("%H:%M UTC") if approval.expires_at else "?"
    if is_general(approval):
        label = label_of(approval, approval.on_expiry)
        return f"Still open: without an answer by {until} it counts as: {label}."
    return f"Still open: without a yes by {until} nothing is done."


def label_of(approval: Approval, answer: str | None) -> str:
    """What people read for an answer's name."""
    labels = {asked.choice.name: asked.choice.label for asked in approval.choices}
    return visible(mask_secrets(labels.get(answer or "", "nothing")))


def _consequence(tx: Tx, approval: Approval) -> list[str]:
    if approval.effect is Effect.RELEASE:
        rows = [ledger.find(tx, item.device.subject) for item in approval.items]
        return [
            "A yes lets the device back on the network at once.",
            *(_held_by(row) for row in rows if row is not None),
        ]
    hosts = [visible(item.device.hostname) for item in approval.items]
    return [
        *(_by_others(item.device) for item in approval.items if item.device.state in CUT),
        "A yes cuts the device off from every network but its EDR console, at once: its user's "
        "work, remote sessions, shares and services on it stop.",
        *_lease(approval),
        f"To undo: stockade release {hosts[0] if len(hosts) == 1 else 'HOST'} --reason …",
    ]


CUT = (IsolationState.CONTAINED, IsolationState.CONTAIN_PENDING)


def _by_others(device: Device) -> str:
    """Shown as contained before anybody agreed to it here."""
    return (
        f"{visible(device.hostname)} is contained already, by somebody else: the EDR says "
        f"{device.state}. A yes notes this case as a holder; nothing is sent, and it is "
        "not ours to lift."
    )


def _lease(approval: Approval) -> list[str]:
    if approval.lease_h is None:
        return []
    return [f"Its lease is {approval.lease_h:g} h; then people are asked to release it."]


def _held_by(row: LedgerRow) -> str:
    """For whom it is isolated: a release concerns all of them."""
    whose = "" if row.is_ours else " Somebody else had isolated it before us."
    return f"{row.device.hostname} is isolated for {', '.join(row.holders)}.{whose}"


def _explained(approval: Approval, asked: AskedChoice) -> Choice:
    """A choice whose label says what it does; each product shows its emoji in its own way."""
    need = "one person" if approval.quorum == 1 else f"{approval.quorum} people"
    words = {
        ChoiceRole.APPROVE: f"yes, do it ({need} needed)",
        ChoiceRole.DENY: "no (one person is enough, and it beats a yes)",
    }
    meaning = words.get(asked.role, asked.choice.label)
    if asked.role is ChoiceRole.ANSWER:
        meaning = f"{label_of(approval, asked.choice.name)} ({need} needed)"
    return msgspec.structs.replace(asked.choice, label=meaning)


def who_may_answer(approval: Approval, voters: Voters, after_s: int) -> str:
    """Who may answer, who is called next and when, who is left out; and that a yes cannot come,
    where it cannot."""
    said = [f"may answer: {', '.join(voters.now) or 'nobody'}"]
    if voters.later:
        names = ", ".join(voters.later)
        is_now = not voters.are_enough(approval.quorum)
        when = "called at once" if is_now else f"called after {after_s // 60} min"
        said.append(f"then {names}, too ({when})")
    if voters.left_out:
        said.append(f"left out of this question: {', '.join(voters.left_out)}")
    if len(voters.now) + len(voters.later) < approval.quorum:
        said.append(f"TOO FEW for the {approval.quorum} needed: it can only end as a no")
    return "; ".join(said)


def _device_table(devices: Sequence[Device]) -> Table:
    rows = tuple(
        (
            f"{place}. {device.hostname}" if len(devices) > 1 else device.hostname,
            device.kind.value,
            device.domain or "no domain",
            ", ".join(device.users) or "nobody",
            ", ".join(device.addresses) or "none",
            clock_text(device.last_seen_at),
            device.device_id,
        )
        for place, device in enumerate(devices, 1)
    )
    header = ("device", "kind", "domain", "user", "addresses", "last seen", "id")
    return Table(header=header, rows=rows)


def locked_card(tx: Tx, approval: Approval, asked: Card) -> Card:
    """What the card shows once it takes no more answers; `asked` is what it showed before."""
    decided = decision_sentence(approval)
    found = [ledger.find(tx, item.device.subject) for item in approval.items]
    rows = [f"{row.device.hostname}: {ledger_words(row)}" for row in found if row is not None]
    blocks: list[Block] = [Heading(text=decided)]
    if rows:
        blocks.append(Bullets(items=tuple(rows)))
    blocks.append(Paragraph(text="This question takes no more answers. What was asked:"))
    return Card(
        key=asked.key,
        fallback=decided,
        body=Document(blocks=(*blocks, *asked.body.blocks)),
        choices=(),
        locked=True,
    )


def decision_reply(tx: Tx, approval: Approval) -> str:
    """What the thread is told of a decision, with the anchor of its own entry: a repeat says the
    same."""
    anchor = of_decision(tx, approval.id, approval.state)
    return decision_sentence(approval) + (f". Journal anchor {anchor}." if anchor else ".")


def decision_sentence(approval: Approval) -> str:
    """What became of a question, in one sentence; of one in practice it says so first."""
    said = _answer_sentence(approval) if is_general(approval) else _decided(approval)
    return marked(said, approval.mode)


def _decided(approval: Approval) -> str:
    meant = [
        item
        for item in approval.items
        if not approval.chosen or item.device.device_id in approval.chosen
    ]
    if approval.state is ApprovalState.APPROVED:
        stopped = [item for item in meant if item.vetoed_by is not None]
        if stopped:
            return _agreed_and_stopped(approval, meant, stopped)
    names = ", ".join(item.device.hostname for item in meant)
    verb = VERB[approval.effect]
    at = clock_text(approval.decided_at)
    by = ", ".join(approval.decided_by) + where_decided(approval)
    match approval.state:
        case ApprovalState.APPROVED:
            return f"APPROVED by {by} at {at}: {verb} {names}{not_seen(approval)}"
        case ApprovalState.DENIED:
            return f"DENIED by {by} at {at}: nothing is done to {names}"
        case ApprovalState.EXPIRED:
            return f"EXPIRED at {at}: nobody agreed in time, so nothing is done to {names}"
        case ApprovalState.VOID:
            return f"VOID at {at}: {approval.why or 'no longer valid'}; nothing is done under it"
    return f"{verb} {names}: open"


def _agreed_and_stopped(
    approval: Approval, meant: Sequence[ApprovalItem], stopped: Sequence[ApprovalItem]
) -> str:
    """People agreed, and a no came before it was sent."""
    kept = ", ".join(item.device.hostname for item in meant if item not in stopped)
    off = ", ".join(item.device.hostname for item in stopped)
    by = ", ".join(sorted({str(item.vetoed_by) for item in stopped}))
    agreed_by = ", ".join(approval.decided_by) + where_decided(approval)
    agreed = f"APPROVED by {agreed_by} at {clock_text(approval.decided_at)}"
    done = f": {VERB[approval.effect]} {kept}" if kept else ""
    return f"{agreed}{done}; STOPPED by {by} before anything was sent: nothing is done to {off}"


def _answer_sentence(approval: Approval) -> str:
    asked = visible(mask_secrets(approval.reason))
    at = clock_text(approval.decided_at)
    match approval.state:
        case ApprovalState.APPROVED:
            answer = label_of(approval, approval.chosen[0])
            by = ", ".join(approval.decided_by) + where_decided(approval)
            return f"ANSWERED by {by} at {at}: {asked} {answer}{not_seen(approval)}"
        case ApprovalState.EXPIRED:
            answer = label_of(approval, approval.on_expiry)
            return f"EXPIRED at {at}: {asked} Nobody answered, which counts as: {answer}"
        case ApprovalState.VOID:
            return f"VOID at {at}: {approval.why or 'no longer valid'}; no answer counts"
    return f"{asked} open"
