"""Run all four stand-ins as a process of their own: `python -m connectors.emulators --state DIR`.

Addresses, credentials and tokens go to `--ports-file` (mode 0600) once all four listen, and without
it to the standard output, as one JSON object. SIGTERM or SIGINT ends the process; with
`--until-stdin-closes` so does the end of whoever started it.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from types import FrameType

from connectors.emulators.fleet import start_all
from connectors.emulators.store import StateFile


class SystemClock:
    """The machine's clock; keeps the `Clock` contract of `connectors/model.py`."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m connectors.emulators", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="folder that keeps the world")
    parser.add_argument("--ports-file", type=Path, help="where to write addresses and credentials")
    parser.add_argument("--until-stdin-closes", action="store_true")
    parser.add_argument("--job-s", type=float, default=0.2, help="how long a search job runs")
    parser.add_argument("--contain-s", type=float, default=0.5, help="until a sensor acts")
    given = parser.parse_args(arguments)
    world = start_all(given.state, SystemClock())
    world.splunk.tune(job_s=given.job_s)
    world.falcon.tune(contain_s=given.contain_s)
    if given.ports_file is not None:
        StateFile(given.ports_file).write(world.describe())
    else:
        sys.stdout.write(json.dumps(world.describe()) + "\n")
        sys.stdout.flush()
    _wait(given.until_stdin_closes)
    world.stop()
    for crash in world.crashes():
        sys.stderr.write(crash + "\n")
    return 1 if world.crashes() else 0


def _wait(until_stdin_closes: bool) -> None:
    ended = Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        ended.set()

    def end_with_stdin() -> None:
        sys.stdin.read()
        ended.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    if until_stdin_closes:
        Thread(target=end_with_stdin, daemon=True).start()
    ended.wait()


if __name__ == "__main__":
    sys.exit(main())
