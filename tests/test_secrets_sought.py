"""The search for secrets at a session's end finds each that is planted, and makes it red."""

from __future__ import annotations

import base64
import sqlite3
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from connectors.emulators.emulator import MARK, Keys
from tests.fences import ROOT
from tests.secrets_sought import holds_secret, secrets_in

# Never whole in this file: a test that fails prints its source.
TOKEN = f"xoxb-{MARK}0123"

PLANTS = {
    "in a file": "(tmp_path / 'log.txt').write_text('sent ' + TOKEN + ' as a token')",
    "printed and shown": "print(TOKEN)",
    "printed and taken": "print(TOKEN); capsys.readouterr()",
    "logged": "logging.getLogger('x').warning('token=%s', TOKEN)",
    "raised": "pytest.xfail(TOKEN)",
}
CLEAN = "(tmp_path / 'secrets.token').write_text(TOKEN + chr(10))"
SOURCE = """\
import logging, pytest
from connectors.emulators.emulator import MARK
TOKEN = 'xoxb-' + MARK + '0123'
def test_it(tmp_path, capsys):
    {body}
"""


def session(folder: Path, body: str, *more: str) -> tuple[int, str]:
    """A session of one test: its exit code, and what it said."""
    file = folder / "test_planted.py"
    file.write_text(SOURCE.format(body=body))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.secrets_sought", str(file)]
    places = ["--rootdir", str(folder), "-c", "/dev/null", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *places, "--basetemp", str(folder / "made"), *more],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    # What this session plants on purpose is not to be found in the one that runs it.
    for path in (folder / "made").rglob("log.txt"):
        path.unlink()
    return done.returncode, done.stdout


@pytest.mark.parametrize("plant", PLANTS)
def test_session_when_a_secret_is_planted_then_it_is_red(plant: str, tmp_path: Path) -> None:
    code, said = session(tmp_path, PLANTS[plant])
    assert (code, said.count("A SECRET STANDS IN")) == (1, 1), said.replace(MARK, "MARK")


def test_session_when_workers_run_the_tests_then_a_planted_secret_is_found_all_the_same(
    tmp_path: Path,
) -> None:
    code, said = session(tmp_path, PLANTS["in a file"], "--numprocesses", "1")
    assert (code, "A SECRET STANDS IN" in said) == (1, True), said.replace(MARK, "MARK")


def test_session_when_the_secret_is_where_it_belongs_then_it_is_green(tmp_path: Path) -> None:
    code, said = session(tmp_path, CLEAN)
    assert (code, "A SECRET" in said) == (0, False), said.replace(MARK, "MARK")


@pytest.mark.parametrize("before", ["", "a", "ab", "bot@example.test:", "x" * 50])
def test_secret_when_it_is_coded_for_a_basic_authorization_then_it_is_found(before: str) -> None:
    coded = base64.b64encode(f"{before}{TOKEN}".encode())
    assert MARK.encode() not in coded
    assert holds_secret(b"Authorization: Basic " + coded)
    assert not holds_secret(base64.b64encode(b"nothing of the kind, at some length"))


def test_files_when_a_journal_or_a_pack_holds_a_secret_then_named(tmp_path: Path) -> None:
    place = tmp_path / "planted"
    place.mkdir()
    with sqlite3.connect(place / "journal.db") as base:
        base.execute("create table t (body text)")
        base.execute("insert into t values (?)", [f"x {TOKEN} y"])
    base.close()
    with zipfile.ZipFile(place / "case.zip", "w", zipfile.ZIP_DEFLATED) as pack:
        pack.writestr("case.json", f"{{{TOKEN}}}" * 9)
    (place / "slack-keys.json").write_text("{}")
    try:
        assert sorted(secrets_in(place)) == ["case.zip: case.json", "journal.db"]
    finally:
        for path in place.iterdir():
            path.unlink()


def test_every_secret_of_a_stand_in_can_be_found() -> None:
    made = Keys.fresh({"token": "xoxb-", "api_token": "", "email": "bot-", "username": "soar-"})
    hidden = {name for name, value in made.credentials.items() if holds_secret(value.encode())}
    assert hidden == {"token", "api_token"}
