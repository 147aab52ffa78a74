"""The command line: exit codes, the real clock; everything is built here, once.

Exit codes: 0 done (also while waiting); 1 a part of the job could not be done, or a check found
something; 2 wrong usage or configuration; with `run --detailed-exit-code` 3 while people are waited
for, and 4 when a person is needed.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import pwd
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from connectors.document import visible
from runner.cli_clock import SystemClock
from runner.cli_log import complain, set_up_log
from runner.cli_parser import build_parser

if TYPE_CHECKING:
    from connectors.http import Runtime
    from runner.config import Config
    from runner.journal import Journal
    from runner.result import Result
    from runner.service import Service


NO_LOGIN = 2**32 - 1
"""What the kernel says for a process that no login began."""


def login_name() -> str:
    """Who runs the command: the login that the kernel remembers through su and sudo, or else the
    process's own user; never an environment variable."""
    uid = os.getuid()
    try:
        remembered = int(Path("/proc/self/loginuid").read_text())
        if remembered != NO_LOGIN:
            uid = remembered
    except (OSError, ValueError):
        pass
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


# -- main ------------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    # A short-lived process gains nothing from collecting cycles.
    gc.disable()
    given = sys.argv[1:] if argv is None else argv
    arguments = build_parser(next(iter(given), None)).parse_args(given)
    set_up_log(arguments.log_format, is_verbose=arguments.verbose)
    try:
        return _print(_dispatch(arguments), arguments)
    except BrokenPipeError:
        # Whoever read the output has gone; Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("stopped; everything that was done is in the journal", file=sys.stderr)
        return 130


def start() -> NoReturn:
    """The process's own beginning and end. What was said is flushed and the journal is closed by
    then: to take the interpreter apart as well would cost a cron process a tenth of its time."""
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _print(result: Result, arguments: argparse.Namespace) -> int:
    if not result.text and not (arguments.json and result.data is not None):
        return result.code
    from runner.masking import mask_all, mask_secrets

    if arguments.json and result.data is not None:
        print(json.dumps(mask_all(result.data), indent=2), flush=True)
    elif result.text and result.code in (0, 3):
        # Evidence reaches this text: whatever it holds, it moves no cursor and forges no line.
        print(visible(mask_secrets(result.text), keep_newlines=True), flush=True)
    elif result.text:
        complain(result.text, arguments.log_format)
    return result.code


def _dispatch(arguments: argparse.Namespace) -> Result:
    from runner.result import Result

    if arguments.command in ("lint", "schema"):
        from runner.cli_playbooks import playbooks_command

        return playbooks_command(arguments)
    if arguments.command == "assess":
        from runner.cli_assess import assess_command

        return assess_command(arguments)
    if arguments.command in ("demo", "init"):
        from runner.cli_first import first_command

        return first_command(arguments, SystemClock())
    if arguments.command == "drill":
        from runner.cli_drill import drill_command

        return drill_command(arguments, SystemClock())
    if arguments.command in ("rehearse", "replay"):
        from runner.cli_rehearse import rehearse_command

        return rehearse_command(arguments, SystemClock(), _runtime)
    from runner.config import ConfigFaults, load_config
    from runner.journal import Fenced, Journal, JournalError

    try:
        config = load_config(arguments.config, os.environ)
        if arguments.command in ("backup", "restore"):
            from runner.cli_storage import storage_command

            return storage_command(arguments, config, SystemClock(), login_name())
        if arguments.command == "splunk":
            from runner.cli_splunk import splunk_command

            return splunk_command(arguments, config, lambda: _runtime(config))
        journal = Journal(config.state_dir, SystemClock(), actor=login_name())
        return _with_journal(arguments, config, journal)
    except ConfigFaults as refused:
        data = {"error": [str(fault) for fault in refused.faults]}
        return Result(code=2, data=data, text="\n".join(data["error"]))
    except (JournalError, Fenced) as fault:
        return Result(code=1, data={"error": str(fault)}, text=str(fault))


def _with_journal(arguments: argparse.Namespace, config: Config, journal: Journal) -> Result:
    try:
        if arguments.command == "serve":
            from runner.cli_serve import serve_command

            return serve_command(config, journal, SystemClock(), arguments.log_format)
        if arguments.command in ("run", "check", "arm", "tune"):
            return _service_command(arguments, build_service(config, journal))
        if arguments.command in ("isolations", "renew", "undo", "ledger"):
            from runner.cli_ledger import ledger_command

            return ledger_command(
                arguments, config, journal, lambda: build_service(config, journal), login_name()
            )
        if arguments.command in ("approve", "deny"):
            from runner.cli_answer import answer_command

            return answer_command(arguments, config, journal, login_name())
        if arguments.command == "report":
            from runner.cli_report import report_command

            return report_command(arguments, config, journal)
        if arguments.command in ("audit", "export", "erase"):
            from runner.cli_proof import proof_command

            return proof_command(arguments, config, journal, login_name())
        return _journal_command(arguments, config, journal)
    finally:
        journal.close()


def _journal_command(arguments: argparse.Namespace, config: Config, journal: Journal) -> Result:
    """The commands that need no product."""
    from runner import commands, views
    from runner.resolve import Said

    match arguments.command:
        case "cases":
            return views.list_cases(journal)
        case "show":
            return views.show_case(journal, config, arguments.case)
        case "status":
            return views.show_status(journal, config, arguments.max_age)
        case "pause":
            return commands.pause(journal, login_name(), arguments.reason)
        case "resume":
            return commands.resume(journal, login_name())
        case "release":
            return commands.release(
                journal,
                config,
                arguments.host,
                arguments.reason,
                login_name(),
                arguments.case,
                is_foreign=arguments.foreign,
            )
    return commands.resolve_code(journal, arguments.code, Said(arguments.said), login_name())


def build_service(config: Config, journal: Journal) -> Service:
    """Wire the runner to the real world."""
    from runner.service import Service

    return Service(config, journal, _runtime(config))


def _runtime(config: Config) -> Runtime:
    from connectors.http import Runtime

    return Runtime(clock=SystemClock(), emulated=config.emulated)


def _service_command(arguments: argparse.Namespace, service: Service) -> Result:
    """The commands that speak to products."""
    match arguments.command:
        case "run":
            from runner.ticks import run_once

            return run_once(service, is_detailed=arguments.detailed_exit_code)
        case "arm":
            from runner.commands import arm

            return arm(service, login_name(), arguments.reason)
        case "tune":
            from runner.cli_tune_talk import tune_command

            return tune_command(arguments, service)
    from runner.cli_check import check_command

    return check_command(arguments, service)


if __name__ == "__main__":
    start()
