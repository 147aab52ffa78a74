"""A quiet `run` loads only what it needs: cron starts it every minute, for years."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_line import QUICK, CommandLine, command_line, environment

NOT_NEEDED = (
    # packages
    "jinja2",
    "markupsafe",
    "tenacity",
    "jsonschema",
    "slack_sdk",
    "responses",
    "pytest",
    # of the standard library, the expensive ones
    "asyncio",
    "concurrent.futures",
    "difflib",
    "multiprocessing",
    "unittest",
    "xml",
    "xmlrpc",
    # of our own
    "connectors.emulators",
    "connectors.edr",
    "connectors.chat",
    "connectors.tickets",
    "connectors.siem.splunk.spl",
    "connectors.siem.splunk.permissions",
    "runner.wmic",
    "runner.demo",
    "runner.demo_config",
    "runner.lint",
    "runner.lint_names",
    "runner.checks",
    "runner.commands",
    "runner.views",
    "runner.report",
    "runner.terminal",
    "runner.crew",
    "runner.engine",
    "runner.interpreter",
    "runner.effects",
    "runner.cards",
    "runner.followup",
    "runner.case_reports",
    "runner.actions",
    "runner.alerts",
    "runner.hunts",
    "runner.playbook",
    "runner.template",
    "runner.expression",
    "runner.audit",
    "runner.editor_schema",
)
"""Modules, and with each all that lies below it."""

REPORT = """
import sys
from runner.cli import main
code = main(sys.argv[1:])
print("loaded:", *sorted(sys.modules), file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """A runner that has polled, and is armed; nothing was hit."""
    with command_line(tmp_path_factory.mktemp("idle"), QUICK) as found:
        assert found("run").code == 0
        assert found("arm", "--reason", "test").code == 0
        yield found


@pytest.fixture(scope="module")
def loaded(line: CommandLine) -> set[str]:
    return modules_after(line, "run")


def modules_after(line: CommandLine, *words: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", REPORT, *words],
        cwd=line.folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.rpartition("loaded:")[2].split())


@pytest.mark.parametrize("unneeded", NOT_NEEDED)
def test_run_when_nothing_is_new_then_it_does_not_load(loaded: set[str], unneeded: str) -> None:
    below = [name for name in loaded if name == unneeded or name.startswith(unneeded + ".")]
    # What a product's configuration means is described apart from its client.
    assert [name for name in below if not is_description(name)] == []


def is_description(name: str) -> bool:
    """A package, or the file that says what a configuration of a product looks like."""
    return name in DESCRIPTIONS


DESCRIPTIONS = frozenset(
    {
        "connectors.edr",
        "connectors.edr.falcon_product",
        "connectors.chat",
        "connectors.chat.slack_product",
        "connectors.chat.slack_ids",
        "connectors.chat.matrix_product",
        "connectors.tickets",
        "connectors.tickets.jira_product",
    }
)


def test_run_when_a_hit_comes_then_it_does_load_what_a_run_needs(
    tmp_path: Path,
) -> None:
    """The list above can fail: the same names are seen as soon as there is work."""
    with command_line(tmp_path) as busy:
        busy.store(1)
        found = modules_after(busy, "run")
    assert {"jinja2", "runner.engine", "runner.crew", "runner.playbook"} <= found


def test_importtime_when_nothing_is_new_then_python_itself_says_the_same(
    line: CommandLine,
) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "runner.cli", "run"],
        cwd=line.folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    names = {row.rpartition("|")[2].strip() for row in done.stderr.splitlines() if "|" in row}
    assert "requests" in names
    assert names & {"jinja2", "tenacity", "runner.engine", "asyncio", "difflib"} == set()
