"""Matrix: cards that ask, reactions that answer, threads that tell.

Answers are polled as relations of the card's event, so that no port is open to the internet. Who
may answer, and which votes count, is not decided here.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from connectors.base import Connector
from connectors.chat.matrix_calls import PRODUCT, TOO_LONG, TWICE, MatrixCalls, text_of
from connectors.chat.matrix_check import RoomCheck
from connectors.chat.matrix_events import (
    MESSAGE,
    REACTION,
    answers_of,
    check_is_message,
    edit_of,
    is_ours,
    looked_back_to_ms,
    posted,
    shown,
    since,
    time_of,
)
from connectors.chat.matrix_html import (
    KEY,
    Message,
    card_message,
    minimal_card,
    minimal_message,
    text_message,
)
from connectors.chat.matrix_ids import (
    EMOJI,
    check_accounts,
    check_card,
    check_choices,
    event_of,
    room_of,
    transaction_of,
)
from connectors.chat.matrix_listen import listen
from connectors.chat.matrix_product import ACCOUNT, MatrixProduct
from connectors.chat.matrix_thread import written_in
from connectors.document import Document, Paragraph
from connectors.errors import ConnectorError, Rejected, Unavailable
from connectors.listening import Ear
from connectors.model import (
    Account,
    Card,
    CardReading,
    ChatPlace,
    CheckResult,
    Choice,
    JsonObject,
    MessageRef,
    ThreadReply,
)

log = logging.getLogger(__name__)

PLAIN_CHOICES = 2
"""Yes and no: the question is about one device, which its first line names."""


class Matrix(MatrixProduct, Connector):
    """One unencrypted room on one homeserver.

    The promise: evidence is never markup and calls nobody, a post is never sent twice, an edited
    card is seen as edited, and our own reactions are no answers.
    """

    options: MatrixProduct.Options

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self._calls = MatrixCalls(self.settings, self.credentials["token"], self.runtime)
        self._room = self.options.room
        self._known: str | None = None

    # -- cards -------------------------------------------------------------------------------------

    def card_sha256(self, card: Card) -> str:
        """The hash that the full form of this card reads back with."""
        return card_message(card).sha256

    def is_card(self, card: Card, sha256: str) -> bool:
        """Is this the hash of the card as we post it, in full or in its minimal form?"""
        return sha256 in (card_message(card).sha256, minimal_card(card).sha256)

    def post_card(self, card: Card) -> MessageRef:
        """A new message; while the server remembers the key's transaction, the one that it has.
        When it refuses the size, the minimal form is sent, once, with that form's hash.

        Errors: `OutcomeUnknown` when the answer was lost: look with `find_message`.
        Source: https://spec.matrix.org/v1.16/client-server-api/#put_matrixclientv3roomsroomidsendeventtypetxnid,
        2026-11-25.
        """
        check_card(card)
        # Without its blocks a card cannot show which devices are meant: nobody may agree to that.
        minimal = minimal_card(card) if len(card.choices) <= PLAIN_CHOICES else None
        return self._post(card.key, card_message(card), minimal)

    def update_card(self, ref: MessageRef, card: Card) -> MessageRef:
        """Show another card in the same message, as an edit. Repeat: harmless.

        Source: https://spec.matrix.org/v1.16/client-server-api/#event-replacements, 2026-11-25.
        """
        check_card(card)
        room, event = room_of(ref), event_of(ref)
        found = self._event(ref)
        edited = text_of((edit_of(found) or {}).get("event_id"))

        def send(message: Message) -> MessageRef:
            ref_now = MessageRef(channel=room, id=event, sha256=message.sha256)
            if shown(found) == message.sha256:
                return ref_now
            content = {**message.content(), KEY: card.key}
            body = {
                "msgtype": "m.text",
                "body": f"* {card_message(card).body[:1000]}",
                # An edit calls nobody again.
                "m.mentions": {},
                "m.new_content": content,
                "m.relates_to": {"rel_type": "m.replace", "event_id": event},
            }
            # What it replaces is part of the id: the same card may be shown, replaced, shown again.
            transaction = transaction_of("edit", event, edited, message.sha256)
            posted(self._send(room, MESSAGE, transaction, body), room, message.sha256)
            return ref_now

        return self._shortened(send, card_message(card), minimal_card(card))

    def listen(self, ear: Ear) -> None:
        """Tell what happens in the room as it happens, over a connection of its own."""
        calls = MatrixCalls(self.settings, self.credentials["token"], self.runtime)
        listen(calls, self._room, self._me(), ear, self.runtime.clock)

    def read_card(self, ref: MessageRef) -> CardReading:
        """What the card shows now, and each account's reactions without our own.

        Errors: `NotFound` when it was deleted; `Unavailable` when not all reactions could be read,
        because a denial may be among those left out.
        Source: https://spec.matrix.org/v1.16/client-server-api/#relationships-api, 2026-11-25.
        """
        event = event_of(ref)
        me = self._me()
        # First the reactions, then the card: what it shows is at least as new as the answers.
        reactions = list(self._related(ref, "m.annotation", REACTION))
        return CardReading(sha256=shown(self._event(ref)), answers=answers_of(reactions, event, me))

    def seed_choices(self, ref: MessageRef, choices: Sequence[Choice]) -> None:
        """Put each choice's emoji under the card. Repeat: harmless."""
        room, event = room_of(ref), event_of(ref)
        check_choices(choices)
        for choice in choices:
            relation = {"rel_type": "m.annotation", "event_id": event, "key": EMOJI[choice.emoji]}
            transaction = transaction_of("seed", event, choice.emoji)
            try:
                self._send(room, REACTION, transaction, {"m.relates_to": relation})
            except Rejected as fault:
                if fault.code != TWICE:
                    raise

    # -- messages ----------------------------------------------------------------------------------

    def post_reply(
        self, thread: MessageRef, key: str, text: str, mentions: Sequence[str] = ()
    ) -> MessageRef:
        """Say something in the card's thread. Errors: as `post_card`."""
        check_accounts(mentions)
        full = text_message([Paragraph(text)], mentions)
        return self._post(key, full, minimal_message(text, mentions), thread=thread)

    def post_message(self, key: str, body: Document) -> MessageRef:
        """A message of its own in the configured room. Errors: as `post_card`."""
        first = next((text for text in body.texts() if text.strip()), "")
        return self._post(key, text_message(body.blocks), minimal_message(first))

    def find_message(
        self, key: str, thread: MessageRef | None = None, *, sent_at: datetime | None = None
    ) -> MessageRef | None:
        """The oldest message of ours with this key, since `sent_at` or in the last 72 hours.

        Errors: any failure raises; so do more than 2,000 messages of ours, because the rest was not
        looked at.
        """
        if not key:
            raise Rejected(PRODUCT, "a message is not looked for without a key")
        room = self._room if thread is None else room_of(thread)
        me = self._me()
        events = (
            self._recent(sent_at) if thread is None else self._related(thread, "m.thread", MESSAGE)
        )
        in_thread = thread is not None
        found = [event for event in events if is_ours(event, key, me, in_thread=in_thread)]
        if not found:
            return None
        oldest = min(found, key=time_of)
        return MessageRef(channel=room, id=oldest["event_id"], sha256=shown(oldest))

    def read_replies(self, thread: MessageRef) -> Sequence[ThreadReply]:
        """All that stands in a thread now. Errors: `NotFound` when the card was deleted."""
        event = event_of(thread)
        replies = list(self._related(thread, "m.thread", MESSAGE))
        return written_in(replies, event, self._me())

    # -- people and permissions --------------------------------------------------------------------

    def read_account(self, account: str) -> Account:
        """A member of the room, read live. Whoever is not joined may not answer, and a deactivated
        account is joined nowhere; nor may an account of another homeserver.

        Errors: `NotFound` for one that never was in the room.
        """
        check_accounts([account])
        me = self._me()
        state = self._calls.read("v3", "rooms", self._room, "state", "m.room.member", account)
        membership = text_of(state.get("membership"))
        if not membership:
            raise Unavailable(PRODUCT, f"did not say whether {account} is in the room")
        return Account(
            id=account,
            is_active=membership == "join",
            is_full_member=account.partition(":")[2] == me.partition(":")[2],
            is_bot=account == me,
        )

    def read_group(self, group: str) -> Sequence[str]:
        """Errors: `Rejected`, always."""
        raise Rejected(PRODUCT, "there are no user groups")

    def read_place(self) -> ChatPlace:
        """The homeserver, the room and our own account, as `whoami` says."""
        me = self._me()
        return ChatPlace(workspace=me.partition(":")[2], channel=self._room, account=me)

    def check(self) -> Sequence[CheckResult]:
        """Try the token, the room, that it is not encrypted, and each power; changes nothing."""
        try:
            me = self._me()
        except ConnectorError as fault:
            return [CheckResult(what="Matrix takes the token", ok=False, mend=fault.text)]
        room = RoomCheck(self._calls, self._room, me)
        return [CheckResult(what="Matrix takes the token", ok=True), *room.results()]

    # -- inside ------------------------------------------------------------------------------------

    def _post(
        self, key: str, full: Message, minimal: Message | None, thread: MessageRef | None = None
    ) -> MessageRef:
        if not key:
            raise Rejected(PRODUCT, "a message without a key could not be found again")
        room, relation = self._room, {}
        if thread is not None:
            room, event = room_of(thread), event_of(thread)
            relation = {
                "m.relates_to": {
                    "rel_type": "m.thread",
                    "event_id": event,
                    "is_falling_back": True,
                    "m.in_reply_to": {"event_id": event},
                }
            }

        def send(message: Message) -> MessageRef:
            form = "full" if message is full else "minimal"
            transaction = transaction_of("post", thread.id if thread else "", key, form)
            body = {**message.content(), KEY: key, **relation}
            return posted(self._send(room, MESSAGE, transaction, body), room, message.sha256)

        return self._shortened(send, full, minimal)

    def _shortened(
        self, send: Callable[[Message], MessageRef], full: Message, minimal: Message | None
    ) -> MessageRef:
        """Send the full form or, when the server refuses its size, the minimal one."""
        try:
            return send(full)
        except Rejected as fault:
            if fault.code != TOO_LONG or minimal is None:
                raise
            log.warning("matrix refused a message as too long code=%s", fault.code)
        return send(minimal)

    def _send(self, room: str, kind: str, transaction: str, body: JsonObject) -> JsonObject:
        return self._calls.write("v3", "rooms", room, "send", kind, transaction, body=body)

    def _event(self, ref: MessageRef) -> JsonObject:
        """One message of ours, with its latest edit beside it. Errors: `NotFound`."""
        event = self._calls.read("v3", "rooms", room_of(ref), "event", event_of(ref))
        check_is_message(event, ref, self._me())
        return event

    def _related(self, ref: MessageRef, relation: str, kind: str) -> Iterator[JsonObject]:
        where = ("v1", "rooms", room_of(ref), "relations", event_of(ref), relation, kind)
        for page in self._calls.pages(*where, onward="next_batch"):
            yield from page

    def _recent(self, sent_at: datetime | None) -> Iterator[JsonObject]:
        """Our own messages in the room, newest first, as far back as is looked."""
        only_ours = json.dumps({"types": [MESSAGE], "senders": [self._me()]})
        where = ("v3", "rooms", self._room, "messages")
        pages = self._calls.pages(*where, onward="end", dir="b", filter=only_ours)
        return since(pages, looked_back_to_ms(self.runtime.clock.now(), sent_at))

    def _me(self) -> str:
        """Our own user id. Errors: `Unavailable` when the server does not say it."""
        if self._known is None:
            said = text_of(self._calls.read("v3", "account", "whoami").get("user_id"))
            if not ACCOUNT.fullmatch(said):
                raise Unavailable(PRODUCT, "whoami did not name the account")
            self._known = said
        return self._known
