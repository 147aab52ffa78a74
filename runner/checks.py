"""What is missing, before the night when it is needed: configuration, permissions, playbooks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import cast

from connectors.base import Chat, Effect
from connectors.errors import ConnectorError
from connectors.model import CheckResult, SavedSearch
from runner import arming, isolations
from runner.alerts import DEFAULT_FIELDS
from runner.bundle import neighbours
from runner.card_replies import CardReplies
from runner.catalogue import CATALOGUE
from runner.config import FALLBACK, Config, Mode, SearchConfig, SearchMode
from runner.effects import plain
from runner.group_check import check_groups
from runner.journal import Journal, ledger
from runner.journal.records import LedgerState
from runner.lint import lint_text
from runner.loading import load_bundle, missing_input
from runner.own_hosts import own_hosts
from runner.playbook import PlaybookFaults, shipped_playbooks
from runner.protected import read_protected
from runner.result import Result
from runner.service import Service
from runner.suppression_file import read_suppressions
from runner.suppression_use import ended
from runner.yaml_reader import Fault

NEEDED_FACTS = ("host", "cmdline")
"""Without these a hit can neither be judged nor traced to a device."""


def check(service: Service, more: Sequence[CheckResult] = ()) -> Result:
    """Try everything that the configuration needs, changing nothing; exit code 1 when a part is
    bad. `more`: what was found before."""
    config = service.config
    # A person is looking: what was refused may be tried once more.
    service.refused_sign_ins.forget_all()
    found = [CheckResult(what="configuration", ok=True)]
    found += [CheckResult(what="configuration", ok=False, mend=text) for text in config.warnings]
    found += _playbooks(config)
    for role in sorted(config.roles):
        found += _connector(service, role)
    found += _disk(service)
    found += _searches(service)
    found += _protection(service)
    found += _own_hosts(config)
    found += _effects(config)
    found += _suppressions(config, service.clock.now().date())
    found += _ledger(service.journal)
    found += check_groups(service)
    found += _typed_replies(service)
    found += _standing(service.journal, config)
    found += more
    lines = [f"{'ok  ' if one.ok else 'BAD '} {one.what}" + _mend(one) for one in found]
    is_good = all(one.ok for one in found)
    return Result(code=0 if is_good else 1, data=plain(found), text="\n".join(lines))


def _mend(one: CheckResult) -> str:
    return f": {one.mend}" if one.mend else ""


def _connector(service: Service, role: str) -> list[CheckResult]:
    name = service.config.roles[role]
    try:
        results: Sequence[CheckResult] = service.roles.connector(role).check()
    except ConnectorError as fault:
        return [CheckResult(what=f"{role} ({name})", ok=False, mend=str(fault))]
    return [
        CheckResult(what=f"{role} ({name}): {one.what}", ok=one.ok, mend=one.mend)
        for one in results
    ]


def _searches(service: Service) -> list[CheckResult]:
    """Each configured search and its canary, tried as a poll would use it."""
    found: list[CheckResult] = []
    for search in service.config.searches.values():
        facts = {**DEFAULT_FIELDS, **search.fields}
        wanted = {fact: facts[fact] for fact in NEEDED_FACTS}
        is_read = search.mode is SearchMode.HISTORY
        found += _search(service, search.name, search.saved_search, wanted, is_scheduled=is_read)
        if search.canary is not None:
            found += _search(service, search.name, search.canary, {})
    return found


def _search(
    service: Service,
    name: str,
    saved: SavedSearch,
    facts: dict[str, tuple[str, ...]],
    *,
    is_scheduled: bool = False,
) -> list[CheckResult]:
    try:
        results = service.roles.siem.check_search(saved, facts, is_scheduled=is_scheduled)
    except ConnectorError as fault:
        return [CheckResult(what=f"search {name}", ok=False, mend=str(fault))]
    return [
        CheckResult(what=f"search {name}: {one.what}", ok=one.ok, mend=one.mend) for one in results
    ]


def _playbooks(config: Config) -> list[CheckResult]:
    results = []
    for search in config.searches.values():
        what = f"playbook {search.playbook}"
        faults = _faults_of(search, config)
        if not faults:
            results.append(CheckResult(what=what, ok=True))
        results += [CheckResult(what=what, ok=False, mend=fault) for fault in faults]
    return results


def _faults_of(search: SearchConfig, config: Config) -> list[str]:
    """Why no hit of the search could start its playbook."""
    try:
        bundle = load_bundle(search.playbook, neighbours(config.playbook_dir), CATALOGUE)
    except KeyError:
        return [f"search {search.name} names it, and it is nowhere; look at playbook_dir"]
    except PlaybookFaults as refused:
        return [str(fault) for fault in refused.faults]
    missing = missing_input(bundle)
    return [] if missing is None else [f"it needs the input `{missing}`, and a hit gives none"]


def _protection(service: Service) -> list[CheckResult]:
    config = service.config
    protected = read_protected(config.guards.protected_file)
    if config.mode is Mode.OBSERVE and config.guards.protected_file is None:
        return []
    faults = list(protected.faults)
    if not faults and service.roles.has("edr"):
        try:
            faults = arming.prove_protection(protected, service.roles.edr)
        except ConnectorError as fault:
            faults = [str(fault)]
    if faults:
        return [CheckResult(what="protected assets", ok=False, mend=text) for text in faults]
    return [CheckResult(what="protected assets", ok=True)]


def _own_hosts(config: Config) -> list[CheckResult]:
    hosts = ", ".join(own_hosts(config)) or "none"
    return [CheckResult(what=f"never isolated, as the runner needs them: {hosts}", ok=True)]


def _effects(config: Config) -> list[CheckResult]:
    """What is never done, whatever a playbook says."""
    missing = [effect for effect in Effect if effect not in config.guards.allowed_effects]
    what = f"not in guards.allowed_effects, and so never done: {', '.join(missing)}"
    return [CheckResult(what=what, ok=True)] if missing else []


def _disk(service: Service) -> list[CheckResult]:
    passing = service.journal.passing
    if passing is None or service.config.accept_passing_disk:
        return [CheckResult(what="state folder", ok=True)]
    mend = f"it lies on {passing}; mount a volume there, or nothing is known after that"
    return [CheckResult(what="state folder", ok=False, mend=mend)]


def _suppressions(config: Config, today: date) -> list[CheckResult]:
    """What stands in the file and does nothing, or too much."""
    if config.suppressions_file is None:
        return []
    known = read_suppressions(config.suppressions_file, today)
    if not (said := ended(config, known, today)):
        return [CheckResult(what=f"suppressions: {len(known.entries)}", ok=True)]
    return [CheckResult(what="suppressions", ok=False, mend=text) for text in said]


def _ledger(journal: Journal) -> list[CheckResult]:
    """Each isolation that wants a person. What somebody else contained is named, and not bad."""
    with journal.read() as tx:
        now = tx.clock.now()
        rows = [row for row in ledger.every(tx) if isolations.is_open(row, now)]
    found = [CheckResult(what=f"ledger: {len(rows)} isolation(s)", ok=True)]
    for row in rows:
        if row.state is LedgerState.FOREIGN:
            found.append(CheckResult(what=f"ledger: {isolations.status_line(row, now)}", ok=True))
        elif isolations.needs_person(row, now):
            what, mend = f"isolation of {row.device.hostname}", isolations.status_line(row, now)
            found.append(CheckResult(what=what, ok=False, mend=mend))
    return found


def _typed_replies(service: Service) -> list[CheckResult]:
    """Whether cards offer answers in words; that they do not is no fault."""
    replies, found = CardReplies(service.journal, service.clock), []
    for role in ("chat", FALLBACK):
        if service.roles.has(role):
            chat = cast(Chat, service.roles.connector(role))
            why = replies.why_not(chat)
            what = f"{role} ({chat.name}): typed answers are {'' if why is None else 'not '}taken"
            found.append(CheckResult(what=what, ok=True, mend=why))
    return found


def _standing(journal: Journal, config: Config) -> list[CheckResult]:
    if config.mode is not Mode.ACT:
        return [CheckResult(what=f"mode {config.mode}", ok=True)]
    with journal.read() as tx:
        armed = arming.arming(tx)
    if armed is None:
        mend = "not armed: nothing is contained before stockade arm --reason …"
        return [CheckResult(what="mode act", ok=False, mend=mend)]
    return [CheckResult(what=f"mode act, armed by {armed.actor}: {armed.reason}", ok=True)]


def lint_files(paths: Sequence[Path]) -> Result:
    """Lint playbook files; without any, the shipped ones. Exit code 1 when there is a finding."""
    faults: list[Fault] = []
    texts = {str(path): path for path in paths}
    count = len(texts)
    for file, path in texts.items():
        try:
            find = neighbours(path.parent)
            faults += lint_text(path.read_text(encoding="utf-8"), file, CATALOGUE, find)
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "is not UTF-8 text"
            faults.append(
                Fault(file=file, line=1, column=1, code="file", text=str(why), mend="Name a file.")
            )
    if not paths:
        shipped = shipped_playbooks()
        count = len(shipped)
        for name, text in shipped.items():
            faults += lint_text(text, f"{name} (shipped)", CATALOGUE, neighbours(None))
    lines = [str(fault) for fault in faults] or [f"{count} playbook(s), no findings"]
    data = {"playbooks": count, "findings": [plain(fault) for fault in faults]}
    return Result(code=1 if faults else 0, data=data, text="\n".join(lines))
