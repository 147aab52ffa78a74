"""The arguments of what a first week needs: `demo`, `init` and `report`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from runner.cli_report import add_report

if TYPE_CHECKING:
    from connectors.model import Clock
    from runner.result import Result


def add_first(
    command: Callable[[str, str], argparse.ArgumentParser],
    duration: Callable[[str], timedelta],
) -> None:
    """Their parsers."""
    demo = command("demo", "do the whole job against emulated products, on recorded events")
    demo.add_argument("--unattended", action="store_true", help="the emulated responder says yes")
    demo.add_argument("--deny", action="store_true", help="the emulated responder says no")
    demo.add_argument("--state", type=Path, default=Path("demo-state"), metavar="DIR")
    init = command("init", "write a configuration by asking, and by trying each product")
    init.add_argument("file", type=Path, nargs="?", default=Path("config.yaml"), metavar="FILE")
    init.add_argument("--emulated", action="store_true", help="products at 127.0.0.1, plain http")
    add_report(command, duration)


def first_command(arguments: argparse.Namespace, clock: Clock) -> Result:
    """Do `demo` or `init`."""
    if arguments.command == "demo":
        from runner.demo import run_demo

        return run_demo(arguments, clock)
    from runner.cli_init import init_command

    return init_command(arguments, clock)
