"""The real runner, told when to die: one process of `stockade drill`.

`python -m runner.drill_child` reads an `Order` a line from its standard input, carries each out in
a child of its own, and writes a `Fate` a line. It forks so that no trial pays for the imports
again; a child opens its journal and its connections itself, and shares nothing with another.

A point is a moment at which a child can be killed: after each commit of the journal, before and
after each request to a product, and during one, when it is sent and not answered.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from threading import Timer
from typing import Any, NoReturn
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter

from connectors.http import Runtime
from connectors.model import Clock
from runner import arming, commands
from runner.cli_clock import SystemClock
from runner.cli_log import set_up_log
from runner.config import Config, load_config
from runner.journal import Journal, approvals, cases, ledger, polls, runs
from runner.journal.records import LIVE, LedgerState
from runner.service import Service

IN_FLIGHT_S = 0.1
"""How long after a request was sent a child dies that is to die while the answer is on its way."""
NAP_S = 0.01
UNFINISHED = 3
NEEDS_A_PERSON = 4
BROKEN = 70


class Order(Struct, frozen=True, kw_only=True):
    """What one child does: carry the story on until it is over, or until it dies.

    `config`, `search`: the configuration's file, and the search that must have been polled.
    `kill_at`: at which of the points whose name matches the shell pattern `point` to die, 0 for
    never. A point is named "commit", "before POST /path", "during POST /path" or "after POST
    /path"; without a pattern all but the "during" are counted. `wiring`: by which name of those
    that `main` was given the runner is wired. `arms`: allow acting first, when nobody did.
    `linger_s`: a tick's length; `lives_s`: after how long a child gives up, which a
    busy machine must not come to.
    """

    config: str
    search: str
    kill_at: int = 0
    point: str = "[abc]*"
    wiring: str = "real"
    arms: bool = True
    linger_s: float = 2.0
    lives_s: float = 180.0


class Fate(Struct, frozen=True, kw_only=True):
    """What became of a child. `status`: exit code, or minus the signal; `points`: the names of
    those it reached, in order; `last`: where it died, or what its last tick came to."""

    status: int
    points: tuple[str, ...]
    last: str

    @property
    def was_killed(self) -> bool:
        return self.status == -signal.SIGKILL

    def __str__(self) -> str:
        return f"a runner ended with {self.status} after {len(self.points)} points: {self.last}"


# -- points ----------------------------------------------------------------------------------------


class Points:
    """Counts the moments at which the runner may die, and dies at the one that was ordered."""

    def __init__(self, order: Order, pipe: int) -> None:
        self._order = order
        self._pipe = pipe
        self._reached: list[str] = []
        self._matching = 0

    def reach(self, what: str) -> None:
        """The runner is at this point, now."""
        self._reached.append(what)
        if self._is_the_one(what):
            self._die(what)

    def begin(self, what: str) -> None:
        """The runner is about to be at this point, for as long as an answer takes."""
        if self._is_the_one(what):
            Timer(IN_FLIGHT_S, self._die, [what]).start()

    def _is_the_one(self, what: str) -> bool:
        is_counted = fnmatchcase(what, self._order.point)
        self._matching += is_counted
        return is_counted and self._matching == self._order.kill_at

    def tell(self, last: str) -> None:
        """Leave word of how far this child came."""
        os.write(self._pipe, msgspec.json.encode({"points": self._reached, "last": last}))

    def _die(self, what: str) -> None:
        self.tell(what)
        os.kill(os.getpid(), signal.SIGKILL)


class _Watched(HTTPAdapter):
    """The real transport, with a point before and after each request."""

    def __init__(self, points: Points) -> None:
        self._points = points
        super().__init__(max_retries=0)

    def send(self, request: PreparedRequest, *args: Any, **named: Any) -> Response:
        what = f"{request.method} {urlsplit(request.url or '').path}"
        self._points.reach(f"before {what}")
        self._points.begin(f"during {what}")
        response = super().send(request, *args, **named)
        self._points.reach(f"after {what}")
        return response


# -- a child's life --------------------------------------------------------------------------------


class Wiring:
    """How a runner is put together: by the same constructors as on the command line."""

    def journal(self, config: Config, clock: Clock, on_commit: Callable[[], None]) -> Journal:
        return Journal(config.state_dir, clock, actor="drill", on_commit=on_commit)

    def service(self, config: Config, journal: Journal, runtime: Runtime) -> Service:
        return Service(config, journal, runtime)


def carry(order: Order, wiring: Wiring, points: Points) -> int:
    """Do what `stockade run` does each minute, without the minute, until the story is over."""
    # A tick that never ends must end the trial, not the drill: the alarm kills.
    signal.alarm(int(order.lives_s) + 10)
    config = load_config(Path(order.config), {})
    clock = SystemClock()
    journal = wiring.journal(config, clock, lambda: points.reach("commit"))
    runtime = Runtime(clock=clock, emulated=config.emulated, transport=lambda: _Watched(points))
    service = wiring.service(config, journal, runtime)
    if order.arms:
        arm(service)
    until = clock.monotonic() + order.lives_s
    last = "no tick"
    while clock.monotonic() < until:
        tick = service.tick(order.linger_s)
        last = str(tick)
        if tick.needs or (not tick.is_busy and is_over(journal, order.search)):
            points.tell(last)
            return NEEDS_A_PERSON if tick.needs else 0
        clock.sleep(NAP_S)
    points.tell(last)
    return UNFINISHED


def arm(service: Service) -> None:
    """Allow acting, unless it is allowed. Errors: `RuntimeError` with what stands against it."""
    with service.journal.read() as tx:
        is_armed = arming.arming(tx) is not None
    if not is_armed:
        armed = commands.arm(service, "drill", "a drill against emulators")
        if armed.code != 0:
            raise RuntimeError(armed.text)


def is_over(journal: Journal, search: str) -> bool:
    """Polled, no run alive, every card closed, every ticket told, every isolation settled."""
    with journal.read() as tx:
        counts = runs.count_by_status(tx)
        is_pending = any(
            row.state in (LedgerState.REQUESTED, LedgerState.ACCEPTED) for row in ledger.every(tx)
        )
        return (
            polls.last(tx, search, ok_only=True) is not None
            and not any(counts.get(status) for status in LIVE)
            and not approvals.unclosed(tx)
            and not cases.has_unreported(tx)
            and not is_pending
        )


# -- orders ----------------------------------------------------------------------------------------


def main(wirings: Mapping[str, Wiring]) -> int:
    """Carry out orders, one after another, until there are no more."""
    set_up_log("text", is_verbose=False)
    _import_all()
    for line in sys.stdin:
        fate = _in_a_child(msgspec.json.decode(line, type=Order), wirings)
        sys.stdout.write(msgspec.json.encode(fate).decode() + "\n")
        sys.stdout.flush()
    return 0


def _import_all() -> None:
    """What a runner imports when it first needs it; once here, instead of in each child."""
    import runner.crew  # noqa: F401
    from connectors.registry import CONNECTORS, load_connector

    for name in CONNECTORS:
        load_connector(name)


def _in_a_child(order: Order, wirings: Mapping[str, Wiring]) -> Fate:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _live(order, wirings[order.wiring], writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    _, ended = os.waitpid(child, 0)
    told = msgspec.json.decode(said) if said else {"points": (), "last": "it said nothing"}
    return Fate(status=os.waitstatus_to_exitcode(ended), **told)


def _live(order: Order, wiring: Wiring, pipe: int) -> NoReturn:
    """Nothing leaves a child but its exit code: it would go on as its parent."""
    points = Points(order, pipe)
    code = BROKEN
    try:
        code = carry(order, wiring, points)
    finally:
        if code == BROKEN:
            points.tell("".join(traceback.format_exc(limit=-3)))
        os._exit(code)


if __name__ == "__main__":
    sys.exit(main({"real": Wiring()}))
