"""What a configuration says of a Slack workspace."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from connectors.product import Product

CHANNEL = re.compile(r"[CG][A-Z0-9]{2,}")
TEAM = re.compile(r"[TE][A-Z0-9]{2,}")
ACCOUNT = re.compile(r"[UW][A-Z0-9]{2,}")
GROUP = re.compile(r"S[A-Z0-9]{5,}")

SlackAccount = Annotated[
    str,
    Meta(
        pattern=f"^{ACCOUNT.pattern}$",
        max_length=60,
        description="an account's id such as U0123456789, not a name",
    ),
]
"""What `people.<name>.slack` may hold."""


class SlackProduct(Product):
    """One channel of one workspace."""

    TYPE: ClassVar[str] = "slack"
    ROLE: ClassVar[str] = "chat"
    CREDENTIALS: ClassVar[tuple[str, ...]] = ("token",)
    MAY_CREDENTIALS: ClassVar[tuple[str, ...]] = ("app_token",)
    USUAL_URL: ClassVar[str] = "https://slack.com"

    class Options(Struct, frozen=True, forbid_unknown_fields=True):
        """`channel`: an id, never a name (names can be taken over). `team`: the workspace's id."""

        channel: str
        team: str | None = None

        def __post_init__(self) -> None:
            if not CHANNEL.fullmatch(self.channel):
                raise ValueError("channel must be an id such as C0123456789, not a name")
            if self.team is not None and not TEAM.fullmatch(self.team):
                raise ValueError("team must be a workspace id such as T0123456789")

    def can_mention(self, account: str) -> bool:
        return ACCOUNT.fullmatch(account) is not None
