"""What ledger, claims and thread say after each step of an isolation or a release.

Transactions only: it speaks to no product and decides nothing. Each function is one state change,
written with everything that belongs to it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
from msgspec import Struct

from connectors.base import Effect
from connectors.model import Device, IsolationState
from runner.config import Mode
from runner.context import Context
from runner.journal import Tx, approvals, cases, ledger, runs
from runner.journal.ledger import look_again
from runner.journal.records import STANDING, LedgerRow, LedgerState, Subject, SubjectState

WORDS = {
    "confirmed": "isolated, confirmed by the EDR",
    "released": "released, confirmed by the EDR",
    "requested": "requested, NOT confirmed",
    "observed": "not asked (observe)",
    "practised": "recorded only (practice)",
}


class Outcome(Struct, frozen=True, kw_only=True):
    """What became of one device."""

    device_id: str
    hostname: str
    subject: str
    state: str
    why: str = ""

    @classmethod
    def of(cls, device: Device, state: str, why: str = "") -> Outcome:
        return cls(
            device_id=device.device_id,
            hostname=device.hostname,
            subject=device.subject,
            state=state,
            why=why,
        )

    def sentence(self) -> str:
        """For people: never better news than what was verified."""
        name = self.hostname or "no device"
        why = f" ({self.why})" if self.why else ""
        return f"{name}: {WORDS.get(self.state, self.state)}{why}"


class Request(Struct, frozen=True, kw_only=True):
    """One device to be isolated or released under one approval, as a step's call."""

    ctx: Context
    key: str
    approval_id: str
    device: Device
    effect: Effect
    reason: str
    lease_h: float | None = None

    @property
    def is_contain(self) -> bool:
        return self.effect is Effect.CONTAIN

    @property
    def mode(self) -> Mode:
        return self.ctx.mode

    @property
    def case_id(self) -> str:
        return self.ctx.run.case_id

    @property
    def claim(self) -> str:
        """The claim that the question holds."""
        return self.device.subject if self.is_contain else f"release:{self.device.subject}"


def reserve(tx: Tx, request: Request) -> None:
    """The request is about to be sent: from now on the budget counts it."""
    _write(
        tx,
        request,
        LedgerState.REQUESTED if request.is_contain else LedgerState.RELEASE_REQUESTED,
    )


def accepted(tx: Tx, request: Request, why: str, *, is_ours: bool) -> None:
    """The EDR took the request, or the device is on its way already."""
    state = LedgerState.ACCEPTED if request.is_contain else LedgerState.RELEASE_REQUESTED
    _write(tx, request, state, is_ours=is_ours, note=why or None)
    if request.is_contain:
        _begin_lease(tx, request)
        held = Subject(
            name=request.device.subject,
            state=SubjectState.HELD,
            case_id=request.case_id,
            approval_id=request.approval_id,
        )
        approvals.claim(tx, held)
        runs.wake_waiting_on(tx, "subject")
    else:
        free_claim(tx, request)


def _begin_lease(tx: Tx, request: Request) -> None:
    row = ledger.find(tx, request.device.subject)
    if row is not None and request.lease_h is not None:
        now = tx.clock.now()
        row = leased(row, request.lease_h, now)
        ledger.keep(tx, msgspec.structs.replace(row, due_at=look_again(row, now)))


def leased(row: LedgerRow, hours: float | None, now: datetime) -> LedgerRow:
    """The row with a lease that begins now; `hours` None: it stands until somebody releases it."""
    until = None if hours is None else now + timedelta(hours=hours)
    return msgspec.structs.replace(
        row,
        lease_h=hours,
        lease_until=until,
        lease_told=False,
        lease_ended_at=None,
        renewed_by=None,
    )


def _longer(row: LedgerRow, hours: float | None, now: datetime) -> LedgerRow:
    """A further holder's lease, where it ends later than the one that runs: no case loses its hold
    to the end of another one's lease."""
    other = leased(row, hours, now)
    if row.lease_until is None or (
        other.lease_until is not None and other.lease_until <= row.lease_until
    ):
        return row
    return other


