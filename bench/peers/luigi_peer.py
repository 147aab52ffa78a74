"""The calls as Luigi's tasks, each with a file as its target: Luigi's own way to resume.

python -m bench.peers.luigi_peer CALLS.json FOLDER
"""

from __future__ import annotations

import logging
import sys

import luigi

from bench.peers.turns import Calls, take

logging.disable(logging.CRITICAL)
calls = Calls(sys.argv[1])


class Step(luigi.Task):
    """One call of one run, after the one before it."""

    run_number = luigi.IntParameter()
    number = luigi.IntParameter()

    def requires(self) -> list[luigi.Task]:
        return [Step(self.run_number, self.number - 1)] if self.number else []

    def output(self) -> luigi.LocalTarget:
        return luigi.LocalTarget(f"{sys.argv[2]}/{self.run_number}.{self.number}")

    def run(self) -> None:
        with self.output().open("w") as file:
            file.write(calls.make(self.number))


def build(run_number: int) -> None:
    """Errors: `RuntimeError` when a task failed."""
    last = Step(run_number, len(calls) - 1)
    if not luigi.build([last], local_scheduler=True, log_level="ERROR"):
        raise RuntimeError(f"run {run_number} failed")


take(build)
