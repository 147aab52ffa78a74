"""The commands on isolations as people type them: each a process of its own, with its exit code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.emulators.slack_workspace import CHANNEL
from tests.command_line import CommandLine, Done, command_line
from tests.world_settings import HOST, RESPONDER_A, RESPONDER_B, YES, malicious

OTHER = "WORKSTATION7-SYNTHETIC"
ACTIONS = {"method": "POST", "path": "*/devices-actions/*"}


@pytest.fixture
def line(tmp_path: Path) -> Iterator[CommandLine]:
    with command_line(tmp_path) as found:
        assert found("run").code == 0
        assert found("arm", "--reason", "test").code == 0
        yield found


def agree(line: CommandLine) -> None:
    """Both responders say yes under each card that stands in the channel."""
    slack = line.emulators.slack
    for message in slack.messages():
        if not message.get("thread_ts"):
            slack.react(RESPONDER_A, CHANNEL, message["ts"], YES)
            slack.react(RESPONDER_B, CHANNEL, message["ts"], YES)


def isolate(line: CommandLine) -> str:
    """One case isolates the host; its id."""
    line.store(1, cmdline=malicious())
    line("run")
    agree(line)
    line("run")
    (row,) = line("isolations", "--json").value
    assert row["state"] == "confirmed"
    return str(row["holders"][0])


def hold_twice(line: CommandLine) -> tuple[str, str]:
    """Two cases hold the one host."""
    first = isolate(line)
    line.store(2, cmdline=malicious(number=2))
    line("run")
    (row,) = line("isolations", "--json").value
    assert row["holders"][0] == first
    return first, row["holders"][1]


def questions(line: CommandLine) -> list[list[str]]:
    return [one["devices"] for one in line("status", "--json").value["questions"]]


def acts(line: CommandLine, action: str) -> int:
    """How many requests for an action reached Falcon."""
    return sum(seen.query == f"action_name={action}" for seen in line.emulators.falcon.requests)


def assert_says(done: Done, code: int, words: str) -> None:
    """The exit code, and one sentence on the right stream."""
    assert done.code == code, done
    assert "Traceback" not in done.err
    text = done.out if code == 0 else done.err
    assert words in text, done


# -- looking and renewing --------------------------------------------------------------------------


def test_isolations_and_renew_when_typed_then_each_says_what_is_and_what_is_wrong(
    line: CommandLine,
) -> None:
    assert_says(line("isolations"), 0, "nothing is isolated")
    assert_says(line("renew", HOST, "--reason", "x"), 2, f"0 isolations are named {HOST}")
    case = isolate(line)
    assert_says(line("isolations"), 0, f"for {case}")
    assert_says(line("renew", HOST, "--reason", "x"), 2, "has no lease; give it one: --for 8h")
    much = line("renew", HOST, "--for", "1000d", "--reason", "x")
    assert_says(much, 2, "a lease is at most")
    assert_says(line("renew", HOST, "--for", "soon", "--reason", "x"), 2, "is no duration")
    assert_says(line("renew", HOST.lower(), "--for", "8h", "--reason", "x"), 0, "leased until")
    assert_says(line("isolations"), 0, "renewed by")
    (row,) = line("status", "--json").value["isolated"]
    assert row["renewed_by"]
    # What is shown is the ledger's: an EDR that is away takes nothing from it.
    line.emulators.falcon.misbehave(status=503, body="{}", times=None)
    assert_says(line("isolations"), 0, "isolated, confirmed by the EDR's record")
    line.emulators.falcon.behave()
    line.emulators.falcon.set_device(HOST, status="normal")
    device = line("isolations", "--json").value[0]["device_id"]
    assert_says(line("renew", device, "--reason", "same again"), 0, "leased until")


# -- release ---------------------------------------------------------------------------------------


def test_release_and_undo_when_two_cases_hold_then_each_takes_back_its_own(
    line: CommandLine,
) -> None:
    first, second = hold_twice(line)
    assert acts(line, "contain") == 1
    refused = line("release", HOST, "--case", "case-0000000000", "--reason", "clean")
    assert_says(refused, 2, f"its holders are {first}, {second}")
    assert_says(line("release", "NO-SUCH", "--reason", "clean"), 2, "stockade isolations lists")
    assert_says(line("undo", "case-0000000000", "--reason", "x", "--yes"), 2, "there is no case")
    assert line("release", HOST, "--case", first, "--reason", "clean").code == 0
    line("run")
    (row,) = line("isolations", "--json").value
    assert (row["holders"], row["state"]) == ([second], "confirmed")
    assert questions(line) == [], "nobody is asked while another case holds it"
    assert_says(line("undo", first, "--reason", "x", "--yes"), 0, "nothing to ask for")
    assert_says(line("undo", second, "--reason", "x"), 2, "nobody can be asked here")
    assert_says(line("undo", second, "--reason", "x", "--yes"), 0, f"release {HOST}: people are")
    assert line("release", HOST, "--case", second, "--reason", "again").code == 0
    line("run")
    assert questions(line) == [[HOST]], "the last holder's release is a question, once"
    assert acts(line, "lift_containment") == 0
    agree(line)
    line("run")
    assert_says(line("isolations"), 0, "nothing is isolated")
    assert acts(line, "lift_containment") == 1


# -- a lost journal --------------------------------------------------------------------------------


def test_rebuild_when_the_journal_is_lost_then_from_every_page_of_the_edr(
    line: CommandLine,
) -> None:
    isolate(line)
    falcon = line.emulators.falcon
    names = [f"WS-{number:04}" for number in range(600)]
    for name in names:
        falcon.add_device(OTHER, hostname=name, status="contained")
    for file in (line.folder / "journal").glob("journal.db*"):
        file.unlink()
    assert_says(line("isolations"), 0, "nothing is isolated")
    compared = line("ledger", "compare")
    assert_says(compared, 1, f"{HOST} (")
    assert sum("the ledger does not know it" in text for text in compared.err.splitlines()) == 601
    assert_says(line("ledger", "rebuild", HOST), 2, "needs --reason")
    assert_says(line("ledger", "rebuild", "--reason", "lost"), 2, "name the hosts")
    assert_says(line("ledger", "rebuild", "NO-SUCH", "--reason", "lost"), 2, "nothing was written")
    # The second page is lost: half a list is no list.
    falcon.misbehave(
        path="*/queries/devices/*", query="*offset=500*", status=503, body="{}", times=None
    )
    assert_says(line("ledger", "compare"), 1, "the EDR cannot say what is contained")
    away = line("ledger", "rebuild", "--all", "--reason", "lost")
    assert_says(away, 1, "nothing was written")
    assert_says(line("isolations"), 0, "nothing is isolated")
    falcon.behave()
    assert line("ledger", "rebuild", HOST, "WS-0599", "--reason", "lost").code == 0
    assert len(line("isolations", "--json").value) == 2
    assert line("ledger", "rebuild", "--all", "--reason", "lost").code == 0
    assert_says(line("ledger", "compare"), 0, "the ledger and the EDR agree: 601 contained")
    assert_says(line("ledger", "rebuild", "--all", "--reason", "again"), 0, "the ledger lacks")
    refused = line("release", HOST, "--case", "case-0000000000", "--reason", "clean")
    assert_says(refused, 2, "no case that is known")
    assert line("release", HOST, "--reason", "clean").code == 0
    assert acts(line, "lift_containment") == 0


# -- in doubt --------------------------------------------------------------------------------------


def test_undo_when_isolation_and_ticket_are_in_doubt_then_both_are_named_and_not_touched(
    line: CommandLine,
) -> None:
    line.store(1, cmdline=malicious())
    jira = line.emulators.jira
    jira.misbehave(method="POST", path="*/issue", lose_answer=True, times=None)
    # The first look, before anything is sent, is answered.
    jira.misbehave(path="*/search*", status=400, body="{}", skip=1, times=None)
    line("run")
    line.emulators.falcon.misbehave(**ACTIONS, query="action_name=contain", status=500, times=None)
    agree(line)
    line("run")
    line("run")
    (row,) = line("isolations", "--json").value
    assert row["state"] == "unknown"
    assert_says(line("isolations"), 1, "UNKNOWN: a person must look")
    (case,) = row["holders"]
    done = line("undo", case, "--reason", "false alarm", "--yes")
    assert_says(done, 1, f"NOT touched: {HOST}: whether it is isolated is unknown")
    assert done.err.count("stockade resolve ") == 2, done.err
    assert "nothing to ask for" in done.err
    line("run")
    assert questions(line) == []
    assert acts(line, "lift_containment") == 0
    (shown,) = line("status", "--json").value["isolated"]
    assert shown["state"] == "unknown"
