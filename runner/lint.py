"""What is wrong with a playbook before it runs.

It follows the flow without running anything: what has certainly run by then, which value has which
type, which way silence leads. It knows no product and opens nothing. Each finding has a code;
`FINDINGS` says what it means, and `docs/lint.md` shows one that fails and how to mend it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from runner.catalogue import ActionSpec
from runner.lint_flow import Flow
from runner.playbook import read_playbook
from runner.playbook_steps import Playbook, PlaybookFaults
from runner.yaml_reader import Fault

if TYPE_CHECKING:
    from runner.bundle import Find, Subs

FINDINGS: dict[str, str] = {
    "SP101": "the action is in no catalogue",
    "SP102": "the role is unknown",
    "SP103": "an input that is needed is missing",
    "SP104": "the action or the playbook does not know this input",
    "SP105": "the value has the wrong type",
    "SP106": "the value may be empty (null), which fails the step",
    "SP107": "the condition is no boolean",
    "SP108": "the expression cannot be read",
    "SP201": "no step has this id",
    "SP202": "the step has not certainly run by then, or the name is not known there",
    "SP203": "the step may be skipped, or fail, and has no value then",
    "SP204": "the step has no such output",
    "SP205": "the alert, the case, `steps`, `inputs` or `vars` has no such field",
    "SP206": "`else_value` lacks an output that is used",
    "SP301": "the containment cannot be undone",
    "SP302": "the targets are no devices that a step found",
    "SP303": "a containment or a release inside a loop",
    "SP304": "silence would lead to a containment that an answer prevents",
    "SP401": "the step can never run",
    "SP402": "a `stop` inside `parallel`",
    "SP403": "the condition is always the same",
    "SP404": "the `repeat` can never end by its `until`",
    "SP405": "the `switch` may get a value that has no case",
    "SP406": "the case is a value that never comes",
    "SP501": "there is no such playbook, or it cannot be read",
    "SP502": "the playbook would run itself for ever",
    "SP503": "a hit starts it, and gives no input",
}
"""Every code, and what it means."""


def lint(
    playbook: Playbook, catalogue: Mapping[str, ActionSpec], subs: Subs | None = None
) -> list[Fault]:
    """Every finding in a playbook that could be read, in the order of the file. `subs` are the
    playbooks that it runs, as `runner/bundle.py` finds them; without, none is there."""
    return Flow(playbook, catalogue, subs or {}).findings()


def lint_text(
    text: str, file: str, catalogue: Mapping[str, ActionSpec], find: Find | None = None
) -> list[Fault]:
    """What the reader refuses, or else what lint finds, in the order of the file. `find` gives the
    playbooks that it runs; what is wrong in those is found when they are linted themselves."""
    from runner.bundle import find_subs

    try:
        playbook = read_playbook(text, file, catalogue)
    except PlaybookFaults as refused:
        return refused.faults
    subs = {} if find is None else find_subs(playbook, find, catalogue)
    return lint(playbook, catalogue, subs)
