"""Which device an alert is about: proved only by what agrees, else a person's choice."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from connectors.base import Effect
from connectors.emulators.scenario import device_id
from connectors.model import Alert, Device, DeviceKind
from runner.config import Mode
from runner.context import Target
from runner.identity import LIVE_WITHIN, prove, says_own_name
from runner.isolation import Outcome
from runner.journal.records import ApprovalState, ChoiceRole, RunStatus
from runner.plan import Plan, distinct, is_askable, question, result, without_device
from tests.world import World, running_world
from tests.world_settings import HOST, RESPONDER_B, malicious

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
DEVICE = Device(
    instance="falcon",
    tenant="demo",
    device_id="a" * 32,
    hostname="WS-042",
    domain="corp.example.test",
    kind=DeviceKind.WORKSTATION,
    users=("ada",),
    addresses=("192.0.2.42",),
    last_seen_at=NOW,
)
OTHER = replace(DEVICE, device_id="b" * 32)
BARE = replace(DEVICE, domain=None, users=(), addresses=())


def alert(host: str | None = "ws-042", **more: Any) -> Alert:
    raw: dict[str, Any] = {} if host is None else {"Computer": host}
    return Alert(id="a", siem="s", search="x", raw=more.pop("raw", raw), host=host, **more)


def proved(told: Alert, *devices: Device, event: Alert | None = None) -> Target:
    return prove(told, event, devices, NOW)


# -- proved ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "clause"),
    [
        (alert("ws-042.corp.example.test"), "its domain corp.example.test agrees"),
        (alert(addresses=("192.0.2.42",)), "its address 192.0.2.42 agrees"),
        (alert(user=r"CORP\Ada"), "its logged-on user ada agrees"),
        (alert(user="ada@corp.example.test"), "its logged-on user"),
    ],
)
def test_prove_when_name_and_one_more_fact_agree_then_proved(told: Alert, clause: str) -> None:
    target = proved(told, DEVICE)
    assert (target.proved, target.devices) == (True, (DEVICE,))
    assert clause in target.proof


def test_prove_when_the_sensors_id_stands_in_the_alert_then_proved_without_more() -> None:
    assert proved(alert(device_id="a" * 32), BARE).proved
    assert proved(alert(None, device_id="a" * 32), BARE).proved


def test_prove_when_an_old_record_has_the_name_too_then_the_live_one_is_it() -> None:
    old = replace(OTHER, last_seen_at=NOW - LIVE_WITHIN)
    target = proved(alert("ws-042.corp.example.test"), old, DEVICE)
    assert (target.proved, target.devices) == (True, (DEVICE,))


# -- not proved ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "devices", "why"),
    [
        (alert(), (), "no device named ws-042"),
        (alert(), (BARE,), "only the name ws-042 agrees"),
        (alert(user="bo"), (DEVICE,), "only the name"),
        (alert(addresses=("192.0.2.43",)), (DEVICE,), "only the name"),
        (
            alert(addresses=("192.0.2.42",)),
            (replace(BARE, addresses=("192.0.2.42",), shared_addresses=("192.0.2.42",)),),
            "only the name",
        ),
        (alert("ws-042.elsewhere.example.test"), (DEVICE,), "is not the device's"),
        (
            alert("ws-042.elsewhere.example.test", user="ada"),
            (DEVICE,),
            "is not the device's corp.example.test",
        ),
        (alert(user="ada"), (DEVICE, OTHER), "2 live devices are named ws-042"),
        (
            alert(user="ada"),
            (replace(DEVICE, last_seen_at=NOW - timedelta(days=8)),),
            "was seen in the last 7 days",
        ),
        (alert(user="ada"), (replace(DEVICE, last_seen_at=None),), "was seen in the last 7 days"),
        (alert(user="ada", raw={"host": "ws-042"}), (DEVICE,), "may be a log collector"),
        (alert("ws-041", device_id="a" * 32), (DEVICE,), "belongs to WS-042, not to the host"),
    ],
)
def test_prove_when_anything_is_missing_or_contradicts_then_not_proved_and_says_why(
    told: Alert, devices: tuple[Device, ...], why: str
) -> None:
    target = proved(told, *devices)
    assert not target.proved
    assert why in target.proof
    assert set(target.devices) == set(devices)


def test_prove_when_the_event_itself_names_the_endpoint_then_the_collector_is_no_doubt() -> None:
    row = alert("collector-1", raw={"host": "collector-1"})
    event = alert("ws-042.corp.example.test")
    assert proved(row, DEVICE, event=event).proved


def test_prove_when_even_the_event_gives_only_the_sender_then_not_proved() -> None:
    row = alert("ws-042", raw={"host": "ws-042"}, user="ada")
    target = proved(row, DEVICE, event=row)
    assert not target.proved
    assert "may be a collector" in target.proof


def test_says_own_name_when_only_the_sender_field_has_it_then_no() -> None:
    assert says_own_name(alert())
    assert not says_own_name(alert(raw={"host": "ws-042"}))
    assert not says_own_name(alert(None))


# -- what a step asks for --------------------------------------------------------------------------

GOOD = Target(proved=True, proof="p", devices=(DEVICE,))
OPEN = Target(proved=False, proof="two", devices=(DEVICE, OTHER))
NONE = Target(proved=False, proof="no such device", devices=())


def plan(*targets: Target) -> Plan:
    return Plan(
        path="/isolate",
        action="edr.isolate_host",
        effect=Effect.CONTAIN,
        targets=targets,
        reason="r",
        quorum=1,
        rank=3,
    )


def test_distinct_when_a_device_comes_twice_then_once() -> None:
    assert distinct([GOOD, GOOD]) == (GOOD,)
    assert distinct([NONE, GOOD]) == (NONE, GOOD)


def test_plan_when_an_unproved_target_is_in_a_wave_then_left_out_and_said() -> None:
    assert is_askable(OPEN, 1)
    assert not is_askable(OPEN, 2)
    assert not is_askable(NONE, 1)
    left = without_device([GOOD, OPEN, NONE])
    assert {outcome.state for outcome in left.values()} == {"no_device"}
    assert {outcome.why for outcome in left.values()} == {"two", "no such device"}
    assert without_device([GOOD]) == {}


def test_question_when_a_device_is_settled_then_only_the_rest_is_asked_about() -> None:
    asked = question(
        plan(GOOD, OPEN), 1, [GOOD, OPEN], {OTHER.device_id: OTHER}, pick=False, mode=Mode.ACT
    )
    assert [target.devices for target in asked.targets] == [(OTHER,)]
    assert (asked.n, asked.path) == (1, "/isolate")


def test_question_when_there_are_more_devices_than_a_card_shows_then_only_so_many() -> None:
    devices = [replace(DEVICE, device_id=f"{number:032x}") for number in range(12)]
    targets = [Target(proved=True, proof="sure", devices=(device,)) for device in devices]
    pending = {device.device_id: device for device in devices}
    first = question(plan(*targets), 0, targets, pending, pick=False, mode=Mode.ACT)
    assert [target.devices[0] for target in first.targets] == devices[:10]
    for device in devices[:10]:
        del pending[device.device_id]
    rest = question(plan(*targets), 1, targets, pending, pick=False, mode=Mode.ACT)
    assert [target.devices[0] for target in rest.targets] == devices[10:]


@pytest.mark.parametrize("worse", ["unknown", "failed", "void", "requested", "denied"])
def test_result_when_one_device_is_not_confirmed_then_the_step_is_no_better(worse: str) -> None:
    outcomes = {
        "a": Outcome.of(DEVICE, "confirmed"),
        "b": Outcome.of(OTHER, worse, "because"),
    }
    found = result(plan(), outcomes)
    assert found["state"] == worse
    assert "because" in found["summary"]
    assert len(found["devices"]) == 2


def test_result_when_there_was_no_device_then_no_device() -> None:
    assert result(plan(), {})["state"] == "no_device"


# -- over a world ----------------------------------------------------------------------------------


def two_of_one_name(world: World) -> tuple[str, str]:
    """A second live device gets the host's name; both ids."""
    return device_id(HOST), world.falcon.add_device(HOST)


