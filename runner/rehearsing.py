"""One rehearsal file, played: the playbook on canned answers, and where it went another way than
the file says. A call that the file does not foresee is a failure that names it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from connectors.model import Answer, IsolationState, SavedSearch
from runner.bundle import Bundle, neighbours
from runner.canned import PROTECTED, SIEM, CannedEdr, CannedSiem
from runner.catalogue import CATALOGUE
from runner.config import Approvals, Budget, Config, Guards, Hunts, Mode, Person, SearchConfig
from runner.context import Target
from runner.effects import plain
from runner.journal.records import Approval, ChoiceRole
from runner.loading import load_bundle
from runner.rehearsal_file import AnswerShape, RehearsalShape
from runner.stage import Endless, PlayClock, Stage
from runner.staged import Played, played_in
from runner.stand_ins import Deed, EdrOverlay


class Rehearsed(Struct, frozen=True, kw_only=True):
    """What one file came to; without `faults` it went as written."""

    file: str
    name: str
    playbook: str
    faults: tuple[str, ...]
    calls: tuple[Deed, ...] = ()


class _People:
    """Gives the file's answers, each to the question that it is about, once."""

    def __init__(self, file: RehearsalShape, faults: list[str]) -> None:
        self._left = list(file.people)
        self._quorum = file.policy.quorum
        self._faults = faults

    def answer(self, asked: Approval) -> tuple[Answer, ...]:
        about = {item.device.hostname for item in asked.items} or {asked.reason}
        said = next((one for one in self._left if set(one.about) == about), None)
        if said is None:
            shown = ", ".join(sorted(about))
            self._faults.append(f"unexpected question about {shown}: nobody's answer is given")
            return ()
        self._left.remove(said)
        return tuple(
            Answer(account=f"U{number}", choice=emoji)
            for number in range(max(self._quorum, asked.quorum))
            for emoji in self._emojis(asked, said)
        )

    def _emojis(self, asked: Approval, said: AnswerShape) -> list[str]:
        if said.says == "silence":
            return []
        hosts = {item.device.device_id: item.device.hostname for item in asked.items}
        found = []
        for one in asked.choices:
            host = hosts.get(one.device_id or "")
            is_said = {
                ChoiceRole.APPROVE: said.says == "agree",
                ChoiceRole.DENY: said.says == "refuse",
                ChoiceRole.PICK: host is not None and host == said.says,
                ChoiceRole.VETO: host in said.veto,
                ChoiceRole.ANSWER: one.choice.name == said.says,
            }[one.role]
            if is_said:
                found.append(one.choice.emoji)
        if not found:
            offered = ", ".join(one.role.value for one in asked.choices)
            self._faults.append(f"the card offers no answer {said.says}; it offers {offered}")
        return found

    def unasked(self) -> list[str]:
        return [f"nobody was asked about {', '.join(one.about)}" for one in self._left]


def rehearse_file(path: Path, file: RehearsalShape, folder: Path) -> Rehearsed:
    """Play one file in an empty folder of its own. Errors: `KeyError`, `PlaybookFaults`, and what
    reading a file raises, for a playbook that may not be started."""
    bundle = _bundle(path, file)
    faults: list[str] = []
    deeds: list[Deed] = []
    people = _People(file, faults)
    canned = CannedEdr(file)
    edr = EdrOverlay(canned, deeds)
    without = file.given.without
    products = {"siem": CannedSiem(file, faults), "edr": edr}
    stage = Stage(
        folder / "journal",
        _config(file, bundle, folder),
        PlayClock(file.start),
        {role: one for role, one in products.items() if role not in without},
        deeds,
        people.answer,
        {bundle.name: bundle},
        tuple(role for role in ("chat", "tickets") if role not in without),
    )
    try:
        if why := stage.open():
            faults += [f"it can only observe: {one}" for one in why]
        _begin(stage, file, bundle, canned, edr)
        stage.settle()
        (played,) = played_in(stage.journal)
        isolated = [
            one.hostname
            for one in map(edr.read_device, (device.device_id for device in canned.devices))
            if one.state is IsolationState.CONTAINED
        ]
        faults += [*_compared(file, played, deeds, isolated), *people.unasked()]
    except Endless as fault:
        faults.append(str(fault))
    finally:
        stage.close()
    return Rehearsed(
        file=str(path),
        name=file.rehearsal,
        playbook=bundle.name,
        faults=tuple(dict.fromkeys(faults)),
        calls=tuple(deeds),
    )


