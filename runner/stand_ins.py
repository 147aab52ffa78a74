"""What stands in for the products while a playbook is rehearsed: nothing leaves the process.

Reads go to whatever is given (a product, or a file's answers); what changes the world is only
noted, and shows in later reads, so that guards, claims and the ledger see it as if it had happened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol, cast

import msgspec
from msgspec import Struct

from connectors.base import Action, Connector
from connectors.document import Document
from connectors.errors import NotFound, Rejected
from connectors.model import (
    Account,
    Answer,
    Card,
    CardReading,
    ChatPlace,
    CheckResult,
    Choice,
    Clock,
    Device,
    EventQuery,
    IsolationState,
    MessageRef,
    Row,
    SearchJob,
    SearchPhase,
    SearchStatus,
    ThreadReply,
    TicketDraft,
    TicketRef,
    TicketStatus,
)
from runner.config import Config
from runner.roles import Roles

ANSWER_AFTER = timedelta(seconds=60)
"""How long people take to answer a card in a rehearsal."""
WAIT_S = 120.0
LOOK_S = 0.3


class Deed(Struct, frozen=True, kw_only=True):
    """One call that would have changed the world: the role's verb, and at what."""

    call: str
    target: str

    def __str__(self) -> str:
        return f"{self.call}: {self.target}"


class EdrReads(Protocol):
    """The reading half of an EDR; a rehearsal is given nothing that could write."""

    name: str
    tenant: str

    def find_devices(
        self, *, hostname: str | None = None, device_id: str | None = None
    ) -> Sequence[Device]: ...

    def read_device(self, device_id: str) -> Device: ...

    def count_devices(self, hostname_pattern: str | None = None) -> int: ...

    def contained_devices(self) -> Sequence[Device]: ...


class SiemReads(Protocol):
    """What hunts ask a SIEM."""

    name: str

    def start_event_query(self, query: EventQuery) -> SearchJob: ...

    def search_status(self, job: SearchJob) -> SearchStatus: ...

    def fetch_rows(self, job: SearchJob, row_count: int) -> Iterator[Row]: ...

    def cancel_search(self, job: SearchJob) -> None: ...


class EdrOverlay:
    """An EDR whose devices are read, and whose isolations happen on paper."""

    def __init__(self, reads: EdrReads, deeds: list[Deed]) -> None:
        self.name, self.tenant = reads.name, reads.tenant
        self._reads = reads
        self._deeds = deeds
        self._states: dict[str, IsolationState] = {}

    def put(self, device_id: str, state: IsolationState) -> None:
        """How it stands before the rehearsal begins."""
        self._states[device_id] = state

    def find_devices(
        self, *, hostname: str | None = None, device_id: str | None = None
    ) -> Sequence[Device]:
        found = self._reads.find_devices(hostname=hostname, device_id=device_id)
        return tuple(map(self._shown, found))

    def read_device(self, device_id: str) -> Device:
        return self._shown(self._reads.read_device(device_id))

    def count_devices(self, hostname_pattern: str | None = None) -> int:
        return self._reads.count_devices(hostname_pattern)

    def contained_devices(self) -> Sequence[Device]:
        return tuple(map(self._shown, self._reads.contained_devices()))

    def isolate_host(self, device_id: str, reason: str) -> None:
        self._note("edr.isolate_host", device_id, IsolationState.CONTAINED)

    def release_host(self, device_id: str, reason: str) -> None:
        self._note("edr.release_host", device_id, IsolationState.NORMAL)

    def check(self) -> Sequence[CheckResult]:
        return ()

    def _note(self, call: str, device_id: str, state: IsolationState) -> None:
        device = self._reads.read_device(device_id)
        self._states[device_id] = state
        self._deeds.append(Deed(call=call, target=device.hostname))

    def _shown(self, device: Device) -> Device:
        state = self._states.get(device.device_id)
        return device if state is None else msgspec.structs.replace(device, state=state)


class WaitedSiem:
    """A SIEM whose hunts are waited for on the real clock, because the rehearsal's is set by hand.
    Saved searches are not started through it."""

    def __init__(self, reads: SiemReads, clock: Clock) -> None:
        self.name = reads.name
        self._reads = reads
        self._clock = clock

    def start_event_query(self, query: EventQuery) -> SearchJob:
        """Start and wait. Errors: `Unavailable` when it does not end in time."""
        job = self._reads.start_event_query(query)
        began = self._clock.monotonic()
        while self._reads.search_status(job).phase is SearchPhase.RUNNING:
            if self._clock.monotonic() - began > WAIT_S:
                self._reads.cancel_search(job)
                raise Rejected("rehearsal", f"the search did not end within {WAIT_S:.0f} seconds")
            self._clock.sleep(LOOK_S)
        return job

    def search_status(self, job: SearchJob) -> SearchStatus:
        return self._reads.search_status(job)

    def fetch_rows(self, job: SearchJob, row_count: int) -> Iterator[Row]:
        return self._reads.fetch_rows(job, row_count)

    def cancel_search(self, job: SearchJob) -> None:
        self._reads.cancel_search(job)


