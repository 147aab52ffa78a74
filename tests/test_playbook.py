"""Playbooks as they are read: typed steps, stable ids, every fault at once with its place."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from msgspec import UNSET

from runner.catalogue import CATALOGUE
from runner.editor_schema import playbook_schema
from runner.playbook import (
    Do,
    If,
    Parallel,
    Playbook,
    PlaybookFaults,
    Stop,
    find_playbook,
    read_playbook,
    shipped_playbooks,
)
from runner.yaml_reader import Report, read_yaml

HEAD = "playbook: sample\ndescription: A sample.\nsteps:\n"
FIND = '  - id: host\n    do: edr.find_host\n    with: {alert: "{{ alert }}"}\n'
ISOLATE = (
    '  - id: isolate\n    do: edr.isolate_host\n    targets: ["{{ host.target }}"]\n'
    "    with: {reason: because}\n"
)


def read(steps: str, head: str = HEAD) -> Playbook:
    return read_playbook(head + steps, "sample.yaml", CATALOGUE)


def faults_of(steps: str, head: str = HEAD) -> list[tuple[int, int, str]]:
    with pytest.raises(PlaybookFaults) as caught:
        read(steps, head)
    assert all(fault.mend and fault.file == "sample.yaml" for fault in caught.value.faults)
    return [(fault.line, fault.column, fault.code) for fault in caught.value.faults]


def codes_of(steps: str, head: str = HEAD) -> list[str]:
    return [code for _, _, code in faults_of(steps, head)]


def test_playbook_when_sound_gives_typed_steps() -> None:
    playbook = read(
        FIND.replace("    with:", "    retry: {max: 3}\n    timeout_s: 20\n    with:")
        + ISOLATE
        + "    approval: {quorum: 2}\n"
        '  - if: "{{ host.found }}"\n'
        "    then:\n      - stop: {reason: done}\n"
        "    else:\n      - do: chat.post_message\n        with: {text: hi}\n"
        "  - name: two at once\n"
        "    parallel:\n"
        "      left:\n        - stop: {reason: a, verdict: test}\n"
        "      right:\n        - stop: {reason: b}\n"
        "    on_error: continue\n"
        "  - do: chat.post_message\n"
        "    when: false\n"
        "    else_value: {id: none}\n"
        "    on_error:\n      - stop: {reason: failed}\n"
    )
    host, isolate, choice, both, said = playbook.steps
    assert isinstance(host, Do)
    assert (host.id, host.action, host.timeout_s) == ("host", "edr.find_host", 20)
    assert host.retry is not None
    assert (host.retry.max, host.retry.wait_s) == (3, 30.0)
    assert host.with_ == {"alert": "{{ alert }}"}
    assert host.else_value is UNSET
    assert isinstance(isolate, Do)
    assert isolate.targets == ["{{ host.target }}"]
    assert isolate.approval_quorum == 2
    assert isinstance(choice, If)
    assert [step.id for step in (*choice.then, *choice.otherwise)] == [
        "stop-3.then.1",
        "do-3.else.1",
    ]
    assert isinstance(both, Parallel)
    assert (both.name, both.on_error, list(both.branches)) == (
        "two at once",
        "continue",
        ["left", "right"],
    )
    left = both.branches["left"][0]
    assert isinstance(left, Stop)
    assert (left.id, left.verdict) == ("stop-4.left.1", "test")
    assert isinstance(said, Do)
    assert said.when is False
    assert said.else_value == {"id": "none"}
    assert isinstance(said.on_error, tuple)
    assert said.on_error[0].path == ("steps", 4, "on_error", 0)


def test_playbook_keeps_its_exact_text_and_hash() -> None:
    text = HEAD + "# a comment\n" + FIND
    playbook = read_playbook(text, "sample.yaml", CATALOGUE)
    assert playbook.source == text
    assert playbook.sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert (playbook.on, playbook.severity, playbook.techniques) == (None, "high", ())


def test_ids_when_lines_move_stay_the_same() -> None:
    steps = FIND + "  - stop: {reason: x}\n"
    moved = "\n\n# note\n" + FIND + "\n  # another\n  - stop: {reason: x}\n"
    assert (
        [s.id for s in read(steps).steps] == [s.id for s in read(moved).steps] == ["host", "stop-2"]
    )


def test_on_as_a_key_is_the_trigger_and_no_boolean() -> None:
    assert read(FIND, HEAD.replace("steps:", "on: wmic_hits\nsteps:")).on == "wmic_hits"


def test_playbook_with_many_faults_reports_all_of_them_in_order() -> None:
    head = "playbook: x y\ndescripton: d\nseverity: huge\ninputs: []\nsteps:\n"
    steps = """\
  - id: alert
    do: edr.find_host
    whith: {}
  - id: cut
    do: edr.isolate_host
    with: {reason: "{% x %}"}
    retry: {max: 9}
    timeout_s: 0
  - switch: x
  - foo: 1
  - if: yes
    then:
      - stop: {reasn: x}
  - stop: {reason: x}
    when:
