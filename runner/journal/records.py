"""The records that the journal keeps, as values. Times are aware UTC; names are final."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct

from connectors.base import Effect
from connectors.model import Assessment, Card, Choice, Device, MessageRef, TicketRef
from runner.config import Mode
from runner.journal.pressed import Pressed
from runner.journal.talk_records import Talk


class CaseStatus(StrEnum):
    NEW = "new"
    IN_PROGRESS = "in_progress"
    ON_HOLD = "on_hold"
    RESOLVED = "resolved"
    CLOSED = "closed"


class Case(Struct, frozen=True, kw_only=True):
    """One or more alerts that share a key. `alert_id` is the first of them."""

    id: str
    key: str
    alert_id: str
    search: str
    status: CaseStatus
    alert_count: int
    first_at: datetime
    last_at: datetime
    host: str | None = None
    assessment: Assessment | None = None
    verdict: str | None = None
    ticket: TicketRef | None = None
    linked: tuple[str, ...] = ()
    revision: int = 0
    undo: str | None = None
    """Who asked to undo it, why, and what stays: a sentence."""


class RunStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    PARKED = "parked"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


LIVE = (RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.WAITING, RunStatus.PARKED)


class Run(Struct, frozen=True, kw_only=True):
    """One playbook executed for one case. `wait_on` says for what: time, approval, subject,
    person."""

    id: str
    case_id: str
    alert_id: str
    bundle_sha256: str
    playbook: str
    status: RunStatus
    created_at: datetime
    wake_at: datetime | None = None
    wait_on: str = ""
    requested_by: str | None = None
    inputs: dict[str, Any] = {}
    mode: Mode | None = None
    """The boldest mode in which it was carried so far."""
    ended_at: datetime | None = None
    result: str | None = None
    error: str | None = None


class StepClass(StrEnum):
    READ = "read"
    EFFECT = "effect"
    WAIT = "wait"


class StepStatus(StrEnum):
    PENDING = "pending"
    INTENDED = "intended"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"
    DENIED = "denied"


class StepError(Struct, frozen=True, kw_only=True):
    """`kind` groups by what to do next: unavailable, rejected, outcome_unknown, playbook."""

    kind: str
    text: str


class StepResult(Struct, frozen=True, kw_only=True):
    """What became of one call. `scope` is a run's id, or names the row that follow-up works for."""

    scope: str
    key: str
    step_class: StepClass
    status: StepStatus
    attempt: int = 1
    value: Any = None
    error: StepError | None = None
    intended_at: datetime
    settle_until: datetime | None = None
    ended_at: datetime | None = None


class ApprovalState(StrEnum):
    POSTING = "posting"
    OPEN = "open"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    VOID = "void"


class ApprovalItem(Struct, frozen=True, kw_only=True):
    """One device that a question is about, as it was shown. `proof` says how its identity was
    established, or why it could not be."""

    subject: str
    device: Device
    proof: str
    vetoed_by: str | None = None


class ChoiceRole(StrEnum):
    APPROVE = "approve"
    DENY = "deny"
    VETO = "veto"
    PICK = "pick"
    ANSWER = "answer"
    """One of a general question's named answers: it allows nothing by itself."""


class AskedChoice(Struct, frozen=True, kw_only=True):
    """An answer that a card offers. `device_id` belongs to veto and pick."""

    choice: Choice
    role: ChoiceRole
    device_id: str | None = None


class Vote(Struct, frozen=True, kw_only=True):
    """One account's answer, as first seen. `why_not` says why it does not count."""

    account: str
    person: str | None
    choice: str
    seen_at: datetime
    counted: bool
    why_not: str | None = None
    withdrawn: bool = False
    is_typed: bool = False
    is_second: bool = False
    """Given in the fall-back chat."""


class SecondCard(Struct, frozen=True, kw_only=True):
    """The card in the fall-back chat. `name`, `first`: what the configuration calls that chat's
    connector, and the first one's. `since`: from when on it says that the first could not be
    reached. `message` is None until it was posted."""

    name: str
    first: str
    since: datetime | None = None
    card: Card
    message: MessageRef | None = None


class LocalAnswer(Struct, frozen=True, kw_only=True):
    """An answer that a person gave on the runner's machine, where the kernel knows the login."""

    person: str
    login: str
    choice: str
    at: datetime


