"""Runs and steps: who is under way, and what became of each call."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import msgspec

from connectors.model import JsonObject
from runner.journal.records import (
    LIVE,
    Run,
    RunStatus,
    StepClass,
    StepError,
    StepResult,
    StepStatus,
)
from runner.journal.transaction import Tx, instant


def keep_bundle(tx: Tx, sha256: str, name: str, text: str) -> None:
    """Pin a playbook's text by its hash. Repeat: harmless."""
    tx.change("insert or ignore into bundle values (?, ?, ?)", sha256, name, text)


def bundle(tx: Tx, sha256: str) -> str:
    return str(tx.one("select body from bundle where sha256 = ?", sha256)[0])


MOST_URGENT = 3


def save(tx: Tx, run: Run, rank: int = 0) -> Run:
    """Store a run. `rank`: of a new one, 0 to `MOST_URGENT`: who is carried first."""
    tx.change(
        "insert into run values (?, ?, ?, ?, ?, ?, ?) on conflict (id) do update set"
        " status = excluded.status, wake_at = excluded.wake_at, wait_on = excluded.wait_on,"
        " body = excluded.body",
        run.id,
        run.case_id,
        run.status,
        None if run.wake_at is None else run.wake_at.timestamp(),
        run.wait_on,
        msgspec.json.encode(run).decode(),
        rank,
    )
    return run


def set_rank(tx: Tx, run_id: str, rank: int) -> None:
    """A run turns out to be more urgent, or less. Repeat: harmless."""
    tx.change("update run set rank = ? where id = ? and rank <> ?", rank, run_id, rank)


def find(tx: Tx, run_id: str) -> Run | None:
    row = tx.one("select body from run where id = ?", run_id)
    return None if row is None else msgspec.json.decode(row[0], type=Run)


def read(tx: Tx, run_id: str) -> Run:
    return msgspec.json.decode(tx.one("select body from run where id = ?", run_id)[0], type=Run)


def of_case(tx: Tx, case_id: str) -> list[Run]:
    rows = tx.all("select body from run where case_id = ?", case_id)
    found = [msgspec.json.decode(row[0], type=Run) for row in rows]
    return sorted(found, key=lambda run: run.created_at)


def next_due(tx: Tx, but_for: Collection[str] = (), least: int = 0) -> Run | None:
    """The run to go on with now: first one whose approved call is due, then the most urgent, of
    these the longest waiting; none of the cases `but_for`, and, an approved call apart, none of a
    rank below `least`."""
    now = tx.now_s()
    others = msgspec.json.encode(sorted(but_for)).decode()
    row = tx.one(
        "select run.body from run join approval on approval.run_id = run.id"
        " where approval.due_at <= ? and run.status in ('queued', 'running', 'waiting')"
        " and run.wake_at <= ? and run.case_id not in (select value from json_each(?))"
        " order by approval.due_at limit 1",
        now,
        now,
        others,
    )
    ranks = range(MOST_URGENT, max(least, 1) - 1, -1)
    # One search of the index for each rank: those that wait for later are never walked over.
    row = row or next(filter(None, (tx.one(_URGENT, rank, now, others) for rank in ranks)), None)
    if row is None and least == 0:
        row = tx.one(
            "select body from run where status in ('queued', 'running', 'waiting') and wake_at <= ?"
            " and case_id not in (select value from json_each(?)) order by wake_at limit 1",
            now,
            others,
        )
    return None if row is None else msgspec.json.decode(row[0], type=Run)


_URGENT = (
    "select body from run where rank = ? and rank > 0"
    " and status in ('queued', 'running', 'waiting') and wake_at <= ?"
    " and case_id not in (select value from json_each(?)) order by wake_at limit 1"
)


def next_wake_at(tx: Tx) -> datetime | None:
    row = tx.one(
        "select min(wake_at) from run where status in ('queued', 'running', 'waiting')"
        " and wake_at is not null"
    )
    return instant(row[0])


def wake(tx: Tx, run_id: str) -> None:
    """Let a run go on at the next occasion; one that has ended or is parked stays so."""
    run = find(tx, run_id)
    if run is not None and run.status in (RunStatus.WAITING, RunStatus.RUNNING, RunStatus.QUEUED):
        now = tx.clock.now()
        save(tx, msgspec.structs.replace(run, status=RunStatus.QUEUED, wake_at=now, wait_on=""))


def wake_waiting_on(tx: Tx, wait_on: str) -> None:
    for row in tx.all("select id from run where status = 'waiting' and wait_on = ?", wait_on):
        wake(tx, str(row[0]))


