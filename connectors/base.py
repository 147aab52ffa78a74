"""Connector, action, effect; and the role protocols that a playbook's verbs stand on.

It answers what a connector must offer, and refuses to know any product. A role method that changes
the world is declared with `@action`: its effect, its inverse, how long a request may still land
after we stopped listening, and what may be done when the answer was lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, TypeVar, runtime_checkable

from msgspec import Struct

from connectors.document import Document
from connectors.http import HttpSettings, Runtime
from connectors.model import (
    Account,
    Card,
    CardReading,
    CheckResult,
    Choice,
    Device,
    EventQuery,
    MessageRef,
    Row,
    SavedSearch,
    ScheduledRun,
    SearchJob,
    SearchStatus,
    Secret,
    TicketDraft,
    TicketRef,
    TicketStatus,
    Window,
)
from connectors.product import Product
from connectors.threads import Threads


class Effect(StrEnum):
    """What an action does to the world; the only thing that guards need to know of it."""

    INVESTIGATE = "investigate"
    NOTIFY = "notify"
    DOCUMENT = "document"
    CONTAIN = "contain"
    RELEASE = "release"


class Recovery(StrEnum):
    """What may be done with a request whose answer was lost, once it can no longer land."""

    REPEAT = "repeat"
    """The product takes the repeat as the same request: send it again."""
    LOOK = "look"
    """Look it up by its key; adopt what is there, else send it again."""
    STATE = "state"
    """Read the target's state; a repeat needs two reads a settle time apart, and is made once."""


class Action(Struct, frozen=True, kw_only=True):
    """A verb that changes the world. `settle_s`: how long a request may still land, in seconds;
    configuration may raise it, and lower it on loopback only."""

    name: str
    effect: Effect
    recovery: Recovery
    settle_s: float
    inverse: str | None = None


_Method = TypeVar("_Method", bound=Callable[..., Any])


def action(
    effect: Effect, recovery: Recovery, *, settle_s: float, inverse: str | None = None
) -> Callable[[_Method], _Method]:
    """Declare a role method as an action that changes the world."""
    if effect is Effect.CONTAIN and inverse is None:
        raise TypeError("a containment needs an inverse")

    def declare(method: _Method) -> _Method:
        name = method.__name__
        declared = Action(
            name=name, effect=effect, recovery=recovery, settle_s=settle_s, inverse=inverse
        )
        method.action = declared  # type: ignore[attr-defined]
        return method

    return declare


def action_of(method: Callable[..., Any]) -> Action:
    """What a role method was declared as. Errors: `TypeError` for one that only reads."""
    declared = getattr(method, "action", None)
    if not isinstance(declared, Action):
        raise TypeError(f"{method.__name__} is no declared action")
    return declared


def actions_of(role: type) -> dict[str, Action]:
    """The declared actions of a role protocol, by name."""
    return {name: member.action for name, member in vars(role).items() if hasattr(member, "action")}


class Connector(Product):
    """The client of one configured instance of one product.

    The promise: secrets stay inside; `check()` names what is missing; reading methods change
    nothing.
    """

    def __init__(
        self,
        *,
        name: str,
        tenant: str,
        settings: HttpSettings,
        credentials: dict[str, Secret],
        options: Any,
        runtime: Runtime,
    ) -> None:
        self.name = name
        self.tenant = tenant
        self.settings = settings
        self.credentials = credentials
        self.options = options
        self.runtime = runtime

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def check(self) -> Sequence[CheckResult]:
        """Try each permission that the connector needs, changing nothing."""
        raise NotImplementedError


@runtime_checkable
class Siem(Protocol):
    """Searches: started, polled and fetched, so that no call holds a run."""

    name: str

    def server_time(self) -> datetime:
        """The SIEM's own clock, aware UTC."""
        ...

    def start_saved_search(self, search: SavedSearch, window: Window) -> SearchJob:
        """Run a saved search over a window of index time; its alert actions are not triggered."""
        ...

    def start_event_query(self, query: EventQuery) -> SearchJob:
        """Errors: `Rejected` when a value cannot be carried safely in the query language."""
        ...

    def search_status(self, job: SearchJob) -> SearchStatus: ...

    def list_runs(self, search: SavedSearch, since: int, settle_s: int) -> Sequence[ScheduledRun]:
        """The whole runs of a scheduled search that were due after `since` (epoch seconds). The
        last `settle_s` before a run count as not searched: their events may come late."""
        ...

    def fetch_rows(self, job: SearchJob, row_count: int) -> Iterator[Row]:
        """Stream all rows of a finished job, page by page. Errors: `Unavailable` when pages end
        before `row_count` rows have come."""
        ...

    def cancel_search(self, job: SearchJob) -> None:
        """Free the job's slot. Repeat: a job that is gone is no error."""
        ...

    def check(self) -> Sequence[CheckResult]: ...

    def check_search(
        self, search: SavedSearch, facts: Mapping[str, Sequence[str]], *, is_scheduled: bool
    ) -> Sequence[CheckResult]:
        """Try one saved search, changing nothing. `facts`: what its rows must tell, and the names
        of fields that may tell it; `is_scheduled`: its scheduled runs are to be read."""
        ...


