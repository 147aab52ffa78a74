"""`stockade drill`: what it prints, its exit codes, and a short one of every shipped playbook."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from runner import cli
from runner import drill_trials as trials
from runner.drill import unproved
from runner.drill_crew import Crew
from runner.drill_story import choose, play_quietly
from runner.drill_trials import Spot, Stage, Trial
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
    assert data["not_reached"] == []
    assert data["kills"] >= 10
    assert data["points"] > 100
    assert f"{name} without a kill: {data['points']} points" in progress


def trial(**how: Any) -> Trial:
    return Trial(**{"what": "t", "kills": 0, "last": "", "found": (), **how})


@pytest.mark.parametrize(
    ("batch", "said"),
    [
        ([trial()] * 20, []),
        ([trial()] * 18 + [trial(reached=False)] * 2, []),
        ([trial(reached=None)] * 20, []),
        ([trial()] * 17 + [trial(reached=False)] * 3, ["b: 3 of 20 trials never came to"]),
        ([trial(), trial(reached=False, is_due=True)], ["t: never reached, nothing was proved"]),
        ([trial(is_due=True)], []),
    ],
)
def test_trials_that_were_not_reached_are_no_proof(batch: list[Trial], said: list[str]) -> None:
    found = unproved("b", batch)
    assert len(found) == len(said)
    assert all(text.startswith(start) for text, start in zip(found, said, strict=True))


def test_trial_whose_spot_or_point_never_comes_then_it_was_not_reached(tmp_path: Path) -> None:
    """A request that no runner sends, and a point past the end of the story."""
    nowhere = Spot(product="slack", method="POST", path="/api/chat.nowhere", place=1)
    with Crew(2) as crew:
        quiet, _ = play_quietly(crew, tmp_path / "quiet", choose("wmic-format"))
        assert quiet is not None
        stage = Stage(
            crew=crew,
            folder=tmp_path,
            story=choose("wmic-format"),
            quiet=quiet.picture,
            points=100_000,
        )
        far = trials.kill_at(stage, 50_000)
        in_flight = trials.kill_in_flight(stage, nowhere)
        lost = trials.lose_answers(stage, trials.losses([nowhere])[0])
        near = trials.kill_at(stage, 10)
    assert [one.reached for one in (far, in_flight, lost, near)] == [False, False, False, True]
    assert [one.is_due for one in (far, in_flight, lost)] == [False, True, True]
    assert far.found == in_flight.found == lost.found == ()


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
