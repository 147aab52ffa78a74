"""Every file in `tests/rehearsals/` is played; and a playbook that goes another way is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.cli_parser import build_parser
from runner.cli_rehearse import rehearse_files
from runner.editor_schema import rehearsal_schema
from runner.playbook import shipped_playbooks
from runner.rehearsal_file import RehearsalFaults, read_rehearsal
from tests.command_line import run_command

FOLDER = Path(__file__).parent / "rehearsals"
FILES = sorted(FOLDER.glob("*.yaml"))
ACTS = FOLDER / "wmic-format-acts.yaml"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_rehearsal_goes_as_it_is_written(path: Path) -> None:
    done = rehearse_files([path])
    assert done.code == 0, done.text


def test_rehearsal_of_the_docs_goes_as_it_is_written(tmp_path: Path) -> None:
    page = FOLDER.parent.parent / "docs" / "rehearsals.md"
    (example,) = page.read_text().split("```yaml\n")[1:]
    path = tmp_path / "example.yaml"
    path.write_text(example.partition("```")[0])
    done = rehearse_files([path])
    assert done.code == 0, done.text


@pytest.mark.parametrize("name", sorted(shipped_playbooks()))
def test_each_shipped_playbook_acts_in_one_rehearsal_and_is_stopped_in_another(name: str) -> None:
    of_it = [file for path in FILES if (file := read_rehearsal(path)).playbook == name]
    acts = [any(one.call.startswith("edr.") for one in file.expect.calls) for file in of_it]
    assert set(acts) == {True, False}


def changed(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    """The rehearsal in which a host is isolated, with other words in it."""
    text = ACTS.read_text()
    for was, now in changes:
        assert was in text
        text = text.replace(was, now)
    path = tmp_path / "changed.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("says: agree", "says: refuse", "call 3 was not made: edr.isolate_host: WORKSTATION5"),
        ("says: agree", "says: refuse", "isolated at the end: expected WORKSTATION5, got nothing"),
        ("says: agree", "says: perhaps", "the card offers no answer perhaps"),
        (
            "    - {call: edr.isolate_host, target: WORKSTATION5}\n",
            "",
            "unexpected call 3: edr.isolate_host: WORKSTATION5",
        ),
        (
            "  - {about: [WORKSTATION5], says: agree}",
            "  - {about: [WORKSTATION6], says: agree}",
            "unexpected question about WORKSTATION5: nobody's answer is given",
        ),
        (
            "  - {about: [WORKSTATION5], says: agree}",
            "  - {about: [WORKSTATION6], says: agree}",
            "nobody was asked about WORKSTATION6",
        ),
        ("has: []", "has: [other.xsl]", "unexpected call siem.start_event_query: nothing under"),
        ("assessment: malicious", "assessment: benign", "expected benign, got malicious"),
        ("reason: all steps done", "reason: other", "expected other, got all steps done"),
        ("given:\n", "given:\n  without: [edr]\n", "it can only observe: the protected-assets"),
    ],
)
def test_rehearsal_when_it_goes_another_way_then_it_says_where(
    tmp_path: Path, was: str, now: str, said: str
) -> None:
    done = rehearse_files([changed(tmp_path, (was, now))])
    assert done.code == 1
    assert said in done.text


def test_rehearsal_when_the_budget_is_spent_then_refused_and_nobody_is_asked(
    tmp_path: Path,
) -> None:
    done = rehearse_files([changed(tmp_path, ("given:\n", "policy: {per_hour: 0}\ngiven:\n"))])
    assert done.code == 1
    assert "call 2 was not made: chat.post_card: WORKSTATION5" in done.text


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("given:\n", "gven:\n", "Did you mean `given`?"),
        ("playbook: wmic-format", "playbook: nowhere", "no playbook is named nowhere"),
        ("playbook: wmic-format", "playbook: nowhere.yaml", "no playbook is named nowhere"),
        ("given:\n", "target: WS-9\ngiven:\n", "WS-9 is none of given.devices"),
        ("12:00:00Z", "noon", "an instant with its offset"),
        ("expect:\n", "expect:\n  maybe: 1\n", "maybe"),
    ],
)
def test_rehearsal_when_the_file_is_wrong_then_one_sentence_and_code_two(
    tmp_path: Path, was: str, now: str, said: str
) -> None:
    done = rehearse_files([changed(tmp_path, (was, now))])
    assert done.code == 2
    assert said in done.text


def test_rehearsal_of_an_own_playbook_beside_the_file(tmp_path: Path) -> None:
    shipped = shipped_playbooks()["wmic-format"]
    (tmp_path / "wmic-format.yaml").write_text(shipped.replace("== 'benign'", "!= 'unknown'"))
    own = changed(tmp_path, ("playbook: wmic-format", "playbook: wmic-format.yaml"))
    done = rehearse_files([own])
    assert done.code == 1
    assert "call 1 was not made: tickets.create_ticket" in done.text


def test_read_rehearsal_when_there_is_no_file_then_a_fault(tmp_path: Path) -> None:
    with pytest.raises(RehearsalFaults, match="cannot be read"):
        read_rehearsal(tmp_path / "gone.yaml")


def test_rehearse_command_needs_no_configuration(tmp_path: Path) -> None:
    done = run_command("rehearse", str(ACTS), "--json", folder=tmp_path)
    assert done.code == 0, done.err
    (one,) = done.value["rehearsed"]
    assert one["calls"][-1] == {"call": "edr.isolate_host", "target": "WORKSTATION5"}
    assert one["faults"] == []


def test_rehearse_options_of_the_past_are_refused_beside_files(tmp_path: Path) -> None:
    done = run_command("rehearse", str(ACTS), "--against", "x.yaml", folder=tmp_path)
    assert done.code == 2
    assert "--against goes with --since" in done.err


def test_rehearsal_schema_names_every_key() -> None:
    assert set(rehearsal_schema()["$defs"]["RehearsalShape"]["properties"]) >= {"given", "expect"}
    assert build_parser().parse_args(["schema", "rehearsal"]).what == "rehearsal"
