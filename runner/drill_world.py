"""A world that outlives its runners: stand-ins, people who answer each card, and the records.

with Crew(4) as crew, drill_world(folder, story) as world:
    fate = crew.send(world.order(kill_at=17))
    fate = crew.send(world.order())
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, RLock, Thread
from typing import Any, Self

from msgspec import Struct

from connectors.emulators.fleet import Emulators, running_emulators
from connectors.http import Runtime
from connectors.model import JsonObject
from runner import commands
from runner.choices import NO, NUMBERS, YES
from runner.cli_clock import SystemClock
from runner.config import Config, load_config
from runner.demo_config import Hits, write_config
from runner.drill_chats import DrillChat, FirstChat, SecondChat, with_second_chat
from runner.drill_child import Order, arm
from runner.journal import Journal, approvals, runs
from runner.journal.owner import place_of
from runner.resolve import Said
from runner.service import Service

ANSWERS_EVERY_S = 0.02

_ONE_READER = RLock()
# msgspec 0.22 breaks the process when two threads decode a type for the first time at once.


class Story(Struct, frozen=True, kw_only=True):
    """What is played: the hits of a saved search through a playbook. `folder`: where the playbook
    lies, None for the shipped ones; `begins`: a folder with a world to begin from, None for a fresh
    one; `is_chat_down`: the first chat refuses everything, and a second one stands in for it."""

    hits: Hits
    folder: Path | None = None
    begins: Path | None = None
    is_chat_down: bool = False


class DrillWorld:
    """One state folder, its products, and what they saw."""

    def __init__(
        self, folder: Path, products: Emulators, story: Story, settle_s: float, lanes: int
    ) -> None:
        self.folder = folder
        self.products = products
        self.story = story
        more: dict[str, object] = {"runs_at_once": lanes}
        if story.folder is not None:
            more["playbook_dir"] = str(story.folder)
        write_config(folder, products, settle_s, story.hits, "".join(map(_line, more.items())))
        self.chat: DrillChat = FirstChat(products)
        if story.is_chat_down:
            self.chat = SecondChat(products)
            file = folder / "config.yaml"
            file.write_text(with_second_chat(file.read_text(), products, settle_s))
        self._is_over = Event()
        self._people = Thread(target=self._answer, daemon=True)

    @property
    def config(self) -> Config:
        with _ONE_READER:
            return load_config(self.folder / "config.yaml", {})

    def order(self, **how: Any) -> Order:
        """An order for this world; the keywords are those of `Order`."""
        return Order(config=str(self.folder / "config.yaml"), search=self.story.hits.search, **how)

    def arm(self) -> None:
        """Allow acting, before any hit has come."""
        with self.journal() as journal:
            arm(Service(self.config, journal, Runtime(clock=SystemClock(), emulated=True)))

    def own_copy(self) -> None:
        """The copy is meant: the runner need not take it for a snapshot that was put back."""
        with self.journal() as journal, journal.write() as tx:
            tx.set_meta("place", place_of(journal.state_dir))

    @contextmanager
    def journal(self) -> Iterator[Journal]:
        """The records, for one reader at a time in all worlds."""
        with _ONE_READER:
            journal = Journal(self.config.state_dir, SystemClock(), actor="drill")
            try:
                yield journal
            finally:
                journal.close()

    def resolve(self) -> int:
        """A person looks at what nobody knows, and says what the products show; how many times.

        The products do nothing late here, so what two looks did not find did not happen.
        """
        with self.journal() as journal:
            with journal.read() as tx:
                codes = [approvals.code_of(one.scope, one.key) for one in runs.parked_steps(tx)]
            for code in codes:
                commands.resolve_code(journal, code, Said.NOT, "drill")
        return len(codes)

    def posts(self) -> list[JsonObject]:
        """Every message of the runner that is no reply, oldest first."""
        return [one for one in self.chat.messages() if not one.get("thread_ts")]

    def replies(self) -> list[JsonObject]:
        """Every reply of the runner."""
        return [one for one in self.chat.messages() if one.get("thread_ts")]

    def __enter__(self) -> Self:
        self._people.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._people.join()

    def _answer(self) -> None:
        """Answer each card whose choices are under it, as people would who see it."""
        while not self._is_over.wait(ANSWERS_EVERY_S):
            for card in self.posts():
                reactions = {one["name"]: one["users"] for one in card.get("reactions", [])}
                emoji = _answer_to({name for name, by in reactions.items() if self.chat.us in by})
                for person in self.chat.people[: _needed(card)]:
                    if emoji and person not in reactions[emoji]:
                        self.chat.react(person, card["ts"], emoji)


def _answer_to(offered: set[str]) -> str | None:
    """Yes; or the first of what is numbered; None while the choices are still being put there."""
    if YES.emoji in offered:
        return YES.emoji if NO.emoji in offered else None
    return NUMBERS[0] if {NUMBERS[0], NO.emoji} <= offered or {*NUMBERS[:2]} <= offered else None


def _needed(card: JsonObject) -> int:
    """How many people the card says that it needs."""
    said = re.search(r"(\d+) people needed", json.dumps(card))
    return int(said[1]) if said else 1


def _line(pair: tuple[str, object]) -> str:
    """A key of the configuration; JSON is YAML."""
    return f"{pair[0]}: {json.dumps(pair[1])}\n"


@contextmanager
def drill_world(
    folder: Path,
    story: Story,
    *,
    settle_s: float = 0.2,
    contain_s: float = 0.05,
    lanes: int = 8,
) -> Iterator[DrillWorld]:
    """A world for the time of a block. `settle_s` is every product's, in seconds; `lanes`: how many
    runs go side by side, 1 for a story that is the same each time."""
    if story.begins is None:
        folder.mkdir(mode=0o700)
    else:
        shutil.copytree(story.begins, folder)
    with running_emulators(
        folder / "world", SystemClock(), second_chat=story.is_chat_down
    ) as products:
        products.splunk.tune(job_s=0.0)
        products.falcon.tune(contain_s=contain_s)
        with DrillWorld(folder, products, story, settle_s, lanes) as world:
            if story.begins is not None:
                world.own_copy()
            yield world
