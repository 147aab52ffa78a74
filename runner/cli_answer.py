"""The arguments of `approve` and `deny`, and the question before an answer is noted."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runner.config import Config
    from runner.journal import Journal
    from runner.result import Result


def add_answers(command: Callable[[str, str], argparse.ArgumentParser]) -> None:
    """Their parsers."""
    for word, text in (
        ("approve", "say yes to a question here, where approvals.cli allows it"),
        ("deny", "say no to a question here, where approvals.cli allows it"),
    ):
        answer = command(word, text)
        answer.add_argument("code", metavar="CODE")
        answer.add_argument("which", nargs="?", metavar="N", help="a device's or answer's number")
        answer.add_argument("--yes", action="store_true", help="do not ask before it is noted")


def answer_command(
    arguments: argparse.Namespace, config: Config, journal: Journal, login: str
) -> Result:
    """Show what the answer says, ask, and note it. Errors: `JournalError`."""
    from runner.answering import Refused, give_answer, plan_answer, refusal
    from runner.result import Result

    word = arguments.command
    try:
        plan = plan_answer(journal, config, arguments.code, word, arguments.which, login)
    except Refused as refused:
        return refusal(str(refused))
    if arguments.yes:
        return give_answer(journal, plan, login)
    if arguments.json or not sys.stdin.isatty():
        return refusal(f"{plan.text()}\nnobody can be asked here: repeat with --yes")
    print(f"{plan.text()}\n\nIs that your answer? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        return Result(code=0, data={"answered": False}, text="nothing was answered")
    return give_answer(journal, plan, login)
