"""All stand-ins together: one world, one state folder, one switch.

    with running_emulators(tmp_path, clock) as world:
        world.splunk, world.falcon, world.slack, world.jira

With `second_chat` there is also `world.matrix`.

The scenario's base time, the credentials and each product's state lie in the folder; a second
start on the same folder sees the same world; ports are given anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import msgspec

from connectors.emulators import scenario
from connectors.emulators.emulator import Emulator, Keys
from connectors.emulators.falcon import Falcon, Hook
from connectors.emulators.jira import Jira
from connectors.emulators.matrix import Matrix
from connectors.emulators.slack import Slack
from connectors.emulators.splunk import Splunk
from connectors.emulators.store import StateFile
from connectors.model import Clock, JsonObject

_Product = TypeVar("_Product", bound=Emulator)


class Emulators:
    """The stand-ins of one state folder. `matrix` runs only where a second chat is asked for."""

    def __init__(
        self, state: Path, clock: Clock, *, hook: Hook | None = None, second_chat: bool = False
    ) -> None:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.state = state
        self._clock = clock
        self.base = self._base()
        self.splunk = Splunk(
            clock, keys=self._keys(Splunk), store=self._store(Splunk), base=self.base
        )
        self.falcon = Falcon(clock, keys=self._keys(Falcon), store=self._store(Falcon), hook=hook)
        self.slack = self._plain(Slack)
        self.jira = self._plain(Jira)
        self._second_chat = second_chat

    @cached_property
    def matrix(self) -> Matrix:
        return self._plain(Matrix)

    def _plain(self, product: type[_Product]) -> _Product:
        return product(self._clock, keys=self._keys(product), store=self._store(product))

    def _store(self, product: type[Emulator]) -> StateFile:
        return StateFile(self.state / f"{product.PRODUCT}.json")

    def _base(self) -> datetime:
        """The moment that the scenario is told from: the first start on this folder."""
        file = StateFile(self.state / "world.json")
        world = file.read() or {"base": self._clock.now().isoformat()}
        file.write(world)
        return datetime.fromisoformat(world["base"])

    def _keys(self, product: type[Emulator]) -> Keys:
        file = StateFile(self.state / f"{product.PRODUCT}-keys.json")
        stored = file.read()
        if stored is not None:
            return msgspec.convert(stored, Keys)
        keys = Keys.fresh(product.CREDENTIALS)
        file.write(msgspec.to_builtins(keys))
        return keys

    def all(self) -> tuple[Emulator, ...]:
        more = (self.matrix,) if self._second_chat else ()
        return (self.splunk, self.falcon, self.slack, self.jira, *more)

    def start(self) -> None:
        for emulator in self.all():
            emulator.start()

    def stop(self) -> None:
        for emulator in self.all():
            emulator.stop()

    def credentials(self) -> dict[str, dict[str, str]]:
        """Product → its credentials by name, as a connector's configuration names them."""
        return {emulator.PRODUCT: emulator.credentials for emulator in self.all()}

    def base_urls(self) -> dict[str, str]:
        return {emulator.PRODUCT: emulator.base_url for emulator in self.all()}

    def crashes(self) -> list[str]:
        """What went wrong inside the stand-ins themselves."""
        return [f"{e.PRODUCT}: {crash}" for e in self.all() for crash in e.crashes]

    def describe(self) -> JsonObject:
        """What another process needs: addresses, credentials, tokens."""
        return {
            emulator.PRODUCT: {
                "base_url": emulator.base_url,
                "credentials": emulator.credentials,
                "control": emulator.keys.control,
                "human": emulator.keys.human,
            }
            for emulator in self.all()
        }


def start_all(
    state: Path, clock: Clock, *, hook: Hook | None = None, second_chat: bool = False
) -> Emulators:
    """Start all on ports that the system chooses; `stop()` ends them."""
    world = Emulators(state, clock, hook=hook, second_chat=second_chat)
    world.start()
    return world


@contextmanager
def running_emulators(
    state: Path, clock: Clock, *, hook: Hook | None = None, second_chat: bool = False
) -> Iterator[Emulators]:
    """All for the time of a block. Errors: `AssertionError` at the end when a stand-in itself
    crashed, so that its fault is not taken for the product's."""
    world = start_all(state, clock, hook=hook, second_chat=second_chat)
    try:
        yield world
    finally:
        world.stop()
    if world.crashes():
        raise AssertionError(f"an emulator crashed: {world.crashes()}")


SAVED_SEARCH_NAME = next(iter(scenario.SAVED_SEARCHES))
