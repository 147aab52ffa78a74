"""Runners without one of their safeguards: `python -m tests.mutants` is a drill's child that has
them all, by name."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from connectors.base import Connector
from connectors.http import Runtime
from connectors.model import Clock
from runner.config import Config
from runner.drill_child import Wiring, main
from runner.journal import Journal
from runner.roles import Roles
from runner.service import Service


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


class _Unclaimed(Journal):
    """No question claims its subject: whoever asks sees nobody else who does."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        with self.write() as tx:
            tx.change(
                "create trigger if not exists unclaimed before insert on subject"
                " when new.state = 'asked' begin select raise(ignore); end"
            )


class _Unseeing:
    """A connector that finds nothing of what it sent before."""

    def __init__(self, inner: Connector) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        return _nothing if name in ("find_message", "find_ticket") else found


def _nothing(*_args: object, **_named: object) -> None:
    return None


class _BlindRoles(Roles):
    def connector(self, role: str) -> Any:
        return _Unseeing(super().connector(role))


class _Blind(Wiring):
    """After a lost answer, nothing that is there is found."""

    def service(self, config: Config, journal: Journal, runtime: Runtime) -> Service:
        service = super().service(config, journal, runtime)
        service.roles = _BlindRoles(config, runtime)
        return service


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
    "unclaimed": _With(_Unclaimed),
    "blind": _Blind(),
}


if __name__ == "__main__":
    sys.exit(main(WIRINGS))
