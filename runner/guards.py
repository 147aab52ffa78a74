"""May this be done? A visible tuple of small functions; the strictest answer wins.

Each guard sees facts, never a product, and gives one ruling with a reason that a person can read.
There is no guard that turns a `deny` into something milder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum

from msgspec import Struct

from connectors.base import Effect
from connectors.model import Device, DeviceKind, IsolationState
from runner.own_hosts import own_host
from runner.protected import ProtectedAssets


class Ruling(StrEnum):
    """Ordered from mild to strict."""

    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


_STRICTNESS = {Ruling.ALLOW: 0, Ruling.ASK: 1, Ruling.DENY: 2}


class GuardAnswer(Struct, frozen=True, kw_only=True):
    guard: str
    ruling: Ruling
    reason: str


class Facts(Struct, frozen=True, kw_only=True):
    """What guards know: the device as the EDR shows it, the policy, and how much was done already.

    `fleet_size` None: the EDR did not say. `reserved` counts isolations that are about to be sent
    with this one, itself included.
    """

    effect: Effect
    device: Device
    is_proved: bool
    protected: ProtectedAssets
    allowed_effects: frozenset[Effect]
    isolated_last_hour: int
    isolated_now: int
    reserved: int
    fleet_size: int | None
    per_hour: int
    fleet_percent: float
    own_hosts: tuple[str, ...] = ()
    """The machines that the runner itself needs."""
    is_liftable: bool = True
    """For a release: the isolation is ours, or a person said by name that it may be lifted."""


LIFTABLE = (IsolationState.CONTAINED, IsolationState.CONTAIN_PENDING)
"""What can be let back: also what an offline device has not carried out yet."""


Guard = Callable[[Facts], GuardAnswer]


def allowed_effect(facts: Facts) -> GuardAnswer:
    """The configuration must allow the effect by name."""
    if facts.effect in facts.allowed_effects:
        return _answer(
            "allowed_effect", Ruling.ALLOW, f"{facts.effect} is allowed by configuration"
        )
    return _answer(
        "allowed_effect", Ruling.DENY, f"{facts.effect} is not in guards.allowed_effects"
    )


def protected_asset(facts: Facts) -> GuardAnswer:
    """A protected device is never contained; a release is not held up by it."""
    if facts.effect is not Effect.CONTAIN:
        return _answer("protected_asset", Ruling.ALLOW, "only containment is restricted")
    if facts.protected.faults:
        return _answer("protected_asset", Ruling.DENY, facts.protected.faults[0])
    rule = facts.protected.protects(facts.device)
    if rule is not None:
        return _answer("protected_asset", Ruling.DENY, f"protected by the rule «{rule}»")
    return _answer("protected_asset", Ruling.ALLOW, "no rule protects it")


def own_tools(facts: Facts) -> GuardAnswer:
    """What the runner works with is never contained: nobody could see or let a host back."""
    needed = own_host(facts.device, facts.own_hosts) if facts.effect is Effect.CONTAIN else None
    if needed is None:
        return _answer("own_tools", Ruling.ALLOW, "the runner does not depend on it")
    reason = f"the runner itself needs {needed.host}"
    if not needed.is_sure:
        reason += ", and it may be this one: it shares that address"
    return _answer("own_tools", Ruling.DENY, reason)


def device_kind(facts: Facts) -> GuardAnswer:
    """A domain controller is never contained by automation; what is no workstation is asked
    about."""
    kind = facts.device.kind
    if facts.effect is Effect.CONTAIN and kind is DeviceKind.DOMAIN_CONTROLLER:
        return _answer("device_kind", Ruling.DENY, "it is a domain controller")
    if kind is DeviceKind.WORKSTATION:
        return _answer("device_kind", Ruling.ALLOW, "it is a workstation")
    shown = "of unknown kind, treated as a server" if kind is DeviceKind.UNKNOWN else f"a {kind}"
    return _answer("device_kind", Ruling.ASK, f"it is {shown}")


def releasable(facts: Facts) -> GuardAnswer:
    """Only what the EDR shows as contained, or about to be, can be let back."""
    state = facts.device.state
    if facts.effect is not Effect.RELEASE or state in LIFTABLE:
        return _answer("releasable", Ruling.ALLOW, "nothing stands against it")
    return _answer(
        "releasable", Ruling.DENY, f"the EDR says {state}: only a contained device can be released"
    )


def made_by_us(facts: Facts) -> GuardAnswer:
    """What somebody else isolated is theirs to lift, unless a person says otherwise by name."""
    if facts.effect is not Effect.RELEASE or facts.is_liftable:
        return _answer("made_by_us", Ruling.ALLOW, "nothing stands against it")
    return _answer(
        "made_by_us",
        Ruling.DENY,
        "it was not isolated through this runner: only stockade release --foreign may lift it",
    )


def identity(facts: Facts) -> GuardAnswer:
    """An unproved identity is a person's choice, never the machine's."""
    if facts.is_proved:
        return _answer("identity", Ruling.ALLOW, "its identity is proved")
    return _answer("identity", Ruling.ASK, "its identity is not proved: a person must pick it")


def budget(facts: Facts) -> GuardAnswer:
    """So many isolations an hour, so large a part of the fleet, and no more."""
    if facts.effect is not Effect.CONTAIN:
        return _answer("budget", Ruling.ALLOW, "only containment is counted")
    planned = facts.isolated_last_hour + facts.reserved
    if planned > facts.per_hour:
        return _answer(
            "budget",
            Ruling.DENY,
            f"it would be isolation {planned} in an hour, of {facts.per_hour}",
        )
    if not facts.fleet_size:
        return _answer("budget", Ruling.DENY, "the size of the fleet is not known")
    standing = facts.isolated_now + facts.reserved
    most = int(facts.fleet_size * facts.fleet_percent / 100)
    if facts.fleet_percent > 0:
        # A small fleet may lose one device; only zero percent means none at all.
        most = max(1, most)
    if standing > most:
        return _answer(
            "budget",
            Ruling.DENY,
            f"{standing} of {facts.fleet_size} devices would be isolated; {most} are allowed",
        )
    return _answer("budget", Ruling.ALLOW, f"isolation {planned} of {facts.per_hour} in this hour")


def people(facts: Facts) -> GuardAnswer:
    """Cutting off and letting back in are decided by people."""
    if facts.effect in (Effect.CONTAIN, Effect.RELEASE):
        return _answer("people", Ruling.ASK, f"{facts.effect} needs people's consent")
    return _answer("people", Ruling.ALLOW, "no consent is needed")


def _answer(guard: str, ruling: Ruling, reason: str) -> GuardAnswer:
    return GuardAnswer(guard=guard, ruling=ruling, reason=reason)


GUARDS: tuple[Guard, ...] = (
    allowed_effect,
    protected_asset,
    own_tools,
    device_kind,
    releasable,
    made_by_us,
    identity,
    budget,
    people,
)
"""Every guard is asked, in this order; each answer is journalled."""


def rule(facts: Facts) -> list[GuardAnswer]:
    """What each guard answers."""
    return [guard(facts) for guard in GUARDS]


def strictest(answers: Sequence[GuardAnswer]) -> Ruling:
    """The ruling that counts; nothing asked means denied."""
    rulings = [answer.ruling for answer in answers]
    return max(rulings, key=_STRICTNESS.__getitem__) if rulings else Ruling.DENY


def denials(answers: Sequence[GuardAnswer]) -> str:
    """Why it is denied, as one sentence."""
    return "; ".join(answer.reason for answer in answers if answer.ruling is Ruling.DENY)
