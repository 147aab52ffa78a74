"""What a playbook does next: each kind of step, played on the real journal and products."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from runner.context import StepFailed, Suspended, merged
from runner.journal.records import Run, RunStatus
from runner.steps import STEP_KINDS, holds
from tests.world import World, running_world
from tests.world_settings import BENIGN

HEAD = """\
playbook: played
description: A playbook of this test.
on: wmic_format_hits
steps:
  - id: triage
    do: wmic.assess
    with: {alert: "{{ alert }}"}
"""


@contextmanager
def played(tmp_path: Path, steps: str, **hit: Any) -> Iterator[World]:
    """One run of these steps after the triage, as far as it goes in one tick."""
    changes = {"searches": {"wmic_format_hits": {"playbook": "played"}}}
    with running_world(tmp_path, changes, playbooks={"played": HEAD + steps}) as world:
        world.arm()
        world.hit(**hit)
        world.tick()
        yield world


def run_of(world: World) -> Run:
    (run,) = world.runs()
    return run


def said(world: World) -> list[str]:
    """What the playbook's own messages said, in order."""
    return [card["text"] for card in world.cards()]


def message(name: str, text: str) -> str:
    return f'  - id: {name}\n    do: chat.post_message\n    with: {{text: "{text}"}}\n'


def indented(text: str, by: int) -> str:
    return "".join(" " * by + line for line in text.splitlines(keepends=True))


# -- if, stop, when --------------------------------------------------------------------------------

BRANCH = (
    "  - if: \"{{ triage.assessment == 'benign' }}\"\n    then:\n"
    + indented(message("a", "it is benign"), 4)
    + "    else:\n"
    + indented(message("b", "it is {{ triage.assessment }}"), 4)
)


@pytest.mark.parametrize(
    ("hit", "text"), [({"cmdline": BENIGN}, "it is benign"), ({}, "it is malicious")]
)
def test_if_when_decided_then_only_that_branch_runs(
    tmp_path: Path, hit: dict[str, str], text: str
) -> None:
    with played(tmp_path, BRANCH, **hit) as world:
        assert said(world) == [text]
        assert run_of(world).result == "all steps done"


def test_stop_when_reached_then_the_run_ends_with_its_reason_and_nothing_after(
    tmp_path: Path,
) -> None:
    steps = '  - stop: {reason: "enough: {{ triage.assessment }}", verdict: a test}\n'
    with played(tmp_path, BRANCH + steps) as world:
        assert (run_of(world).status, run_of(world).result) == (
            RunStatus.SUCCEEDED,
            "enough: malicious (verdict: a test)",
        )
        assert said(world) == ["it is malicious"]


def test_when_false_then_skipped_and_its_else_value_stands_in(tmp_path: Path) -> None:
    steps = (
        message("a", "never")
        + '    when: "{{ triage.score < 0 }}"\n    else_value: {id: "none"}\n'
        + message("b", "a is {{ steps.a.status }} and {{ a.id }}")
    )
    with played(tmp_path, steps) as world:
        assert said(world) == ["a is skipped and none"]


@pytest.mark.parametrize(
    "condition", ["alert.raw.cmdline", "alert.raw.none", "alert.raw.indexed[0]"]
)
def test_when_no_boolean_then_the_run_fails_and_nothing_runs(
    tmp_path: Path, condition: str
) -> None:
    steps = message("a", "never") + f'    when: "{{{{ {condition} }}}}"\n    else_value: 0\n'
    with played(tmp_path, steps) as world:
        assert said(world) == []
        assert run_of(world).status is RunStatus.FAILED
        assert str(run_of(world).error).startswith("playbook:")


def test_value_when_it_is_evidence_then_never_rendered(tmp_path: Path) -> None:
    cmdline = 'wmic os get /format:"{{ 7+7 }}{% raw %}"'
    with played(tmp_path, message("a", "seen: {{ alert.raw.cmdline }}"), cmdline=cmdline) as world:
        assert said(world) == [f"seen: {cmdline}"]


def test_value_when_undefined_then_the_run_fails(tmp_path: Path) -> None:
    with played(tmp_path, message("a", "x {{ alert.raw.nothing }}")) as world:
        assert said(world) == []
        assert run_of(world).status is RunStatus.FAILED


