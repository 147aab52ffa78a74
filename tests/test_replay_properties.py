"""Random playbooks, killed after each commit of the journal: the same end, and each effect once."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.base import Chat, action_of
from connectors.model import Alert
from runner import arming
from runner.approvals import settle
from runner.bundle import Bundle, bundle_of
from runner.catalogue import CATALOGUE
from runner.config import Config, Guards, Mode
from runner.context import Call, StepFailed
from runner.effects import Effects
from runner.engine import Engine, RunContext
from runner.interpreter import play
from runner.journal import Journal, Tx, approvals, cases, runs
from runner.journal.records import LIVE, ApprovalState, Run
from runner.playbook import Do, read_playbook
from runner.routing import start_run
from runner.votes import Outcome
from tests.fake_clock import FakeClock

MOST_TURNS = 400
POST = action_of(Chat.post_message)
RAW = {"yes": True, "no": False, "word": "a", "list": [1, 2]}


class Killed(BaseException):
    """The process ends here."""


class MortalJournal(Journal):
    """Kills its process right after one commit."""

    kill_at = 0
    commits = 0

    @contextmanager
    def write(self, actor: str | None = None) -> Iterator[Tx]:
        with super().write(actor) as tx:
            yield tx
        self.commits += 1
        if self.commits == self.kill_at:
            raise Killed


# -- random playbooks ------------------------------------------------------------------------------


def expression(text: str) -> str:
    return "{{ " + text + " }}"


@st.composite
def leaf(draw: st.DrawFn, numbers: Iterator[int]) -> dict[str, Any]:
    name = f"s{next(numbers)}"
    kind = draw(st.sampled_from(["say", "say", "read", "fail", "ask", "run", "stop"]))
    if kind == "ask":
        answers = {"first": "First", "second": "Second"}
        return {"id": name, "ask": "What?", "answers": answers, **EXPIRY}
    if kind == "run":
        return {"id": name, "run": "sub", "with": {"x": draw(st.sampled_from(["p", "q"]))}}
    if kind == "stop":
        return {"id": name, "stop": {"reason": f"stopped by {name}"}}
    actions = {"say": "chat.post_message", "read": "edr.find_host", "fail": "wmic.assess"}
    step: dict[str, Any] = {"id": name, "do": actions[kind], "with": {}}
    step["on_error"] = draw(st.sampled_from(["fail", "continue", "block"]))
    if step["on_error"] == "block":
        step["on_error"] = [{"id": f"e{name}", "do": "chat.post_message", "with": {}}]
    return step


EXPIRY = {"expires_s": 3600, "on_expiry": "second"}


@st.composite
def block(draw: st.DrawFn, numbers: Iterator[int], depth: int) -> list[dict[str, Any]]:
    return [draw(step(numbers, depth)) for _ in range(draw(st.integers(1, 3 if depth else 2)))]


@st.composite
def step(draw: st.DrawFn, numbers: Iterator[int], depth: int) -> dict[str, Any]:
    kinds = ["leaf", "if", "switch", "for_each", "repeat", "parallel"]
    kind = draw(st.sampled_from(kinds)) if depth else "leaf"
    if kind == "leaf":
        return draw(leaf(numbers))
    name = f"s{next(numbers)}"
    inner = draw(block(numbers, depth - 1))
    made: dict[str, Any] = {
        "if": {
            "if": expression(draw(st.sampled_from(["alert.raw.yes", "alert.raw.no"]))),
            "then": inner,
        },
        "switch": {
            "switch": expression("alert.raw.word"),
            "cases": {draw(st.sampled_from("ab")): inner},
        },
        "for_each": {
            "for_each": expression("alert.raw.list"),
            "as": f"as_{name}",
            "max": 2,
            "steps": inner,
        },
        "repeat": {
            "repeat": [{"id": f"r{name}", "do": "edr.find_host", "with": {}}, *inner],
            "until": expression(f"r{name}.is_enough"),
            "max": 3,
            "every_s": 60,
        },
        "parallel": {"parallel": {"left": inner, "right": draw(block(numbers, depth - 1))}},
    }[kind]
    if kind in ("if", "switch"):
        made["else" if kind == "if" else "default"] = draw(block(numbers, depth - 1))
    return {"id": name, **made}


@st.composite
def bundles(draw: st.DrawFn) -> Bundle:
    numbers = count(1)
    steps = draw(block(numbers, 2))
    file: dict[str, Any] = {"playbook": "main", "description": "Random.", "steps": steps}
    if draw(st.booleans()):
        file["on_error"] = [{"id": "last", "do": "chat.post_message", "with": {}}]
    sub = {
        "playbook": "sub",
        "description": "Random.",
        "inputs": {"x": {"type": "text"}},
        "steps": [
            {"id": "told", "do": "chat.post_message", "with": {}},
            *draw(block(count(90), 0)),
        ],
    }
    sub["steps"] = [one for one in sub["steps"] if "run" not in one]
    read = [
        read_playbook(json.dumps(one), f"{one['playbook']}.yaml", CATALOGUE) for one in (file, sub)
    ]
    return bundle_of(read[0], {"sub": read[1]})


# -- one life after the other ----------------------------------------------------------------------


class Fleet:
    """An EDR that knows five devices of each name."""

    def count_devices(self, pattern: str) -> int:
        return 5


class Story:
    """One run on one journal, carried on by as many processes as it takes. `sent` is what reached
    the world, in order."""

    def __init__(self, folder: Path, bundle: Bundle) -> None:
        self.folder = folder
        self.bundle = bundle
        self.clock = FakeClock()
        folder.mkdir()
        protected = folder / "protected.txt"
        protected.write_text("host DC-*\n")
        guards = Guards(protected_file=protected)
        self.config = Config(state_dir=folder / "state", mode=Mode.PRACTICE, guards=guards)
        self.sent: list[str] = []
        self.commits = 0

    def play(self, kill_at: int) -> Run:
        """To the end; the first process dies at its commit number `kill_at`, 0 for never."""
        for turn in range(MOST_TURNS):
            journal = MortalJournal(self.config.state_dir, self.clock, actor="test")
            try:
                journal.own()
                if turn == 0:
                    self._begin(journal)
                    journal.kill_at = kill_at
                    journal.commits = 0
                run = self._live(journal)
                self.commits = journal.commits
                return run
            except Killed:
                continue
            finally:
                journal.close()
        raise AssertionError("the run never ends")

    def _begin(self, journal: Journal) -> None:
        arming.refresh_proof(journal, self.config, lambda: cast("Any", Fleet()))
        alert = Alert(id="alert", siem="s", search="t", raw={}, host="WS-1", cmdline="wmic")
        with journal.write() as tx:
            case = cases.new_case(tx, alert, "key", "ws-1")
            cases.add_alert(tx, alert, case.id)
            start_run(tx, case.id, alert.id, self.bundle)

    def _live(self, journal: Journal) -> Run:
        effects = Effects(journal, self.clock)
        engine = Engine(journal, self.config, effects, self.clock, self._play, lambda: None)
        for _ in range(MOST_TURNS):
            with journal.read() as tx:
                run = runs.of_case(tx, cases.every(tx)[0].id)[0]
            if run.status not in LIVE:
                return run
            self.clock.advance(61)
            engine.advance(run)
            self._answer(journal, run)
        raise AssertionError(f"the run is stuck: {run}")

    def _answer(self, journal: Journal, run: Run) -> None:
        with journal.read() as tx:
            asked = [
                one for one in approvals.of_run(tx, run.id) if one.state is ApprovalState.POSTING
            ]
        outcome = Outcome(state=ApprovalState.APPROVED, by=("a",), chosen=("first",))
        for one in asked:
            until = self.clock.now() + timedelta(seconds=one.expires_s)
            with journal.write() as tx:
                settle(
                    tx, approvals.save(tx, msgspec.structs.replace(one, expires_at=until)), outcome
                )

    def _play(self, ctx: RunContext) -> Any:
        async def act(step: Do, path: str, inputs: dict[str, Any], targets: Any) -> Any:
            def refuse(_elapsed_s: float) -> Any:
                raise StepFailed("rejected", f"{path} failed")

            def send(_elapsed_s: float) -> Any:
                self.sent.append(path)
                return {"path": path}

            if step.action == "wmic.assess":
                return await ctx.call(f"{path}#fail", Call(name="fail", send=refuse))
            if step.action == "edr.find_host":
                value = {"is_enough": "/1/" in path}
                return await ctx.call(f"{path}#read", Call(name="read", send=lambda _s: value))
            call = Call(
                name="say",
                send=send,
                action=POST,
                look=lambda _at: {"path": path} if path in self.sent else None,
            )
            return await ctx.call(f"{path}#say", call)

        names = {"alert": {"raw": RAW}, "case": {}}
        return play(ctx, self.bundle, names, ctx.run.inputs, act)


@settings(max_examples=6, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(bundles())
def test_random_playbook_when_killed_after_any_commit_then_the_end_is_the_same_and_effects_once(
    bundle: Bundle,
) -> None:
    with tempfile.TemporaryDirectory() as place:
        same_after_any_death(Path(place), bundle)


def same_after_any_death(place: Path, bundle: Bundle) -> Story:
    """Play the run whole, and once more for each commit at which it may be killed."""
    whole = Story(place / "whole", bundle)
    expected = whole.play(0)
    for kill_at in range(1, whole.commits + 1):
        story = Story(place / f"{kill_at}", bundle)
        ended = story.play(kill_at)
        assert (ended.status, ended.result, ended.error) == (
            expected.status,
            expected.result,
            expected.error,
        )
        assert sorted(story.sent) == sorted(whole.sent)
        assert len(set(story.sent)) == len(story.sent)
    return whole


EVERY_KIND = """
  - {id: one, do: chat.post_message, with: {}}
  - {id: two, ask: What?, answers: {first: First, second: Second}, expires_s: 60, on_expiry: second}
  - if: "{{ two.answer == 'first' }}"
    then: [{id: three, run: sub, with: {x: abc}}]
  - {id: four, for_each: [1, 2], as: item, max: 2, steps: [{id: five, do: chat.post_message}]}
  - id: six
    repeat: [{id: seven, do: edr.find_host}, {id: eight, do: chat.post_message}]
    until: "{{ seven.is_enough }}"
    max: 3
    every_s: 60
  - parallel:
      left: [{id: nine, do: wmic.assess, on_error: continue}]
      right: [{id: ten, do: chat.post_message}]
