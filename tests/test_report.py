"""What a case says: never more than was verified, in the order in which it happened, and with what
was not looked at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from connectors.document import Bullets, Document, Heading
from runner import report
from runner.config import Mode
from runner.evidence import evidence_file
from runner.journal import runs
from runner.journal.records import LedgerState, RunStatus
from runner.terminal import text_of
from runner.wording import LEDGER_WORDS
from tests.world import World, running_world
from tests.world_settings import HOST


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path) as found:
        found.arm()
        found.hit()
        found.tick()
        yield found


def document(world: World, mode: Mode = Mode.ACT) -> Document:
    case = world.case()
    with world.journal.read() as tx:
        return report.case_document(tx, case, mode)


def shown(world: World, mode: Mode = Mode.ACT) -> str:
    return " ".join(text_of(document(world, mode)).split())


def section(world: World, title: str) -> list[str]:
    """The bullets under a heading."""
    found: list[str] = []
    is_in = False
    for block in document(world).blocks:
        if isinstance(block, Heading):
            is_in = block.text == title
        elif is_in and isinstance(block, Bullets):
            found += block.items
    return found


def test_case_when_people_are_asked_then_nothing_is_said_to_be_isolated(world: World) -> None:
    assert section(world, "Containment") == ["no device is isolated through this case"]
    assert "waiting for people" in shown(world)
    assert "isolated, confirmed" not in shown(world)
    assert "To undo" not in shown(world)


def test_case_when_it_is_done_then_who_when_what_and_how_to_undo(world: World) -> None:
    question = world.question()
    world.yes(question)
    world.ticks(2, 60)
    (line,) = section(world, "Containment")[:1]
    assert line.startswith(f"{HOST} (")
    assert "isolated, confirmed by the EDR's record since 2026-11-25" in line
    assert ", verified 2026-11-25" in line
    assert f"APPROVED by responder-a at 2026-11-25 12:02:00 UTC: ISOLATE {HOST}" in shown(world)
    assert "responder-a (account U0RESPONDA) approved: first seen" in shown(world)
    assert f"To undo: stockade release {HOST} --reason" in shown(world)


def test_case_when_the_sensor_is_off_then_requested_and_not_contained(world: World) -> None:
    world.falcon.tune(contain_s=1e9)
    world.yes(world.question())
    world.ticks(2, 60)
    said = section(world, "Containment")[0]
    assert "NOT contained" in said
    assert "verified" not in said
    assert "confirmed by" not in shown(world)


def test_case_when_it_is_denied_then_who_said_no(world: World) -> None:
    world.no(world.question())
    world.ticks(2, 60)
    assert f"DENIED by responder-a at 2026-11-25 12:02:00 UTC: nothing is done to {HOST}" in shown(
        world
    )
    assert section(world, "Containment")[0] == "no device is isolated through this case"


def test_timeline_when_things_share_an_instant_then_they_stand_as_they_happened(
    world: World,
) -> None:
    world.yes(world.question())
    world.ticks(2, 60)
    lines = section(world, "Timeline")
    assert lines == sorted(lines, key=lambda line: line[:23])
    what = [line[25:] for line in lines]
    order = ["case opened", f"{HOST}: requested", f"{HOST}: accepted", f"{HOST}: confirmed"]
    places = [what.index(one) for one in order]
    assert places == sorted(places)
    assert what[-1].startswith("run succeeded")


QUICK = "Approved by responder-a less than 5 seconds after the card was posted: was it read?"


def test_case_when_the_yes_came_faster_than_anybody_reads_then_it_says_so(tmp_path: Path) -> None:
    with running_world(tmp_path) as world:
        world.arm()
        world.hit()
        world.before.append(("*reactions.add*", lambda: world.yes(world.question())))
        world.tick()
        assert QUICK in section(world, "Containment")


def test_case_when_the_yes_took_its_time_then_nothing_is_said_of_that(world: World) -> None:
    world.yes(world.question())
    world.ticks(1, 30)
    assert world.contains() == [HOST]
    assert QUICK not in section(world, "Containment")


def test_not_checked_when_all_went_well_then_what_no_hunt_sees_is_said_all_the_same(
    world: World,
) -> None:
    assert section(world, "Not checked")[-2:] == [
        "other ways in and out than the same stylesheet address",
        "hosts whose events do not reach the SIEM",
    ]


def test_not_checked_when_the_ticket_failed_then_it_is_said(tmp_path: Path) -> None:
    with running_world(tmp_path) as world:
        world.arm()
        world.jira.misbehave(method="POST", path="*/issue", status=400, body="{}", times=None)
        world.hit()
        world.tick()
        (line,) = [one for one in section(world, "Not checked") if "400" in one]
        assert line.startswith("opening the ticket (step ")
        assert "): failed: Jira: HTTP 400" in line
        assert "#" not in line


def test_case_when_practised_then_its_first_line_says_so_whatever_the_mode_is_by_now(
    tmp_path: Path,
) -> None:
    with running_world(tmp_path, {"mode": "practice"}) as world:
        world.hit()
        world.tick()
        for mode in Mode:
            heading = document(world, mode).blocks[0]
            assert isinstance(heading, Heading)
            assert heading.text.startswith("PRACTICE: Case ")


def test_case_when_people_were_asked_in_earnest_then_no_later_mode_calls_it_practice(
    world: World,
) -> None:
    world.yes(world.question())
    world.ticks(2, every_s=30)
    assert world.contains() == [HOST]
    assert "PRACTICE" not in shown(world, Mode.PRACTICE)


def test_case_when_shown_then_its_last_line_is_an_anchor_of_the_chain(world: World) -> None:
    with world.journal.read() as tx:
        seq, head = tx.head()
    shown = f"Revision {world.case().revision}. Journal anchor {seq}:{head[:16]}."
    assert document(world).texts()[-1] == shown


@pytest.mark.parametrize(
    ("status", "wait_on", "words"),
    [
        (RunStatus.PARKED, "person", "a person must resolve what happened"),
        (RunStatus.FAILED, "", "the run FAILED (boom)"),
        (RunStatus.WAITING, "approval", "waiting for people"),
        (RunStatus.WAITING, "time", "under way"),
        (RunStatus.QUEUED, "", "under way"),
        (RunStatus.CANCELLED, "", "under way"),
    ],
)
def test_state_when_a_run_stands_so_then_it_reads_so(
    world: World, status: RunStatus, wait_on: str, words: str
) -> None:
    (run,) = world.runs()
    with world.journal.write() as tx:
        runs.save(tx, msgspec.structs.replace(run, status=status, wait_on=wait_on, error="boom"))
    case = world.case()
    with world.journal.read() as tx:
        assert report.state_of(tx, case) == words


@pytest.mark.parametrize("state", LedgerState)
def test_words_when_a_state_is_not_confirmed_then_they_never_say_contained(
    state: LedgerState,
) -> None:
    words = LEDGER_WORDS[state]
    if state in (LedgerState.CONFIRMED, LedgerState.RELEASED):
        assert "confirmed by the EDR's record" in words
    else:
        assert "confirmed by" not in words
    if state in (
        LedgerState.REQUESTED,
        LedgerState.ACCEPTED,
        LedgerState.UNKNOWN,
        LedgerState.FAILED,
    ):
        assert "not contained" in words.lower()


def test_evidence_when_written_then_it_holds_every_record_of_the_case_as_json(
    world: World,
) -> None:
    world.yes(world.question())
    world.ticks(2, 60)
    case = world.case()
    with world.journal.read() as tx:
        found = msgspec.json.decode(evidence_file(tx, case))
        seq, head = tx.head()
    assert set(found) == {"case", "alert", "runs", "steps", "approvals", "ledger", "journal_head"}
    assert found["journal_head"] == {"seq": seq, "sha256": head}
    assert found["approvals"][0]["votes"][0]["account"] == "U0RESPONDA"
    assert found["ledger"][0]["state"] == "confirmed"
