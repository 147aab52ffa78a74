"""`guards.allowed_effects` rules every effect that a playbook may have: what it does not name is
denied, said, and stops nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from connectors.base import Effect
from runner import views
from runner.catalogue import CATALOGUE
from runner.checks import check
from runner.config import ConfigFaults
from tests.world import World, running_world

ALL = [effect.value for effect in Effect]
PLAYBOOK = """\
playbook: all-effects
description: One step of each effect, and what became of it.
steps:
  - id: triage
    do: wmic.assess
    with: {alert: "{{ alert }}"}
  - id: ticket
    do: tickets.create_ticket
    with: {title: "one hit"}
  - id: comment
    do: tickets.comment_ticket
    with: {text: "one comment"}
  - id: message
    do: chat.post_message
    with: {text: "one message"}
  - id: host
    do: edr.find_host
    with: {alert: "{{ alert }}"}
  - id: cut
    do: edr.isolate_host
    targets: ["{{ host.target }}"]
    max: 1
    with: {reason: "one reason"}
  - stop:
      reason: >-
        ticket {{ steps.ticket.status }} {{ ticket.state }}, comment {{ comment.state }},
        message {{ steps.message.status }} {{ message.state }}, cut {{ steps.cut.status }}
"""
ASKING = """\
playbook: all-effects
description: A question, and what silence counts as.
steps:
  - id: answer
    ask: "What now?"
    answers: {look: "somebody looks", leave: "leave it"}
    on_expiry: look
    expires_s: 600
  - stop: {reason: "{{ answer.answer }} {{ answer.state }} {{ steps.answer.status }}"}
"""


def played(world: World) -> str:
    """One hit, whose question (if any) both say yes to; how its run ended."""
    world.arm()
    world.hit()
    world.tick()
    for question in world.questions():
        world.yes(question)
    world.tick()
    (run,) = world.runs()
    return str(run.result)


def changes(allowed: list[str] | None, **more: Any) -> dict[str, Any]:
    search = {"searches": {"wmic_format_hits": {"playbook": "all-effects"}}}
    return {"guards": {"allowed_effects": allowed}, **search, **more}


@pytest.mark.parametrize(
    ("allowed", "ended", "done"),
    [
        (
            ALL,
            "ticket succeeded sent, comment sent, message succeeded sent, cut succeeded",
            {"ticket": 1, "messages": 1, "cut": 1},
        ),
        (
            ["investigate", "notify"],
            "ticket denied denied, comment no_ticket, message succeeded sent, cut denied",
            {"ticket": 0, "messages": 1, "cut": 0},
        ),
        (
            ["document"],
            "ticket succeeded sent, comment sent, message denied denied, cut denied",
            {"ticket": 1, "messages": 0, "cut": 0},
        ),
        (
            [],
            "ticket denied denied, comment no_ticket, message denied denied, cut denied",
            {"ticket": 0, "messages": 0, "cut": 0},
        ),
        (
            None,
            "ticket succeeded sent, comment sent, message succeeded sent, cut denied",
            {"ticket": 1, "messages": 1, "cut": 0},
        ),
    ],
)
def test_effects_when_some_are_allowed_then_only_those_happen_and_the_run_goes_on(
    tmp_path: Path, allowed: list[str] | None, ended: str, done: dict[str, int]
) -> None:
    with running_world(tmp_path, changes(allowed), playbooks={"all-effects": PLAYBOOK}) as world:
        assert played(world) == ended
        messages = sum("one message" in str(card) for card in world.cards())
        counted = {
            "ticket": len(world.jira.all_issues()),
            "messages": messages,
            "cut": len(world.contains()),
        }
        assert counted == done


def test_effect_when_denied_then_journal_show_and_check_say_so(tmp_path: Path) -> None:
    allowed = ["investigate", "notify"]
    with running_world(tmp_path, changes(allowed), playbooks={"all-effects": PLAYBOOK}) as world:
        played(world)
        (entry,) = world.entries("step_denied")
        assert entry.payload["error"]["text"] == "document is not in guards.allowed_effects"
        shown = views.show_case(world.journal, world.config, world.case().id).text
        assert "ticket: NOT done, document is not in guards.allowed_effects" in shown
        assert "contain is not in guards.allowed_effects" in shown
        said = "ok   not in guards.allowed_effects, and so never done: document, contain, release"
        assert said in check(world.service).text
        assert world.jira.effects() == []


def test_effect_when_allowed_later_then_a_denied_step_stays_denied(tmp_path: Path) -> None:
    playbook = PLAYBOOK.replace("  - id: message\n", ASK_FIRST + "  - id: message\n")
    with running_world(
        tmp_path, changes(["investigate", "notify"]), playbooks={"all-effects": playbook}
    ) as world:
        world.arm()
        world.hit()
        world.tick()
        world.restart({"guards": {"allowed_effects": ALL}})
        (asked,) = world.questions()
        world.react(asked, "U0RESPONDA", asked.choices[0].choice.emoji)
        world.tick()
        assert world.jira.all_issues() == [], "a replay goes the way that the run went"


ASK_FIRST = """\
  - id: answer
    ask: "Go on?"
    answers: {go_on: "go on", halt: "halt"}
    on_expiry: halt
    expires_s: 600
"""


def test_ask_when_notify_is_not_allowed_then_silence_and_nobody_is_asked(tmp_path: Path) -> None:
    with running_world(tmp_path, changes(["document"]), playbooks={"all-effects": ASKING}) as world:
        assert played(world) == "look denied denied"
        assert world.cards() == []
        shown = views.show_case(world.journal, world.config, world.case().id).text
        assert "answer: people NOT asked, notify is not in guards.allowed_effects" in shown


@pytest.mark.parametrize("effect", ["contain", "release"])
def test_config_when_containment_is_allowed_and_nobody_may_be_told_then_refused(
    tmp_path: Path, effect: str
) -> None:
    with running_world(tmp_path) as world, pytest.raises(ConfigFaults, match="needs `notify`"):
        world.configure({"guards": {"allowed_effects": ["document", effect]}})


def test_every_effect_of_the_catalogue_is_ruled() -> None:
    """One that is new needs a row in the tests above."""
    assert {spec.effect for spec in CATALOGUE.values()} == set(Effect)
