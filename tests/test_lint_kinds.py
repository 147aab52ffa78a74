"""Lint follows the flow through branches, loops, questions and other playbooks."""

from __future__ import annotations

import textwrap

import pytest

from runner.bundle import find_subs
from runner.catalogue import CATALOGUE
from runner.lint import lint, lint_text
from runner.playbook import read_playbook

HEAD = "playbook: sample\ndescription: A sample.\nsteps:\n"
TRIAGE = '- id: triage\n  do: wmic.assess\n  with: {alert: "{{ alert }}"}\n'
HOST = '- id: host\n  do: edr.find_host\n  with: {alert: "{{ alert }}"}\n'
CUT = '- do: edr.isolate_host\n  targets: ["{{ host.target }}"]\n  with: {reason: because}\n'
STOP = "- stop: {reason: done}\n"
USE = '- do: chat.post_message\n  with: {text: "{{ triage.summary }}"}\n'
SWITCH = '- switch: "{{ alert.id }}"\n  cases:\n    a:\n'
EACH = '- id: loop\n  for_each: "{{ alert.addresses }}"\n  as: one\n  max: 9\n  steps:\n'
REPEAT = '- id: loop\n  max: 9\n  every_s: 60\n  until: "{{ triage.score > 5 }}"\n  repeat:\n'


def inside(steps: str, by: int = 4) -> str:
    return textwrap.indent(steps, " " * by)


def say(expression: str) -> str:
    return f'- do: chat.post_message\n  with: {{text: "it is {{{{ {expression} }}}}"}}\n'


def findings(steps: str, head: str = HEAD, **others: str) -> list[str]:
    found = lint_text(
        head + inside(steps, 2),
        "sample.yaml",
        CATALOGUE,
        lambda name: (others[name], f"{name}.yaml"),
    )
    assert all(fault.line > 0 and fault.mend for fault in found)
    return [fault.code for fault in found]


