"""A world that outlives its runners: stand-ins, a person who answers each card, and the runners.

with Crew(4) as crew, crash_world(tmp_path) as world:
    fate = crew.send(world.order(kill_at=17))
    fate = crew.send(world.order())
    assert violations(world) == []
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from threading import Event, RLock, Thread
from typing import Any, Self, TypeVar

import msgspec

from connectors.emulators.fleet import Emulators, running_emulators
from connectors.emulators.slack_workspace import BOT_USER, CHANNEL
from connectors.http import Runtime
from connectors.model import JsonObject
from runner import commands
from runner.cli import SystemClock
from runner.config import Config, load_config
from runner.demo_config import write_config
from runner.journal import Journal, approvals, runs
from runner.resolve import Said
from runner.service import Service
from tests.killable import Fate, Order

ROOT = Path(__file__).parent.parent
RESPONDER = "U0RESPONDA"
YES, NO = "white_check_mark", "x"
ANSWERS_EVERY_S = 0.02

_ONE_READER = RLock()
# msgspec 0.22 breaks the process when two threads decode a type for the first time at once.

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")


class CrashWorld:
    """One state folder, its products, and what they saw."""

    def __init__(self, folder: Path, products: Emulators, settle_s: float, lanes: int) -> None:
        self.folder = folder
        self.products = products
        write_config(folder, products, settle_s=settle_s)
        with (folder / "config.yaml").open("a") as config:
            config.write(f"runs_at_once: {lanes}\n")
        self._is_over = Event()
        self._person = Thread(target=self._answer, daemon=True)

    @property
    def config(self) -> Config:
        with _ONE_READER:
            return load_config(self.folder / "config.yaml", {})

    def order(self, **how: Any) -> Order:
        return Order(config=str(self.folder / "config.yaml"), **how)

    def arm(self) -> None:
        """Allow acting, before any hit has come."""
        with self.journal() as journal:
            runtime = Runtime(clock=SystemClock(), emulated=True)
            armed = commands.arm(Service(self.config, journal, runtime), "test", "a trial")
        if armed.code != 0:
            raise RuntimeError(armed.text)

    @contextmanager
    def journal(self) -> Iterator[Journal]:
        """The records, for one reader at a time in all worlds."""
        with _ONE_READER:
            journal = Journal(self.config.state_dir, SystemClock(), actor="test")
            try:
                yield journal
            finally:
                journal.close()

    def resolve(self) -> int:
        """A person looks at what nobody knows, and says what the products show; how many times.

        The story's products do nothing late, so what two looks did not find did not happen.
        """
        with self.journal() as journal:
            with journal.read() as tx:
                codes = [approvals.code_of(one.scope, one.key) for one in runs.parked_steps(tx)]
            for code in codes:
                commands.resolve_code(journal, code, Said.NOT, "test")
        return len(codes)

    def cards(self) -> list[JsonObject]:
        """Every message of the runner that is no reply, oldest first."""
        found = self.products.slack.messages(CHANNEL)
        return [one for one in found if one["user"] == BOT_USER and not one.get("thread_ts")]

    def replies(self) -> list[JsonObject]:
        """Every reply of the runner."""
        found = self.products.slack.messages(CHANNEL)
        return [one for one in found if one["user"] == BOT_USER and one.get("thread_ts")]

    def __enter__(self) -> Self:
        self._person.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._person.join()

    def _answer(self) -> None:
        """Say yes to each card whose choices are under it, as a person would who sees it."""
        while not self._is_over.wait(ANSWERS_EVERY_S):
            for card in self.cards():
                reactions = {one["name"]: one["users"] for one in card.get("reactions", [])}
                is_seeded = all(BOT_USER in reactions.get(name, ()) for name in (YES, NO))
                if is_seeded and RESPONDER not in reactions[YES]:
                    self.products.slack.react(RESPONDER, CHANNEL, card["ts"], YES)


@contextmanager
def crash_world(
    folder: Path, *, settle_s: float = 0.2, contain_s: float = 0.05, lanes: int = 8
) -> Iterator[CrashWorld]:
    """A fresh world for the time of a block. `settle_s` is every product's, in seconds; `lanes`:
    how many runs go side by side, 1 for a story that is the same each time."""
    folder.mkdir(mode=0o700)
    with running_emulators(folder / "world", SystemClock()) as products:
        products.splunk.tune(job_s=0.0)
        products.falcon.tune(contain_s=contain_s)
        with CrashWorld(folder, products, settle_s, lanes) as world:
            yield world


# -- runners ---------------------------------------------------------------------------------------


class _Stable:
    """One process of `tests/killable.py`, from which each order gets a fresh runner."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.killable"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def send(self, order: Order) -> Fate:
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the runners' process has no pipes")
        self._process.stdin.write(msgspec.json.encode(order).decode() + "\n")
        self._process.stdin.flush()
        return msgspec.json.decode(self._process.stdout.readline(), type=Fate)

    def close(self) -> None:
        # Leaving the block closes the pipe, which ends the orders, and waits for the process.
        with self._process:
            pass


class Crew:
    """So many runners at once; `send` waits for a free place."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._free: SimpleQueue[_Stable] = SimpleQueue()

    def __enter__(self) -> Self:
        for _place in range(self.size):
            self._free.put(_Stable())
        return self

    def __exit__(self, *_: object) -> None:
        for _place in range(self.size):
            self._free.get().close()

    def send(self, order: Order) -> Fate:
        stable = self._free.get()
        try:
            return stable.send(order)
        finally:
            self._free.put(stable)

    def map(
        self, trial: Callable[[_Given], _Made], given: Sequence[_Given], *, each: int = 1
    ) -> list[_Made]:
        """All trials, as many at once as there are runners for, `each` trial needing so many; the
        results in order."""
        with ThreadPoolExecutor(max(self.size // each, 1)) as pool:
            return list(pool.map(trial, given))
