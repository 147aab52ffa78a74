"""The fourth level of truth: after the EDR confirmed an isolation, the host's own events are asked.

Searches are started in one round and read in a later one; the looks lie further and further apart,
and after the last one nobody asks any more. What is heard is told in the card's thread and in the
ticket. Nothing is done about it: whoever reads it decides.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from functools import partial

import msgspec

from connectors.errors import ConnectorError
from connectors.model import Device, EventQuery, SearchJob
from runner.config import Config, Silence
from runner.context import Carry, NotYet, StepFailed
from runner.hostname import is_same_host
from runner.hunt_queries import ENOUGH, talk_queries
from runner.hunts import Found, fetch_found
from runner.journal import Journal, Tx, approvals, cases, ledger
from runner.journal.records import LedgerRow, LedgerState
from runner.journal.talk_records import Talk, TalkVerdict
from runner.roles import Roles
from runner.talk import (
    Address,
    Event,
    Heard,
    Judged,
    address_of,
    agreeing,
    habit_span,
    judge,
    read_events,
    twins,
)

log = logging.getLogger(__name__)

AT_ONCE = 2
"""At how many hosts one round looks: six searches each, beside what polls and hunts need."""
AGAIN = timedelta(seconds=2)
SEARCH_S = 300.0
SAMPLES = ("earlier", "before", "others", "peers")
"""Searches of which a part proves as much as the whole."""


class TalkWatch:
    """Listens to what is isolated."""

    def __init__(self, journal: Journal, config: Config, roles: Roles, carry: Carry) -> None:
        self._journal = journal
        self._config = config
        self._roles = roles
        self._carry = carry

    def watch(self) -> None:
        """Start what is due, and read what has ended. Nothing, where nothing is configured."""
        silence = self._config.silence
        if silence is None:
            return
        with self._journal.read() as tx:
            due = due_rows(tx, silence)[:AT_ONCE]
        for row in due:
            fault = self._carry(f"talk subject={row.subject}", partial(self._look, row, silence))
            if fault is not None:
                self._end(row, silence, _unproved(fault))

    def _look(self, row: LedgerRow, silence: Silence) -> None:
        if row.talk is None or not row.talk.jobs:
            self._start(row, silence)
        else:
            self._read(row, row.talk, silence)

    # -- searching ---------------------------------------------------------------------------------

    def _start(self, row: LedgerRow, silence: Silence) -> None:
        """Start all searches of one look. One that cannot be started ends the look."""
        with self._journal.read() as tx:
            now, names = tx.clock.now(), _names(tx, row)
        jobs: dict[str, SearchJob] = {}
        for name, query in self._queries(row, silence, names, now).items():
            if isinstance(query, str):
                self._end(row, silence, _unproved(query))
                return
            try:
                jobs[name] = self._roles.siem.start_event_query(query)
            except ConnectorError as fault:
                self._end(row, silence, _unproved(f"not searched: {fault}"))
                return
        until = now - timedelta(seconds=silence.late_s)
        talk = msgspec.structs.replace(
            row.talk or Talk(), jobs=jobs, until=until, looked_at=now, due_at=now + AGAIN
        )
        with self._journal.write() as tx:
            _keep(tx, row, talk)

    def _queries(
        self, row: LedgerRow, silence: Silence, names: tuple[str, ...], now: datetime
    ) -> dict[str, EventQuery | str]:
        asked_at, since = _asked_at(row), _since(row, silence)
        back = timedelta(seconds=silence.before_s)
        span = habit_span(since, now - timedelta(seconds=silence.late_s), back)
        before = (asked_at - 2 * span, asked_at - span, asked_at)
        return talk_queries(names, before, asked_at - back, (since, now), self._config.hunts)

    def _read(self, row: LedgerRow, talk: Talk, silence: Silence) -> None:
        """Judge what the searches of this look gave, once all have ended."""
        with self._journal.read() as tx:
            now = tx.clock.now()
        elapsed_s = (now - (talk.looked_at or now)).total_seconds()
        found: dict[str, Found] = {}
        for name, job in talk.jobs.items():
            try:
                read = fetch_found(self._roles.siem, job, elapsed_s, SEARCH_S)
            except NotYet:
                with self._journal.write() as tx:
                    _keep(tx, row, msgspec.structs.replace(talk, due_at=now + AGAIN))
                return
            except (ConnectorError, StepFailed) as fault:
                read = Found(gap=f"not searched: {fault}")
            found[name] = read or Found(gap="not searched: the SIEM lost the search")
        self._end(row, silence, judge(self._heard(row, talk, silence, found, now)))

    def _heard(
        self, row: LedgerRow, talk: Talk, silence: Silence, found: dict[str, Found], now: datetime
    ) -> Heard:
        events = {name: self._events(one) for name, one in found.items()}
        peers, name = events.pop("peers"), _full_name(row.device)
        events["before"] = (*events.pop("earlier", ()), *events["before"])
        gaps = [
            one.gap
            for kind, one in found.items()
            if not (kind in SAMPLES and len(one.rows) >= ENOUGH)
        ]
        gaps.append(twins((event for some in events.values() for event in some), name))
        if "changes" not in found:  # An older version started this look.
            gaps.append("not searched: whether its logging was changed")
        return Heard(
            since=_since(row, silence),
            until=talk.until or _since(row, silence),
            looked_at=now,
            margin=timedelta(seconds=silence.margin_s),
            asked_at=_asked_at(row),
            back=timedelta(seconds=silence.before_s),
            **{kind: agreeing(some, name) for kind, some in events.items()},
            peers=tuple(
                one for one in peers if one.host is not None and not is_same_host(one.host, name)
            ),
            gaps=tuple(gap for gap in gaps if gap is not None),
            allowed=silence.allowed,
            own=_own_addresses(row.device),
        )

    def _events(self, found: Found) -> tuple[Event, ...]:
        siem = self._config.roles["siem"]
        return tuple(read_events(found.rows, siem, self._config.hunts))

    # -- telling -----------------------------------------------------------------------------------

    def _end(self, row: LedgerRow, silence: Silence, judged: Judged) -> None:
        """End a look: keep what it came to, tell what is new, and say when to look again."""
        with self._journal.write() as tx:
            before = row.talk or Talk()
            looks = before.looks + 1
            talk = msgspec.structs.replace(
                _better(before, judged),
                looks=looks,
                jobs={},
                looked_at=tx.clock.now(),
                due_at=_due_at(row, silence, looks),
            )
            if _keep(tx, row, talk) and _is_news(before, talk):
                _tell(tx, row, talk)


def due_rows(tx: Tx, silence: Silence) -> list[LedgerRow]:
    """Isolations of ours that the EDR confirms and that it is time to listen to."""
    now = tx.clock.now()
    return [row for row in ledger.standing(tx) if _is_due(row, silence, now)]


def _is_due(row: LedgerRow, silence: Silence, now: datetime) -> bool:
    if row.state is not LedgerState.CONFIRMED or LedgerState.CONFIRMED not in row.times:
        return False
    due_at = _due_at(row, silence, 0) if row.talk is None else row.talk.due_at
    return due_at is not None and due_at <= now


def _confirmed_at(row: LedgerRow) -> datetime:
    return row.times[LedgerState.CONFIRMED]


def _asked_at(row: LedgerRow) -> datetime:
    return row.times.get(LedgerState.REQUESTED, _confirmed_at(row))


def _full_name(device: Device) -> str:
    """With the domain, as far as it is one of DNS: events name no other."""
    if not device.domain or "." not in device.domain:
        return device.hostname
    return f"{device.hostname.partition('.')[0]}.{device.domain}"


def _own_addresses(device: Device) -> tuple[Address, ...]:
    """Without those that it shares: behind a gateway's address are all its neighbors."""
    shared = {address_of(text) for text in device.shared_addresses}
    found = (address_of(text) for text in device.addresses)
    return tuple(one for one in found if one is not None and one not in shared)


