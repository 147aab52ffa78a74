"""The promises, proved by killing: nothing is lost and nothing happens twice, wherever it dies.

The story is the demo's, with the real runner and emulated products that outlive it: four hits, one
ticket, two questions, two hosts cut off. `tests/crash_checks.py` judges each world at its end.
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
from pathlib import Path
from typing import Any

import pytest

from tests.crash_checks import violations
from tests.crash_world import ROOT, CrashWorld, Crew, crash_world
from tests.killable import NEEDS_A_PERSON, Fate, is_over

AT_ONCE = 8
BEYOND = 12
"""How many points past a quiet story's are tried: a busy machine makes it a little longer."""
SPOTS = [
    ("jira", "*/rest/api/3/issue", 1),
    *(("jira", "*/comment", place) for place in range(1, 5)),
    ("jira", "*/attachments", 1),
    *(("slack", "*/chat.postMessage", place) for place in range(1, 9)),
    *(("slack", "*/reactions.add", place) for place in range(1, 5)),
    *(("slack", "*/chat.update", place) for place in range(1, 3)),
    *(("falcon", "*/devices-actions/*", place) for place in range(1, 3)),
]
"""Every request that changes a product: product, path, and the which of them."""


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    with Crew(AT_ONCE) as crew:
        yield crew


def carry_on(crew: Crew, world: CrashWorld) -> list[str]:
    """Let one undisturbed runner end the story, and judge it."""
    fate = crew.send(world.order())
    return violations(world) if fate.status == 0 else [str(fate), *violations(world)]


def carry_on_with_a_person(crew: Crew, world: CrashWorld) -> list[str]:
    """As `carry_on`, where a second crash may have left what only a person can resolve."""
    fate = crew.send(world.order())
    while fate.status == NEEDS_A_PERSON and world.resolve():
        fate = crew.send(world.order())
    return violations(world) if fate.status == 0 else [str(fate), *violations(world)]


def faults_of(trials: list[tuple[Any, list[str]]]) -> str:
    return "\n".join(f"{given}: {text}" for given, found in trials for text in found)


# -- one runner ------------------------------------------------------------------------------------


