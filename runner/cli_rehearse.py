"""`stockade rehearse` and `stockade replay`: what a playbook would do, without doing it."""

from __future__ import annotations

import os
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from runner.result import Result

if TYPE_CHECKING:
    from connectors.http import Runtime
    from connectors.model import Clock
    from runner.config import Config
    from runner.rehearsing import Rehearsed


def add_rehearse(
    command: Callable[[str, str], ArgumentParser], duration: Callable[[str], timedelta]
) -> None:
    """The commands' options."""
    rehearse = command("rehearse", "play rehearsal files, or the hits of the past, doing nothing")
    rehearse.add_argument("files", nargs="*", type=Path, metavar="FILE", help="rehearsal files")
    rehearse.add_argument("--since", type=duration, metavar="30d", help="hits of the past instead")
    text = "the alerts of the journal, which is only read, in place of a search"
    rehearse.add_argument("--stored", action="store_true", help=text)
    rehearse.add_argument("--resume", type=Path, metavar="DIR", help="go on with a stopped one")
    replay = command("replay", "play exported events (JSON lines, CSV), doing nothing")
    replay.add_argument("files", nargs="+", type=Path, metavar="FILE")
    for one in (rehearse, replay):
        one.add_argument("--search", metavar="NAME", help="whose hits they are")
        one.add_argument("--playbook", metavar="FILE", help="instead of the configured one")
        one.add_argument("--against", metavar="FILE", help="compare: a file, or REV:path of git")
        one.add_argument(
            "--assume", choices=("yes", "no", "nobody"), default="yes", help="what people answer"
        )
        one.add_argument("--no-hunts", action="store_true", help="search for no events")


def rehearse_files(files: list[Path]) -> Result:
    """Play each file. Exit codes: 0 each went as written; 1 one did not; 2 one cannot be played."""
    from runner.playbook_steps import PlaybookFaults
    from runner.rehearsal_file import RehearsalFaults, read_rehearsal
    from runner.rehearsing import rehearse_file

    done: list[Rehearsed] = []
    broken: list[str] = []
    for path in files:
        try:
            file = read_rehearsal(path)
            with tempfile.TemporaryDirectory(prefix="stockade-rehearsal-") as folder:
                done.append(rehearse_file(path, file, Path(folder)))
        except (RehearsalFaults, PlaybookFaults) as refused:
            broken += [str(fault) for fault in refused.faults]
        except KeyError as fault:
            broken.append(f"{path}: no playbook is named {fault.args[0]}")
        except (OSError, UnicodeDecodeError) as fault:
            why = getattr(fault, "strerror", None) or "is not UTF-8 text"
            broken.append(f"{path}: its playbook cannot be read: {why}")
    lines = list(broken)
    for one in done:
        lines.append(f"{'FAILED' if one.faults else 'ok':<7}{one.file}: {one.name}")
        lines += [f"       {fault}" for fault in one.faults]
    failed = sum(bool(one.faults) for one in done)
    lines.append(
        f"{len(done)} rehearsed, {failed} went another way, {len(broken)} fault(s) in files"
    )
    data = {
        "rehearsed": [
            {
                "file": one.file,
                "name": one.name,
                "playbook": one.playbook,
                "faults": list(one.faults),
                "calls": [{"call": deed.call, "target": deed.target} for deed in one.calls],
            }
            for one in done
        ],
        "broken": broken,
    }
    return Result(code=2 if broken else 1 if failed else 0, data=data, text="\n".join(lines))


def rehearse_command(
    arguments: Namespace, clock: Clock, runtime_of: Callable[[Config], Runtime]
) -> Result:
    """Both commands. A rehearsal file needs no configuration."""
    if arguments.command == "rehearse":
        chosen = [bool(arguments.files), arguments.since is not None, arguments.resume is not None]
        if sum(chosen) != 1:
            text = "give rehearsal files, or --since 30d, or --resume DIR"
            return Result(code=2, data={"error": text}, text=text)
        if arguments.stored and arguments.since is None:
            text = "--stored goes with --since: how far back"
            return Result(code=2, data={"error": text}, text=text)
        if arguments.files:
            alone = [name for name in ("search", "playbook", "against") if getattr(arguments, name)]
            if alone:
                text = f"--{alone[0]} goes with --since, not with rehearsal files"
                return Result(code=2, data={"error": text}, text=text)
            return rehearse_files(arguments.files)
    from runner.cli_past import Rehearsal
    from runner.config import ConfigFaults, load_config

    try:
        config = load_config(arguments.config, os.environ)
    except ConfigFaults as refused:
        faults = [str(fault) for fault in refused.faults]
        return Result(code=2, data={"error": faults}, text="\n".join(faults))
    return Rehearsal(arguments, config, runtime_of(config), clock).run()
