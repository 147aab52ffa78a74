"""What a containment's step asks for, and what its devices' outcomes come to. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from connectors.base import Effect
from connectors.model import Device
from runner.config import Mode
from runner.context import Question, Target
from runner.effects import plain
from runner.isolation import Outcome

MOST_ITEMS = 10
"""Devices in one question: a card shows each of them, and has a veto for each."""
WORST_FIRST = (
    "unknown",
    "failed",
    "void",
    "requested",
    "denied",
    "no_device",
    "observed",
    "practised",
    "confirmed",
    "released",
)


class Plan(Struct, frozen=True, kw_only=True):
    """One containment or release as a playbook's step asks for it."""

    path: str
    action: str
    effect: Effect
    targets: tuple[Target, ...]
    reason: str
    quorum: int
    rank: int
    drops_all: bool = False
    """A release: lift it whoever else holds it."""
    lease_h: float | None = None
    """An isolation: for how many hours it stands without being renewed; None: no end."""


def distinct(targets: Sequence[Target]) -> tuple[Target, ...]:
    """Each device once, in the order given."""
    seen: set[str] = set()
    kept: list[Target] = []
    for target in targets:
        devices = tuple(device for device in target.devices if device.subject not in seen)
        if devices or not target.devices:
            kept.append(msgspec.structs.replace(target, devices=devices))
        seen.update(device.subject for device in devices)
    return tuple(kept)


def is_askable(target: Target, count: int) -> bool:
    """An unproved target can only be picked alone; in a wave it is left out, and said."""
    return bool(target.devices) and (target.proved or count == 1)


def without_device(targets: Sequence[Target]) -> dict[str, Outcome]:
    """Outcomes of targets that no question can be asked about."""
    left: dict[str, Outcome] = {}
    for place, target in enumerate(targets):
        if not target.devices:
            left[f"none-{place}"] = Outcome(
                device_id="", hostname="", subject="", state="no_device", why=target.proof
            )
        elif not is_askable(target, len(targets)):
            for device in target.devices:
                left[device.device_id] = Outcome.of(device, "no_device", target.proof)
    return left


def question(
    plan: Plan,
    n: int,
    targets: Sequence[Target],
    pending: dict[str, Device],
    *,
    pick: bool,
    mode: Mode,
) -> Question:
    """What is asked next: so many devices as one card can show, each with a veto of its own."""
    asked: list[Target] = []
    for target in targets:
        if len(asked) == MOST_ITEMS:
            break
        devices = tuple(device for device in target.devices if device.device_id in pending)
        if devices:
            asked.append(msgspec.structs.replace(target, devices=devices))
    return Question(
        path=plan.path,
        n=n,
        action=plan.action,
        effect=plan.effect,
        targets=tuple(asked),
        pick=pick,
        quorum=plan.quorum,
        reason=plan.reason,
        rank=plan.rank,
        mode=mode,
        lease_h=plan.lease_h,
    )


def result(plan: Plan, outcomes: dict[str, Outcome]) -> dict[str, Any]:
    states = [outcome.state for outcome in outcomes.values()]
    state = min(states, key=WORST_FIRST.index) if states else "no_device"
    shown = "; ".join(outcome.sentence() for outcome in outcomes.values())
    return {
        "state": state,
        "summary": shown or "there was no device to act on",
        "devices": plain(list(outcomes.values())),
    }
