"""Slack: cards that ask, reactions that answer, threads that tell.

Answers are polled as reactions (`reactions.get`), so that no port is open to the internet. Who may
answer, and which votes count, is not decided here.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from connectors.base import Connector
from connectors.chat.slack_blocks import (
    Message,
    card_message,
    minimal_card,
    minimal_message,
    text_message,
)
from connectors.chat.slack_calls import (
    PRODUCT,
    TOO_LONG,
    SlackCalls,
    object_of,
    text_of,
)
from connectors.chat.slack_groups import members_of
from connectors.chat.slack_ids import (
    channel_of,
    check_accounts,
    check_card,
    check_choices,
    timestamp_of,
)
from connectors.chat.slack_listen import SlackListening
from connectors.chat.slack_lookup import message_at, where_to_look
from connectors.chat.slack_press import Home
from connectors.chat.slack_product import SlackProduct
from connectors.chat.slack_replies import (
    EVENT_TYPE,
    Identity,
    answers_of,
    check_scopes,
    identity_of,
    is_bot,
    is_full_member,
    is_ours,
    posted,
    shown,
)
from connectors.chat.slack_thread import read_thread
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

PAGE_SIZE = 200
MAX_PAGES = 5

PLAIN_CHOICES = 2
"""Yes and no: the question is about one device, which its headline names."""


class Slack(SlackProduct, Connector):
    """One channel of one workspace.

    The promise: evidence is never markup, a post is never sent twice, an edited card is seen as
    edited, and our own reactions are no answers.
    """

    options: SlackProduct.Options

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self._calls = SlackCalls(self.settings, self.credentials["token"], self.runtime)
        self._channel = self.options.channel
        self._team = self.options.team
        self._known: Identity | None = None
        app_token = self.credentials.get("app_token")
        self._listening = SlackListening(self.settings, app_token, self.runtime, self._calls)

    # -- cards -------------------------------------------------------------------------------------

    def card_sha256(self, card: Card) -> str:
        """The hash that the full form of this card reads back with."""
        return card_message(card).sha256

    def post_card(self, card: Card) -> MessageRef:
        """A new message, always. When Slack refuses its length or blocks, the minimal form is sent,
        once, and the returned hash is that form's.

        Errors: `OutcomeUnknown` when the answer was lost: look with `find_message`.
        Source: https://docs.slack.dev/reference/methods/chat.postMessage, 2026-11-25.
        """
        check_card(card)
        # Without its blocks a card cannot show which devices are meant: nobody may agree to that.
        minimal = minimal_card(card) if len(card.choices) <= PLAIN_CHOICES else None
        return self._post(card.key, card_message(card), minimal)

    def is_card(self, card: Card, sha256: str) -> bool:
        """Is this the hash of the card as we post it, in full or in its minimal form?"""
        return sha256 in (card_message(card).sha256, minimal_card(card).sha256)

    def update_card(self, ref: MessageRef, card: Card) -> MessageRef:
        """Show another card in the same message. Repeat: harmless.

        Source: https://docs.slack.dev/reference/methods/chat.update, 2026-11-25.
        """
        check_card(card)
        where = {"channel": channel_of(ref), "ts": timestamp_of(ref)}
        return self._show("chat.update", where, card.key, card_message(card), minimal_card(card))

    def read_card(self, ref: MessageRef) -> CardReading:
        """What the card shows now, and each account's reactions without our own.

        Errors: `NotFound` when it was deleted; `Unavailable` when Slack cut the list of accounts,
        because a denial may be among those left out.
        Source: https://docs.slack.dev/reference/methods/reactions.get, 2026-11-25.
        """
        channel, timestamp = channel_of(ref), timestamp_of(ref)
        me = self._identity()
        # Without `full`, Slack may cut the list of accounts under a reaction.
        found = self._calls.read("reactions.get", channel=channel, timestamp=timestamp, full="true")
        message = object_of(found.get("message"))
        if message.get("ts") != timestamp:
            raise Unavailable(PRODUCT, "reactions.get did not give the message that was asked for")
        answers = answers_of(message, me.user)
        if "blocks" not in message or "text" not in message:
            message = message_at(self._calls, channel, timestamp)
        return CardReading(sha256=shown(message), answers=answers)

    def seed_choices(self, ref: MessageRef, choices: Sequence[Choice]) -> None:
        """Put each choice's emoji under the card. Repeat: harmless.

        Source: https://docs.slack.dev/reference/methods/reactions.add, 2026-11-25.
        """
        channel, timestamp = channel_of(ref), timestamp_of(ref)
        check_choices(choices)
        for choice in choices:
            body = {"channel": channel, "timestamp": timestamp, "name": choice.emoji}
            try:
                self._calls.write("reactions.add", body)
            except Rejected as fault:
                if fault.code != "already_reacted":
                    raise

    # -- buttons -----------------------------------------------------------------------------------

    def listen(self, ear: Ear) -> None:
        """Hear the buttons; without an app token there is nothing to listen to."""
        if self._listening.is_configured:
            me = self._identity()
            home = Home(user=me.user, team=me.team, channel=self._channel)
            self._listening.listen(home, ear)

    def offers_buttons(self) -> bool:
        return self._listening.is_connected

    # -- messages ----------------------------------------------------------------------------------

    def post_reply(
        self, thread: MessageRef, key: str, text: str, mentions: Sequence[str] = ()
    ) -> MessageRef:
        """Say something in the card's thread. Errors: as `post_card`."""
        check_accounts(mentions)
        full = text_message(text, [Paragraph(text)], mentions)
        return self._post(key, full, minimal_message(text, mentions), thread=thread)

    def post_message(self, key: str, body: Document) -> MessageRef:
        """A message of its own in the configured channel. Errors: as `post_card`."""
        first = next((text for text in body.texts() if text.strip()), "")
        return self._post(key, text_message(first, body.blocks), minimal_message(first))

    def find_message(
        self, key: str, thread: MessageRef | None = None, *, sent_at: datetime | None = None
    ) -> MessageRef | None:
        """The oldest message of ours with this key, since `sent_at` or among the last 72 hours' (or
        the thread's).

        Errors: any failure raises; so do more than 1,000 messages without a find, because the rest
        was not looked at. Source: https://docs.slack.dev/messaging/message-metadata, 2026-11-25.
        """
        if not key:
            raise Rejected(PRODUCT, "a message is not looked for without a key")
        me = self._identity()
        now = self.runtime.clock.now()
        method, params = where_to_look(self._channel, thread, sent_at, now)
        found: list[JsonObject] = []
        pages = self._calls.pages(method, PAGE_SIZE, include_all_metadata="true", **params)
        for number, (messages, has_more) in enumerate(pages, start=1):
            found += [message for message in messages if is_ours(message, key, me)]
            if number == MAX_PAGES and has_more:
                if not found:
                    text = f"{MAX_PAGES * PAGE_SIZE} messages do not hold it and there are more"
                    raise Unavailable(PRODUCT, text)
                break
        if not found:
            return None
        oldest = min(found, key=lambda message: float(message["ts"]))
        return MessageRef(channel=text_of(params["channel"]), id=oldest["ts"], sha256=shown(oldest))

    def read_replies(self, thread: MessageRef) -> Sequence[ThreadReply]:
        """All that stands in a thread now. Errors: as `read_thread`."""
        return read_thread(self._calls, channel_of(thread), timestamp_of(thread), self._identity())

    # -- people and permissions --------------------------------------------------------------------

    def read_account(self, account: str) -> Account:
        """A person, read live. What Slack does not say counts against the account.

        Source: https://docs.slack.dev/reference/objects/user-object, 2026-11-25.
        """
        check_accounts([account])
        me = self._identity()
        found = self._calls.read("users.info", user=account)
        user = object_of(found.get("user"))
        if user.get("id") != account or not isinstance(user.get("deleted"), bool):
            raise Unavailable(PRODUCT, f"users.info did not describe {account}")
        return Account(
            id=account,
            is_active=user["deleted"] is False,
            is_full_member=is_full_member(user, me),
            is_bot=is_bot(user),
        )

    def read_group(self, group: str) -> Sequence[str]:
        """The accounts in a user group, read live. Errors: as `members_of`."""
        return members_of(self._calls, group, self._identity())

    def read_place(self) -> ChatPlace:
        """The workspace, the channel and the app's own user, as `auth.test` says."""
        me = self._identity()
        return ChatPlace(workspace=me.team, channel=self._channel, account=me.user)

    def check(self) -> Sequence[CheckResult]:
        """Try the token, its scopes, the workspace and the channel; changes nothing."""
        try:
            answer, headers = self._calls.read_reply("auth.test")
            identity_of(answer, self._team)
        except ConnectorError as fault:
            return [CheckResult(what="Slack takes the token", ok=False, mend=fault.text)]
        return [
            CheckResult(what="Slack takes the token", ok=True),
            *check_scopes(headers.get("x-oauth-scopes")),
            self._check_channel(),
            *self._listening.check(),
        ]

    def _check_channel(self) -> CheckResult:
        what = f"the app can read channel {self._channel}"
        try:
            self._calls.read("conversations.history", channel=self._channel, limit=1)
        except ConnectorError as fault:
            return CheckResult(what=what, ok=False, mend=fault.text)
        return CheckResult(what=what, ok=True)

    # -- inside ------------------------------------------------------------------------------------

    def _post(
        self, key: str, full: Message, minimal: Message | None, thread: MessageRef | None = None
    ) -> MessageRef:
        where: JsonObject = {"channel": self._channel}
        if thread is not None:
            where = {"channel": channel_of(thread), "thread_ts": timestamp_of(thread)}
        if not key:
            raise Rejected(PRODUCT, "a message without a key could not be found again")
        where.update(unfurl_links=False, unfurl_media=False)
        return self._show("chat.postMessage", where, key, full, minimal)

    def _show(
        self, method: str, where: JsonObject, key: str, full: Message, minimal: Message | None
    ) -> MessageRef:
        """Send the full form or, when Slack refuses its length or blocks, the minimal one."""
        metadata = {"event_type": EVENT_TYPE, "event_payload": {"key": key}}

        def send(message: Message) -> MessageRef:
            body = {"text": message.text, "blocks": list(message.blocks), "metadata": metadata}
            return posted(self._calls.write(method, {**where, **body}), message)

        try:
            return send(full)
        except Rejected as fault:
            if fault.code not in TOO_LONG or minimal is None:
                raise
            log.warning("slack refused a message as too long method=%s code=%s", method, fault.code)
        return send(minimal)

    def _identity(self) -> Identity:
        if self._known is None:
            self._known = identity_of(self._calls.read("auth.test"), self._team)
        return self._known
