"""The commands for who writes a playbook or a configuration: `lint` and `schema`."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path

from runner.result import Result

SCHEMAS = ("playbook", "config", "suppressions", "rehearsal")


def add_playbooks(command: Callable[[str, str], ArgumentParser]) -> None:
    lint = command("lint", "prove playbooks without running them; the shipped ones by default")
    lint.add_argument("files", nargs="*", type=Path, metavar="PLAYBOOK")
    schema = command("schema", "print the JSON Schema of a file, for editors")
    schema.add_argument("what", choices=SCHEMAS)


def playbooks_command(arguments: Namespace) -> Result:
    if arguments.command == "lint":
        from runner.checks import lint_files

        return lint_files(arguments.files)
    from runner import editor_schema

    schemas = {
        "playbook": editor_schema.playbook_schema,
        "config": editor_schema.config_schema,
        "suppressions": editor_schema.suppressions_schema,
        "rehearsal": editor_schema.rehearsal_schema,
    }
    made = schemas[arguments.what]()
    return Result(code=0, data=made, text=json.dumps(made, indent=2))
