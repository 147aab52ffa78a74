"""`stockade drill`: what it prints, its exit codes, and a short one of every shipped playbook."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from runner import cli
from runner.playbook import shipped_playbooks

CLEAN = 0


def drilled(
    capsys: pytest.CaptureFixture[str], *words: str, code: int = CLEAN
) -> tuple[dict[str, Any], str]:
    """The printed object, and the standard error."""
    assert cli.main(["drill", *words, "--json"]) == code
    said = capsys.readouterr()
    return json.loads(said.out), said.err


@pytest.mark.parametrize("name", sorted(shipped_playbooks()))
def test_shipped_playbook_when_killed_at_some_points_then_nothing_is_violated(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data, progress = drilled(capsys, name, "--points", "8", "--random-kills", "1")
    assert data["violations"] == []
    assert data["kills"] >= 10
    assert data["points"] > 100
    assert f"{name} without a kill: {data['points']} points" in progress


def refused(capsys: pytest.CaptureFixture[str], words: Sequence[str]) -> str:
    data, _ = drilled(capsys, *words, code=2)
    assert "\n" not in data["error"]
    return str(data["error"])


def test_playbook_that_is_nowhere_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no shipped playbook" in refused(capsys, ["no-such-playbook"])


def test_playbook_with_faults_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(
        "playbook: broken\ndescription: d\nseverity: low\nsteps:\n  - {id: a, do: no.such}\n"
    )
    assert "1 fault(s), which stockade lint lists" in refused(capsys, [str(file)])


def test_playbook_that_no_hit_can_start_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "part.yaml"
    file.write_text(
        "playbook: part\ndescription: d\nseverity: low\ninputs:\n  host: {type: text}\n"
        'steps:\n  - {id: say, do: chat.post_message, with: {text: "{{ inputs.host }}"}}\n'
    )
    assert "needs the input `host`" in refused(capsys, [str(file)])


@pytest.mark.parametrize(
    "words", [["--points", "0"], ["--every", "x"], ["--points", "2", "--every", "2"]]
)
def test_wrong_usage_ends_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["drill", "wmic-format", *words])
    assert ended.value.code == 2
    capsys.readouterr()
