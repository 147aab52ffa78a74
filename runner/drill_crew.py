"""The processes of a drill: each gives a fresh runner for each order, as many at once as there are.

with Crew(4) as crew:
    fate = crew.send(order)
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Self, TypeVar

import msgspec

import runner
from runner.drill_child import Fate, Order

HOME = Path(runner.__file__).parent.parent
"""Where this program's packages lie: a child runs the same ones, wherever it was started."""

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")


class _Stable:
    """One process of `runner/drill_child.py`, from which each order gets a fresh runner."""

    def __init__(self, module: str) -> None:
        # In a session of its own: who stops the drill by a key stops no runner in mid-trial.
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=HOME,
            start_new_session=True,
        )

    def send(self, order: Order) -> Fate:
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the runners' process has no pipes")
        try:
            self._process.stdin.write(msgspec.json.encode(order).decode() + "\n")
            self._process.stdin.flush()
            return msgspec.json.decode(self._process.stdout.readline(), type=Fate)
        except (OSError, msgspec.DecodeError) as fault:
            raise RuntimeError(f"the runners' process ended: {fault}") from None

    def close(self) -> None:
        # Leaving the block closes the pipe, which ends the orders, and waits for the process.
        with self._process:
            pass


class Crew:
    """So many runners at once; `send` waits for a free place. `module`: whose `main` takes the
    orders."""

    def __init__(self, size: int, module: str = "runner.drill_child") -> None:
        self.size = size
        self._module = module
        self._free: SimpleQueue[_Stable] = SimpleQueue()

    def __enter__(self) -> Self:
        for _place in range(self.size):
            self._free.put(_Stable(self._module))
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

    def imap(
        self, trial: Callable[[_Given], _Made], given: Sequence[_Given], *, each: int = 1
    ) -> Iterator[_Made]:
        """All trials, as many at once as there are runners for, `each` trial needing so many; the
        results in order, as they come."""
        pool = ThreadPoolExecutor(max(self.size // each, 1))
        try:
            yield from pool.map(trial, given)
        finally:
            pool.shutdown(cancel_futures=True)

    def map(
        self, trial: Callable[[_Given], _Made], given: Sequence[_Given], *, each: int = 1
    ) -> list[_Made]:
        """As `imap`, all of them in one list."""
        return list(self.imap(trial, given, each=each))
