"""`stockade drill`: its options, and its progress on the standard error."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING

from connectors.document import visible

if TYPE_CHECKING:
    from connectors.model import Clock
    from runner.result import Result


def add_drill(command: Callable[[str, str], ArgumentParser]) -> None:
    """The command's options."""
    drill = command("drill", "kill the runner at every point of a playbook, against emulators")
    drill.add_argument("playbook", metavar="PLAYBOOK", help="a file, or the name of a shipped one")
    which = drill.add_mutually_exclusive_group()
    which.add_argument(
        "--points", type=_count, default=None, metavar="N", help="kill at so many points (60)"
    )
    which.add_argument(
        "--every", type=_count, default=None, metavar="N", help="kill at each Nth; 1 for all"
    )
    drill.add_argument("--overlap", action="store_true", help="also with two runners at once")
    drill.add_argument("--lossy", action="store_true", help="also with answers that get lost")
    drill.add_argument(
        "--random-kills", type=_count, default=0, metavar="N", help="also kill again and again"
    )
    drill.add_argument("--seed", type=int, default=1, metavar="N", help="for what is random (1)")


def _count(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) < 1_000_000:
        raise ArgumentTypeError(f"{text!r} is no count; write a whole number from 1 on")
    return int(text)


def drill_command(arguments: Namespace, clock: Clock) -> Result:
    """Do it. Exit codes: 0 without violations, 1 with, 2 for a playbook that cannot be drilled."""
    from runner.drill import Plan, run_drill
    from runner.drill_story import NoDrill
    from runner.result import Result

    plan = Plan(
        points=arguments.points or (None if arguments.every else Plan().points),
        every=arguments.every,
        overlap=arguments.overlap,
        lossy=arguments.lossy,
        random_kills=arguments.random_kills,
        seed=arguments.seed,
    )
    try:
        return run_drill(arguments.playbook, plan, clock, _say)
    except NoDrill as refused:
        return Result(code=2, data={"error": str(refused)}, text=str(refused))
    except (RuntimeError, AssertionError) as fault:
        # The drill itself could not go on: that is no proof of anything.
        text = f"the drill broke off: {fault}"
        return Result(code=1, data={"points": 0, "kills": 0, "violations": [text]}, text=text)


def _say(text: str) -> None:
    print(visible(text), file=sys.stderr, flush=True)
