"""What a case says when nobody was asked: which guard denied it, or that it was only observed."""

from __future__ import annotations

from pathlib import Path

from runner import views
from tests.world import World, running_world
from tests.world_settings import HOST


def shown(world: World) -> str:
    """The only case, as `stockade show` prints it, in one line."""
    text = views.show_case(world.journal, world.config, world.case().id).text
    return " ".join(text.split())


def test_case_given_a_protected_host_says_which_rule_denied_it(tmp_path: Path) -> None:
    with running_world(tmp_path) as world:
        world.protect(f"host DC-*\nhost {HOST}\n")
        world.arm()
        world.hit()
        world.tick()
        sentence = f"{HOST}: NOT asked about, guards deny it: protected by the rule «host {HOST}»"
        assert sentence in shown(world)
        assert sentence in "\n".join(world.ticket_texts())
        assert world.questions() == []


def test_case_in_observe_says_that_people_would_have_been_asked(tmp_path: Path) -> None:
    with running_world(tmp_path, {"mode": "observe"}) as world:
        world.hit()
        world.tick()
        assert f"{HOST}: observed only; people would have been asked" in shown(world)
        assert world.writes() == {"falcon": 0, "slack": 0, "jira": 0}


def test_case_that_was_asked_about_does_not_say_that_nobody_was(tmp_path: Path) -> None:
    with running_world(tmp_path) as world:
        world.arm()
        world.hit()
        world.tick()
        assert world.question()
        assert "observed only" not in shown(world)
        assert "NOT asked about" not in shown(world)
