"""Whoever changes, removes or reorders an entry is found out; erasing a payload breaks nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runner import commands
from runner.audit import Verdict, verify
from runner.journal import Journal, retention
from tests.fake_clock import FakeClock


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """Five entries: its making, and four with payloads."""
    opened = Journal(tmp_path / "state", FakeClock())
    with opened.write() as tx:
        for number in range(4):
            tx.entry("test", {"number": str(number)}, {"secret": f"word-{number}"})
    yield opened
    opened.close()


def tamper(journal: Journal, *statements: str) -> Verdict:
    with journal.write() as tx:
        for statement in statements:
            assert tx.change(statement) >= 1
    with journal.read() as tx:
        return verify(tx)


def test_audit_when_nothing_was_touched_then_it_is_unbroken(journal: Journal) -> None:
    with journal.read() as tx:
        verdict = verify(tx)
        _, head = tx.head()
    assert verdict == Verdict(entries=5, erased=0, head=head, faults=())
    said = commands.audit_verify(journal)
    assert (said.code, said.data["faults"]) == (0, [])
    assert said.text == f"5 entries, unbroken, 0 payloads erased; head {head}"


@pytest.mark.parametrize(
    "column", ["at", "actor", "kind", "refs", "payload_sha256", "prev", "sha256"]
)
def test_audit_when_a_field_of_an_entry_was_changed_then_it_says_which_entry(
    journal: Journal, column: str
) -> None:
    verdict = tamper(journal, f"update entry set {column} = 'other' where seq = 3")  # noqa: S608
    assert any("entry 3" in fault for fault in verdict.faults), verdict


def test_audit_when_an_entry_was_changed_with_its_hash_then_the_next_one_does_not_follow(
    journal: Journal,
) -> None:
    """Somebody who can compute hashes mends the entry itself; its successor still tells."""
    from runner.journal.transaction import entry_sha256

    with journal.read() as tx:
        fields = list(tx.one("select * from entry where seq = 3"))[:7]
    fields[2] = "somebody-else"
    with journal.write() as tx:
        tx.change(
            "update entry set actor = ?, sha256 = ? where seq = 3", fields[2], entry_sha256(fields)
        )
    with journal.read() as tx:
        assert verify(tx).faults == ("entry 4 does not follow the entry before it",)


def test_audit_when_an_entry_was_removed_then_it_is_missing(journal: Journal) -> None:
    verdict = tamper(
        journal, "delete from entry where seq = 3", "delete from payload where seq = 3"
    )
    assert verdict.faults == ("entry 3 is missing; the next one is 4",)


def test_audit_when_an_entry_was_removed_and_the_rest_renumbered_then_it_is_found(
    journal: Journal,
) -> None:
    verdict = tamper(
        journal,
        "delete from entry where seq = 3",
        "delete from payload where seq = 3",
        "update entry set seq = seq - 1 where seq > 3",
        "update payload set seq = seq - 1 where seq > 3",
    )
    assert "entry 3 does not follow the entry before it" in verdict.faults


def test_audit_when_two_entries_were_swapped_then_it_is_found(journal: Journal) -> None:
    verdict = tamper(
        journal,
        "update entry set seq = 99 where seq = 2",
        "update entry set seq = 2 where seq = 3",
        "update entry set seq = 3 where seq = 99",
    )
    assert "entry 2 does not follow the entry before it" in verdict.faults
    assert "entry 2 was changed" in verdict.faults


def test_audit_when_a_payload_was_changed_then_it_is_found(journal: Journal) -> None:
    verdict = tamper(journal, """update payload set body = '{"secret":"no"}' where seq = 4""")
    assert verdict.faults == ("the payload of entry 4 was changed",)


def test_audit_when_a_payload_was_added_to_no_entry_then_it_is_found(journal: Journal) -> None:
    verdict = tamper(journal, "insert into payload values (77, '{}')")
    assert verdict.faults == ("1 payloads belong to no entry",)


def test_audit_when_payloads_were_erased_then_the_proof_holds_and_says_how_many(
    journal: Journal,
) -> None:
    with journal.write() as tx:
        tx.clock.sleep(86400)
        assert retention.erase(tx, tx.clock.now()).payloads == 4
    with journal.read() as tx:
        verdict = verify(tx)
    assert (verdict.faults, verdict.erased, verdict.entries) == ((), 4, 6)


def test_audit_when_a_payload_was_removed_otherwise_then_it_is_missed(journal: Journal) -> None:
    """Nothing of the chain changes, but no entry accounts for it."""
    verdict = tamper(journal, "delete from payload where seq in (2, 5)")
    assert verdict.faults == ("2 payloads are gone that no entry says were erased",)
    with journal.write() as tx:
        tx.clock.sleep(86400)
        assert retention.erase(tx, tx.clock.now()).payloads == 2
    with journal.read() as tx:
        assert verify(tx).faults == verdict.faults, "nor does a later erasure cover it"


def test_audit_when_an_older_erasure_did_not_say_how_much_then_nothing_is_missed(
    journal: Journal,
) -> None:
    with journal.write() as tx:
        tx.change("delete from payload where seq in (2, 5)")
        tx.entry("erased", {}, {"cases": [], "payloads": 2, "before": tx.clock.now()})
    with journal.read() as tx:
        assert verify(tx).faults == ()


@pytest.mark.parametrize("refs", ["", "[]", '{"payloads":"x"}', '{"payloads":null}'])
def test_audit_when_an_erasure_was_changed_to_no_sense_then_it_says_so(
    journal: Journal, refs: str
) -> None:
    with journal.write() as tx:
        tx.clock.sleep(86400)
        retention.erase(tx, tx.clock.now())
        tx.change("update entry set refs = ? where kind = 'erased'", refs)
    with journal.read() as tx:
        assert "entry 6 was changed" in verify(tx).faults


def test_audit_when_the_chain_is_broken_then_the_command_ends_with_one(journal: Journal) -> None:
    tamper(journal, "update entry set kind = 'other' where seq = 2")
    said = commands.audit_verify(journal)
    assert said.code == 1
    assert said.text == "entry 2 was changed"
    assert said.data["faults"] == ["entry 2 was changed"]


def test_audit_when_the_tail_was_cut_off_then_only_a_noted_head_can_tell(journal: Journal) -> None:
    """A chain cannot know how long it should be: that is what heads in tickets are for."""
    journal.note_head()
    verdict = tamper(
        journal, "delete from entry where seq = 5", "delete from payload where seq = 5"
    )
    assert verdict.faults == ()
    assert "lacks entry 5" in str(journal.lost_since_head())


def test_audit_when_the_tail_was_cut_off_behind_a_noted_head_then_the_command_says_so(
    journal: Journal,
) -> None:
    with journal.write() as tx:
        tx.entry("one", {})
        tx.entry("two", {})
    journal.note_head()
    with journal.write() as tx:
        tx.change("delete from entry where seq = (select max(seq) from entry)")
    result = commands.audit_verify(journal)
    assert result.code == 1
    assert "which was there: it was lost or restored" in result.text


def test_audit_when_a_runner_was_at_work_and_no_head_is_noted_then_a_cut_tail_would_not_show(
    journal: Journal,
) -> None:
    assert journal.own()
    journal.note_head()
    assert commands.audit_verify(journal).code == 0
    (journal.state_dir / "head").unlink()
    said = commands.audit_verify(journal)
    assert said.code == 1
    assert "entries cut off at its end would not show" in said.text