"""


def test_playbook_of_every_kind_of_step_when_killed_after_any_commit_then_all_is_done_once(
    tmp_path: Path,
) -> None:
    """Else the test above could pass on runs that do nothing."""
    head = "playbook: {}\ndescription: Fixed.\n"
    main = head.format("main") + "steps:" + EVERY_KIND
    inputs = "inputs: {x: {type: text}}\nsteps:\n  - {id: told, do: chat.post_message}\n"
    sub = head.format("sub") + inputs
    read = [read_playbook(text, "x.yaml", CATALOGUE) for text in (main, sub)]
    story = same_after_any_death(tmp_path, bundle_of(read[0], {"sub": read[1]}))
    assert story.commits > 20
    assert story.sent == [
        "/one",
        "/if-3/then/three/run.sub/told",
        "/four/0/five",
        "/four/1/five",
        "/six/0/eight",
        "/six/1/eight",
        "/parallel-6/right/ten",
    ]


@pytest.mark.parametrize(
    ("steps", "missing"),
    [
        ("parallel: {left: [{id: a, do: edr.find_host}], right: [USE]}", "a"),
        (
            "for_each: [1, 2]\n    as: one\n    max: 2\n    steps: [USE, FIND]",
            "a",
        ),
        (
            "for_each: [1]\n    as: a\n    max: 2\n    steps: [OTHER]\n  - USE",
            "a",
        ),
    ],
)
def test_step_when_it_uses_what_it_may_not_see_then_it_fails_though_lint_never_saw_it(
    tmp_path: Path, steps: str, missing: str
) -> None:
    """A sibling's value, an earlier round's, and a loop's own are not there, so that a result never
    hangs on which branch came first."""
    use = '{id: b, do: edr.find_host, with: {x: "{{ a }}"}}'
    steps = steps.replace("USE", use).replace("FIND", "{id: a, do: edr.find_host}")
    steps = steps.replace("OTHER", "{id: c, do: edr.find_host}")
    text = f"playbook: main\ndescription: Unlinted.\nsteps:\n  - {steps}\n"
    story = Story(tmp_path / "one", bundle_of(read_playbook(text, "main.yaml", CATALOGUE), {}))
    ended = story.play(0)
    assert ended.status == "failed"
    assert f"`{missing}` is not known here" in str(ended.error)
    assert str(ended.error).startswith("playbook: main.yaml:")
