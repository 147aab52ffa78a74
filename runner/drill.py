"""`stockade drill`: a playbook against stand-ins, its runner killed at every point of it.

First the story is played once without a kill. Then each trial disturbs it in one way, lets a fresh
runner end it, and holds what it came to against the quiet one.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct

from connectors.model import Clock
from runner import drill_trials as trials
from runner.drill_crew import Crew
from runner.drill_story import Quiet, begin_release, choose, is_release, play_quietly
from runner.drill_trials import BEYOND, Spot, Stage, Trial
from runner.drill_world import Story
from runner.result import Result

AT_ONCE = 8
FEW = 2
"""How many trials of a batch may miss what was to disturb them."""
SEEDS = 6
"""How many times two runners are set on the same story."""

Task = Callable[[Stage], Trial]


class Plan(Struct, frozen=True, kw_only=True):
    """What a drill tries. `points`: at how many points it kills, None for all of them; `every`:
    at each so-manieth instead. All in-flight requests are tried when all points are, or else one of
    each kind."""

    points: int | None = 60
    every: int | None = None
    overlap: bool = False
    lossy: bool = False
    random_kills: int = 0
    seed: int = 1

    @property
    def is_whole(self) -> bool:
        return self.every == 1 or (self.every is None and self.points is None)


def run_drill(given: str, plan: Plan, clock: Clock, say: Callable[[str], None]) -> Result:
    """Drill it in a temporary folder. Exit codes: 0 without violations, 1 with. Errors: `NoDrill`.

    `data`: `points` (of the quiet story), `kills`, `violations` (sentences), `trials`,
    `not_reached` (which of them never came to what was to disturb them), `story` (what the quiet
    story came to), `seed`, `duration_s`.
    """
    begun = clock.monotonic()
    story = choose(given)
    with (
        tempfile.TemporaryDirectory(prefix="stockade-drill-") as folder,
        Crew(AT_ONCE) as crew,
    ):
        if is_release(given):
            say("isolating first what is to be released")
            story = begin_release(crew, Path(folder) / "begins", story)
        quiet, found = play_quietly(crew, Path(folder) / "quiet", story)
        if quiet is None or found:
            return _result(given, plan, quiet, [], found, clock.monotonic() - begun)
        say(_story_line(given, quiet))
        done, left = _play(crew, Path(folder), story, quiet, plan, say)
    found = [f"{trial.what}: {text}" for trial in done for text in trial.found]
    found += left
    if not any(trial.kills for trial in done):
        found.append("no runner was killed: nothing was proved")
    return _result(given, plan, quiet, done, found, clock.monotonic() - begun)


def _play(
    crew: Crew,
    folder: Path,
    story: Story,
    quiet: Quiet,
    plan: Plan,
    say: Callable[[str], None],
) -> tuple[list[Trial], list[str]]:
    """The trials, and what they leave unproved."""
    stage = Stage(
        crew=crew, folder=folder, story=story, quiet=quiet.picture, points=len(quiet.points)
    )
    done: list[Trial] = []
    found: list[str] = []
    for title, each, tasks in batches(quiet, plan):
        begun, bad = len(done), 0
        for number, trial in enumerate(crew.imap(lambda task: task(stage), tasks, each=each), 1):
            done.append(trial)
            bad += bool(trial.found)
            if number == len(tasks) or number % AT_ONCE == 0:
                say(f"{title}: {number} of {len(tasks)} trials, {bad} with violations")
        found += unproved(title, done[begun:])
    return done, found


def unproved(title: str, batch: Sequence[Trial]) -> list[str]:
    """What a batch of trials leaves open, because it never came to what was to disturb it. A few
    may miss it: the story is a little different each time."""
    missed = [trial for trial in batch if trial.reached is False]
    found = [f"{trial.what}: never reached, nothing was proved" for trial in missed if trial.is_due]
    if len(missed) > max(FEW, len(batch) // 10):
        found.append(f"{title}: {len(missed)} of {len(batch)} trials never came to what was tried")
    return found


# -- what is tried ---------------------------------------------------------------------------------


def batches(quiet: Quiet, plan: Plan) -> Iterator[tuple[str, int, list[Task]]]:
    """Title, how many runners each trial needs, and the trials."""
    yield "killed at a point", 1, _tasks(trials.kill_at, chosen_points(quiet, plan))
    spots = quiet.spots if plan.is_whole else one_of_each(quiet.spots)
    yield "killed in flight", 1, _tasks(trials.kill_in_flight, spots)
    chance = random.Random(plan.seed)  # noqa: S311
    kills = [_random_kills(chance, len(quiet.points)) for _ in range(plan.random_kills)]
    if kills:
        yield "killed again", 1, _tasks(trials.kill_again, kills)
    if plan.lossy:
        yield "answers lost", 1, _tasks(trials.lose_answers, trials.losses(quiet.spots))
    if plan.overlap:
        seeds = range(plan.seed, plan.seed + SEEDS)
        yield "two runners", 2, _tasks(trials.overlap, seeds)
        yield "two runners, one dying", 2, _tasks(trials.overlap_dying, seeds)


def _tasks(trial: Callable[[Stage, Any], Trial], given: Sequence[Any]) -> list[Task]:
    return [partial(_call, trial, one) for one in given]


def _call(trial: Callable[[Stage, Any], Trial], given: Any, stage: Stage) -> Trial:
    return trial(stage, given)


def chosen_points(quiet: Quiet, plan: Plan) -> list[int]:
    """Which points are tried, counted from 1. A sample has the moments before and after each kind
    of change first, and the rest evenly."""
    total = len(quiet.points)
    if plan.is_whole:
        return list(range(1, total + BEYOND))
    if plan.every is not None:
        return list(range(1 + plan.seed % plan.every, total + 1, plan.every))
    wanted = min(plan.points or total, total)
    chosen = _around_changes(quiet)[:wanted]
    free = [point for point in range(1, total + 1) if point not in chosen]
    step = len(free) / (wanted - len(chosen) or 1)
    chosen += [free[int(place * step)] for place in range(wanted - len(chosen))]
    return sorted(chosen)


def _around_changes(quiet: Quiet) -> list[int]:
    """The points before and after the first change of each kind."""
    found = []
    for spot in one_of_each(quiet.spots):
        for when in ("before", "after"):
            names = [_fits(name, f"{when} {spot.method} ", spot.path) for name in quiet.points]
            if True in names:
                found.append(names.index(True) + 1)
    return found


def _fits(name: str, start: str, path: str) -> bool:
    return name.startswith(start) and fnmatchcase(name.removeprefix(start), path)


def one_of_each(spots: Sequence[Spot]) -> list[Spot]:
    """The first request of each kind."""
    kinds = {(spot.product, spot.method, spot.path): spot for spot in reversed(spots)}
    return list(reversed(kinds.values()))


def _random_kills(chance: random.Random, points: int) -> list[int]:
    first = chance.randrange(1, max(points // 2, 2))
    return [first, *(chance.randrange(1, 60) for _ in range(chance.randint(1, 3)))]


# -- what it came to -------------------------------------------------------------------------------


def _counts(quiet: Quiet) -> dict[str, int]:
    names = ("hits", "cases", "tickets", "questions", "cuts")
    return {name: quiet.picture[name].total() for name in names}


def _story_line(given: str, quiet: Quiet) -> str:
    counts = ", ".join(f"{count} {name}" for name, count in _counts(quiet).items())
    return f"{given} without a kill: {len(quiet.points)} points; {counts}"


def _result(
    given: str,
    plan: Plan,
    quiet: Quiet | None,
    done: list[Trial],
    found: list[str],
    duration_s: float,
) -> Result:
    kills = sum(trial.kills for trial in done)
    data = {
        "playbook": given,
        "points": len(quiet.points) if quiet else 0,
        "kills": kills,
        "violations": found,
        "trials": len(done),
        "not_reached": [trial.what for trial in done if trial.reached is False],
        "story": _counts(quiet) if quiet else {},
        "seed": plan.seed,
        "duration_s": round(duration_s, 1),
    }
    missed = sum(trial.reached is False for trial in done)
    last = (
        f"{data['points']} points, {len(done)} trials ({missed} not reached), {kills} kills, "
        f"{len(found)} violations ({given}, {data['duration_s']} s)"
    )
    return Result(code=1 if found else 0, data=data, text="\n".join([*found, last]))
