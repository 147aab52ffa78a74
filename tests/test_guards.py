"""May this be done? Each guard alone at its border, and all of them over a real world."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from connectors.base import Effect
from connectors.emulators.scenario import device_id
from connectors.model import Device, DeviceKind, IsolationState
from runner.guards import GUARDS, Facts, GuardAnswer, Ruling, denials, rule, strictest
from runner.journal.records import ApprovalState, LedgerState
from runner.protected import ProtectedAssets
from tests.world import World, running_world
from tests.world_settings import HOST, malicious

DEVICE = Device(
    instance="falcon",
    tenant="demo",
    device_id="a" * 32,
    hostname="WS-042",
    domain="corp.example.test",
    kind=DeviceKind.WORKSTATION,
)
FACTS = Facts(
    effect=Effect.CONTAIN,
    device=DEVICE,
    is_proved=True,
    protected=ProtectedAssets(hosts=("DC-*",), sha256="x"),
    allowed_effects=frozenset(Effect),
    isolated_last_hour=0,
    isolated_now=0,
    reserved=1,
    fleet_size=100,
    per_hour=3,
    fleet_percent=2.0,
)


def answered(guard: str, **changes: Any) -> GuardAnswer:
    answers = rule(replace(FACTS, **changes))
    return next(answer for answer in answers if answer.guard == guard)


def kind(value: DeviceKind) -> dict[str, Any]:
    return {"device": replace(DEVICE, kind=value)}


def state(value: IsolationState) -> dict[str, Any]:
    return {"device": replace(DEVICE, state=value)}


RELEASE = {"effect": Effect.RELEASE}
RULINGS: list[tuple[str, dict[str, Any], Ruling]] = [
    ("allowed_effect", {}, Ruling.ALLOW),
    ("allowed_effect", {"allowed_effects": frozenset({Effect.RELEASE})}, Ruling.DENY),
    ("allowed_effect", {"allowed_effects": frozenset()}, Ruling.DENY),
    ("protected_asset", {}, Ruling.ALLOW),
    ("protected_asset", {"protected": ProtectedAssets(hosts=("WS-*",))}, Ruling.DENY),
    ("protected_asset", {"protected": ProtectedAssets(device_ids=("A" * 32,))}, Ruling.DENY),
    ("protected_asset", {"protected": ProtectedAssets(faults=("broken",))}, Ruling.DENY),
    (
        "protected_asset",
        {**RELEASE, "protected": ProtectedAssets(hosts=("WS-*",))},
        Ruling.ALLOW,
    ),
    ("own_tools", {"own_hosts": ("splunk.example.test", "192.0.2.7")}, Ruling.ALLOW),
    ("own_tools", {"own_hosts": ("ws-042.corp.example.test",)}, Ruling.DENY),
    ("own_tools", {**RELEASE, "own_hosts": ("ws-042.corp.example.test",)}, Ruling.ALLOW),
    ("device_kind", {}, Ruling.ALLOW),
    ("device_kind", kind(DeviceKind.SERVER), Ruling.ASK),
    ("device_kind", kind(DeviceKind.UNKNOWN), Ruling.ASK),
    ("device_kind", kind(DeviceKind.DOMAIN_CONTROLLER), Ruling.DENY),
    ("device_kind", {**RELEASE, **kind(DeviceKind.DOMAIN_CONTROLLER)}, Ruling.ASK),
    ("releasable", {}, Ruling.ALLOW),
    ("releasable", {**RELEASE, **state(IsolationState.CONTAINED)}, Ruling.ALLOW),
    ("releasable", {**RELEASE, **state(IsolationState.NORMAL)}, Ruling.DENY),
    ("releasable", {**RELEASE, **state(IsolationState.RELEASE_PENDING)}, Ruling.DENY),
    ("releasable", {**RELEASE, **state(IsolationState.UNKNOWN)}, Ruling.DENY),
    ("identity", {}, Ruling.ALLOW),
    ("identity", {"is_proved": False}, Ruling.ASK),
    ("budget", {"isolated_last_hour": 2}, Ruling.ALLOW),
    ("budget", {"isolated_last_hour": 3}, Ruling.DENY),
    ("budget", {"isolated_last_hour": 1, "reserved": 3}, Ruling.DENY),
    ("budget", {"per_hour": 0}, Ruling.DENY),
    ("budget", {"isolated_now": 1}, Ruling.ALLOW),
    ("budget", {"isolated_now": 2}, Ruling.DENY),
    ("budget", {"fleet_size": None}, Ruling.DENY),
    ("budget", {"fleet_size": 0}, Ruling.DENY),
    ("budget", {"fleet_size": 10}, Ruling.ALLOW),
    ("budget", {"fleet_size": 10, "isolated_now": 1}, Ruling.DENY),
    ("budget", {"fleet_percent": 0.0}, Ruling.DENY),
    ("budget", {**RELEASE, "isolated_last_hour": 9, "fleet_size": None}, Ruling.ALLOW),
    ("people", {}, Ruling.ASK),
    ("people", RELEASE, Ruling.ASK),
    ("people", {"effect": Effect.NOTIFY}, Ruling.ALLOW),
]


@pytest.mark.parametrize(("guard", "changes", "ruling"), RULINGS)
def test_guard_when_asked_at_its_border_then_rules_with_a_reason(
    guard: str, changes: dict[str, Any], ruling: Ruling
) -> None:
    answer = answered(guard, **changes)
    assert answer.ruling is ruling
    assert answer.reason


def test_rule_when_asked_then_every_guard_answers_in_order() -> None:
    names = [answer.guard for answer in rule(FACTS)]
    assert names == [guard.__name__ for guard in GUARDS]
    assert len(names) == len(set(names)) == 9


def test_strictest_when_one_denies_then_no_number_of_milder_answers_helps() -> None:
    def answer(ruling: Ruling) -> GuardAnswer:
        return GuardAnswer(guard="g", ruling=ruling, reason=f"because {ruling}")

    allow, ask, deny = map(answer, Ruling)
    assert strictest([allow, allow]) is Ruling.ALLOW
    assert strictest([allow, ask, allow]) is Ruling.ASK
    assert strictest([deny, ask, allow]) is strictest([allow, ask, deny]) is Ruling.DENY
    assert denials([allow, ask, deny, deny]) == "because deny; because deny"


def test_strictest_when_nobody_was_asked_then_denied() -> None:
    assert strictest([]) is Ruling.DENY


# -- over a world ----------------------------------------------------------------------------------


def started(world: World, host: str, user: str, **more: Any) -> None:
    world.arm()
    world.hit(host=host, user=user, **more)
    world.tick()


def denied_reasons(world: World) -> str:
    """Why the isolation was denied, as the journal holds it."""
    return " ".join(
        str(step.value)
        for run in world.runs()
        for key, step in world.steps(run).items()
        if "#rule." in key
    )


def test_guards_when_the_host_is_a_domain_controller_then_nobody_is_asked(tmp_path: Path) -> None:
    with running_world(tmp_path) as world:
        world.protect("host WORKSTATION50\n")
        started(world, "DC-SYNTHETIC.corp.example.test", r"CORP\svc-backup")
        assert world.questions() == []
        assert "it is a domain controller" in denied_reasons(world)
        assert world.asked_to("contain") == []
        assert "it is a domain controller" in "\n".join(
            str(step.value) for step in world.steps(world.runs()[0]).values()
        )


def test_guards_when_the_host_is_a_server_then_people_are_asked_and_told_so(
    tmp_path: Path,
) -> None:
    with running_world(tmp_path) as world:
        started(world, "INVENTORY1-SYNTHETIC.corp.example.test", r"CORP\svc-inventory")
        asked = world.question()
        assert asked.items[0].device.kind is DeviceKind.SERVER
        assert "it is a server" in denied_reasons(world)
        world.yes(asked)
        world.tick()
        assert world.contains() == ["INVENTORY1-SYNTHETIC"]


def test_guards_when_the_kind_is_unknown_then_asked_as_a_server(tmp_path: Path) -> None:
    with running_world(tmp_path) as world:
        world.falcon.set_device(HOST, product_type="9", product_type_desc="Toaster")
        started(world, HOST, r"WORKGROUP\wardog")
        assert world.question().items[0].device.kind is DeviceKind.UNKNOWN
        assert "of unknown kind, treated as a server" in denied_reasons(world)


@pytest.mark.parametrize(
    "rule_text",
    [
        "host WORKSTATION7-SYNTHETIC",
        "host workstation7-*",
        "host *.corp.example.test",
        f"id {device_id('WORKSTATION7-SYNTHETIC')}",
    ],
)
def test_guards_when_the_host_is_protected_then_denied_under_each_of_its_names(
    tmp_path: Path, rule_text: str
) -> None:
    with running_world(tmp_path) as world:
        world.protect(f"host DC-*\n{rule_text}\n")
        started(world, "WORKSTATION7-SYNTHETIC.corp.example.test", r"CORP\user7")
        assert world.questions() == []
        assert "protected by the rule" in denied_reasons(world)


def test_guards_when_the_effect_is_not_allowed_then_denied(tmp_path: Path) -> None:
    changes = {"guards": {"allowed_effects": ["investigate", "notify", "document", "release"]}}
    with running_world(tmp_path, changes) as world:
        started(world, HOST, r"WORKGROUP\wardog")
        assert world.questions() == []
        assert "contain is not in guards.allowed_effects" in denied_reasons(world)


def test_guards_when_the_host_is_protected_after_the_yes_then_nothing_is_sent(
    tmp_path: Path,
) -> None:
    with running_world(tmp_path) as world:
        started(world, HOST, r"WORKGROUP\wardog")
        asked = world.question()
        world.yes(asked)
        # The list changes in the last moment: when the device is read again just before the call.
        world.before.append(
            ("POST /devices/entities/devices/v2*", lambda: world.protect(f"host {HOST}\n"))
        )
        world.tick()
        assert world.again(asked).state is ApprovalState.APPROVED
        assert world.asked_to("contain") == []
        assert "protected by the rule" in "\n".join(world.thread(asked))
        assert world.isolation() is None or world.isolation_state() is LedgerState.NONE
        assert world.questions(ApprovalState.OPEN) == []


def test_guards_when_the_hour_is_spent_then_the_next_host_is_denied(tmp_path: Path) -> None:
    changes = {"guards": {"budget": {"per_hour": 1, "fleet_percent": 100}}}
    with running_world(tmp_path, changes) as world:
        started(world, HOST, r"WORKGROUP\wardog")
        world.yes(world.question())
        world.tick()
        world.hit(host="DESK-001-SYNTHETIC.corp.example.test", user="user1001")
        world.tick()
        assert "it would be isolation 2 in an hour, of 1" in denied_reasons(world)
        assert world.contains() == [HOST]
        world.clock.advance(3600)
        world.hit(host="DESK-002-SYNTHETIC.corp.example.test", user="user1002")
        world.tick()
        assert world.question().items[0].device.hostname == "DESK-002-SYNTHETIC"


@pytest.mark.parametrize(
    "budget", [{"per_hour": 1, "fleet_percent": 100}, {"per_hour": 9, "fleet_percent": 0.5}]
)
def test_guards_when_the_budget_fills_between_question_and_call_then_void(
    tmp_path: Path, budget: dict[str, Any]
) -> None:
    with running_world(tmp_path, {"guards": {"budget": budget}}) as world:
        world.arm()
        world.hit()
        world.hit(host="DESK-001-SYNTHETIC.corp.example.test", user="user1001")
        world.tick()
        first, second = world.questions(ApprovalState.OPEN)
        world.yes(first)
        world.yes(second)
        world.tick()
        assert len(world.contains()) == 1
        void = [q for q in (first, second) if "Nothing was sent to" in str(world.thread(q))]
        assert len(void) == 1
        assert world.questions(ApprovalState.OPEN) == []


def test_guards_when_each_search_finds_another_command_then_one_hour_still_counts_one_device(
    tmp_path: Path,
) -> None:
    """A second case on an isolated host uses up no budget."""
    with running_world(tmp_path, {"guards": {"budget": {"per_hour": 1}}}) as world:
        started(world, HOST, r"WORKGROUP\wardog")
        world.yes(world.question())
        world.tick()
        world.hit(cmdline=malicious(HOST, 2))
        world.tick()
        assert len(world.cases()) == 2
        assert all(run.status == "succeeded" for run in world.runs())
        assert world.contains() == [HOST]
