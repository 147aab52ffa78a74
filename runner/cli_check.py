"""The arguments of `check`, and what `--send` says while it waits."""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runner.result import Result
    from runner.service import Service

WAIT_S = 60
LONGEST_WAIT_S = 900


def add_check(command: Callable[[str, str], argparse.ArgumentParser]) -> None:
    """Its parser."""
    check = command("check", "try each permission that the configuration needs, changing nothing")
    check.add_argument(
        "--send",
        action="store_true",
        help="also post a test message in chat, and prove that people's replies can be read",
    )
    check.add_argument(
        "--wait",
        type=_seconds,
        default=WAIT_S,
        metavar="S",
        help=f"with --send: how long to wait for a person's reply ({WAIT_S})",
    )


def check_command(arguments: argparse.Namespace, service: Service) -> Result:
    """Errors: `JournalError`."""
    from runner.checks import check
    from runner.reply_check import ReplyCheck

    if not arguments.send:
        return check(service)
    sent = ReplyCheck(service, secrets.choice, _tell, arguments.wait).results()
    return check(service, sent)


def _tell(text: str) -> None:
    from connectors.document import visible

    print(visible(text), file=sys.stderr, flush=True)


def _seconds(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= LONGEST_WAIT_S:
        raise argparse.ArgumentTypeError(f"{text!r}: write whole seconds, 1 to {LONGEST_WAIT_S}")
    return int(text)
