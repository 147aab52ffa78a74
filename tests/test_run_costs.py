"""What a run costs in commits, statements and calls: counts that no machine changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from connectors.http import Runtime
from runner.journal import Journal, runs
from runner.journal.records import Run, RunStatus, StepStatus
from runner.service import Service
from tests.world import World, running_world
from tests.world_settings import SEARCH

LOOK = """\
  - id: host{0}
    do: edr.find_host
    with: {{alert: "{{{{ alert }}}}"}}
"""
TELL = """\
  - id: message{0}
    do: chat.post_message
    with: {{text: "{{{{ host{0}.summary }}}}"}}
"""
ASK = """\
  - id: go_on
    ask: Shall we go on?
    answers: {{go: Go on, leave: Leave it}}
    expires_s: 3600
    on_expiry: leave
"""


A_LOOK = "GET /devices/queries/*"


def playbook(*steps: str) -> str:
    head = "playbook: seen\ndescription: Look a host up, and tell.\nsteps:\n"
    return head + "".join(text.format(number) for number, text in enumerate(steps))


def looks_and_tells(times: int) -> str:
    """Each a step that looks, and one that tells what it saw."""
    return playbook(*[LOOK + TELL] * times)


def due(world: World) -> Run:
    with world.journal.read() as tx:
        run = runs.next_due(tx)
    assert run is not None
    return run


def advance(world: World) -> Run:
    """Carry the run that is due; what it is then."""
    run = due(world)
    world.service.crew.engine.advance(run)
    with world.journal.read() as tx:
        return runs.read(tx, run.id)


@contextmanager
def queued(folder: Path, text: str, on_commit: Callable[[], None] | None = None) -> Iterator[World]:
    """A world with one queued run of this playbook, and a runner that owns the journal."""
    changes = {"hunts": None, "searches": {SEARCH: {"playbook": "seen", "canary": None}}}
    with running_world(folder, changes, playbooks={"seen": text}) as world:
        world.arm()
        world.hit()
        world.journal.own()
        world.service.poller.begin()
        while world.service.poller.next_due_at() is not None:
            world.clock.advance(1)
            world.service.poller.advance()
        reopen(world, on_commit)
        yield world


def reopen(world: World, on_commit: Callable[[], None] | None = None) -> None:
    """As a new process does."""
    world.journal.close()
    world.journal = Journal(world.config.state_dir, world.clock, on_commit=on_commit)
    world.journal.own()
    runtime = Runtime(clock=world.clock, emulated=True, transport=world._transport)
    world.service = Service(world.config, world.journal, runtime)


def statements(world: World, work: Callable[[], object]) -> int:
    """How many statements the journal's file was given."""
    seen: list[str] = []
    world.journal._db.set_trace_callback(seen.append)
    work()
    world.journal._db.set_trace_callback(None)
    return len(seen)


@pytest.mark.parametrize("times", [1, 4])
def test_run_when_it_looks_and_tells_then_two_commits_an_effect_and_two_a_run(
    tmp_path: Path, times: int
) -> None:
    """What only looks commits nothing of its own."""
    commits: list[None] = []
    with queued(tmp_path, looks_and_tells(times), lambda: commits.append(None)) as world:
        assert advance(world).status is RunStatus.SUCCEEDED
        assert len(commits) == 2 + 2 * times
        assert len(world.slack.effects()) == times
        (run,) = world.runs()
        assert len(world.steps(run)) == 3 * times


def test_run_when_it_has_more_steps_then_its_statements_grow_by_the_same_number_each(
    tmp_path: Path,
) -> None:
    counts = []
    for times in (1, 2, 6):
        with queued(tmp_path / str(times), looks_and_tells(times)) as world:
            counts.append(statements(world, lambda world=world: advance(world)))
    each = counts[1] - counts[0]
    assert counts[2] - counts[1] == 4 * each
    assert each <= 36, "statements for a step that looks and one that tells"


def test_run_when_it_is_played_again_then_its_past_steps_cost_no_statement(
    tmp_path: Path,
) -> None:
    counts = []
    for times in (1, 8):
        with queued(tmp_path / str(times), playbook(*[LOOK] * times, ASK)) as world:
            run = advance(world)
            assert run.wait_on == "approval"
            asked = len(world.sent)
            counts.append(
                statements(world, lambda w=world, r=run: w.service.crew.engine.advance(r))
            )
            assert len(world.sent) == asked
    assert counts[0] == counts[1]


def test_read_when_an_effect_rests_on_it_then_both_are_on_disk_before_the_effect_is_sent(
    tmp_path: Path,
) -> None:
    seen: dict[str, StepStatus] = {}
    with queued(tmp_path, looks_and_tells(1)) as world:
        (run,) = world.runs()

        def look() -> None:
            other = Journal(world.config.state_dir, world.clock)
            with other.read() as tx:
                seen.update({step.key: step.status for step in runs.steps_of(tx, run.id)})
            other.close()

        world.before.append(("POST /api/chat.postMessage*", look))
        assert advance(world).status is RunStatus.SUCCEEDED
    assert seen == {
        "/host0#query": StepStatus.SUCCEEDED,
        "/host0#device": StepStatus.SUCCEEDED,
        "/message0#message": StepStatus.INTENDED,
    }


def test_read_when_the_runner_dies_before_anything_rests_on_it_then_it_is_read_again(
    tmp_path: Path,
) -> None:
    class Died(BaseException):
        """Stands for the end of the process."""

    def die() -> None:
        raise Died

    def die_at_the_next_look() -> None:
        world.before.append((A_LOOK, die))

    with queued(tmp_path, playbook(LOOK, LOOK + TELL)) as world:
        world.sent.clear()
        world.before.append(("* /devices/entities/*", die_at_the_next_look))
        run = due(world)
        with pytest.raises(Died):
            world.service.crew.engine.advance(run)
        assert world.steps(run) == {}
        reopen(world)
        assert advance(world).status is RunStatus.SUCCEEDED
        assert sum(fnmatchcase(line, A_LOOK) for line in world.sent) == 3
        assert len(world.slack.effects()) == 1
        kinds = [entry.kind for entry in world.entries() if entry.refs.get("scope") == run.id]
        assert kinds.count("step_succeeded") == 5
