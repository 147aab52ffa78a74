"""Windows' own event files give the rows that the same events give as JSON lines; what is damaged
is named."""

from __future__ import annotations

import gzip
import shutil
import sys
from pathlib import Path

import pytest

from runner.alerts import make_alert
from runner.exported import exported_rows
from runner.exported_evtx import EVTX_CHUNK, EVTX_HEADER, NotRead
from tests.command_line import command_line
from tests.test_replay_command import QUIET

EVENTS = Path(__file__).parent / "events"
SYSMON, SECURITY = "wmiexec_sysmon1", "wmic_shadowcopy_delete_4688"


def file_of(name: str, folder: Path) -> Path:
    file = folder / f"{name}.evtx"
    with gzip.open(EVENTS / f"{name}.evtx.gz") as packed, file.open("wb") as plain:
        shutil.copyfileobj(packed, plain)
    return file


@pytest.mark.parametrize("name", [SYSMON, SECURITY])
def test_evtx_then_the_rows_of_the_same_events_as_json_lines(tmp_path: Path, name: str) -> None:
    rows = list(exported_rows(file_of(name, tmp_path)))
    wanted = [row for _, row in exported_rows(EVENTS / f"{name}.jsonl")]
    assert rows
    assert [number for number, _ in rows] == list(range(1, len(rows) + 1))
    for (_, row), same in zip(rows, wanted, strict=True):
        assert isinstance(row, dict)
        assert isinstance(same, dict)
        for field in ("Computer", "Channel", "EventID", "_time", "CommandLine"):
            assert row.get(field) == same.get(field), field


def test_evtx_of_sysmon_1_and_security_4688_then_an_alert_knows_host_line_and_time(
    tmp_path: Path,
) -> None:
    for name in (SYSMON, SECURITY):
        ((_, row), *_) = exported_rows(file_of(name, tmp_path))
        assert isinstance(row, dict)
        alert = make_alert(row, siem="s", search="s", identity=(), fields={})
        assert alert.host
        assert alert.cmdline
        assert alert.occurred_at


def test_evtx_when_a_part_is_damaged_then_named_and_the_rest_is_read(tmp_path: Path) -> None:
    file = file_of(SYSMON, tmp_path)
    whole = file.read_bytes()
    good = whole[EVTX_HEADER : EVTX_HEADER + EVTX_CHUNK]
    bad = good[:600] + b"\xff" * 300 + good[900:]
    head = whole[:42] + (2).to_bytes(2, "little") + whole[44:EVTX_HEADER]
    file.write_bytes(head + bad + good)
    found = [row for _, row in exported_rows(file)]
    assert sum(isinstance(row, dict) for row in found) == 1
    (said,) = [row for row in found if isinstance(row, str)]
    assert said.startswith("it is damaged: ")


def test_evtx_when_the_file_was_cut_then_said_with_what_was_read(tmp_path: Path) -> None:
    file = file_of(SYSMON, tmp_path)
    whole = file.read_bytes()
    file.write_bytes(whole[:42] + (3).to_bytes(2, "little") + whole[44:])
    *_, (_, last) = exported_rows(file)
    assert last == "the file ends before its last 2 chunk(s): 1 record(s) read"


@pytest.mark.parametrize("content", [b"", b"ElfFile\0", b"no event file" * 1000])
def test_evtx_when_it_is_none_then_a_sentence(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "none.evtx"
    file.write_bytes(content)
    with pytest.raises(NotRead, match=r"none\.evtx: it is no EVTX file"):
        list(exported_rows(file))


def test_evtx_when_the_package_is_missing_then_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "evtx", None)
    with pytest.raises(NotRead, match=r"install stockade\[evtx\]"):
        list(exported_rows(file_of(SYSMON, tmp_path)))


def test_replay_of_an_evtx_file_then_its_hits_are_played(tmp_path: Path) -> None:
    with command_line(tmp_path, QUIET) as line:
        file_of(SECURITY, line.folder)
        done = line("replay", f"{SECURITY}.evtx", "--json")
        assert "Traceback" not in done.err
        assert done.value["hits"] == len(list(exported_rows(line.folder / f"{SECURITY}.evtx")))
        assert done.value["cases"][0]["cmdline"]


def damaged(folder: Path) -> Path:
    """One changed byte, with which the native parser goes round for ever."""
    file = file_of(SYSMON, folder)
    content = bytearray(file.read_bytes())
    content[5352] = 152
    file.write_bytes(content)
    return file


def test_evtx_when_the_parser_never_ends_then_it_is_ended_and_named(tmp_path: Path) -> None:
    *_, (number, last) = exported_rows(damaged(tmp_path), evtx_limit_s=0.5)
    assert number >= 1
    assert last == (
        "it is damaged: the reader made no progress for 0.5 s; what follows in this file is not "
        "read"
    )


def test_evtx_when_its_reader_dies_then_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The parser's own module, replaced by one that ends as a panic of native code does.
    (tmp_path / "evtx.py").write_text("import os\nos.abort()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    ((number, said),) = exported_rows(file_of(SYSMON, tmp_path))
    assert (number, said) == (
        1,
        "it is damaged: the reader ended with -6; what follows in this file is not read",
    )