def test_pick_when_two_live_devices_have_the_name_then_a_person_picks_and_one_is_cut(
    tmp_path: Path,
) -> None:
    with running_world(tmp_path) as world:
        world.arm()
        first, second = two_of_one_name(world)
        world.hit()
        world.tick()
        asked = world.question()
        roles = [choice.role for choice in asked.choices]
        assert roles == [ChoiceRole.PICK, ChoiceRole.PICK, ChoiceRole.DENY]
        assert {choice.device_id for choice in asked.choices} == {first, second, None}
        assert "ISOLATE one of" in world.card(asked)["text"]
        world.yes(asked)
        world.tick()
        assert world.asked_to("contain") == []
        world.pick(asked, second, RESPONDER_B)
        world.tick()
        assert world.contains() == [HOST]
        assert world.falcon.devices[second]["status"] == "contained"
        assert world.falcon.devices[first]["status"] == "normal"
        assert world.again(asked).chosen == (second,)
        assert world.questions(ApprovalState.OPEN) == []


def test_pick_when_somebody_says_no_then_no_candidate_is_cut(tmp_path: Path) -> None:
    with running_world(tmp_path) as world:
        world.arm()
        two_of_one_name(world)
        world.hit()
        world.tick()
        world.pick(world.question(), device_id(HOST))
        world.no(world.question(), RESPONDER_B)
        world.tick()
        assert world.asked_to("contain") == []


