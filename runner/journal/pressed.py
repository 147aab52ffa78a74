"""A button that was pressed, as the journal keeps it."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct


class Pressed(Struct, frozen=True, kw_only=True):
    """A button that somebody pressed under this question's card, as chat told it. `pressed_at` and
    `envelope` are chat's own numbers; `at` is when it was written down."""

    account: str
    choice: str
    at: datetime
    team: str
    channel: str
    message_id: str
    pressed_at: str
    envelope: str
    is_second: bool = False
    """Pressed in the fall-back chat."""