def worst_waiting_on(tx: Tx, wait_on: str, limit: int) -> list[str]:
    """The ids of those whose cases are judged the worst; of equal ones the first."""
    rows = tx.all(
        "select run.id from run join cases on cases.id = run.case_id"
        " where run.status = 'waiting' and run.wait_on = ?"
        " order by json_extract(cases.body, '$.assessment.score') desc,"
        " json_extract(run.body, '$.created_at') limit ?",
        wait_on,
        limit,
    )
    return [str(row[0]) for row in rows]


def count_waiting_on(tx: Tx, wait_on: str) -> int:
    row = tx.one("select count(*) from run where status = 'waiting' and wait_on = ?", wait_on)
    return int(row[0])


def failed_since(tx: Tx, since: datetime) -> list[Run]:
    """Runs that failed and ended after `since`."""
    rows = tx.all("select body from run where status = 'failed'")
    found = [msgspec.json.decode(row[0], type=Run) for row in rows]
    return [run for run in found if run.ended_at is not None and run.ended_at > since]


def count_by_status(tx: Tx) -> dict[str, int]:
    rows = tx.all("select status, count(*) from run group by status")
    return {str(row[0]): int(row[1]) for row in rows}


# -- steps -----------------------------------------------------------------------------------------


_STEP = (
    "select scope, key, class, status, attempt, settle_until, value, error, intended_at, ended_at"
    " from step"
)


def step(tx: Tx, scope: str, key: str) -> StepResult | None:
    row = tx.one(f"{_STEP} where scope = ? and key = ?", scope, key)
    return None if row is None else _step(row)


def steps_of(tx: Tx, scope: str) -> list[StepResult]:
    rows = tx.all(f"{_STEP} where scope = ? order by intended_at, key", scope)
    return [_step(row) for row in rows]


def steps_since(tx: Tx, part: str, since: datetime) -> list[StepResult]:
    """The calls of runs that are over, and whose key holds `part`, as in `#rule.`; oldest first. A
    question that another one answered has no end of its own."""
    rows = tx.all(
        f"{_STEP} where coalesce(ended_at, intended_at) >= ? and instr(key, ?) > 0"
        " and (ended_at is not null or status = 'succeeded')"
        " order by coalesce(ended_at, intended_at), scope, key",
        since.timestamp(),
        part,
    )
    return [_step(row) for row in rows]


def parked_steps(tx: Tx) -> list[StepResult]:
    """Calls whose outcome a person must resolve."""
    rows = tx.all(f"{_STEP} where status = 'unknown'")
    return [_step(row) for row in rows]


def held_up(tx: Tx) -> list[StepResult]:
    """Calls that a product's outage holds up, of runs and rows that still live."""
    found = [_step(row) for row in tx.all(f"{_STEP} where error is not null and ended_at is null")]
    return [step for step in found if ":" in step.scope or _is_alive(tx, step.scope)]


def _is_alive(tx: Tx, run_id: str) -> bool:
    row = tx.one("select status from run where id = ?", run_id)
    return row is not None and row[0] in LIVE


def _step(row: Any) -> StepResult:
    error = None if row[7] is None else msgspec.json.decode(row[7], type=StepError)
    return StepResult(
        scope=row[0],
        key=row[1],
        step_class=StepClass(row[2]),
        status=StepStatus(row[3]),
        attempt=row[4],
        settle_until=instant(row[5]),
        value=None if row[6] is None else msgspec.json.decode(row[6]),
        error=error,
        intended_at=datetime.fromtimestamp(row[8], UTC),
        ended_at=instant(row[9]),
    )


def save_step(tx: Tx, result: StepResult) -> StepResult:
    """Store what became of a call, and append it to the chain."""
    error = None if result.error is None else msgspec.json.encode(result.error).decode()
    tx.change(
        "insert or replace into step values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        result.scope,
        result.key,
        result.step_class,
        result.status,
        result.attempt,
        None if result.settle_until is None else result.settle_until.timestamp(),
        None if result.value is None else msgspec.json.encode(result.value).decode(),
        error,
        result.intended_at.timestamp(),
        None if result.ended_at is None else result.ended_at.timestamp(),
    )
    refs: JsonObject = {"scope": result.scope, "step": result.key}
    payload = {"attempt": result.attempt, "value": result.value, "error": result.error}
    tx.entry(f"step_{result.status}", refs, payload)
    return result


def forget_step(tx: Tx, scope: str, key: str, why: str) -> None:
    """Take an intent back: it is certain that nothing was sent."""
    tx.change("delete from step where scope = ? and key = ?", scope, key)
    tx.entry("step_not_sent", {"scope": scope, "step": key}, {"why": why})
