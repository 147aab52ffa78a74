"""The commands `ledger compare` and `ledger rebuild`: what the EDR shows as contained, against the
ledger, and rows for what a lost journal no longer knows.

A row that was made so names no approval and no case: who agreed to the isolation, nobody can tell
any more. It can be released and is watched for drift; nothing is sent to any device.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from connectors.errors import ConnectorError
from connectors.model import Device, IsolationState
from runner.effects import plain
from runner.hostname import is_same_host
from runner.journal import Tx, approvals, ledger
from runner.journal.ledger import look_again
from runner.journal.records import STANDING, LedgerRow, LedgerState, Subject, SubjectState
from runner.ledger_watch import CONTAINED
from runner.result import Result
from runner.service import Service


class Difference(Struct, frozen=True, kw_only=True):
    """`unknown`: contained at the EDR, and not isolated by the ledger; `missing`: isolated by the
    ledger, and not contained at the EDR."""

    unknown: tuple[Device, ...]
    missing: tuple[LedgerRow, ...]


def compare(service: Service) -> Result:
    """Print the difference, changing nothing. Exit code 1 when there is one."""
    try:
        contained = service.roles.edr.contained_devices()
    except ConnectorError as fault:
        return _refused(1, f"the EDR cannot say what is contained: {fault}")
    with service.journal.read() as tx:
        found = _difference(tx, contained)
    data = {"unknown": plain(found.unknown), "missing": plain(found.missing)}
    is_same = not (found.unknown or found.missing)
    return Result(code=0 if is_same else 1, data=data, text=_text(found, len(contained)))


def rebuild(
    service: Service, hosts: Sequence[str], reason: str, actor: str, *, is_all: bool
) -> Result:
    """Write a row for each device that is named (or all) and that the EDR shows as contained.
    Repeat: a device that is in the ledger already is left alone."""
    if bool(hosts) is is_all:
        return _refused(2, "name the hosts whose isolation is to be managed here, or say --all")
    try:
        contained = service.roles.edr.contained_devices()
    except ConnectorError as fault:
        return _refused(1, f"the EDR cannot say what is contained: {fault}; nothing was written")
    with service.journal.write(actor) as tx:
        found = _difference(tx, contained)
        chosen, faults = _chosen(found.unknown, hosts)
        if faults:
            return _refused(2, "; ".join(faults) + "; nothing was written")
        rows = [_rebuilt(tx, device, actor, reason) for device in chosen]
        for row in found.missing:
            # The next tick reads these, and tells what became of them.
            ledger.keep(tx, msgspec.structs.replace(row, due_at=tx.clock.now()))
    lines = [f"{row.device.hostname}: {row.note}" for row in rows]
    lines += [f"{row.device.hostname}: is read again in the next tick" for row in found.missing]
    text = "\n".join(lines) or "the ledger lacks nothing"
    return Result(code=0, data={"rebuilt": [row.device.hostname for row in rows]}, text=text)


def _difference(tx: Tx, contained: Sequence[Device]) -> Difference:
    there = {device.subject for device in contained}
    known = {
        row.subject
        for row in ledger.every(tx)
        if row.state in STANDING or row.state is LedgerState.RELEASE_REQUESTED
    }
    unknown = [one for one in contained if one.state in CONTAINED and one.subject not in known]
    # What is only requested need not be there yet; that is no difference.
    missing = [
        row
        for row in ledger.every(tx)
        if row.state is LedgerState.CONFIRMED and row.subject not in there
    ]
    return Difference(unknown=tuple(unknown), missing=tuple(missing))


def _chosen(unknown: Sequence[Device], hosts: Sequence[str]) -> tuple[Sequence[Device], list[str]]:
    """The devices that are meant, and a sentence for each name that means not exactly one."""
    if not hosts:
        return unknown, []
    chosen: dict[str, Device] = {}
    faults = []
    for host in hosts:
        met = [one for one in unknown if host == one.device_id or is_same_host(host, one.hostname)]
        if len(met) == 1:
            chosen[met[0].device_id] = met[0]
        else:
            faults.append(f"{len(met)} devices named {host} are contained and not in the ledger")
    return list(chosen.values()), faults


def _rebuilt(tx: Tx, device: Device, actor: str, reason: str) -> LedgerRow:
    now = tx.clock.now()
    is_contained = device.state is IsolationState.CONTAINED
    row = LedgerRow(
        subject=device.subject,
        device=device,
        state=LedgerState.CONFIRMED if is_contained else LedgerState.ACCEPTED,
        holders=(),
        is_ours=False,
        adopted_by=actor,
        verified_at=now if is_contained else None,
        note="rebuilt from the EDR; for which case, and who agreed to it, is not known",
    )
    row = ledger.save(tx, msgspec.structs.replace(row, due_at=look_again(row, now)))
    tx.entry("ledger_rebuilt", {"subject": row.subject}, {"reason": reason}, actor=actor)
    # A new hit on the device joins this isolation, as it would have joined the lost one.
    held = Subject(name=device.subject, state=SubjectState.HELD, case_id="")
    approvals.claim(tx, held)
    return row


def _text(found: Difference, count: int) -> str:
    lines = [
        f"{one.hostname} ({one.device_id}): the EDR says {one.state}, the ledger does not know it"
        for one in found.unknown
    ]
    lines += [
        f"{row.device.hostname} ({row.device.device_id}): the ledger says {row.state}, the EDR "
        "does not show it as contained"
        for row in found.missing
    ]
    if found.unknown:
        lines.append("to manage some of them here: stockade ledger rebuild HOST … --reason …")
    return "\n".join(lines) or f"the ledger and the EDR agree: {count} contained"


def _refused(code: int, text: str) -> Result:
    return Result(code=code, data={"error": text}, text=text)