def _bundle(path: Path, file: RehearsalShape) -> Bundle:
    if not file.playbook.endswith(".yaml"):
        return load_bundle(file.playbook, neighbours(None), CATALOGUE)
    playbook = path.parent / file.playbook
    return load_bundle(playbook.stem, neighbours(playbook.parent), CATALOGUE)


def _config(file: RehearsalShape, bundle: Bundle, folder: Path) -> Config:
    protected = folder / "protected.txt"
    rules = "".join(f"host {name}\n" for name in (PROTECTED, *file.given.protected))
    protected.write_text(rules, encoding="utf-8")
    policy = file.policy
    people = {
        f"person-{number}": Person(name=f"person-{number}", account=f"U{number}")
        for number in range(5)
    }
    return Config(
        state_dir=folder / "journal",
        mode=Mode.ACT,
        people=people,
        roles={"siem": SIEM, "edr": "edr", "chat": "chat", "tickets": "tickets"},
        searches={"rehearsal": _search(bundle.name)},
        approvals=Approvals(approvers=tuple(people), quorum=policy.quorum),
        guards=Guards(
            protected_file=protected,
            allowed_effects=frozenset(policy.allowed_effects),
            budget=Budget(per_hour=policy.per_hour, fleet_percent=policy.fleet_percent),
        ),
        hunts=Hunts(index=policy.index, security_index=policy.security_index),
        runs_at_once=1,
    )


def _search(playbook: str) -> SearchConfig:
    return SearchConfig(
        name="rehearsal", saved_search=SavedSearch(name="rehearsal"), playbook=playbook
    )


def _begin(
    stage: Stage, file: RehearsalShape, bundle: Bundle, canned: CannedEdr, edr: EdrOverlay
) -> None:
    inputs: dict[str, Any] = dict(file.inputs)
    if file.target is not None:
        device = canned.named(file.target)
        proof = "the rehearsal names it"
        inputs["target"] = plain(Target(proved=True, proof=proof, devices=(device,)))
    case_id = stage.begin(_search(bundle.name), file.row, SIEM, bundle, inputs)
    for name in file.given.isolated:
        device = canned.named(name)
        edr.put(device.device_id, IsolationState.CONTAINED)
        stage.hold(device, case_id if name == file.target else "an earlier case")


def _compared(
    file: RehearsalShape, played: Played, deeds: Sequence[Deed], isolated: list[str]
) -> list[str]:
    """Where it went another way, a sentence each."""
    expect = file.expect
    faults = _calls(
        [Deed(call=one.call, target=one.target) for one in expect.calls],
        list(deeds),
    )
    pairs: list[tuple[str, object, object]] = [
        ("the run", expect.run, played.state),
        ("isolated at the end", sorted(expect.isolated), sorted(isolated)),
    ]
    if expect.assessment is not None:
        pairs.append(("the assessment", expect.assessment.value, played.assessment))
    if expect.reason is not None:
        pairs.append(("the run's reason", expect.reason, played.result))
    if expect.refused is not None:
        pairs.append(("refused", list(expect.refused), list(played.refused)))
    for what, wanted, got in pairs:
        if wanted != got:
            more = f" ({played.result})" if what == "the run" else ""
            faults.append(f"{what}: expected {_said(wanted)}, got {_said(got)}{more}")
    return faults


def _calls(wanted: list[Deed], got: list[Deed]) -> list[str]:
    faults = []
    for number in range(max(len(wanted), len(got))):
        want = wanted[number] if number < len(wanted) else None
        have = got[number] if number < len(got) else None
        if want == have:
            continue
        if want is None:
            faults.append(f"unexpected call {number + 1}: {have}")
        elif have is None:
            faults.append(f"call {number + 1} was not made: {want}")
        else:
            faults.append(f"call {number + 1}: expected {want}; got {have}")
    return faults


def _said(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "nothing"
    return str(value)
