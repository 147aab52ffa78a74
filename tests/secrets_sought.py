"""The search at a session's end: no secret of a test stands where none may be.

Every secret that tests work with has `MARK` in it, as it is or in base64. Looked through are all
files that tests left in their temporary folders (journals with their side files, logs, what the
stand-ins took as cards, tickets, comments and files, packs unpacked), what tests and commands
printed, and the reports of tests. A file that is nothing but one secret, and the stand-ins' own
keys, may hold one. Each worker of a session that runs side by side looks through its own.
"""

from __future__ import annotations

import base64
import json
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from connectors.emulators.emulator import MARK

KEYS = {"base_url", "credentials", "control", "human"}
FOUND = "secrets_found"
_PLAIN = MARK.encode()
_CODED = tuple(
    # Of each alignment, the letters that no neighbor can change.
    base64.b64encode(b"-" * shift + _PLAIN)[4 * (shift > 0) : 4 * ((shift + len(_PLAIN)) // 3)]
    for shift in range(3)
)
_found: list[str] = []


def note(where: str, text: str | bytes) -> None:
    """Look through something that was printed or told."""
    content = text.encode(errors="replace") if isinstance(text, str) else text
    if holds_secret(content):
        _found.append(where)


def holds_secret(content: bytes) -> bool:
    return _PLAIN in content or any(coded in content for coded in _CODED)


# -- what tests left behind ------------------------------------------------------------------------


def secrets_in(folder: Path) -> Iterator[str]:
    """Each file below that holds a secret, and may not; packs are opened."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        content = path.read_bytes()
        if holds_secret(content) and not may_hold_one(path, content):
            yield str(path.relative_to(folder))
        if path.suffix == ".zip" and zipfile.is_zipfile(path):
            with zipfile.ZipFile(BytesIO(content)) as pack:
                yield from (
                    f"{path.relative_to(folder)}: {name}"
                    for name in pack.namelist()
                    if holds_secret(pack.read(name))
                )


def may_hold_one(path: Path, content: bytes) -> bool:
    """A file that a configuration names as a secret's place, and that holds nothing else; the keys
    of a stand-in, or of all that run in another process."""
    if len(content.split()) == 1 and len(content) < 200:
        return True
    if path.suffix != ".json":
        return False
    told = json.loads(content)
    kept = told.values() if path.name == "ports.json" else [told]
    return all({"credentials", "control", "human"} <= set(one) <= KEYS for one in kept)


# -- what pytest calls -----------------------------------------------------------------------------


def pytest_configure() -> None:
    """Look through what commands print in this process: tests take it away before a report."""
    read = pytest.CaptureFixture.readouterr

    def noted(self: pytest.CaptureFixture[Any]) -> Any:
        said = read(self)
        for text in said:
            note(f"what {self.request.node.nodeid} printed", text)
        return said

    if read.__name__ != "noted":
        pytest.CaptureFixture.readouterr = noted  # type: ignore[method-assign]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Whatever a report tells: the log, what was printed, the exception."""
    for title, text in report.sections:
        note(f"{report.nodeid}: {title}", text)
    if report.longrepr is not None:
        note(f"{report.nodeid}: the exception", str(report.longrepr))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Look through the folders while they are there; a find makes the session red."""
    factory: pytest.TempPathFactory = session.config._tmp_path_factory  # type: ignore[attr-defined]
    told: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if told is not None or not _found_by_workers(session):
        _found.extend(secrets_in(factory.getbasetemp()))
    if told is not None:
        told[FOUND] = _found
    elif _found:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _found_by_workers(session: pytest.Session) -> bool:
    """Did workers do the tests, and with them the search?"""
    return getattr(session.config.option, "dist", "no") != "no"


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker is done: what it found. One that died has looked through nothing."""
    output = getattr(node, "workeroutput", None) or {FOUND: ["a worker died before it looked"]}
    _found.extend(output[FOUND])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for where in dict.fromkeys(_found):
        terminalreporter.write_line(f"A SECRET STANDS IN {where}", red=True)
