"""How a peer takes turns with ours: it reads how many runs to make, makes them, and says what they
took, until its input ends."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests


class Calls:
    """The requests of one run, as they were recorded: method, address, headers and body."""

    def __init__(self, file: str) -> None:
        self._calls: list[list[Any]] = json.loads(Path(file).read_text())
        self._session = requests.Session()
        self._session.trust_env = False

    def __len__(self) -> int:
        return len(self._calls)

    def make(self, number: int) -> str:
        """Send one of them; a part of its answer, to be kept."""
        method, url, headers, body = self._calls[number]
        answer = self._session.request(method, url, headers=headers, data=body, timeout=10)
        answer.raise_for_status()
        return answer.text[:300]


def cpu_s() -> float:
    """User and system time of this process and of those that it waited for."""
    both = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in both)


def take(run: Callable[[int], object]) -> None:
    """`run` makes the run of a number; each has its own."""
    done = 0
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), cpu_s()
        for _ in range(int(line)):
            done += 1
            run(done)
        print(json.dumps([time.perf_counter() - wall, cpu_s() - cpu]), flush=True)
