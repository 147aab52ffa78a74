"""A card's life against the Slack stand-in, which Slack's own client has judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from connectors.chat.slack import Slack
from connectors.document import Bullets, Code, Document, Heading, Paragraph, Table
from connectors.emulators.slack import Slack as SlackStandIn
from connectors.emulators.slack_workspace import CHANNEL, OTHER_CHANNEL
from connectors.errors import NotFound
from connectors.http import HttpSettings, Runtime
from connectors.model import Answer, Card, Choice, MessageRef, Secret
from tests.fake_clock import FakeClock
from tests.test_slack_shown import HOSTILE

LEAD, SECOND = "U0RESPONDA", "U0RESPONDB"
CHOICES = (
    Choice(name="approve", emoji="white_check_mark", label="Isolate"),
    Choice(name="deny", emoji="x", label="Leave it"),
)


@dataclass
class Room:
    chat: Slack
    product: SlackStandIn
    clock: FakeClock


@pytest.fixture
def room() -> Iterator[Room]:
    clock = FakeClock()
    product = SlackStandIn(clock)
    product.start()
    try:
        yield Room(client(product, clock, CHANNEL), product, clock)
    finally:
        product.stop()


def client(product: SlackStandIn, clock: FakeClock, channel: str) -> Slack:
    return Slack(
        name="soc-slack",
        tenant="tenant-1",
        settings=HttpSettings(base_url=product.base_url),
        credentials={"token": Secret(product.credentials["token"])},
        options=Slack.Options(channel=channel),
        runtime=Runtime(clock=clock, emulated=True),
    )


def card(text: str = "WS-042") -> Card:
    table = Table(("host", "user"), ((text, text),))
    body = (Heading(text), Paragraph(text), Bullets((text, text)), table, Code(text))
    return Card(
        key="run-1/ask.1",
        fallback=text,
        body=Document(body),
        choices=CHOICES,
        mentions=(LEAD,),
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_card_when_posted_and_read_then_unedited_whatever_it_shows(room: Room, text: str) -> None:
    ref = room.chat.post_card(card(text))
    assert room.chat.read_card(ref).sha256 == ref.sha256 == room.chat.card_sha256(card(text))


def test_card_when_lived_through_then_found_answered_updated_and_gone(room: Room) -> None:
    chat, product = room.chat, room.product
    assert chat.find_message("run-1/ask.1") is None
    ref = chat.post_card(card())
    chat.seed_choices(ref, CHOICES)
    chat.seed_choices(ref, CHOICES)
    assert chat.read_card(ref).answers == ()
    product.react(LEAD, CHANNEL, ref.id, "white_check_mark::skin-tone-3")
    product.react(SECOND, CHANNEL, ref.id, "x")
    assert set(chat.read_card(ref).answers) == {
        Answer(account=LEAD, choice="white_check_mark"),
        Answer(account=SECOND, choice="x"),
    }
    product.say(LEAD, CHANNEL, "looking at it", ref.id)
    reply = chat.post_reply(ref, "run-1/reply", "Denied by one person.", [SECOND])
    assert chat.find_message("run-1/reply", ref) == reply
    assert chat.find_message("run-1/ask.1") == ref
    locked = replace(card("Denied."), locked=True)
    updated = chat.update_card(ref, locked)
    assert (updated.id, updated.sha256) == (ref.id, chat.card_sha256(locked))
    assert chat.read_card(ref).sha256 == updated.sha256
    assert chat.find_message("run-1/ask.1") == updated
    product.delete(CHANNEL, ref.id)
    with pytest.raises(NotFound):
        chat.read_card(ref)


def test_card_when_edited_at_slack_then_reads_back_differently(room: Room) -> None:
    ref = room.chat.post_card(card())
    room.product.edit(CHANNEL, ref.id, "Isolate SRV-9?")
    assert room.chat.read_card(ref).sha256 != ref.sha256


def test_message_when_posted_then_found_again(room: Room) -> None:
    ref = room.chat.post_message("note-1", Document((Paragraph("Blind since noon."),)))
    assert room.chat.find_message("note-1") == ref
    assert room.chat.find_message("note-2") is None


def test_account_when_read_then_people_and_our_app_are_told_apart(room: Room) -> None:
    person = room.chat.read_account(LEAD)
    assert (person.is_active, person.is_full_member, person.is_bot) == (True, True, False)
    assert room.chat.read_account("U0STOCKADE").is_bot
    with pytest.raises(NotFound):
        room.chat.read_account("U0NOBODY00")


def test_check_when_the_app_is_not_in_the_channel_then_says_so(room: Room) -> None:
    assert all(result.ok for result in room.chat.check())
    elsewhere = client(room.product, room.clock, OTHER_CHANNEL)
    assert ["invite" in str(r.mend) for r in elsewhere.check() if not r.ok] == [True]


def test_card_when_its_reference_is_of_another_channel_then_not_found(room: Room) -> None:
    ref = room.chat.post_card(card())
    with pytest.raises(NotFound):
        room.chat.read_card(MessageRef(channel="C0NOWHERE", id=ref.id, sha256=""))
