"""Which ids and emoji Matrix may be given: refused before a call, and read back alike."""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256

from connectors.chat.matrix_calls import PRODUCT
from connectors.chat.matrix_product import ACCOUNT, ROOM
from connectors.document import visible
from connectors.errors import Rejected
from connectors.model import Card, Choice, MessageRef

EVENT = re.compile(r"\$[!-9;-~]{1,200}(:[A-Za-z0-9.\-\[\]:]{1,50})?")

_KEYCAP = "\ufe0f\u20e3"
_DIGITS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
EMOJI: dict[str, str] = {
    "white_check_mark": "\u2705",
    "x": "\u274c",
    **{name: f"{digit}{_KEYCAP}" for digit, name in enumerate(_DIGITS, 1)},
    "keycap_ten": "\U0001f51f",
}
"""An emoji's name → the reaction's key."""
_VARIANTS = re.compile("[\ufe0e\ufe0f]")
_NAMES = {_VARIANTS.sub("", key): name for name, key in EMOJI.items()}


def choice_of(key: str) -> str | None:
    """The name behind a reaction's key, variation selectors taken off: clients differ in them."""
    return _NAMES.get(_VARIANTS.sub("", key))


def transaction_of(*parts: str) -> str:
    """The id under which a server takes a repeat as the same request."""
    return "stockade-" + sha256("\x00".join(parts).encode()).hexdigest()[:40]


def check_card(card: Card) -> None:
    """Errors, here and below: `Rejected` before any call."""
    check_accounts(card.mentions)
    check_choices(card.choices)


def check_choices(choices: Sequence[Choice]) -> None:
    for choice in choices:
        if choice.emoji not in EMOJI:
            raise Rejected(PRODUCT, f"no emoji known by this name: {visible(choice.emoji[:60])}")


def check_accounts(accounts: Sequence[str]) -> None:
    for account in accounts:
        if not ACCOUNT.fullmatch(account):
            raise Rejected(PRODUCT, f"no user id: {visible(account[:60]) or '(empty)'}")


def room_of(ref: MessageRef) -> str:
    if not ROOM.fullmatch(ref.channel):
        raise Rejected(PRODUCT, f"no room id: {visible(ref.channel[:60]) or '(empty)'}")
    return ref.channel


def event_of(ref: MessageRef) -> str:
    if not EVENT.fullmatch(ref.id):
        raise Rejected(PRODUCT, f"no event id: {visible(ref.id[:60]) or '(empty)'}")
    return ref.id
