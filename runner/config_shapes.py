"""What may stand in a configuration file, key by key: the definition that the reader, the editor's
schema and the docs test share. What the values mean together is in `runner/config_rules.py`.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from connectors.base import Effect
from connectors.chat.matrix_product import MatrixAccount
from connectors.chat.slack_product import GROUP, SlackAccount, SlackProduct
from runner.config_types import LONGEST_LEASE_H, Mode, SearchMode
from runner.schema import Shape

Name = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$",
        description="a name of letters, digits, `_`, `.` and `-`",
    ),
]
Text = Annotated[str, Meta(min_length=1, max_length=500, description="a text that is not empty")]
Texts = tuple[Text, ...]
Fields = dict[
    Literal[
        "occurred",
        "indexed",
        "host",
        "user",
        "cmdline",
        "parent",
        "process_guid",
        "device_id",
        "addresses",
    ],
    Texts,
]
Day = Annotated[int, Meta(ge=0, le=86400)]


GROUPS = {SlackProduct.TYPE: GROUP}
"""Products whose groups of people may stand among the approvers, and what a group's id is."""


class SecretShape(Shape, frozen=True, kw_only=True):
    """Where a secret is: the environment, or a file."""

    MISFIT: ClassVar[tuple[str, str]] = (
        "a secret may not stand in the configuration",
        "Write {env: NAME} or {file: path}, and change the secret if others could read this file.",
    )

    env: Text | None = None
    file: Text | None = None


class TlsShape(Shape, frozen=True, kw_only=True):
    ca_file: Text | None = None
    fingerprint_sha256: (
        Annotated[
            str,
            Meta(
                pattern=r"^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$",
                description="a SHA-256 fingerprint: 64 hexadecimal digits, with or without colons",
            ),
        ]
        | None
    ) = None


class AccountsShape(Shape, frozen=True, kw_only=True):
    """A person's account at each chat product, by the product's `type`."""

    slack: SlackAccount | None = None
    matrix: MatrixAccount | None = None


class PersonShape(AccountsShape, frozen=True, kw_only=True):
    os_user: Text | None = None
    windows_user: Texts = ()


class ConnectorShape(Shape, frozen=True, kw_only=True):
    type: Text
    base_url: Text
    tenant: Name = "default"
    credentials: dict[Name, SecretShape] = {}
    options: dict[str, Any] = {}
    tls: TlsShape = TlsShape()
    proxy: Text | None = None
    settle_s: Annotated[float, Meta(ge=0, le=3600)] | None = None


class SearchShape(Shape, frozen=True, kw_only=True):
    saved_search: Text
    playbook: Name
    app: Text = "search"
    owner: Text = "nobody"
    fields: Fields = {}
    identity: Texts = ()
    overlap_s: Day = 300
    settle_s: Annotated[int, Meta(ge=0, le=3600)] = 60
    first_lookback_s: Annotated[int, Meta(ge=60, le=7 * 86400)] = 3600
    canary: Text | None = None
    canary_every_s: Annotated[int, Meta(ge=60, le=86400)] = 300
    mode: SearchMode = SearchMode.DISPATCH
    history_lag_s: Annotated[int, Meta(ge=60, le=86400)] = 900


class TierShape(Shape, frozen=True, kw_only=True):
    approvers: Texts = ()
    quorum: Annotated[int, Meta(ge=1, le=20)] = 1


class ApprovalsShape(Shape, frozen=True, kw_only=True):
    approvers: Texts = ()
    quorum: Annotated[int, Meta(ge=1, le=20)] = 1
    expires_s: Annotated[int, Meta(ge=60, le=86400)] = 1800
    mention: Texts = ()
    tiers: dict[Literal["workstation", "server", "domain_controller"], TierShape] = {}
    escalate_to: Texts = ()
    escalate_after_s: Annotated[int, Meta(ge=30, le=86399)] | None = None
    cli: bool = False
    fallback_after_s: Annotated[int, Meta(ge=0, le=3600)] | None = None


class BudgetShape(Shape, frozen=True, kw_only=True):
    per_hour: Annotated[int, Meta(ge=0, le=1000)] = 3
    fleet_percent: Annotated[float, Meta(ge=0, le=100)] = 2.0


class GuardsShape(Shape, frozen=True, kw_only=True):
    protected_file: Text | None = None
    allowed_effects: tuple[Effect, ...] | None = None
    budget: BudgetShape = BudgetShape()
    lease_h: Annotated[float, Meta(gt=0, le=LONGEST_LEASE_H)] | None = None


class HuntsShape(Shape, frozen=True, kw_only=True):
    index: Name | None = None
    security_index: Name | None = None
    lookback_s: Annotated[int, Meta(ge=60, le=90 * 86400)] = 7 * 86400
    fields: Fields = {}


class SilenceShape(Shape, frozen=True, kw_only=True):
    allowed: Texts = ()
    before_s: Annotated[int, Meta(ge=60, le=7 * 86400)] = 3600
    margin_s: Annotated[int, Meta(ge=1, le=3600)] = 60
    after_s: Annotated[int, Meta(ge=5, le=86400)] = 900
    late_s: Annotated[int, Meta(ge=1, le=86400)] = 300
    looks: Annotated[int, Meta(ge=1, le=10)] = 5


class RetentionShape(Shape, frozen=True, kw_only=True):
    days: Annotated[int, Meta(ge=8, le=3650)]


class MetricsShape(Shape, frozen=True, kw_only=True):
    listen: Annotated[
        str,
        Meta(
            pattern=r"^(\[[0-9A-Fa-f:]{2,39}\]|[0-9A-Za-z.-]{1,253}):[1-9][0-9]{0,4}$",
            description="an address and a port, as in 127.0.0.1:9464",
        ),
    ]


class Roles(Shape, frozen=True, kw_only=True):
    siem: Name | None = None
    edr: Name | None = None
    chat: Name | None = None
    chat_fallback: Name | None = None
    tickets: Name | None = None


class ConfigShape(Shape, frozen=True, kw_only=True):
    """The whole file."""

    state_dir: Text | None = None
    version: Annotated[int, Meta(ge=1, le=1, description="1, the only version")] = 1
    mode: Mode = Mode.OBSERVE
    emulated: bool = False
    people: dict[Name, PersonShape] = {}
    connectors: dict[Name, ConnectorShape] = {}
    roles: Roles = Roles()
    searches: dict[Name, SearchShape] = {}
    approvals: ApprovalsShape = ApprovalsShape()
    guards: GuardsShape = GuardsShape()
    hunts: HuntsShape = HuntsShape()
    silence: SilenceShape | None = None
    heartbeat_url: SecretShape | None = None
    playbook_dir: Text | None = None
    accept_passing_disk: bool = False
    metrics: MetricsShape | None = None
    retention: RetentionShape | None = None
    suppressions_file: Text | None = None
    runs_at_once: Annotated[int, Meta(ge=1, le=32)] = 8
