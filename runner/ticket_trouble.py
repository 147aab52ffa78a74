"""What a ticket did not take, and what nobody knows of it: noted once, found again, said.

Transactions only: it speaks to no product.
"""

from __future__ import annotations

from datetime import datetime

import msgspec
from msgspec import Struct

from connectors.model import TicketRef
from runner.journal import Tx, approvals, runs
from runner.journal.records import Case, StepResult, StepStatus

KIND = "ticket_refused"
KEYS = {"status": "move.", "comment": "comment.", "evidence": "attach."}
"""Part of a ticket's keeping up → how the keys of its steps begin."""
OWN = (*KEYS.values(), "said.")
"""What is sent to the ticket itself; other steps of its scope are posts in the channel."""
WORDS = {"status": "a change of its status", "comment": "a comment", "evidence": "a file"}


class Refusal(Struct, frozen=True, kw_only=True):
    """A part of a case's ticket that the product refused for good."""

    case_id: str
    ticket: str
    part: str
    why: str
    at: datetime

    def sentence(self) -> str:
        return (
            f"ticket {self.ticket} of {self.case_id} refused {WORDS[self.part]} ({self.why}): "
            f"what it does not tell, stockade show {self.case_id} does"
        )


def scope_of(case_id: str) -> str:
    """Under which name the journal keeps what is done to a case's ticket."""
    return f"case:{case_id}"


def note_refusal(tx: Tx, case: Case, ticket: TicketRef, part: str, why: str) -> bool:
    """Write it down, once for each part of a revision; True for the first time."""
    known = tx.one(
        "select 1 from entry where kind = ? and json_extract(refs, '$.case') = ?"
        " and json_extract(refs, '$.revision') = ? and json_extract(refs, '$.part') = ?",
        KIND,
        case.id,
        str(case.revision),
        part,
    )
    if known is None:
        refs = {"case": case.id, "revision": str(case.revision), "part": part}
        tx.entry(KIND, refs, {"ticket": ticket.key, "why": why})
    return known is None


def refused_since(tx: Tx, since: datetime) -> list[Refusal]:
    """The newest refusal of each part of each ticket, unless the part worked since."""
    rows = tx.all(
        "select e.refs, e.at, p.body from entry e join payload p on p.seq = e.seq"
        " where e.kind = ? and e.at >= ? order by e.seq",
        KIND,
        since.strftime("%Y-%m-%dT%H:%M:%S"),
    )
    newest: dict[tuple[str, str], Refusal] = {}
    for refs_text, at, body in rows:
        refs = msgspec.json.decode(refs_text, type=dict[str, str])
        told = msgspec.json.decode(body, type=dict[str, str])
        newest[refs["case"], refs["part"]] = Refusal(
            case_id=refs["case"],
            ticket=told["ticket"],
            part=refs["part"],
            why=told["why"],
            at=datetime.fromisoformat(at),
        )
    return [one for one in newest.values() if not _worked_since(tx, one)]


def _worked_since(tx: Tx, refusal: Refusal) -> bool:
    return any(
        step.key.startswith(KEYS[refusal.part])
        and step.status is StepStatus.SUCCEEDED
        and step.ended_at is not None
        and step.ended_at > refusal.at
        for step in runs.steps_of(tx, scope_of(refusal.case_id))
    )


def doubts(tx: Tx, case_id: str) -> list[StepResult]:
    """What nobody knows of this case's ticket."""
    steps = runs.steps_of(tx, scope_of(case_id))
    return [one for one in steps if one.status is StepStatus.UNKNOWN and one.key.startswith(OWN)]


def doubt_text(step: StepResult, ticket: TicketRef) -> str:
    """One of them for people, with the command that ends it."""
    what = next((WORDS[part] for part, key in KEYS.items() if step.key.startswith(key)), "a word")
    return (
        f"Nobody knows whether {what} ({step.key}) reached ticket {ticket.key}: look at it, then "
        f"run stockade resolve {approvals.code_of(step.scope, step.key)} happened|not|stop"
    )


def lines(tx: Tx, case: Case) -> tuple[str, ...]:
    """What a case's own document says about its ticket."""
    if case.ticket is None:
        return ()
    refused = [one for one in refused_since(tx, case.first_at) if one.case_id == case.id]
    said = [f"refused {WORDS[one.part]}: {one.why}" for one in refused]
    return (*said, *(doubt_text(step, case.ticket) for step in doubts(tx, case.id)))
