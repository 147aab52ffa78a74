"""Lint: what is proved about a playbook before it runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import ROLES, Effect
from runner.catalogue import CATALOGUE, ActionSpec, ValueType
from runner.lint import lint_text
from runner.playbook import shipped_playbooks
from runner.playbook_shapes import STEP_SHAPES, InputShape, PlaybookShape

ROOT = Path(__file__).parent.parent
WHEN = "    when: \"{{ alert.id == 'x' }}\"\n"
HEAD = "playbook: sample\ndescription: A sample.\nsteps:\n"
TRIAGE = '  - id: triage\n    do: wmic.assess\n    with: {alert: "{{ alert }}"}\n'
HOST = '  - id: host\n    do: edr.find_host\n    with: {alert: "{{ alert }}"}\n'
SPREAD = (
    "  - id: spread\n    do: hunt.spread\n"
    '    with: {alert: "{{ alert }}", indicators: "{{ triage.indicators }}"}\n'
)


def isolate(targets: str) -> str:
    return (
        f"  - id: isolate\n    do: edr.isolate_host\n    targets: {targets}\n    max: 25\n"
        "    with: {reason: because}\n"
    )


def say(text: str) -> str:
    return f'  - do: chat.post_message\n    with: {{text: "{text}"}}\n'


def findings(steps: str) -> list[str]:
    """Codes, in the order of the file; each finding has a place and a mend."""
    found = lint_text(HEAD + steps, "sample.yaml", CATALOGUE)
    assert all(fault.line > 3 and fault.column > 0 and fault.mend for fault in found)
    return [fault.code for fault in found]


def test_shipped_playbooks_have_no_finding() -> None:
    for name, text in shipped_playbooks().items():
        assert lint_text(text, name, CATALOGUE) == []


def test_lint_given_what_the_reader_refuses_gives_the_readers_faults() -> None:
    found = lint_text(HEAD + "  - switch: x\n  - foo: 1\n", "sample.yaml", CATALOGUE)
    assert [fault.code for fault in found] == ["schema-missing", "playbook-kind"]


def test_lint_names_place_and_mend_of_a_finding() -> None:
    (fault,) = lint_text(HEAD + TRIAGE + say("{{ triage.sumary }}"), "sample.yaml", CATALOGUE)
    assert str(fault) == (
        "sample.yaml:8:18: SP204 steps[2].with.text: `wmic.assess` has no output `sumary`. "
        "Did you mean `summary`?"
    )


@pytest.mark.parametrize(
    ("steps", "codes"),
    [
        ("  - do: edr.find_hosts\n", ["SP101"]),
        ("  - do: edrr.find_host\n", ["SP102"]),
        ("  - do: edr.find_host\n", ["SP103"]),
        (HOST.replace("{alert:", "{extra: 1, alert:"), ["SP104"]),
        (HOST.replace('"{{ alert }}"', "WS-1"), ["SP105"]),
        (HOST.replace("{{ alert }}", "{{ alert.raw }}"), ["SP105"]),
        ("  - do: chat.post_message\n    with: {text: 5}\n", ["SP105"]),
        (TRIAGE + say("{{ triage.score }}"), ["SP105"]),
        (TRIAGE + say("score {{ triage.score }}"), []),
        (TRIAGE + "  - stop: {reason: '{{ triage.score }}'}\n", ["SP105"]),
        (say("on {{ alert.host }}"), ["SP106"]),
        (say("{{ alert.host | lower }}"), ["SP106"]),
        (say("{{ alert.host | default('unknown') }}"), []),
        (say("{{ 'none' if alert.host is none else alert.host }}"), []),
        (say("{{ alert.id }}"), []),
        (
            TRIAGE + "  - if: '{{ triage.score }}'\n    then:\n      - stop: {reason: x}\n",
            ["SP107"],
        ),
        (HOST + "    when: '{{ alert.host }}'\n", ["SP107"]),
        (HOST + "    when: \"{{ alert.host == 'x' }}\"\n", []),
        (say("{{ 1 + }}"), ["SP108"]),
        (say("{{ alert.host.upper() }}"), ["SP108"]),
        (say("{{ nobody.x }}"), ["SP201"]),
        (say("{{ steps.nobody.status }}"), ["SP201"]),
        (say("{{ alert.hots | default('x') }}"), ["SP205"]),
        (say("{{ case.hots }}"), ["SP205"]),
        (say("{{ case.id }}"), []),
        (say("{{ case.host }}"), ["SP106"]),
        (TRIAGE + say("{{ steps.triage.value }}"), ["SP205"]),
        (TRIAGE + say("{{ triage.sumary }}"), ["SP204"]),
        (TRIAGE + say("{{ triage.summary.text }}"), ["SP204"]),
    ],
)
def test_lint_of_one_step_finds(steps: str, codes: list[str]) -> None:
    assert findings(steps) == codes


# -- what has certainly run by then ----------------------------------------------------------------


def indented(steps: str) -> str:
    return re.sub("^", "    ", steps, flags=re.MULTILINE).rstrip(" ")


IF = "  - if: \"{{ alert.id == 'x' }}\"\n    then:\n"
STOP = "      - stop: {reason: x}\n"
USE = say("{{ triage.summary }}")
STATUS = say("{{ steps.triage.status }}")


@pytest.mark.parametrize(
    ("steps", "codes"),
    [
        (USE + TRIAGE, ["SP202"]),
        (STATUS + TRIAGE, ["SP202"]),
        (TRIAGE.replace("{{ alert }}", "{{ triage }}"), ["SP202", "SP105"]),
        (IF + indented(TRIAGE) + USE, ["SP202"]),
        (IF + indented(TRIAGE) + STATUS, ["SP202"]),
        (IF + indented(TRIAGE) + indented(USE), []),
        (IF + indented(TRIAGE) + "    else:\n" + STOP + USE, []),
        (IF + STOP + "    else:\n" + indented(TRIAGE) + USE, []),
        (IF + STOP + "    else:\n" + indented(USE) + TRIAGE, ["SP202"]),
        (TRIAGE + IF + STOP + USE, []),
        (TRIAGE + WHEN + USE, ["SP203"]),
        (TRIAGE + WHEN + STATUS, []),
        (TRIAGE + WHEN + "    else_value: {summary: skipped}\n" + USE, []),
        (TRIAGE + WHEN + "    else_value: {score: 0}\n" + USE, ["SP206"]),
        (TRIAGE + WHEN + "    else_value: nothing\n" + USE, ["SP206"]),
        (TRIAGE + "    on_error: continue\n" + USE, ["SP203"]),
        (TRIAGE + "    on_error: continue\n" + STATUS, []),
        (TRIAGE + "    on_error:\n" + STOP + USE, []),
        (TRIAGE + "    on_error:\n" + indented(say("x")) + USE, ["SP203"]),
        (TRIAGE + "    on_error:\n" + indented(USE), ["SP203"]),
        (TRIAGE + "    on_error:\n" + indented(STATUS), []),
        (
            TRIAGE + WHEN + "    else_value: {summary: x}\n    on_error: continue\n" + USE,
            ["SP203"],
        ),
    ],
)
def test_lint_of_the_flow_finds(steps: str, codes: list[str]) -> None:
    assert findings(steps) == codes


def test_lint_of_parallel_sees_branches_after_it_and_not_across() -> None:
    branches = "  - parallel:\n      one:\n" + indented(TRIAGE) + "      two:\n"
    assert findings(branches + indented(say("x")) + USE) == []
    assert findings(branches + indented(USE)) == ["SP202"]
    assert findings(branches + indented(say("x")) + "    on_error: continue\n" + USE) == ["SP202"]
    assert findings(branches + STOP) == ["SP402"]
    assert findings(branches + indented(IF) + indented(STOP)) == ["SP402"]


def test_lint_of_steps_after_the_end_finds_them_and_goes_on() -> None:
    assert findings("  - stop: {reason: x}\n" + say("{{ nobody }}")) == ["SP401", "SP201"]
    assert findings(IF + STOP + "    else:\n" + STOP + say("x")) == ["SP401"]
    assert findings("  - stop: {reason: x}\n" + WHEN + say("x")) == []


# -- containment -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("targets", "codes"),
    [
        ('["{{ host.target }}"]', []),
        ('"{{ spread.targets }}"', []),
        ('["{{ host.summary }}"]', ["SP302"]),
        ('["{{ host }}"]', ["SP302"]),
        ('["{{ alert.host }}"]', ["SP106", "SP302"]),
        ('["{{ spread.targets }}"]', ["SP302"]),
        ('"{{ host.target }}"', ["SP302"]),
        ('"{{ spread.hosts }}"', ["SP302"]),
        ('"{{ spread.targets | unique }}"', ["SP302"]),
        ("\"{{ [{'device_id': 'DC-1'}] }}\"", ["SP302"]),
        ("[\"{{ host.target | default({'device_id': 'DC-1'}) }}\"]", ["SP302"]),
        ("[\"{{ 'DC-1' }}\"]", ["SP302"]),
        ('["{{ host.target }} x"]', ["SP302"]),
    ],
)
def test_lint_of_targets_takes_only_what_a_step_found(targets: str, codes: list[str]) -> None:
    assert findings(TRIAGE + HOST + SPREAD + isolate(targets)) == codes


def test_lint_of_an_else_value_never_lets_a_device_be_written() -> None:
    skipped = SPREAD + WHEN + "    else_value: "
    use = isolate('"{{ spread.targets }}"')
    assert findings(TRIAGE + skipped + "{targets: []}\n" + use) == []
    assert findings(TRIAGE + skipped + "{targets: [{device_id: DC-1}]}\n" + use) == ["SP302"]
    assert findings(TRIAGE + skipped + "{targets: [], summary: 5}\n" + use) == ["SP105"]
    assert findings(TRIAGE + skipped + "{targets: [], extra: 5}\n" + use) == ["SP204"]


def test_lint_of_a_containment_without_a_release_refuses_it() -> None:
    original = CATALOGUE["edr.isolate_host"]
    text = HEAD + HOST + isolate('["{{ host.target }}"]')
    for inverse in (None, "edr.nothing", "edr.find_host"):
        broken = ActionSpec(
            name=original.name,
            about=original.about,
            effect=Effect.CONTAIN,
            inputs=original.inputs,
            outputs=original.outputs,
            takes_targets=True,
            inverse=inverse,
        )
        found = lint_text(text, "sample.yaml", {**CATALOGUE, original.name: broken})
        assert [fault.code for fault in found] == ["SP301"]


def test_every_action_with_a_role_belongs_to_one_that_exists() -> None:
    families = {name.partition(".")[0] for name in CATALOGUE}
    assert families - {"wmic", "hunt"} <= set(ROLES)


# -- docs ------------------------------------------------------------------------------------------


def test_docs_name_every_kind_key_and_action() -> None:
    docs = (ROOT / "docs/playbooks.md").read_text(encoding="utf-8")
    words = {*STEP_SHAPES, *CATALOGUE, *PlaybookShape.__struct_fields__}
    words |= {key.rstrip("_") for shape in STEP_SHAPES.values() for key in shape.__struct_fields__}
    words |= {*InputShape.__struct_fields__, *ValueType}
    assert sorted(word for word in words if f"`{word}`" not in docs) == []


FLAGSHIP = shipped_playbooks()["wmic-format"]


@given(
    st.integers(0, len(FLAGSHIP) - 1),
    st.integers(0, 40),
    st.sampled_from(["", "no", "{{ x }}", "{% x %}", "- ", ": ", "*a", '"', "null", "[", "5"]),
)
def test_lint_given_a_damaged_playbook_finds_or_takes_it_and_never_breaks(
    start: int, length: int, put: str
) -> None:
    text = FLAGSHIP[:start] + put + FLAGSHIP[start + length :]
    for fault in lint_text(text, "damaged.yaml", CATALOGUE):
        assert 1 <= fault.line <= len(text.splitlines()) + 1
        assert fault.mend
        assert fault.code
