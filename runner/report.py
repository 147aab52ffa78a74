"""Journal → what people read: cards, tickets, comments, the terminal's view of a case.

Pure: it reads records and makes documents with raw text; each connector escapes them once. It never
says more than what was verified.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from connectors.base import Effect
from connectors.document import (
    Block,
    Bullets,
    Code,
    Document,
    Heading,
    Paragraph,
    Table,
    shorten,
    visible,
)
from connectors.model import Alert, Assessment, Card, Device
from runner.config import Mode
from runner.journal import Tx, approvals, cases, ledger, runs
from runner.journal.records import (
    Approval,
    ApprovalState,
    Case,
    ChoiceRole,
    LedgerRow,
    LedgerState,
    Run,
    RunStatus,
    StepResult,
)

CMDLINE_SHOWN = 1500
VERB = {Effect.CONTAIN: "ISOLATE", Effect.RELEASE: "RELEASE"}
LEDGER_WORDS = {
    LedgerState.NONE: "not isolated",
    LedgerState.REQUESTED: "isolation requested, NOT contained",
    LedgerState.ACCEPTED: "isolation requested and accepted, NOT contained yet",
    LedgerState.CONFIRMED: "isolated, confirmed by the EDR's record",
    LedgerState.RELEASE_REQUESTED: "release requested, still isolated until confirmed",
    LedgerState.RELEASED: "released, confirmed by the EDR's record",
    LedgerState.FAILED: "isolation FAILED, not contained",
    LedgerState.UNKNOWN: "UNKNOWN: a person must look, treat as NOT contained",
}


def clock_text(at: datetime | None) -> str:
    """A time for people: always with its zone."""
    return "not yet" if at is None else at.strftime("%Y-%m-%d %H:%M:%S UTC")


def marked(text: str, mode: Mode) -> str:
    """Practice says so in everything that people see."""
    return f"PRACTICE: {text}" if mode is Mode.PRACTICE else text


def ticket_title(title: str, mode: Mode) -> str:
    return marked(title, mode)


def message_document(text: str, case_id: str, mode: Mode) -> Document:
    return Document(blocks=(Paragraph(text=marked(text, mode)), Paragraph(text=f"Case {case_id}.")))


# -- cards -----------------------------------------------------------------------------------------


def card(tx: Tx, approval: Approval, mode: Mode, mentions: tuple[str, ...]) -> Card:
    """The message that asks; `approval.expires_at` must be set. It carries the chain's head hash."""
    case = cases.read(tx, approval.case_id)
    alert = cases.read_alert(tx, case.alert_id)
    return Card(
        key=approval.id,
        fallback=marked(_question_text(approval), mode),
        body=Document(blocks=tuple(_card_blocks(tx, approval, case, alert, mode))),
        choices=tuple(asked.choice for asked in approval.choices),
        mentions=mentions,
    )


def _question_text(approval: Approval) -> str:
    names = [visible(item.device.hostname) for item in approval.items]
    shown = names[0] if len(names) == 1 else f"{len(names)} devices ({', '.join(names[:5])})"
    if _is_pick(approval):
        shown = f"one of {', '.join(names[:5])}"
    until = approval.expires_at.strftime("%H:%M UTC") if approval.expires_at else "?"
    return f"{VERB[approval.effect]} {shown}? by {until}"


def _is_pick(approval: Approval) -> bool:
    return any(asked.role is ChoiceRole.PICK for asked in approval.choices)


def _card_blocks(tx: Tx, approval: Approval, case: Case, alert: Alert, mode: Mode) -> list[Block]:
    blocks: list[Block] = [Heading(text=marked(_question_text(approval), mode))]
    blocks += assessment_blocks(case.assessment)
    if alert.cmdline:
        blocks.append(Code(text=shorten(alert.cmdline, CMDLINE_SHOWN)))
    blocks.append(_facts_table(case, alert))
    blocks.append(_device_table([item.device for item in approval.items]))
    blocks.append(Bullets(items=tuple(f"{i.device.hostname}: {i.proof}" for i in approval.items)))
    blocks.append(Paragraph(text=_consequence(approval)))
    blocks.append(Bullets(items=tuple(_answers(approval))))
    _, head = tx.head()
    ticket = f", ticket {case.ticket.key}" if case.ticket else ""
    blocks.append(
        Paragraph(
            text=f"Open until {clock_text(approval.expires_at)}. No answer by then is a no: nothing "
            f"is done. Question {approval.code}, {case.id}{ticket}. Plan "
            f"{approval.plan_sha256[:16]}, journal head {head}."
        )
    )
    return blocks


def _consequence(approval: Approval) -> str:
    if approval.effect is Effect.RELEASE:
        return f"A yes lets the device back on the network at once. Reason: {approval.reason}"
    return (
        "A yes cuts the device off from every network but its EDR console, at once: its user's work, "
        "remote sessions, shares and services on it stop. It is undone by "
        "`stockade release HOST --reason …`. Reason: " + approval.reason
    )


