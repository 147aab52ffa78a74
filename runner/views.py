"""What a person asks of the journal: cases, one case, the runner's state. Reads only."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from msgspec import Struct

from runner import arming, isolations, refused_sign_ins, report, wording
from runner.config import Config
from runner.effects import plain
from runner.erasing import absence
from runner.journal import Journal, Tx, approvals, cases, ledger, polls, runs
from runner.journal.records import STANDING, Approval, ApprovalState, Case, LedgerState
from runner.needs import needs_of
from runner.result import Result
from runner.terminal import text_of


def list_cases(journal: Journal) -> Result:
    """The newest cases, a line each."""
    with journal.read() as tx:
        found = cases.every(tx)
        lines = [
            f"{case.id}  {wording.clock_text(case.last_at)}  {case.host or 'no host':<24} "
            f"{_judged(case):<11} "
            f"alerts {case.alert_count:<3} {case.ticket.key if case.ticket else 'no ticket':<10} "
            f"{report.state_of(tx, case)}"
            for case in found
        ]
    return Result(code=0, data=plain(found), text="\n".join(lines) or "no cases yet")


def _judged(case: Case) -> str:
    if case.assessment is None:
        return "not judged"
    return "suppressed" if case.assessment.suppression else case.assessment.assessment


def show_case(journal: Journal, config: Config, case_id: str) -> Result:
    """One case, whole."""
    with journal.read() as tx:
        case = cases.find(tx, case_id)
        if case is None:
            text = absence(tx, case_id)
            return Result(code=2, data={"error": text}, text=text)
        data = {
            "case": plain(case),
            "alert": plain(cases.read_alert(tx, case.alert_id)),
            "runs": plain(runs.of_case(tx, case.id)),
            "ledger": plain(ledger.of_case(tx, case.id)),
        }
        document = report.case_document(tx, case, config.mode)
    return Result(code=0, data=data, text=text_of(document))


class SearchHealth(Struct, frozen=True, kw_only=True):
    """How well one search is seen. `blind` None: it is well."""

    search: str
    last_ok_at: datetime | None
    watermark: int | None
    last_error: str | None
    canary_at: datetime | None
    blind: str | None


def _health(tx: Tx, config: Config, name: str, max_age: timedelta) -> SearchHealth:
    search = config.searches[name]
    last = polls.last(tx, name)
    good = polls.last(tx, name, ok_only=True)
    canary_at = polls.last_canary_at(tx, name)
    now = tx.clock.now()
    blind: str | None = None
    if good is None:
        blind = "it was never polled to the end"
    elif now - good.at > max_age:
        blind = f"its last whole poll was {_age(now - good.at)} ago"
    elif search.canary is not None:
        limit = max_age + timedelta(seconds=search.canary_every_s)
        if canary_at is None or now - canary_at > limit:
            blind = "its canary is silent"
    return SearchHealth(
        search=name,
        last_ok_at=good.at if good else None,
        watermark=polls.watermark(tx, name),
        last_error=None if last is None or last.ok else last.error or last.incomplete,
        canary_at=canary_at,
        blind=blind,
    )


def _age(delta: timedelta) -> str:
    seconds = int(delta.total_seconds())
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"


def show_status(journal: Journal, config: Config, max_age: timedelta | None) -> Result:
    """The runner's state. With `max_age` the exit code is 1 when it is dead or blind."""
    needs = needs_of(journal)
    with journal.read() as tx:
        standing = arming.standing(tx, config)
        paused = arming.is_paused(tx)
        age = timedelta(minutes=5) if max_age is None else max_age
        searches = [_health(tx, config, name, age) for name in config.searches]
        waiting = [a for a in approvals.unclosed(tx) if _is_waiting(a)]
        isolated = _isolated(tx)
        counts = runs.count_by_status(tx)
        suppressions = _suppressions(config, tx.clock.now().date())
        refusals = [refusal.where for refusal in refused_sign_ins.refused(tx)]
    blind = [f"{health.search}: {health.blind}" for health in searches if health.blind]
    data = {
        "mode": standing.mode,
        "configured_mode": config.mode,
        "why": list(standing.why),
        "paused": paused,
        "is_running": journal.is_owned(),
        "searches": plain(searches),
        "blind": blind,
        "questions": [_question(approval) for approval in waiting],
        **isolated.data,
        "runs": counts,
        "suppressions": suppressions,
        "refused_sign_ins": refusals,
        "needs": needs,
    }
    is_bad = max_age is not None and bool(blind or refusals)
    text = _status_text(data, searches, isolated.lines)
    return Result(code=1 if is_bad else 0, data=plain(data), text=text)