class Approval(Struct, frozen=True, kw_only=True):
    """A question to people, bound to exactly what it allows (`plan_sha256`)."""

    id: str
    code: str
    run_id: str
    case_id: str
    key: str
    n: int
    action: str
    effect: Effect
    items: tuple[ApprovalItem, ...]
    choices: tuple[AskedChoice, ...]
    plan_sha256: str
    quorum: int
    reason: str
    rank: int
    on_expiry: str | None = None
    """The answer that a general question has when nobody answers."""
    lease_h: float | None = None
    mode: Mode
    """In which mode people were asked: a yes in practice is never a yes to act."""
    expires_s: int
    created_at: datetime
    state: ApprovalState = ApprovalState.POSTING
    requested_by: str | None = None
    opened_at: datetime | None = None
    escalated_at: datetime | None = None
    expires_at: datetime | None = None
    decided_at: datetime | None = None
    decided_by: tuple[str, ...] = ()
    chosen: tuple[str, ...] = ()
    """Device ids that the decision allows; or the name of the answer that was given."""
    why: str | None = None
    card: Card | None = None
    message: MessageRef | None = None
    chat: str | None = None
    """What the configuration called the connector to which the card went; None until it was about
    to be sent, and in questions that an older version asked."""
    takes_replies: tuple[str, ...] = ()
    """The chats whose card says how to answer in words: only there words in its thread are read."""
    second: SecondCard | None = None
    unread: dict[str, datetime] = {}
    """Which chats could not be reached, and since when: now, or when it was decided. Kept where a
    fall-back chat is configured."""
    replies_unread: dict[str, datetime] = {}  # As `unread`, of what is typed under the card.
    votes: tuple[Vote, ...] = ()
    local: tuple[LocalAnswer, ...] = ()
    pressed: tuple[Pressed, ...] = ()
    notes: tuple[str, ...] = ()
    """Sentences for the card's thread, in order; follow-up posts each once."""
    late_noes: tuple[str, ...] = ()
    """Sentences about each no that came, or was seen, after the call."""
    due_at: datetime | None = None
    """When the approved call may be tried next; None once it is done."""
    closed: bool = False


class SubjectState(StrEnum):
    ASKED = "asked"
    HELD = "held"
    REFUSED = "refused"


class Subject(Struct, frozen=True, kw_only=True):
    """A claim: asked (a question or its call is under way), held (isolated or requested), or
    refused (denied or expired; stands until `until` against assessments no worse than `rank`)."""

    name: str
    state: SubjectState
    case_id: str
    approval_id: str | None = None
    until: datetime | None = None
    rank: int = 0


class LedgerState(StrEnum):
    NONE = "none"
    REQUESTED = "requested"
    ACCEPTED = "accepted"
    CONFIRMED = "confirmed"
    RELEASE_REQUESTED = "release_requested"
    RELEASED = "released"
    FAILED = "failed"
    UNKNOWN = "unknown"
    FOREIGN = "foreign"
    """The EDR shows it as contained, and that was not asked for through this runner."""


STANDING = (
    LedgerState.REQUESTED,
    LedgerState.ACCEPTED,
    LedgerState.CONFIRMED,
    LedgerState.UNKNOWN,
)
"""States in which a device is, or may be, cut off through us."""


class LedgerRow(Struct, frozen=True, kw_only=True):
    """The truth about one device's isolation, as far as an independent read has shown it."""

    subject: str
    device: Device
    state: LedgerState
    holders: tuple[str, ...]
    approval_id: str | None = None
    is_ours: bool = True
    """False: somebody else had isolated it before we could."""
    adopted_by: str | None = None
    """Who said that it may be lifted through us although it is not ours, or may not be."""
    lease_h: float | None = None
    """For how many hours it stands without being renewed; None: until somebody releases it."""
    lease_until: datetime | None = None
    lease_told: bool = False
    """People were reminded that this lease ends."""
    lease_ended_at: datetime | None = None
    """When a lease ended that nobody had renewed: since then people are asked to release it."""
    renewed_by: str | None = None
    """Who let this lease begin anew."""
    times: dict[str, datetime] = {}
    verified_at: datetime | None = None
    drift: str | None = None
    due_at: datetime | None = None
    note: str | None = None
    talk: Talk | None = None