# -- errors ----------------------------------------------------------------------------------------

TICKET = '  - id: ticket\n    do: tickets.create_ticket\n    with: {title: "t"}\n'


@contextmanager
def refused(tmp_path: Path, steps: str) -> Iterator[World]:
    """Jira refuses each ticket for good."""
    changes = {"searches": {"wmic_format_hits": {"playbook": "played"}}}
    with running_world(tmp_path, changes, playbooks={"played": HEAD + steps}) as world:
        world.arm()
        world.jira.misbehave(path="*/issue", status=400, body='{"errors":{}}', times=None)
        world.hit()
        world.tick()
        yield world


def test_on_error_when_fail_then_the_run_fails_and_what_follows_is_not_done(
    tmp_path: Path,
) -> None:
    with refused(tmp_path, TICKET + message("a", "after")) as world:
        assert run_of(world).status is RunStatus.FAILED
        assert said(world) == []
        assert any("failed for" in need for need in world.tick().needs)


def test_on_error_when_continue_then_the_next_step_sees_that_it_failed(tmp_path: Path) -> None:
    steps = TICKET + "    on_error: continue\n" + message("a", "ticket {{ steps.ticket.status }}")
    with refused(tmp_path, steps) as world:
        assert said(world) == ["ticket failed"]
        assert run_of(world).status is RunStatus.SUCCEEDED


def test_on_error_when_a_block_then_it_runs_and_the_run_goes_on(tmp_path: Path) -> None:
    steps = (
        TICKET + "    on_error:\n" + indented(message("e", "no ticket"), 4) + message("a", "after")
    )
    with refused(tmp_path, steps) as world:
        assert said(world) == ["no ticket", "after"]


def test_parallel_when_one_branch_fails_then_the_others_run_to_their_end(tmp_path: Path) -> None:
    steps = (
        "  - id: both\n    parallel:\n      one:\n"
        + indented(TICKET, 6)
        + "      two:\n"
        + indented(message("b", "two spoke") + message("c", "to its end"), 6)
        + "    on_error:\n"
        + indented(message("e", "one failed"), 4)
    )
    with refused(tmp_path, steps) as world:
        assert said(world) == ["two spoke", "to its end", "one failed"]
        assert run_of(world).status is RunStatus.SUCCEEDED


# -- replay ----------------------------------------------------------------------------------------


def test_replay_when_a_run_goes_on_many_times_then_each_step_was_done_once(
    tmp_path: Path,
) -> None:
    steps = "".join(message(f"m{number}", f"number {number}") for number in range(5))
    with played(tmp_path, steps) as world:
        for _ in range(3):
            with world.journal.write() as tx:
                tx.change("update run set status = 'queued', wake_at = 0")
            world.restart()
            world.tick()
        assert said(world) == [f"number {number}" for number in range(5)]


def test_step_kinds_when_looked_at_then_each_has_one_function() -> None:
    names = {kind.__name__ for kind in STEP_KINDS}
    assert names == {
        "Do",
        "If",
        "Switch",
        "ForEach",
        "Repeat",
        "Parallel",
        "Ask",
        "RunPlaybook",
        "Stop",
    }
    assert len(set(STEP_KINDS.values())) == len(STEP_KINDS)


def test_holds_when_the_condition_is_no_boolean_then_fails_as_the_playbooks_fault() -> None:
    assert holds("{{ a == 1 }}", {"a": 1})
    assert not holds(False, {})
    with pytest.raises(StepFailed) as caught:
        holds("{{ a }}", {"a": "False"})
    assert caught.value.kind == "playbook"


def test_merged_when_several_branches_wait_then_woken_with_the_first(tmp_path: Path) -> None:
    with running_world(tmp_path) as world:
        now = world.clock.now()
        world.clock.advance(60)
        later = world.clock.now()
    person, approval = Suspended("person"), Suspended("approval")
    soon, late = Suspended("time", now), Suspended("time", later)
    subject = Suspended("subject", later)
    assert merged([person, person]).wait_on == "person"
    assert merged([person, approval]).wait_on == "approval"
    assert (merged([late, approval, soon]).wait_on, merged([late, soon]).wake_at) == ("time", now)
    assert (merged([soon, subject]).wait_on, merged([soon, subject]).wake_at) == ("subject", now)
