"""Stand-ins in a process of their own, and the handle by which a test steers them.

They outlive the program under test when that is killed, and end with the test that started them.

    with spawned_emulators(tmp_path) as world:
        world.slack.human("react", user="U0RESPONDA", channel=…, ts=…, name="white_check_mark")
        world.falcon.effects(query="action_name=contain*")
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).parent.parent


class RemoteEmulator:
    """One stand-in in another process: address, credentials, and what `Emulator` offers."""

    def __init__(self, described: dict[str, Any]) -> None:
        self.base_url = str(described["base_url"])
        self.credentials: dict[str, str] = dict(described["credentials"])
        self._control = str(described["control"])
        self._human = str(described["human"])

    def misbehave(self, **how: Any) -> None:
        """Spoil coming calls; the keywords are those of `Misbehaviour`."""
        self._send("/_control/misbehave", how)

    def behave(self) -> None:
        self._send("/_control/behave")

    def tune(self, **values: Any) -> None:
        self._send("/_control/tune", values)

    def requests(self) -> list[dict[str, Any]]:
        """Every call so far, as `Logged` in JSON."""
        found: list[dict[str, Any]] = self._send("/_control/requests")
        return found

    def effects(self, path: str = "*", query: str = "*") -> list[dict[str, Any]]:
        """The calls that changed the product's world, by shell patterns."""
        return [
            seen
            for seen in self.requests()
            if seen["changed"] and fnmatchcase(seen["path"], path)
            if fnmatchcase(seen["query"], query)
        ]

    def do(self, command: str, **arguments: Any) -> Any:
        """Call one of the stand-in's `COMMANDS`."""
        return self._send(f"/_control/do/{command}", arguments)["result"]

    def human(self, act: str, **arguments: Any) -> Any:
        """Play one of the people: `react`, `unreact`, `say`, `edit`, `delete`."""
        return self._send(f"/_human/{act}", arguments)["result"]

    def _send(self, path: str, value: dict[str, Any] | None = None) -> Any:
        url = urlsplit(self.base_url)
        connection = HTTPConnection(str(url.hostname), url.port, timeout=10)
        tokens = {"X-Control-Token": self._control, "X-Human-Token": self._human}
        connection.request("POST", path, json.dumps(value or {}).encode(), tokens)
        response = connection.getresponse()
        body = json.loads(response.read())
        connection.close()
        if response.status != 200:
            raise RuntimeError(f"{path}: {body}")
        return body


class RemoteEmulators:
    """The four of one process."""

    def __init__(self, described: dict[str, Any], pid: int) -> None:
        self.pid = pid
        self.splunk = RemoteEmulator(described["splunk"])
        self.falcon = RemoteEmulator(described["falcon"])
        self.slack = RemoteEmulator(described["slack"])
        self.jira = RemoteEmulator(described["jira"])

    def credentials(self) -> dict[str, dict[str, str]]:
        return {name: handle.credentials for name, handle in self._named().items()}

    def base_urls(self) -> dict[str, str]:
        return {name: handle.base_url for name, handle in self._named().items()}

    def _named(self) -> dict[str, RemoteEmulator]:
        return {
            "splunk": self.splunk,
            "falcon": self.falcon,
            "slack": self.slack,
            "jira": self.jira,
        }


@contextmanager
def spawned_emulators(state: Path, *options: str) -> Iterator[RemoteEmulators]:
    """All four in a process of their own for the time of a block. `options`: as of
    `python -m connectors.emulators`. Errors: `RuntimeError` when it does not start, or when a
    stand-in crashed."""
    command = [sys.executable, "-m", "connectors.emulators", "--state", str(state)]
    process = subprocess.Popen(
        [*command, "--until-stdin-closes", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    with process:
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise RuntimeError("the emulators did not start")
        try:
            yield RemoteEmulators(json.loads(line), process.pid)
        finally:
            process.terminate()
            status = process.wait(10)
    if status != 0:
        raise RuntimeError(f"the emulators ended with {status}: one of them crashed")
