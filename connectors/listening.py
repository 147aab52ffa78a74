"""What a chat product can, beyond the role `Chat`, that tells at once when somebody answers.

Not every one does: whoever listens asks first (`isinstance`). What is heard only hastens a look;
what it amounts to is read from the product and judged as always.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from connectors.model import Press


class Ear(Protocol):
    """Who listens. Its methods are called one at a time, but not always by the same thread."""

    def is_stopped(self) -> bool:
        """Listening is to end: to be asked between any two calls."""
        ...

    def listens(self) -> None:
        """The connection stands: to be said again and again while it does."""
        ...

    def stirs(self, message_id: str) -> None:
        """Somebody reacted to this message, or said something in its thread."""
        ...

    def presses(self, press: Press) -> str | None:
        """Somebody pressed a button. When it returns, the press is written down; it gives what the
        person is to be told, if anything. Repeat: counted once. Errors: `Unavailable` when it could
        not be written down: then it must not be acknowledged."""
        ...


@runtime_checkable
class Listens(Protocol):
    """Hears answers as they are given."""

    def listen(self, ear: Ear) -> None:
        """Tell the ear until it is stopped. It runs in a thread of its own, and holds its own
        connections. Errors: as any call's; whoever listens waits, and calls it again."""
        ...


@runtime_checkable
class OffersButtons(Protocol):
    """Hears answers that are given with a button."""

    def offers_buttons(self) -> bool:
        """Is somebody listening right now? Only then a card may have buttons: one that nobody
        hears looks like an answer that was given."""
        ...
