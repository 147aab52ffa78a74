"""One tick: poll, decide, advance, follow up, heartbeat. Cron and the service run the same code.

The one place that catches whatever a run may throw, so that one broken case stops no other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from connectors.errors import ConnectorError
from connectors.http import HttpClient, HttpSettings, Repeat, Runtime
from connectors.model import Alert, Clock
from runner import arming
from runner.config import Config
from runner.hearing import Hearing
from runner.journal import Fenced, Journal, JournalError, approvals, cases, ledger, runs
from runner.journal.records import Run
from runner.needs import needs_of
from runner.noticing import notice
from runner.poll import Poller
from runner.refused_sign_ins import JournalRefusals
from runner.roles import Roles
from runner.routing import Routing, rank_of

if TYPE_CHECKING:
    from runner.crew import Crew
    from runner.lanes import Lanes

log = logging.getLogger(__name__)

LINGER_S = 20.0
"""How long one tick stays for what is due soon; people are not waited for."""
CARDS_EVERY_S = 3.0
CARD_READ_S = 1.5
HEARD_EVERY_S = 1.5
"""One card that something was heard of, and no more: a crowd that reacts costs no more calls than
the product allows."""
FOLLOW_EVERY_S = 10.0
"""How long runs that are due may keep the ledger and tickets waiting."""
POLL_EVERY_S = 60.0
MOST_SLEEP_S = 1.0


class Tick(Struct, frozen=True, kw_only=True):
    """What one tick came to. `errors`: what could not be done, a sentence each; `people`: how many
    questions are open; `needs`: what only a person can resolve. `is_busy`: another runner was at
    it."""

    is_busy: bool = False
    errors: tuple[str, ...] = ()
    people: int = 0
    needs: tuple[str, ...] = ()


class Service:
    """Everything wired once, from a configuration and what comes from outside."""

    def __init__(self, config: Config, journal: Journal, runtime: Runtime) -> None:
        self.config = config
        self.journal = journal
        self.clock: Clock = runtime.clock
        self.refused_sign_ins = JournalRefusals(journal)
        runtime = msgspec.structs.replace(runtime, refused_sign_ins=self.refused_sign_ins)
        self._runtime = runtime
        self.roles = Roles(config, runtime)
        self.routing = Routing(config, rank=urgency)
        self.poller = Poller(journal, config, self.roles, self.clock, self.routing.admit)
        self._cards_read_at: float | None = None
        self._cards_every_s = CARDS_EVERY_S
        self._heard_at: float | None = None
        self.hearing = Hearing(journal, config, self.roles, self.clock, _carry)
        self._followed_at = float("-inf")
        self._faults: list[str] = []
        self._reading_cards, self._proving = Lock(), Lock()
        self._may_take: Callable[[], bool] = lambda: True

    @cached_property
    def crew(self) -> Crew:
        """Built when there is work: a quiet poll pays for none of it."""
        from runner.crew import Crew

        return Crew(self.journal, self.config, self.roles, self.clock, self._read_decisions, _carry)

    @cached_property
    def _lanes(self) -> Lanes:
        from runner.lanes import Lanes

        return Lanes(self.journal, self.clock, self.config.runs_at_once, self._carry_run)

    # -- work --------------------------------------------------------------------------------------

    def _carry_due(self) -> bool:
        """Go on with what is due; False when nothing is. While hits still come in, only with what
        looks like an attack: the worst may be among those to come."""
        least = 1 if self.poller.taking else 0
        with self.journal.read() as tx:
            is_due = arming.is_paused(tx) is None and runs.next_due(tx, least=least) is not None
        return is_due and self._lanes.carry_due(self._may_take, least)

    def _carry_run(self, run: Run) -> None:
        with self._proving:
            # The protected-assets file may have been edited since the round began.
            faults = arming.refresh_proof(self.journal, self.config, lambda: self.roles.edr)
            self._faults += [fault for fault in faults if fault not in self._faults]
            engine = self.crew.engine
        fault = _carry(f"run={run.id} case={run.case_id}", lambda: engine.advance(run))
        if fault is not None:
            engine.fail(run, fault)

    def _read_decisions(self) -> None:
        """Look at the cards, but not more often than every few seconds, and in one lane only."""
        if not self._reading_cards.acquire(blocking=False):
            return
        try:
            self._look_at_cards()
        finally:
            self._reading_cards.release()

    def _look_at_cards(self) -> None:
        now = self.clock.monotonic()
        if self._cards_read_at is not None and now - self._cards_read_at < self._cards_every_s:
            self._look_at_heard(now)
            return
        self._cards_read_at = now
        with self.journal.read() as tx:
            waiting = approvals.count_waiting(tx)
            has_cards = approvals.has_unclosed(tx)
        # A product allows so many reads a minute, whatever the number of questions.
        self._cards_every_s = max(CARDS_EVERY_S, waiting * CARD_READ_S)
        is_needed = has_cards or "crew" in vars(self)
        if is_needed and self.crew.cards.advance():
            self._cards_read_at = None

    def _look_at_heard(self, now: float) -> None:
        """Look at once at a card that something was just done to."""
        is_soon = self._heard_at is not None and now - self._heard_at < HEARD_EVERY_S
        if is_soon or not self.hearing.is_any():
            return
        with self.journal.read() as tx:
            heard = self.hearing.take(approvals.open_messages(tx))
        if heard is None:
            return
        self._heard_at = now
        if self.crew.cards.advance(heard):
            self._cards_read_at = None

    # -- ticks -------------------------------------------------------------------------------------

    def tick(self, linger_s: float = LINGER_S) -> Tick:
        """Poll each search once and do all that is due. Repeat: harmless, also side by side."""
        if not self.journal.own():
            return Tick(is_busy=True)
        try:
            self._begin_round()
            deadline = self.clock.monotonic() + linger_s
            self._may_take = lambda: self.clock.monotonic() <= deadline
            self._until_quiet(deadline)
            # A last look: what people agreed to in the meantime is still sent in this tick.
            self._cards_read_at = None
            self._until_quiet(deadline)
            return self._end_round()
        finally:
            self.journal.disown()

    def serve(self, should_stop: Callable[[], bool], on_tick: Callable[[Tick], None]) -> None:
        """Tick until told to stop; the stop comes between two calls, and nothing is lost by it."""
        try:
            while not should_stop():
                if not self.journal.own():
                    self.hearing.stop()
                    on_tick(Tick(is_busy=True))
                    self.clock.sleep(MOST_SLEEP_S)
                    continue
                self.hearing.start()
                self._serve_round(should_stop)
                on_tick(self._end_round())
        finally:
            self.hearing.stop()
        self.journal.disown()

    def _serve_round(self, should_stop: Callable[[], bool]) -> None:
        self._begin_round()
        until = self.clock.monotonic() + POLL_EVERY_S
        self._may_take = lambda: not should_stop()
        while not should_stop() and self.clock.monotonic() < until:
            if not self._turn():
                self.hearing.nap(self._nap_s(until))

    def _begin_round(self) -> None:
        self._faults = notice(self.journal, self.config, self.clock)
        faults = arming.refresh_proof(self.journal, self.config, lambda: self.roles.edr)
        self._faults += faults
        self._cards_read_at = None
        self._followed_at = self.clock.monotonic()
        self.poller.begin()

    def _until_quiet(self, deadline: float) -> None:
        """Turn until nothing is due before the deadline."""
        while True:
            if self._turn():
                if self.clock.monotonic() >= deadline:
                    return
                continue
            due = self._next_due_at()
            left_s = deadline - self.clock.monotonic()
            if due is None or (due - self.clock.now()).total_seconds() > left_s or left_s <= 0:
                return
            self.clock.sleep(self._nap_s(deadline))

    def _nap_s(self, until: float) -> float:
        """Until something is due, in short naps: a stop or a vote must not wait long."""
        due = self._next_due_at()
        left_s = max(until - self.clock.monotonic(), 0.0)
        due_s = left_s if due is None else (due - self.clock.now()).total_seconds()
        return min(max(due_s, 0.01), left_s, MOST_SLEEP_S)

    def _turn(self) -> bool:
        """Decisions first, then hits, then runs, then what follows; True when a run moved."""
        self._read_decisions()
        self.poller.advance()
        has_moved = self._carry_due()
        if not has_moved or self.clock.monotonic() - self._followed_at >= FOLLOW_EVERY_S:
            self._follow_up()
        return has_moved

    def _follow_up(self) -> None:
        self._followed_at = self.clock.monotonic()
        with self.journal.read() as tx:
            is_due = bool(ledger.due(tx)) or ledger.is_sweep_due(tx) or cases.has_unreported(tx)
            is_due = is_due or (self.config.silence is not None and ledger.is_talk_due(tx))
            is_paused = arming.is_paused(tx) is not None
        if is_due:
            self.crew.followup.watch_ledger()
            self.crew.followup.listen()
            if not is_paused:
                self.crew.followup.report_cases()

    def _next_due_at(self) -> datetime | None:
        with self.journal.read() as tx:
            wake_at = runs.next_wake_at(tx) if arming.is_paused(tx) is None else None
        times = (self.poller.next_due_at(), wake_at)
        return min((at for at in times if at is not None), default=None)

    def _end_round(self) -> Tick:
        """Serve what the round left (cards, reports), then say what it came to."""
        self._cards_read_at = None
        self._read_decisions()
        self._follow_up()
        self._forget()
        self.journal.note_head()
        is_unfinished = self.poller.unfinished()
        errors = [
            *self._faults,
            *(f"search {name}: {why}" for name, why in self.poller.errors.items()),
        ]
        if "crew" in vars(self):
            cards, followup = self.crew.cards.trouble, self.crew.followup.trouble
            errors += [f"question {name}: {why}" for name, why in cards.items()]
            errors += [f"{name}: {why}" for name, why in followup.items()]
        with self.journal.read() as tx:
            people = approvals.count_waiting(tx)
            errors += [f"{step.key}: {step.error.text}" for step in runs.held_up(tx) if step.error]
        if not errors and not is_unfinished:
            errors += self._beat()
        return Tick(errors=tuple(errors), people=people, needs=tuple(needs_of(self.journal)))

    def _forget(self) -> None:
        """A part of what is older than has to be kept; nothing unless that is configured."""
        if self.config.retention is None:
            return
        from runner.journal import retention

        before = self.clock.now() - timedelta(days=self.config.retention.days)
        with self.journal.write() as tx:
            retention.erase(tx, before)

    def _beat(self) -> list[str]:
        """Tell the heartbeat's receiver that the round was good."""
        url = self.config.heartbeat_url
        if url is None:
            return []
        try:
            client = HttpClient(
                "heartbeat", HttpSettings(base_url=url.reveal()), self._runtime, secrets=(url,)
            )
            client.send("POST", "", repeat=Repeat.SAFE, accept=(200, 201, 202, 204))
        except ConnectorError as fault:
            return [str(fault)]
        return []


def _carry(what: str, work: Callable[[], None]) -> str | None:
    """One piece of work: a fault of the program in it must stop no other. None, or the fault."""
    try:
        work()
    except (Fenced, JournalError):
        raise
    except Exception as fault:
        log.exception("%s cannot be carried", what)
        return f"a fault of the program: {type(fault).__name__}"
    return None


def urgency(alert: Alert) -> int:
    """What cannot be looked at goes first: its run will say why."""
    found: list[int] = []
    _carry(f"rank alert={alert.id}", lambda: found.append(rank_of(alert)))
    return found[0] if found else runs.MOST_URGENT