def _answers(approval: Approval) -> list[str]:
    """How to answer, an item a choice."""
    need = "one person" if approval.quorum == 1 else f"{approval.quorum} people"
    words = {
        ChoiceRole.APPROVE: f"yes, do it ({need} needed)",
        ChoiceRole.DENY: "no (one person is enough, and it beats a yes)",
    }
    lines = []
    for asked in approval.choices:
        meaning = words.get(asked.role, asked.choice.label)
        lines.append(f"react with :{asked.choice.emoji}: → {meaning}")
    return lines


def _device_table(devices: Sequence[Device]) -> Table:
    rows = tuple(
        (
            device.hostname,
            device.kind.value,
            device.domain or "no domain",
            ", ".join(device.users) or "nobody",
            ", ".join(device.addresses) or "none",
            clock_text(device.last_seen_at),
            device.device_id,
        )
        for device in devices
    )
    header = ("device", "kind", "domain", "user", "addresses", "last seen", "id")
    return Table(header=header, rows=rows)


def _facts_table(case: Case, alert: Alert) -> Table:
    rows = [
        ("host in the alert", alert.host or "none"),
        ("user", alert.user or "none"),
        ("parent", shorten(alert.parent or "none", 300)),
        ("seen", clock_text(alert.occurred_at)),
        ("alerts in the case", str(case.alert_count)),
    ]
    if case.linked:
        rows.append(("other cases on this host", ", ".join(case.linked)))
    rows += [("conflict", conflict) for conflict in alert.conflicts]
    return Table(header=("fact", "value"), rows=tuple(rows))


def assessment_blocks(judged: Assessment | None) -> list[Block]:
    """The judgement with its reasons, for and against."""
    if judged is None:
        return [Paragraph(text="Assessment: none yet.")]
    blocks: list[Block] = [
        Paragraph(text=f"Assessment: {judged.assessment} (score {judged.score}). {judged.summary}")
    ]
    for title, chosen in (
        ("Speaks for an attack", [r for r in judged.reasons if r.weight > 0]),
        ("Speaks against", [r for r in judged.reasons if r.weight <= 0]),
    ):
        items = tuple(f"{reason.weight:+d} {reason.text}" for reason in chosen) or (
            "nothing known",
        )
        blocks += [Paragraph(text=f"{title}:"), Bullets(items=items)]
    return blocks


def locked_card(approval: Approval, ledger_rows: Sequence[LedgerRow]) -> Card:
    """What the card shows once it takes no more answers."""
    assert approval.card is not None
    decided = decision_sentence(approval)
    rows = [f"{row.device.hostname}: {LEDGER_WORDS[row.state]}" for row in ledger_rows]
    blocks: list[Block] = [Heading(text=decided)]
    if rows:
        blocks.append(Bullets(items=tuple(rows)))
    blocks.append(Paragraph(text="This question takes no more answers. What was asked:"))
    return Card(
        key=approval.card.key,
        fallback=decided,
        body=Document(blocks=(*blocks, *approval.card.body.blocks)),
        choices=(),
        locked=True,
    )


def decision_sentence(approval: Approval) -> str:
    """What became of a question, in one sentence."""
    names = ", ".join(
        item.device.hostname
        for item in approval.items
        if not approval.chosen or item.device.device_id in approval.chosen
    )
    verb = VERB[approval.effect]
    at = clock_text(approval.decided_at)
    by = ", ".join(approval.decided_by)
    match approval.state:
        case ApprovalState.APPROVED:
            return f"APPROVED by {by} at {at}: {verb} {names}"
        case ApprovalState.DENIED:
            return f"DENIED by {by} at {at}: nothing is done to {names}"
        case ApprovalState.EXPIRED:
            return f"EXPIRED at {at}: nobody agreed in time, so nothing is done to {names}"
        case ApprovalState.VOID:
            return f"VOID at {at}: {approval.why or 'no longer valid'}; nothing is done under it"
    return f"{verb} {names}: open"


# -- cases -----------------------------------------------------------------------------------------


def case_document(tx: Tx, case: Case, mode: Mode) -> Document:
    """All that is known of a case: for its ticket, its comments and the terminal."""
    alert = cases.read_alert(tx, case.alert_id)
    asked = [one for run in runs.of_case(tx, case.id) for one in approvals.of_run(tx, run.id)]
    steps = [(run, runs.steps_of(tx, run.id)) for run in runs.of_case(tx, case.id)]
    blocks: list[Block] = [Heading(text=marked(f"Case {case.id}: {state_of(tx, case)}", mode))]
    blocks += assessment_blocks(case.assessment)
    if alert.cmdline:
        blocks.append(Code(text=shorten(alert.cmdline, CMDLINE_SHOWN)))
    blocks.append(_facts_table(case, alert))
    blocks += _containment_blocks(tx, case, asked)
    blocks += _spread_blocks(steps)
    blocks += _unchecked_blocks(steps)
    blocks += _timeline_blocks(case, asked, ledger.of_case(tx, case.id), steps)
    _, head = tx.head()
    blocks.append(Paragraph(text=f"Revision {case.revision}. Journal head {head}."))
    return Document(blocks=tuple(blocks))


