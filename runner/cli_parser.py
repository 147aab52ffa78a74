"""The command line's arguments: every command, its options and their shapes."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import runner
from runner.cli_log import FORMATS


def build_parser(first: str | None = None) -> argparse.ArgumentParser:
    """Every command and its options. `first` says which command was asked for: cron's `run` gets
    its own alone, because a parser costs a millisecond, and there are many."""
    parser = argparse.ArgumentParser(
        prog="stockade",
        description="Turn a Splunk hit into a contained host, with people's consent.",
    )
    parser.add_argument("--version", action="version", version=f"stockade {runner.__version__}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("-c", "--config", type=Path, default=Path("config.yaml"), metavar="FILE")
    common.add_argument("--json", action="store_true", help="print one JSON object")
    common.add_argument("-v", "--verbose", action="store_true", help="log each step")
    common.add_argument("--log-format", choices=FORMATS, default="text", help="text or JSON lines")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    text = "do one tick: poll, decide, advance, follow up (for cron)"
    run = commands.add_parser("run", help=text, description=text, parents=[common])
    run.add_argument(
        "--detailed-exit-code",
        action="store_true",
        help="exit 3 while people are waited for, 4 when a person is needed",
    )
    if first == "run":
        return parser
    _add_others(commands, common)
    return parser


def _add_others(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    from runner.cli_answer import add_answers
    from runner.cli_check import add_check
    from runner.cli_drill import add_drill
    from runner.cli_first import add_first
    from runner.cli_ledger import add_ledger
    from runner.cli_playbooks import add_playbooks
    from runner.cli_proof import add_proof
    from runner.cli_rehearse import add_rehearse
    from runner.cli_splunk import add_splunk
    from runner.cli_storage import add_storage
    from runner.cli_tune import add_tune

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text, parents=[common])

    command("serve", "tick until stopped (for a service)")
    add_check(command)
    add_playbooks(command)
    _add_assess(command)
    command("cases", "list the newest cases")
    command("show", "show one case").add_argument("case", metavar="CASE")
    status = command("status", "show the runner's state")
    status.add_argument("--max-age", type=_duration, metavar="5m", help="exit 1 when dead or blind")
    _add_steering(command)
    add_proof(command)
    add_ledger(command, _duration)
    add_answers(command)
    add_storage(command)
    add_splunk(commands, common)
    add_tune(command, _duration)
    add_rehearse(command, _duration)
    add_drill(command)
    add_first(command, _duration)


def _add_steering(command: Callable[[str, str], argparse.ArgumentParser]) -> None:
    arm = command("arm", "allow acting on the alerts that come from now on")
    arm.add_argument("--reason", required=True)
    pause = command("pause", "go on storing hits, and let no run go on")
    pause.add_argument("--reason", required=True)
    command("resume", "end a pause")
    release = command("release", "ask to let an isolated device back on the network")
    release.add_argument("host", metavar="HOST")
    release.add_argument("--reason", required=True)
    release.add_argument("--case", metavar="CASE", help="drop this case's hold only")
    release.add_argument("--foreign", action="store_true", help="also what somebody else isolated")
    resolve = command("resolve", "say what happened where no product can")
    resolve.add_argument("code", metavar="CODE")
    resolve.add_argument("said", choices=("happened", "not", "stop"))


def _add_assess(command: Callable[[str, str], argparse.ArgumentParser]) -> None:
    judge = command("assess", "judge a wmic command line, or a file of them")
    judge.add_argument("line", nargs="?", metavar="LINE", help="one command line, in quotes")
    judge.add_argument("--jsonl", metavar="FILE", help="JSON objects, one a line; - is stdin")


def _duration(text: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; write 30s, 5m, 2h or 1d")
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
    return timedelta(**{units[match[2]]: int(match[1])})