def unknown(tx: Tx, request: Request) -> None:
    """Nobody can say whether it happened."""
    _write(tx, request, LedgerState.UNKNOWN)


def _write(
    tx: Tx,
    request: Request,
    state: LedgerState,
    *,
    is_ours: bool | None = None,
    note: str | None = None,
) -> None:
    row = ledger.find(tx, request.device.subject)
    if row is None or (request.is_contain and row.state not in STANDING):
        row = LedgerRow(
            subject=request.device.subject,
            device=request.device,
            state=state,
            holders=(request.case_id,),
        )
    holders = row.holders
    if request.is_contain and request.case_id not in holders:
        holders = (*holders, request.case_id)
    row = msgspec.structs.replace(
        row,
        state=state,
        holders=holders,
        approval_id=request.approval_id,
        # What a release does to it says nothing of who had isolated it.
        is_ours=is_ours if is_ours is not None and request.is_contain else row.is_ours,
        note=note or row.note,
    )
    ledger.save(tx, msgspec.structs.replace(row, due_at=look_again(row, tx.clock.now())))
    for holder in {*holders, request.case_id}:
        cases.revise(tx, holder)


def free_claim(tx: Tx, request: Request) -> None:
    """The question's claim ends; whoever waits for it may ask."""
    approvals.free(tx, request.claim)
    runs.wake_waiting_on(tx, "subject")


def take_back(tx: Tx, request: Request) -> None:
    """Nothing was sent: free the claim and the reserved budget."""
    free_claim(tx, request)
    unreserve(tx, request)


def unreserve(tx: Tx, request: Request) -> None:
    """Nothing was sent: the ledger is as it was before the intent. Repeat: harmless."""
    row = ledger.find(tx, request.device.subject)
    if row is None:
        return
    if request.is_contain and row.state is LedgerState.REQUESTED:
        row = msgspec.structs.replace(row, state=LedgerState.NONE, times={}, due_at=None)
        ledger.save(tx, row)
    elif not request.is_contain and row.state is LedgerState.RELEASE_REQUESTED:
        was = LedgerState.CONFIRMED if row.verified_at else LedgerState.ACCEPTED
        times = {k: v for k, v in row.times.items() if k != LedgerState.RELEASE_REQUESTED}
        row = msgspec.structs.replace(row, state=was, times=times, due_at=tx.clock.now())
        ledger.save(tx, row)
    cases.revise(tx, request.case_id)


def verified(tx: Tx, subject: str, fresh: Device, effect: Effect) -> None:
    """An independent read shows the wanted state. Repeat: harmless."""
    row = ledger.find(tx, subject)
    state = LedgerState.CONFIRMED if effect is Effect.CONTAIN else LedgerState.RELEASED
    if row is None or row.state is state:
        return
    if effect is Effect.CONTAIN and row.state is LedgerState.RELEASE_REQUESTED:
        # It is still isolated, and on its way back: that is no news.
        return
    now = tx.clock.now()
    if effect is Effect.CONTAIN:
        row = msgspec.structs.replace(row, state=state, verified_at=now, drift=None)
        row = msgspec.structs.replace(row, due_at=look_again(row, now))
    else:
        approvals.free(tx, subject)
        row = msgspec.structs.replace(row, state=state, device=fresh, due_at=None, drift=None)
    ledger.save(tx, row)
    if row.approval_id is not None:
        outcome = Outcome.of(fresh, "confirmed" if effect is Effect.CONTAIN else "released")
        approvals.add_note(tx, row.approval_id, outcome.sentence())
    runs.wake_waiting_on(tx, "subject")
    for holder in row.holders:
        cases.revise(tx, holder)


