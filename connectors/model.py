"""What crosses the boundary between runner and products.

Values only: frozen, typed, aware UTC times. No product's words and no behaviour beyond reading
themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Any, NoReturn, Protocol

from msgspec import Struct

from connectors.document import Document

Row = dict[str, str | list[str]]
"""One row as the SIEM returned it: a value is a text, or a list of texts for a multivalue field."""


class Secret:
    """A credential. It shows itself to nobody: only `reveal()` gives the text.

    It cannot be encoded, compared, formatted or pickled into a text by accident. `source` reads it
    anew from where it lies (None: it cannot be read now); without one it never changes.
    """

    __slots__ = ("_source", "_value")

    def __init__(self, value: str, source: Callable[[], str | None] | None = None) -> None:
        self._value = value
        self._source = source

    def reveal(self) -> str:
        return self._value

    def reread(self) -> bool:
        """Take what its source holds now; True when that is another text. Repeat: harmless."""
        fresh = self._source() if self._source else None
        if not fresh or fresh == self._value:
            return False
        self._value = fresh
        return True

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be copied out of the process")


class Clock(Protocol):
    """Time, from outside: nothing below the command line asks the system itself."""

    def now(self) -> datetime:
        """Aware UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back; for budgets inside one process."""
        ...

    def sleep(self, seconds: float) -> None: ...


class Alert(Struct, frozen=True, kw_only=True):
    """One finding that the SIEM handed us. `raw` is as received and never rewritten."""

    id: str
    siem: str
    search: str
    raw: Row
    occurred_at: datetime | None = None
    indexed_at: datetime | None = None
    host: str | None = None
    host_candidates: tuple[str, ...] = ()
    user: str | None = None
    cmdline: str | None = None
    parent: str | None = None
    process_guid: str | None = None
    device_id: str | None = None
    addresses: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()


class AssessmentKind(StrEnum):
    """Ordered from least to most alarming by `severity_of`."""

    BENIGN = "benign"
    UNKNOWN = "unknown"
    SUSPICIOUS = "suspicious"
    MALICIOUS = "malicious"


class Reason(Struct, frozen=True, kw_only=True):
    """One sentence that a responder understands, its weight (positive speaks for an attack), and
    the event that it rests on."""

    text: str
    weight: int
    event: str | None = None


class Observable(Struct, frozen=True, kw_only=True):
    """A typed value seen in an alert; no judgement implied. `type`: url, domain, address, file."""

    type: str
    value: str


class Assessment(Struct, frozen=True, kw_only=True):
    """The machine's judgement of one alert. `is_corroborated`: an event of the same process shows
    what it did. `suppression`: by which entry of the suppressions file it was made benign.
    `not_searched`: what could not be looked at around the process, a sentence each."""

    assessment: AssessmentKind
    score: int
    summary: str
    reasons: tuple[Reason, ...]
    indicators: tuple[Observable, ...] = ()
    is_corroborated: bool = False
    suppression: str | None = None
    not_searched: tuple[str, ...] = ()


class DeviceKind(StrEnum):
    """Unknown is treated as a server."""

    WORKSTATION = "workstation"
    SERVER = "server"
    DOMAIN_CONTROLLER = "domain_controller"
    UNKNOWN = "unknown"


class IsolationState(StrEnum):
    """What an EDR's own record says of a device, as read; never what we asked for."""

    NORMAL = "normal"
    CONTAIN_PENDING = "contain_pending"
    CONTAINED = "contained"
    RELEASE_PENDING = "release_pending"
    UNKNOWN = "unknown"


class Device(Struct, frozen=True, kw_only=True):
    """One sensor's record at one tenant of one EDR."""

    instance: str
    tenant: str
    device_id: str
    hostname: str
    domain: str | None = None
    kind: DeviceKind = DeviceKind.UNKNOWN
    tags: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    shared_addresses: tuple[str, ...] = ()
    """Those of them that it may share with others, as a gateway's."""
    platform: str | None = None
    state: IsolationState = IsolationState.UNKNOWN
    last_seen_at: datetime | None = None

    @property
    def subject(self) -> str:
        """What a question about this device's isolation is about: claimed once, over all cases."""
        return f"isolation:{self.instance}:{self.tenant}:{self.device_id}"


# -- SIEM ------------------------------------------------------------------------------------------


class Window(Struct, frozen=True, kw_only=True):
    """Index time in whole epoch seconds: from `start` inclusive to `end` exclusive. Event time is
    bounded widely apart from it (`event_start`, `event_end`)."""

    start: int
    end: int
    event_start: int
    event_end: int


class SavedSearch(Struct, frozen=True, kw_only=True):
    """A search that lives in the SIEM, by name and name space."""

    name: str
    app: str = "search"
    owner: str = "nobody"


class Operator(StrEnum):
    EQUALS = "equals"
    CONTAINS = "contains"


class Term(Struct, frozen=True, kw_only=True):
    """One condition. `fields` are alternatives (any may match), `values` too."""

    fields: tuple[str, ...]
    operator: Operator
    values: tuple[str, ...]


class EventQuery(Struct, frozen=True, kw_only=True):
    """A structured hunt: index, event-time range, conditions that must all hold, fields returned.
    The connector turns it into its own language, or refuses values which that language cannot carry
    safely (`Rejected`): "not searched"."""

    index: str
    start: datetime
    end: datetime
    terms: tuple[Term, ...]
    fields: tuple[str, ...]
    limit: int = 1000


