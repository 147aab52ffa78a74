"""What happened in the last days: hits, judgements, questions, isolations, and what was not seen.

Numbers and names, read off the journal; `runner/period_text.py` says them. What is not known is
None, never zero: a search that could not be seen has no "no hits".
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from statistics import median

from msgspec import Struct
from msgspec.structs import replace

from runner import arming
from runner.config import Config, Mode
from runner.journal import Tx, cases, counts, ledger, polls, runs, spans
from runner.journal.records import Approval, Case
from runner.metrics import blind_minutes
from runner.period_steps import NOT_JUDGED, HostLine, Observed, Reading

ERASED = "erased"


class SearchPeriod(Struct, frozen=True, kw_only=True):
    """One search. `hits`: stored alerts, None when none came and it was never polled to its end.
    `judged`: assessment → cases with a hit in the time. `suppressed`: suppression → hits.
    `blind_minutes` of `watched_minutes` nothing could be seen; None: it is not configured now."""

    name: str
    hits: int | None
    cases: int
    judged: dict[str, int]
    suppressed: dict[str, int]
    polls: int
    failed_polls: int
    incomplete_polls: int
    last_error: str | None
    blind_minutes: float | None
    watched_minutes: float


class Asked(Struct, frozen=True, kw_only=True):
    """Questions that people got in one mode. `states`: how they stand → how many; `devices`: by
    id; `median_s`: from opening to a yes or no, None without one."""

    mode: Mode
    questions: int
    states: dict[str, int]
    devices: int
    median_s: float | None


class Period(Struct, frozen=True, kw_only=True):
    """All of it. `known_since`: what came before is erased, or before the journal."""

    since: datetime
    until: datetime
    known_since: datetime
    mode: Mode
    why: tuple[str, ...]
    searches: tuple[SearchPeriod, ...]
    observed: Observed
    asked: tuple[Asked, ...]
    refused: dict[str, dict[str, int]]
    """Guard → its reason → how often it denied that people be asked."""
    untraced: int
    """How often no device was found for a host."""
    unsent_tickets: int
    unsent_messages: int
    """What observe would have opened and posted besides cards."""
    failed_runs: int
    shared: int
    """Devices for which another case's answer or isolation counted."""
    practised: int
    isolated: tuple[str, ...]
    """Hosts that the EDR's own record showed as isolated, through this runner."""
    pending: tuple[str, ...]
    """Hosts whose isolation was asked for, and is not confirmed."""
    released: tuple[str, ...]
    containment_median_s: float | None
    quick: dict[str, int]
    """Person → questions approved sooner than a card can be read."""
    hosts: tuple[HostLine, ...]
    per_hour: int


def read_period(tx: Tx, config: Config, since: datetime) -> Period:
    """Read all of it in one transaction."""
    reading = Reading(tx, since)
    now = tx.clock.now()
    erased = spans.erased_before(tx)
    known = max(at for at in (since, counts.began_at(tx), erased) if at is not None)
    standing = arming.standing(tx, config)
    observed, refused = reading.rulings()
    questions = spans.questions_since(tx, since)
    reading.asked(questions)
    changes = spans.ledger_changes(tx, since)
    unsent = reading.unsent()
    done = counts.containment_times_s(tx, since)
    return Period(
        since=since,
        until=now,
        known_since=known,
        mode=standing.mode,
        why=standing.why,
        searches=tuple(_searches(tx, config, since, known)),
        observed=observed,
        asked=tuple(_asked(questions)),
        refused=refused,
        untraced=reading.untraced(),
        unsent_tickets=unsent.get("#ticket", 0),
        unsent_messages=unsent.get("#message", 0),
        failed_runs=len(runs.failed_since(tx, since)),
        shared=reading.shared(),
        practised=reading.practised(),
        isolated=_hosts_in(tx, changes, ("confirmed",)),
        pending=_hosts_in(tx, changes, ("requested", "accepted", "unknown"), is_latest=True),
        released=_hosts_in(tx, changes, ("released",)),
        containment_median_s=median(done) if done else None,
        quick=dict(Counter(who for by in spans.quick_approvals(tx, since) for who in by)),
        hosts=tuple(sorted(reading.lines, key=lambda line: (line.at, line.host))),
        per_hour=config.guards.budget.per_hour,
    )


# -- searches --------------------------------------------------------------------------------------


def _searches(tx: Tx, config: Config, since: datetime, known: datetime) -> list[SearchPeriod]:
    found = spans.hits_since(tx, since)
    names = dict.fromkeys([*config.searches, *(one.search for one in found)])
    made = []
    for name in names:
        own = [one for one in found if one.search == name]
        judged: Counter[str] = Counter()
        suppressed: Counter[str] = Counter()
        for one in own:
            case = cases.find(tx, one.case_id)
            judged[_judgement(case)] += 1
            if case and case.assessment and case.assessment.suppression:
                suppressed[case.assessment.suppression] += one.count
        empty = SearchPeriod(
            name=name,
            hits=sum(one.count for one in own),
            cases=len(own),
            judged=dict(judged),
            suppressed=dict(suppressed),
            polls=0,
            failed_polls=0,
            incomplete_polls=0,
            last_error=None,
            blind_minutes=None,
            watched_minutes=(tx.clock.now() - known).total_seconds() / 60,
        )
        made.append(_seen(tx, config, empty, known))
    return made


def _judgement(case: Case | None) -> str:
    if case is None:
        return ERASED
    return NOT_JUDGED if case.assessment is None else case.assessment.assessment.value


def _seen(tx: Tx, config: Config, search: SearchPeriod, known: datetime) -> SearchPeriod:
    """With how well it was polled."""
    if search.name not in config.searches:
        return search
    polled = spans.polls_since(tx, search.name, known)
    failed = [poll for poll in polled if not poll.ok]
    whole = counts.whole_polls(tx, search.name, known.timestamp())
    was_seen = any(poll.ok for poll in polled)
    last = polls.last(tx, search.name)
    return replace(
        search,
        hits=search.hits if search.hits or was_seen else None,
        polls=len(polled),
        failed_polls=sum(poll.incomplete is None for poll in failed),
        incomplete_polls=sum(poll.incomplete is not None for poll in failed),
        last_error=None if last is None or last.ok else last.error or last.incomplete,
        blind_minutes=blind_minutes(tx, config, search.name, known.timestamp(), whole),
    )


# -- questions and isolations ----------------------------------------------------------------------


def _asked(questions: list[Approval]) -> list[Asked]:
    made = []
    for mode in (Mode.PRACTICE, Mode.ACT):
        own = [one for one in questions if one.mode is mode]
        times = [
            (one.decided_at - one.opened_at).total_seconds()
            for one in own
            if one.opened_at and one.decided_at and one.state in ("approved", "denied")
        ]
        if own:
            made.append(
                Asked(
                    mode=mode,
                    questions=len(own),
                    states=dict(Counter(one.state.value for one in own)),
                    devices=len({item.subject for one in own for item in one.items}),
                    median_s=median(times) if times else None,
                )
            )
    return made


def _hosts_in(
    tx: Tx, changes: list[spans.Change], states: tuple[str, ...], *, is_latest: bool = False
) -> tuple[str, ...]:
    """The hosts that came to one of the states; `is_latest`: and are still there."""
    names: dict[str, None] = {}
    for change in changes:
        if change.state not in states:
            continue
        row = ledger.find(tx, change.subject)
        if row is not None and (not row.is_ours or (is_latest and row.state not in states)):
            continue
        names[change.subject if row is None else row.device.hostname] = None
    return tuple(names)
