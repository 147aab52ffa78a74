"""Ten thousand hits that wait for people: what each keeps on disk, and what they cost a quiet poll.

    python -m bench.waiting [HITS]

Each hit is on a host of its own and malicious, so that each asks to isolate its host: ten questions
are open, the others wait until one is decided. The quiet `stockade run` is a process of its own; it
is measured on a journal with ten such hits, on one with all of them, and on an empty one, in turn.
The products are this machine's stand-ins; the EDR's answers come out of memory. Exit code 1 when an
aim is missed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse

from connectors.emulators.falcon import Falcon
from connectors.http import Runtime
from runner import commands
from runner.cli import SystemClock
from runner.config import load_config
from runner.crowding import CROWD
from runner.journal import Journal, approvals, runs
from runner.service import Service
from tests.command_line import CommandLine, command_line, environment
from tests.polling import store_many
from tests.world_settings import HOST, SEARCH

HITS = 10_000
OPEN = 10
ROUNDS = 7
AIM_BYTES, AIM_RATIO, AIM_MB = 1024, 1.05, 1.0
NAME = "WS-{:05}"
PLAYBOOK = """\
playbook: waits
description: Judge the line, and ask to isolate its host.
steps:
  - id: triage
    do: wmic.assess
    with: {alert: "{{ alert }}"}
  - id: host
    do: edr.find_host
    with: {alert: "{{ alert }}"}
  - id: isolate
    do: edr.isolate_host
    targets: ["{{ host.target }}"]
    with: {reason: "{{ triage.summary }}"}
"""
CHANGES = {
    "playbook_dir": "playbooks",
    "hunts": None,
    "searches": {SEARCH: {"playbook": "waits", "canary": None, "overlap_s": 1}},
    "approvals": {"expires_s": 86400},
    "guards": {"budget": {"per_hour": 1000, "fleet_percent": 100}},
}


class Fleet(HTTPAdapter):
    """The real transport, but for devices: each host of these hits has one, made when asked for."""

    def __init__(self, falcon: Falcon) -> None:
        self._like = falcon._shown(falcon.devices[falcon.device(HOST)["device_id"]])
        super().__init__(max_retries=0)

    def send(self, request: PreparedRequest, *args: Any, **named: Any) -> Response:
        asked = unquote_plus(request.path_url)
        if "/devices/queries/" in asked and (found := re.search(r"ws-(\d{5})", asked.lower())):
            return self._give(request, [f"{int(found[1]):032x}"])
        if "/devices/entities/" in asked and '"ids"' in str(request.body):
            ids = json.loads(request.body or "{}")["ids"]
            return self._give(request, [self._device(one) for one in ids])
        return super().send(request, *args, **named)

    def _device(self, device_id: str) -> dict[str, Any]:
        name = NAME.format(int(device_id, 16))
        return {**self._like, "device_id": device_id, "hostname": name}

    def _give(self, request: PreparedRequest, resources: list[Any]) -> Response:
        meta = {"pagination": {"offset": 0, "limit": 500, "total": len(resources)}}
        body = json.dumps({"meta": meta, "resources": resources, "errors": []}).encode()
        kind = {"Content-Type": "application/json"}
        return self.build_response(
            request, HTTPResponse(BytesIO(body), kind, 200, preload_content=False)
        )


class Filled(NamedTuple):
    """A journal's size with its hits queued, then with all waiting; how many wait for what."""

    queued_bytes: int
    waiting_bytes: int
    open: int
    held_back: int


def fill(line: CommandLine, hits: int) -> Filled:
    """Let so many hits come in, and carry each to where it waits. The journal is closed then."""
    (line.folder / "playbooks" / "waits.yaml").write_text(PLAYBOOK)
    config = load_config(line.config, {})
    clock = SystemClock()
    runtime = Runtime(clock=clock, emulated=True, transport=lambda: Fleet(line.emulators.falcon))
    path = config.state_dir / "journal.db"

    def opened() -> Service:
        service = Service(config, Journal(config.state_dir, clock), runtime)
        service.journal.own()
        return service

    service = opened()
    armed = commands.arm(service, "bench", "ten thousand questions")
    if armed.code:
        raise RuntimeError(armed.text)
    store_many(line.splunk, hits, host="WS-{:05}")
    service.poller.begin()
    while (due := service.poller.next_due_at()) is not None:
        clock.sleep(max((due - clock.now()).total_seconds(), 0.01))
        service.poller.advance()
    service.journal.close()
    queued = path.stat().st_size

    service = opened()
    while True:
        with service.journal.read() as tx:
            run = runs.next_due(tx)
        if run is None:
            break
        service.crew.engine.advance(run)
    service.crew.cards.advance()
    with service.journal.read() as tx:
        found = Filled(queued, 0, approvals.count_waiting(tx), runs.count_waiting_on(tx, CROWD))
    service.journal.note_head()
    service.journal.close()
    return found._replace(waiting_bytes=path.stat().st_size)


