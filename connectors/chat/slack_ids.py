"""Which ids Slack may be given: refused before a call, because a name could be taken over."""

from __future__ import annotations

import re
from collections.abc import Sequence

from connectors.chat.slack_calls import PRODUCT
from connectors.chat.slack_product import ACCOUNT, CHANNEL
from connectors.document import visible
from connectors.errors import Rejected
from connectors.model import Card, Choice, MessageRef

TIMESTAMP = re.compile(r"\d{1,12}\.\d{1,9}")
_EMOJI = re.compile(r"[a-z0-9_+'-]+")


def check_card(card: Card) -> None:
    """Errors, here and below: `Rejected` before any call."""
    check_accounts(card.mentions)
    check_choices(card.choices)


def check_choices(choices: Sequence[Choice]) -> None:
    for choice in choices:
        if not _EMOJI.fullmatch(choice.emoji):
            raise Rejected(PRODUCT, f"no emoji's short name: {visible(choice.emoji[:60])}")


def check_accounts(accounts: Sequence[str]) -> None:
    for account in accounts:
        if not ACCOUNT.fullmatch(account):
            raise Rejected(PRODUCT, f"no account id: {visible(account[:60]) or '(empty)'}")


def channel_of(ref: MessageRef) -> str:
    if not CHANNEL.fullmatch(ref.channel):
        raise Rejected(PRODUCT, f"no channel id: {visible(ref.channel[:60]) or '(empty)'}")
    return ref.channel


def timestamp_of(ref: MessageRef) -> str:
    if not TIMESTAMP.fullmatch(ref.id):
        raise Rejected(PRODUCT, f"no message id: {visible(ref.id[:60]) or '(empty)'}")
    return ref.id
