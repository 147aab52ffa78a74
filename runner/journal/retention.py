"""What may be forgotten: finished cases and payloads that are older than somebody has to keep them.

An alert's id stays for good, without what it said: an old hit that is found again is known, and
starts nothing. The chain stays whole, because payloads lie apart from it. Nothing under way, and
nothing that still stands at a product, is ever taken.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
from msgspec import Struct

from runner.journal import entries
from runner.journal.transaction import Tx

MOST_CASES = 50
MOST_ROWS = 500
"""So much at most in one transaction: nobody waits for a long one."""


ERASURES = ("erased", "case_erased")
"""The entries that say, in what they name, how many payloads were taken: others are missed."""


class Erased(Struct, frozen=True, kw_only=True):
    """What one transaction took: how many of each."""

    cases: int
    payloads: int
    polls: int


class Erasure(Struct, frozen=True, kw_only=True):
    """One case that a person had erased; `entries`: the numbers of those that said something."""

    at: datetime
    actor: str
    reason: str
    entries: tuple[int, ...]


def erase(tx: Tx, before: datetime, *, is_whole: bool = False) -> Erased:
    """Take a bounded part of what is older. Repeat: the next part; in the end nothing, and then no
    entry is written. `is_whole`: of the cases also what was said after that time, as of a ticket's
    last comment; without it, that goes when it is older itself."""
    _overwrite(tx)
    found = _finished(tx, before)
    late = [seq for case_id in found if is_whole for seq in entries.of_case(tx, case_id)]
    for case_id in found:
        _erase_case(tx, case_id)
    _erase_released(tx, before)
    payloads = _erase_payloads(tx, before) + len(_erase_said(tx, late))
    erased = Erased(cases=len(found), payloads=payloads, polls=_erase_polls(tx, before))
    if erased.cases or erased.payloads:
        refs = {"payloads": str(erased.payloads)}
        tx.entry("erased", refs, {"cases": found, "payloads": erased.payloads, "before": before})
    return erased


def erase_case(tx: Tx, case_id: str, reason: str) -> int | None:
    """Take one finished case, however young, and what its entries said; how many of them. None when
    it is not finished, or not there: nothing is taken then."""
    _overwrite(tx)
    if _finished(tx, tx.clock.now() + timedelta(days=1), case_id) != [case_id]:
        return None
    its_own = entries.of_case(tx, case_id)
    _erase_case(tx, case_id)
    _erase_released(tx, tx.clock.now())
    taken = _erase_said(tx, its_own)
    refs = {"case": case_id, "payloads": str(len(taken))}
    tx.entry("case_erased", refs, {"reason": reason, "entries": taken})
    return len(taken)


_PAYLOADS_OF = """
delete from payload where seq in (select value from json_each(?)) and not exists (
  select 1 from entry e, json_each(payload.body, '$.holders') h
  where e.seq = payload.seq and e.kind like 'ledger\\_%' escape '\\'
  and h.value in (select id from cases))
returning seq
"""
"""But for what tells of a device that another case held as well."""


def _erase_said(tx: Tx, seqs: list[int]) -> list[int]:
    """What these entries said; the numbers of those that said something."""
    return [row[0] for row in tx.all(_PAYLOADS_OF, msgspec.json.encode(seqs).decode())]


def erasure_of(tx: Tx, case_id: str) -> Erasure | None:
    """Who had a case erased, when and why; None when nobody did."""
    row = tx.one(
        "select e.at, e.actor, p.body from entry e join payload p on p.seq = e.seq"
        " where e.kind = 'case_erased' and json_extract(e.refs, '$.case') = ?",
        case_id,
    )
    if row is None:
        return None
    return msgspec.convert(
        {"at": row[0], "actor": row[1], **msgspec.json.decode(row[2])}, type=Erasure
    )


def _overwrite(tx: Tx) -> None:
    # Else what is deleted would stay readable in the file until something else is written there.
    tx.db.execute("pragma secure_delete = on")


_FINISHED = """
select c.id from cases c where c.last_at < :before and c.revision <= c.reported
and (:case_id is null or c.id = :case_id)
and json_extract(c.body, '$.search') <> 'by hand'
and exists (select 1 from run r where r.case_id = c.id)
and not exists (
  select 1 from run r where r.case_id = c.id and (
    r.status in ('queued', 'running', 'waiting', 'parked')
    or coalesce(json_extract(r.body, '$.ended_at'), '9') >= :before_text
    or exists (select 1 from step s where s.scope = r.id and s.status = 'unknown')
    or exists (select 1 from approval a where a.run_id = r.id
               and (a.closed = 0 or a.due_at is not null))))
