"""The words that cards, tickets and the terminal share, so that one state reads the same
everywhere."""

from __future__ import annotations

import re
from datetime import datetime

from connectors.base import Effect
from connectors.document import Block, Bullets, Code, Document, Paragraph, Table, shorten
from connectors.model import Alert, Assessment
from runner.config import Mode
from runner.journal import ledger
from runner.journal.records import Case, LedgerRow, LedgerState
from runner.journal.talk_records import TalkVerdict
from runner.masking import mask_secrets
from runner.wmic import score_text

CMDLINE_SHOWN = 1500
PRACTICE = "PRACTICE: "
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
    LedgerState.FOREIGN: "contained by somebody else, not through this runner",
}


def ledger_words(row: LedgerRow) -> str:
    """A row's state in words; what was heard against it goes with it, for ever."""
    words = LEDGER_WORDS[row.state]
    if not ledger.is_contradicted(row):
        if row.talk is not None and row.talk.verdict is TalkVerdict.SILENT:
            return f"{words} and by silence" if row.state is LedgerState.CONFIRMED else words
        return words
    if row.state is LedgerState.CONFIRMED:
        return "isolated, says the EDR's record, YET IT TALKS: treat as NOT contained"
    return f"{words} (while it was isolated, it talked)"


def heard_of(row: LedgerRow) -> str | None:
    """What its own events say of an isolation; None where nobody listened, or it is over."""
    if row.talk is None or row.talk.verdict is None:
        return None
    is_shown = row.state is LedgerState.CONFIRMED or ledger.is_contradicted(row)
    return mask_secrets(row.talk.text) if is_shown else None


STEP_WORDS = {
    "ticket": "opening the ticket",
    "comment": "a comment on the ticket",
    "message": "a message in chat",
    "assess": "judging the line",
    "event": "reading the event itself",
    "device": "finding the machine at the EDR",
    "target": "finding the machine at the EDR",
    "places": "finding the machine at the EDR",
    "devices": "finding the machines at the EDR",
    "start": "a search in the SIEM",
    "status": "a search in the SIEM",
    "rows": "a search in the SIEM",
    "search": "a search in the SIEM",
    "trace": "tracing where it came from",
    "origin": "tracing where it came from",
    "rule": "asking the guards",
    "ask": "asking people",
    "do": "the request to the EDR",
    "verify": "reading whether the EDR did it",
}
"""What a call of a step was for, by how its key ends."""


def call_words(step_key: str) -> str:
    """What a call of a playbook's step was for, with the step's own name."""
    path, _, call = step_key.partition("#")
    kind = re.match(r"[a-z]*", call)
    purpose = STEP_WORDS.get(kind[0] if kind else "", "a call")
    return f"{purpose} (step {re.split(r'[./]', path)[-1]})"


def clock_text(at: datetime | None) -> str:
    """A time for people: always with its zone."""
    return "not yet" if at is None else at.strftime("%Y-%m-%d %H:%M:%S UTC")


def marked(text: str, mode: Mode) -> str:
    """Practice says so in everything that people see. Repeat: marked text stays as it is."""
    if mode is not Mode.PRACTICE or text.startswith(PRACTICE):
        return text
    return PRACTICE + text


def ticket_title(title: str, mode: Mode) -> str:
    return marked(mask_secrets(title), mode)


def message_document(text: str, case_id: str, mode: Mode) -> Document:
    said = marked(mask_secrets(text), mode)
    return Document(blocks=(Paragraph(text=said), Paragraph(text=f"Case {case_id}.")))


def cmdline_block(cmdline: str) -> Code:
    """The command line without its secrets: masked whole, since a cut could split a password."""
    return Code(text=shorten(mask_secrets(cmdline), CMDLINE_SHOWN))


def facts_table(case: Case, alert: Alert) -> Table:
    rows = [
        ("host in the alert", alert.host or "none"),
        ("user", alert.user or "none"),
        ("parent", shorten(mask_secrets(alert.parent or "none"), 300)),
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
    said = f"Assessment: {judged.assessment}, {score_text(judged)}."
    # Most often the summary is the gravest reason, word for word; once is enough.
    if all(reason.text != judged.summary for reason in judged.reasons):
        said = f"{said} {judged.summary}"
    blocks: list[Block] = [Paragraph(text=said)]
    neutral = [reason for reason in judged.reasons if reason.weight == 0]
    for title, chosen in (
        ("Speaks for an attack", [r for r in judged.reasons if r.weight > 0]),
        ("Speaks against", [r for r in judged.reasons if r.weight < 0]),
        *([("Proves nothing either way", neutral)] if neutral else []),
    ):
        items = tuple(f"{reason.weight:+d} {reason.text}" for reason in chosen) or (
            "nothing known",
        )
        blocks += [Paragraph(text=f"{title}:"), Bullets(items=items)]
    return blocks
