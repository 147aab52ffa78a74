"""What a monitoring system is told of the runner: numbers, read off the journal each time.

No name of a host, a user or a case is among them. It serves nothing; `runner/cli_metrics.py` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from msgspec import Struct

from runner import arming
from runner.config import Config
from runner.journal import Tx, approvals, counts, ledger, runs

BLIND_AFTER_S = 300.0
"""As `stockade status` has it."""
WATCHED = timedelta(hours=24)


class Numbers(Struct, frozen=True, kw_only=True):
    """One reading. Keys are names of searches, assessments, decisions and statuses; times are
    seconds; `last_whole_polls` epoch seconds."""

    hits: dict[str, int]
    cases_opened: int
    cases: dict[str, int]
    questions_open: int
    decisions: dict[str, list[float]]
    containments: list[float]
    isolated: int
    runs: dict[str, int]
    blind_minutes: dict[str, float]
    last_whole_polls: dict[str, float]
    mode: str
    is_paused: bool


def read_numbers(tx: Tx, config: Config) -> Numbers:
    """Read all of them in one transaction."""
    since_s = (tx.clock.now() - WATCHED).timestamp()
    whole = {name: counts.whole_polls(tx, name, since_s) for name in config.searches}
    return Numbers(
        hits=dict.fromkeys(config.searches, 0) | counts.hits_by_search(tx),
        cases_opened=counts.cases_opened(tx),
        cases=counts.cases_by_assessment(tx),
        questions_open=approvals.count_waiting(tx),
        decisions=counts.decision_times_s(tx),
        containments=counts.containment_times_s(tx),
        isolated=len(ledger.standing(tx)),
        runs=runs.count_by_status(tx),
        blind_minutes={
            name: blind_minutes(tx, config, name, since_s, whole[name]) for name in whole
        },
        last_whole_polls={name: ats[-1] for name, ats in whole.items() if ats},
        mode=arming.standing(tx, config).mode,
        is_paused=arming.is_paused(tx) is not None,
    )


def blind_minutes(
    tx: Tx, config: Config, name: str, since_s: float, whole: Sequence[float]
) -> float:
    """Minutes since then (epoch seconds) without a whole poll for five, or with a silent canary.
    `whole`: as `counts.whole_polls` gives them."""
    now_s = tx.now_s()
    # Before the journal was made nobody could see anything, and nobody was to.
    start_s = max(since_s, counts.began_at(tx).timestamp())
    every_s = config.searches[name].canary_every_s
    silent = [(at, at + every_s) for at in counts.silent_canaries(tx, name, start_s - every_s)]
    return union_s([*gaps(whole, start_s, now_s), *silent], start_s, now_s) / 60


def gaps(whole: Sequence[float], start_s: float, now_s: float) -> list[tuple[float, float]]:
    """The spans in which the last whole poll was longer ago than may be."""
    seen = [at for at in whole if at <= now_s] or [start_s]
    if seen[0] > start_s:
        seen = [start_s, *seen]
    ends = [*seen[1:], now_s]
    return [
        (at + BLIND_AFTER_S, end)
        for at, end in zip(seen, ends, strict=True)
        if end - at > BLIND_AFTER_S
    ]


def union_s(spans: Sequence[tuple[float, float]], start_s: float, end_s: float) -> float:
    """How long at least one of the spans holds, within bounds, in seconds."""
    total, reached = 0.0, start_s
    for begin, end in sorted(spans):
        begin, end = max(begin, reached), min(end, end_s)
        if end > begin:
            total += end - begin
            reached = end
    return total
