"""The JSON Schemas for editors: they take what the reader takes, and refuse what it refuses by
shape."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.catalogue import CATALOGUE
from runner.cli import main
from runner.editor_schema import config_schema, playbook_schema
from runner.playbook import PlaybookFaults, read_playbook, shipped_playbooks
from runner.playbook_shapes import STEP_SHAPES
from runner.yaml_reader import Report, read_yaml

ROOT = Path(__file__).parent.parent
STOP = [{"stop": {"reason": "done"}}]
ASK = {"ask": "What?", "answers": {"a": "A", "b": "B"}, "expires_s": 3600, "on_expiry": "a"}
EACH = {"for_each": "{{ alert.addresses }}", "as": "one", "max": 5, "steps": STOP}
REPEAT = {"repeat": STOP, "until": "{{ true }}", "max": 5, "every_s": 60}
SWITCH = {"switch": "{{ alert.id }}", "cases": {"a": STOP}, "default": STOP}


@cache
def validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(playbook_schema())


def plain(text: str) -> Any:
    root = read_yaml(text, Report("x.yaml"))
    assert root is not None
    return json.loads(json.dumps(root.plain()))


def file_of(*steps: Any, **more: Any) -> dict[str, Any]:
    return {"playbook": "sample", "description": "A sample.", "steps": list(steps), **more}


def is_refused(file: dict[str, Any]) -> bool:
    return next(validator().iter_errors(file), None) is not None


def is_misshapen(file: dict[str, Any]) -> bool:
    """Does the reader refuse the file for its shape?"""
    try:
        read_playbook(json.dumps(file), "sample.yaml", CATALOGUE)
    except PlaybookFaults as refused:
        codes = {fault.code for fault in refused.faults}
        return any(code.startswith("schema-") or code in SHAPE for code in codes)
    return False


SHAPE = ("playbook-kind", "playbook-step")


@pytest.mark.parametrize("name", shipped_playbooks())
def test_schema_when_a_shipped_playbook_is_judged_then_taken(name: str) -> None:
    assert list(validator().iter_errors(plain(shipped_playbooks()[name]))) == []


def test_schema_when_every_example_of_the_page_is_judged_then_taken() -> None:
    blocks = (ROOT / "docs/playbooks.md").read_text(encoding="utf-8").split("```yaml\n")[1:]
    for block in blocks:
        value = plain(block.partition("```")[0])
        file = value if isinstance(value, dict) else file_of(*value)
        assert list(validator().iter_errors(file)) == []


def test_schema_when_the_examples_configuration_is_judged_then_taken() -> None:
    schema = jsonschema.Draft202012Validator(config_schema())
    assert list(schema.iter_errors(plain((ROOT / "config.example.yaml").read_text()))) == []


@pytest.mark.parametrize("step", [ASK, EACH, REPEAT, SWITCH, *STOP, {"run": "x", "with": {"a": 1}}])
def test_schema_when_a_step_is_sound_then_taken_by_both(step: dict[str, Any]) -> None:
    assert not is_refused(file_of(step))
    assert not is_misshapen(file_of(step))


@pytest.mark.parametrize(
    "step",
    [
        {**EACH, "max": 0},
        {**EACH, "max": 1001},
        {**EACH, "as": "One"},
        {**EACH, "steps": []},
        {key: EACH[key] for key in ("for_each", "as", "steps")},
        {**REPEAT, "every_s": 0},
        {**REPEAT, "every": 60},
        {key: REPEAT[key] for key in ("repeat", "until", "every_s")},
        {key: REPEAT[key] for key in ("repeat", "max", "every_s")},
        {key: REPEAT[key] for key in ("repeat", "until", "max")},
        {**REPEAT, "repeat": [{"stop": {"reasn": "x"}}]},
        {**SWITCH, "cases": {}},
        {**SWITCH, "cases": {"a": [{"do": "nothing"}]}},
        {**SWITCH, "default": "stop"},
        {**ASK, "answers": {"a": "A"}},
        {**ASK, "answers": {f"a{n}": "A" for n in range(11)}},
        {**ASK, "answers": {"A B": "A", "b": "B"}},
        {**ASK, "expires_s": 5},
        {**ASK, "on_timeout": "a"},
        {key: ASK[key] for key in ("ask", "answers", "expires_s")},
        {key: ASK[key] for key in ("ask", "answers", "on_expiry")},
        {"run": "../x"},
        {"run": "x", "with": {"A B": 1}},
        {"stop": {"reason": "x"}, "retry": {"max": 2}},
        {**ASK, **EACH},
    ],
)
def test_schema_when_a_step_is_misshapen_then_refused_by_both(step: dict[str, Any]) -> None:
    assert is_misshapen(file_of(step))
    assert is_refused(file_of(step))


@pytest.mark.parametrize(
    "more",
    [
        {"inputs": []},
        {"inputs": {"a": {"type": "device"}}},
        {"inputs": {"a": {}}},
        {"inputs": {"a": {"type": "text", "optional": True}}},
        {"vars": "x"},
        {"on_error": []},
        {"on_error": [{"stop": {}}]},
        {"severity": "huge"},
    ],
)
def test_schema_when_the_file_is_misshapen_then_refused_by_both(more: dict[str, Any]) -> None:
    assert is_misshapen(file_of(*STOP, **more))
    assert is_refused(file_of(*STOP, **more))


KEYS = sorted({key for shape in STEP_SHAPES.values() for key in shape.__struct_fields__})
VALUES: list[Any] = [True, 5, -1, "x", "{{ alert.id }}", [], {}, STOP, {"a": STOP}, {"a": "b"}]


@given(
    st.sampled_from([ASK, EACH, REPEAT, SWITCH, *STOP]),
    st.sampled_from([key.rstrip("_") for key in KEYS]),
    st.sampled_from(VALUES),
)
def test_schema_when_one_key_of_a_step_is_changed_then_both_say_the_same(
    step: dict[str, Any], key: str, value: Any
) -> None:
    file = file_of({**step, key: value})
    assert is_refused(file) is is_misshapen(file)


@pytest.mark.parametrize(
    ("what", "schema"), [("playbook", playbook_schema()), ("config", config_schema())]
)
def test_schema_command_when_run_then_it_prints_the_schema(
    what: str, schema: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    for words in ([], ["--json"]):
        assert main(["schema", what, *words]) == 0
        assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(schema))


def test_schema_command_when_the_file_is_unknown_then_it_says_which_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["schema", "nothing"])
    assert ended.value.code == 2
    assert "'playbook', 'config'" in capsys.readouterr().err