def _since(row: LedgerRow, silence: Silence) -> datetime:
    """From when on no connection may be: events carry the time of the host's own clock."""
    return _confirmed_at(row) + timedelta(seconds=silence.margin_s)


def _due_at(row: LedgerRow, silence: Silence, looks: int) -> datetime | None:
    """When to look, after so many looks: each twice as late as the one before."""
    if looks >= silence.looks:
        return None
    later = timedelta(seconds=silence.late_s + silence.after_s * 2**looks)
    return _since(row, silence) + later


def _names(tx: Tx, row: LedgerRow) -> tuple[str, ...]:
    """What the host may be called in events: as the EDR has it, and as its cases' alerts do."""
    device = row.device
    names = [device.hostname]
    if device.domain and "." in device.domain:
        names.append(f"{device.hostname}.{device.domain}")
    found = (cases.find(tx, holder) for holder in row.holders)
    alerts = [cases.read_alert(tx, case.alert_id) for case in found if case is not None]
    names += [a.host for a in alerts if a.host and is_same_host(a.host, device.hostname)]
    return tuple(dict.fromkeys(names))


def _unproved(why: str) -> Judged:
    return Judged(verdict=TalkVerdict.UNPROVED, text=f"not confirmed by silence: {why}")


def _better(before: Talk, judged: Judged) -> Talk:
    """What holds from now on. Who was heard to talk is not acquitted by a later look, and what was
    confirmed for a time is not lost with a look that saw nothing."""
    was = before.verdict
    if was is TalkVerdict.TALKING and not set(judged.foreign) - set(before.foreign):
        return before
    if was is TalkVerdict.SILENT and judged.verdict is TalkVerdict.UNPROVED:
        return before
    foreign = tuple(dict.fromkeys((*before.foreign, *judged.foreign)))
    return msgspec.structs.replace(
        before, verdict=judged.verdict, text=judged.text, foreign=foreign
    )


def _is_news(before: Talk, talk: Talk) -> bool:
    """That it is silent for longer is none."""
    return (before.verdict, before.foreign) != (talk.verdict, talk.foreign)


def _keep(tx: Tx, row: LedgerRow, talk: Talk) -> bool:
    """Keep it, if it is still the same isolation that stands confirmed."""
    current = ledger.find(tx, row.subject)
    if current is None or current.state is not LedgerState.CONFIRMED:
        return False
    if current.times.get(LedgerState.CONFIRMED) != _confirmed_at(row):
        return False
    ledger.keep(tx, msgspec.structs.replace(current, talk=talk))
    return True


def _tell(tx: Tx, row: LedgerRow, talk: Talk) -> None:
    """In the chain, in the holders' tickets, and, where it proves something, in the thread."""
    said = {"verdict": talk.verdict, "text": talk.text, "foreign": talk.foreign}
    tx.entry("isolation_heard", {"subject": row.subject}, said)
    if talk.verdict is TalkVerdict.TALKING:
        log.warning("talk subject=%s isolated, and it talks", row.subject)
    if row.approval_id is not None and talk.verdict is not TalkVerdict.UNPROVED:
        approvals.add_note(tx, row.approval_id, f"{row.device.hostname}: {talk.text}.")
    for holder in row.holders:
        cases.revise(tx, holder)