"""
    assert faults_of(steps, head) == [
        (1, 1, "schema-missing"),
        (1, 11, "schema-value"),
        (2, 1, "schema-unknown"),
        (3, 11, "schema-value"),
        (4, 9, "schema-type"),
        (6, 9, "playbook-id"),
        (8, 5, "schema-unknown"),
        (9, 5, "playbook-targets"),
        (11, 20, "playbook-template"),
        (12, 18, "schema-value"),
        (13, 16, "schema-value"),
        (14, 5, "schema-missing"),
        (15, 5, "playbook-kind"),
        (16, 9, "yaml-word"),
        (18, 15, "schema-missing"),
        (18, 16, "schema-unknown"),
        (20, 10, "schema-type"),
    ]


@pytest.mark.parametrize(
    ("step", "code"),
    [
        ("  - do: edr.isolate_host\n    with: {reason: x}\n", "playbook-targets"),
        (ISOLATE.replace("{{ host.target }}", "WS-1"), "playbook-targets"),
        (ISOLATE.replace('"{{ host.target }}"', "{device_id: abcd}"), "playbook-targets"),
        (ISOLATE.replace("{reason:", '{targets: ["{{ x }}"], reason:'), "playbook-targets"),
        (ISOLATE.replace("{reason:", "{target: WS-1, reason:"), "playbook-targets"),
        (ISOLATE.replace('["{{ host.target }}"]', '"{{ host.target }}"'), "playbook-max"),
        (ISOLATE.replace('["{{ host.target }}"]', "[]"), "schema-length"),
        (ISOLATE + "    retry: {max: 2}\n", "playbook-retry"),
        (ISOLATE + "    timeout_s: 0\n", "schema-value"),
        (ISOLATE + "    timeout_s: -1\n", "schema-value"),
        (ISOLATE + "    approval: {quorum: 0}\n", "schema-value"),
        (ISOLATE + "    approval:\n", "schema-type"),
        (ISOLATE + "    approval: {on_timeout: approve, quorum: 1}\n", "schema-unknown"),
        (ISOLATE + "    on_timeout: approve\n", "schema-unknown"),
        (ISOLATE + "    on_error: ignore\n", "schema-value"),
        (ISOLATE + "    on_error: []\n", "schema-length"),
        (FIND + "    targets: ['{{ x }}']\n", "playbook-targets"),
        (FIND + "    max: 3\n", "playbook-targets"),
        (FIND + "    approval: {quorum: 2}\n", "playbook-approval"),
        (FIND + "    retry: {max: 6}\n", "schema-value"),
        (FIND + "    retry: {max: 2, wait_s: -1}\n", "schema-value"),
        (FIND + "    else_value: {}\n", "playbook-else-value"),
        (FIND + "    when: true\n    else_value: {summary: '{{ x }}'}\n", "playbook-else-value"),
        (FIND + '    when: "False"\n', "playbook-condition"),
        (FIND + "    when: no\n", "yaml-word"),
        (FIND + "    when: 0\n", "schema-type"),
        (FIND + "    when:\n", "schema-type"),
        (FIND + FIND, "playbook-id"),
        (FIND.replace("id: host", "id: Host-1"), "schema-value"),
        (FIND.replace("id: host", "id: steps"), "playbook-id"),
        (FIND.replace("edr.find_host", "find_host"), "schema-value"),
        (FIND.replace("{alert:", '{"{{ x }}": 1, alert:'), "schema-value"),
        (FIND.replace("{alert:", '{extra: {"{% x %}": 1}, alert:'), "playbook-template"),
        ("  - if: 'x'\n    then:\n      - stop: {reason: x}\n", "playbook-condition"),
        ("  - if: true\n    then: []\n", "schema-length"),
        ("  - if: true\n", "schema-missing"),
        ("  - parallel: {}\n", "schema-value"),
        ("  - parallel: {a: []}\n", "schema-length"),
        ("  - stop: x\n", "schema-type"),
        ("  - stop: {reason: }\n", "schema-type"),
        ("  - do: edr.find_host\n    stop: {reason: x}\n", "playbook-kind"),
        ("  - {}\n", "playbook-kind"),
        ("  - text\n", "playbook-step"),
        ("  []\n", "schema-length"),
    ],
)
def test_step_that_is_wrong_gives_its_one_fault(step: str, code: str) -> None:
    assert codes_of(step) == [code]


def test_duplicate_safety_setting_names_both_lines() -> None:
    with pytest.raises(PlaybookFaults) as caught:
        read(ISOLATE + "    approval: {quorum: 2}\n    approval: {quorum: 1}\n")
    (fault,) = caught.value.faults
    assert (fault.line, fault.code) == (9, "yaml-duplicate")
    assert "line 8" in fault.text


def test_ids_used_twice_on_one_line_are_still_two() -> None:
    step = "{id: a, do: edr.find_host}"
    assert faults_of(f"  [{step}, {step}]\n") == [(4, 37, "playbook-id")]


def test_find_when_a_folder_is_given_never_falls_back_to_the_shipped(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("text", encoding="utf-8")
    assert find_playbook("mine", tmp_path) == ("text", str(tmp_path / "mine.yaml"))
    for name in ("wmic-format", "../mine", "mine.yaml", "", "/etc/passwd"):
        with pytest.raises(KeyError):
            find_playbook(name, tmp_path)
    with pytest.raises(KeyError):
        find_playbook("mine", None)


def test_shipped_playbooks_are_found_and_named_after_their_files() -> None:
    shipped = shipped_playbooks()
    assert "wmic-format" in shipped
    for name, text in shipped.items():
        found, file = find_playbook(name, None)
        assert found == text
        assert read_playbook(text, file, CATALOGUE).name == name


def test_reading_a_playbook_never_loads_jinja2() -> None:
    code = (
        "import sys; from runner.catalogue import CATALOGUE\n"
        "from runner.playbook import find_playbook, read_playbook\n"
        "read_playbook(*find_playbook('wmic-format', None), CATALOGUE)\n"
        "assert 'jinja2' not in sys.modules and 'jsonschema' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


# -- the schema for editors ------------------------------------------------------------------------


def errors_of(text: str) -> list[str]:
    root = read_yaml(text, Report("sample.yaml"))
    assert root is not None
    value = json.loads(json.dumps(root.plain()))
    validator = jsonschema.Draft202012Validator(playbook_schema())
    return [error.json_path for error in validator.iter_errors(value)]


def test_schema_agrees_with_the_reader_on_the_shipped_playbooks() -> None:
    jsonschema.Draft202012Validator.check_schema(playbook_schema())
    for text in shipped_playbooks().values():
        assert errors_of(text) == []


@pytest.mark.parametrize(
    ("steps", "path"),
    [
        ("  - do: edr.find_host\n    whith: {}\n", "$.steps[0]"),
        ("  - do: edr.find_host\n    stop: {reason: x}\n", "$.steps[0]"),
        ("  - name: nothing\n", "$.steps[0]"),
        ("  - if: true\n    then:\n      - stop: {reasn: x}\n", "$.steps[0].then[0].stop"),
        ("  - parallel: {a: [{do: x}]}\n", "$.steps[0].parallel.a[0].do"),
        ("  - do: edr.find_host\n    on_error: [{stop: {}}]\n", "$.steps[0].on_error"),
    ],
)
def test_schema_given_a_wrong_step_judges_it_by_its_own_kind(steps: str, path: str) -> None:
    assert path in errors_of(HEAD + steps)
    with pytest.raises(PlaybookFaults):
        read(steps)
