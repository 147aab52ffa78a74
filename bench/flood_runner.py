"""One flood and the runner that meets it: a `stockade serve` in a process of its own, watched from
outside by its journal, its memory and the chat."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct

from bench.waiting import peak_mb
from connectors.emulators.scenario import device_id, stored_event
from connectors.emulators.slack_workspace import CHANNEL
from connectors.http import Runtime
from runner import commands
from runner.cli import SystemClock
from runner.config import load_config
from runner.journal import Journal, Tx, approvals, cases, polls, runs
from runner.journal.poll_records import Poll
from runner.journal.records import ApprovalState
from runner.service import Service
from tests.command_line import CommandLine, environment
from tests.polling import raw_hit
from tests.world_settings import BENIGN, HOST, RESPONDER_A, SEARCH, YES

AT_ONCE = 4
MOST_S = 900.0
"""How long a story is watched at most."""
LOOK_S = 0.05
READS_FOR_S = 10.0
"""How long a card stands until somebody agrees."""
AFTER_S = 45.0
"""How long the runner goes on once its rows are in and a card stood."""
PLAYBOOK = """\
playbook: flood
description: Judge the line, and ask to isolate its host unless it is harmless.
steps:
  - id: triage
    do: wmic.assess
    with: {alert: "{{ alert }}"}
  - if: "{{ triage.assessment == 'benign' }}"
    then:
      - stop: {reason: "{{ triage.summary }}"}
  - id: host
    do: edr.find_host
    with: {alert: "{{ alert }}"}
  - id: isolate
    do: edr.isolate_host
    targets: ["{{ host.target }}"]
    with: {reason: "{{ triage.summary }}"}
