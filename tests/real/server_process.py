"""A server in a process of its own that a test can end and start again, on the same port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import requests

UP_WITHIN_S = 180
DOWN_WITHIN_S = 60


class ServerProcess:
    """`is_up` raises `requests.RequestException` for as long as the server does not answer."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        log: Path,
        is_up: Callable[[], object],
        environ: dict[str, str] | None = None,
    ) -> None:
        self._name = name
        self._command = command
        self._log = log
        self._is_up = is_up
        self._environ = environ
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers. Errors: `RuntimeError` with the end of its log."""
        with self._log.open("ab") as told:
            self._process = subprocess.Popen(
                self._command,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until = time.monotonic() + UP_WITHIN_S
        while time.monotonic() < until and self._process.poll() is None:
            try:
                self._is_up()
                return
            except requests.RequestException:
                time.sleep(0.1)
        self.stop()
        said = self._log.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{self._name} did not come up:\n{said}")

    def stop(self) -> None:
        """End it with all its workers, and wait for that. Repeat: harmless."""
        process, self._process = self._process, None
        if process is None:
            return
        for how in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, how)
            except ProcessLookupError:
                break
            try:
                process.wait(timeout=DOWN_WITHIN_S)
            except subprocess.TimeoutExpired:
                continue
            if how is signal.SIGTERM and not _has_members(process.pid):
                break
        process.wait(timeout=DOWN_WITHIN_S)


def _has_members(group: int) -> bool:
    """Does a worker outlive its master? Then its port is still taken."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.05)
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
