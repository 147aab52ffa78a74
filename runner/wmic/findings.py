"""What a search for spread found, as values."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from connectors.model import Observable
from runner.wmic.places import Confidence

MOST_REFS = 5
"""How many events a finding names."""


class How(StrEnum):
    SAME_INDICATOR = "same indicator"
    REMOTE_START = "started by WMI"
    SUBSCRIPTION = "WMI subscription"
    CREDENTIALS = "explicit credentials"
    LOGON = "logon of the account"
    NAMED = "named as a target"
    REACHED = "reached by the process"


ACTED = frozenset({How.SAME_INDICATOR, How.REMOTE_START, How.SUBSCRIPTION})
"""Something happened on the host itself; the rest only says that somebody could reach it."""


class Seed(Struct, frozen=True, kw_only=True):
    """What is known to be bad: the alert's host, account, indicators and `/node:` targets, and
    `sources`, the machines that it came from. `guid`: the process, when its targets stand in a file
    and what it reached tells them."""

    host: str
    at: datetime | None = None
    user: str = ""
    sid: str = ""
    indicators: tuple[Observable, ...] = ()
    nodes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    guid: str = ""


class Found(Struct, frozen=True, kw_only=True):
    """One thing found on one host. `source`: the machine that it came from, when that is known.
    `what` is a sentence; `evidence` names its events."""

    host: str
    how: How
    what: str
    confidence: Confidence
    at: datetime | None = None
    source: str | None = None
    indicator: Observable | None = None
    account: str | None = None
    evidence: tuple[str, ...] = ()


class NotSelective(Struct, frozen=True, kw_only=True):
    """Something found on so many hosts that it tells nobody where to look."""

    what: str
    hosts: int
    of: int


class Skipped(Struct, frozen=True, kw_only=True):
    account: str
    why: str


class Spread(Struct, frozen=True, kw_only=True):
    """`gaps` are sentences. `hosts` are those where something happened, with at least medium
    confidence, in order of time."""

    found: tuple[Found, ...] = ()
    not_selective: tuple[NotSelective, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    gaps: tuple[str, ...] = ()

    @property
    def hosts(self) -> tuple[str, ...]:
        sure = [
            one for one in self.found if one.how in ACTED and one.confidence is not Confidence.LOW
        ]
        return tuple(dict.fromkeys(one.host for one in sorted(sure, key=when_found)))


def joined_findings(one: Found, other: Found) -> Found:
    """Two deeds of the same kind between the same two hosts, as one."""
    first, second = sorted((one, other), key=when_found)
    refs = dict.fromkeys((*first.evidence, *second.evidence))
    best = max(one.confidence, other.confidence, key=lambda confidence: confidence.rank)
    return Found(
        host=first.host,
        how=first.how,
        what=first.what,
        confidence=best,
        at=first.at,
        source=first.source,
        account=first.account,
        evidence=tuple(refs)[:MOST_REFS],
    )


def when_found(found: Found) -> tuple[float, str]:
    return (found.at.timestamp() if found.at else float("inf")), found.host
