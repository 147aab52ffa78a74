"""A playbook with all the playbooks that it runs, pinned together by their content.

It decides what a run is pinned to: editing any of the files never changes a run in flight.
`runner/loading.py` refuses one that lint finds fault with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from runner.catalogue import ActionSpec
from runner.playbook import find_playbook, read_playbook
from runner.playbook_steps import Playbook, PlaybookFaults, RunPlaybook, every_step
from runner.yaml_reader import Fault

MOST_PLAYBOOKS = 30

Find = Callable[[str], tuple[str, str]]
"""A playbook's text and where it came from, by name. Errors: `KeyError`."""
Subs = Mapping[str, "Playbook | None"]
"""Every playbook that is run from inside, by name; None where there is none that can be read."""


class Bundle(Struct, frozen=True, kw_only=True):
    """What a run executes: `main` and, by name, what it runs. `body` is the exact text of all."""

    main: Playbook
    subs: dict[str, Playbook]
    body: str
    sha256: str

    @property
    def name(self) -> str:
        return self.main.name


def named_runs(playbook: Playbook) -> list[RunPlaybook]:
    """The steps that run another playbook, in the order of the file."""
    steps = (*playbook.steps, *playbook.on_error)
    return [step for step in every_step(steps) if isinstance(step, RunPlaybook)]


def neighbours(folder: Path | None) -> Find:
    """Playbooks beside each other: in a folder, or those of this distribution."""
    return lambda name: find_playbook(name, folder)


def find_subs(main: Playbook, find: Find, catalogue: Mapping[str, ActionSpec]) -> Subs:
    """What a playbook runs, and what that runs, each once. Whatever cannot be read is None."""
    found: dict[str, Playbook | None] = {}
    waiting = [step.playbook for step in named_runs(main)]
    while waiting and len(found) < MOST_PLAYBOOKS:
        name = waiting.pop(0)
        if name in found:
            continue
        try:
            playbook = named_as(read_playbook(*find(name), catalogue), name)
        except (KeyError, OSError, UnicodeDecodeError, PlaybookFaults):
            found[name] = None
            continue
        found[name] = playbook
        waiting += [step.playbook for step in named_runs(playbook)]
    return found


def way_back(name: str, main: Playbook, subs: Subs) -> bool:
    """Does the playbook `name`, once it runs, run `main` again, or itself?"""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        playbook = main if (now := waiting.pop()) == main.name else subs.get(now)
        below = [step.playbook for step in named_runs(playbook)] if playbook else []
        if main.name in (now, *below) or name in below:
            return True
        waiting += [one for one in below if one not in seen]
        seen.update(below)
    return False


def named_as(playbook: Playbook, name: str) -> Playbook:
    """Errors: `PlaybookFaults` when the file and the playbook in it have two names: a bundle knows
    each by one."""
    if playbook.name == name:
        return playbook
    fault = Fault(
        file=playbook.file,
        line=1,
        column=1,
        code="playbook-name",
        text=f"the file is named `{name}`, and the playbook in it `{playbook.name}`",
        mend="Give both one name.",
    )
    raise PlaybookFaults([fault])


def bundle_of(main: Playbook, subs: dict[str, Playbook]) -> Bundle:
    """The bundle of what has been read. One playbook alone is its text; several are a JSON list of
    names and texts, which no playbook's text can be. Errors: `PlaybookFaults` for one that runs
    itself, however far round, or what is not there: it would never end, or break on its way."""
    for playbook in (main, *subs.values()):
        for step in named_runs(playbook):
            if step.playbook not in subs or way_back(step.playbook, playbook, subs):
                raise PlaybookFaults([_unrunnable(playbook, step)])
    body = main.source
    if subs:
        pairs = [[main.name, main.source]] + [[name, subs[name].source] for name in sorted(subs)]
        body = msgspec.json.encode(pairs).decode()
    sha256 = hashlib.sha256(body.encode()).hexdigest()
    return Bundle(main=main, subs=subs, body=body, sha256=sha256)


def _unrunnable(playbook: Playbook, step: RunPlaybook) -> Fault:
    return Fault(
        file=playbook.file,
        line=step.line,
        column=1,
        code="playbook-run",
        text=f"`{step.playbook}` is not there, or runs itself again",
        mend="Lint it: it says which.",
    )


def read_bundle(body: str, name: str, catalogue: Mapping[str, ActionSpec]) -> Bundle:
    """A pinned bundle, as `bundle_of` made it. Errors: `PlaybookFaults`, when this version cannot
    read it any more."""
    pairs = [(name, body)]
    if body.startswith("["):
        pairs = msgspec.json.decode(body, type=list[tuple[str, str]])
    read = {one: read_playbook(text, f"{one}.yaml", catalogue) for one, text in pairs}
    main = read.pop(pairs[0][0])
    return bundle_of(main, read)
