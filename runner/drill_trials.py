"""The trials of a drill: how a story is disturbed, and what was wrong at its end.

Each kind of trial takes a `Stage` and what to disturb, plays the story in a fresh world to its end,
and judges it. Products act late by seconds less than the settle time allows, so that a busy machine
makes no trial fail.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from msgspec import Struct

from connectors.emulators.emulator import Emulator
from runner.drill_checks import violations
from runner.drill_child import NEEDS_A_PERSON, Fate
from runner.drill_crew import Crew
from runner.drill_picture import Picture
from runner.drill_world import DrillWorld, Story, drill_world

BEYOND = 12
"""How many points a busy machine makes a story longer, or shorter, than the quiet one."""
SLOW_S = 1.0
SLOW_SETTLE_S = 6.0
"""When a slow product acts, and by when it certainly has: seconds of margin, not parts of one."""


class Trial(Struct, frozen=True, kw_only=True):
    """One disturbed story. `what`: how it was disturbed; `kills`: how many runners died; `last`:
    where the first one did; `found`: what was wrong at the end, a sentence each; `reached`: whether
    it came to the disturbance at all, None where only a longer story would; `is_due`: it must."""

    what: str
    kills: int
    last: str
    found: tuple[str, ...]
    reached: bool | None = True
    is_due: bool = False


class Spot(Struct, frozen=True, kw_only=True):
    """One request that changes a product: the `place`th that fits method and path (a shell
    pattern)."""

    product: str
    method: str
    path: str
    place: int

    def __str__(self) -> str:
        return f"{self.product} {self.method} {self.path} no. {self.place}"


class Stage(Struct, frozen=True, kw_only=True):
    """Where trials are played. `quiet`: what the story comes to when nobody is killed; `points`:
    how many it has then."""

    crew: Crew
    folder: Path
    story: Story
    quiet: Picture
    points: int = 0
    wiring: str = "real"

    @contextmanager
    def world(self, name: str, **how: Any) -> Iterator[DrillWorld]:
        """A fresh world, gone afterwards; the keywords are those of `drill_world`."""
        place = self.folder / name
        try:
            with drill_world(place, self.story, **how) as world:
                yield world
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def judge(self, world: DrillWorld, *fates: Fate) -> tuple[str, ...]:
        """What is wrong once these runners have ended the story."""
        bad = [str(fate) for fate in fates if fate.status != 0]
        return (*bad, *violations(world, self.quiet))

    def carry_on(self, world: DrillWorld) -> tuple[str, ...]:
        """Let one undisturbed runner end the story, and judge it."""
        return self.judge(world, self.crew.send(world.order()))

    def carry_on_with_a_person(self, world: DrillWorld) -> tuple[str, ...]:
        """As `carry_on`, where a second crash may have left what only a person can resolve."""
        fate = self.crew.send(world.order())
        while fate.status == NEEDS_A_PERSON and world.resolve():
            fate = self.crew.send(world.order())
        return self.judge(world, fate)


# -- one runner ------------------------------------------------------------------------------------


def kill_at(stage: Stage, point: int) -> Trial:
    """Die at one point, and go on."""
    with stage.world(f"point-{point}", lanes=1) as world:
        first = stage.crew.send(world.order(kill_at=point))
        found = stage.carry_on(world) if first.was_killed else stage.judge(world, first)
        what = f"killed at point {point}, {first.last}"
        if not first.was_killed:
            what = f"to be killed at point {point}"
        reached = first.was_killed or (None if point > stage.points - BEYOND else False)
        return Trial(
            what=what, kills=first.was_killed, last=first.last, found=found, reached=reached
        )


def kill_in_flight(stage: Stage, spot: Spot) -> Trial:
    """Die while a slow product has the request, which it acts on afterwards."""
    with stage.world(_name(spot), settle_s=SLOW_SETTLE_S) as world:
        killed = die_in_flight(stage.crew, world, spot)
        found = stage.carry_on(world) if killed.was_killed else stage.judge(world, killed)
        was = "killed" if killed.was_killed else "to be killed"
        what = f"{was} while {spot} was on its way"
        return Trial(
            what=what,
            kills=killed.was_killed,
            last=killed.last,
            found=found,
            reached=killed.was_killed,
            # A later one of its kind may have nothing to tell, where the first told all.
            is_due=spot.place == 1,
        )


def die_in_flight(crew: Crew, world: DrillWorld, spot: Spot, acts_after_s: float = SLOW_S) -> Fate:
    """Die just after this request was sent, which the product takes some time to act on."""
    spoil(world, spot, skip=spot.place - 1, delay_before_s=acts_after_s)
    return crew.send(world.order(point=f"during {spot.method} {spot.path}", kill_at=spot.place))


def kill_again(stage: Stage, kills: Sequence[int]) -> Trial:
    """Die once and again, each time so many points after the start."""
    with stage.world("random-" + "-".join(map(str, kills))) as world:
        fates = [stage.crew.send(world.order(kill_at=kill_at)) for kill_at in kills]
        found = stage.carry_on_with_a_person(world)
        what = f"killed at points {', '.join(map(str, kills))} one after another"
        died = sum(fate.was_killed for fate in fates)
        return Trial(
            what=what,
            kills=died,
            last=fates[0].last,
            found=found,
            reached=fates[0].was_killed,
        )


# -- lost answers ----------------------------------------------------------------------------------


class Loss(Struct, frozen=True, kw_only=True):
    """Answers that get lost after the product has acted: at which requests, and how."""

    name: str
    spots: tuple[Spot, ...]
    how: Mapping[str, Any]


LOSSES: dict[str, dict[str, Any]] = {
    "twice the answer is lost": {"lose_answer": True, "times": 2},
    "the answer comes late and is lost": {"lose_answer": True, "delay_before_s": SLOW_S},
    "a proxy answers instead": {"status": 502, "body": "Bad Gateway", "apply": True},
}


def losses(spots: Sequence[Spot]) -> list[Loss]:
    """Each kind of loss at each kind of request, and each at all of them at once."""
    firsts = [spot for spot in spots if spot.place == 1]
    each = [
        Loss(name=f"{spot.method} {spot.path}: {name}", spots=(spot,), how=how)
        for spot in firsts
        for name, how in LOSSES.items()
    ]
    at_once = [
        Loss(name=f"every change: {name}", spots=tuple(firsts), how=how)
        for name, how in LOSSES.items()
    ]
    return [*each, *at_once]


def lose_answers(stage: Stage, loss: Loss) -> Trial:
    """No de-duplication at the product: what is sent twice is there twice."""
    with stage.world(_name(loss.name), settle_s=0.3) as world:
        # A new ticket is found only by the second look: searches lag behind writes.
        world.products.jira.tune(search_lag_s=0.4)
        for spot in loss.spots:
            spoil(world, spot, **loss.how)
        found = stage.carry_on(world)
        reached = all(_was_asked(world, spot) for spot in loss.spots)
        return Trial(what=loss.name, kills=0, last="", found=found, reached=reached, is_due=True)


def spoil(world: DrillWorld, spot: Spot, **how: Any) -> None:
    """Let requests to this path go wrong; the keywords are those of `Misbehaviour`."""
    _product(world, spot).misbehave(method=spot.method, path=spot.path, **how)


def _was_asked(world: DrillWorld, spot: Spot) -> bool:
    """Did a request come that was to go wrong?"""
    return any(
        one.method == spot.method and fnmatchcase(one.path, spot.path)
        for one in _product(world, spot).requests
    )


def _product(world: DrillWorld, spot: Spot) -> Emulator:
    return next(one for one in world.products.all() if spot.product == one.PRODUCT)


# -- two runners -----------------------------------------------------------------------------------


def overlap(stage: Stage, seed: int) -> Trial:
    """Two runners over the whole story, begun a random moment apart."""
    with stage.world(f"overlap-{seed}") as world:
        fates = run_two(stage.crew, world, seed)
        what = f"two runners, seed {seed}"
        return Trial(what=what, kills=0, last="", found=stage.judge(world, *fates))


def run_two(crew: Crew, world: DrillWorld, seed: int, **how: Any) -> tuple[Fate, Fate]:
    """Both at once; the keywords are those of `Order`."""
    world.arm()
    order = world.order(arms=False, linger_s=0.05, **how)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(crew.send, order)
        time.sleep(random.Random(seed).random() * 0.1)  # noqa: S311
        second = pool.submit(crew.send, order)
        return first.result(), second.result()


def overlap_dying(stage: Stage, seed: int) -> Trial:
    """Two runners, of which one dies again and again until the other is done."""
    chance = random.Random(seed)  # noqa: S311
    deaths = 0
    with stage.world(f"dying-{seed}") as world:
        world.arm()
        with ThreadPoolExecutor(1) as pool:
            order = world.order(arms=False, linger_s=0.05)
            steady = pool.submit(stage.crew.send, order)
            while not steady.done():
                point = chance.randrange(1, 40)
                dying = world.order(arms=False, linger_s=0.05, kill_at=point)
                deaths += stage.crew.send(dying).was_killed
        found = stage.carry_on_with_a_person(world)
        what = f"two runners, one killed {deaths} times, seed {seed}"
        # The steady one may be done before the other comes to its first point.
        reached = True if deaths else None
        return Trial(what=what, kills=deaths, last="", found=found, reached=reached)


def _name(what: object) -> str:
    """A folder's name."""
    return "".join(letter if letter.isalnum() else "-" for letter in str(what))
