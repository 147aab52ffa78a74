"""How far the runner may go: observe, practice, act, and whatever holds it back."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner import arming, commands
from runner.config import Mode
from runner.journal import Journal
from runner.journal.records import ApprovalState, RunStatus
from tests.world import World, running_world
from tests.world_settings import HOST, malicious

NO_WRITES = {"falcon": 0, "slack": 0, "jira": 0}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path) as world:
        yield world


def standing(world: World) -> arming.Standing:
    with world.journal.read() as tx:
        return arming.standing(tx, world.config)


def assert_only_observed(world: World) -> None:
    """A whole round over a hit: judged, and nothing was written anywhere."""
    world.hit(cmdline=malicious(HOST, len(world.cases()) + 1))
    world.ticks(2, every_s=30)
    assert world.writes() == NO_WRITES
    assert world.questions() == []
    last = world.runs()[-1]
    assert last.status is RunStatus.SUCCEEDED
    isolate = [step for key, step in world.steps(last).items() if "isolate#rule.0" in key]
    assert isolate[0].value["mode"] == "observe"
    assert world.cases()[-1].assessment is not None


# -- modes -----------------------------------------------------------------------------------------


def test_observe_when_a_hit_comes_then_judged_and_no_product_is_written_to(tmp_path: Path) -> None:
    with running_world(tmp_path, {"mode": "observe"}) as world:
        assert_only_observed(world)
        asked = {line.partition("?")[0] for line in world.sent if "/api/" in line}
        assert asked == set()
        assert commands.arm(world.service, "a", "b").code == 2


def test_observe_when_the_host_is_unknown_then_not_even_people_are_told(tmp_path: Path) -> None:
    with running_world(tmp_path, {"mode": "observe"}) as world:
        world.hit(host="NOWHERE-1")
        world.tick()
        assert world.writes() == NO_WRITES
        assert world.runs()[0].status is RunStatus.SUCCEEDED


def test_practice_when_people_say_yes_then_marked_everywhere_and_nothing_is_sent(
    tmp_path: Path,
) -> None:
    with running_world(tmp_path, {"mode": "practice"}) as world:
        world.hit()
        world.tick()
        question = world.question()
        assert world.card(question)["text"].startswith("PRACTICE: ISOLATE WORKSTATION5? by ")
        world.yes(question)
        world.ticks(2, every_s=30)
        assert world.asked_to("contain") == []
        assert world.falcon.device_status(HOST) == "normal"
        assert world.again(question).state is ApprovalState.APPROVED
        title, first, *later = world.ticket_texts()
        assert title.startswith("PRACTICE: ")
        assert first.startswith("PRACTICE: ")
        assert all(text.startswith("PRACTICE: ") for text in later)
        assert any("recorded only (practice)" in text for text in world.thread(question))
        assert world.isolation() is None
        with world.journal.read() as tx:
            assert tx.all("select * from subject") == []


def test_practice_when_the_next_hit_comes_then_asked_again_as_nobody_is_isolated(
    tmp_path: Path,
) -> None:
    with running_world(tmp_path, {"mode": "practice"}) as world:
        for number in (1, 2):
            world.hit(cmdline=malicious(HOST, number))
            world.tick()
            world.yes(world.question())
            world.tick()
        assert len(world.questions()) == 2


# -- arming ----------------------------------------------------------------------------------------


def test_act_when_not_armed_then_only_observed_and_said(world: World) -> None:
    assert_only_observed(world)
    assert standing(world).why[-1] == "the journal is not armed: run stockade arm --reason …"


def test_act_when_the_alert_came_before_the_arming_then_only_observed(world: World) -> None:
    world.hit()
    world.tick()
    assert world.arm().code == 0
    world.ticks(2, every_s=60)
    assert world.questions() == []
    assert world.writes()["slack"] == world.writes()["falcon"] == 0
    world.hit(cmdline=malicious(HOST, 2))
    world.tick()
    assert world.question().case_id == world.cases()[1].id


def test_act_when_stored_before_and_run_after_the_arming_then_only_observed(world: World) -> None:
    """The line is the alert's number, not the run's time."""
    commands.pause(world.journal, "operator", "wait")
    world.hit()
    world.tick()
    assert len(world.cases()) == 1
    world.arm()
    commands.resume(world.journal, "operator")
    world.tick()
    assert world.runs()[0].status is RunStatus.SUCCEEDED
    assert world.writes() == NO_WRITES


def test_arm_when_an_observed_case_repeats_then_people_are_asked_about_the_repeat(
    world: World,
) -> None:
    world.hit()
    world.tick()
    world.arm()
    world.hit()
    world.tick()
    question = world.question()
    assert (question.case_id, world.case().alert_count) == (world.case().id, 2)
    world.no(question)
    world.tick()
    world.hit()
    world.tick()
    assert len(world.runs()) == 2
    assert len(world.questions()) == 1


def test_arm_when_done_then_who_why_and_from_where_stand_in_the_journal(world: World) -> None:
    world.hit()
    world.tick()
    world.arm()
    (entry,) = world.entries("armed")
    assert entry.actor == "test"
    assert (entry.payload["reason"], entry.payload["after_alert"]) == ("a test arms", 1)


# -- the protected-assets file ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda world: (world.folder / "protected.txt").unlink(), "No such file"),
        (lambda world: world.protect(""), "protects nothing"),
        (lambda world: world.protect("host DC-*\nhost TYPO-1\n"), "matches no device"),
        (lambda world: world.protect("hosts DC-*\n"), "is no rule"),
        (lambda world: world.protect("id 0123456789abcdef0123456789abcdef\n"), "matches no device"),
    ],
)
def test_arm_when_the_protection_is_not_proved_then_refused_and_only_observed(
    world: World, spoil: Callable[[World], None], why: str
) -> None:
    spoil(world)
    result = world.arm()
    assert result.code == 1
    assert why in result.text
    assert world.entries("armed") == []
    assert_only_observed(world)


@pytest.mark.parametrize("rules", ["", "host DC-*\nhost TYPO-1\n"])
def test_act_when_the_file_is_spoiled_after_the_arming_then_observed_until_it_is_good(
    world: World, rules: str
) -> None:
    world.arm()
    world.protect(rules)
    assert_only_observed(world)
    assert any("protected" in error for error in world.tick().errors)
    world.protect("host DC-*\n")
    world.hit(cmdline=malicious(HOST, 9))
    world.tick()
    assert world.question().case_id == world.cases()[-1].id


def test_act_when_the_edr_cannot_prove_a_changed_file_then_observed(world: World) -> None:
    world.arm()
    world.protect("host DC-*\nhost WORKSTATION50\n")
    world.falcon.misbehave(status=503, body="{}", times=None)
    tick = world.tick()
    assert any("not proved yet" in error for error in tick.errors)
    assert standing(world).mode is Mode.OBSERVE
    world.falcon.behave()
    assert world.tick().errors == ()
    assert standing(world).mode is Mode.ACT


def test_config_when_no_file_is_named_then_observed_and_warned(tmp_path: Path) -> None:
    with running_world(tmp_path, {"guards": {"protected_file": None}}) as world:
        assert any("protected_file is missing" in text for text in world.config.warnings)
        assert world.arm().code == 1
        assert_only_observed(world)


# -- the journal -----------------------------------------------------------------------------------


def test_journal_when_it_was_lost_then_not_armed_and_said_once(world: World) -> None:
    world.arm()
    world.tick()
    world.journal.close()
    for file in world.config.state_dir.glob("journal.db*"):
        file.unlink()
    world.open()
    assert standing(world).mode is Mode.OBSERVE
    errors = world.tick().errors
    assert any("it was lost or restored; the runner is not armed" in error for error in errors)
    assert len(world.entries("journal_lost")) == 1
    assert_only_observed(world)
    assert not any("lost or restored" in error for error in world.tick().errors)


def test_state_folder_when_it_was_put_back_as_a_whole_then_not_armed_and_said_once(
    world: World,
) -> None:
    world.arm()
    world.tick()
    world.journal.close()
    saved = world.folder / "saved"
    shutil.copytree(world.config.state_dir, saved)
    world.open()
    world.hit()
    world.ticks(3, every_s=30)
    assert len(world.questions()) == 1
    world.journal.close()
    shutil.rmtree(world.config.state_dir)
    shutil.copytree(saved, world.config.state_dir)
    world.open()
    assert world.journal.lost_since_head() is None, "the copy agrees with its own head"
    assert any("put back from a snapshot" in error for error in world.tick().errors)
    assert standing(world).mode is Mode.OBSERVE
    assert not any("put back" in error for error in world.tick().errors)
    assert world.arm().code == 0, "every search was polled since: people may arm it again"


def test_state_folder_when_only_restarted_then_it_stays_armed(world: World) -> None:
    world.arm()
    world.tick()
    world.open()
    assert world.tick().errors == ()
    assert standing(world).mode is Mode.ACT


def test_journal_when_an_older_copy_is_restored_then_not_armed_and_said(world: World) -> None:
    world.arm()
    world.tick()
    world.journal.close()
    saved = world.folder / "saved"
    shutil.copytree(world.config.state_dir, saved)
    world.open()
    world.hit()
    world.tick()
    world.yes(world.question())
    world.tick()
    before = world.writes()
    world.journal.close()
    for file in saved.glob("journal.db*"):
        shutil.copy(file, world.config.state_dir / file.name)
    world.open()
    errors = world.tick().errors
    assert any("lost or restored" in error for error in errors)
    assert world.entries("disarmed")[0].payload["why"].startswith("the journal lacks entry")
    world.ticks(2, every_s=60)
    # The hit that the old copy does not know is judged again, and nobody is asked or cut off.
    assert world.questions() == []
    assert world.writes()["falcon"] == before["falcon"] == 1
    assert world.writes()["slack"] == before["slack"]


def test_journal_when_it_is_new_then_not_armed(world: World) -> None:
    assert standing(world).mode is Mode.OBSERVE
    assert world.tick().errors == ()


# -- pause -----------------------------------------------------------------------------------------


def test_pause_when_a_hit_comes_then_stored_and_no_run_goes_on(world: World) -> None:
    world.arm()
    commands.pause(world.journal, "operator", "the change window")
    world.hit()
    world.ticks(3, every_s=60)
    assert len(world.cases()) == 1
    assert world.runs()[0].status is RunStatus.QUEUED
    assert world.writes() == NO_WRITES
    commands.resume(world.journal, "operator")
    world.tick()
    assert world.question().case_id == world.case().id
    assert [entry.actor for entry in world.entries("paused")] == ["operator"]


def test_pause_when_people_say_yes_meanwhile_then_sent_only_after_the_resume(world: World) -> None:
    world.arm()
    world.hit()
    world.tick()
    commands.pause(world.journal, "operator", "wait")
    world.yes(world.question())
    world.ticks(3, every_s=60)
    assert world.asked_to("contain") == []
    commands.resume(world.journal, "operator")
    world.tick()
    assert world.contains() == [HOST]


def test_pause_when_the_process_starts_anew_then_still_paused(world: World) -> None:
    world.arm()
    commands.pause(world.journal, "operator", "wait")
    world.restart()
    world.hit()
    world.tick()
    assert world.runs()[0].status is RunStatus.QUEUED
    assert world.writes() == NO_WRITES


def test_mode_when_turned_down_after_the_yes_then_nothing_is_sent(world: World) -> None:
    world.arm()
    world.hit()
    world.tick()
    world.yes(world.question())
    world.restart({"mode": "observe"})
    world.ticks(2, every_s=60)
    assert world.asked_to("contain") == []
    assert world.falcon.device_status(HOST) == "normal"


def test_arming_when_the_journal_is_read_by_another_process_then_the_same(world: World) -> None:
    world.arm()
    other = Journal(world.config.state_dir, world.clock)
    with other.read() as tx:
        assert arming.standing(tx, world.config).mode is Mode.ACT
    other.close()