and not exists (
  select 1 from ledger l, json_each(l.body, '$.holders') h
  where h.value = c.id and (l.state not in ('none', 'released', 'failed')
    or coalesce(l.requested_at, 0) > :hour_ago))
order by c.last_at limit :most
"""


def _finished(tx: Tx, before: datetime, case_id: str | None = None) -> list[str]:
    """Cases (or the one) that nothing is to come of any more. One that no run belongs to is not
    understood, and one that a person opened by hand is taken up again by its device: both stay."""
    values = {
        "before": before.timestamp(),
        "before_text": _text(before),
        # The budget of an hour counts these rows.
        "hour_ago": (tx.clock.now() - timedelta(hours=1)).timestamp(),
        "most": MOST_CASES,
        "case_id": case_id,
    }
    return [str(row[0]) for row in tx.db.execute(_FINISHED, values)]


def _text(at: datetime) -> str:
    """As records and entries hold a time, as far as the second: texts that sort as the times do."""
    return at.isoformat()[:19]


def _erase_case(tx: Tx, case_id: str) -> None:
    for (run_id,) in tx.all("select id from run where case_id = ?", case_id):
        for (approval_id,) in tx.all("select id from approval where run_id = ?", run_id):
            tx.change("delete from step where scope = ?", f"approval:{approval_id}")
        tx.change("delete from approval where run_id = ?", run_id)
        tx.change("delete from step where scope = ?", run_id)
    tx.change("delete from step where scope = ?", f"case:{case_id}")
    tx.change("delete from run where case_id = ?", case_id)
    tx.change("delete from subject where case_id = ? and state = 'refused'", case_id)
    # The row stays, with its number: an id that is known starts nothing, and numbers go on.
    tx.change("update alert set body = '{}' where case_id = ?", case_id)
    tx.change("delete from cases where id = ?", case_id)


def _erase_released(tx: Tx, before: datetime) -> None:
    """Ledger rows of devices that are back, once no case is left that held them."""
    tx.change(
        "delete from ledger where state in ('none', 'released', 'failed') and due_at is null"
        " and coalesce(requested_at, 0) < ? and not exists (select 1 from"
        " json_each(ledger.body, '$.holders') h join cases c on c.id = h.value)"
        " and not exists (select 1 from subject s where s.name in (ledger.subject,"
        " 'release:' || ledger.subject))",
        before.timestamp(),
    )


_OLD_PAYLOADS = """
delete from payload where seq in (
  select p.seq from payload p join entry e on e.seq = p.seq
  where p.seq < ? and e.kind not in ('case_erased', 'erase_asked') and not exists (
    select 1 from json_each(e.refs) r
    where r.value in (select id from cases) or r.value in (select id from run)
    or r.value in (select id from approval) or r.value in (select subject from ledger)
    or substr(r.value, instr(r.value, ':') + 1) in (select id from cases)
    or substr(r.value, instr(r.value, ':') + 1) in (select id from approval))
  order by p.seq limit ?)
"""


def _erase_payloads(tx: Tx, before: datetime) -> int:
    """What entries said, but for those that name something which is kept, and why a person had
    something erased."""
    return tx.change(_OLD_PAYLOADS, _first_since(tx, before), MOST_ROWS)


def _first_since(tx: Tx, before: datetime) -> int:
    """The number of the first entry that is not older, found by halving: entries have no gaps and,
    but for a clock that went back, the order of their times."""
    low, high = 1, tx.head()[0] + 1
    while low < high:
        middle = (low + high) // 2
        row = tx.one("select at from entry where seq = ?", middle)
        if row is not None and row[0] < _text(before):
            low = middle + 1
        else:
            high = middle
    return low


def _erase_polls(tx: Tx, before: datetime) -> int:
    """Records of polls, but for the last one of each search, and its last whole one."""
    return tx.change(
        "delete from poll where n in (select n from (select n, at from poll order by n limit ?)"
        " where at < ?) and n not in (select max(n) from poll group by search)"
        " and n not in (select max(n) from poll where ok = 1 group by search)",
        MOST_ROWS,
        before.timestamp(),
    )
