"""What the cases of a rehearsal came to, read off its journal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec
from msgspec import Struct

from runner.journal import Journal, approvals, cases, ledger, runs
from runner.journal.records import (
    STANDING,
    Approval,
    ApprovalState,
    Case,
    LedgerRow,
    Run,
    StepClass,
    StepStatus,
)

MOST_CASES = 1_000_000


class Asked(Struct, frozen=True, kw_only=True):
    """One question, as it would have been put."""

    about: tuple[str, ...]
    state: ApprovalState
    proof: str = ""


class Played(Struct, frozen=True, kw_only=True):
    """What one case came to. `refused`: by a guard, or by people before; `shared`: devices that
    another case had isolated or asked about already."""

    search: str
    at: datetime
    host: str | None
    assessment: str | None
    hits: int
    state: str
    result: str
    asked: tuple[Asked, ...] = ()
    isolated: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    does: tuple[str, ...] = ()
    """The steps that would have told somebody, by their paths."""
    cmdline: str = ""
    key: str = ""


def played_in(journal: Journal) -> tuple[Played, ...]:
    """Every case with what it came to, oldest first."""
    with journal.read() as tx:
        found = []
        for case in sorted(cases.every(tx, MOST_CASES), key=lambda case: case.first_at):
            alert = cases.read_alert(tx, case.alert_id)
            of_case = runs.of_case(tx, case.id)
            asked = [one for run in of_case for one in approvals.of_run(tx, run.id)]
            every = [step for run in of_case for step in runs.steps_of(tx, run.id)]
            steps = [(step.key, step.value) for step in every]
            effects = [step for step in every if step.step_class is StepClass.EFFECT]
            told = [step.key for step in effects if step.status is not StepStatus.DENIED]
            made = _played(case, of_case, asked, ledger.of_case(tx, case.id))
            does = tuple(dict.fromkeys(_path(key) for key in told if "#do." not in key))
            denied = [step for step in effects if step.status is StepStatus.DENIED]
            never = tuple(f"{_path(one.key)}: {one.value['denied']}" for one in denied if one.value)
            made = msgspec.structs.replace(made, does=does, refused=never)
            at, line = alert.occurred_at, alert.cmdline or ""
            found.append(_with(made, steps, _names(steps), cmdline=line, at=at))
    return tuple(found)


def _path(key: str) -> str:
    return key.partition("#")[0].strip("/")


def about(asked: Approval) -> tuple[str, ...]:
    return tuple(item.device.hostname for item in asked.items) or (asked.reason,)


def _played(case: Case, of_case: list[Run], asked: list[Approval], rows: list[LedgerRow]) -> Played:
    last = max(of_case, key=lambda run: run.created_at)
    ours = {one.id for one in asked}
    return Played(
        search=case.search,
        at=case.first_at,
        host=case.host,
        assessment=case.assessment.assessment.value if case.assessment else None,
        hits=case.alert_count,
        state=last.status.value,
        result=last.result or last.error or "",
        asked=tuple(
            Asked(
                about=about(one),
                state=one.state,
                proof="; ".join(dict.fromkeys(item.proof for item in one.items)),
            )
            for one in asked
        ),
        isolated=tuple(
            sorted(
                row.device.hostname
                for row in rows
                if row.state in STANDING and row.approval_id in ours
            )
        ),
        key=case.key,
    )


def _names(steps: list[tuple[str, object]]) -> dict[str, str]:
    """Device id → host name, as the containments' steps were pointed at them."""
    found: dict[str, str] = {}
    for key, value in steps:
        if key.endswith("#target") and isinstance(value, list):
            for target in value:
                for device in target.get("devices", ()):
                    found[device["device_id"]] = device["hostname"]
    return found


def _with(
    made: Played,
    steps: list[tuple[str, object]],
    names: Mapping[str, str],
    *,
    cmdline: str,
    at: datetime | None,
) -> Played:
    """With what guards denied, and what others had asked or done before."""
    refused: dict[str, None] = dict.fromkeys(made.refused)
    shared: dict[str, None] = {}
    for key, value in steps:
        if not isinstance(value, dict):
            continue
        if "#rule." in key:
            for device_id, answers in value["answers"].items():
                for one in answers:
                    if one["ruling"] == "deny":
                        refused[f"{names.get(device_id, device_id)}: {one['reason']}"] = None
        if "#ask." in key:
            so_far = value["so_far"]
            for device_id, why in so_far.get("refused", {}).items():
                refused[f"{names.get(device_id, device_id)}: {why}"] = None
            for device_id in (*so_far.get("held", ()), *so_far.get("waiting", ())):
                shared[names.get(device_id, device_id)] = None
    return msgspec.structs.replace(
        made,
        refused=tuple(refused),
        shared=tuple(shared),
        cmdline=cmdline,
        at=at or made.at,
    )
