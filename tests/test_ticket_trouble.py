"""What a ticket refuses, or nobody knows of it: said in status, show and chat, and no other part of
the report waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runner import ticket_trouble, views
from runner.journal import cases, runs
from runner.journal.approvals import code_of
from runner.journal.records import StepStatus
from tests.world import World, running_world
from tests.world_settings import HOST

COMMENT = {"method": "POST", "path": "*/comment"}
NOT_KNOWN = "Nobody knows whether a comment"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path) as world:
        world.arm()
        yield world


def isolated(world: World) -> None:
    world.hit()
    world.tick()
    world.yes(world.question())
    world.ticks(2, every_s=60)


def told(world: World, text: str) -> list[str]:
    return [card["text"] for card in world.cards() if text in card["text"]]


def status(world: World) -> str:
    return views.show_status(world.journal, world.config, None).text


def shown(world: World) -> str:
    return views.show_case(world.journal, world.config, world.case().id).text


def files(world: World) -> list[str]:
    (issue,) = world.jira.all_issues()
    return [one["filename"] for one in issue["fields"]["attachment"]]


def test_comment_when_refused_then_said_and_the_evidence_follows(world: World) -> None:
    world.jira.misbehave(**COMMENT, status=400, body="{}", times=None)
    isolated(world)
    last = world.ticks(3, every_s=60)[-1]
    assert any(name.endswith(".json") for name in files(world))
    said = f"ticket SEC-1 of {world.case().id} refused a comment (Jira: HTTP 400"
    assert sum(said in need for need in last.needs) == 1
    assert f"A PERSON IS NEEDED: {said}" in status(world)
    assert "refused a comment: Jira: HTTP 400" in shown(world)
    assert len(told(world, "refused a comment")) == 1
    assert len(world.entries("ticket_refused")) >= 1
    assert last.errors == ()


def test_comment_when_it_is_taken_again_then_nothing_is_said_any_more(world: World) -> None:
    world.jira.misbehave(**COMMENT, status=400, body="{}", times=None)
    isolated(world)
    world.jira.behave()
    world.falcon.set_device(HOST, status="normal")
    last = world.ticks(3, every_s=900)[-1]
    assert "DRIFT" in "\n".join(world.ticket_texts())
    assert last.needs == ()
    assert "refused a comment" not in shown(world)


def test_comment_when_refused_then_the_ticket_is_not_called_gone(world: World) -> None:
    isolated(world)
    world.jira.misbehave(**COMMENT, status=404, body="{}", times=None)
    world.falcon.set_device(HOST, status="normal")
    last = world.ticks(3, every_s=900)[-1]
    assert told(world, "was deleted") == []
    assert any("404" in need for need in last.needs)


def test_file_when_refused_then_said_and_the_comment_stands(world: World) -> None:
    world.jira.misbehave(method="POST", path="*/attachments", status=413, body="{}", times=None)
    isolated(world)
    last = world.ticks(3, every_s=60)[-1]
    assert "isolated, confirmed by the EDR's record" in world.ticket_texts()[-1]
    assert any("refused a file (Jira: HTTP 413" in need for need in last.needs)
    assert len(told(world, "refused a file")) == 1


def in_doubt(world: World) -> str:
    """A comment of which nobody knows: its answer is lost each time, and it is never there."""
    world.jira.misbehave(**COMMENT, status=502, body="Bad Gateway", times=None)
    isolated(world)
    world.ticks(6, every_s=60)
    with world.journal.read() as tx:
        (step,) = [
            row
            for row in tx.all("select scope, key from step where status = 'unknown'")
            if str(row[1]).startswith("comment.")
        ]
    return code_of(step[0], step[1])


@pytest.mark.parametrize("said", ["not", "stop"])
def test_comment_when_nobody_knows_then_said_and_a_person_ends_it(world: World, said: str) -> None:
    code = in_doubt(world)
    assert f"stockade resolve {code} happened|not|stop" in status(world)
    assert f"stockade resolve {code} happened|not|stop" in shown(world)
    (message,) = told(world, NOT_KNOWN)
    assert f"reached ticket SEC-1: look at it, then run stockade resolve {code}" in message
    assert any(name.endswith(".json") for name in files(world))
    world.ticks(3, every_s=60)
    assert len(told(world, NOT_KNOWN)) == 1
    world.jira.behave()
    assert world.resolve(code, said).code == 0
    last = world.ticks(3, every_s=60)[-1]
    assert "stockade resolve" not in status(world)
    assert (said == "not") is ("isolated, confirmed by" in world.ticket_texts()[-1])
    assert any("given up by operator" in need for need in last.needs) is (said == "stop")


def test_comment_when_a_person_says_it_happened_and_it_is_not_there_then_still_open(
    world: World,
) -> None:
    code = in_doubt(world)
    world.jira.behave()
    assert world.resolve(code, "happened").code == 0
    world.ticks(3, every_s=60)
    assert f"stockade resolve {code}" in status(world)


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("where", [COMMENT, {"path": "*"}])
def test_ticket_when_the_sign_in_ended_for_minutes_then_its_news_are_told_after_it(
    world: World, where: dict[str, str], status: int
) -> None:
    world.hit()
    world.tick()
    question = world.question()
    world.jira.misbehave(**where, status=status, body="{}", times=None)
    world.yes(question)
    assert any(f"HTTP {status}" in error for error in world.ticks(6, every_s=60)[-1].errors)
    world.jira.behave()
    last = world.ticks(6, every_s=60)[-1]
    assert (last.errors, last.needs) == ((), ())
    assert sum("isolated, confirmed by" in text for text in world.ticket_texts()) == 1
    assert any(name.endswith(".json") for name in files(world))


def test_file_when_one_is_refused_then_the_others_are_attached(world: World) -> None:
    attachments = {"method": "POST", "path": "*/attachments"}
    world.jira.misbehave(**attachments, status=429, body="{}", times=None)
    isolated(world)
    world.falcon.set_device(HOST, status="normal")
    world.ticks(3, every_s=900)
    world.jira.behave()
    assert files(world) == []
    world.jira.misbehave(**attachments, status=413, body="{}", times=1)
    last = world.ticks(6, every_s=60)[-1]
    assert files(world) == [f"evidence-{world.case().id}-revision-2.json"]
    assert any("refused a file (Jira: HTTP 413" in one for one in [*last.needs, shown(world)])


def test_comment_when_nobody_knows_then_the_ticket_is_asked_again_only_after_minutes(
    world: World,
) -> None:
    in_doubt(world)
    world.ticks(2, every_s=60)
    world.jira.forget_requests()
    world.ticks(20, every_s=3)
    assert world.jira.requests == []
    world.ticks(1, every_s=600)
    assert world.jira.requests


def test_post_when_nobody_knows_then_it_is_no_doubt_of_the_ticket_and_the_ticket_is_kept_up(
    world: World,
) -> None:
    world.hit()
    world.tick()
    question = world.question()
    world.jira.misbehave(**COMMENT, status=400, body="{}", times=None)
    world.slack.misbehave(path="*chat.postMessage", status=502, body="Bad Gateway", times=None)
    world.yes(question)
    world.ticks(12, every_s=60)
    case = world.case()
    with world.journal.read() as tx:
        steps = runs.steps_of(tx, ticket_trouble.scope_of(case.id))
        assert [one.key for one in steps if one.status is StepStatus.UNKNOWN] == [
            f"refused.comment.{case.ticket.id if case.ticket else ''}"
        ]
        assert ticket_trouble.doubts(tx, case.id) == []
        assert cases.unreported(tx, "", 50) == []
