"""How a release is asked for: the run that puts the question, and the case that it belongs to.

Transactions only. Nothing is lifted here: the run goes through the same guards and people as an
isolation.
"""

from __future__ import annotations

import hashlib

import msgspec

from connectors.model import Alert, Device
from runner.bundle import neighbours
from runner.catalogue import CATALOGUE
from runner.context import Target
from runner.effects import plain
from runner.hostname import normalise_host
from runner.journal import Tx, cases, runs
from runner.journal.records import LIVE, Case, LedgerRow
from runner.loading import load_bundle
from runner.routing import start_run

RELEASE = "release-host"
"""The shipped playbook that asks; a folder of playbooks never replaces it."""
BY_HAND = "by hand"
"""What stands as the search of a case that no hit opened."""


def ask_release(
    tx: Tx, row: LedgerRow, holder: str, reason: str, by: str, *, is_whole: bool
) -> str:
    """The run that asks, under a case; `is_whole`: for every holder. Repeat: the run that asks
    already, so that people are asked once."""
    return _asked_already(tx, row, holder, is_whole=is_whole) or _start(
        tx, row, holder, reason, by, is_whole=is_whole
    )


def asking(tx: Tx, row: LedgerRow) -> str | None:
    """The run of any holder that asks to lift this isolation at all, or None."""
    for holder in row.holders:
        if run_id := _asked_already(tx, row, holder, is_whole=True):
            return run_id
    return None


def _asked_already(tx: Tx, row: LedgerRow, holder: str, *, is_whole: bool) -> str | None:
    for run in runs.of_case(tx, holder):
        if run.status in LIVE and run.inputs.get("is_whole") is is_whole:
            target = msgspec.convert(run.inputs["target"], Target)
            if target.devices[0].subject == row.subject:
                return run.id
    return None


def _start(tx: Tx, row: LedgerRow, holder: str, reason: str, by: str, *, is_whole: bool) -> str:
    bundle = load_bundle(RELEASE, neighbours(None), CATALOGUE)
    case = cases.read(tx, holder)
    generation = 1 + len(runs.of_case(tx, holder))
    target = Target(proved=True, proof=_proof(row, holder), devices=(row.device,))
    inputs = {"target": plain(target), "reason": reason, "is_whole": is_whole}
    run = start_run(
        tx,
        holder,
        case.alert_id,
        bundle,
        generation=generation,
        requested_by=by,
        inputs=inputs,
    )
    return run.id


def _proof(row: LedgerRow, holder: str) -> str:
    if holder in row.holders and row.is_ours:
        return f"it was isolated under {holder}"
    return "the EDR shows it as contained; for which case, this journal does not know"


def case_for(tx: Tx, row: LedgerRow) -> str:
    """The case that a release is asked under: a holder; or, where none is known, one that is
    opened for it. Repeat: the same one."""
    for holder in row.holders:
        # What a case said may have been erased since.
        if cases.find(tx, holder) is not None:
            return holder
    return _case_by_hand(tx, row.device).id


def _case_by_hand(tx: Tx, device: Device) -> Case:
    """A case that no hit opened: it carries what the EDR says of the device, and no judgement."""
    alert = Alert(
        id=hashlib.sha256(f"{BY_HAND}:{device.subject}".encode()).hexdigest(),
        siem=BY_HAND,
        search=BY_HAND,
        raw={},
        host=device.hostname,
        device_id=device.device_id,
    )
    known = cases.case_of_alert(tx, alert.id)
    if known is not None:
        return cases.read(tx, known)
    case = cases.new_case(tx, alert, f"{BY_HAND}:{device.subject}", normalise_host(device.hostname))
    cases.add_alert(tx, alert, case.id)
    return case
