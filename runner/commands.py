"""The commands by which a person steers: arm, pause, resume, release, resolve, audit."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from connectors.errors import ConnectorError
from runner import anchors, arming, isolations
from runner.audit import verify
from runner.config import Config, Mode
from runner.effects import plain
from runner.journal import Journal
from runner.journal.records import LedgerRow
from runner.protected import read_protected
from runner.releasing import ask_release, case_for
from runner.resolve import Said, find_parked, resolve
from runner.result import Result
from runner.service import Service


def arm(service: Service, actor: str, reason: str) -> Result:
    """Allow acting on the alerts that come from now on; refused while the protection is
    unproved."""
    config = service.config
    if config.mode is not Mode.ACT:
        text = f"the configuration says mode: {config.mode}; set mode: act first"
        return Result(code=2, data={"error": text}, text=text)
    faults = _not_to_be_armed(service)
    if faults:
        return Result(code=1, data={"error": faults}, text="not armed: " + "; ".join(faults))
    arming.refresh_proof(service.journal, config, lambda: service.roles.edr)
    with service.journal.write(actor) as tx:
        armed = arming.arm(tx, actor, reason)
    service.journal.note_head()
    text = f"armed by {actor}: alerts after number {armed.after_alert} may be acted on"
    return Result(code=0, data=plain(armed), text=text)


def _not_to_be_armed(service: Service) -> list[str]:
    """A sentence for each thing that must be mended first."""
    config, journal = service.config, service.journal
    faults = []
    if journal.passing and not (config.emulated or config.accept_passing_disk):
        faults.append(
            f"state_dir lies on {journal.passing}, and the record of what is isolated with it; "
            "mount a volume there, or say accept_passing_disk: true"
        )
    with journal.read() as tx:
        faults += [
            f"the journal was lost or restored, and the search {name} was not polled to its end "
            "since: let stockade run observe first"
            for name in arming.unpolled_since_restored(tx, config)
        ]
    try:
        protected = read_protected(config.guards.protected_file)
        return faults + arming.prove_protection(protected, service.roles.edr)
    except ConnectorError as fault:
        return [*faults, str(fault)]


def pause(journal: Journal, actor: str, reason: str) -> Result:
    with journal.write(actor) as tx:
        arming.pause(tx, actor, reason)
    text = "paused: hits are stored, and no run goes on before stockade resume"
    return Result(code=0, data={"paused": reason}, text=text)


def resume(journal: Journal, actor: str) -> Result:
    with journal.write(actor) as tx:
        arming.resume(tx, actor)
    return Result(code=0, data={"paused": None}, text="resumed")


def release(
    journal: Journal,
    config: Config,
    host: str,
    reason: str,
    actor: str,
    case_id: str | None,
    *,
    is_foreign: bool = False,
) -> Result:
    """Ask to let a device back: the same door, guards and people as for an isolation. `is_foreign`:
    also what somebody else isolated, because a person says so by name."""
    with journal.write(actor) as tx:
        rows = [row for row in isolations.lasting(tx) if isolations.is_named(row, host)]
        if len(rows) != 1:
            return _not_one(rows, host)
        row = rows[0]
        if why := _not_to_be_released(row, case_id, is_foreign=is_foreign):
            return Result(code=2, data={"error": why}, text=why)
        if is_foreign and not row.is_ours:
            isolations.adopt(tx, row, actor, reason)
        holder = case_id or case_for(tx, row)
        by = requester(config, actor)
        run_id = ask_release(tx, row, holder, reason, by, is_whole=case_id is None)
    text = f"release of {host} is asked for under {holder}; the runner puts the question"
    return Result(code=0, data={"run": run_id, "case": holder}, text=text)


def _not_to_be_released(row: LedgerRow, case_id: str | None, *, is_foreign: bool) -> str | None:
    name = row.device.hostname
    if case_id is not None and case_id not in row.holders:
        holders = ", ".join(row.holders) or "no case that is known; leave --case out"
        return f"{case_id} does not hold {name}; its holders are {holders}"
    if not (row.is_ours or row.adopted_by or is_foreign):
        return (
            f"{name} was isolated by somebody else, not through this runner; if it is to be let "
            "back all the same, say so: stockade release --foreign"
        )
    return None


def _not_one(rows: list[LedgerRow], host: str) -> Result:
    ids = ", ".join(row.device.device_id for row in rows)
    text = (
        f"{len(rows)} devices named {host} are isolated; name one id: {ids}"
        if rows
        else f"{host} is not isolated through this runner; stockade isolations lists what is"
    )
    return Result(code=2, data={"error": text}, text=text)


def requester(config: Config, actor: str) -> str:
    """The person behind a login, by configuration; else the login itself."""
    for person in config.people.values():
        if person.os_user == actor:
            return person.name
    return f"login {actor}"


def resolve_code(journal: Journal, code: str, said: Said, actor: str) -> Result:
    """A person's word on what happened."""
    with journal.write(actor) as tx:
        step = find_parked(tx, code)
        if step is None:
            text = f"nothing with the code {code} waits for a person; stockade status lists it"
            return Result(code=2, data={"error": text}, text=text)
        resolve(tx, step, said, actor)
    text = f"{step.key}: noted «{said}»; the runner goes on from there"
    return Result(code=0, data={"scope": step.scope, "step": step.key, "said": said}, text=text)


def audit_verify(journal: Journal, given: Sequence[str] = ()) -> Result:
    """Exit code 1 when the chain is broken anywhere, or does not fit an anchor of `given`."""
    with journal.read() as tx:
        verdict = verify(tx)
        misfits = anchors.faults(tx, given)
    # A tail that was cut off leaves a whole chain: only the head noted beside it tells.
    lost = journal.lost_since_head() or journal.no_head_noted()
    faults = (*verdict.faults, *misfits, *([lost] if lost else []))
    verdict = msgspec.structs.replace(verdict, faults=faults)
    text = "\n".join(faults) or (
        f"{verdict.entries} entries, unbroken, {verdict.erased} payloads erased; "
        f"head {verdict.head}" + (f"; {len(given)} anchor(s) fit" if given else "")
    )
    data = {**plain(verdict), "anchors": list(given)}
    return Result(code=1 if faults else 0, data=data, text=text)
