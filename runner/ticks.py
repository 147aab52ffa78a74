"""The commands that do the job: one tick for cron, or tick after tick for a service."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from runner.result import Result
from runner.service import LINGER_S, Service, Tick

WAITING_CODE = 3
PERSON_CODE = 4


def run_once(service: Service, *, is_detailed: bool, linger_s: float = LINGER_S) -> Result:
    """One tick. Exit codes: 0 also while waiting; 1 when a part of the job could not be done; with
    the detailed codes 3 while people are waited for, 4 when a person is needed."""
    tick = service.tick(linger_s)
    return Result(
        code=_code(tick, is_detailed=is_detailed),
        data=msgspec.to_builtins(tick),
        text=tick_text(tick),
    )


def _code(tick: Tick, *, is_detailed: bool) -> int:
    if is_detailed and tick.needs:
        return PERSON_CODE
    if tick.errors:
        return 1
    return WAITING_CODE if is_detailed and tick.people else 0


def tick_text(tick: Tick) -> str:
    """What a tick came to, as lines; nothing when there is nothing to say."""
    if tick.is_busy:
        return "another runner is at work on this state folder"
    lines = [*tick.errors, *(f"A PERSON IS NEEDED: {need}" for need in tick.needs)]
    if tick.people:
        lines.append(f"{tick.people} question(s) wait for people")
    return "\n".join(lines)


def serve(
    service: Service, should_stop: Callable[[], bool], on_tick: Callable[[Tick], None]
) -> Result:
    """Run until told to stop."""
    service.serve(should_stop, on_tick)
    return Result(code=0, data={"stopped": True}, text="stopped")
