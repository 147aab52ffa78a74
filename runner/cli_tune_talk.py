"""`stockade tune`: progress while it searches, what it found, and the question before it writes."""

from __future__ import annotations

import sys
from argparse import Namespace
from datetime import timedelta

from connectors.document import visible
from runner.config import Config
from runner.journal import Journal
from runner.masking import mask_secrets
from runner.past import Slice
from runner.result import Result
from runner.service import Service
from runner.suppression_file import LONGEST, read_suppressions
from runner.suppression_text import NotWritten, appended, difference, write_text
from runner.suppression_use import uses_of
from runner.tuning import Tuned, Wish, look_back
from runner.tuning_text import progress_text, tuned_data, tuned_text, uses_data, uses_text

MOST_SINCE = timedelta(days=90)


def tune_command(arguments: Namespace, service: Service) -> Result:
    """Exit codes: 0 all was searched; 1 a part was not, or nothing could be written; 2 wrong usage;
    130 stopped at the keyboard."""
    config = service.config
    if arguments.list:
        return list_uses(service.journal, config)
    wrong = _wrong_usage(arguments, config)
    if wrong is not None:
        return Result(code=2, data={"error": wrong}, text=wrong)
    wish = Wish(
        since=arguments.since,
        search=arguments.search,
        owner=arguments.owner or "(owner)",
        reason=arguments.reason or "(reason)",
        lasts=arguments.expires,
        only=tuple(arguments.only),
    )
    tuned = look_back(service, wish, _tell)
    is_writing = arguments.write and not tuned.is_stopped
    text, data = tuned_text(tuned, with_entries=not is_writing), tuned_data(tuned)
    code = 130 if tuned.is_stopped else 0 if tuned.is_whole else 1
    if not is_writing:
        return Result(code=code, data={**data, "written": []}, text=text)
    if not arguments.json:
        print(_safe(text), flush=True)
    try:
        written, said = _write(arguments, config, tuned)
    except NotWritten as fault:
        return Result(code=1, data={**data, "written": [], "error": str(fault)}, text=str(fault))
    return Result(code=code, data={**data, "written": written}, text=said)


def list_uses(journal: Journal, config: Config) -> Result:
    """The suppressions that stand, with their hits."""
    with journal.read() as tx:
        today = tx.clock.now().date()
    faults = read_suppressions(config.suppressions_file, today).faults
    uses = uses_of(journal, config)
    code = 1 if faults else 0
    return Result(code=code, data=uses_data(uses, faults), text=uses_text(uses, faults))


def _wrong_usage(arguments: Namespace, config: Config) -> str | None:
    if arguments.search is not None and arguments.search not in config.searches:
        known = ", ".join(config.searches) or "none"
        return f"there is no search {arguments.search}; the configuration has {known}"
    if not config.searches:
        return "searches: none is configured, so there is nothing to look back at"
    if not timedelta(0) < arguments.since <= MOST_SINCE:
        return f"--since is at most {MOST_SINCE.days}d"
    if not timedelta(days=1) <= arguments.expires <= LONGEST:
        return f"--expires is 1d to {LONGEST.days}d"
    if not arguments.write:
        alone = [name for name in ("only", "yes") if getattr(arguments, name)]
        return f"--{alone[0]} goes with --write" if alone else None
    if config.suppressions_file is None:
        return "the configuration names no suppressions_file to write to"
    for name in ("owner", "reason"):
        given = getattr(arguments, name)
        if not given or not given.strip() or not given.isprintable():
            return f"--write needs --{name}: who answers for it, and why it is harmless"
    if not arguments.yes and (arguments.json or not sys.stdin.isatty()):
        return "nobody can be asked here: look at the proposals first, then repeat with --yes"
    return None


def _tell(name: str, one: Slice, left: int) -> None:
    print(_safe(progress_text(name, one, left)), file=sys.stderr, flush=True)


def _write(arguments: Namespace, config: Config, tuned: Tuned) -> tuple[list[str], str]:
    """Show the difference, ask, write. Errors: `NotWritten`."""
    path = config.suppressions_file
    ids = [entry.id for entry in tuned.entries]
    absent = [name for name in arguments.only if name not in ids]
    if absent:
        raise NotWritten(f"{absent[0]} is not proposed; nothing was written")
    if path is None or not ids:
        return [], "nothing to write"
    new = appended(tuned.known, tuned.entries, tuned.today)
    if not arguments.json:
        print(_safe("\n" + difference(tuned.known.text, new, str(path))), flush=True)
    if not arguments.yes:
        print(f"\nWrite {len(ids)} to {path}? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            return [], "nothing was written"
    write_text(path, tuned.known, new)
    said = "" if tuned.is_whole else "; a part of the past is unknown"
    return ids, f"written to {path}: {', '.join(ids)}{said}"


def _safe(text: str) -> str:
    """Evidence reaches this text: it moves no cursor and forges no line."""
    return visible(mask_secrets(text), keep_newlines=True)
