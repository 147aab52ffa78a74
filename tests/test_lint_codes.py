"""Every code that lint and the reader can give: documented, with an example that has it."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from connectors.base import Effect
from runner.catalogue import CATALOGUE, ActionSpec
from runner.lint import FINDINGS, lint_text
from runner.loading import load_bundle
from runner.playbook import PlaybookFaults
from runner.playbook_shapes import STEP_SHAPES
from runner.yaml_reader import MAX_DEPTH, MAX_FILE_BYTES

ROOT = Path(__file__).parent.parent
HEAD = "playbook: sample\ndescription: A sample.\nsteps:\n"
EXAMPLE = re.compile(
    r"^### `(?P<code>[\w-]+)`\n(?P<text>.*?)^```yaml\n(?P<yaml>.*?)^```", re.M | re.S
)
CODE = re.compile(r"SP\d{3}|(yaml|schema|playbook)-[a-z-]+")
STOP = "  - stop: {reason: done}\n"
NEIGHBOURS = {"circle": HEAD.replace("sample", "circle") + "  - run: sample\n"}

OF_THE_FILE = {
    "yaml-syntax": "a: [",
    "yaml-encoding": "playbook: \ud800",
    "yaml-empty": "\n",
    "yaml-size": "x" * (MAX_FILE_BYTES + 1),
    "yaml-depth": "a: " + "[" * (MAX_DEPTH + 1),
    "yaml-documents": HEAD + STOP + "---\na: b\n",
    "yaml-duplicate": HEAD + STOP + "playbook: again\n",
    "yaml-key": "[a]: b\n",
    "yaml-merge": "<<: {a: b}\n",
    "yaml-alias": "a: *b\n",
    "yaml-tag": "a: !!str b\n",
    "yaml-tab": "a:\n\t- b\n",
    "yaml-invisible": "a: b\u200bc\n",
    "yaml-word": HEAD + "  - if: yes\n    then:\n    " + STOP,
    "yaml-number": "a: 1.10\n",
    "schema-missing": "playbook: sample\nsteps:\n" + STOP,
    "schema-unknown": HEAD + STOP + "descripton: x\n",
    "schema-type": HEAD.replace("steps:", "techniques: x\nsteps:") + STOP,
    "schema-value": HEAD.replace("steps:", "severity: huge\nsteps:") + STOP,
    "schema-length": HEAD + "  []\n",
}
"""What the strict reader refuses in any file; `schema-later` is the configuration's own, and
`tests/test_config.py` has its example."""


@cache
def examples() -> dict[str, str]:
    docs = (ROOT / "docs/lint.md").read_text(encoding="utf-8")
    return {match["code"]: match["yaml"] for match in EXAMPLE.finditer(docs)}


def pages() -> dict[str, str]:
    """Every example of the page on playbooks, by what stands in its first line."""
    docs = (ROOT / "docs/playbooks.md").read_text(encoding="utf-8")
    found = re.findall(r"^```yaml\n(.*?)^```", docs, re.M | re.S)
    return {f"{number}: {text.splitlines()[0]}": text for number, text in enumerate(found)}


def whole(example: str) -> str:
    if example.startswith("playbook:"):
        return example
    return HEAD + "".join(f"  {line}\n" for line in example.splitlines())


def find(name: str) -> tuple[str, str]:
    named = {text.split()[1]: text for text in pages().values() if text.startswith("playbook:")}
    return (NEIGHBOURS | named)[name], f"{name}.yaml"


def codes_of(code: str, text: str) -> list[str]:
    catalogue = CATALOGUE
    if code == "SP301":
        known = CATALOGUE["edr.isolate_host"]
        catalogue = {**CATALOGUE, known.name: without_inverse(known)}
    if code == "playbook-name":
        with pytest.raises(PlaybookFaults) as caught:
            load_bundle("sample", lambda _name: (text, "sample.yaml"), CATALOGUE)
        return [fault.code for fault in caught.value.faults]
    found = lint_text(text, "sample.yaml", catalogue, find)
    assert all(fault.line > 0 and fault.column > 0 and fault.mend for fault in found)
    return [fault.code for fault in found]


def without_inverse(spec: ActionSpec) -> ActionSpec:
    return ActionSpec(
        name=spec.name,
        about=spec.about,
        effect=Effect.CONTAIN,
        inputs=spec.inputs,
        outputs=spec.outputs,
        takes_targets=True,
    )


@pytest.mark.parametrize("code", sorted(examples()))
def test_example_of_a_code_when_linted_has_that_finding_and_no_other(code: str) -> None:
    assert set(codes_of(code, whole(examples()[code]))) == {code}


@pytest.mark.parametrize("code", sorted(OF_THE_FILE))
def test_example_of_a_files_code_when_linted_has_that_fault(code: str) -> None:
    assert code in codes_of(code, OF_THE_FILE[code])


def given_codes() -> set[str]:
    """Every code in the sources of reader and lint: a text of its form, or the last argument of the
    reader's `add`."""
    paths = [*ROOT.glob("runner/playbook*.py"), *ROOT.glob("runner/lint*.py")]
    paths += [ROOT / "runner" / name for name in ("bundle.py", "schema.py", "yaml_reader.py")]
    found = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and CODE.fullmatch(text):
                found.add(text)
            if path.name.startswith("playbook") and isinstance(node, ast.Call):
                found |= {f"playbook-{code}" for code in last_of_add(node)}
    return found


def last_of_add(node: ast.Call) -> set[str]:
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    last = node.args[3] if len(node.args) == 4 else None
    is_code = name in ("_add", "add") and isinstance(last, ast.Constant)
    return {str(last.value)} if is_code and isinstance(last, ast.Constant) else set()


def test_codes_when_the_sources_are_read_are_those_that_have_an_example() -> None:
    given = given_codes()
    assert {"SP101", "playbook-id", "playbook-name", "yaml-word", "schema-unknown"} <= given
    assert given - {"schema-later"} == set(examples()) | set(OF_THE_FILE)
    assert {code for code in given if code.startswith("SP")} == set(FINDINGS)


def test_codes_when_the_page_is_read_are_all_documented() -> None:
    docs = (ROOT / "docs/lint.md").read_text(encoding="utf-8")
    assert sorted(code for code in given_codes() if f"`{code}`" not in docs) == []


@pytest.mark.parametrize("name", pages())
def test_example_of_the_page_on_playbooks_when_linted_has_no_finding(name: str) -> None:
    assert lint_text(whole(pages()[name]), "sample.yaml", CATALOGUE, find) == []


def test_page_on_playbooks_when_read_has_an_example_of_each_kind_of_step() -> None:
    shown = "".join(pages().values())
    assert [kind for kind in STEP_SHAPES if not re.search(rf"^\s*(- )?{kind}:", shown, re.M)] == []