def state_of(tx: Tx, case: Case) -> str:
    """Where a case stands, in a few words that promise nothing."""
    ended = runs.of_case(tx, case.id)
    rows = ledger.of_case(tx, case.id)
    parts = [f"{row.device.hostname} {LEDGER_WORDS[row.state]}" for row in rows]
    for run in ended:
        if run.status is RunStatus.PARKED:
            parts.append("a person must resolve what happened")
        elif run.status is RunStatus.FAILED:
            parts.append(f"the run FAILED ({run.error})")
        elif run.status is RunStatus.WAITING and run.wait_on == "approval":
            parts.append("waiting for people")
        elif run.status is RunStatus.SUCCEEDED:
            parts.append(f"run ended: {run.result}")
        else:
            parts.append("under way")
    return "; ".join(parts) or case.status.value


def _containment_blocks(tx: Tx, case: Case, asked: Sequence[Approval]) -> list[Block]:
    blocks: list[Block] = [Heading(text="Containment")]
    rows = ledger.of_case(tx, case.id)
    items = [f"{row.device.hostname} ({row.device.device_id}): {_ledger_text(row)}" for row in rows]
    blocks.append(Bullets(items=tuple(items) or ("no device is isolated through this case",)))
    for approval in asked:
        blocks.append(Paragraph(text=f"Question {approval.code}: {decision_sentence(approval)}"))
        votes = tuple(
            f"{vote.person or 'not an approver'} (account {vote.account}) :{vote.choice}: first seen "
            f"{clock_text(vote.seen_at)}, "
            + ("counted" if vote.counted else f"not counted: {vote.why_not}")
            for vote in approval.votes
        )
        if votes:
            blocks.append(Bullets(items=votes))
    if rows:
        names = " or ".join(sorted({row.device.hostname for row in rows}))
        blocks.append(Paragraph(text=f"To undo: stockade release {names} --reason …"))
    return blocks


def _ledger_text(row: LedgerRow) -> str:
    text = f"{LEDGER_WORDS[row.state]} since {clock_text(row.times.get(row.state))}"
    if row.verified_at is not None and row.state is LedgerState.CONFIRMED:
        text += f", verified {clock_text(row.verified_at)}"
    if not row.is_ours:
        text += "; it was isolated before us"
    if row.drift:
        text += f"; DRIFT: {row.drift}"
    return text


def _values(steps: Sequence[tuple[Run, list[StepResult]]], suffix: str) -> list[Any]:
    """The values of all steps whose key ends so."""
    return [
        step.value
        for _, found in steps
        for step in found
        if step.key.endswith(suffix) and step.value
    ]


def _spread_blocks(steps: Sequence[tuple[Run, list[StepResult]]]) -> list[Block]:
    blocks: list[Block] = [Heading(text="Spread")]
    hunts = _values(steps, "#result")
    hosts = [host for hunt in hunts for host in hunt.get("hosts", [])]
    if hosts:
        rows = tuple(
            (
                str(host.get("host")),
                str(host.get("at")),
                str(host.get("user")),
                shorten(str(host.get("cmdline")), 300),
            )
            for host in hosts
        )
        blocks.append(Table(header=("host", "at", "user", "command line"), rows=rows))
    said = tuple(str(hunt.get("summary")) for hunt in hunts) or ("not searched yet",)
    return [*blocks, Bullets(items=said)]


def _unchecked_blocks(steps: Sequence[tuple[Run, list[StepResult]]]) -> list[Block]:
    gaps = [str(gap) for hunt in _values(steps, "#result") for gap in hunt.get("not_searched", [])]
    failed = [
        f"{step.key}: {step.error.text}" for _, found in steps for step in found if step.error
    ]
    always = [
        "other ways in and out than the same stylesheet address",
        "hosts whose events do not reach the SIEM",
    ]
    return [Heading(text="Not checked"), Bullets(items=tuple([*gaps, *failed, *always]))]


def _timeline_blocks(
    case: Case,
    asked: Sequence[Approval],
    rows: Sequence[LedgerRow],
    steps: Sequence[tuple[Run, list[StepResult]]],
) -> list[Block]:
    moments: list[tuple[datetime, str]] = [(case.first_at, "case opened")]
    for approval in asked:
        for at, what in (
            (approval.opened_at, f"question {approval.code} asked"),
            (approval.decided_at, decision_sentence(approval)),
        ):
            if at is not None:
                moments.append((at, what))
    for row in rows:
        moments += [(at, f"{row.device.hostname}: {state}") for state, at in row.times.items()]
    for run, _ in steps:
        if run.ended_at is not None:
            moments.append((run.ended_at, f"run {run.status}: {run.result or run.error}"))
    lines = tuple(f"{clock_text(at)}  {what}" for at, what in sorted(moments))
    return [Heading(text="Timeline"), Bullets(items=lines)]
