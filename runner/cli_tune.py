"""The arguments of `tune`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import timedelta


def add_tune(
    command: Callable[[str, str], argparse.ArgumentParser],
    duration: Callable[[str], timedelta],
) -> None:
    """The command's options."""
    tune = command("tune", "look at what recurred, and propose narrow suppressions")
    tune.add_argument("--since", type=duration, default=timedelta(days=30), metavar="30d")
    tune.add_argument("--search", metavar="NAME", help="this search only")
    tune.add_argument("--list", action="store_true", help="the suppressions, with their hits")
    tune.add_argument("--write", action="store_true", help="append what is proposed, when asked")
    tune.add_argument("--only", action="append", default=[], metavar="ID", help="with --write")
    tune.add_argument("--owner", metavar="NAME", help="who answers for what is written")
    tune.add_argument("--reason", metavar="TEXT", help="why it is harmless")
    tune.add_argument("--expires", type=duration, default=timedelta(days=90), metavar="90d")
    tune.add_argument("--yes", action="store_true", help="write without asking")
