"""A quiet `stockade run` as a whole process, against a script that imports requests and yaml and
makes the same calls.

    python -m bench.idle

The two are started in turn; each waits as long as the other for the search to end. The ratio is
taken pair by pair, of the wall clock and of the CPU's time.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from connectors.emulators.wire import Logged
from runner.poll import LOOK_DELAYS_S
from tests.command_line import QUICK, CommandLine, command_line, environment
from tests.world_settings import SEARCH, merged

AIM = 1.1
PAIRS = 15
REFERENCE = """\
import sys, time
import requests, yaml

url, token, calls, wait_s = {url!r}, {token!r}, {calls!r}, {wait_s!r}
session = requests.Session()
session.trust_env = False
session.headers["Authorization"] = "Bearer " + token
sid = ""
for method, path, query, body in calls:
    if path.endswith("SID"):
        time.sleep(wait_s)
    kind = {{"Content-Type": "application/x-www-form-urlencoded"}} if body else {{}}
    answer = session.request(
        method, url + path.replace("SID", sid) + "?" + query, data=body, headers=kind, timeout=10
    )
    answer.raise_for_status()
    sid = answer.json().get("sid", sid)
with open({config!r}) as file:
    yaml.load(file, Loader=yaml.CSafeLoader)
"""


class Cost(NamedTuple):
    """What a whole process took, in milliseconds."""

    wall: float
    cpu: float


def cost(line: CommandLine, *arguments: str) -> Cost:
    """Run a process to its end. Errors: `RuntimeError` when it fails."""
    # Windows are whole seconds: a poll in the second of the one before has nothing to ask.
    time.sleep(1.05)
    begun = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=line.folder,
        env=environment(),
        stderr=subprocess.PIPE,
    ) as process:
        said = process.stderr.read() if process.stderr else b""
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or said:
        raise RuntimeError(f"{arguments}: {process.returncode}: {said.decode()}")
    wall = time.perf_counter() - begun
    return Cost(wall * 1000, (used.ru_utime + used.ru_stime) * 1000)


def middle(costs: list[Cost]) -> Cost:
    """The medians."""
    return Cost(
        statistics.median(one.wall for one in costs), statistics.median(one.cpu for one in costs)
    )


def reference(line: CommandLine, calls: list[Logged]) -> Path:
    """A script that makes these calls."""
    sid = next(call.path.rsplit("/", 1)[1] for call in calls if call.path.count("/jobs/"))
    told = [
        (call.method, call.path.replace(sid, "SID"), call.query, call.body or None)
        for call in calls
    ]
    file = line.folder / "reference.py"
    token = (line.folder / "secrets" / "splunk.token").read_text()
    file.write_text(
        REFERENCE.format(
            url=line.splunk.base_url,
            token=token,
            calls=told,
            wait_s=LOOK_DELAYS_S[0],
            config=str(line.config),
        )
    )
    return file


def main() -> int:
    """Exit code 1 when the aim is missed."""
    quiet = merged(QUICK, {"mode": "observe", "searches": {SEARCH: {"canary": None}}})
    with tempfile.TemporaryDirectory() as place, command_line(Path(place), quiet) as line:
        ours = ("-m", "runner.cli", "run")
        cost(line, *ours)
        seen = len(line.splunk.requests)
        cost(line, *ours)
        calls = line.splunk.requests[seen:]
        theirs = (str(reference(line, calls)),)
        cost(line, *theirs)
        if len(line.splunk.requests) != seen + 2 * len(calls):
            raise RuntimeError("the reference makes other calls")
        pairs = [(cost(line, *ours), cost(line, *theirs)) for _ in range(PAIRS)]
    wall = statistics.median(mine.wall / its.wall for mine, its in pairs)
    cpu = statistics.median(mine.cpu / its.cpu for mine, its in pairs)
    mine, its = middle([one for one, _ in pairs]), middle([other for _, other in pairs])
    print(
        f"idle run: {len(calls)} calls; {mine.wall:.0f} ms against {its.wall:.0f} ms, "
        f"ratio {wall:.2f}; CPU {mine.cpu:.0f} ms against {its.cpu:.0f} ms, ratio {cpu:.2f}; "
        f"aim {AIM}"
    )
    return 0 if wall <= AIM else 1


if __name__ == "__main__":
    sys.exit(main())