@pytest.mark.parametrize(
    ("steps", "codes"),
    [
        # a switch: what each branch sets is seen after it, and nothing else
        (
            SWITCH
            + inside(TRIAGE, 6)
            + "  default:\n"
            + inside(TRIAGE.replace("triage", "t2"))
            + USE,
            ["SP202"],
        ),
        (SWITCH + inside(TRIAGE, 6) + "  default:\n" + inside(STOP) + USE, []),
        (SWITCH + inside(STOP, 6) + "  default:\n" + inside(STOP) + USE, ["SP401", "SP201"]),
        (SWITCH + inside(STOP, 6), ["SP405"]),
        (
            SWITCH.replace("alert.id", "alert.raw")
            + inside(STOP, 6)
            + "  default:\n"
            + inside(STOP),
            ["SP105"],
        ),
        # a loop: its inside is not seen after it, its own value is
        (EACH + inside(TRIAGE) + say("loop | length"), []),
        (EACH + inside(TRIAGE) + say("loop.summary"), ["SP204"]),
        (EACH + inside(TRIAGE) + USE, ["SP202"]),
        (EACH + inside(TRIAGE) + say("steps.triage.status"), ["SP202"]),
        (EACH + inside(say("one")) + say("one"), ["SP202"]),
        (EACH + inside(TRIAGE + "  on_error: continue\n") + say("loop | length"), ["SP203"]),
        (EACH + inside("- parallel: {a: [{stop: {reason: x}}]}\n"), ["SP402"]),
        (EACH + inside(STOP) + say("alert.id"), []),
        (EACH.replace("alert.addresses", "alert.id") + inside(say("one")), ["SP105"]),
        (
            EACH.replace('"{{ alert.addresses }}"', "[a, b]").replace("max: 9", "max: 1")
            + inside(say("one")),
            ["SP105"],
        ),
        (REPEAT + inside(TRIAGE) + say("loop.summary"), []),
        (REPEAT + inside(TRIAGE) + say("loop.sumary"), ["SP204"]),
        (REPEAT + inside(TRIAGE) + USE, ["SP202"]),
        (REPEAT + inside(USE + TRIAGE), ["SP202"]),
        (REPEAT + inside(TRIAGE + STOP) + say("alert.id"), ["SP401"]),
        (REPEAT.replace("triage.score > 5", "alert.id == 'x'") + inside(TRIAGE), ["SP404"]),
        (
            REPEAT.replace("triage.score > 5", "triage.assessment == 'x'") + inside(TRIAGE),
            ["SP404"],
        ),
        (REPEAT.replace("triage.score > 5", "1 == 2") + inside(TRIAGE), ["SP404"]),
        (REPEAT.replace("triage.score > 5", "1 == 1") + inside(TRIAGE), ["SP403"]),
        (REPEAT.replace("triage.score > 5", "triage.score") + inside(TRIAGE), ["SP107"]),
        (
            REPEAT.replace("triage.score > 5", "steps.triage.status == 'succeeded'")
            + inside(TRIAGE),
            [],
        ),
        (TRIAGE + REPEAT + inside(HOST), ["SP404"]),
        # containment in a loop
        (HOST + EACH + inside(CUT), ["SP303"]),
        (HOST + REPEAT + inside(TRIAGE + CUT), ["SP303"]),
        (HOST + EACH + inside("- if: \"{{ one == 'x' }}\"\n  then:\n" + inside(CUT)), ["SP303"]),
        # conditions that are always the same
        (TRIAGE + "- if: \"{{ triage.assessment == 'x' }}\"\n  then:\n" + inside(STOP), ["SP403"]),
        (TRIAGE + "- if: \"{{ triage.assessment != 'x' }}\"\n  then:\n" + inside(STOP), ["SP403"]),
        (TRIAGE + "- if: \"{{ triage.assessment == 'benign' }}\"\n  then:\n" + inside(STOP), []),
        (
            TRIAGE + "- if: \"{{ steps.triage.status == 'done' }}\"\n  then:\n" + inside(STOP),
            ["SP403"],
        ),
        ("- stop: {reason: x}\n  when: false\n", ["SP403"]),
        ('- stop: {reason: x}\n  when: "{{ alert.host is none or true }}"\n', ["SP403"]),
        # a kind of step that has no value
        (
            '- id: a\n  if: "{{ alert.host is none }}"\n  then:\n' + inside(STOP) + say("a.x"),
            ["SP203"],
        ),
    ],
)
def test_lint_of_branches_and_loops_finds(steps: str, codes: list[str]) -> None:
    assert findings(steps) == codes


# -- questions -------------------------------------------------------------------------------------


def ask(on_expiry: str) -> str:
    return (
        "- id: q\n  ask: What is it?\n  answers: {fine: Fine, bad: Bad, odd: Odd}\n"
        f"  expires_s: 3600\n  on_expiry: {on_expiry}\n"
    )


def asks_if(condition: str, then: str, otherwise: str = "") -> str:
    tail = "  else:\n" + inside(otherwise) if otherwise else ""
    return f'- if: "{{{{ {condition} }}}}"\n  then:\n' + inside(then) + tail


BAD, FINE = "q.answer == 'bad'", "q.answer == 'fine'"
BY_SWITCH = '- switch: "{{ q.answer }}"\n  cases:\n    bad:\n' + inside(CUT, 6)


