"""What a newcomer sees first: the whole job in one command, twice, refused, and by hand.

Each demo is a process of its own. What it says is held against what its products kept.
"""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from connectors.emulators.fleet import Emulators, running_emulators
from connectors.emulators.scenario import device_id
from runner.audit import verify
from runner.cli import SystemClock
from runner.journal import Journal, cases
from tests.command_line import Done, environment, run_command

SECOND = "WORKSTATION7-SYNTHETIC"
FIRST = "WORKSTATION5"
KEYS = ["hits", "benign", "cases", "approvals", "isolated", "spread", "ticket", "duration_s"]


class Twice(Struct, frozen=True, kw_only=True):
    """The demo on one folder, two times."""

    folder: Path
    first: Done
    second: Done


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> Twice:
    folder = tmp_path_factory.mktemp("demo")
    words = ("demo", "--unattended", "--json", "--state", "here")
    first = run_command(*words, folder=folder)
    second = run_command(*words, folder=folder)
    return Twice(folder=folder, first=first, second=second)


@contextmanager
def products(state: Path) -> Iterator[Emulators]:
    """The demo's products as they were left."""
    with running_emulators(state / "world", SystemClock()) as world:
        yield world


def statuses(world: Emulators) -> dict[str, str]:
    """The hosts that are not as they were, by Falcon's own record."""
    return {
        device["hostname"]: device["status"]
        for device in world.falcon.devices.values()
        if device["status"] != "normal"
    }


def test_demo_when_unattended_then_one_object_tells_what_was_done(twice: Twice) -> None:
    assert twice.first.code == 0
    assert twice.first.err == ""
    found = twice.first.value
    assert [key for key in found if key in KEYS] == KEYS
    assert (found["hits"], found["benign"], found["cases"]) == (4, 3, 4)
    assert found["approvals"] == 2
    assert {(one["hostname"], one["device_id"], one["state"]) for one in found["isolated"]} == {
        (FIRST, device_id(FIRST), "confirmed"),
        (SECOND, device_id(SECOND), "confirmed"),
    }
    (spread,) = found["spread"]
    assert spread["host"] == SECOND
    assert "wmicscript.xsl" in spread["cmdline"]
    assert spread["event"] == "{5a5a0007-0000-4000-8000-000000000001}"
    assert found["ticket"] == "SEC-1"
    assert (found["needs"], found["errors"]) == ([], [])
    assert 0 < found["duration_s"] < 60


def test_demo_when_it_says_isolated_then_falcon_and_jira_say_so_too(twice: Twice) -> None:
    with products(twice.folder / "here") as world:
        assert statuses(world) == {FIRST: "contained", SECOND: "contained"}
        (issue,) = world.jira.all_issues()
        text = json.dumps(issue)
        assert issue["key"] == "SEC-1"
        assert "isolated, confirmed by the EDR's record" in text
        assert "SYNTHETIC" in text
        questions = [one for one in world.slack.messages() if "thread_ts" not in one]
        assert len(questions) == 2
    journal = Journal(twice.folder / "here" / "journal", SystemClock())
    with journal.read() as tx:
        assert verify(tx).faults == ()
        assert len(cases.every(tx)) == 4
    journal.close()


def test_demo_when_started_again_then_nothing_is_new_and_nothing_is_sent(twice: Twice) -> None:
    assert twice.second.code == 0
    found = twice.second.value
    assert {key: found[key] for key in ("hits", "cases", "approvals", "writes")} == {
        "hits": 0,
        "cases": 0,
        "approvals": 0,
        "writes": 0,
    }
    assert found["isolated"] == twice.first.value["isolated"], "what stands is still told"
    assert found["ticket"] == "SEC-1"


def test_demo_when_over_then_every_command_works_on_its_folder(twice: Twice) -> None:
    config = ("-c", "here/config.yaml")
    listed = run_command("cases", *config, folder=twice.folder)
    assert listed.out.count("benign") == 3
    (line,) = [row for row in listed.out.splitlines() if "malicious" in row]
    shown = run_command("show", line.split()[0], *config, folder=twice.folder)
    assert f"To undo: stockade release {FIRST}" in shown.out
    status = run_command("status", *config, folder=twice.folder)
    assert status.out.startswith("mode act\n")
    assert f"isolation {SECOND}" in status.out
    assert run_command("audit", "verify", *config, folder=twice.folder).code == 0


def test_demo_when_the_responder_says_no_then_nobody_is_isolated(tmp_path: Path) -> None:
    done = run_command("demo", "--deny", "--json", "--state", "here", folder=tmp_path)
    assert done.code == 0
    found = done.value
    assert (found["isolated"], found["approvals"], found["hits"]) == ([], 2, 4)
    with products(tmp_path / "here") as world:
        assert statuses(world) == {}
        assert world.falcon.effects() == []
        (issue,) = world.jira.all_issues()
        assert "DENIED by responder-a" in json.dumps(issue)
    again = run_command("demo", "--deny", "--json", "--state", "here", folder=tmp_path).value
    assert (again["cases"], again["approvals"], again["writes"]) == (0, 0, 0)


