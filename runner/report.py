"""Journal → what people read of a case: its ticket, its comments, the terminal's view.

Pure: it reads records and makes documents with raw text; each connector escapes them once. It never
says more than what was verified.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any

import msgspec

from connectors.document import Block, Bullets, Document, Heading, Paragraph, Table, shorten
from runner import ticket_trouble
from runner.anchors import latest
from runner.approvals import quick_yes
from runner.card_text import decision_sentence
from runner.case_graph import graph_of, origin_blocks
from runner.choices import WORDS, said_by
from runner.config import Mode
from runner.guards import GuardAnswer, Ruling, denials, strictest
from runner.journal import Tx, approvals, cases, ledger, runs
from runner.journal.records import (
    STANDING,
    Approval,
    Case,
    LedgerRow,
    LedgerState,
    Run,
    RunStatus,
    StepResult,
    StepStatus,
    Vote,
)
from runner.masking import mask_secrets
from runner.wording import (
    assessment_blocks,
    call_words,
    clock_text,
    cmdline_block,
    facts_table,
    heard_of,
    ledger_words,
    marked,
)

ERROR_WORDS = {StepStatus.FAILED: "failed", StepStatus.UNKNOWN: "nobody knows whether it happened"}


def case_document(tx: Tx, case: Case, mode: Mode) -> Document:
    """All that is known of a case: for its ticket, its comments and the terminal."""
    alert = cases.read_alert(tx, case.alert_id)
    asked = [one for run in runs.of_case(tx, case.id) for one in approvals.of_run(tx, run.id)]
    steps = [(run, runs.steps_of(tx, run.id)) for run in runs.of_case(tx, case.id)]
    mode = _mode_of(tx, case, asked, mode)
    blocks: list[Block] = [Heading(text=marked(f"Case {case.id}: {state_of(tx, case)}", mode))]
    blocks += assessment_blocks(case.assessment)
    if alert.cmdline:
        blocks.append(cmdline_block(alert.cmdline))
    blocks.append(facts_table(case, alert))
    if case.undo is not None:
        blocks.append(Paragraph(text=f"UNDO: {mask_secrets(case.undo)}"))
    blocks += _containment_blocks(tx, case, asked, steps)
    blocks += origin_blocks(graph_of(tx, case), _values(steps, "#origin"))
    blocks += _spread_blocks(steps)
    blocks += _refused_blocks(steps)
    if said := ticket_trouble.lines(tx, case):
        blocks += [Heading(text="Its ticket"), Bullets(items=said)]
    blocks += _unchecked_blocks(steps)
    blocks += _timeline_blocks(case, asked, ledger.of_case(tx, case.id), steps)
    blocks.append(Paragraph(text=f"Revision {case.revision}. Journal anchor {latest(tx)}."))
    return Document(blocks=tuple(blocks))


def _mode_of(tx: Tx, case: Case, asked: Sequence[Approval], mode: Mode) -> Mode:
    """In which mode the case was worked on: what was isolated is no practice, whatever the mode is
    by now, and what was practised stays that."""
    modes = {approval.mode for approval in asked}
    if Mode.ACT in modes or ledger.of_case(tx, case.id):
        return Mode.ACT
    return Mode.PRACTICE if Mode.PRACTICE in modes else mode


def state_of(tx: Tx, case: Case) -> str:
    """Where a case stands, in a few words that promise nothing."""
    ended = runs.of_case(tx, case.id)
    rows = ledger.of_case(tx, case.id)
    parts = [f"{row.device.hostname} {ledger_words(row)}" for row in rows]
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


def _containment_blocks(
    tx: Tx,
    case: Case,
    asked: Sequence[Approval],
    steps: Sequence[tuple[Run, list[StepResult]]],
) -> list[Block]:
    blocks: list[Block] = [Heading(text="Containment")]
    rows = ledger.of_case(tx, case.id)
    items = [f"{row.device.hostname} ({row.device.device_id}): {_ledger_text(row)}" for row in rows]
    items += _unasked(steps)
    blocks.append(Bullets(items=tuple(items) or ("no device is isolated through this case",)))
    for approval in asked:
        blocks.append(Paragraph(text=f"Question {approval.code}: {decision_sentence(approval)}"))
        votes = [_vote_line(approval, vote) for vote in approval.votes]
        if (quick := quick_yes(approval)) is not None:
            votes.append(quick)
        if said := (*votes, *approval.late_noes):
            blocks.append(Bullets(items=said))
    if rows:
        names = " or ".join(sorted({row.device.hostname for row in rows}))
        blocks.append(Paragraph(text=f"To undo: stockade release {names} --reason …"))
    return blocks


def _vote_line(approval: Approval, vote: Vote) -> str:
    who = f"{vote.person or 'not an approver'} (account {vote.account})"
    counted = "counted" if vote.counted else f"not counted: {vote.why_not}"
    said = said_by(approval, vote.choice)
    if vote.is_typed:
        # One that was typed wrongly is kept with its first word, which no card offers.
        said = f"typed «{vote.choice}»" if vote.choice in WORDS else f"{said} in words"
    return f"{who} {said}: first seen {clock_text(vote.seen_at)}, {counted}"


def _unasked(steps: Sequence[tuple[Run, list[StepResult]]]) -> list[str]:
    """Why nobody was asked about a device: a guard denied it, or the runner only observes."""
    lines: list[str] = []
    for _, found in steps:
        names = _device_names(found)
        for step in found:
            if "#rule." not in step.key or not step.value:
                continue
            for device_id, given in step.value["answers"].items():
                answers = msgspec.convert(given, list[GuardAnswer])
                name = names.get(device_id, device_id)
                if strictest(answers) is Ruling.DENY:
                    lines.append(f"{name}: NOT asked about, guards deny it: {denials(answers)}")
                elif step.value["mode"] == Mode.OBSERVE:
                    lines.append(f"{name}: observed only; people would have been asked")
    return list(dict.fromkeys(lines))


def _device_names(found: Sequence[StepResult]) -> dict[str, str]:
    return {
        device["device_id"]: device["hostname"]
        for step in found
        if step.key.endswith("#target") and step.value
        for target in step.value
        for device in target["devices"]
    }


def _ledger_text(row: LedgerRow) -> str:
    text = f"{ledger_words(row)} since {clock_text(row.times.get(row.state))}"
    if row.verified_at is not None and row.state is LedgerState.CONFIRMED:
        text += f", verified {clock_text(row.verified_at)}"
    if not row.is_ours and row.state is not LedgerState.FOREIGN:
        text += "; it was isolated before us"
    if row.lease_until is not None and row.state in STANDING:
        text += f"; leased until {clock_text(row.lease_until)}"
    if row.drift:
        text += f"; DRIFT: {row.drift}"
    if heard := heard_of(row):
        text += f"; {heard}"
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
                shorten(mask_secrets(str(host.get("cmdline"))), 300),
            )
            for host in hosts
        )
        blocks.append(Table(header=("host", "at", "user", "command line"), rows=rows))
    said = tuple(str(hunt.get("summary")) for hunt in hunts) or ("not searched yet",)
    return [*blocks, Bullets(items=said)]


def _refused_blocks(steps: Sequence[tuple[Run, list[StepResult]]]) -> list[Block]:
    """What the playbook wanted and the configuration does not allow; nothing when all went."""
    lines: dict[str, None] = {}
    for _, found in steps:
        for step in found:
            where = step.key.partition("#")[0].strip("/")
            if step.status is StepStatus.DENIED and step.error:
                lines[f"{where}: NOT done, {step.error.text}"] = None
            elif "#mode." in step.key and step.value and step.value not in tuple(Mode):
                lines[f"{where}: people NOT asked, {step.value}"] = None
    return [Heading(text="Not allowed"), Bullets(items=tuple(lines))] if lines else []


def _unchecked_blocks(steps: Sequence[tuple[Run, list[StepResult]]]) -> list[Block]:
    hunts = [*_values(steps, "#assess"), *_values(steps, "#origin"), *_values(steps, "#result")]
    gaps = dict.fromkeys(str(gap) for hunt in hunts for gap in hunt.get("not_searched", []))
    failed = [
        f"{call_words(step.key)}: {ERROR_WORDS.get(step.status, 'not done yet')}: {step.error.text}"
        for _, found in steps
        for step in found
        if step.error and step.status is not StepStatus.DENIED
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
    lines = tuple(f"{clock_text(at)}  {what}" for at, what in sorted(moments, key=itemgetter(0)))
    return [Heading(text="Timeline"), Bullets(items=lines)]
