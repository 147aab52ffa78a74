"""A `serve` that runs in the test's own thread, and a test that acts between two of its naps."""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident

from runner.cli_clock import SystemClock
from tests.world import World

PATIENCE_S = 60.0
"""On the real clock, for what another thread is about to do."""


class Acting:
    """Acts between two naps of a service, and stops it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._me = get_ident()
        self._acts: list[Callable[[], bool]] = []
        self._sleep = world.clock.sleep
        world.clock.sleep = self.sleep  # type: ignore[method-assign]

    def then(self, act: Callable[[], bool]) -> None:
        """Tried in each nap until it says that it is done."""
        self._acts.append(act)

    def sleep(self, seconds: float) -> None:
        self._sleep(seconds)
        # Who listens sleeps on the same clock.
        if get_ident() == self._me and self._acts and self._acts[0]():
            self._acts.pop(0)

    def run(self) -> None:
        self.world.service.serve(lambda: not self._acts, lambda _tick: None)
        assert self._acts == []


def wait_for(condition: Callable[[], bool]) -> bool:
    clock = SystemClock()
    until = clock.monotonic() + PATIENCE_S
    while not condition() and clock.monotonic() < until:
        clock.sleep(0.01)
    assert condition()
    return True
