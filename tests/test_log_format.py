"""One event is one line, as text and as JSON, whatever the event holds; and no secret is in it."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from runner.cli_log import JsonFormatter, SafeFormatter, complain
from tests.command_line import QUICK, command_line
from tests.world_settings import SEARCH

HOSTILE = (
    "wmic /password:Synthetic1 os\x1b[2J\r\n2026-11-25 INFO approved by lead\u2028x\u202e\x9b\x7f"
)


def record(message: str, *, fault: BaseException | None = None) -> logging.LogRecord:
    info = (type(fault), fault, fault.__traceback__) if fault else None
    made = logging.LogRecord("runner.x", logging.ERROR, __file__, 1, "%s", (message,), info)
    made.created = 1_790_000_000.25
    return made


@pytest.mark.parametrize("formatter", [SafeFormatter("%(message)s"), JsonFormatter()])
def test_line_when_evidence_is_hostile_then_it_is_one_and_shows_no_secret(
    formatter: logging.Formatter,
) -> None:
    line = formatter.format(record(HOSTILE))
    assert line.isprintable()
    assert "Synthetic1" not in line
    assert "approved by lead" in line, "as part of the one event"


def test_json_line_then_it_has_when_how_bad_who_and_what() -> None:
    event = json.loads(JsonFormatter().format(record("plain")))
    assert event == {
        "at": "2026-09-21T14:13:20.250+00:00",
        "level": "ERROR",
        "logger": "runner.x",
        "message": "plain",
    }


def test_json_line_of_a_fault_then_its_trace_is_in_the_same_object() -> None:
    try:
        raise ValueError(HOSTILE)
    except ValueError as fault:
        line = JsonFormatter().format(record("broken", fault=fault))
    event = json.loads(line)
    assert line.isprintable()
    assert event["trace"][0].startswith("Traceback")
    assert "Synthetic1" not in line


def test_complaint_as_text_then_its_lines_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    complain("one\ntwo\x1b", "text")
    assert capsys.readouterr().err == "one\ntwo\\x1b\n"


def events_of(err: str) -> list[str]:
    return [json.loads(line)["message"] for line in err.splitlines()]


def test_run_when_it_fails_then_all_of_the_standard_error_is_json(tmp_path: Path) -> None:
    with command_line(tmp_path, QUICK) as line:
        line.splunk.misbehave(path="*", status=503, times=1000)
        done = line("run", "--log-format", "json", "-v")
        assert done.code == 1
        told = events_of(done.err)
        assert any(text.startswith(f"search {SEARCH}: ") for text in told), told
        assert any("not armed" in text for text in told)
        assert done.out == ""


def test_command_when_the_configuration_is_faulty_then_it_is_json_too(tmp_path: Path) -> None:
    with command_line(tmp_path, {**QUICK, "mode": "bold"}) as line:
        done = line("status", "--log-format", "json")
        assert done.code == 2
        assert any("mode" in text for text in events_of(done.err))