class SearchJob(Struct, frozen=True, kw_only=True):
    """A search under way at the SIEM; a value that a later tick can go on with. `row_cap`: how many
    rows it keeps at most; as many rows as that are taken for a truncated answer. `event_start`,
    `event_end`: the event time that was asked for, so that a narrower search shows."""

    sid: str
    started_at: datetime
    row_cap: int = 500_000
    event_start: int | None = None
    event_end: int | None = None


class ScheduledRun(Struct, frozen=True, kw_only=True):
    """A whole run that the SIEM's own scheduler made. It answers for event time from `start`
    inclusive to `end` exclusive, in epoch seconds."""

    job: SearchJob
    start: int
    end: int


class SearchPhase(StrEnum):
    RUNNING = "running"
    COMPLETE = "complete"
    PARTIAL = "partial"
    """Rows may be taken, but some are missing: the watermark stays."""
    TRUNCATED = "truncated"
    """The row cap was reached: ask again with half the window."""
    FAILED = "failed"
    LOST = "lost"
    """The SIEM no longer knows the job: start the same window again."""


class SearchStatus(Struct, frozen=True, kw_only=True):
    phase: SearchPhase
    row_count: int
    messages: tuple[str, ...] = ()


# -- chat ------------------------------------------------------------------------------------------


class Choice(Struct, frozen=True, kw_only=True):
    """One possible answer to a question. `emoji` is a reaction's short name without colons."""

    name: str
    emoji: str
    label: str


class Card(Struct, frozen=True, kw_only=True):
    """The message that asks. `fallback` is what a phone shows; `key` finds the message again after
    a lost answer; `mentions` are account ids to be called. A locked card takes no more answers.
    `binding`: with buttons, what each of them carries beside the key and its choice; None: none."""

    key: str
    fallback: str
    body: Document
    choices: tuple[Choice, ...]
    mentions: tuple[str, ...] = ()
    locked: bool = False
    binding: str | None = None


class MessageRef(Struct, frozen=True, kw_only=True):
    """A message at a chat product. `sha256` is over what it shows, as the connector defines it."""

    channel: str
    id: str
    sha256: str


class Answer(Struct, frozen=True, kw_only=True):
    """One account's answer to a card. `choice` is a choice's emoji name, normalised. A typed one
    may have a `fault`: why it does not count, whoever gave it."""

    account: str
    choice: str
    is_typed: bool = False
    fault: str | None = None


class Press(Struct, frozen=True, kw_only=True):
    """One press of a button, as the product told it. `card`, `binding` and `choice` are what the
    button carried: the card's key, what it was bound to, a choice's emoji. `pressed_at` and
    `envelope` are the product's own numbers. `refusal`: why the client does not take it."""

    account: str
    team: str
    channel: str
    message_id: str
    card: str
    binding: str
    choice: str
    pressed_at: str
    envelope: str
    refusal: str | None = None


class CardReading(Struct, frozen=True, kw_only=True):
    """A card as it stands now: what it shows (`sha256`) and who answered, our own account left
    out."""

    sha256: str
    answers: tuple[Answer, ...]


class ThreadReply(Struct, frozen=True, kw_only=True):
    """What an account wrote in a card's thread, as it stands now. `text`: the whole message without
    the marks of its formatting; `fault`: why it is no plain message of a person's own."""

    account: str
    text: str
    fault: str | None = None
    is_ours: bool = False


class ChatPlace(Struct, frozen=True, kw_only=True):
    """Where a chat connector speaks, and as whom: workspace or server, channel or room, account."""

    workspace: str
    channel: str
    account: str


class Account(Struct, frozen=True, kw_only=True):
    """A chat account, read live. `is_full_member`: of our own workspace, no guest, no stranger."""

    id: str
    is_active: bool
    is_full_member: bool
    is_bot: bool


# -- tickets ---------------------------------------------------------------------------------------


class TicketRef(Struct, frozen=True, kw_only=True):
    """A ticket. `key` is what people call it, `url` where they read it."""

    id: str
    key: str
    url: str


class TicketDraft(Struct, frozen=True, kw_only=True):
    """A ticket to be opened. `correlation` finds it again: one ticket a correlation key, for
    ever. `values`: what the case is about, by name, for a ticket's own fields."""

    correlation: str
    title: str
    body: Document
    severity: str = "high"
    labels: tuple[str, ...] = ()
    values: dict[str, str] = {}


class CaseStage(StrEnum):
    """Where a case stands, as its ticket's status may say it."""

    IN_PROGRESS = "in_progress"
    ON_HOLD = "on_hold"
    CONTAINED = "contained"
    CLOSED = "closed"


class TicketMove(Struct, frozen=True, kw_only=True):
    """How a ticket gets from one status to another. `transition` None: it is there already.
    `is_untouched`: its status is still one that new tickets have."""

    from_status: str
    to_status: str
    transition: str | None
    is_untouched: bool


class TicketStatus(Struct, frozen=True, kw_only=True):
    name: str
    is_closed: bool


# -- checks ----------------------------------------------------------------------------------------


class CheckResult(Struct, frozen=True, kw_only=True):
    """One thing that `stockade check` looked at. `mend` names the missing permission or setting."""

    what: str
    ok: bool
    mend: str | None = None


JsonObject = dict[str, Any]
"""A decoded JSON object inside the function that decoded it, and nowhere else."""