@pytest.mark.parametrize(
    ("steps", "codes"),
    [
        # silence that leads where an answer leads
        (ask("bad") + asks_if(BAD, CUT), ["SP304"]),
        (ask("fine") + asks_if(BAD, CUT), []),
        (ask("odd") + asks_if("q.answer != 'fine'", CUT), ["SP304"]),
        (ask("odd") + asks_if(FINE, STOP, CUT), ["SP304"]),
        (ask("fine") + asks_if(FINE, STOP, CUT), []),
        # behind a stop
        (
            ask("fine") + STOP + "  when: \"{{ alert.id == 'x' }}\"\n" + asks_if(BAD, STOP) + CUT,
            ["SP304"],
        ),
        (ask("odd") + asks_if(FINE, STOP) + CUT, ["SP304"]),
        (ask("fine") + asks_if(FINE, STOP) + CUT, []),
        # by a switch, its default included
        (ask("bad") + BY_SWITCH + "  default:\n" + inside(STOP), ["SP304"]),
        (ask("odd") + BY_SWITCH + "  default:\n" + inside(STOP), []),
        (
            ask("odd") + BY_SWITCH.replace("bad:", "fine:") + "  default:\n" + inside(CUT),
            ["SP304"],
        ),
        # by a step's own `when`, and by what the question came to
        (ask("bad") + CUT + "  when: \"{{ q.answer == 'bad' }}\"\n", ["SP304"]),
        (ask("fine") + asks_if("q.state == 'expired'", CUT), ["SP304"]),
        (ask("fine") + asks_if("steps.q.status == 'denied'", CUT), ["SP304"]),
        # mixed with what nobody knows beforehand
        (ask("bad") + asks_if(f"{BAD} and host.proved", CUT), ["SP304"]),
        (ask("fine") + asks_if(f"{BAD} and host.proved", CUT), []),
        (ask("fine") + asks_if(f"not ({FINE}) and host.proved", CUT), []),
        # whatever people answer, it is asked about
        (ask("bad") + CUT, []),
        (ask("bad") + asks_if(BAD, USE.replace("triage", "host")) + CUT, []),
        (CUT + ask("bad") + asks_if(BAD, STOP), []),
        # answers that exist, and those that do not
        (ask("fine") + asks_if("q.answer == 'good'", STOP), ["SP403"]),
        (
            ask("fine") + BY_SWITCH.replace("bad:", "good:") + "  default:\n" + inside(STOP),
            ["SP406"],
        ),
        (ask("fine") + say("q.by"), ["SP204"]),
        (ask("fine").replace("What is it?", '"{{ alert.raw }}"'), ["SP105"]),
        (ask("fine").replace("What is it?", '"What on {{ alert.host }}?"'), ["SP106"]),
    ],
)
def test_lint_of_a_question_finds_where_silence_leads(steps: str, codes: list[str]) -> None:
    assert findings(HOST + steps) == codes


# -- other playbooks -------------------------------------------------------------------------------

SUB = (
    "playbook: sub\ndescription: A sample.\ninputs:\n  who: {type: text}\n"
    "  count: {type: number, default: 1}\n  what: {type: targets, default: []}\nsteps:\n"
)
PLAIN = SUB + inside(say("inputs.who"), 2)
CUTS = SUB + inside(HOST + CUT, 2)


def run(with_: str = "{who: me}") -> str:
    return f"- id: r\n  run: sub\n  with: {with_}\n"


@pytest.mark.parametrize(
    ("steps", "codes"),
    [
        (run() + say("r.reason"), []),
        (run() + say("r.answer"), ["SP204"]),
        (run("{}"), ["SP103"]),
        (run("{who: me, whom: you}"), ["SP104"]),
        (run("{who: 5}"), ["SP105"]),
        (run('{who: "{{ nobody.x }}"}'), ["SP201"]),
        (run('{who: me, count: "{{ alert.id }}"}'), ["SP105"]),
        (run("{who: me, what: [WS-1]}"), ["SP302"]),
        (run("{who: me, what: []}"), ["SP302"]),
        (EACH + inside(run('{who: "{{ one }}"}')), []),
    ],
)
def test_lint_of_a_sub_playbook_checks_what_it_is_given(steps: str, codes: list[str]) -> None:
    assert findings(steps, sub=PLAIN) == codes


