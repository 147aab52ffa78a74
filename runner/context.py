"""The port: all that a playbook's execution may ask of the engine that carries it.

`call`, `ask`, `sleep`, `gather`; the interpreter and the effect door await nothing else. What is
passed and returned is plain data or a value of this file, so that another engine can carry the same
runs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Protocol

from msgspec import Struct

from connectors.base import Action, Effect
from connectors.model import Alert, Device
from runner.config import Mode
from runner.journal.records import Run

Carry = Callable[[str, Callable[[], None]], str | None]
"""Does one named piece of work so that a fault of the program in it stops no other. Gives the
fault, or None."""


class Suspended(BaseException):
    """The run cannot go on now. It is a `BaseException`, so that no playbook or connector code can
    swallow it. `wake_at` None: something else will wake the run."""

    def __init__(self, wait_on: str, wake_at: datetime | None = None) -> None:
        super().__init__(wait_on)
        self.wait_on = wait_on
        self.wake_at = wake_at


def merged(waiting: Sequence[Suspended]) -> Suspended:
    """One suspension for several branches: it wakes with the first of them."""
    times = [suspended.wake_at for suspended in waiting if suspended.wake_at is not None]
    kinds = {suspended.wait_on for suspended in waiting}
    if kinds == {"person"}:
        return Suspended("person")
    if "subject" in kinds:
        # So marked, it is woken as soon as the other run's question is settled.
        return Suspended("subject", min(times, default=None))
    if "crowd" in kinds:
        return Suspended("crowd", min(times, default=None))
    wait_on = "time" if times else next(iter(sorted(kinds - {"person"})))
    return Suspended(wait_on, min(times) if times else None)


class StepFailed(Exception):
    """A step did not do its job. `kind` groups by what to do next: unavailable, rejected,
    outcome_unknown, timeout, playbook."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text


class NotYet(Exception):
    """A read that has no answer yet; it is asked again after `delay_s`."""

    def __init__(self, delay_s: float) -> None:
        super().__init__(f"again in {delay_s} s")
        self.delay_s = delay_s


class Call(Struct, frozen=True, kw_only=True):
    """One call of the outside world.

    `send` gets the seconds since the step began and gives plain data; a read may raise `NotYet`.
    `action` None is a read: its result is journalled, and it may be repeated. With an action it is
    an effect: intent first, sent once; `look` gets the time of the intent, and finds what an
    earlier copy left behind since then, or None.
    `outlasts_sign_in`: a sign-in refused at the door is a pause, as `Unavailable` is, and told.
    `unsent`: an effect's value in a mode that only records. `again_s`: after `Unavailable`, how
    long to keep trying; with `attempts` above one, that many times instead, `wait_s` apart.
    """

    name: str
    send: Callable[[float], Any]
    action: Action | None = None
    look: Callable[[datetime], Any] | None = None
    unsent: Any = None
    settle_s: float = 0.0
    attempts: int = 1
    wait_s: float | None = None
    again_s: float = 300.0
    outlasts_sign_in: bool = False


class Target(Struct, frozen=True, kw_only=True):
    """What a containment is pointed at, as `edr.find_host` gives it: exactly one device when
    `proved`, else the candidates that a person chooses from. `proof` is a sentence for that
    person."""

    proved: bool
    proof: str
    devices: tuple[Device, ...]


class Question(Struct, frozen=True, kw_only=True):
    """What people are asked. `path` is the step's; `n` counts the questions under it. With `pick`
    the devices of the one target are alternatives; otherwise each target stands for its one
    device."""

    path: str
    n: int
    action: str
    effect: Effect
    targets: tuple[Target, ...]
    pick: bool
    quorum: int
    reason: str
    rank: int
    mode: Mode
    answers: dict[str, str] = {}
    """For a general question, which is about no device: name → what people read."""
    on_expiry: str | None = None
    expires_s: int | None = None
    lease_h: float | None = None


ANSWER = "answer"


class Decision(Struct, frozen=True, kw_only=True):
    """What became of a question, by device id; for a general one `approved` holds the answer's
    name, and `refused` and `void` say under `ANSWER` why there is none.

    `approved`: may be done under `approval_id`; `refused`: id → why (denied, expired, vetoed);
    `void`: id → why, to be asked again; `held`: cut off already for another case; `waiting`:
    another run's question about it is not settled.
    """

    approval_id: str | None = None
    approved: tuple[str, ...] = ()
    refused: dict[str, str] = {}
    void: dict[str, str] = {}
    held: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()


class Context(Protocol):
    """A run under way, as interpreter and effect door see it."""

    run: Run
    alert: Alert
    mode: Mode

    def now(self) -> datetime: ...

    async def call(self, key: str, call: Call) -> Any:
        """Perform once, journal, and give the same value for ever after. Errors: `StepFailed`."""
        ...

    def refusal(self, effect: Effect) -> str | None:
        """Why the configuration does not allow an effect; None when it does."""
        ...

    async def ask(self, key: str, question: Question) -> Decision:
        """Ask people, or share the question that another run has open about the same device."""
        ...

    async def sleep(self, key: str, seconds: float) -> None: ...

    async def gather(self, *branches: Callable[[], Awaitable[Any]]) -> list[Any]:
        """Run unstarted branches side by side. A result or an exception for each, in order; it
        raises nothing itself but suspension, when at least one branch waits and none can go on."""
        ...
