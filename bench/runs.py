"""A durable run of eight steps against the same raw calls with a commit each; and eight at once.

    python -m bench.runs

The playbook looks a host up four times and says four things in chat; intents, outcomes, retries,
redaction and the chain of hashes are on. The floor is what a hand-written script would do that only
notes how far it came: the same requests through one `requests.Session`, and an SQLite commit (WAL,
synchronous FULL) after each. Both talk to one server process that answers from memory. Ours commits
more often than the floor: the second ratio is against a floor that commits as often.
"""

from __future__ import annotations

import logging
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse

from bench.canned import serving
from connectors.http import Runtime
from runner.journal import Journal, runs
from runner.journal.records import Run
from runner.lanes import Lanes
from runner.service import Service
from tests.polling import store
from tests.world import World, running_world
from tests.world_settings import SEARCH

STEPS = "".join(
    f"""\
  - id: host{number}
    do: edr.find_host
    with: {{alert: "{{{{ alert }}}}"}}
  - id: message{number}
    do: chat.post_message
    with: {{text: "{{{{ host{number}.summary }}}}: {{{{ alert.host | default('unknown') }}}}"}}
"""
    for number in range(4)
)
PLAYBOOK = f"playbook: eight\ndescription: Look a host up, and tell, four times.\nsteps:\n{STEPS}"
PRODUCTS = ("falcon", "slack")
AIM = 1.2
AIM_AT_ONCE = 0.93


class Recording(HTTPAdapter):
    """The real transport, which keeps what was asked and answered."""

    def __init__(self) -> None:
        self.asked: list[PreparedRequest] = []
        self.answers: dict[str, tuple[int, str, str]] = {}
        super().__init__(max_retries=0)

    def send(self, request: PreparedRequest, *args: Any, **named: Any) -> Response:
        response = super().send(request, *args, **named)
        body = response.content
        kind = response.headers.get("Content-Type", "")
        self.asked.append(request)
        path = urlsplit(request.url or "").path
        self.answers[f"{request.method} {path}"] = (response.status_code, kind, body.decode())
        raw = HTTPResponse(
            BytesIO(body), response.headers, response.status_code, preload_content=False
        )
        return self.build_response(request, raw)


class Floor:
    """A hand-written script: the same requests, and as many commits."""

    def __init__(self, folder: Path, asked: list[PreparedRequest], base_url: str) -> None:
        self.calls = [
            (request.method, base_url + request.path_url, dict(request.headers), _text(request))
            for request in asked
        ]
        self._session = requests.Session()
        self._session.trust_env = False
        self._db = sqlite3.connect(folder / "floor.db", isolation_level=None)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = full")
        self._db.execute("create table step (id integer primary key, body text)")

    def run(self, commits: int) -> None:
        """One run: a call, its share of the commits, the next call."""
        done = 0
        for place, (method, url, headers, body) in enumerate(self.calls, start=1):
            answer = self._session.request(
                method or "", url, data=body, headers=headers, timeout=10
            )
            answer.raise_for_status()
            while done * len(self.calls) < place * commits:
                self._db.execute("insert into step (body) values (?)", (answer.text[:300],))
                done += 1


def _text(request: PreparedRequest) -> str | None:
    body = request.body
    return body.decode() if isinstance(body, bytes) else body


class Product:
    """Our runner over the server that answers from memory."""

    def __init__(self, world: World, base_url: str) -> None:
        moved = {name: {"base_url": base_url} for name in PRODUCTS}
        world.journal.close()
        config = world.configure({"connectors": moved})
        self.commits = 0
        self.journal = Journal(config.state_dir, world.clock, on_commit=self._count)
        runtime = Runtime(clock=world.clock, emulated=True)
        self.service = Service(config, self.journal, runtime)
        self.journal.own()

    def _count(self) -> None:
        self.commits += 1

    def run(self) -> None:
        """Carry the next run to its end."""
        with self.journal.read() as tx:
            run = runs.next_due(tx)
        if run is None:
            raise RuntimeError("no run is left")
        self.service.crew.engine.advance(run)
        with self.journal.read() as tx:
            ended = runs.read(tx, run.id)
        if ended.status != "succeeded":
            raise RuntimeError(f"a run ended as {ended.status}: {ended.error}")

    def carry(self, most: int) -> None:
        """Carry so many queued runs, side by side as a tick does."""
        begun = count()

        def carry(run: Run) -> None:
            self.service.crew.engine.advance(run)

        lanes = Lanes(self.journal, self.service.clock, self.service.config.runs_at_once, carry)
        lanes.carry_due(lambda: next(begun) < most - 1)


def fill(world: World, hits: int) -> None:
    """Open a case with a queued run for each hit."""
    world.clock.advance(600)
    for number in range(hits):
        store(world, number)
    world.clock.advance(60)
    world.journal.own()
    world.service.poller.begin()
    while world.service.poller.next_due_at() is not None:
        world.clock.advance(1)
        world.service.poller.advance()