def test_lint_of_a_sub_playbook_that_isolates_counts_as_isolating() -> None:
    assert findings(EACH + inside(run()), sub=CUTS) == ["SP303"]
    assert findings(ask("bad") + asks_if(BAD, run()), sub=CUTS) == ["SP304"]
    through = SUB + inside(run().replace("sub", "deep").replace("{who: me}", "{who: you}"), 2)
    assert findings(EACH + inside(run()), sub=through, deep=CUTS.replace("sub", "deep", 1)) == [
        "SP303"
    ]


def test_lint_of_a_circle_of_playbooks_refuses_each_way_round() -> None:
    back = SUB + "  - run: sample\n"
    assert findings(run(), sub=back) == ["SP502"]
    itself = SUB + "  - run: sub\n    with: {who: me}\n"
    assert findings(run(), sub=itself) == ["SP501"]
    other = SUB + "  - run: deep\n"
    deep = SUB.replace("sub", "deep", 1) + "  - run: sub\n    with: {who: me}\n"
    assert findings(run(), sub=other, deep=deep) == ["SP502"]


def test_lint_of_a_sub_playbook_that_cannot_be_read_finds_it_missing() -> None:
    assert findings(run(), sub="steps: 1\n") == ["SP501"]
    assert findings(run(), sub=PLAIN.replace("playbook: sub", "playbook: other")) == ["SP501"]
    assert findings("- run: nowhere\n") == ["SP501"]


def test_lint_of_a_file_sees_what_it_is_given_only() -> None:
    text = HEAD + inside(run(), 2)
    playbook = read_playbook(text, "sample.yaml", CATALOGUE)
    subs = find_subs(playbook, lambda name: (PLAIN, f"{name}.yaml"), CATALOGUE)
    assert lint(playbook, CATALOGUE, subs) == []
    assert [fault.code for fault in lint(playbook, CATALOGUE)] == ["SP501"]


# -- inputs, vars, on_error ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "steps", "codes"),
    [
        ("inputs: {x: {type: text}}\n", say("inputs.x"), []),
        ("inputs: {x: {type: text}}\n", say("inputs.y"), ["SP205"]),
        ("inputs: {x: {type: text, required: false}}\n", say("inputs.x"), ["SP106"]),
        ("inputs: {x: {type: number}}\n", "- stop: {reason: '{{ inputs.x }}'}\n", ["SP105"]),
        ("inputs: {x: {type: target}}\n", CUT.replace("host.target", "inputs.x"), []),
        ("inputs: {x: {type: text}}\n", CUT.replace("host.target", "inputs.x"), ["SP302"]),
        ("on: hits\ninputs: {x: {type: text}}\n", STOP, ["SP503"]),
        ("on: hits\ninputs: {x: {type: text, default: a}}\n", STOP, []),
        ("vars: {a: '{{ alert.id }}', b: '{{ vars.a }}'}\n", say("vars.b"), []),
        ("vars: {a: '{{ vars.b }}', b: '{{ alert.id }}'}\n", STOP, ["SP202"]),
        ("vars: {a: '{{ alert.host }}'}\n", STOP, ["SP106"]),
        ("vars: {a: '{{ triage.score }}'}\n", TRIAGE, ["SP202"]),
        ("vars: {a: 5}\n", "- stop: {reason: '{{ vars.a }}'}\n", ["SP105"]),
        ("vars: {a: 5}\n", say("vars.c"), ["SP205"]),
        ("on_error: [{stop: {reason: '{{ failure.text }}'}}]\n", STOP, []),
        ("on_error: [{stop: {reason: '{{ failure.why }}'}}]\n", STOP, ["SP205"]),
        ("on_error: [{stop: {reason: '{{ triage.summary }}'}}]\n", TRIAGE, ["SP202"]),
        ("", say("failure.text"), ["SP202"]),
    ],
)
def test_lint_of_what_stands_beside_the_steps_finds(
    more: str, steps: str, codes: list[str]
) -> None:
    assert findings(steps, HEAD.replace("steps:", more + "steps:")) == codes