class _Isolated(Struct, frozen=True, kw_only=True):
    """What the ledger knows of: for a program, and as lines."""

    data: dict[str, Any]
    lines: list[str]


def _isolated(tx: Tx) -> _Isolated:
    """What is isolated through us, and where the EDR says that somebody else had a hand in it."""
    now = tx.clock.now()
    known = sorted(ledger.every(tx), key=lambda row: row.device.hostname.lower())
    rows = [row for row in known if isolations.is_open(row, now)]
    standing = (*STANDING, LedgerState.RELEASE_REQUESTED)
    chosen = {
        "isolated": [row for row in rows if row.state in standing],
        "contained_by_others": [row for row in rows if row.state is LedgerState.FOREIGN],
        "lifted_by_others": [row for row in rows if row.state is LedgerState.RELEASED],
    }
    compared_at = ledger.swept_at(tx)
    lines = [f"isolation {isolations.status_line(row, now)}" for row in rows]
    if known:
        lines.append(f"isolations compared with the EDR's list: {wording.clock_text(compared_at)}")
    data = {name: [isolations.data_of(row, now) for row in some] for name, some in chosen.items()}
    return _Isolated(data={**data, "compared_with_edr_at": compared_at}, lines=lines)


def _suppressions(config: Config, today: date) -> list[str]:
    """What of the suppressions file does nothing, a sentence each."""
    if config.suppressions_file is None:
        return []
    from runner.suppression_file import read_suppressions
    from runner.suppression_use import ended

    return ended(config, read_suppressions(config.suppressions_file, today), today)


def _is_waiting(approval: Approval) -> bool:
    return approval.state in (ApprovalState.POSTING, ApprovalState.OPEN)


def _question(approval: Approval) -> dict[str, Any]:
    return {
        "code": approval.code,
        "case": approval.case_id,
        "state": approval.state,
        "devices": [item.device.hostname for item in approval.items],
        "asks": None if approval.items else approval.reason,
        "expires_at": approval.expires_at,
        "not_reached": approval.unread,
        "stands_in": None if approval.second is None else approval.second.name,
    }


def _status_text(data: dict[str, Any], searches: list[SearchHealth], isolated: list[str]) -> str:
    lines = [f"mode {data['mode']}" + (f" ({'; '.join(data['why'])})" if data["why"] else "")]
    if data["paused"] is not None:
        lines.append(f"PAUSED: {data['paused']}")
    for health in searches:
        seen = wording.clock_text(health.last_ok_at)
        lines.append(f"search {health.search}: last whole poll {seen}")
        if health.blind:
            lines.append(f"  BLIND: {health.blind}")
        if health.last_error:
            lines.append(f"  last error: {health.last_error}")
    for question in data["questions"]:
        devices = ", ".join(question["devices"]) or question["asks"]
        until = wording.clock_text(question["expires_at"])
        lines.append(f"question {question['code']} {question['state']}: {devices} until {until}")
        for name, since in question["not_reached"].items():
            lines.append(f"  {name} not reached since {wording.clock_text(since)}")
        if question["stands_in"] is not None:
            lines.append(f"  a card stands in {question['stands_in']}, the fall-back chat")
    lines += isolated
    lines += [f"A PERSON IS NEEDED: {need}" for need in data["needs"]]
    lines += [f"suppressions: {said}" for said in data["suppressions"]]
    counts = ", ".join(f"{count} {status}" for status, count in sorted(data["runs"].items()))
    lines.append(f"runs: {counts or 'none'}")
    return "\n".join(lines)
