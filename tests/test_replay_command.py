"""`stockade replay` and `stockade rehearse --since`: what would be done, and nothing is."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.exported import exported_rows
from runner.spool import Spool, SpooledHit, SpooledSlice, SpooledWish
from tests.command_line import CommandLine, command_line
from tests.world_settings import BENIGN, malicious

DAY_S = 86_400
QUIET = {"hunts": {"index": None}}


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    with command_line(tmp_path_factory.mktemp("line"), QUIET) as found:
        yield found


def hit(minute: int, host: str = "WORKSTATION5", cmdline: str | None = None) -> dict[str, Any]:
    return {
        "_time": f"2026-11-20T10:{minute:02}:00Z",
        "Hostname": host,
        "User": r"WORKGROUP\wardog",
        "CommandLine": cmdline or malicious(host, minute),
    }


def written(line: CommandLine, name: str, *rows: Any) -> str:
    text = "".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows)
    (line.folder / name).write_text(text)
    return name


def changed(line: CommandLine) -> int:
    products = (line.emulators.falcon, line.emulators.slack, line.emulators.jira)
    return sum(len(product.effects()) for product in products)


def test_replay_when_one_host_has_two_lines_then_asked_once_and_nothing_is_done(
    line: CommandLine,
) -> None:
    # Newest first, as Splunk exports.
    file = written(line, "two.jsonl", {"result": hit(9)}, hit(5), hit(5) | {"n": 2}, hit(1))
    done = line("replay", file, "--json")
    assert done.code == 0, done.err
    assert done.value["is_whole"] is True
    first, second, third = done.value["cases"]
    assert [one["at"][14:16] for one in (first, second, third)] == ["01", "05", "09"]
    assert [one["assessment"] for one in done.value["cases"]] == ["malicious"] * 3
    assert first["asked"][0]["about"] == ["WORKSTATION5"]
    assert first["asked"][0]["state"] == "approved"
    assert first["isolated"] == ["WORKSTATION5"]
    assert second["hits"] == 2
    assert second["asked"] == []
    assert changed(line) == 0
    assert not (line.folder / "journal").exists()


def test_replay_when_nobody_answers_then_nothing_is_isolated(line: CommandLine) -> None:
    file = written(line, "one.jsonl", hit(1), hit(2, cmdline=BENIGN))
    done = line("replay", file, "--assume", "nobody")
    assert done.code == 0, done.err
    assert "asks about WORKSTATION5: expired" in done.out
    assert "isolations  0" in done.out
    assert "1 benign" in done.out


def test_replay_when_the_budget_is_spent_then_the_refusal_is_said(line: CommandLine) -> None:
    hosts = ("WORKSTATION5", "WORKSTATION50", "WORKSTATION7-SYNTHETIC")
    rows = [hit(number, host) for number, host in enumerate(hosts, 1)]
    file = written(line, "budget.jsonl", *rows)
    line.configure({**QUIET, "guards": {"budget": {"per_hour": 1}}})
    try:
        done = line("replay", file, "--json")
        later = [hit(1), hit(2, "WORKSTATION50") | {"_time": "2026-11-20T14:00:00Z"}]
        apart = line("replay", written(line, "apart.jsonl", *later), "--json")
    finally:
        line.configure(QUIET)
    cases = done.value["cases"]
    assert [len(one["isolated"]) for one in cases] == [1, 0, 0]
    assert all(one["refused"] for one in cases[1:]), cases
    # Hits that lie hours apart are not in one hour's budget.
    assert [len(one["isolated"]) for one in apart.value["cases"]] == [1, 1]


def test_replay_when_lines_are_bad_then_each_is_named_and_the_rest_is_played(
    line: CommandLine,
) -> None:
    file = written(line, "bad.jsonl", hit(1), "{no\n", "[1]\n", "\n", hit(2))
    done = line("replay", file)
    assert done.code == 1
    assert "PARTIAL: 2 hit(s) rehearsed" in done.err
    assert "NOT REHEARSED: bad.jsonl:2: it is no JSON" in done.err
    assert "NOT REHEARSED: bad.jsonl:3: it is no JSON object" in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("replay", "gone.jsonl"), "gone.jsonl cannot be read: No such file"),
        (("replay", "events.evtx"), "events.evtx cannot be read: No such file"),
        (("replay", "events.txt"), "the name must end in one of .jsonl"),
        (("replay", "one.jsonl", "--search", "other"), "--search names one of"),
        (("replay", "one.jsonl", "--playbook", "gone.yaml"), "gone.yaml cannot be read"),
        (("replay", "one.jsonl", "--against", "HEAD:gone.yaml"), "git does not have it here"),
        (("rehearse",), "give rehearsal files, or --since 30d, or --resume DIR"),
        (("rehearse", "--resume", "gone"), "gone holds no rehearsal to go on with"),
        (("rehearse", "--since", "91d"), "--since is at most 90d"),
    ],
)
def test_replay_when_it_is_given_nonsense_then_one_sentence_and_code_two(
    line: CommandLine, arguments: tuple[str, ...], said: str
) -> None:
    done = line(*arguments)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err


def test_replay_against_another_version_then_the_difference_and_code_one(
    line: CommandLine,
) -> None:
    shipped = (Path(__file__).parent.parent / "playbooks" / "wmic-format.yaml").read_text()
    (line.folder / "same.yaml").write_text(shipped)
    other = shipped.replace("== 'benign'", "in ['benign', 'malicious']")
    (line.folder / "other.yaml").write_text(other)
    file = written(line, "versions.jsonl", hit(1), hit(2, cmdline=BENIGN))
    same = line("replay", file, "--against", "same.yaml")
    assert same.code == 0, same.err
    assert "configured → same.yaml: 0 of 2 case(s) differ" in same.out
    done = line("replay", file, "--against", "other.yaml")
    assert done.code == 1
    assert "configured → other.yaml: 1 of 2 case(s) differ" in done.err
    assert "asked about: WORKSTATION5 (approved) → -" in done.err
    assert "isolated: WORKSTATION5 → -" in done.err


def test_replay_against_a_git_revision_then_that_text_is_played(line: CommandLine) -> None:
    def git(*words: str) -> None:
        own = ["git", "-c", "user.name=t", "-c", "user.email=t@example.test", *words]
        subprocess.run(own, cwd=line.folder, check=True, capture_output=True)

    shipped = (Path(__file__).parent.parent / "playbooks" / "wmic-format.yaml").read_text()
    (line.folder / "kept.yaml").write_text(shipped)
    git("init", "-q")
    git("add", "kept.yaml")
    git("commit", "-q", "-m", "kept")
    (line.folder / "kept.yaml").unlink()
    done = line("replay", written(line, "git.jsonl", hit(1)), "--against", "HEAD:kept.yaml")
    assert done.code == 0, done.err
    assert "configured → HEAD:kept.yaml: 0 of 1 case(s) differ" in done.out


@pytest.fixture(scope="module")
def three_days(line: CommandLine) -> None:
    """A hit on each of the last three days, and no other."""
    line.splunk.events.clear()
    for day in range(3):
        raw = hit(day) | {"Channel": "Microsoft-Windows-Sysmon/Operational", "EventID": 1}
        raw |= {"Image": r"C:\Windows\System32\wbem\WMIC.exe", "OriginalFileName": "wmic.exe"}
        raw.pop("_time")
        age_s = day * DAY_S + 3600
        line.splunk.add_event(raw, age_s=age_s, index_age_s=age_s)


@pytest.mark.usefixtures("three_days")
def test_rehearse_the_past_then_each_day_is_searched_and_nothing_is_done(
    line: CommandLine,
) -> None:
    done = line("rehearse", "--since", "3d", "--json")
    assert done.code == 0, done.err
    assert len(done.value["cases"]) == 3
    assert done.err.count("hit(s); ") == 3
    assert changed(line) == 0
    assert not (line.folder / "journal").exists()


@pytest.mark.usefixtures("three_days")
def test_rehearse_when_it_is_stopped_then_partial_and_resumed(line: CommandLine) -> None:
    process = line.start("rehearse", "--since", "30d")
    assert process.stderr is not None
    seen = [process.stderr.readline() for _ in range(3)]
    assert all("to go" in one for one in seen), seen
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "PARTIAL: " in err
    assert "NOT REHEARSED: " in err
    assert "Traceback" not in err
    folder = err.rpartition("--resume ")[2].strip()
    resumed = line("rehearse", "--resume", folder)
    assert resumed.code == 0, resumed.err
    assert resumed.err.count("to go") <= 28
    assert resumed.out.startswith("3 hit(s) rehearsed, 3 case(s)")
    assert not Path(folder).exists()


# -- files -----------------------------------------------------------------------------------------


def test_exported_rows_of_csv_then_several_values_are_a_list_and_bad_lines_are_named(
    tmp_path: Path,
) -> None:
    file = tmp_path / "events.csv"
    file.write_text(
        'host,ip,__mv_ip\nWS-1,"a\nb",$a$;$b$$c$\nWS-2,one,\nWS-3,one\n', encoding="utf-8"
    )
    assert list(exported_rows(file)) == [
        (2, {"host": "WS-1", "ip": ["a", "b$c"]}),
        (4, {"host": "WS-2", "ip": "one"}),
        (5, "it has 2 values, and the first line names 3"),
    ]


def test_exported_rows_of_a_nested_windows_event_then_flat_with_its_time(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    time = {"#attributes": {"SystemTime": "2026-11-20T10:00:00Z"}}
    system = {"Computer": "WS-1", "EventID": {"#text": 1}, "TimeCreated": time}
    event = {"Event": {"System": system, "EventData": {"CommandLine": "wmic os get"}}}
    file.write_text(json.dumps(event) + "\n")
    ((number, row),) = exported_rows(file)
    assert number == 1
    assert row == {
        "Computer": "WS-1",
        "EventID": "1",
        "_time": "2026-11-20T10:00:00Z",
        "CommandLine": "wmic os get",
    }


def test_spool_when_a_slice_was_not_ended_then_its_hits_are_asked_for_again(
    tmp_path: Path,
) -> None:
    spool = Spool(tmp_path / "hits.jsonl")
    spool.add(SpooledWish(spans={"one": (0, 20)}))
    spool.add(SpooledHit(search="one", row={"n": "1"}, at=9.0))
    spool.add(SpooledHit(search="one", row={"n": "2"}, at=5.0))
    spool.add(SpooledSlice(search="one", start=10, end=20))
    spool.add(SpooledHit(search="one", row={"n": "3"}, at=1.0))
    spool.close()
    with (tmp_path / "hits.jsonl").open("ab") as file:
        file.write(b'{"type":"hit","sea')
    again = Spool(tmp_path / "hits.jsonl")
    assert [one.row["n"] for one in again.in_order()] == ["2", "1"]
    assert again.slices == [SpooledSlice(search="one", start=10, end=20)]
    again.close()


# -- what is missing is said -----------------------------------------------------------------------


@pytest.fixture
def bare(line: CommandLine) -> Iterator[CommandLine]:
    """The configuration of somebody who has allowed nothing yet."""
    kept = line.config.read_text()
    found = json.loads(kept)
    for key in ("approvals", "guards", "people"):
        del found[key]
    line.config.write_text(json.dumps({**found, "mode": "observe"}))
    yield line
    line.config.write_text(kept)


def test_replay_when_nothing_is_allowed_then_refused_and_it_says_why(bare: CommandLine) -> None:
    done = bare("replay", written(bare, "bare.jsonl", hit(1)))
    assert done.code == 0, done.err
    assert "only observed: guards.protected_file is not set" in done.out
    assert "refused WORKSTATION5: contain is not in guards.allowed_effects" in done.out
    assert "isolations  0" in done.out


def test_replay_when_the_edr_refuses_then_not_rehearsed_and_code_one(line: CommandLine) -> None:
    kept = (line.folder / "secrets" / "falcon.client_secret").read_text()
    line.secret("falcon.client_secret", "a-wrong-one")
    try:
        done = line("replay", written(line, "down.jsonl", hit(1)))
    finally:
        line.secret("falcon.client_secret", kept)
    assert done.code == 1
    assert done.err.count("PARTIAL: 1 hit(s) rehearsed") == 1
    assert "NOT REHEARSED: 2026-11-20 10:01 workstation5: the run failed: rejected" in done.err


def test_replay_when_a_hit_has_no_time_then_the_others_keep_theirs(line: CommandLine) -> None:
    timeless = hit(1, "WORKSTATION50")
    del timeless["_time"]
    done = line("replay", written(line, "timeless.jsonl", timeless, hit(9)), "--json")
    assert done.code == 0, done.err
    assert {one["at"][:13] for one in done.value["cases"]} == {"2026-11-20T10"}


@pytest.mark.parametrize("attributes", ["null", "[1]", '"x"', "7"])
def test_exported_rows_when_the_time_has_odd_attributes_then_the_row_is_read_without_it(
    tmp_path: Path, attributes: str
) -> None:
    file = tmp_path / "odd.jsonl"
    created = {"#attributes": json.loads(attributes)}
    system = {"Computer": "WORKSTATION5", "TimeCreated": created}
    file.write_text(json.dumps({"Event": {"System": system}}))
    assert list(exported_rows(file)) == [(1, {"Computer": "WORKSTATION5"})]


@pytest.mark.parametrize("wrapped", ['{"a":%s}', '{"Event":{"EventData":{"a":%s}}}'])
@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a":', "}")])
def test_exported_rows_when_lines_are_nested_ever_deeper_then_each_is_a_row_or_named(
    tmp_path: Path, wrapped: str, opened: str, closed: str
) -> None:
    file = tmp_path / "deep.jsonl"
    # Every depth up to the interpreter's own limit: reading and flattening reach it at different
    # ones.
    lines = [wrapped % (opened * n + "1" + closed * n) for n in range(1, sys.getrecursionlimit())]
    file.write_text("\n".join([*lines, wrapped % (opened * 100_000)]))
    found = [row for _, row in exported_rows(file)]
    assert len(found) == len(lines) + 1
    assert isinstance(found[9], dict)
    assert {row for row in found if isinstance(row, str)} == {"it is nested too deeply"}


def test_replay_when_a_line_holds_half_a_character_then_named_and_the_rest_is_played(
    tmp_path: Path,
) -> None:
    with command_line(tmp_path, QUIET) as line:
        (line.folder / "half.jsonl").write_text('{"host": "\\ud800", "_time": "1700000000"}\n')
        done = line("replay", "half.jsonl", "--json")
        assert "Traceback" not in done.err
        assert done.code == 1
        assert "half.jsonl:1: it holds half a character" in done.out + done.err
