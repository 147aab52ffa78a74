"""What a configuration says of a Matrix room."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from connectors.product import Product

ROOM = re.compile(r"![!-9;-~]{1,200}(:[A-Za-z0-9.\-\[\]:]{1,230})?")
"""Since room version 12 a room's id names no server."""
ACCOUNT = re.compile(r"@[a-z0-9._=/+-]{1,200}:[A-Za-z0-9.\-\[\]:]{1,230}")
"""Source: https://spec.matrix.org/v1.16/appendices/#user-identifiers, 2026-11-25."""

MatrixAccount = Annotated[
    str,
    Meta(
        pattern=f"^{ACCOUNT.pattern}$",
        max_length=255,
        description="a user's id such as @alice:example.test, not a display name",
    ),
]
"""What `people.<name>.matrix` may hold."""


class MatrixProduct(Product):
    """One room on one homeserver."""

    TYPE: ClassVar[str] = "matrix"
    ROLE: ClassVar[str] = "chat"
    CREDENTIALS: ClassVar[tuple[str, ...]] = ("token",)

    class Options(Struct, frozen=True, forbid_unknown_fields=True):
        """`room`: an id, never an alias (an alias can be pointed at another room)."""

        room: str

        def __post_init__(self) -> None:
            if not ROOM.fullmatch(self.room):
                raise ValueError("room must be an id such as !abc123:example.test, not an alias")

    def can_mention(self, account: str) -> bool:
        return ACCOUNT.fullmatch(account) is not None
