"""The shipped playbook of a release: once it acts, once it is stopped, once it watches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.bundle import neighbours
from runner.catalogue import CATALOGUE
from runner.journal.records import ApprovalState, LedgerState, Run, RunStatus
from runner.loading import load_bundle
from tests.world import World, running_world
from tests.world_settings import HOST, RESPONDER_B


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A host that was isolated with people's yes."""
    with running_world(tmp_path) as world:
        world.arm()
        world.hit()
        world.tick()
        world.yes(world.question())
        world.ticks(2, every_s=30)
        assert world.isolation_state() is LedgerState.CONFIRMED
        yield world


def release_run(world: World) -> Run:
    return next(run for run in world.runs() if run.playbook == "release-host")


def test_release_host_when_people_agree_then_the_host_is_back_and_proved(world: World) -> None:
    assert world.release(HOST).code == 0
    world.tick()
    world.yes(world.question(), RESPONDER_B)
    world.ticks(2, every_s=30)
    assert world.lifts() == [HOST]
    assert world.isolation_state() is LedgerState.RELEASED
    run = release_run(world)
    assert run.status is RunStatus.SUCCEEDED
    shipped = load_bundle("release-host", neighbours(None), CATALOGUE)
    assert run.bundle_sha256 == shipped.sha256
    assert "/release#do.0" in "".join(world.steps(run))


def test_release_host_when_people_refuse_then_it_stays_isolated(world: World) -> None:
    world.release(HOST)
    world.tick()
    world.no(world.question(), RESPONDER_B)
    world.ticks(2, every_s=30)
    assert world.asked_to("lift_containment") == []
    assert world.isolation_state() is LedgerState.CONFIRMED
    assert release_run(world).status is RunStatus.SUCCEEDED


def test_release_host_when_nobody_answers_then_it_stays_isolated(world: World) -> None:
    world.release(HOST)
    world.tick()
    question = world.question()
    world.ticks(2, every_s=1800)
    assert world.again(question).state is ApprovalState.EXPIRED
    assert world.asked_to("lift_containment") == []
    assert world.isolation_state() is LedgerState.CONFIRMED


def test_release_host_when_only_practising_then_nothing_is_sent(world: World) -> None:
    world.restart({"mode": "practice"})
    world.release(HOST)
    world.tick()
    world.yes(world.question(), RESPONDER_B)
    world.ticks(2, every_s=30)
    assert world.asked_to("lift_containment") == []
    assert world.isolation_state() is LedgerState.CONFIRMED


def test_release_host_when_a_folder_of_playbooks_is_configured_then_it_is_still_the_shipped(
    world: World,
) -> None:
    """A release must be possible whatever the folder holds."""
    folder = world.folder / "own"
    folder.mkdir()
    (folder / "release-host.yaml").write_text("playbook: release-host\n")
    world.restart({"playbook_dir": "own"})
    assert world.release(HOST).code == 0
    world.tick()
    world.yes(world.question(), RESPONDER_B)
    world.ticks(2, every_s=30)
    assert world.lifts() == [HOST]


def test_release_host_when_a_target_is_given_that_no_step_found_then_nothing_is_asked(
    world: World,
) -> None:
    world.release(HOST)
    with world.journal.write() as tx:
        tx.change(
            "update run set body = json_set(body, '$.inputs.target', json('{\"device_id\": 1}'))"
            " where body like '%release-host%'"
        )
    world.tick()
    run = release_run(world)
    assert run.status is RunStatus.FAILED
    assert run.error == ("playbook: release-host.yaml: the input `target` must be of type target")
    assert world.questions(ApprovalState.OPEN) == []