def record(world: World) -> Recording:
    """Play one run against the emulators, and keep what it asked and heard."""
    recording = Recording()
    runtime = Runtime(clock=world.clock, emulated=True, transport=lambda: recording)
    service = Service(world.config, world.journal, runtime)
    # The first run fetches a token; the second is what each later one costs.
    for _ in range(2):
        recording.asked.clear()
        with world.journal.read() as tx:
            run = runs.next_due(tx)
        if run is None:
            raise RuntimeError("no run is queued")
        service.crew.engine.advance(run)
    return recording


class Pair:
    """Product and floor over one server, and what one run takes of calls and commits."""

    def __init__(self, world: World, recording: Recording, folder: Path, url: str) -> None:
        self.product = Product(world, url)
        self.floor = Floor(folder, recording.asked, url)
        self.calls = len(recording.asked)
        # The first run fetches a token and builds what later ones find.
        self.product.run()
        self.product.commits = 0
        self.product.run()
        self.commits = self.product.commits
        self.floor.run(self.commits)


@contextmanager
def pair(delay_ms: float, hits: int) -> Iterator[Pair]:
    """Product and floor, ready, with so many runs queued."""
    # The answers are recorded ones: that each message reads otherwise than it was sent is no news.
    logging.disable(logging.WARNING)
    changes = {"hunts": None, "searches": {SEARCH: {"playbook": "eight", "canary": None}}}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        changes["runs_at_once"] = 8
        with running_world(folder / "world", changes, playbooks={"eight": PLAYBOOK}) as world:
            world.arm()
            fill(world, hits + 4)
            recording = record(world)
            with serving(recording.answers, folder, delay_ms) as url:
                yield Pair(world, recording, folder, url)


def one_after_the_other(rounds: int = 15, each: int = 10) -> bool:
    """A durable run against the same calls and a commit a call; and as many commits as ours."""
    with pair(0, rounds * each) as sides:
        ours, floor, as_often = [], [], []
        for _ in range(rounds):
            ours.append(timed(sides.product.run, each))
            floor.append(timed(lambda: sides.floor.run(sides.calls), each))
            as_often.append(timed(lambda: sides.floor.run(sides.commits), each))
    walls = ratios(ours, floor, "wall_ms")
    print(
        f"durable run of 8 steps: {sides.calls} calls, {sides.commits} commits; "
        f"{middle(ours, 'wall_ms'):.2f} ms against {middle(floor, 'wall_ms'):.2f} ms with "
        f"{sides.calls} commits; ratio {statistics.median(walls):.2f} "
        f"({min(walls):.2f} to {max(walls):.2f}), aim at most {AIM}; "
        f"CPU {middle(ours, 'cpu_ms'):.2f} ms against {middle(floor, 'cpu_ms'):.2f} ms, ratio "
        f"{statistics.median(ratios(ours, floor, 'cpu_ms')):.2f}; against {sides.commits} commits "
        f"{statistics.median(ratios(ours, as_often, 'wall_ms')):.2f}, "
        f"CPU {statistics.median(ratios(ours, as_often, 'cpu_ms')):.2f}"
    )
    return statistics.median(walls) <= AIM


def side_by_side(rounds: int = 4, each: int = 40, delay_ms: float = 50) -> bool:
    """Eight runs at once, 50 ms an answer, against what the waiting alone would take."""
    with pair(delay_ms, rounds * each) as sides:
        shares = []
        for _ in range(rounds):
            ideal_ms = sides.calls * delay_ms * each / 8
            shares.append(ideal_ms / timed(lambda: sides.product.carry(each), 1).wall_ms)
    share = statistics.median(shares)
    print(
        f"8 at once, {delay_ms:g} ms an answer: {share:.0%} of ideal "
        f"({min(shares):.0%} to {max(shares):.0%}), aim at least {AIM_AT_ONCE:.0%}"
    )
    return share >= AIM_AT_ONCE


class Took(NamedTuple):
    """What one piece of work took of the wall's clock, and of this process' user and system
    time."""

    wall_ms: float
    cpu_ms: float


def timed(work: Callable[[], None], times: int) -> Took:
    """One piece of work, out of so many."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(times):
        work()
    return Took(
        (time.perf_counter() - wall) * 1000 / times, (time.process_time() - cpu) * 1000 / times
    )


def middle(took: list[Took], of: str) -> float:
    return statistics.median(getattr(one, of) for one in took)


def ratios(ours: list[Took], theirs: list[Took], of: str) -> list[float]:
    """Pair by pair: both met the same minute."""
    return [getattr(mine, of) / getattr(its, of) for mine, its in zip(ours, theirs, strict=True)]


def main() -> int:
    """Exit code 1 when an aim is missed."""
    return 0 if all([one_after_the_other(), side_by_side()]) else 1


if __name__ == "__main__":
    sys.exit(main())
