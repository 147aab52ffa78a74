"""Runners without one of their safeguards: `python -m tests.mutants` is a drill's child that has
them all, by name."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from connectors.model import Clock
from runner.config import Config
from runner.drill_child import Wiring, main
from runner.journal import Journal


class _Unlocked(Journal):
    """Takes no lock and no epoch: everybody is the one runner."""

    def own(self) -> bool:
        return True

    def note_head(self) -> None:
        """Two owners would stumble over this file, and so end before they do any harm."""


class _Forgetful(Journal):
    """Has lost every intent without an outcome, as if none had been written before its effect."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        with self.write() as tx:
            tx.change("delete from step where class = 'effect' and status = 'intended'")


class _With(Wiring):
    """The real runner over another journal."""

    def __init__(self, journal: type[Journal]) -> None:
        self._journal = journal

    def journal(self, config: Config, clock: Clock, on_commit: Callable[[], None]) -> Journal:
        return self._journal(config.state_dir, clock, actor="drill", on_commit=on_commit)


WIRINGS: dict[str, Wiring] = {
    "real": Wiring(),
    "unlocked": _With(_Unlocked),
    "forgetful": _With(_Forgetful),
}


if __name__ == "__main__":
    sys.exit(main(WIRINGS))
