"""The eight calls of `bench.runs` as steps of other tools, in turn with ours.

    python -m bench.beside FOLDER

DBOS, Luigi and Ansible are installed into an environment of their own in this folder, as they are
shipped. All make the same requests to the same server, which answers from memory; each keeps its
steps as it does by itself: DBOS in SQLite, Luigi as files, Ansible not at all. None of them asks
people, judges, or knows what may have happened: this compares what a step costs, and no more. Exit
code 1 when one of them could not be measured.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import venv
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import requests

from bench.runs import Took, pair, timed
from tests.fences import ROOT

ROUNDS = 7


class Peer(NamedTuple):
    """What is installed, how many runs are one turn, and what it keeps of them."""

    package: str
    each: int
    keeps: str


PEERS = {
    "dbos": Peer("dbos==3.4.0", 10, "each step in SQLite"),
    "luigi": Peer("luigi==3.8.1", 10, "each step as a file, not safe from a power cut"),
    "ansible": Peer("ansible-core==2.19.14", 1, "nothing"),
}


def install(folder: Path) -> dict[str, str]:
    """Make the environment, if need be; what cannot be installed, and why."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    missing = {}
    for name, peer in PEERS.items():
        wanted = [peer.package, f"requests=={requests.__version__}"]
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
        done = subprocess.run([*pip, *wanted], capture_output=True, text=True, check=False)
        if done.returncode:
            missing[name] = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
    return missing


class Process:
    """A peer that waits for its turn."""

    def __init__(self, name: str, python: Path, calls: Path, folder: Path) -> None:
        self._each = PEERS[name].each
        self._process = subprocess.Popen(
            [str(python), "-m", f"bench.peers.{name}_peer", str(calls), str(folder)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def turn(self) -> Took:
        """Errors: `RuntimeError` when it has ended."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the peer has no pipes")
        try:
            self._process.stdin.write(f"{self._each}\n")
            self._process.stdin.flush()
            wall_s, cpu_s = json.loads(self._process.stdout.readline())
        except (BrokenPipeError, ValueError):
            raise RuntimeError(f"it ended with {self._process.wait()}") from None
        return Took(wall_s * 1000 / self._each, cpu_s * 1000 / self._each)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


def measure(environment: Path, names: list[str]) -> dict[str, str]:
    """Take turns, and print what came of it; who broke down, and why."""
    broken: dict[str, str] = {}
    turns: dict[str, list[tuple[Took, Took]]] = {name: [] for name in names}
    with ExitStack() as stack:
        sides = stack.enter_context(pair(0, 10 * (ROUNDS + 1) * len(names)))
        folder = Path(stack.enter_context(TemporaryDirectory()))
        calls = folder / "calls.json"
        calls.write_text(json.dumps(sides.floor.calls))
        peers = {}
        for name in names:
            (folder / name).mkdir()
            python = environment / "bin" / "python"
            peers[name] = Process(name, python, calls, folder / name)
            stack.callback(peers[name].end)
        for number in range(ROUNDS + 1):
            for name in [name for name in names if name not in broken]:
                try:
                    theirs, ours = peers[name].turn(), timed(sides.product.run, 10)
                except RuntimeError as fault:
                    broken[name] = str(fault)
                else:
                    # The first turn is for warming up.
                    turns[name] += [(theirs, ours)] if number else []
    for name, both in turns.items():
        if both:
            print(told(name, both))
    return broken


def told(name: str, both: list[tuple[Took, Took]]) -> str:
    """A peer beside ours: medians, and the medians of the ratios pair by pair."""
    wall, cpu = (
        statistics.median(getattr(its, of) / getattr(mine, of) for its, mine in both)
        for of in ("wall_ms", "cpu_ms")
    )
    its, mine = (
        [
            statistics.median(getattr(pair[side], of) for pair in both)
            for of in ("wall_ms", "cpu_ms")
        ]
        for side in (0, 1)
    )
    return (
        f"{PEERS[name].package}, which keeps {PEERS[name].keeps}: "
        f"{its[0]:.1f} ms a run against ours {mine[0]:.1f}, {wall:.1f} times; "
        f"CPU {its[1]:.1f} ms against {mine[1]:.1f}, {cpu:.1f} times"
    )


def main() -> int:
    """Exit code 1 when a peer could not be measured."""
    environment = Path(sys.argv[1])
    missing = install(environment)
    missing |= measure(environment, [name for name in PEERS if name not in missing])
    for name, why in missing.items():
        print(f"NOT MEASURED: {PEERS[name].package}: {why}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
