"""What was heard of an isolated host, as the journal keeps it beside the ledger's row."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from connectors.model import SearchJob


class TalkVerdict(StrEnum):
    """What the host's own events say of an isolation that the EDR confirms."""

    SILENT = "silent"
    TALKING = "talking"
    UNPROVED = "unproved"
    """Silence would prove nothing, or was not looked for whole."""


class Talk(Struct, frozen=True, kw_only=True):
    """What was last heard of an isolated host, and what is being looked for. `verdict` None: not
    looked at yet. `foreign`: addresses that it spoke with although it is isolated. `jobs`: searches
    under way, by name; `due_at` None: nobody looks again."""

    verdict: TalkVerdict | None = None
    text: str = ""
    foreign: tuple[str, ...] = ()
    looks: int = 0
    looked_at: datetime | None = None
    jobs: dict[str, SearchJob] = {}
    until: datetime | None = None
    due_at: datetime | None = None
