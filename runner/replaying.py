"""Hits of the past through a playbook, with reads only; and how two versions of it differ."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import msgspec
from msgspec import Struct

from connectors.model import Clock, Row
from runner.alerts import make_alert
from runner.bundle import Bundle, neighbours
from runner.catalogue import CATALOGUE
from runner.config import Config, Mode, SearchConfig
from runner.electing import with_anybody
from runner.loading import load_bundle
from runner.playbook import PlaybookFaults
from runner.roles import Roles
from runner.routing import Unrouted
from runner.spool import Spool, SpooledHit
from runner.stage import Endless, PlayClock, Stage, assumed
from runner.stage_memory import Memory, digest_of, keep, take
from runner.staged import Played, played_in
from runner.stand_ins import Deed, EdrOverlay, WaitedSiem

TELL_EVERY = 25


class Replayed(Struct, frozen=True, kw_only=True):
    """What the hits came to. `why`: it can only observe; `unplayed`: hits that were not played, and
    `fault` why."""

    cases: tuple[Played, ...]
    hits: int
    unplayed: int = 0
    why: tuple[str, ...] = ()
    fault: str | None = None
    is_stopped: bool = False

    @property
    def is_whole(self) -> bool:
        return not self.unplayed and self.fault is None and not self.is_stopped


def unended(found: Replayed) -> list[str]:
    """Hits that were not played, and each case that did not come to its end, a sentence each: what
    they would have led to is unknown."""
    unplayed = [f"{found.unplayed} hit(s) were not played"] if found.unplayed else []
    return unplayed + [
        f"{case.at:%Y-%m-%d %H:%M} {case.host or '(no host)'}: the run {case.state}: {case.result}"
        for case in found.cases
        if case.state != "succeeded"
    ]


class Version(Struct, frozen=True, kw_only=True):
    """One version to be played: its name for people, and playbooks that replace configured ones."""

    name: str
    bundles: dict[str, Bundle] = {}


def spooled(row: Row, search: SearchConfig, siem: str) -> SpooledHit:
    """One row as a hit with its time."""
    alert = make_alert(
        row, siem=siem, search=search.name, identity=search.identity, fields=search.fields
    )
    at = alert.occurred_at or alert.indexed_at
    return SpooledHit(search=search.name, row=row, at=0.0 if at is None else at.timestamp())


def replay(
    folder: Path,
    config: Config,
    roles: Roles,
    clock: Clock,
    spool: Spool,
    version: Version,
    says: str,
    tell: Callable[[int, int], None],
    *,
    with_hunts: bool = True,
) -> Replayed:
    """Play every hit of the spool, on a journal in this folder; where a stop left one that fits, it
    goes on there. `clock` is the real one, for what is waited for at products; `tell` gets how many
    of how many are played."""
    if not len(spool):
        return Replayed(cases=(), hits=0)
    digest = _digest(config, version, spool, says, with_hunts=with_hunts)
    stopped = take(folder, digest)
    if stopped is None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
    stage = _stage(
        folder,
        config,
        roles,
        clock,
        _clock(stopped, spool, clock),
        version.bundles,
        says,
        with_hunts=with_hunts,
    )
    try:
        why = stage.open(stopped)
        before = 0 if stopped is None else stopped.done
        done, fault, is_stopped = _play(stage, config, version, spool, tell, before)
        found = Replayed(
            cases=played_in(stage.journal),
            hits=len(spool),
            unplayed=len(spool) - done,
            why=why,
            fault=fault,
            is_stopped=is_stopped,
        )
        # What did not come to its end is played anew, not gone on with.
        if is_stopped or not unended(found):
            keep(folder, stage.memory(digest, done))
        return found
    finally:
        stage.close()


def _clock(stopped: Memory | None, spool: Spool, clock: Clock) -> PlayClock:
    if stopped is not None:
        return PlayClock(stopped.began_at, stopped.now)
    first_at = spool.first_at()
    return PlayClock(datetime.fromtimestamp(first_at, UTC) if first_at else clock.now())


def _digest(config: Config, version: Version, spool: Spool, says: str, *, with_hunts: bool) -> str:
    """Of all that must be the same for going on: hits, playbooks, guards, answers."""
    parts = {
        "hits": spool.digest(),
        "says": f"{says} {with_hunts}",
        "rules": _written((config.guards, config.approvals, config.people, config.hunts)),
    }
    for search in config.searches.values():
        parts[f"search {search.name}"] = _written(search)
        parts[f"playbook {search.playbook}"] = _text_of(search.playbook, config)
    parts |= {f"played {name}": bundle.sha256 for name, bundle in version.bundles.items()}
    return digest_of(parts)


def _written(value: object) -> str:
    return msgspec.json.encode(value, enc_hook=str, order="deterministic").decode()


def _text_of(playbook: str, config: Config) -> str:
    try:
        return load_bundle(playbook, neighbours(config.playbook_dir), CATALOGUE).sha256
    except (KeyError, PlaybookFaults):
        return "not to be read"


def _stage(
    folder: Path,
    config: Config,
    roles: Roles,
    clock: Clock,
    play_clock: PlayClock,
    bundles: Mapping[str, Bundle],
    says: str,
    *,
    with_hunts: bool,
) -> Stage:
    deeds: list[Deed] = []
    hunts = config.hunts
    if not with_hunts:
        hunts = msgspec.structs.replace(hunts, index=None, security_index=None)
    played = msgspec.structs.replace(
        config,
        state_dir=folder,
        mode=Mode.ACT,
        heartbeat_url=None,
        retention=None,
        hunts=hunts,
        approvals=with_anybody(config.approvals, config.people),
    )
    products: dict[str, object] = {}
    if roles.has("edr"):
        products["edr"] = EdrOverlay(roles.edr, deeds)
    if roles.has("siem"):
        products["siem"] = WaitedSiem(roles.siem, clock)
    spoken = tuple(role for role in ("chat", "tickets") if roles.has(role))
    answer = assumed(played, says)
    return Stage(folder, played, play_clock, products, deeds, answer, bundles, spoken)


def _play(
    stage: Stage,
    config: Config,
    version: Version,
    spool: Spool,
    tell: Callable[[int, int], None],
    before: int,
) -> tuple[int, str | None, bool]:
    """How many hits were played; why not all; and whether somebody stopped it. `before`: so many
    were taken in by a rehearsal that was stopped."""
    configured = {one.playbook for one in config.searches.values()}
    done = before
    if before:
        tell(done, len(spool))
    try:
        for hit in islice(spool.in_order(), before, None):
            moment = datetime.fromtimestamp(hit.at, UTC)
            # What is due before the hit comes first, as it would have.
            stage.settle(moment)
            stage.clock.go_to(moment)
            search = config.searches[hit.search]
            # One that no search is configured with stands for whatever is.
            for name in version.bundles.keys() - configured:
                search = msgspec.structs.replace(search, playbook=name)
            stage.admit(search, hit.row, config.roles.get("siem", "siem"))
            done += 1
            if done % TELL_EVERY == 0:
                tell(done, len(spool))
        stage.settle()
    except KeyboardInterrupt:
        return done, None, True
    except (Unrouted, Endless) as fault:
        return done, str(fault), False
    return done, None, False


class Difference(Struct, frozen=True, kw_only=True):
    """One case that comes out otherwise: what was, and what is, a word a line."""

    case: Played
    lines: tuple[str, ...]


def differences(first: Replayed, second: Replayed) -> tuple[Difference, ...]:
    """Each case whose judgement, questions, isolations, refusals or end differ."""
    others = {(one.search, one.key, one.at): one for one in second.cases}
    found = []
    for one in first.cases:
        other = others.pop((one.search, one.key, one.at), None)
        lines = _lines(one, other) if other is not None else ("only the first has this case",)
        if lines:
            found.append(Difference(case=one, lines=lines))
    found += [
        Difference(case=other, lines=("only the second has this case",))
        for other in others.values()
    ]
    return tuple(found)


def _lines(one: Played, other: Played) -> tuple[str, ...]:
    pairs = (
        ("judgement", one.assessment, other.assessment),
        ("asked about", _asked(one), _asked(other)),
        ("isolated", ", ".join(one.isolated), ", ".join(other.isolated)),
        ("refused", "; ".join(one.refused), "; ".join(other.refused)),
        ("tells by", ", ".join(one.does), ", ".join(other.does)),
        ("end", f"{one.state}: {one.result}", f"{other.state}: {other.result}"),
    )
    return tuple(f"{what}: {was or '-'} → {now or '-'}" for what, was, now in pairs if was != now)


def _asked(one: Played) -> str:
    return "; ".join(f"{', '.join(asked.about)} ({asked.state})" for asked in one.asked)
