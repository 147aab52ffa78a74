"""What a person does at the command line: who did it stands in the journal, and nothing is done
that the same door would not allow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runner import commands
from runner.checks import check, lint_files
from tests.polling import SEEN
from tests.world import World, running_world
from tests.world_settings import HOST


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """One host is isolated."""
    with running_world(
        tmp_path, {"people": {"responder-b": {"slack": "U0RESPONDB", "os_user": "bea"}}}
    ) as found:
        found.arm()
        found.hit()
        found.tick()
        found.yes(found.question())
        found.ticks(2, 60)
        yield found


def last_entry(world: World) -> tuple[str, str]:
    entry = world.entries()[-1]
    return entry.kind, entry.actor


def test_pause_and_resume_when_given_then_who_and_why_are_in_the_journal(world: World) -> None:
    assert commands.pause(world.journal, "kim", "change window").code == 0
    assert last_entry(world) == ("paused", "kim")
    assert world.entries()[-1].payload == {"reason": "change window"}
    assert commands.resume(world.journal, "alex").data == {"paused": None}
    assert last_entry(world) == ("resumed", "alex")


def test_release_when_the_host_is_isolated_then_a_question_is_put_and_nothing_is_sent(
    world: World,
) -> None:
    result = world.release(HOST)
    assert result.code == 0
    assert set(result.data) == {"run", "case"}
    assert world.lifts() == []
    world.ticks(1, 60)
    assert world.lifts() == []
    assert world.question().effect == "release"
    world.yes(world.question())
    world.ticks(2, 60)
    assert world.lifts() == [HOST]


@pytest.mark.parametrize("name", [HOST.lower(), f"{HOST}$", "an id"])
def test_release_when_the_host_is_named_otherwise_then_it_is_the_same(
    world: World, name: str
) -> None:
    row = world.isolation()
    assert row is not None
    assert world.release(row.device.device_id if name == "an id" else name).code == 0


@pytest.mark.parametrize("name", ["WORKSTATION", "WORKSTATION50", "DC-1", "", "*"])
def test_release_when_the_name_is_not_exact_then_refused(world: World, name: str) -> None:
    before = world.entries()
    result = world.release(name)
    assert result.code == 2
    assert "is not isolated through this runner" in result.text
    assert world.entries() == before


def test_release_when_the_case_holds_nothing_there_then_refused(world: World) -> None:
    result = world.release(HOST, case="case-0")
    assert result.code == 2
    assert "case-0 does not hold" in result.text
    assert len(world.runs()) == 1


def test_requester_when_the_login_is_a_persons_then_the_person_else_the_login(
    world: World,
) -> None:
    assert commands.requester(world.config, "bea") == "responder-b"
    assert commands.requester(world.config, "nobody-known") == "login nobody-known"


def test_release_when_who_asked_for_it_says_yes_then_it_does_not_count(world: World) -> None:
    world.release(HOST, actor="bea")
    world.ticks(1, 60)
    question = world.question()
    assert question.requested_by == "responder-b"
    world.yes(question, "U0RESPONDB")
    world.ticks(2, 60)
    assert world.lifts() == []
    world.yes(question)
    world.ticks(2, 60)
    assert world.lifts() == [HOST]


def test_resolve_when_nothing_waits_then_refused(world: World) -> None:
    before = world.entries()
    assert world.resolve("BCDFG", "happened").code == 2
    assert world.entries() == before


# -- check and lint --------------------------------------------------------------------------------


def test_check_when_all_is_well_then_zero_and_nothing_is_changed(world: World) -> None:
    before = world.writes()
    result = check(world.service)
    assert result.code == 0, result.text
    assert world.writes() == before
    assert "BAD" not in result.text
    assert world.splunk.jobs == {}, "the probe's job was freed"


def test_check_when_a_permission_is_missing_then_one_and_it_says_which(world: World) -> None:
    world.slack.tune(scopes="chat:write")
    result = check(world.service)
    assert result.code == 1
    bad = [line for line in result.text.splitlines() if line.startswith("BAD")]
    assert any("reactions:read" in line for line in bad)


def test_check_when_a_product_is_down_then_its_line_is_bad_and_the_others_are_tried(
    world: World,
) -> None:
    world.falcon.stop()
    result = check(world.service)
    assert result.code == 1
    assert "BAD  edr (falcon)" in result.text
    assert "ok   tickets (jira)" in result.text
    world.falcon.start()


def test_check_when_a_rule_protects_no_device_or_a_playbook_is_missing_then_it_says_so(
    tmp_path: Path,
) -> None:
    with running_world(tmp_path, playbooks={"other": SEEN}) as world:
        world.protect("host NOWHERE-*\n")
        result = check(world.service)
        assert result.code == 1
        assert "«host NOWHERE-*» in the protected-assets file matches no device" in result.text
        assert "BAD  playbook wmic-format: search wmic_format_hits names it" in result.text
        assert "not armed" in result.text


def test_lint_when_no_file_is_named_then_the_shipped_playbooks_are_clean() -> None:
    result = lint_files([])
    assert result.code == 0
    assert result.data["playbooks"] >= 1
    assert result.data["findings"] == []


def test_lint_when_files_are_faulty_or_missing_then_each_is_said_with_its_place(
    tmp_path: Path,
) -> None:
    good, bad, binary = (tmp_path / name for name in ("good.yaml", "bad.yaml", "binary.yaml"))
    good.write_text(SEEN)
    bad.write_text(SEEN.replace("stop", "halt"))
    binary.write_bytes(b"\xff\xfe")
    result = lint_files([good, bad, binary, tmp_path / "nowhere.yaml", tmp_path])
    assert result.code == 1
    places = {line.split(":")[0].rpartition("/")[2] for line in result.text.splitlines()}
    assert {"bad.yaml", "binary.yaml", "nowhere.yaml", tmp_path.name} <= places
    assert "good.yaml" not in places
