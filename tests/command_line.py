"""The command as a user starts it: a process of its own, on stand-ins that run in this one.

with command_line(tmp_path) as line:
    line.store(1)
    assert line("run").code == 0
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

from connectors.emulators.falcon import Hook
from connectors.emulators.fleet import Emulators, running_emulators
from runner.cli import SystemClock
from tests.polling import SEEN, raw_hit
from tests.secrets_sought import note
from tests.world import is_wmic_format
from tests.world_settings import PROTECTED, SEARCH, merged, settings

ROOT = Path(__file__).parent.parent


class Done(Struct, frozen=True, kw_only=True):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def value(self) -> Any:
        """The one JSON value on the standard output. Errors: `ValueError` for anything else."""
        return json.loads(self.out)


class CommandLine:
    """One folder with a configuration, and the stand-ins behind it."""

    def __init__(self, folder: Path, emulators: Emulators, changes: dict[str, Any]) -> None:
        self.folder = folder
        self.emulators = emulators
        self.splunk = emulators.splunk
        self.config = folder / "config.yaml"
        secrets = folder / "secrets"
        secrets.mkdir(mode=0o700, exist_ok=True)
        for product, credentials in emulators.credentials().items():
            for name, value in credentials.items():
                self.secret(f"{product}.{name}", value)
        (folder / "protected.txt").write_text(PROTECTED)
        (folder / "playbooks").mkdir()
        (folder / "playbooks" / "seen.yaml").write_text(SEEN)
        self.configure(changes)

    def secret(self, name: str, value: str) -> None:
        file = self.folder / "secrets" / name
        file.touch(mode=0o600)
        file.write_text(value)

    def configure(self, changes: dict[str, Any]) -> None:
        own = {"searches": {SEARCH: {"settle_s": 0}}}
        self.config.touch(mode=0o600)
        text = json.dumps(merged(settings(self.emulators), merged(own, changes)), indent=2)
        self.config.write_text(text)

    def store(self, number: int, host: str = "WORKSTATION5", cmdline: str | None = None) -> None:
        """One hit into Splunk, indexed some seconds ago."""
        raw = raw_hit(number, host, cmdline) | {"User": r"WORKGROUP\wardog"}
        self.splunk.add_event(raw, age_s=20, index_age_s=20)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command without waiting for its end."""
        return subprocess.Popen(
            self.words(*arguments),
            cwd=self.folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def words(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "runner.cli", *arguments]

    def __call__(self, *arguments: str) -> Done:
        if arguments[0] == "run":
            # Windows are whole seconds: a tick in the second of the one before has nothing to ask.
            time.sleep(1.05)
        return run_command(*arguments, folder=self.folder)


def environment() -> dict[str, str]:
    """As a program that is installed has it: its modules are compiled once, not at each start."""
    kept = {name: value for name, value in os.environ.items() if "BYTECODE" not in name}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error",
        "PYTHONPYCACHEPREFIX": str(ROOT / "build" / "compiled"),
    }


def run_command(*arguments: str, folder: Path) -> Done:
    """Run `stockade` with these arguments in a folder."""
    done = subprocess.run(
        [sys.executable, "-m", "runner.cli", *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    note(f"what stockade {' '.join(arguments)} printed", done.stdout + done.stderr)
    return Done(code=done.returncode, out=done.stdout, err=done.stderr)


@contextmanager
def command_line(
    folder: Path, changes: dict[str, Any] | None = None, *, hook: Hook | None = None
) -> Iterator[CommandLine]:
    """A command line for the time of a block; `changes` are laid over the world's settings."""
    with running_emulators(folder / "products", SystemClock(), hook=hook) as emulators:
        splunk = emulators.splunk
        splunk.events = [event for event in splunk.events if not is_wmic_format(event.row)]
        yield CommandLine(folder, emulators, changes or {})


QUICK = {"playbook_dir": "playbooks", "searches": {SEARCH: {"playbook": "seen"}}}
"""Changes under which a run ends at its first step."""
