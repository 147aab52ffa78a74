"""The search jobs of the Splunk stand-in: started, asked about, read, ended."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from itertools import count
from typing import Any, ClassVar, TypeVar
from urllib.parse import unquote

import msgspec

from connectors.emulators import scenario
from connectors.emulators.emulator import Emulator, Keys
from connectors.emulators.spl import SplError
from connectors.emulators.spl_commands import StoredEvent
from connectors.emulators.splunk_jobs import ADHOC_MAX_COUNT, Job, JobFault, run_job
from connectors.emulators.splunk_wire import Entry, RowPage, Writer
from connectors.emulators.store import StateFile
from connectors.emulators.wire import Answer, Call
from connectors.model import Clock, JsonObject, Row

_Item = TypeVar("_Item")


class SearchHead(Emulator):
    """The part of a splunkd that runs searches over its events. Tunable: `version`, `job_s` (how
    long a job runs, in seconds of the clock), `row_cap` (rows a job keeps at most, None: Splunk's
    own), `page_cap` (rows an answer holds), `srch_time_win_s` (the role's `srchTimeWin`)."""

    TUNABLE: ClassVar[frozenset[str]] = frozenset(
        {"version", "job_s", "row_cap", "page_cap", "srch_time_win_s"}
    )

    def __init__(
        self,
        clock: Clock,
        *,
        keys: Keys | None = None,
        store: StateFile | None = None,
        base: datetime | None = None,
    ) -> None:
        super().__init__(clock, keys=keys, store=store)
        self.version = "9.2.1"
        self.job_s = 0.0
        self.row_cap: int | None = None
        self.page_cap = 50_000
        self.srch_time_win_s: int | None = None
        self.events: list[StoredEvent] = scenario.events(base or clock.now())
        self.jobs: dict[str, Job] = {}
        self._added: list[StoredEvent] = []
        self._job_faults: list[JobFault] = []
        self._numbers = count(1)

    # -- for tests ---------------------------------------------------------------------------------

    def add_event(
        self,
        raw: JsonObject,
        age_s: float = 0.0,
        index_age_s: float | None = None,
        visible_in_s: float = 0.0,
    ) -> Row:
        """Store one more raw Windows event that happened `age_s` ago, was indexed `index_age_s` ago
        (default: now), and shows in searches after `visible_in_s`. Gives the stored row."""
        with self.lock:
            now = self.clock.now()
            indexed_at = now - timedelta(seconds=index_age_s or 0.0)
            event = scenario.stored_event(
                raw,
                at=now - timedelta(seconds=age_s),
                indexed_at=int(indexed_at.timestamp()),
                number=len(self.events) + len(self._added) + 1,
                visible_at=now.timestamp() + visible_in_s,
            )
            self._added.append(event)
            self.save()
            return dict(event.row)

    def spoil_job(self, **how: object) -> None:
        """The next job goes wrong; the keywords are those of `JobFault`."""
        with self.lock:
            self._job_faults.append(msgspec.convert(how, JobFault))

    def drop_jobs(self) -> None:
        """Forget all jobs, as after their time to live: their sids are unknown."""
        with self.lock:
            self.jobs.clear()

    # -- jobs --------------------------------------------------------------------------------------

    def _start(
        self,
        sid: str,
        text: str,
        times: dict[str, str],
        writer: Writer,
        *,
        label: str = "",
        max_count: int = ADHOC_MAX_COUNT,
    ) -> Answer:
        try:
            job = run_job(
                sid,
                text,
                times,
                [*self.events, *self._added],
                self.clock.now(),
                label=label,
                runs_s=self.job_s,
                time_win_s=self.srch_time_win_s,
                max_count=self.row_cap if self.row_cap is not None else max_count,
                fault=self._job_faults.pop(0) if self._job_faults else None,
            )
        except SplError as error:
            return writer.message(400, "FATAL", str(error))
        self.jobs[sid] = job
        return writer.value("sid", sid, 201)

    def _create_job(
        self, call: Call, fields: dict[str, str], writer: Writer, groups: tuple[Any, ...]
    ) -> Answer:
        text = fields.get("search", "")
        if not text:
            return writer.message(400, "FATAL", "Empty search.")
        sid = f"{self.clock.now().timestamp():.0f}.{next(self._numbers)}"
        cap = int(fields.get("max_count") or ADHOC_MAX_COUNT)
        answer = self._start(sid, text, fields, writer, max_count=cap)
        is_export = groups[1] is not None
        if answer.status != 201 or not (is_export or fields.get("exec_mode") == "oneshot"):
            if fields.get("exec_mode") == "blocking" and sid in self.jobs:
                self.jobs[sid].runs_s = 0
            return answer
        job = self.jobs.pop(sid)
        return _export(job) if is_export else self._rows(job, fields, writer, preview=False)

    def _list_jobs(self, call: Call, fields: dict[str, str], writer: Writer, _: object) -> Answer:
        jobs = page_of(list(self.jobs.values()), fields, default=30)
        return writer.feed("jobs", [self._job_entry(job) for job in jobs], total=len(self.jobs))

    def _job_entry(self, job: Job) -> Entry:
        content = job.content(self.clock.now())
        return Entry(
            name=job.search, link=job_link(job), content=content, messages=job.fault.messages
        )

    def _one_job(
        self, call: Call, fields: dict[str, str], writer: Writer, groups: tuple[Any, ...]
    ) -> Answer:
        api, sid, action = groups
        job = self.jobs.get(unquote(sid))
        if job is None:
            return writer.message(404, "FATAL", "Unknown sid.")
        if action == "control":
            return self._steer(job, fields, writer)
        if action is not None:
            if api is None and call.method != "GET":
                return writer.message(405, "ERROR", "Method Not Allowed")
            return self._results(job, action, fields, writer)
        if call.method == "DELETE":
            del self.jobs[job.sid]
            return writer.message(200, "INFO", "Search job cancelled.")
        return writer.entry(self._job_entry(job))

    def _steer(self, job: Job, fields: dict[str, str], writer: Writer) -> Answer:
        action = fields.get("action", "")
        if action == "cancel":
            del self.jobs[job.sid]
        if action == "finalize":
            job.fault = JobFault(content={"isFinalized": True})
            job.runs_s = 0
        return writer.message(200, "INFO", f"Search job {action}.")

    def _results(self, job: Job, action: str, fields: dict[str, str], writer: Writer) -> Answer:
        is_done = job.is_done(self.clock.now())
        if action == "results" and not is_done:
            return Answer(status=204)
        return self._rows(job, fields, writer, preview=action == "results_preview" and not is_done)

    def _rows(self, job: Job, fields: dict[str, str], writer: Writer, *, preview: bool) -> Answer:
        rows = page_of(job.rows, fields, default=100)[: self.page_cap]
        return writer.rows(
            RowPage(
                rows=rows,
                fields=job.fields,
                offset=int(fields.get("offset") or 0),
                preview=preview,
                messages=job.fault.messages,
            )
        )


def page_of(items: list[_Item], fields: dict[str, str], default: int) -> list[_Item]:
    """`count` items from `offset` on; a count of 0 or -1 means all."""
    offset = int(fields.get("offset") or 0)
    limit = int(fields.get("count") or default)
    return items[offset : offset + limit] if limit > 0 else items[offset:]


def job_link(job: Job) -> str:
    return f"/services/search/jobs/{job.sid}"


def _export(job: Job) -> Answer:
    """One JSON object a line: a preview first, then the rows, the last marked."""
    lines = [{"preview": True, "offset": 0, "result": row} for row in job.rows[:1]]
    for number, row in enumerate(job.rows):
        line: JsonObject = {"preview": False, "offset": number, "result": row}
        if number == len(job.rows) - 1:
            line["lastrow"] = True
        lines.append(line)
    return Answer(body="".join(json.dumps(line) + "\n" for line in lines).encode())
