"""The promises with a second chat, proved by killing: one card a chat, one decision, one cut."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest

from runner import drill_trials as trials
from runner.drill import AT_ONCE
from runner.drill_checks import violations
from runner.drill_child import NEEDS_A_PERSON
from runner.drill_crew import Crew
from runner.drill_picture import picture_of
from runner.drill_story import Quiet, choose, play_quietly
from runner.drill_trials import Spot, Stage, Trial
from runner.journal.records import Approval, ApprovalState
from tests.second_chat import answer_in_matrix, asked_in_matrix, stand_ins, two_chats
from tests.world import World
from tests.world_settings import HOST, YES

STORY = msgspec.structs.replace(choose("wmic-format"), is_chat_down=True)
EVERY = 14
"""Of so many points it is killed at one: all of them take minutes."""


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    with Crew(AT_ONCE) as crew:
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


def test_story_when_the_first_chat_is_down_then_it_is_asked_and_cut_all_the_same(
    quiet: Quiet,
) -> None:
    assert quiet.picture["questions"].total() == quiet.picture["posts"].total() == 2
    assert quiet.picture["cuts"].total() == 2


def test_story_when_killed_at_some_points_then_nothing_is_lost_or_done_twice(
    stage: Stage, quiet: Quiet
) -> None:
    points = range(1, len(quiet.points), EVERY)
    done = stage.crew.map(partial(_kill_at, stage), points)
    assert [f"{one.what}: {text}" for one in done for text in one.found] == []
    assert sum(one.kills for one in done) > 0.9 * len(points)


def _kill_at(stage: Stage, point: int) -> Trial:
    """Die at one point, and go on. Killed between intent and refusal, nobody knows whether the
    first chat has a card, for it refuses to be searched, too: a person is asked for that, and the
    decision says that nobody could look there."""
    with stage.world(f"point-{point}", lanes=1) as world:
        first = stage.crew.send(world.order(kill_at=point))
        fate = stage.crew.send(world.order())
        is_in_doubt = fate.status == NEEDS_A_PERSON
        while fate.status == NEEDS_A_PERSON and world.resolve():
            fate = stage.crew.send(world.order())
        found = violations(world) if is_in_doubt else list(stage.judge(world, fate))
        if is_in_doubt:
            found += [str(fate)] if fate.status else []
            found += [] if picture_of(world)["cuts"] == stage.quiet["cuts"] else ["other cuts"]
        return Trial(
            what=f"killed at point {point}, {first.last}",
            kills=first.was_killed,
            last=first.last,
            found=tuple(found),
        )


def test_story_when_killed_while_a_message_is_on_its_way_then_it_is_found_and_not_repeated(
    stage: Stage,
) -> None:
    path = "*/send/m.room.message/*"
    spots = [Spot(product="matrix", method="PUT", path=path, place=place) for place in (1, 2, 3)]
    done = stage.crew.map(partial(trials.kill_in_flight, stage), spots)
    assert [f"{one.what}: {text}" for one in done for text in one.found] == []
    assert sum(one.kills for one in done) == len(spots)


# -- the first chat is away, and comes back --------------------------------------------------------


class Killed(BaseException):
    """The process ends here."""


def die() -> None:
    raise Killed


def play(world: World, seconds: float = 60.0) -> bool:
    """A tick; is the process still there? Where it died, the next one starts."""
    world.clock.advance(seconds)
    try:
        world.tick(5)
    except Killed:
        world.restart()
        return False
    return True


POST, SEED = "PUT *send/m.room.message*", "PUT *send/m.reaction*"


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(POST, id="before the card is posted in the other"),
        pytest.param(SEED, id="after it was posted there"),
        pytest.param("GET *event*", id="before it is read"),
        pytest.param("*chat.postMessage*", id="before the first chat has its own"),
        pytest.param("*reactions.add*", id="after that was posted"),
        pytest.param("*action_name=contain*", id="before the cut"),
        pytest.param("*chat.update*", id="before the card is locked in the first"),
        pytest.param("PUT *m.room.message*", id="before the card is locked in the other"),
    ],
)
def test_outage_when_killed_on_the_way_then_one_card_a_chat_and_one_decision(
    tmp_path: Path, point: str, request: pytest.FixtureRequest
) -> None:
    with two_chats(tmp_path) as world:
        is_late = "locked" in request.node.name or "cut" in request.node.name
        if not is_late:
            world.before.append((point, die))
        question = _until_both_have_it(world)
        if is_late:
            world.before.append((point, die))
        answer_in_matrix(world, YES)
        for _ in range(6):
            play(world)
        assert world.before == [], "it died where it was to die"
        settled = world.again(question)
        assert (settled.state, settled.closed) == (ApprovalState.APPROVED, True)
        assert (len(world.cards()), len(stand_ins(world))) == (1, 1)
        assert len(world.entries("question_approved")) == 1
        assert world.contains() == [HOST]
        for card in (str(world.card(settled)), str(stand_ins(world)[0]["content"]["body"])):
            assert "APPROVED by responder-a in matrix" in card


def _until_both_have_it(world: World) -> Approval:
    """The first chat is down, the other has a card; then the first is back and has one, too."""
    world.arm()
    world.slack.misbehave(path="*", times=None, status=500, body="{}")
    world.hit()
    for _ in range(6):
        play(world)
    assert len(stand_ins(world)) == 1
    world.slack.behave()
    for _ in range(4):
        play(world)
    question = world.question()
    assert question.message is not None
    return question


def test_card_when_its_posting_is_in_doubt_at_the_decision_then_it_is_found_and_locked(
    tmp_path: Path,
) -> None:
    with two_chats(tmp_path) as world:
        world.arm()
        world.slack.misbehave(path="*chat.postMessage", times=1, lose_answer=True)
        world.slack.misbehave(path="*", times=None, status=500, body="{}")
        world.hit()
        for _ in range(4):
            play(world)
        question = world.question()
        assert (question.message, len(world.cards())) == (None, 1)
        answer_in_matrix(world, YES)
        play(world)
        assert world.contains() == [HOST]
        assert not world.again(question).closed
        world.slack.behave()
        for _ in range(4):
            play(world)
        assert len(world.cards()) == 1
        assert "APPROVED by responder-a in matrix" in str(world.card(world.again(question)))
        assert world.again(question).closed


def test_card_when_it_was_never_posted_before_the_decision_then_it_never_is(
    tmp_path: Path,
) -> None:
    with two_chats(tmp_path) as world:
        question = asked_in_matrix(world)
        answer_in_matrix(world, YES)
        play(world)
        world.slack.behave()
        for _ in range(4):
            play(world)
        assert world.cards() == []
        assert world.again(question).closed
