"""The report of the last days as a document: what was found, who would have been asked, and why.

Pure. Text in it is raw evidence with its secrets masked; each serialiser escapes it once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from connectors.document import Block, Bullets, Document, Heading, Paragraph, Table, shorten
from runner.config import Mode
from runner.masking import mask_secrets
from runner.period import Asked, Period, SearchPeriod
from runner.period_steps import HostLine
from runner.wording import clock_text

MOST_LINES = 200
LONGEST = 400
ORDER = ("malicious", "suspicious", "unknown", "benign", "not judged", "erased")


def period_document(period: Period, needs: Sequence[str]) -> Document:
    """All of it. `needs`: what waits for a person, a sentence each."""
    blocks: list[Block] = [
        Heading(text=f"Stockade: {clock_text(period.since)} to {clock_text(period.until)}"),
        Paragraph(text=_mode(period)),
    ]
    if period.known_since > period.since:
        text = f"Before {clock_text(period.known_since)} the journal holds not everything: it began"
        blocks.append(Paragraph(text=f"{text} then, or what is older was erased."))
    blocks.append(Bullets(items=tuple(_sentences(period))))
    blocks += _searches(period)
    blocks += _refused(period)
    blocks += _hosts(period.hosts)
    blocks += [
        Heading(text="A person is needed"),
        Bullets(items=tuple(map(_shown, needs)) or ("nothing waits for a person now",)),
    ]
    return Document(blocks=tuple(blocks))


def _shown(text: str) -> str:
    return shorten(mask_secrets(text), LONGEST)


def _mode(period: Period) -> str:
    why = f" ({'; '.join(period.why)})" if period.why else ""
    return f"Mode now: {period.mode}{_shown(why)}."


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _listed(counted: dict[str, int], order: Sequence[str] = ()) -> str:
    keys = sorted(counted, key=lambda key: (order.index(key) if key in order else len(order), key))
    return ", ".join(f"{counted[key]} {key}" for key in keys)


# -- in short --------------------------------------------------------------------------------------


def _sentences(period: Period) -> Iterator[str]:
    yield from _observed(period)
    for asked in period.asked:
        yield _asked(asked)
    if period.practised:
        what = _count(period.practised, "isolation or release", "isolations or releases")
        yield f"PRACTICE: {what} approved, recorded and not sent."
    if period.isolated:
        yield f"Isolated, confirmed by the EDR's record: {_names(period.isolated)}."
    else:
        yield "No isolation through this runner was confirmed."
    if period.pending:
        yield f"Isolation requested and NOT confirmed: {_names(period.pending)}."
    if period.released:
        yield f"Released, confirmed by the EDR's record: {_names(period.released)}."
    if period.containment_median_s is not None:
        yield f"Median from request to confirmed isolation: {_time(period.containment_median_s)}."
    yield from _besides(period)


def _observed(period: Period) -> Iterator[str]:
    seen = period.observed
    if not seen.questions and not seen.general and (period.mode is not Mode.OBSERVE):
        return
    times = _count(seen.questions, "time")
    text = f"Observed: would have asked {times}, about {_count(seen.devices, 'device')}"
    yield (
        f"{text}. Nobody was asked and nothing was isolated; with a yes to each question it would"
        f" have been {seen.devices} at most."
        if seen.questions
        else f"{text}."
    )
    if seen.general:
        yield f"Observed: would have put {_count(seen.general, 'question')} about no device."
    if period.unsent_tickets or period.unsent_messages:
        tickets = _count(period.unsent_tickets, "ticket")
        messages = _count(period.unsent_messages, "message")
        yield f"Observed: would have opened {tickets} and posted {messages} besides the cards."
    if seen.most_in_hour > period.per_hour:
        yield (
            f"In the busiest hour that would have been {seen.most_in_hour} devices, and"
            f" guards.budget.per_hour allows {period.per_hour}: the rest would have been refused."
        )


def _asked(asked: Asked) -> str:
    is_practice = asked.mode is Mode.PRACTICE
    begin = "PRACTICE: asked" if is_practice else "Asked"
    text = f"{begin} {_count(asked.questions, 'time')} about {_count(asked.devices, 'device')}:"
    text = f"{text} {_listed(asked.states)}"
    if asked.median_s is not None:
        text = f"{text}; median from card to decision {_time(asked.median_s)}"
    return f"{text}." + (" A yes sent nothing." if is_practice else "")


def _besides(period: Period) -> Iterator[str]:
    refused = {guard: sum(counted.values()) for guard, counted in period.refused.items()}
    if refused:
        yield f"Refused by guards, so that nobody was asked: {_listed(refused)}."
    if period.failed_runs:
        runs = _count(period.failed_runs, "run")
        yield f"FAILED, so that a case was not worked on to its end: {runs}."
    if period.untraced:
        yield f"No device was found for a host: {_count(period.untraced, 'time')}."
    if period.shared:
        devices = _count(period.shared, "device")
        yield f"An answer or isolation of another case counted, without a new card: {devices}."
    if period.quick:
        people = ", ".join(f"{who} {_count(n, 'time')}" for who, n in sorted(period.quick.items()))
        yield f"Approved in under five seconds, was the card read? {people}."


def _names(hosts: Sequence[str]) -> str:
    more = f" and {len(hosts) - 20} more" if len(hosts) > 20 else ""
    return ", ".join(hosts[:20]) + more


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


# -- tables ----------------------------------------------------------------------------------------


def _searches(period: Period) -> list[Block]:
    header = ("search", "hits", "cases", "judged", "suppressed", "seen")
    rows = tuple(_search(search) for search in period.searches)
    if not rows:
        text = "No search is configured, so nothing was looked at."
        return [Heading(text="Searches"), Paragraph(text=text)]
    return [Heading(text="Searches"), Table(header=header, rows=rows)]


def _search(search: SearchPeriod) -> tuple[str, ...]:
    hits = "NOT KNOWN" if search.hits is None else str(search.hits)
    if search.hits == 0 and search.blind_minutes:
        hits = "0 while it was seen"
    return (
        search.name,
        hits,
        str(search.cases),
        _listed(search.judged, ORDER) or "none",
        _listed(search.suppressed) or "none",
        _seen(search),
    )


def _seen(search: SearchPeriod) -> str:
    if search.blind_minutes is None:
        return "not a configured search now"
    if not search.polls:
        return "NEVER POLLED: blind all the time"
    blind, watched = search.blind_minutes, search.watched_minutes
    text = f"BLIND {_time(blind * 60)} of {_time(watched * 60)}" if blind else "all the time"
    if search.failed_polls:
        text += f"; {_count(search.failed_polls, 'poll')} of {search.polls} failed"
    if search.incomplete_polls:
        text += f"; {search.incomplete_polls} incomplete"
    return text if search.last_error is None else f"{text}; last error: {_shown(search.last_error)}"


def _refused(period: Period) -> list[Block]:
    rows = tuple(
        (guard, _shown(reason), str(count))
        for guard, reasons in period.refused.items()
        for reason, count in reasons.items()
    )
    if not rows:
        return []
    return [
        Heading(text="Refused by guards"),
        Table(header=("guard", "reason", "times"), rows=rows[:MOST_LINES]),
    ]


def _hosts(lines: Sequence[HostLine]) -> list[Block]:
    """Each host and reason once, the newest first."""
    grouped: dict[tuple[str, str, str], tuple[int, datetime, str]] = {}
    for line in lines:
        key = (line.host, line.what, line.why)
        count = grouped.pop(key, (0, line.at, ""))[0]
        grouped[key] = (count + 1, line.at, line.case_id)
    newest = list(reversed(grouped.items()))
    rows = tuple(
        (_shown(host), what, _shown(why) or "none", str(count), clock_text(at), case_id)
        for (host, what, why), (count, at, case_id) in newest[:MOST_LINES]
    )
    blocks: list[Block] = [Heading(text="Hosts")]
    if not rows:
        return [*blocks, Paragraph(text="Nobody would have been asked about any host.")]
    header = ("host", "what", "why", "times", "last", "case")
    blocks.append(Table(header=header, rows=rows))
    if left := len(newest) - len(rows):
        blocks.append(Paragraph(text=f"{left} more lines are left out; --json has them all."))
    return blocks
