"""Is the journal's chain whole? Every entry's hash, its predecessor's, and each payload that is
kept."""

from __future__ import annotations

import hashlib

import msgspec
from msgspec import Struct

from runner.journal import Tx
from runner.journal.retention import ERASURES
from runner.journal.transaction import GENESIS, entry_sha256


class Verdict(Struct, frozen=True, kw_only=True):
    """`faults` are sentences; `erased` payloads are no fault, as far as entries account for them:
    the proof does not need them."""

    entries: int
    erased: int
    head: str
    faults: tuple[str, ...]


def verify(tx: Tx) -> Verdict:
    """Walk the chain from its beginning."""
    faults: list[str] = []
    prev = GENESIS
    count = erased = 0
    accounted = 0.0
    # One at a time: a journal may be larger than memory.
    rows = tx.db.execute(
        "select e.seq, e.at, e.actor, e.kind, e.refs, e.payload_sha256, e.prev, e.sha256, p.body"
        " from entry e left join payload p on p.seq = e.seq order by e.seq"
    )
    for count, row in enumerate(rows, 1):
        seq, *_, payload_sha256, linked, sha256, body = row
        if seq != count:
            faults.append(f"entry {count} is missing; the next one is {seq}")
            break
        if linked != prev:
            faults.append(f"entry {seq} does not follow the entry before it")
        if entry_sha256(list(row[:7])) != sha256:
            faults.append(f"entry {seq} was changed")
        erased += body is None and payload_sha256 != EMPTY
        if body is not None and hashlib.sha256(body.encode()).hexdigest() != payload_sha256:
            faults.append(f"the payload of entry {seq} was changed")
        accounted += _said_erased(row[3], row[4])
        prev = sha256
    if erased > accounted:
        faults.append(f"{erased - accounted:.0f} payloads are gone that no entry says were erased")
    stray = tx.one("select count(*) from payload where seq not in (select seq from entry)")[0]
    if stray:
        faults.append(f"{stray} payloads belong to no entry")
    return Verdict(entries=count, erased=int(erased), head=prev, faults=tuple(faults))


def _said_erased(kind: str, refs: str) -> float:
    """How many payloads were erased, as the entry of an erasure says in what is never erased
    itself; infinitely many when an older Stockade did not say."""
    if kind not in ERASURES:
        return 0
    try:
        return float(msgspec.json.decode(refs, type=dict[str, str]).get("payloads", "inf"))
    except (msgspec.DecodeError, ValueError):
        # Somebody changed it, and its hash has told.
        return 0


EMPTY = hashlib.sha256(b"null").hexdigest()
"""The payload hash of an entry that said nothing."""
