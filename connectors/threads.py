"""What a chat connector reads beside cards: threads, where it speaks, and who is in a group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from connectors.model import ChatPlace, MessageRef, ThreadReply


class Threads(Protocol):
    """The part of the role `Chat` that only reads, and that no card needs."""

    def read_replies(self, thread: MessageRef) -> Sequence[ThreadReply]:
        """All that stands in a thread now, oldest first; a deleted reply is not there. Errors:
        `Unavailable` when not all of it was given, because a no may be among the rest."""
        ...

    def read_place(self) -> ChatPlace:
        """Where and as whom it speaks, as the product says; asked once a process."""
        ...

    def read_group(self, group: str) -> Sequence[str]:
        """The accounts in a group of the product's own, read live; never none. Errors: `Rejected`
        for a group that is not there, is switched off or is empty, and where there are none."""
        ...
