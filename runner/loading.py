"""Which playbook may be started: read with all that it runs, and linted, or refused.

A pinned bundle is not linted again: what was allowed when its run began stays so.
"""

from __future__ import annotations

from collections.abc import Mapping

from runner.bundle import Bundle, Find, bundle_of, find_subs, named_as
from runner.catalogue import ActionSpec
from runner.lint import lint
from runner.playbook import read_playbook
from runner.playbook_steps import PlaybookFaults


def load_bundle(name: str, find: Find, catalogue: Mapping[str, ActionSpec]) -> Bundle:
    """Read a playbook and all that it runs, and lint each of them.

    Errors: `KeyError` for a name that is nowhere; `PlaybookFaults` with every fault of every file;
    what reading a file raises.
    """
    text, file = find(name)
    main = named_as(read_playbook(text, file, catalogue), name)
    subs = find_subs(main, find, catalogue)
    sound = {sub_name: sub for sub_name, sub in subs.items() if sub is not None}
    faults = lint(main, catalogue, subs)
    for sub_name in sorted(set(sound) - {main.name}):
        faults += lint(sound[sub_name], catalogue, {**subs, main.name: main})
    if faults:
        raise PlaybookFaults(faults)
    return bundle_of(main, sound)


def missing_input(bundle: Bundle) -> str | None:
    """An input that a hit cannot give, and that the playbook needs."""
    return next((name for name, one in bundle.main.inputs.items() if one.required), None)
