"""The arguments of `backup` and `restore`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from connectors.model import Clock
    from runner.config import Config
    from runner.result import Result


def add_storage(command: Callable[[str, str], argparse.ArgumentParser]) -> None:
    """Their parsers."""
    backup = command("backup", "copy the journal to a new file, also while a runner works")
    backup.add_argument("file", type=Path, metavar="FILE")
    restore = command("restore", "put a backup in the journal's place; it is not armed")
    restore.add_argument("file", type=Path, metavar="FILE")


def storage_command(
    arguments: argparse.Namespace, config: Config, clock: Clock, actor: str
) -> Result:
    """Do one of them. Errors: `JournalError`."""
    from runner.journal import Journal
    from runner.storage import backup, restore

    if arguments.command == "restore":
        # Before any journal is opened: the one that is there may be damaged.
        return restore(config, clock, arguments.file, actor)
    with closing(Journal(config.state_dir, clock, actor=actor)) as journal:
        return backup(journal, clock, arguments.file)
