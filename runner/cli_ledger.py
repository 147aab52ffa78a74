"""The arguments of `isolations`, `renew`, `undo` and `ledger`; and the question before an undo."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from connectors.document import visible
from runner.masking import mask_secrets

if TYPE_CHECKING:
    from runner.config import Config
    from runner.journal import Journal
    from runner.result import Result
    from runner.service import Service


def add_ledger(
    command: Callable[[str, str], argparse.ArgumentParser], duration: Callable[[str], timedelta]
) -> None:
    """Their parsers."""
    isolations = command("isolations", "list what is isolated, for whom and until when")
    isolations.add_argument("--all", action="store_true", help="also what is over")
    renew = command("renew", "let an isolation's lease begin anew")
    renew.add_argument("what", metavar="HOST|CODE")
    renew.add_argument("--for", dest="length", type=duration, metavar="8h", help="from now on")
    renew.add_argument("--reason", required=True)
    undo = command("undo", "ask to take back all that a case did")
    undo.add_argument("case", metavar="CASE")
    undo.add_argument("--reason", required=True)
    undo.add_argument("--yes", action="store_true", help="do not ask before it is begun")
    ledger = command("ledger", "compare the ledger with the EDR, or rebuild what it lost")
    ledger.add_argument("what", choices=("compare", "rebuild"))
    ledger.add_argument("host", nargs="*", metavar="HOST", help="rebuild: only these")
    ledger.add_argument("--all", action="store_true", help="rebuild: all that are contained")
    ledger.add_argument("--reason", help="rebuild: why")


def ledger_command(
    arguments: argparse.Namespace,
    config: Config,
    journal: Journal,
    service: Callable[[], Service],
    actor: str,
) -> Result:
    """Do one of them. Errors: `JournalError`."""
    if arguments.command == "ledger":
        return _ledger(arguments, service, actor)
    if arguments.command == "undo":
        return _undo(arguments, config, journal, actor)
    from runner.isolations import renew, show_isolations

    if arguments.command == "isolations":
        return show_isolations(journal, is_all=arguments.all)
    return renew(journal, config, arguments.what, arguments.reason, actor, arguments.length)


def _ledger(arguments: argparse.Namespace, service: Callable[[], Service], actor: str) -> Result:
    from runner.ledger_rebuild import compare, rebuild

    is_given = bool(arguments.host or arguments.all or arguments.reason)
    if arguments.what == "compare":
        if is_given:
            return _wrong("ledger compare changes nothing: hosts, --all and --reason go to rebuild")
        return compare(service())
    if not arguments.reason:
        return _wrong("ledger rebuild needs --reason: it stands in the journal")
    return rebuild(service(), arguments.host, arguments.reason, actor, is_all=arguments.all)


def _undo(arguments: argparse.Namespace, config: Config, journal: Journal, actor: str) -> Result:
    from runner.result import Result
    from runner.undo import plan_undo, undo

    plan = plan_undo(journal, arguments.case)
    if plan is None or arguments.yes:
        return undo(journal, config, arguments.case, arguments.reason, actor)
    text = visible(mask_secrets(plan.text()), keep_newlines=True)
    if arguments.json or not sys.stdin.isatty():
        return _wrong(f"{text}\nnobody can be asked here: repeat with --yes")
    print(f"{text}\n\nAsk people to undo that? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        return Result(code=0, data={"undone": False}, text="nothing was asked")
    return undo(journal, config, arguments.case, arguments.reason, actor)


def _wrong(text: str) -> Result:
    from runner.result import Result

    return Result(code=2, data={"error": text}, text=text)
