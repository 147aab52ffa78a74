"""A journal that somebody rewrote whole is whole again, and does not fit what people were shown."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner import commands
from runner.anchors import faults, is_anchor, shown_in
from runner.audit import verify
from runner.cli import main
from runner.journal import Journal
from runner.journal.transaction import GENESIS, entry_sha256
from tests.world import World, running_world
from tests.world_settings import HOST


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A case that was asked about, approved and isolated."""
    with running_world(tmp_path) as found:
        found.arm()
        found.hit()
        found.tick()
        found.yes(found.question())
        found.ticks(4, 60)
        yield found


def rewrite(journal: Journal, first: int, actor: str) -> None:
    """Say that somebody else did what entry `first` tells, and make all hashes after it anew; the
    head beside the journal, too."""
    prev = GENESIS
    with journal.write() as tx:
        for row in tx.all("select * from entry order by seq"):
            fields = list(row[:7])
            fields[6] = prev
            if fields[0] == first:
                fields[2] = actor
            prev = entry_sha256(fields)
            tx.change(
                "update entry set actor = ?, prev = ?, sha256 = ? where seq = ?",
                *(fields[2], fields[6], prev, fields[0]),
            )
    journal.note_head()


def shown_anywhere(world: World) -> dict[str, list[str]]:
    """The anchors that the products show, by where."""
    question = world.questions()[0]
    return {
        "card": shown_in(json.dumps(world.card(question))),
        "thread": shown_in("\n".join(world.thread(question))),
        "ticket": shown_in("\n".join(world.ticket_texts())),
    }


def test_card_thread_and_ticket_show_anchors_that_fit(world: World) -> None:
    shown = shown_anywhere(world)
    assert len(shown["card"]) == 1
    assert len(shown["thread"]) == 1
    assert len(shown["ticket"]) >= 2, "its description and each comment"
    given = [anchor for anchors in shown.values() for anchor in anchors]
    said = commands.audit_verify(world.journal, given)
    assert said.code == 0
    assert said.text.endswith(f"; {len(given)} anchor(s) fit")


def test_thread_shows_the_anchor_of_the_decision_itself(world: World) -> None:
    (entry,) = world.entries("question_approved")
    assert shown_anywhere(world)["thread"] == [f"{entry.seq}:{entry.sha256[:16]}"]


def test_chain_when_it_was_rewritten_whole_then_only_the_anchors_tell(world: World) -> None:
    (decision,) = world.entries("question_approved")
    shown = shown_anywhere(world)
    rewrite(world.journal, decision.seq, "somebody-else")
    with world.journal.read() as tx:
        assert verify(tx).faults == ()
        # The card was posted before, so that it cannot know.
        assert faults(tx, shown["card"]) == []
        assert len(faults(tx, shown["thread"])) == 1
        assert len(faults(tx, shown["ticket"])) >= 1
    assert commands.audit_verify(world.journal).code == 0
    said = commands.audit_verify(world.journal, shown["thread"])
    assert said.code == 1
    assert said.text == (
        f"entry {decision.seq} is another than the anchor {shown['thread'][0]} names: "
        "the chain was rewritten"
    )


def test_chain_when_its_end_was_cut_off_then_the_anchors_tell(world: World) -> None:
    ticket = shown_anywhere(world)["ticket"]
    with world.journal.write() as tx:
        tx.change("delete from payload where seq > 5")
        tx.change("delete from entry where seq > 5")
    world.journal.note_head()
    said = commands.audit_verify(world.journal, ticket[-1:])
    assert said.code == 1
    assert "there is no entry" in said.text
    assert commands.audit_verify(world.journal).code == 0, "which it cannot know by itself"


def test_ticket_when_a_comment_is_sent_again_after_an_outage_then_what_it_shows_fits(
    world: World,
) -> None:
    """The text is made anew under the same key, while the chain has gone on."""
    before = shown_anywhere(world)["ticket"]
    world.jira.misbehave(method="POST", path="*/comment", status=503, body="{}", times=2)
    world.release(HOST)
    world.tick()
    world.yes(world.question())
    world.ticks(6, 60)
    after = shown_anywhere(world)["ticket"]
    assert after[: len(before)] == before
    assert len(after) > len(before)
    with world.journal.read() as tx:
        assert faults(tx, after) == []


def command(world: World, *words: str) -> int:
    return main(["audit", "verify", *words, "--config", str(world.folder / "config.yaml")])


def test_command_compares_what_a_text_shows(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ticket = tmp_path / "ticket.txt"
    ticket.write_text("\n".join(world.ticket_texts()), encoding="utf-8")
    (anchor,) = shown_anywhere(world)["thread"]
    assert command(world, "--anchors", str(ticket), "--anchor", anchor.upper()) == 0
    assert "anchor(s) fit" in capsys.readouterr().out
    seq = anchor.partition(":")[0]
    wrong = hashlib.sha256(b"another").hexdigest()
    assert command(world, "--anchors", str(ticket), "--anchor", f"{seq}:{wrong}") == 1
    assert f"entry {seq} is another" in capsys.readouterr().err


def test_command_when_nothing_can_be_compared_then_it_is_no_good_news(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty, binary = tmp_path / "empty.txt", tmp_path / "binary.txt"
    empty.write_text("a ticket without any")
    binary.write_bytes(b"\xff\xfe anchor 5:0000000000000000")
    for file, why in (
        (empty, "shows no anchor"),
        (binary, "it is no UTF-8 text"),
        (tmp_path / "none.txt", "cannot be read: No such file"),
    ):
        assert command(world, "--anchors", str(file)) == 2
        assert why in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        command(world, "--anchor", "57:eed4")
    assert "is no anchor; write it as a card shows it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Plan 33c1, journal anchor 44:eed4f691e8b86834.", ["44:eed4f691e8b86834"]),
        ("journal anchor\n44:EED4F691E8B86834", ["44:eed4f691e8b86834"]),
        ("anchor 57:eed4f691e8b8683", []),
        ("an anchored 44:eed4f691e8b86834", []),
    ],
)
def test_anchor_is_found_as_people_copy_it(text: str, found: list[str]) -> None:
    assert shown_in(text) == found


def test_anchor_is_a_number_and_a_hash() -> None:
    assert is_anchor("1:" + "0" * 64)
    assert not any(map(is_anchor, ("1:xyz", "1", ":" + "0" * 16, "-1:" + "0" * 16, HOST)))
