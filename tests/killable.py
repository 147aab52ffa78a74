"""The real runner, told when to die.

`python -m tests.killable` reads an `Order` a line from its standard input, carries each out in a
child of its own, and writes a `Fate` a line. It forks so that no trial pays for the imports again;
a child opens its journal and its connections itself, and shares nothing with another.

The runner is wired by the constructors of `runner/cli.py`. A point is a moment at which a child can
be killed: after each commit of the journal, before and after each request to a product, and during
one, when it is sent and not answered.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from threading import Timer
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter

from connectors.http import Runtime
from runner import arming, commands
from runner.cli import SystemClock
from runner.config import load_config
from runner.journal import Journal, approvals, cases, ledger, polls, runs
from runner.journal.records import LIVE, LedgerState
from runner.service import Service

log = logging.getLogger("killable")

SEARCH = "wmic_format_hits"
IN_FLIGHT_S = 0.1
"""How long after a request was sent a child dies that is to die while the answer is on its way."""
NAP_S = 0.01
UNFINISHED = 3
BROKEN = 70
NEEDS_A_PERSON = 4


class Order(Struct, frozen=True, kw_only=True):
    """What one child does: carry the story on until it is over, or until it dies.

    `kill_at`: at which of the points whose name matches the shell pattern `point` to die, 0 for
    never. A point is named "commit", "before POST /path", "during POST /path" or "after POST
    /path"; without a pattern all but the "during" are counted. `journal`: which class of `JOURNALS`
    keeps the records. `arms`: allow acting first, when nobody did.
    """

    config: str
    kill_at: int = 0
    point: str = "[abc]*"
    journal: str = "real"
    arms: bool = True
    linger_s: float = 2.0
    lives_s: float = 30.0


class Fate(Struct, frozen=True, kw_only=True):
    """What became of a child. `status`: exit code, or minus the signal; `points`: how many it
    reached; `last`: where it died, or what its last tick came to."""

    status: int
    points: int
    last: str

    @property
    def was_killed(self) -> bool:
        return self.status == -signal.SIGKILL


# -- points ----------------------------------------------------------------------------------------


class Points:
    """Counts the moments at which the runner may die, and dies at the one that was ordered."""

    def __init__(self, order: Order, pipe: int) -> None:
        self._order = order
        self._pipe = pipe
        self.count = 0
        self._matching = 0

    def reach(self, what: str) -> None:
        """The runner is at this point, now."""
        self.count += 1
        if self._is_the_one(what):
            self._die(what)

    def begin(self, what: str) -> None:
        """The runner is about to be at this point, for as long as an answer takes."""
        if self._is_the_one(what):
            Timer(IN_FLIGHT_S, self._die, [what]).start()

    def _is_the_one(self, what: str) -> bool:
        self._matching += fnmatchcase(what, self._order.point)
        return fnmatchcase(what, self._order.point) and self._matching == self._order.kill_at

    def tell(self, last: str) -> None:
        """Leave word of how far this child came."""
        os.write(self._pipe, msgspec.json.encode({"points": self.count, "last": last}))

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


# -- mutants: what a runner without its safeguards would be ----------------------------------------


class Unlocked(Journal):
    """Takes no lock and no epoch: everybody is the one runner."""

    def own(self) -> bool:
        return True

    def note_head(self) -> None:
        """Two owners would stumble over this file, and so end before they do any harm."""


class Forgetful(Journal):
    """Has lost every intent without an outcome, as if none had been written before its effect."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        with self.write() as tx:
            tx.change("delete from step where class = 'effect' and status = 'intended'")


JOURNALS: dict[str, type[Journal]] = {
    "real": Journal,
    "unlocked": Unlocked,
    "forgetful": Forgetful,
}


# -- a child's life --------------------------------------------------------------------------------


def carry(order: Order, pipe: int) -> int:
    """Do what `stockade run` does each minute, without the minute, until the story is over."""
    # A tick that never ends must end the trial, not the test run: the alarm kills.
    signal.alarm(int(order.lives_s) + 10)
    config = load_config(Path(order.config), {})
    clock = SystemClock()
    points = Points(order, pipe)
    journal = JOURNALS[order.journal](
        config.state_dir, clock, actor="killable", on_commit=lambda: points.reach("commit")
    )
    runtime = Runtime(clock=clock, emulated=config.emulated, transport=lambda: _Watched(points))
    service = Service(config, journal, runtime)
    if order.arms:
        _arm(service)
    until = clock.monotonic() + order.lives_s
    last = "no tick"
    while clock.monotonic() < until:
        tick = service.tick(order.linger_s)
        last = str(tick)
        if tick.needs or (not tick.is_busy and is_over(journal)):
            points.tell(last)
            return NEEDS_A_PERSON if tick.needs else 0
        clock.sleep(NAP_S)
    points.tell(last)
    return UNFINISHED


def _arm(service: Service) -> None:
    with service.journal.read() as tx:
        is_armed = arming.arming(tx) is not None
    if not is_armed:
        armed = commands.arm(service, "killable", "a trial")
        if armed.code != 0:
            raise RuntimeError(armed.text)


def is_over(journal: Journal) -> bool:
    """Polled, no run alive, every card closed, every ticket told, every isolation settled."""
    with journal.read() as tx:
        counts = runs.count_by_status(tx)
        is_pending = any(
            row.state in (LedgerState.REQUESTED, LedgerState.ACCEPTED) for row in ledger.every(tx)
        )
        return (
            polls.last(tx, SEARCH, ok_only=True) is not None
            and not any(counts.get(status) for status in LIVE)
            and not approvals.unclosed(tx)
            and not cases.unreported(tx)
            and not is_pending
        )


# -- orders ----------------------------------------------------------------------------------------


def main() -> int:
    """Carry out orders, one after another, until there are no more."""
    logging.basicConfig(level=logging.ERROR)
    _import_all()
    for line in sys.stdin:
        fate = _in_a_child(msgspec.json.decode(line, type=Order))
        sys.stdout.write(msgspec.json.encode(fate).decode() + "\n")
        sys.stdout.flush()
    return 0


def _import_all() -> None:
    """What a runner imports when it first needs it; once here, instead of in each child."""
    import tenacity  # noqa: F401

    import runner.crew  # noqa: F401
    from connectors.registry import CONNECTORS, load_connector

    for name in CONNECTORS:
        load_connector(name)


def _in_a_child(order: Order) -> Fate:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os._exit(_guarded(order, writer))
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    _, ended = os.waitpid(child, 0)
    told = msgspec.json.decode(said) if said else {"points": 0, "last": "it said nothing"}
    return Fate(status=os.waitstatus_to_exitcode(ended), **told)


def _guarded(order: Order, pipe: int) -> int:
    """Nothing may leave a child but its exit code: it would go on as its parent."""
    try:
        return carry(order, pipe)
    except Exception as fault:
        log.exception("a child broke")
        os.write(pipe, msgspec.json.encode({"points": 0, "last": repr(fault)}))
        return BROKEN


if __name__ == "__main__":
    sys.exit(main())
