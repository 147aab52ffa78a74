"""What is remembered of a sign-in that a product refused, beyond the life of a process.

A wrong password that each cron minute sends again locks the account. Tokens and API clients are not
remembered: products count no failed attempts of theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from connectors.model import Secret


class RefusedSignIns(Protocol):
    """`where`: the product's address; `secrets`: all that the account signs in with."""

    def told(self, where: str, secrets: Sequence[Secret]) -> str | None:
        """Why exactly these are not to be sent now; None when they may be."""
        ...

    def note(self, where: str, secrets: Sequence[Secret], text: str) -> None:
        """They were refused, and what the product said. Repeat: the newest refusal counts, and each
        one makes the rest before the next try longer."""
        ...

    def forget(self, where: str) -> None:
        """A sign-in there was good. Repeat: harmless."""
        ...
