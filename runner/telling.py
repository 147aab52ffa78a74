"""The actions that tell: tickets and messages. Each is found again by a key before it is made
again."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

import msgspec

from connectors.base import Chat, Tickets, action_of
from connectors.document import Document, Paragraph
from connectors.model import TicketDraft, TicketRef
from runner import report, wording
from runner.context import Call
from runner.journal import cases
from runner.journal.records import Case
from runner.masking import mask_secrets
from runner.work import Work, read

SENT = "sent"


def correlation_of(case_id: str) -> str:
    """The key by which a case's ticket is found again, for ever."""
    return f"stockade-{case_id}"


async def create_ticket(work: Work) -> Any:
    """Open the case's one ticket; an earlier one with the same key is adopted, closed or not. When
    the search finds none, but the journal knows the case's ticket, none is opened: either the
    search lags, or people deleted it, which the follow-up tells."""
    bench = work.bench
    case_id = work.ctx.run.case_id
    correlation = correlation_of(case_id)

    def send(_elapsed_s: float) -> TicketRef:
        tickets = bench.roles.tickets
        found = tickets.find_ticket(correlation)
        if found is not None:
            return found
        with bench.journal.read() as tx:
            case = cases.read(tx, case_id)
            body = report.case_document(tx, case, work.mode)
        return case.ticket or tickets.create_ticket(_draft(work, case, body))

    action = action_of(Tickets.create_ticket)
    made = await work.ctx.call(
        f"{work.path}#ticket",
        Call(
            name="create_ticket",
            send=send,
            action=action,
            look=lambda _at: bench.roles.tickets.find_ticket(correlation),
            settle_s=bench.roles.settle_s("tickets", action) if bench.roles.has("tickets") else 0,
            again_s=work.step.timeout_s or 86400.0,
        ),
    )
    if state := unsent_state(made):
        return {"key": "", "url": "", "state": state}
    ref = msgspec.convert(made, TicketRef)
    with bench.journal.read() as tx:
        is_known = cases.read(tx, case_id).ticket == ref
    if not is_known:
        with bench.journal.write() as tx:
            kept = msgspec.structs.replace(cases.read(tx, case_id), ticket=ref)
            cases.save(tx, kept)
            cases.set_reported(tx, case_id, kept.revision)
            tx.entry("ticket_opened", {"case": case_id}, ref)
    return {"key": ref.key, "url": ref.url, "state": SENT}


def unsent_state(made: Any) -> str | None:
    """Why nothing was sent: the mode only observes, or the configuration does not allow it."""
    if made is None:
        return "observed"
    return "denied" if "denied" in made else None


def _draft(work: Work, case: Case, body: Document) -> TicketDraft:
    judged = case.assessment
    return TicketDraft(
        correlation=correlation_of(case.id),
        title=wording.ticket_title(str(work.inputs["title"]), work.mode),
        body=body,
        severity=work.severity,
        values={
            "severity": work.severity,
            "assessment": judged.assessment.value if judged else "",
            "host": case.host or "",
            "case": case.id,
            "search": case.search,
            "playbook": work.ctx.run.playbook,
        },
    )


async def comment_ticket(work: Work) -> Any:
    """Add a sentence to the case's ticket."""
    bench = work.bench

    def which(_elapsed_s: float) -> TicketRef | None:
        with bench.journal.read() as tx:
            return cases.read(tx, work.ctx.run.case_id).ticket

    ticket = await read(work, "which", which)
    if ticket is None:
        return {"key": "", "state": "no_ticket"}
    ref = msgspec.convert(ticket, TicketRef)
    key = message_key(work)
    body = Document(blocks=(Paragraph(text=mask_secrets(str(work.inputs["text"]))),))
    action = action_of(Tickets.comment_ticket)

    def send(_elapsed_s: float) -> dict[str, str]:
        bench.roles.tickets.comment_ticket(ref, key, body)
        return {"key": ref.key}

    def look(_at: datetime) -> dict[str, str] | None:
        return {"key": ref.key} if bench.roles.tickets.find_comment(ref, key) else None

    done = await work.ctx.call(
        f"{work.path}#comment",
        Call(
            name="comment_ticket",
            send=send,
            action=action,
            look=look,
            settle_s=bench.roles.settle_s("tickets", action),
            again_s=work.step.timeout_s or 300.0,
        ),
    )
    state = unsent_state(done)
    return {"key": "" if state else ref.key, "state": state or SENT}


async def post_message(work: Work) -> Any:
    """Say something in the responders' channel, once."""
    roles = work.bench.roles
    key = message_key(work)
    body = wording.message_document(str(work.inputs["text"]), work.ctx.run.case_id, work.mode)
    action = action_of(Chat.post_message)
    posted = await work.ctx.call(
        f"{work.path}#message",
        Call(
            name="post_message",
            send=lambda _s: roles.chat.post_message(key, body),
            action=action,
            look=lambda at: roles.chat.find_message(key, sent_at=at),
            settle_s=roles.settle_s("chat", action) if roles.has("chat") else 0,
            again_s=work.step.timeout_s or 300.0,
        ),
    )
    state = unsent_state(posted)
    return {"id": "" if state else posted["id"], "state": state or SENT}


def message_key(work: Work) -> str:
    """The key by which a message or a comment of this step is found again."""
    return hashlib.sha256(f"{work.ctx.run.id}:{work.path}".encode()).hexdigest()[:24]