def test_story_when_killed_at_every_point_then_nothing_is_lost_or_done_twice(
    crew: Crew, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with crash_world(tmp_path / "quiet", lanes=1) as world:
        quiet = crew.send(world.order())
        assert (quiet.status, violations(world)) == (0, [])

    def trial(kill_at: int) -> tuple[Fate, list[str]]:
        with crash_world(tmp_path / str(kill_at), lanes=1) as world:
            first = crew.send(world.order(kill_at=kill_at))
            if first.was_killed:
                return first, carry_on(crew, world)
            return first, [*violations(world), *([str(first)] if first.status else [])]

    trials = crew.map(trial, range(1, quiet.points + BEYOND))
    killed = [fate for fate, _ in trials if fate.was_killed]
    found = faults_of(trials)
    with capsys.disabled():
        sys.stdout.write(
            f"\nthe quiet story has {quiet.points} points: {len(killed)} points reached, "
            f"{len(killed)} kills, {len(found.splitlines())} violations\n"
        )
    assert found == ""
    assert len(killed) >= 0.9 * quiet.points
    died_at = {fate.last for fate in killed}
    assert {
        "commit",
        *(f"{when} POST /devices/entities/devices-actions/v2" for when in ("before", "after")),
        *(f"{when} POST /api/chat.postMessage" for when in ("before", "after")),
        *(f"{when} POST /rest/api/3/issue" for when in ("before", "after")),
    } <= died_at


def test_story_when_killed_again_while_recovering_then_nothing_is_lost_or_done_twice(
    crew: Crew, tmp_path: Path
) -> None:
    chance = random.Random(1)  # noqa: S311

    def trial(kills: list[int]) -> tuple[list[int], list[str]]:
        with crash_world(tmp_path / "-".join(map(str, kills))) as world:
            for kill_at in kills:
                crew.send(world.order(kill_at=kill_at))
            return kills, carry_on_with_a_person(crew, world)

    plans = [
        [chance.randrange(1, 230), *(chance.randrange(1, 60) for _ in range(chance.randint(1, 3)))]
        for _ in range(24)
    ]
    assert faults_of(crew.map(trial, plans)) == ""


def test_story_when_killed_while_a_slow_server_has_the_request_then_it_is_found_and_not_repeated(
    crew: Crew, tmp_path: Path
) -> None:
    def trial(spot: tuple[str, str, int]) -> tuple[Any, list[str]]:
        with crash_world(tmp_path / _name(spot), settle_s=6.0) as world:
            killed = die_in_flight(crew, world, spot)
            return (spot, killed.last), [] if not killed.was_killed else carry_on(crew, world)

    trials = crew.map(trial, SPOTS)
    assert faults_of(trials) == ""
    assert sum(last.startswith("during") for (_, last), _ in trials) >= len(SPOTS) - 2


def die_in_flight(
    crew: Crew, world: CrashWorld, spot: tuple[str, str, int], acts_after_s: float = 1.0
) -> Fate:
    """Die just after this request was sent, which the product takes some time to act on."""
    product, path, place = spot
    spoil(world, product, path, skip=place - 1, delay_before_s=acts_after_s)
    return crew.send(world.order(point=f"during POST {path}", kill_at=place))


def spoil(world: CrashWorld, product: str, path: str, **how: Any) -> None:
    getattr(world.products, product).misbehave(method="POST", path=path, **how)


def _name(spot: object) -> str:
    """A folder's name."""
    return "".join(letter if letter.isalnum() else "-" for letter in str(spot))


# -- lost answers ----------------------------------------------------------------------------------

LOSE = {"lose_answer": True}
PROXY = {"status": 502, "body": "Bad Gateway", "apply": True}
LOST: dict[str, list[tuple[str, str, dict[str, Any]]]] = {
    "a slow create": [("jira", "*/issue", {"delay_before_s": 1.0})],
    "comments and the file": [
        ("jira", "*/comment", {"times": 2}),
        ("jira", "*/attachments", {}),
    ],
    "a create answered by a proxy": [("jira", "*/issue", PROXY)],
    "both cuts": [("falcon", "*/devices-actions/*", {"times": 2})],
    "a cut answered by a proxy": [("falcon", "*/devices-actions/*", PROXY)],
    "every post": [("slack", "*/chat.postMessage", {"times": None})],
    "choices and locks": [
        ("slack", "*/reactions.add", {"times": 2}),
        ("slack", "*/chat.update", {"times": 2}),
    ],
    "all at once": [
        ("jira", "*/issue", {"delay_before_s": 0.5}),
        ("falcon", "*/devices-actions/*", {"times": 2}),
        ("slack", "*/chat.*", {"times": 4}),
        ("jira", "*/issue/*", {"times": 2}),
    ],
}
"""Name → which writes, by product and path, are done and their answers lost, and how."""


def test_story_when_answers_are_lost_after_the_effect_then_it_is_adopted_and_not_repeated(
    crew: Crew, tmp_path: Path
) -> None:
    def trial(name: str) -> tuple[str, list[str]]:
        with crash_world(tmp_path / name, settle_s=0.3) as world:
            # A new ticket is found only by the second look: searches lag behind writes.
            world.products.jira.tune(search_lag_s=0.4)
            for product, path, how in LOST[name]:
                spoil(world, product, path, **({} if "status" in how else LOSE), **how)
            return name, carry_on(crew, world)

    assert faults_of(crew.map(trial, list(LOST))) == ""


# -- two runners -----------------------------------------------------------------------------------


def test_story_when_two_runners_overlap_then_nothing_is_lost_or_done_twice(
    crew: Crew, tmp_path: Path
) -> None:
    def trial(seed: int) -> tuple[Any, list[str]]:
        with crash_world(tmp_path / str(seed)) as world:
            fates = overlap(crew, world, seed)
            bad = [str(fate) for fate in fates if fate.status != 0]
            return seed, [*bad, *violations(world)]

    assert faults_of(crew.map(trial, range(12), each=2)) == ""


def overlap(crew: Crew, world: CrashWorld, seed: int, **how: Any) -> list[Fate]:
    """Two runners over the whole story, begun a random moment apart."""
    chance = random.Random(seed)  # noqa: S311
    world.arm()
    order = world.order(arms=False, linger_s=0.05, **how)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(crew.send, order)
        time.sleep(chance.random() * 0.1)
        second = pool.submit(crew.send, order)
        return [first.result(), second.result()]


def test_story_when_one_of_two_runners_keeps_dying_then_nothing_is_lost_or_done_twice(
    crew: Crew, tmp_path: Path
) -> None:
    def trial(seed: int) -> tuple[Any, list[str]]:
        chance = random.Random(seed)  # noqa: S311
        deaths = 0
        with crash_world(tmp_path / str(seed)) as world:
            world.arm()
            order = world.order(arms=False, linger_s=0.05)
            with ThreadPoolExecutor(1) as pool:
                steady = pool.submit(crew.send, order)
                while not steady.done():
                    kill_at = chance.randrange(1, 40)
                    dying = world.order(arms=False, linger_s=0.05, kill_at=kill_at)
                    deaths += crew.send(dying).was_killed
            return deaths, carry_on_with_a_person(crew, world)

    trials = crew.map(trial, range(8), each=2)
    assert faults_of(trials) == ""
    assert sum(deaths for deaths, _ in trials) >= len(trials)


# -- the command itself ----------------------------------------------------------------------------


def command(world: CrashWorld) -> subprocess.Popen[bytes]:
    config = world.folder / "config.yaml"
    return subprocess.Popen(
        [sys.executable, "-m", "runner.cli", "run", "--detailed-exit-code", "-c", str(config)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def test_run_when_killed_at_any_moment_beside_another_then_nothing_is_lost_or_done_twice(
    tmp_path: Path,
) -> None:
    def trial(seed: int) -> tuple[Any, list[str]]:
        chance = random.Random(seed)  # noqa: S311
        with crash_world(tmp_path / str(seed)) as world:
            world.arm()
            for _ in range(3):
                with command(world) as dying, command(world) as beside:
                    time.sleep(0.4 + chance.random())
                    os.kill(dying.pid, signal.SIGKILL)
                    beside.wait()
            return seed, end_by_command(world)

    with ThreadPoolExecutor(3) as pool:
        assert faults_of(list(pool.map(trial, range(6)))) == ""


def end_by_command(world: CrashWorld) -> list[str]:
    """Run the command as cron does until the story is over, and judge it."""
    for _ in range(8):
        with command(world) as process:
            said = process.stderr.read().decode() if process.stderr else ""
        if process.returncode == NEEDS_A_PERSON:
            world.resolve()
        elif process.returncode not in (0, 3):
            return [f"stockade run ended with {process.returncode}: {said}"]
        with world.journal() as journal:
            if is_over(journal):
                return violations(world)
    return ["the story did not end", *violations(world)]


# -- the checks can fail ---------------------------------------------------------------------------

POST, FILE, CUT = "*/chat.postMessage", "*/attachments", "*/devices-actions/*"


def test_checks_when_intents_are_not_kept_then_they_complain(crew: Crew, tmp_path: Path) -> None:
    def trial(point: str) -> str:
        with crash_world(tmp_path / _name(point)) as world:
            assert crew.send(world.order(point=f"after POST {point}", kill_at=1)).was_killed
            crew.send(world.order(journal="forgetful"))
            return "\n".join(violations(world))

    posted, filed, cut = crew.map(trial, [POST, FILE, CUT])
    assert "cards: card ask-" in posted
    assert "ticket_texts: file evidence-" in filed
    assert "ledger: WORKSTATION" in cut


def test_checks_when_nobody_waits_for_a_request_to_settle_then_they_complain(
    crew: Crew, tmp_path: Path
) -> None:
    def trial(spot: tuple[str, str, int]) -> str:
        with crash_world(tmp_path / _name(spot), settle_s=0) as world:
            # Long enough that the next runner looks before that, on a busy machine, too.
            assert die_in_flight(crew, world, spot, acts_after_s=3.0).was_killed
            crew.send(world.order())
            time.sleep(3.0)
            return "\n".join(violations(world))

    spots = [("jira", "*/rest/api/3/issue", 1), ("slack", POST, 1), ("falcon", CUT, 1)]
    opened, posted, cut = crew.map(trial, spots)
    assert "tickets: label stockade-" in opened
    assert "cards: card ask-" in posted
    assert "cuts: the EDR was asked" in cut


def test_checks_when_two_runners_own_the_journal_then_they_complain(
    crew: Crew, tmp_path: Path
) -> None:
    # Nobody dies and no answer is lost: without a settle time only the lock keeps them apart.
    def trial(journal: str) -> str:
        with crash_world(tmp_path / journal, settle_s=0) as world:
            for product, path, place in SPOTS:
                if place == 1:
                    spoil(world, product, path, times=None, delay_before_s=0.15)
            overlap(crew, world, seed=1, journal=journal, lives_s=10.0)
            return "\n".join(violations(world))

    locked, unlocked = crew.map(trial, ["real", "unlocked"], each=2)
    assert locked == ""
    assert "tickets: label" in unlocked or "there 2 times" in unlocked


def test_checks_when_nothing_was_done_then_all_but_the_chain_complain(tmp_path: Path) -> None:
    with crash_world(tmp_path / "world") as world:
        world.arm()
        complaining = {text.partition(":")[0] for text in violations(world)}
    assert complaining == {"hits", "cuts", "ledger", "tickets", "cards"}
