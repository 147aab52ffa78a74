"""Index-time window, overlap, de-duplication, watermark, canary: how hits come in without loss.

A poll is start, look, fetch over as many turns as it takes. The watermark moves only when the SIEM
said that the answer is whole and every row of it is stored. No rows from a SIEM whose canary is
silent means blind, not quiet.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from functools import partial

import msgspec

from connectors.errors import ConnectorError, OutcomeUnknown
from connectors.model import Clock, SearchJob, SearchPhase, SearchStatus, Window
from connectors.siem.splunk.window import can_halve, next_window, watermark_after
from runner.config import Config, SearchConfig, SearchMode
from runner.journal import Journal, Tx, polls
from runner.journal.poll_records import Poll, PollJob
from runner.poll_rows import Admit, Admitting, Taking, poll_of
from runner.poll_stretch import Asked, after_part, asked_by, from_where, gap, halved, next_step
from runner.roles import Roles
from runner.routing import Unrouted

log = logging.getLogger(__name__)

JOB_LIVES = timedelta(minutes=10)
LOOK_DELAYS_S = (0.1, 0.2, 0.4, 0.8, 1.5)
CANARY_MARGIN_S = 900
"""A canary looks back over its own interval and this: a feed that stopped must fall silent soon."""
SLOW_AFTER = timedelta(minutes=2)
"""An unfinished search is told as an error from this age on."""
MOST_LOSSES = 3
"""How often one poll starts a search again whose job the SIEM forgot: behind a balancer that sends
each call to another search head it forgets every one."""


class Poller:
    """Polls each configured search once after `begin`."""

    def __init__(
        self, journal: Journal, config: Config, roles: Roles, clock: Clock, admit: Admit
    ) -> None:
        self._journal = journal
        self._config = config
        self._roles = roles
        self._clock = clock
        self._admit = admit
        self._looks: dict[str, int] = {}
        self._due: dict[str, datetime] = {}
        self._losses: dict[str, int] = {}
        self.taking: dict[str, Taking] = {}
        self.errors: dict[str, str] = {}
        """Search → why its poll in this round was not whole."""

    def begin(self) -> None:
        """Ask for one poll of every search."""
        now = self._clock.now()
        self.errors = {}
        self._losses = {}
        for search in self._config.searches.values():
            self._due[search.name] = now
            if self._canary_is_due(search):
                self._due[_canary(search.name)] = now

    def next_due_at(self) -> datetime | None:
        """When `advance` has something to do; None when the round is over."""
        return min(self._due.values(), default=None)

    def unfinished(self) -> bool:
        """Is a search still under way at the end of a round? An old one is an error too."""
        for key in self._due:
            name = key.partition("#")[0]
            with self._journal.read() as tx:
                started = polls.job(tx, key)
            if started is not None and self._clock.now() - started.job.started_at > SLOW_AFTER:
                taking = self.taking.get(key)
                said = "the search has not ended yet" if taking is None else taking.progress()
                self.errors.setdefault(name, said)
        return bool(self._due)

    def advance(self) -> None:
        """Do what is due: one call or two a search, none of them long."""
        now = self._clock.now()
        for key in [key for key, due in self._due.items() if due <= now]:
            name, _, canary = key.partition("#")
            search = self._config.searches[name]
            try:
                self._turn(search, key, is_canary=bool(canary))
            except (ConnectorError, Unrouted) as fault:
                self._give_up(search, key, str(fault))

    def _canary_is_due(self, search: SearchConfig) -> bool:
        if search.canary is None:
            return False
        with self._journal.read() as tx:
            last = polls.last_canary_at(tx, search.name)
        return last is None or self._clock.now() - last >= timedelta(seconds=search.canary_every_s)

    # -- turns -------------------------------------------------------------------------------------

    def _turn(self, search: SearchConfig, key: str, *, is_canary: bool) -> None:
        if key in self.taking:
            self._go_on(search)
            return
        with self._journal.read() as tx:
            started = polls.job(tx, key)
        if started is None:
            self._begin(search, key, is_canary=is_canary)
            return
        status = self._roles.siem.search_status(started.job)
        if started.is_run and status.phase is not SearchPhase.COMPLETE:
            self._start(search, key, self._in_place_of(started))
            return
        is_overdue = self._clock.now() - started.job.started_at > JOB_LIVES
        match status.phase:
            case SearchPhase.RUNNING if is_overdue:
                self._free(started.job)
                said = "; ".join(("the search did not end within ten minutes", *status.messages))
                self._give_up(search, key, said)
            case SearchPhase.RUNNING:
                self._look_later(key)
            case SearchPhase.LOST:
                self._start_lost(search, key, started)
            case SearchPhase.FAILED:
                self._free(started.job)
                self._give_up(search, key, "; ".join(status.messages) or "the search failed")
            case SearchPhase.TRUNCATED if can_halve(started.window) and not is_canary:
                self._free(started.job)
                self._start(search, key, halved(started))
            case _ if is_canary:
                self._hear_canary(search, started, status)
            case _:
                self._take(search, started, status)

    def _begin(self, search: SearchConfig, key: str, *, is_canary: bool) -> None:
        if search.mode is SearchMode.HISTORY and not is_canary:
            self._next_run(search, key)
            return
        window = self._window(search, is_canary=is_canary)
        self._start(search, key, Asked(window=window) if window is not None else None)

    def _next_run(self, search: SearchConfig, key: str) -> None:
        """Read the scheduled run that goes on from the watermark, or search what none covers."""
        now = self._server_now()
        with self._journal.read() as tx:
            watermark = polls.watermark(tx, search.name)
        since = from_where(watermark, now, search)
        runs = self._roles.siem.list_runs(search.saved_search, since, search.settle_s)
        step = next_step(since, now, runs, search)
        if step is None or step.run is None:
            if step is not None:
                log.warning("poll search=%s: %s", search.name, step.why)
            self._start(search, key, step.asked if step is not None else None)
            return
        asked = step.asked
        read = PollJob(
            search=search.name,
            window=asked.window,
            job=step.run,
            covers=asked.covers,
            is_run=True,
        )
        with self._journal.write() as tx:
            polls.set_job(tx, key, read)
        self._due[key] = self._clock.now()

    def _in_place_of(self, run: PollJob) -> Asked:
        """What no whole run answers is searched for by ourselves."""
        log.warning("poll search=%s: its run %s is not whole or gone", run.search, run.job.sid)
        return gap(run.window.event_start, run.window.end, self._server_now())

    def _server_now(self) -> int:
        return int(self._roles.siem.server_time().timestamp())

    def _window(self, search: SearchConfig, *, is_canary: bool) -> Window | None:
        now = self._server_now()
        if is_canary:
            back_s = search.canary_every_s + CANARY_MARGIN_S
            return next_window(None, now, settle_s=0, first_lookback_s=back_s)
        with self._journal.read() as tx:
            watermark = polls.watermark(tx, search.name)
        return next_window(
            watermark,
            now,
            overlap_s=search.overlap_s,
            settle_s=search.settle_s,
            first_lookback_s=search.first_lookback_s,
        )

    def _start(self, search: SearchConfig, key: str, asked: Asked | None) -> None:
        if asked is None:
            del self._due[key]
            return
        is_canary = key != search.name
        saved = search.canary if is_canary and search.canary else search.saved_search
        try:
            job = self._roles.siem.start_saved_search(saved, asked.window)
        except OutcomeUnknown as fault:
            # A search that runs unseen changes nothing; the next round asks the same window again.
            self._give_up(search, key, str(fault))
            return
        begun = PollJob(
            search=search.name,
            window=asked.window,
            job=job,
            rest=asked.rest,
            has_gap=asked.has_gap,
            covers=asked.covers,
        )
        with self._journal.write() as tx:
            polls.set_job(tx, key, begun)
        self._looks[key] = 0
        self._look_later(key)

    def _start_lost(self, search: SearchConfig, key: str, lost: PollJob) -> None:
        """Ask the same window again, but not without end."""
        losses = self._losses.get(key, 0) + 1
        self._losses[key] = losses
        if losses > MOST_LOSSES:
            why = f"the SIEM forgot {losses} searches in a row; do all calls reach one search head?"
            self._give_up(search, key, why)
            return
        self._start(search, key, asked_by(lost))

    def _free(self, job: SearchJob) -> None:
        """Give a job's slot back. One that stays ends by itself: no reason to call a poll bad."""
        try:
            self._roles.siem.cancel_search(job)
        except ConnectorError as fault:
            log.info("job sid=%s is left to end by itself: %s", job.sid, fault)

    def _look_later(self, key: str) -> None:
        looks = self._looks.get(key, 0)
        self._looks[key] = looks + 1
        delay_s = LOOK_DELAYS_S[min(looks, len(LOOK_DELAYS_S) - 1)]
        self._due[key] = self._clock.now() + timedelta(seconds=delay_s)

    def _give_up(self, search: SearchConfig, key: str, why: str) -> None:
        """End this round's poll without moving the watermark."""
        log.warning("poll search=%s not complete: %s", search.name, why)
        self._due.pop(key, None)
        self.taking.pop(key, None)
        self.errors[search.name] = why
        with self._journal.write() as tx:
            before = polls.watermark(tx, search.name)
            polls.set_job(tx, key, None)
            failed = Poll(
                search=search.name,
                at=tx.clock.now(),
                ok=False,
                window=None,
                error=why,
                canary=False if key != search.name else None,
                watermark_before=before,
                watermark_after=before,
            )
            polls.add(tx, failed)

    # -- rows --------------------------------------------------------------------------------------

    def _take(self, search: SearchConfig, started: PollJob, status: SearchStatus) -> None:
        """Store all rows; the last of them, the watermark and the poll's record go together."""
        with self._journal.read() as tx:
            poll = poll_of(started, status, self._clock.now(), polls.watermark(tx, search.name))
        self.taking[search.name] = Taking(
            self._journal,
            self._clock,
            Admitting(siem=self._config.roles["siem"], search=search, admit=self._admit),
            started,
            self._roles.siem.fetch_rows(started.job, status.row_count),
            poll,
            partial(self._finish, search, started),
        )
        self._go_on(search)

    def _go_on(self, search: SearchConfig) -> None:
        """Take more rows in; others have their turn before the rest."""
        taking = self.taking[search.name]
        if not taking.go_on():
            self._due[search.name] = self._clock.now()
            return
        del self.taking[search.name], self._due[search.name]
        started, incomplete = taking.started, taking.poll.incomplete
        if not started.is_run:
            self._free(started.job)
        if incomplete is not None:
            self.errors[search.name] = f"incomplete: {incomplete}"
        if started.rest:
            following = after_part(started, has_gap=incomplete is not None)
            self._start(search, search.name, following)
        elif incomplete is None and started.covers is not None:
            # There may be another run to read.
            self._due[search.name] = self._clock.now()

    def _finish(self, search: SearchConfig, started: PollJob, tx: Tx, poll: Poll) -> None:
        polls.set_job(tx, search.name, None)
        if poll.incomplete is None and not started.rest:
            after = started.covers or watermark_after(started.window)
            polls.set_watermark(tx, search.name, after)
            poll = msgspec.structs.replace(poll, watermark_after=after)
        polls.add(tx, poll)

    def _hear_canary(self, search: SearchConfig, started: PollJob, status: SearchStatus) -> None:
        key = _canary(search.name)
        self._free(started.job)
        is_singing = bool(status.row_count)
        with self._journal.write() as tx:
            polls.set_job(tx, key, None)
            polls.set_canary(tx, search.name, tx.clock.now() if is_singing else None)
        if is_singing:
            del self._due[key]
        else:
            self._give_up(search, key, "the canary search found nothing: blind, not quiet")


def _canary(name: str) -> str:
    return f"{name}#canary"