def undone(tx: Tx, row: LedgerRow, fresh: Device) -> None:
    """Somebody else lifts, or lifted, an isolation of ours: it stands no longer, and a new question
    may be put. Repeat: harmless."""
    is_lifted = fresh.state is IsolationState.NORMAL
    what = "released it" if is_lifted else "asked for its release"
    drift = f"the EDR says {fresh.state}: somebody else {what}, it is NOT contained"
    state = LedgerState.RELEASED if is_lifted else LedgerState.RELEASE_REQUESTED
    if row.state is state:
        return
    left = msgspec.structs.replace(row, state=state, drift=drift, device=fresh)
    ledger.save(tx, msgspec.structs.replace(left, due_at=look_again(left, tx.clock.now())))
    approvals.free(tx, row.subject)
    runs.wake_waiting_on(tx, "subject")
    if row.approval_id is not None:
        approvals.add_note(tx, row.approval_id, f"{row.device.hostname}: DRIFT: {drift}.")
    for holder in row.holders:
        cases.revise(tx, holder)


def join(tx: Tx, device: Device, case_id: str, lease_h: float | None = None) -> Outcome:
    """Add a holder to an isolation that stands; its state is still to be read. Repeat:
    harmless."""
    row = ledger.find(tx, device.subject)
    if row is None or row.state not in STANDING:
        return Outcome.of(device, "unknown", "its isolation is not in the ledger")
    if case_id not in row.holders:
        row = _longer(row, lease_h, tx.clock.now())
        row = msgspec.structs.replace(row, holders=(*row.holders, case_id))
        ledger.save(tx, row)
        cases.revise(tx, case_id)
    # What an earlier read said may be over: this case says "confirmed" after a read of its own.
    return Outcome.of(device, "requested", "isolated for another case already")


def foreign(tx: Tx, device: Device) -> None:
    """The EDR shows a device as contained, and no isolation of ours stands there: somebody else did
    it. Told once to those whose isolation it was before; it is never lifted by us. Repeat:
    harmless."""
    row = ledger.find(tx, device.subject)
    if row is not None and row.state not in _OVER:
        return
    drift = f"the EDR says {device.state}, and it was not isolated through this runner"
    found = LedgerRow(
        subject=device.subject,
        device=device,
        state=LedgerState.FOREIGN,
        holders=() if row is None else row.holders,
        approval_id=None if row is None else row.approval_id,
        is_ours=False,
        drift=drift,
    )
    ledger.save(tx, msgspec.structs.replace(found, due_at=look_again(found, tx.clock.now())))
    if found.approval_id is not None:
        note = f"{device.hostname}: DRIFT: {drift}. It is not ours to lift."
        approvals.add_note(tx, found.approval_id, note)
    for holder in found.holders:
        cases.revise(tx, holder)


_OVER = (LedgerState.NONE, LedgerState.RELEASED, LedgerState.FAILED)


def foreign_gone(tx: Tx, row: LedgerRow, fresh: Device) -> None:
    """Whoever had contained it let it back."""
    note = "somebody else had contained it, and let it back"
    gone = msgspec.structs.replace(
        row, state=LedgerState.NONE, device=fresh, drift=None, note=note, due_at=None
    )
    ledger.save(tx, gone)
    for holder in row.holders:
        cases.revise(tx, holder)


def drop_holder(tx: Tx, device: Device, case_id: str) -> tuple[str, ...]:
    """Take a case off an isolation; the cases that still hold it. The last holder stays, because
    only a release that was sent ends an isolation. Repeat: harmless."""
    row = ledger.find(tx, device.subject)
    if row is None or row.state not in STANDING:
        return ()
    others = tuple(holder for holder in row.holders if holder != case_id)
    if others and case_id in row.holders:
        ledger.save(tx, msgspec.structs.replace(row, holders=others))
        tx.entry("hold_dropped", {"case": case_id, "subject": device.subject}, {"left": others})
        cases.revise(tx, case_id)
    return others