def test_demo_when_it_tells_its_story_then_hit_card_answer_and_ticket_come_in_order(
    tmp_path: Path,
) -> None:
    done = run_command("demo", "--unattended", "--state", "here", folder=tmp_path)
    assert done.code == 0
    assert done.err == ""
    at = -1
    for words in (
        "Emulated Splunk, Falcon, Slack and Jira are up, as here/config.yaml says",
        "armed by demo",
        "hit on workstation5: malicious",
        "ticket SEC-1 opened",
        "In Slack, channel",
        f"ISOLATE {FIRST}? by ",
        "Assessment: malicious",
        f"To undo: stockade release {FIRST}",
        "responder-a reacted with :white_check_mark:",
        "APPROVED by responder-a at ",
        f"{FIRST}: isolated, confirmed by the EDR's record",
        "4 new hits, 4 new cases, 3 benign, 2 questions; isolated: ",
        "cases -c here/config.yaml",
    ):
        found = done.out.find(words, at + 1)
        assert found > at, f"{words!r} does not come after what comes before it"
        at = found
    assert "hunt: the same address was used on 1 other host(s): WORKSTATION7-SYNTHETIC" in done.out


class Terminal:
    """The demo on a terminal: what it wrote so far, and somebody who types."""

    def __init__(self, folder: Path) -> None:
        ours, theirs = pty.openpty()
        self._fd = ours
        self.written = ""
        self._read_to = 0
        words = ["demo", "--state", "here"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "runner.cli", *words],
            cwd=folder,
            env=environment(),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            close_fds=True,
        )
        os.close(theirs)

    def wait_for(self, words: str) -> None:
        """Read on until the words come. Errors: `AssertionError` after 30 s or at the end."""
        while words not in self.written[self._read_to :]:
            ready, _, _ = select.select([self._fd], [], [], 30)
            assert ready, self.written
            try:
                piece = os.read(self._fd, 65536)
            except OSError:
                piece = b""
            assert piece, f"{words!r} never came: {self.written[-500:]}"
            self.written += piece.decode()
        self._read_to = self.written.index(words, self._read_to) + len(words)

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def interrupt(self) -> None:
        """Ctrl-C, as often as a person would: one that comes in the moment between a prompt and its
        reading is only seen with the next."""
        for _ in range(10):
            self.process.send_signal(signal.SIGINT)
            if select.select([self._fd], [], [], 2)[0]:
                return

    def end(self) -> int:
        return self.process.wait(30)

    def close(self) -> None:
        """Leave nothing running behind a test that failed."""
        self.process.kill()
        self.process.wait(10)
        os.close(self._fd)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    started = Terminal(tmp_path)
    yield started
    started.close()


PROMPT = "Your answer as responder-a? [y = yes, n = no, Enter = look again]"


def test_demo_when_answered_on_a_terminal_then_each_question_is_answered_as_typed(
    terminal: Terminal, tmp_path: Path
) -> None:
    terminal.wait_for(f"ISOLATE {FIRST}? by")
    terminal.wait_for(PROMPT)
    terminal.type("perhaps\n")
    terminal.wait_for(PROMPT)
    terminal.type("Y\n")
    terminal.wait_for("responder-a reacted with :white_check_mark:")
    terminal.wait_for(f"ISOLATE {SECOND}? by")
    terminal.wait_for(PROMPT)
    terminal.type("n\n")
    terminal.wait_for("responder-a reacted with :x:")
    terminal.wait_for(f"isolated: {FIRST} (confirmed); ticket SEC-1")
    terminal.wait_for("status, audit verify")
    assert terminal.end() == 0
    with products(tmp_path / "here") as world:
        assert statuses(world) == {FIRST: "contained"}


@pytest.mark.parametrize("how", ["Ctrl-C", "Ctrl-D"])
def test_demo_when_interrupted_then_it_says_that_nothing_is_lost_and_the_next_goes_on(
    terminal: Terminal, tmp_path: Path, how: str
) -> None:
    terminal.wait_for(PROMPT)
    if how == "Ctrl-C":
        terminal.interrupt()
    else:
        terminal.type("\x04")
    terminal.wait_for("everything that was done is in the journal")
    assert terminal.end() == 130
    assert "Traceback" not in terminal.written
    found: dict[str, Any] = run_command(
        "demo", "--unattended", "--json", "--state", "here", folder=tmp_path
    ).value
    assert found["cases"] == 0, "the cases of the first start stand"
    assert {one["hostname"] for one in found["isolated"]} == {FIRST, SECOND}
    with products(tmp_path / "here") as world:
        assert len(world.jira.all_issues()) == 1
        questions = [one for one in world.slack.messages() if "thread_ts" not in one]
        assert len(questions) == 2, "each question was put once"