@runtime_checkable
class Edr(Protocol):
    """Devices, found exactly, isolated one at a time by id."""

    name: str
    tenant: str

    def find_devices(
        self, *, hostname: str | None = None, device_id: str | None = None
    ) -> Sequence[Device]:
        """Every device whose name (or id) is exactly this, without regard to case; none is no
        error. Errors: `Rejected` for an empty or unsafe selector, before any call; its code is
        `unsafe_name` where the product cannot be asked for such a name; `too_many` where so many
        names begin with it that they cannot be compared."""
        ...

    def read_device(self, device_id: str) -> Device:
        """One device, fresh. Errors: `NotFound`."""
        ...

    def count_devices(self, hostname_pattern: str | None = None) -> int:
        """How many devices there are, or match a name pattern with `*`."""
        ...

    def contained_devices(self) -> Sequence[Device]:
        """All that are contained or under way, by whomever. Errors: `Unavailable` if not whole."""
        ...

    @action(Effect.CONTAIN, Recovery.STATE, settle_s=60, inverse="release_host")
    def isolate_host(self, device_id: str, reason: str) -> None:
        """Ask for isolation; accepted, not confirmed, when it returns. Never retried inside.
        Errors: `Rejected` code `conflict` when the device's state forbids it; `OutcomeUnknown`."""
        ...

    @action(Effect.RELEASE, Recovery.STATE, settle_s=60)
    def release_host(self, device_id: str, reason: str) -> None:
        """The inverse of `isolate_host`, with the same target and the same errors."""
        ...

    def check(self) -> Sequence[CheckResult]: ...


@runtime_checkable
class Chat(Threads, Protocol):
    """Cards that ask and threads that tell."""

    name: str

    def card_sha256(self, card: Card) -> str:
        """The hash that an unchanged posted card reads back with."""
        ...

    def is_card(self, card: Card, sha256: str) -> bool:
        """Is this the hash of the card as `post_card` may have posted it?"""
        ...

    def can_mention(self, account: str) -> bool:
        """Is this an id that a message may call?"""
        ...

    @action(Effect.NOTIFY, Recovery.LOOK, settle_s=30)
    def post_card(self, card: Card) -> MessageRef:
        """A new message, always. Falls back to a shorter form when the product refuses the
        length."""
        ...

    def find_message(
        self, key: str, thread: MessageRef | None = None, *, sent_at: datetime | None = None
    ) -> MessageRef | None:
        """The message that was posted with this key (in that thread), or None. Ours only.
        `sent_at`: when it was first about to be sent, however long ago that is."""
        ...

    @action(Effect.NOTIFY, Recovery.REPEAT, settle_s=0)
    def seed_choices(self, ref: MessageRef, choices: Sequence[Choice]) -> None:
        """Put each choice's emoji under the card. Repeat: harmless."""
        ...

    def read_card(self, ref: MessageRef) -> CardReading:
        """Errors: `NotFound` when somebody deleted it."""
        ...

    @action(Effect.NOTIFY, Recovery.REPEAT, settle_s=0)
    def update_card(self, ref: MessageRef, card: Card) -> MessageRef:
        """Show another card in the same message. Repeat: harmless."""
        ...

    @action(Effect.NOTIFY, Recovery.LOOK, settle_s=30)
    def post_reply(
        self, thread: MessageRef, key: str, text: str, mentions: Sequence[str] = ()
    ) -> MessageRef:
        """Say something in the card's thread."""
        ...

    @action(Effect.NOTIFY, Recovery.LOOK, settle_s=30)
    def post_message(self, key: str, body: Document) -> MessageRef:
        """A message of its own in the configured channel."""
        ...

    def read_account(self, account: str) -> Account:
        """Errors: `NotFound`; any failure means that the account may not answer."""
        ...

    def check(self) -> Sequence[CheckResult]: ...


@runtime_checkable
class Tickets(Protocol):
    """The record that others read. One ticket a correlation key."""

    name: str

    @action(Effect.DOCUMENT, Recovery.LOOK, settle_s=60)
    def create_ticket(self, draft: TicketDraft) -> TicketRef: ...

    def find_ticket(self, correlation: str) -> TicketRef | None:
        """The oldest ticket with this correlation key, or None."""
        ...

    @action(Effect.DOCUMENT, Recovery.LOOK, settle_s=30)
    def comment_ticket(self, ticket: TicketRef, key: str, body: Document) -> None: ...

    def find_comment(self, ticket: TicketRef, key: str) -> bool: ...

    @action(Effect.DOCUMENT, Recovery.LOOK, settle_s=30)
    def attach_file(self, ticket: TicketRef, name: str, content: bytes) -> None: ...

    def find_attachment(self, ticket: TicketRef, name: str) -> bool: ...

    def read_ticket(self, ticket: TicketRef) -> TicketStatus: ...

    def check(self) -> Sequence[CheckResult]: ...


ROLES: dict[str, type] = {"siem": Siem, "edr": Edr, "chat": Chat, "tickets": Tickets}
"""The roles that a configuration binds to connectors."""
