"""What a configuration is, once it has been read: types only; `runner/config.py` is the door."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from msgspec import Struct

from connectors.base import Effect
from connectors.http import HttpSettings
from connectors.model import SavedSearch, Secret
from connectors.product import Product
from runner.yaml_reader import Fault

FALLBACK = "chat_fallback"
"""The role of the chat that stands in while the one of the role `chat` is out of reach."""
FALLBACK_AFTER_S = 120


class Mode(StrEnum):
    """How far the runner may go. `observe` judges and reports; `practice` asks and writes tickets
    marked PRACTICE, and only records containment; `act` contains what people approved."""

    OBSERVE = "observe"
    PRACTICE = "practice"
    ACT = "act"


class Person(Struct, frozen=True, kw_only=True):
    """One person, with one vote. `account`: the one at the chat product that is bound to the role;
    `fallback_account`: the one at the fall-back chat's product; `windows_user` are the accounts
    whose own hits this person may not approve."""

    name: str
    account: str | None = None
    fallback_account: str | None = None
    os_user: str | None = None
    windows_user: tuple[str, ...] = ()


class ConnectorConfig(Struct, frozen=True, kw_only=True):
    """One instance of one product. `options` is the connector class's own `Options`."""

    name: str
    type: str
    tenant: str
    settings: HttpSettings
    credentials: dict[str, Secret]
    options: object


class SearchMode(StrEnum):
    """How a saved search is polled."""

    DISPATCH = "dispatch"
    """It is started over a window of index time."""
    HISTORY = "history"
    """The results of its scheduled runs are read; what none of them covers is dispatched."""


class SearchConfig(Struct, frozen=True, kw_only=True):
    """A saved search to poll. `identity` are the row's fields that make two rows one alert;
    `fields` says for each fact of an alert which fields of a row may hold it, best first."""

    name: str
    saved_search: SavedSearch
    playbook: str
    identity: tuple[str, ...] = ()
    fields: dict[str, tuple[str, ...]] = {}
    overlap_s: int = 300
    settle_s: int = 60
    first_lookback_s: int = 3600
    canary: SavedSearch | None = None
    canary_every_s: int = 300
    mode: SearchMode = SearchMode.DISPATCH
    history_lag_s: int = 900


class Tier(Struct, frozen=True, kw_only=True):
    """Who may answer for one kind of device, and how many of them it takes."""

    approvers: tuple[str, ...]
    quorum: int


class Approvals(Struct, frozen=True, kw_only=True):
    """Who may say yes, how many of them it takes, and how long a question stands. `mention` are the
    people whom a card calls; after `escalate_after_s`, `escalate_to` may answer, too. `cli`: people
    may also answer on the runner's machine. `fallback_after_s`: how long the first chat must have
    been out of reach before the fall-back chat stands in for it."""

    approvers: tuple[str, ...] = ()
    quorum: int = 1
    expires_s: int = 1800
    mention: tuple[str, ...] = ()
    tiers: dict[str, Tier] = {}
    escalate_to: tuple[str, ...] = ()
    escalate_after_s: int | None = None
    cli: bool = False
    fallback_after_s: int = FALLBACK_AFTER_S
    groups: tuple[str, ...] = ()
    """The groups of the chat product that stand among these names: who is in one is read live."""


class Budget(Struct, frozen=True, kw_only=True):
    """How much may be contained: in one hour, and in percent of all devices."""

    per_hour: int = 3
    fleet_percent: float = 2.0


LONGEST_LEASE_H = 720


UNSET_EFFECTS = frozenset({Effect.INVESTIGATE, Effect.NOTIFY, Effect.DOCUMENT})
"""What a configuration that names no effects allows, as far as the mode goes: no containment."""


class Guards(Struct, frozen=True, kw_only=True):
    """What may be done at all."""

    protected_file: Path | None = None
    allowed_effects: frozenset[Effect] = UNSET_EFFECTS
    budget: Budget = Budget()
    lease_h: float | None = None
    """For how many hours an isolation stands without being renewed; None: no end."""


class Hunts(Struct, frozen=True, kw_only=True):
    """Where hunts search: the index, the one of the Security log, how far back, and which fields
    of an event may hold what."""

    index: str | None = None
    security_index: str | None = None
    lookback_s: int = 7 * 86400
    fields: dict[str, tuple[str, ...]] = {}


class Silence(Struct, frozen=True, kw_only=True):
    """How an isolated host's own events are listened to. `allowed`: networks that it may still
    speak with; `margin_s`: how far its clock may be off; `late_s`: how late events come."""

    allowed: tuple[IPv4Network | IPv6Network, ...] = ()
    before_s: int = 3600
    margin_s: int = 60
    after_s: int = 900
    late_s: int = 300
    looks: int = 5


class Retention(Struct, frozen=True, kw_only=True):
    """After how many days finished cases are erased."""

    days: int


class Metrics(Struct, frozen=True, kw_only=True):
    """Where metrics are served: `address:port`."""

    listen: str


class Config(Struct, frozen=True, kw_only=True):
    """Everything that the runner was told. `warnings` are sentences for `stockade check`."""

    state_dir: Path
    version: int = 1
    mode: Mode = Mode.OBSERVE
    emulated: bool = False
    people: dict[str, Person] = {}
    connectors: dict[str, ConnectorConfig] = {}
    roles: dict[str, str] = {}
    searches: dict[str, SearchConfig] = {}
    approvals: Approvals = Approvals()
    guards: Guards = Guards()
    hunts: Hunts = Hunts()
    silence: Silence | None = None
    heartbeat_url: Secret | None = None
    playbook_dir: Path | None = None
    accept_passing_disk: bool = False
    metrics: Metrics | None = None
    retention: Retention | None = None
    suppressions_file: Path | None = None
    runs_at_once: int = 8
    warnings: tuple[str, ...] = ()


class ConfigFaults(Exception):
    """The configuration cannot be used. `faults` are all of them, in the order of the file."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


LoadProduct = Callable[[str], type[Product]]
