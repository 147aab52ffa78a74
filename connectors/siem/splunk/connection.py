"""The client of one Splunk: which calls are made, and what their answers mean to the runner.

Speaks REST with `output_mode=json`. It knows two generations of the search API: v2 from
9.0.2, where results are fetched by POST, and v1 before. Searches are started, polled and fetched;
never `exec_mode=blocking` or `oneshot`, which hold the connection.

Source: docs.splunk.com REST API Reference "search", "saved/searches"; requests recorded from
splunk-sdk 2.1.1; read 2026-11-25.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from connectors.base import Connector
from connectors.errors import NotFound, OutcomeUnknown, Unavailable
from connectors.http import Repeat, Reply, path_of, retry_after_s
from connectors.model import (
    CheckResult,
    EventQuery,
    Row,
    SavedSearch,
    ScheduledRun,
    SearchJob,
    SearchPhase,
    SearchStatus,
    Window,
)
from connectors.siem.splunk import jobs
from connectors.siem.splunk.pages import plain_page
from connectors.siem.splunk.product import SplunkProduct
from connectors.siem.splunk.rest import Rest, saved_search_path

if TYPE_CHECKING:
    from connectors.siem.splunk.install import Install

log = logging.getLogger(__name__)

PAGE_ROWS = 5000
AUTO_CANCEL_S = 300
"""A job that nobody has asked about for this long ends itself: a crashed runner frees its slot."""
JOB_TTL_S = 600
QUOTA_WAIT_S = 30.0
_INCOMPLETE = (SearchPhase.PARTIAL, SearchPhase.TRUNCATED)


class Splunk(SplunkProduct, Connector):
    """A Splunk deployment as a `Siem`: starts no alert action, changes no saved search."""

    options: SplunkProduct.Options

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self._rest = Rest(self.settings, self.credentials, self.runtime)

    def server_time(self) -> datetime:
        """Splunk's own clock. Errors: `Unavailable` when it cannot be read."""
        return self._rest.server_time()

    # -- starting ----------------------------------------------------------------------------------

    def start_saved_search(self, search: SavedSearch, window: Window) -> SearchJob:
        """Run a saved search over a window of index time; its alert actions are not triggered.

        Errors: `Unavailable` code `search_quota` when too many searches run (nothing was started);
        `NotFound` when the name space has no such search; `OutcomeUnknown` when a job may be
        running.
        Repeat: a second job, which costs a slot until it is cancelled and finds the same rows.
        Source: POST saved/searches/{name}/dispatch, 2026-11-25.
        """
        form = {
            "trigger_actions": 0,
            "force_dispatch": 1,
            "dispatch.index_earliest": window.start,
            "dispatch.index_latest": window.end,
            "dispatch.earliest_time": window.event_start,
            "dispatch.latest_time": window.event_end,
            "dispatch.max_count": self.options.row_cap,
            "dispatch.ttl": JOB_TTL_S,
            "dispatch.auto_cancel": AUTO_CANCEL_S,
        }
        try:
            job = self._start(saved_search_path(search) + "/dispatch", form, self.options.row_cap)
        except NotFound as error:
            where = f"app {search.app}, owner {search.owner}"
            text = self._rest.redact(f"no saved search {search.name!r} in {where} ({error.text})")
            raise NotFound(jobs.PRODUCT, text, status=error.status) from None
        return replace(job, event_start=window.event_start, event_end=window.event_end)

    def start_event_query(self, query: EventQuery) -> SearchJob:
        """Run a structured hunt. The job keeps one row more than the limit, so that a cut shows.

        Errors: as `start_saved_search`; `Rejected` before any call when a value cannot be carried.
        Repeat: as `start_saved_search`. Source: POST search/v2/jobs, 2026-11-25.
        """
        # Imported here, as below: a quiet poll builds no query and checks no permission.
        from connectors.siem.splunk import spl

        text = spl.event_search(query)
        earliest, latest = spl.time_range(query)
        form: dict[str, str | int] = {
            "search": text,
            "exec_mode": "normal",
            "earliest_time": earliest,
            "latest_time": latest,
            "max_count": query.limit + 1,
            "timeout": JOB_TTL_S,
            "auto_cancel": AUTO_CANCEL_S,
        }
        job = self._start(self._rest.job_path(), form, query.limit + 1)
        return replace(job, event_start=earliest, event_end=latest)

    def start_probe(self) -> SearchJob:
        """Ask for one event of the last hour in any index that the role may read; for `check`."""
        from connectors.siem.splunk import spl

        form: dict[str, str | int] = {
            "search": spl.PROBE,
            "exec_mode": "normal",
            "earliest_time": "-1h",
            "latest_time": "now",
            "max_count": 1,
            "timeout": 60,
            "auto_cancel": 60,
        }
        return self._start(self._rest.job_path(), form, row_cap=2)

    def _start(self, path: str, form: Mapping[str, str | int], row_cap: int) -> SearchJob:
        """A job is created once: no answer may mean that it runs."""
        reply = self._rest.post(path, form, repeat=Repeat.ONCE, accept=(200, 201, 503))
        if reply.status == 503:
            raise self._not_started(reply)
        answer = reply.json()
        sid = answer.get("sid") if isinstance(answer, dict) else None
        if not isinstance(sid, str) or not sid:
            raise OutcomeUnknown(jobs.PRODUCT, "took the search but named no job", status=201)
        log.info("search started siem=%s sid=%s", self.name, self._rest.redact(sid))
        return SearchJob(sid=sid, started_at=self.runtime.clock.now(), row_cap=row_cap)

    def _not_started(self, reply: Reply) -> Unavailable | OutcomeUnknown:
        text = self._rest.said(reply)
        told_s = retry_after_s(reply.headers, self.runtime.clock.now())
        if jobs.is_quota(reply.body):
            wait_s = told_s if told_s is not None else QUOTA_WAIT_S
            return Unavailable(
                jobs.PRODUCT, text, status=503, code="search_quota", retry_after_s=wait_s
            )
        if told_s is not None:
            return Unavailable(jobs.PRODUCT, text, status=503, retry_after_s=told_s)
        return OutcomeUnknown(jobs.PRODUCT, text, status=503)

    # -- following ---------------------------------------------------------------------------------

    def search_status(self, job: SearchJob) -> SearchStatus:
        """How far a job is. A job that is cut short, by its row cap or by a limit on time or size,
        is `TRUNCATED`; one with warnings or errors beside its rows is `PARTIAL`.

        Source: GET search/v2/jobs/{sid}, 2026-11-25.
        """
        reply = self._rest.get(self._rest.job_path(job.sid), accept=(200, 204, 404))
        if reply.status == 404:
            # A proxy's 404 says nothing about the job.
            if not jobs.is_splunkd(reply.body):
                raise Unavailable(jobs.PRODUCT, self._rest.said(reply), status=404)
            said = (self._rest.said(reply),)
            return SearchStatus(phase=SearchPhase.LOST, row_count=0, messages=said)
        # A busy search head answers 204, or 200 with nothing, while it knows nothing yet.
        if reply.status == 204 or not reply.body.strip():
            return SearchStatus(phase=SearchPhase.RUNNING, row_count=0)
        # An end in the future may be told as now.
        now = int(job.started_at.timestamp())
        end = None if job.event_end is None else min(job.event_end, now)
        status = jobs.read_status(
            reply.json(), job.row_cap, self.options.ignored_warnings, (job.event_start, end)
        )
        return SearchStatus(
            phase=status.phase,
            row_count=status.row_count,
            messages=tuple(map(self._rest.redact, status.messages)),
        )

    def list_runs(self, search: SavedSearch, since: int, settle_s: int) -> Sequence[ScheduledRun]:
        """As the role says. Repeat: reads again. Source: GET saved/searches/{name}/history."""
        from connectors.siem.splunk.runs import Runs

        runs = Runs(self._rest, self.runtime.clock, self.options.ignored_warnings)
        return runs.list_runs(search, since, settle_s)

    def fetch_rows(self, job: SearchJob, row_count: int) -> Iterator[Row]:
        """Stream all rows of a finished job, a page of at most 5,000 in memory at a time.

        Errors: `Unavailable` when the job has expired, when pages end before `row_count` rows have
        come, or when a page speaks of missing rows and the job's status did not.
        Repeat: the same rows in the same order.
        Source: POST search/v2/jobs/{sid}/results (v1: GET), 2026-11-25.
        """
        offset = 0
        while offset < row_count:
            page = self._read_page(job, offset, min(PAGE_ROWS, row_count - offset))
            if not page.rows:
                text = f"the rows end after {offset} of {row_count}"
                raise Unavailable(jobs.PRODUCT, text, code="rows_missing")
            self._weigh(job, page.messages)
            yield from page.rows[: row_count - offset]
            offset += len(page.rows)

    def _read_page(self, job: SearchJob, offset: int, count: int) -> jobs.Page:
        path = self._rest.job_path(job.sid, "results")
        form = {"count": count, "offset": offset}
        accept = (200, 204, 404)
        if self._rest.has_v2():
            reply = self._rest.post(path, form, repeat=Repeat.SAFE, accept=accept)
        else:
            reply = self._rest.get(path, form, accept=accept)
        if reply.status == 404:
            raise Unavailable(
                jobs.PRODUCT,
                "the job expired before its rows were read",
                status=404,
                code="expired",
            )
        if reply.status == 204 or not reply.body.strip():
            return jobs.Page((), ())
        plain = plain_page(reply.body) if reply.is_json else None
        return plain or jobs.read_page(reply.json(pairs=jobs.merge_pairs))

    def _weigh(self, job: SearchJob, messages: Sequence[jobs.Message]) -> None:
        """Pages repeat the job's messages; one that its status did not tell is no small matter."""
        serious = jobs.doubts(messages, self.options.ignored_warnings)
        if not serious:
            return
        is_fatal = any(message.kind == "FATAL" for message in serious)
        if is_fatal or self.search_status(job).phase not in _INCOMPLETE:
            raise Unavailable(jobs.PRODUCT, self._rest.redact(str(serious[0])), code="incomplete")

    def cancel_search(self, job: SearchJob) -> None:
        """Free the job's slot. Repeat: a job that is gone is no error.
        Source: POST search/v2/jobs/{sid}/control, 2026-11-25."""
        path = self._rest.job_path(job.sid, "control")
        self._rest.post(path, {"action": "cancel"}, repeat=Repeat.SAFE, accept=(200, 404))

    def check(self) -> Sequence[CheckResult]:
        """Token, capabilities, saved searches, and one small search from start to cancel.

        Changes nothing that stays: the search looks for one event of the last hour.
        """
        from connectors.siem.splunk.permissions import PermissionCheck

        return PermissionCheck(self, self._rest, self.runtime.clock).run()

    def saved_search_names(self, app: str) -> Sequence[str]:
        """The saved searches of an app that this account sees, by name.
        Source: GET saved/searches (`count=0` means all), 2026-11-25."""
        path = path_of("servicesNS", "nobody", app, "saved", "searches")
        return jobs.names_of(self._rest.read_json(path, {"count": 0}))

    def installer(self) -> Install:
        """What puts a shipped search there, under this client's account."""
        from connectors.siem.splunk.install import Install

        return Install(self._rest)

    def check_search(
        self, search: SavedSearch, facts: Mapping[str, Sequence[str]], *, is_scheduled: bool
    ) -> Sequence[CheckResult]:
        """As the role says: is this search there, readable, sound, and can it be started? It is
        started over the last minute, and cancelled."""
        from connectors.siem.splunk.search_check import SearchCheck

        return SearchCheck(self, self._rest, self.runtime.clock).run(
            search, facts, is_scheduled=is_scheduled
        )