class StandInChat:
    """A chat in memory. `told` says what a card asks about, by its key; `answer` what people say
    to it, a minute after it was posted."""

    name = "rehearsal"

    def __init__(
        self,
        clock: Clock,
        deeds: list[Deed],
        told: Callable[[str], str],
        answer: Callable[[str], tuple[Answer, ...]],
    ) -> None:
        self._clock = clock
        self._deeds = deeds
        self._told = told
        self._answer = answer
        self._posted: dict[str, tuple[datetime, Card]] = {}
        self._answers: dict[str, tuple[Answer, ...]] = {}

    def next_answer_at(self, now: datetime) -> datetime | None:
        """When people next answer, after `now`."""
        times = (at + ANSWER_AFTER for at, card in self._posted.values() if not card.locked)
        return min((at for at in times if at > now), default=None)

    def card_sha256(self, card: Card) -> str:
        return hashlib.sha256(msgspec.json.encode(card)).hexdigest()

    def is_card(self, card: Card, sha256: str) -> bool:
        return self.card_sha256(card) == sha256

    def post_card(self, card: Card) -> MessageRef:
        self._posted[card.key] = (self._clock.now(), card)
        self._deeds.append(Deed(call="chat.post_card", target=self._told(card.key)))
        return self._ref(card)

    def find_message(
        self, key: str, thread: MessageRef | None = None, *, sent_at: datetime | None = None
    ) -> MessageRef | None:
        posted = self._posted.get(key)
        return None if posted is None else self._ref(posted[1])

    def seed_choices(self, ref: MessageRef, choices: Sequence[Choice]) -> None:
        """A reaction of our own is no answer."""

    def read_card(self, ref: MessageRef) -> CardReading:
        posted = self._posted.get(ref.id)
        if posted is None:
            raise NotFound("rehearsal", "there is no such card")
        at, card = posted
        answers: tuple[Answer, ...] = ()
        if self._clock.now() >= at + ANSWER_AFTER:
            if ref.id not in self._answers:
                self._answers[ref.id] = self._answer(ref.id)
            answers = self._answers[ref.id]
        return CardReading(sha256=self.card_sha256(card), answers=answers)

    def update_card(self, ref: MessageRef, card: Card) -> MessageRef:
        self._posted[ref.id] = (self._posted[ref.id][0], card)
        return self._ref(card)

    def post_reply(
        self, thread: MessageRef, key: str, text: str, mentions: Sequence[str] = ()
    ) -> MessageRef:
        return MessageRef(channel=self.name, id=key, sha256="")

    def post_message(self, key: str, body: Document) -> MessageRef:
        from runner.terminal import text_of

        self._deeds.append(Deed(call="chat.post_message", target=" ".join(text_of(body).split())))
        return MessageRef(channel=self.name, id=key, sha256="")

    def read_replies(self, thread: MessageRef) -> Sequence[ThreadReply]:
        return ()

    def read_place(self) -> ChatPlace:
        return ChatPlace(workspace=self.name, channel=self.name, account=self.name)

    def read_group(self, group: str) -> Sequence[str]:
        raise Rejected("rehearsal", f"nobody is known to be in the group {group}")

    def read_account(self, account: str) -> Account:
        return Account(id=account, is_active=True, is_full_member=True, is_bot=False)

    def check(self) -> Sequence[CheckResult]:
        return ()

    def _ref(self, card: Card) -> MessageRef:
        return MessageRef(channel=self.name, id=card.key, sha256=self.card_sha256(card))


class StandInTickets:
    """Tickets in memory."""

    name = "rehearsal"

    def __init__(self, deeds: list[Deed]) -> None:
        self._deeds = deeds
        self._found: dict[str, TicketRef] = {}

    def create_ticket(self, draft: TicketDraft) -> TicketRef:
        key = f"REHEARSAL-{len(self._found) + 1}"
        ref = TicketRef(id=key, key=key, url="")
        self._found[draft.correlation] = ref
        self._deeds.append(Deed(call="tickets.create_ticket", target=draft.title))
        return ref

    def find_ticket(self, correlation: str) -> TicketRef | None:
        return self._found.get(correlation)

    def comment_ticket(self, ticket: TicketRef, key: str, body: Document) -> None:
        self._deeds.append(Deed(call="tickets.comment_ticket", target=ticket.key))

    def find_comment(self, ticket: TicketRef, key: str) -> bool:
        return False

    def attach_file(self, ticket: TicketRef, name: str, content: bytes) -> None:
        self._deeds.append(Deed(call="tickets.attach_file", target=name))

    def find_attachment(self, ticket: TicketRef, name: str) -> bool:
        return False

    def read_ticket(self, ticket: TicketRef) -> TicketStatus:
        return TicketStatus(name="open", is_closed=False)

    def check(self) -> Sequence[CheckResult]:
        return ()


class StandInRoles(Roles):
    """Role → stand-in; a role that has none is not bound. No connector is ever built from here."""

    def __init__(self, config: Config, stand_ins: Mapping[str, Any]) -> None:
        self._config = config
        self._stand_ins = stand_ins

    def has(self, role: str) -> bool:
        return role in self._stand_ins

    def connector(self, role: str) -> Connector:
        if role not in self._stand_ins:
            raise Rejected("configuration", f"no connector is bound to the role {role}")
        return cast(Connector, self._stand_ins[role])

    def settle_s(self, role: str, action: Action) -> float:
        """Nothing is ever under way."""
        return 0.0
