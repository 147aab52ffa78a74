"""Cutting off and letting back, with all that can go wrong at the EDR: once, and honestly."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.emulators.scenario import device_id
from runner import commands
from runner.isolation import Outcome
from runner.journal import approvals
from runner.journal.records import Approval, ApprovalState, LedgerState, RunStatus
from tests.world import World, running_world
from tests.world_settings import HOST, RESPONDER_B, malicious

CONTAIN: dict[str, Any] = {"method": "POST", "query": "action_name=contain"}
LIFT: dict[str, Any] = {"method": "POST", "query": "action_name=lift_containment"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path) as world:
        world.arm()
        yield world


def approved(world: World) -> Approval:
    """One question with a yes under it that nobody has read yet."""
    world.hit()
    world.tick()
    question = world.question()
    world.yes(question)
    return question


def isolated(world: World) -> Approval:
    question = approved(world)
    world.tick()
    assert world.isolation_state() is LedgerState.CONFIRMED
    return question


def said(world: World, question: Approval) -> str:
    return "\n".join(world.thread(question))


def ticket(world: World) -> str:
    return world.ticket_texts()[-1]


def code_of_parked(world: World) -> str:
    with world.journal.read() as tx:
        (row,) = tx.all("select scope, key from step where status = 'unknown'")
    return approvals.code_of(row[0], row[1])


# -- the plain way, and what is verified -----------------------------------------------------------


def test_contain_when_all_is_well_then_one_request_for_one_id_and_confirmed(world: World) -> None:
    question = isolated(world)
    (sent,) = world.asked_to("contain")
    assert json.loads(sent.body) == {"ids": [question.items[0].device.device_id]}
    assert "isolated, confirmed by the EDR" in said(world, question)
    assert "isolated, confirmed by the EDR's record" in ticket(world)
    kinds = [entry.kind for entry in world.entries() if entry.kind.startswith("ledger_")]
    assert kinds == ["ledger_requested", "ledger_accepted", "ledger_confirmed"]


def test_contain_when_it_was_contained_before_us_then_no_call_and_said_so(world: World) -> None:
    question = approved(world)
    world.falcon.set_device(HOST, status="contained")
    world.tick()
    assert world.asked_to("contain") == []
    assert "was isolated before us" in said(world, question)
    row = world.isolation()
    assert row is not None
    assert (row.state, row.is_ours) == (LedgerState.CONFIRMED, False)
    assert "it was isolated before us" in ticket(world)


def test_contain_when_the_sensor_never_acts_then_never_called_contained(world: World) -> None:
    question = approved(world)
    world.falcon.set_device(HOST, offline=True)
    world.ticks(4, every_s=60, linger_s=30)
    assert world.runs()[0].status is RunStatus.SUCCEEDED
    assert world.isolation_state() is LedgerState.ACCEPTED
    assert "NOT contained yet" in ticket(world)
    assert "confirmed" not in said(world, question).replace("NOT confirmed", "")
    assert len(world.asked_to("contain")) == 1
    assert "NOT contained" in str(world.card(question))


def test_contain_when_the_sensor_returns_after_the_run_then_the_follow_up_confirms(
    world: World,
) -> None:
    question = approved(world)
    world.falcon.set_device(HOST, offline=True)
    world.ticks(4, every_s=60, linger_s=30)
    before = ticket(world)
    world.ticks(3, every_s=3600)
    assert world.isolation_state() is LedgerState.ACCEPTED
    world.falcon.set_device(HOST, offline=False)
    world.ticks(2, every_s=60)
    row = world.isolation()
    assert row is not None
    assert (row.state, row.verified_at is not None) == (LedgerState.CONFIRMED, True)
    assert "NOT contained yet" in before
    assert "isolated, confirmed by the EDR's record" in ticket(world)
    assert "isolated, confirmed by the EDR" in said(world, question)
    assert len(world.asked_to("contain")) == 1


def test_contain_when_the_sensor_acts_later_then_the_run_waits_and_confirms(world: World) -> None:
    world.falcon.tune(contain_s=20)
    question = approved(world)
    world.tick(linger_s=5)
    assert "NOT contained" in ticket(world)
    world.tick(linger_s=60)
    assert world.isolation_state() is LedgerState.CONFIRMED
    assert "isolated, confirmed by the EDR" in said(world, question)


# -- lost answers ----------------------------------------------------------------------------------


def test_contain_when_the_answer_is_lost_after_the_effect_then_adopted_with_one_call(
    world: World,
) -> None:
    question = approved(world)
    world.falcon.misbehave(**CONTAIN, lose_answer=True)
    world.tick()
    assert len(world.asked_to("contain")) == len(world.contains()) == 1
    assert world.isolation_state() is LedgerState.CONFIRMED
    assert "found so at the EDR after a lost answer" in said(world, question)


def test_contain_when_the_request_is_lost_then_repeated_once_after_two_normal_reads(
    world: World,
) -> None:
    approved(world)
    world.falcon.misbehave(**CONTAIN, refuse=True)
    world.tick()
    assert len(world.asked_to("contain")) == 2
    assert world.contains() == [HOST]
    first = next(n for n, line in enumerate(world.sent) if line.endswith("action_name=contain"))
    second = next(n for n, line in enumerate(world.sent) if line.endswith("=contain") and n > first)
    reads = [line for line in world.sent[first:second] if "entities/devices/v2" in line]
    # Two that say normal, a settle time apart, and the last look before the call.
    assert len(reads) == 3
    assert world.isolation_state() is LedgerState.CONFIRMED


def test_contain_when_the_answer_is_lost_then_two_settle_times_go_by_before_the_repeat(
    tmp_path: Path,
) -> None:
    with running_world(tmp_path, {"connectors": {"falcon": {"settle_s": 90}}}) as world:
        world.arm()
        approved(world)
        world.falcon.misbehave(**CONTAIN, refuse=True)
        world.tick(linger_s=0)
        sent_after: dict[int, int] = {}
        for elapsed_s in range(30, 211, 30):
            world.clock.advance(30)
            world.tick(linger_s=0)
            sent_after[elapsed_s] = len(world.asked_to("contain"))
        # Read at 90 s and at 180 s; only then sent again.
        assert sent_after == {30: 1, 60: 1, 90: 1, 120: 1, 150: 1, 180: 2, 210: 2}


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500, "body": "{}"},
        {"status": 502, "body": "<html>", "content_type": "text/html"},
        {"status": 202, "body": "<html>maintenance</html>", "content_type": "text/html"},
        {"status": 202, "body": '{"resources":[{"id":"other"}],"errors":[]}'},
    ],
)
def test_contain_when_the_answer_says_nothing_and_nothing_happens_then_twice_and_a_person(
    world: World, fault: dict[str, Any]
) -> None:
    question = approved(world)
    world.falcon.misbehave(**CONTAIN, **fault, times=None)
    world.tick()
    assert len(world.asked_to("contain")) == 2
    (run,) = world.runs()
    assert run.status is RunStatus.PARKED
    assert world.isolation_state() is LedgerState.UNKNOWN
    assert "UNKNOWN whether it happened" in said(world, question)
    assert "treat as NOT contained" in ticket(world)
    last = world.ticks(3, every_s=600)[-1]
    assert any(f"stockade resolve {code_of_parked(world)}" in need for need in last.needs)
    assert len(world.asked_to("contain")) == 2
    assert "isolation FAILED, not contained" in ticket(world)


def test_contain_when_500_but_it_happened_then_adopted(world: World) -> None:
    question = approved(world)
    world.falcon.misbehave(**CONTAIN, status=500, body="{}", apply=True)
    world.tick()
    assert len(world.asked_to("contain")) == 1
    assert world.isolation_state() is LedgerState.CONFIRMED
    assert "found so at the EDR" in said(world, question)


def test_contain_when_the_runner_dies_after_the_call_then_looked_up_and_not_repeated(
    world: World,
) -> None:
    approved(world)
    world.falcon.misbehave(**CONTAIN, lose_answer=True)
    world.tick(linger_s=0)
    world.restart()
    world.ticks(2, every_s=10)
    assert len(world.asked_to("contain")) == 1
    assert world.isolation_state() is LedgerState.CONFIRMED


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [202, 409])
def test_contain_when_409_because_it_is_contained_then_adopted(world: World, status: int) -> None:
    world.falcon.tune(conflict_status=status)
    question = approved(world)

    def by_somebody_else() -> None:
        world.falcon.set_device(HOST, status="contained")

    world.before.append(("POST *action_name=contain", by_somebody_else))
    world.tick()
    assert len(world.asked_to("contain")) == 1
    assert world.contains() == []
    assert world.isolation_state() is LedgerState.CONFIRMED
    assert "found so at the EDR" in said(world, question)


def test_contain_when_409_though_it_is_normal_then_never_called_contained(world: World) -> None:
    question = approved(world)
    world.falcon.misbehave(**CONTAIN, status=409, body="{}", times=None)
    world.ticks(4, every_s=30)
    assert len(world.asked_to("contain")) == 2
    assert world.isolation_state() is LedgerState.UNKNOWN
    assert "UNKNOWN" in said(world, question)


@pytest.mark.parametrize("status", [400, 403])
def test_contain_when_refused_for_good_then_failed_and_a_person_is_told(
    world: World, status: int
) -> None:
    question = approved(world)
    world.falcon.misbehave(
        **CONTAIN, status=status, body='{"errors":[{"code":400,"message":"not supported"}]}'
    )
    world.tick()
    tick = world.tick()
    assert len(world.asked_to("contain")) == 1
    assert "FAILED, NOT done" in said(world, question)
    assert world.runs()[0].status is RunStatus.FAILED
    assert any("failed" in need for need in tick.needs)
    assert "FAILED" in ticket(world)
    with world.journal.read() as tx:
        assert tx.all("select * from subject") == []


def test_contain_when_the_edr_is_down_then_tried_again_while_the_yes_stands(world: World) -> None:
    approved(world)
    world.falcon.misbehave(status=503, body="{}", times=None)
    world.ticks(3, every_s=60)
    assert world.again(world.questions()[0]).state is ApprovalState.APPROVED
    world.falcon.behave()
    world.ticks(2, every_s=60)
    assert world.contains() == [HOST]


def test_contain_when_rate_limited_then_waits_as_told_and_sends_once(world: World) -> None:
    approved(world)
    world.falcon.misbehave(**CONTAIN, status=429, body="{}", headers={"Retry-After": "40"})
    world.tick(linger_s=10)
    assert world.contains() == []
    world.clock.advance(40)
    world.tick()
    assert world.contains() == [HOST]


# -- what changed since the question ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"hostname": "RENAMED-1"}, "its hostname changed since the question"),
        ({"machine_domain": "elsewhere.example.test"}, "its domain changed since the question"),
        (
            {"product_type": "3", "product_type_desc": "Server"},
            "its kind changed since the question",
        ),
        ({"status": "lift_containment_pending", "offline": True}, "the EDR says release_pending"),
    ],
)
def test_contain_when_the_device_changed_since_the_question_then_void_and_asked_anew(
    world: World, facts: dict[str, Any], why: str
) -> None:
    question = approved(world)
    world.falcon.devices[device_id(HOST)].update(facts)
    world.tick()
    assert world.asked_to("contain") == []
    assert why in said(world, question)
    again = world.question()
    assert again.n == 1
    assert world.message_id(again) != world.message_id(question)


def test_contain_when_void_three_times_then_nobody_is_asked_a_fourth_time(world: World) -> None:
    world.hit()
    world.tick()
    world.falcon.devices[device_id(HOST)]["hostname"] = "RENAMED-1"
    for _ in range(3):
        world.yes(world.question())
        world.tick()
    assert len(world.questions()) == 3
    assert world.questions(ApprovalState.OPEN) == []
    assert world.asked_to("contain") == []
    # That nobody could be cut off is a person's business from now on.
    assert world.runs()[0].status is RunStatus.FAILED
    assert any("void each time" in need for need in world.tick().needs)
    assert world.isolation_state("WORKSTATION5") in (None, LedgerState.NONE)


def test_contain_when_the_device_is_gone_then_void(world: World) -> None:
    question = approved(world)
    del world.falcon.devices[device_id(HOST)]
    world.tick()
    assert "the EDR no longer knows the device" in said(world, question)
    assert world.asked_to("contain") == []


def test_contain_when_paused_before_the_call_then_nothing_is_sent(world: World) -> None:
    question = approved(world)

    def pause() -> None:
        commands.pause(world.journal, "operator", "wait")

    world.before.append(("GET */reactions.get*", pause))
    world.tick()
    assert world.again(question).state is ApprovalState.APPROVED
    assert world.asked_to("contain") == []


# -- release ---------------------------------------------------------------------------------------


def released(world: World, before: Callable[[], None] | None = None) -> Approval:
    """An isolated host, and a yes for its release."""
    isolated(world)
    assert world.release(HOST).code == 0
    world.tick()
    question = world.question()
    assert world.card(question)["text"].startswith(f"RELEASE {HOST}? by 12:31 UTC")
    world.yes(question, RESPONDER_B)
    if before is not None:
        before()
    world.tick()
    return question


def test_release_when_all_is_well_then_one_request_and_confirmed(world: World) -> None:
    question = released(world)
    assert world.lifts() == [HOST]
    assert world.isolation_state() is LedgerState.RELEASED
    assert "released, confirmed by the EDR" in said(world, question)
    assert "released, confirmed by the EDR's record" in ticket(world)


def test_release_when_denied_then_it_stays_isolated(world: World) -> None:
    isolated(world)
    world.release(HOST)
    world.tick()
    world.no(world.question())
    world.tick()
    assert world.asked_to("lift_containment") == []
    assert world.isolation_state() is LedgerState.CONFIRMED


def test_release_when_the_host_is_not_ours_then_refused(world: World) -> None:
    found = world.release(HOST)
    assert found.code == 2
    assert "is not isolated through this runner" in found.text


def test_release_when_the_answer_is_lost_then_adopted_with_one_call(world: World) -> None:
    released(world, lambda: world.falcon.misbehave(**LIFT, lose_answer=True))
    assert len(world.asked_to("lift_containment")) == 1
    assert world.isolation_state() is LedgerState.RELEASED


def test_release_when_the_request_is_lost_then_repeated_once(world: World) -> None:
    released(world, lambda: world.falcon.misbehave(**LIFT, refuse=True))
    assert len(world.asked_to("lift_containment")) == 2
    assert world.lifts() == [HOST]
    assert world.isolation_state() is LedgerState.RELEASED


def test_release_when_refused_then_it_is_still_isolated_and_said(world: World) -> None:
    question = released(world, lambda: world.falcon.misbehave(**LIFT, status=403, body="{}"))
    assert "FAILED, NOT done" in said(world, question)
    assert world.isolation_state() is LedgerState.CONFIRMED
    assert world.tick().needs
    assert world.release(HOST).code == 0


def test_release_when_the_sensor_is_off_then_still_isolated_until_its_record_says_so(
    world: World,
) -> None:
    released(world, lambda: world.falcon.set_device(HOST, offline=True))
    world.ticks(3, every_s=60, linger_s=30)
    assert world.isolation_state() is LedgerState.RELEASE_REQUESTED
    assert "still isolated until confirmed" in ticket(world)
    world.falcon.set_device(HOST, offline=False)
    world.ticks(2, every_s=60)
    assert world.isolation_state() is LedgerState.RELEASED
    assert len(world.asked_to("lift_containment")) == 1


def test_release_when_somebody_released_it_already_then_no_call(world: World) -> None:
    question = released(world, lambda: world.falcon.set_device(HOST, status="normal"))
    assert world.asked_to("lift_containment") == []
    assert world.isolation_state() is LedgerState.RELEASED
    assert "released, confirmed by the EDR" in said(world, question)


def test_contain_when_released_before_then_a_new_hit_asks_anew(world: World) -> None:
    released(world)
    world.hit(cmdline=malicious(HOST, 2))
    world.tick()
    world.yes(world.question())
    world.tick()
    assert world.contains() == [HOST, HOST]
    assert world.isolation_state() is LedgerState.CONFIRMED


# -- unknown, and a person's word ------------------------------------------------------------------


@pytest.fixture
def parked(world: World) -> World:
    """Nobody knows whether the isolation happened."""
    approved(world)
    world.falcon.misbehave(**CONTAIN, status=500, body="{}", times=None)
    world.tick()
    assert world.runs()[0].status is RunStatus.PARKED
    world.falcon.behave()
    return world


def test_resolve_when_it_happened_then_the_device_is_read_before_it_counts(parked: World) -> None:
    parked.falcon.set_device(HOST, status="contained")
    assert parked.resolve(code_of_parked(parked).lower(), "happened").code == 0
    parked.tick()
    assert parked.isolation_state() is LedgerState.CONFIRMED
    assert parked.runs()[0].status is RunStatus.SUCCEEDED
    assert len(parked.asked_to("contain")) == 2
    (entry,) = parked.entries("outcome_resolved")
    assert (entry.actor, entry.payload) == ("operator", {"said": "happened"})


def test_resolve_when_a_person_says_happened_and_it_did_not_then_not_called_contained(
    parked: World,
) -> None:
    parked.resolve(code_of_parked(parked), "happened")
    parked.ticks(2, every_s=60)
    assert parked.isolation_state() is LedgerState.UNKNOWN
    assert parked.runs()[0].status is RunStatus.PARKED
    assert len(parked.asked_to("contain")) == 2


def test_resolve_when_it_did_not_happen_then_sent_again_while_the_yes_stands(
    parked: World,
) -> None:
    parked.resolve(code_of_parked(parked), "not")
    parked.tick()
    assert parked.contains() == [HOST]
    assert parked.isolation_state() is LedgerState.CONFIRMED


def test_resolve_when_it_did_not_happen_and_the_yes_is_old_then_asked_anew(parked: World) -> None:
    parked.clock.advance(3600)
    parked.resolve(code_of_parked(parked), "not")
    parked.tick()
    assert len(parked.asked_to("contain")) == 2
    assert parked.question().n == 1
    parked.no(parked.question())
    parked.tick()
    assert parked.isolation_state() is LedgerState.FAILED


def test_resolve_when_given_up_then_the_run_fails_and_the_host_may_be_asked_about_again(
    parked: World,
) -> None:
    parked.resolve(code_of_parked(parked), "stop")
    parked.tick()
    assert parked.runs()[0].status is RunStatus.FAILED
    assert parked.isolation_state() is LedgerState.UNKNOWN
    parked.hit(cmdline=malicious(HOST, 2))
    parked.tick()
    assert parked.question().run_id == parked.runs()[1].id


def test_resolve_when_the_code_is_nobodys_then_nothing_changes(parked: World) -> None:
    before = len(parked.entries())
    assert parked.resolve("XXXXX", "not").code == 2
    assert len(parked.entries()) == before


def test_unknown_when_the_record_later_says_contained_then_the_follow_up_adopts_it(
    parked: World,
) -> None:
    parked.falcon.set_device(HOST, status="contained")
    parked.ticks(2, every_s=900)
    assert parked.isolation_state() is LedgerState.CONFIRMED


def test_release_when_unknown_and_the_record_later_says_normal_then_released_and_free(
    world: World,
) -> None:
    released(world, lambda: world.falcon.misbehave(**LIFT, status=500, body="{}", times=None))
    assert world.isolation_state() is LedgerState.UNKNOWN
    assert world.runs()[-1].status is RunStatus.PARKED
    world.falcon.set_device(HOST, status="normal")
    world.ticks(2, every_s=900)
    assert world.isolation_state() is LedgerState.RELEASED
    world.hit(cmdline=malicious(HOST, 2))
    world.tick()
    assert world.question().effect == "contain"


def test_outcome_sentence_when_only_requested_then_says_not_confirmed() -> None:
    outcome = Outcome(device_id="a", hostname="WS-1", subject="s", state="requested")
    assert outcome.sentence() == "WS-1: requested, NOT confirmed"


def test_parked_run_when_its_call_was_urgent_then_other_hits_are_asked_about(
    parked: World,
) -> None:
    parked.hit(host="DESK-001-SYNTHETIC.corp.example.test", user="user1001")
    parked.tick()
    assert parked.question().items[0].device.hostname == "DESK-001-SYNTHETIC"


def test_isolate_when_the_budget_is_used_up_by_this_very_device_then_the_case_joins(
    tmp_path: Path,
) -> None:
    budget = {"guards": {"budget": {"per_hour": 1, "fleet_percent": 100}}}
    with running_world(tmp_path, budget) as world:
        world.arm()
        world.hit()
        world.tick()
        world.yes(world.question())
        world.ticks(3, every_s=30)
        assert world.contains() == [HOST]
        world.hit(cmdline=malicious(HOST, 2))
        world.ticks(3, every_s=30)
        row = world.isolation()
        assert row is not None
        assert sorted(row.holders) == sorted(case.id for case in world.cases())
        assert world.contains() == [HOST]