class Cost(NamedTuple):
    """What a whole process took: milliseconds of the wall's clock and of the CPU, and megabytes."""

    wall: float
    cpu: float
    mb: float


def cost(line: CommandLine) -> Cost:
    """A quiet `stockade run`, to its end. Errors: `RuntimeError` when it fails."""
    # Windows are whole seconds: a poll in the second of the one before has nothing to ask.
    time.sleep(1.05)
    begun = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "runner.cli", "run"],
        cwd=line.folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        # Not `ru_maxrss`: that begins with what this process had.
        peak = 0.0
        while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            peak = max(peak, peak_mb(process.pid))
            time.sleep(0.002)
        wall = time.perf_counter() - begun
        _, status, used = ended
        process.returncode = os.waitstatus_to_exitcode(status)
        said = process.stderr.read() if process.stderr else b""
    if process.returncode or said:
        raise RuntimeError(f"stockade run: {process.returncode}: {said.decode()}")
    return Cost(wall * 1000, (used.ru_utime + used.ru_stime) * 1000, peak)


def peak_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


@contextmanager
def lines(hits: int) -> Iterator[tuple[CommandLine, CommandLine, CommandLine, Filled, Filled]]:
    """A command line on an empty journal, one on ten hits, one on all."""
    with ExitStack() as stack:
        made = []
        for _ in range(3):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            made.append(stack.enter_context(command_line(folder, CHANGES)))
        empty, few, many = made
        fill(empty, 0)
        # The many last: a held-back question is tried again after a quarter of an hour.
        yield empty, few, many, fill(few, OPEN), fill(many, hits)


def main() -> int:
    """Exit code 1 when an aim is missed."""
    hits = int(sys.argv[1]) if len(sys.argv) > 1 else HITS
    begun = time.perf_counter()
    with lines(hits) as (empty, few, many, of_few, of_many):
        took = time.perf_counter() - begun
        costs: list[list[Cost]] = [[cost(one) for one in (empty, few, many)] for _ in range(ROUNDS)]
        with_due = due_again(many)
    each = (of_many.waiting_bytes - of_many.queued_bytes) / hits
    whole = of_many.waiting_bytes / hits
    print(
        f"{hits} hits in {took:.0f} s: {of_many.open} questions open (of ten hits: {of_few.open}), "
        f"{of_many.held_back} held back; {whole:.0f} bytes of journal a hit with all that is known "
        f"of it, {each:.0f} of them since its run began (aim {AIM_BYTES})"
    )
    cpu, wall = (
        median(getattr(row[2], name) / getattr(row[1], name) for row in costs)
        for name in ("cpu", "wall")
    )
    more_mb = median(row[2].mb - row[1].mb for row in costs)
    names = ("empty", "ten hits", f"{hits} hits")
    middles = [Cost(*map(median, zip(*column, strict=True))) for column in zip(*costs, strict=True)]
    told = "; ".join(
        f"{name} {one.wall:.0f} ms, CPU {one.cpu:.0f} ms, {one.mb:.1f} MB"
        for name, one in zip(names, middles, strict=True)
    )
    print(f"a quiet run with {told}")
    print(
        f"{hits} hits against ten: ratio {wall:.2f}, CPU {cpu:.2f} (aim {AIM_RATIO}), "
        f"{more_mb:+.1f} MB (aim {AIM_MB})"
        + ("; held-back questions were due again while it was measured" if with_due else "")
    )
    return 0 if each <= AIM_BYTES and wall <= AIM_RATIO and more_mb <= AIM_MB else 1


def due_again(line: CommandLine) -> bool:
    """Was a held-back question due while the runs were measured?"""
    config = load_config(line.config, {})
    clock = SystemClock()
    journal = Journal(config.state_dir, clock)
    with journal.read() as tx:
        wake_at = runs.next_wake_at(tx)
    journal.close()
    return wake_at is not None and wake_at <= clock.now() + timedelta(seconds=1)


if __name__ == "__main__":
    sys.exit(main())