def test_identity_when_only_the_name_agrees_then_a_person_must_pick_it(tmp_path: Path) -> None:
    with running_world(tmp_path) as world:
        world.arm()
        world.hit(user=r"WORKGROUP\somebody-else")
        world.tick()
        asked = world.question()
        assert "only the name" in asked.items[0].proof
        assert "only the name" in str(world.card(asked)["blocks"])
        assert [choice.role for choice in asked.choices] == [ChoiceRole.PICK, ChoiceRole.DENY]
        world.pick(asked, device_id(HOST))
        world.tick()
        assert world.contains() == [HOST]


def test_identity_when_the_name_is_only_the_senders_then_never_proved(tmp_path: Path) -> None:
    """`host` is a log collector which the EDR knows as a device of its own."""
    with running_world(tmp_path) as world:
        world.arm()
        world.hit(host="INVENTORY1-SYNTHETIC", user=r"CORP\svc-inventory")
        for event in world.splunk._added:
            for name in ("Computer", "Hostname"):
                event.row.pop(name, None)
        world.tick()
        asked = world.question()
        assert "collector" in asked.items[0].proof
        assert all(choice.role is not ChoiceRole.APPROVE for choice in asked.choices)


def test_identity_when_a_longer_name_begins_the_same_then_only_the_exact_one(
    tmp_path: Path,
) -> None:
    with running_world(tmp_path) as world:
        world.arm()
        world.hit()
        world.tick()
        (item,) = world.question().items
        assert item.device.hostname == HOST
        assert item.device.device_id == device_id(HOST)


@pytest.mark.parametrize("host", ["NOWHERE-1", "WORKSTATION"])
def test_identity_when_the_edr_does_not_know_the_host_then_people_are_told_to_do_it_by_hand(
    tmp_path: Path, host: str
) -> None:
    with running_world(tmp_path) as world:
        world.arm()
        world.hit(host=host, cmdline=malicious(host))
        world.tick()
        assert world.questions() == []
        (message,) = world.cards()
        assert message["text"].startswith("URGENT, isolate by hand")
        assert world.asked_to("contain") == []


def test_identity_when_too_many_names_begin_alike_then_the_run_goes_on_and_nobody_is_told_a_guess(
    tmp_path: Path,
) -> None:
    with running_world(tmp_path) as world:
        world.arm()
        many = {"meta": {"pagination": {"total": 5001}}, "resources": ["a" * 32], "errors": []}
        where = {"path": "*queries/devices*", "query": "*hostname*"}
        world.falcon.misbehave(**where, status=200, body=json.dumps(many), times=None)
        world.hit()
        world.tick()
        (message,) = world.cards()
        assert message["text"].startswith(f"URGENT, isolate by hand: {HOST}, which Stockade cannot")
        assert "it cannot be asked: 5001 devices have names that begin with" in message["text"]
        assert "does not manage" not in message["text"]
        assert [run.status for run in world.runs()] == [RunStatus.SUCCEEDED]
        assert world.asked_to("contain") == []


def test_proof_when_the_alert_names_no_host_then_it_does_not_say_that_the_edr_was_asked() -> None:
    target = prove(replace(alert(None), host_candidates=()), None, (), NOW)
    assert target.proof == "the alert names no host, so the EDR was not asked for one"