"""


class Story(NamedTuple):
    """How many hits, which of them are attacks, what each attack runs, and what must hold."""

    name: str
    hits: int
    attacks: frozenset[int]
    line: str
    most_open: int
    per_hour: int


def host_of(number: int) -> str:
    return f"WS-{number:05}"


class First(Struct, frozen=True, kw_only=True):
    """What had been done when the first card stood in chat."""

    after_s: float
    rows: int
    carried: int


class Seen(Struct, kw_only=True):
    """What was seen of a runner while it worked, and what it left."""

    first: First | None = None
    took_s: float = 0.0
    cpu_s: float = 0.0
    """What the rows took of the wall's clock, and of the runner's user and system time."""
    most_open: int = 0
    asked: tuple[str, ...] = ()
    """The hosts asked about, in that order."""
    isolated: int = 0
    early: int = 0
    """How many harmless hits were looked at before the last attack was."""
    messages: int = 0
    peak_mb: float = 0.0
    poll: Poll | None = None
    alerts: int = 0
    cases: int = 0
    runs: dict[str, int] = {}
    floor_rows_s: float = 0.0
    floor_rows_cpu_s: float = 0.0


def settings(story: Story) -> dict[str, object]:
    return {
        "playbook_dir": "playbooks",
        "hunts": None,
        "runs_at_once": AT_ONCE,
        "searches": {SEARCH: {"playbook": "flood", "overlap_s": 1}},
        "approvals": {"expires_s": 86400},
        "guards": {"budget": {"per_hour": story.per_hour, "fleet_percent": 100}},
    }


def fill(line: CommandLine, story: Story) -> None:
    """Arm, and let all hits be indexed and the hosts of attacks be known to the EDR."""
    (line.folder / "playbooks" / "flood.yaml").write_text(PLAYBOOK)
    written = json.loads(line.config.read_text())
    # The stand-in walks over all events for each search: it would tell its own slowness twice.
    written["searches"][SEARCH].pop("canary", None)
    line.config.write_text(json.dumps(written))
    config = load_config(line.config, {})
    clock = SystemClock()
    service = Service(config, Journal(config.state_dir, clock), Runtime(clock=clock, emulated=True))
    service.journal.own()
    armed = commands.arm(service, "bench", "a flood")
    service.journal.close()
    if armed.code:
        raise RuntimeError(armed.text)
    like = line.emulators.falcon.devices[line.emulators.falcon.device(HOST)["device_id"]]
    first_at = clock.now() - timedelta(seconds=60)
    for number in range(story.hits):
        host, is_attack = host_of(number), number in story.attacks
        cmdline = story.line.replace("{host}", host.lower()) if is_attack else BENIGN
        raw = raw_hit(number, host, cmdline) | {"User": r"WORKGROUP\wardog"}
        at = first_at + timedelta(seconds=50 * number / story.hits)
        number += len(line.splunk.events)
        event = stored_event(raw, at=at, indexed_at=int(at.timestamp()), number=number)
        line.splunk.events.append(event)
        if is_attack:
            key = device_id(host)
            line.emulators.falcon.devices[key] = {**like, "device_id": key, "hostname": host}


@contextmanager
def serving(line: CommandLine) -> Iterator[subprocess.Popen[bytes]]:
    """`stockade serve` for the time of a block. Errors: `RuntimeError` when it ended badly."""
    with (line.folder / "said").open("w+b") as said:
        words = [sys.executable, "-m", "runner.cli", "serve"]
        with subprocess.Popen(
            words, cwd=line.folder, env=environment(), stdout=said, stderr=said
        ) as process:
            try:
                yield process
            finally:
                process.terminate()
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"stockade serve: {process.returncode}: {said.read().decode()}")


class Watcher:
    """Looks at the journal and the chat from outside, and agrees to cards."""

    def __init__(self, line: CommandLine, story: Story) -> None:
        self._line = line
        self._story = story
        self._journal = Journal(load_config(line.config, {}).state_dir, SystemClock())
        self._begun = time.perf_counter()
        self._job_at: float | None = None
        self._cpu_s = self._job_cpu_s = 0.0
        self._stood_at: dict[str, float] = {}
        self._agreed: set[str] = set()
        self.seen = Seen()

    def watch(self, process: subprocess.Popen[bytes]) -> None:
        """Until enough was seen, or for a bounded time."""
        until = self._begun + MOST_S
        enough_at: float | None = None
        while process.poll() is None and (now := time.perf_counter()) < until:
            self._cpu_s = cpu_s(process.pid)
            self._look(now)
            self.seen.peak_mb = max(self.seen.peak_mb, peak_mb(process.pid))
            if self.seen.first is not None and self.seen.poll is not None:
                enough_at = enough_at or now
                if now - enough_at > AFTER_S:
                    return
            time.sleep(LOOK_S)
        if self.seen.poll is None:
            self._note_took(time.perf_counter())

    def _note_took(self, now: float) -> None:
        self.seen.took_s = now - (self._job_at or self._begun)
        self.seen.cpu_s = self._cpu_s - self._job_cpu_s

    def _look(self, now: float) -> None:
        with self._journal.read() as tx:
            if self._job_at is None and polls.job(tx, SEARCH) is not None:
                self._job_at, self._job_cpu_s = now, self._cpu_s
            if self.seen.poll is None and (poll := first_poll(tx)) is not None:
                self.seen.poll = poll
                self._note_took(now)
            asked = approvals.unclosed(tx)
            is_open = [
                one.message.id
                for one in asked
                if one.state is ApprovalState.OPEN and one.message is not None
            ]
            if is_open and self.seen.first is None:
                left = runs.count_by_status(tx)
                self.seen.first = First(
                    after_s=now - self._begun,
                    rows=cases.last_alert_number(tx),
                    carried=sum(left.values()) - left.get("queued", 0),
                )
        live = (ApprovalState.POSTING, ApprovalState.OPEN)
        self.seen.most_open = max(self.seen.most_open, sum(one.state in live for one in asked))
        for message in is_open:
            since = self._stood_at.setdefault(message, now)
            if message not in self._agreed and now - since > READS_FOR_S:
                self._line.emulators.slack.react(RESPONDER_A, CHANNEL, message, YES)
                self._agreed.add(message)

    def end(self) -> Seen:
        """What is left, once the runner has ended."""
        seen, emulators = self.seen, self._line.emulators
        with self._journal.read() as tx:
            seen.poll = first_poll(tx)
            seen.alerts = int(tx.one("select count(*) from alert")[0])
            seen.cases = int(tx.one("select count(*) from cases")[0])
            seen.runs = runs.count_by_status(tx)
            rows = tx.all(
                "select c.host from approval a join run r on r.id = a.run_id"
                " join cases c on c.id = r.case_id"
                " order by json_extract(a.body, '$.created_at'), json_extract(a.body, '$.n')"
            )
            seen.asked = tuple(str(row[0]).upper() for row in rows)
            seen.early = early(tx, {host_of(number) for number in self._story.attacks})
        self._journal.close()
        acted = [one for one in emulators.falcon.requests if one.query == "action_name=contain"]
        seen.isolated = sum(one.changed for one in acted)
        seen.messages = len(emulators.slack.messages())
        return seen


def early(tx: Tx, attacks: set[str]) -> int:
    """How many runs of other hosts began before the last begun of these did."""
    rows = tx.all(
        "select c.host, min(s.intended_at) from step s join run r on r.id = s.scope"
        " join cases c on c.id = r.case_id group by s.scope order by 2"
    )
    are_attacks = [str(row[0]).upper() in attacks for row in rows]
    last = max((place for place, is_one in enumerate(are_attacks) if is_one), default=-1)
    return are_attacks[: last + 1].count(False)


def first_poll(tx: Tx) -> Poll | None:
    """The record of the poll that the flood came in."""
    rows = tx.all("select body from poll order by n limit 10")
    found = [msgspec.json.decode(row[0], type=Poll) for row in rows]
    return next((poll for poll in found if poll.rows), None)


def cpu_s(pid: int) -> float:
    """User and system time of a process so far; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def floor_of(line: CommandLine) -> tuple[float, float]:
    """The same rows parsed, hashed and stored by a plain script, a commit for each thousand: rows
    in a second, and in a second of the CPU."""
    texts = [json.dumps(event.row) for event in line.splunk.events]
    db = sqlite3.connect(line.folder / "floor.db", isolation_level=None)
    db.execute("pragma journal_mode = wal")
    db.execute("pragma synchronous = full")
    db.execute("create table hit (id text primary key, body text)")
    begun, cpu_begun = time.perf_counter(), time.process_time()
    for start in range(0, len(texts), 1000):
        db.execute("begin")
        for text in texts[start : start + 1000]:
            body = json.dumps(json.loads(text), sort_keys=True)
            row = (hashlib.sha256(body.encode()).hexdigest(), body)
            db.execute("insert or ignore into hit values (?, ?)", row)
        db.execute("commit")
    took_s, took_cpu_s = time.perf_counter() - begun, time.process_time() - cpu_begun
    db.close()
    return len(texts) / took_s, len(texts) / took_cpu_s
