"""Questions and subjects: what was asked, and what a question holds claimed."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timedelta

import msgspec

from connectors.model import MessageRef
from runner.journal.records import Approval, ApprovalState, Subject, SubjectState
from runner.journal.transaction import Tx, instant

REFUSAL_STANDS = timedelta(hours=4)
"""How long a denial or an expiry answers the same question for other cases."""
CODE_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
_ID = re.compile(r"ask-[0-9a-f]{16}", re.ASCII)


def approval_id(run_id: str, key: str) -> str:
    return "ask-" + hashlib.sha256(f"{run_id}:{key}".encode()).hexdigest()[:16]


def is_id(text: str) -> bool:
    """Could a question have this id? What comes from outside is asked before it is looked up."""
    return _ID.fullmatch(text) is not None


def free_code(tx: Tx, seed: str) -> str:
    """Five letters that no open question has. A selector for people, never a proof."""
    attempt = 0
    while True:
        code = code_of(seed, str(attempt))
        if tx.one("select 1 from approval where code = ? and closed = 0", code) is None:
            return code
        attempt += 1


def code_of(scope: str, key: str) -> str:
    """Five letters that stand for a row: easy to say and to type, a selector and never a proof."""
    number = int.from_bytes(hashlib.sha256(f"{scope}:{key}".encode()).digest()[:8], "big")
    letters = []
    for _ in range(5):
        number, place = divmod(number, len(CODE_LETTERS))
        letters.append(CODE_LETTERS[place])
    return "".join(letters)


def save(tx: Tx, approval: Approval) -> Approval:
    tx.change(
        "insert or replace into approval values (?, ?, ?, ?, ?, ?, ?, ?)",
        approval.id,
        approval.code,
        approval.run_id,
        approval.state,
        None if approval.expires_at is None else approval.expires_at.timestamp(),
        None if approval.due_at is None else approval.due_at.timestamp(),
        int(approval.closed),
        msgspec.json.encode(approval).decode(),
    )
    return approval


def approved_cases(tx: Tx) -> set[str]:
    """The cases in which people ever agreed to something."""
    rows = tx.all("select body from approval where state = ?", ApprovalState.APPROVED)
    return {msgspec.json.decode(row[0], type=Approval).case_id for row in rows}


def find(tx: Tx, approval_id: str) -> Approval | None:
    row = tx.one("select body from approval where id = ?", approval_id)
    return None if row is None else msgspec.json.decode(row[0], type=Approval)


def with_code(tx: Tx, code: str) -> Approval | None:
    """The newest question that has, or had, this code."""
    rows = tx.all("select body from approval where code = ?", code)
    found = [msgspec.json.decode(row[0], type=Approval) for row in rows]
    return max(found, key=lambda approval: approval.created_at, default=None)


def read(tx: Tx, approval_id: str) -> Approval:
    row = tx.one("select body from approval where id = ?", approval_id)
    return msgspec.json.decode(row[0], type=Approval)


def unclosed(tx: Tx) -> list[Approval]:
    """Questions whose card still needs something: asking, deciding, locking, telling."""
    rows = tx.all("select body from approval where closed = 0")
    found = [msgspec.json.decode(row[0], type=Approval) for row in rows]
    return sorted(found, key=lambda approval: (-approval.rank, approval.created_at))


def messages_of(approval: Approval) -> list[MessageRef]:
    """The question's cards, in the first chat and in the one that stands in for it."""
    second = None if approval.second is None else approval.second.message
    return [message for message in (approval.message, second) if message is not None]


def open_messages(tx: Tx) -> set[str]:
    """The messages whose answers count."""
    is_open = ApprovalState.OPEN
    return {card.id for one in unclosed(tx) if one.state is is_open for card in messages_of(one)}


def has_unclosed(tx: Tx) -> bool:
    return tx.one("select 1 from approval where closed = 0 limit 1") is not None


def of_run(tx: Tx, run_id: str) -> list[Approval]:
    rows = tx.all("select body from approval where run_id = ?", run_id)
    found = [msgspec.json.decode(row[0], type=Approval) for row in rows]
    return sorted(found, key=lambda approval: approval.created_at)


def count_waiting(tx: Tx) -> int:
    row = tx.one("select count(*) from approval where closed = 0 and state in ('posting', 'open')")
    return int(row[0])


def due_call(tx: Tx) -> Approval | None:
    """An approved call that can be sent now, by a run that can move: it goes before everything
    else."""
    row = tx.one(
        "select approval.body from approval join run on run.id = approval.run_id"
        " where approval.due_at <= ? and approval.state = ?"
        " and run.status in ('queued', 'running', 'waiting') order by approval.due_at limit 1",
        tx.now_s(),
        ApprovalState.APPROVED,
    )
    return None if row is None else msgspec.json.decode(row[0], type=Approval)


def set_due(tx: Tx, approval_id: str, due_at: datetime | None) -> None:
    save(tx, msgspec.structs.replace(read(tx, approval_id), due_at=due_at))


def add_note(tx: Tx, approval_id: str, text: str) -> None:
    """A sentence for the card's thread. Repeat: the same sentence is kept once."""
    approval = read(tx, approval_id)
    if text not in approval.notes:
        save(tx, msgspec.structs.replace(approval, notes=(*approval.notes, text), closed=False))


# -- subjects --------------------------------------------------------------------------------------


def subject(tx: Tx, name: str) -> Subject | None:
    """A claim that stands; a refusal that has run out is none."""
    row = tx.one(
        "select name, state, approval_id, case_id, until, rank from subject where name = ?", name
    )
    if row is None or (row[4] is not None and row[4] <= tx.now_s()):
        return None
    return Subject(
        name=row[0],
        state=SubjectState(row[1]),
        approval_id=row[2],
        case_id=row[3],
        until=instant(row[4]),
        rank=row[5],
    )


def claim(tx: Tx, claimed: Subject) -> None:
    tx.change(
        "insert or replace into subject values (?, ?, ?, ?, ?, ?)",
        claimed.name,
        claimed.state,
        claimed.approval_id,
        claimed.case_id,
        None if claimed.until is None else claimed.until.timestamp(),
        claimed.rank,
    )


def free(tx: Tx, name: str) -> None:
    """End a claim. Repeat: harmless."""
    tx.change("delete from subject where name = ?", name)


def refuse(tx: Tx, name: str, approval: Approval) -> None:
    """A denial or an expiry: it answers for other cases too, for a while."""
    claim(
        tx,
        Subject(
            name=name,
            state=SubjectState.REFUSED,
            case_id=approval.case_id,
            approval_id=approval.id,
            until=tx.clock.now() + REFUSAL_STANDS,
            rank=approval.rank,
        ),
    )
