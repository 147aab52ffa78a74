"""One action under way: what it works with, and how it reads through the port."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from runner.config import Config, Mode
from runner.containment import Containment
from runner.context import Call, Context, StepFailed
from runner.journal import Journal
from runner.playbook import Do
from runner.roles import Roles


class Bench(Struct, frozen=True, kw_only=True):
    """What actions work with."""

    journal: Journal
    config: Config
    roles: Roles
    containment: Containment


class Work(Struct, frozen=True, kw_only=True):
    """One action to be done: the port, the step, its path, its rendered inputs and targets.
    `severity`: as the run's playbook says it."""

    bench: Bench
    ctx: Context
    step: Do
    path: str
    inputs: dict[str, Any]
    targets: Any
    severity: str = "high"

    @property
    def mode(self) -> Mode:
        """The mode that holds for this run."""
        return self.ctx.mode


T = TypeVar("T")


def taken(work: Work, name: str, shape: type[T]) -> T:
    """An input as what it must be. Errors: `StepFailed`: the playbook gives something else."""
    try:
        return msgspec.convert(work.inputs.get(name) or [], shape)
    except msgspec.ValidationError:
        what = f"{work.step.action} takes `{name}` as an action gave it, and got something else"
        raise StepFailed("playbook", what) from None


def read(work: Work, name: str, send: Callable[[float], Any]) -> Awaitable[Any]:
    """A read with the step's own time-out and retry."""
    step = work.step
    call = Call(
        name=name,
        send=send,
        again_s=step.timeout_s or 300.0,
        attempts=step.retry.max if step.retry else 1,
        wait_s=step.retry.wait_s if step.retry else None,
    )
    return work.ctx.call(f"{work.path}#{name}", call)
