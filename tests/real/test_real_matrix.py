"""The Matrix connector against a real Synapse, with people who have clients of their own."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from connectors.chat.matrix import Matrix
from connectors.document import Code, Document, Heading, Paragraph
from connectors.errors import AuthFailed, NotFound, OutcomeUnknown, Unavailable
from connectors.http import HttpSettings, Runtime
from connectors.model import Answer, Card, Choice, Secret
from runner.journal.records import ApprovalState
from runner.service import CARDS_EVERY_S
from tests.acting import Acting, wait_for
from tests.fake_clock import FakeClock
from tests.real.bindings import with_matrix
from tests.real.synapse_server import SynapseServer, User
from tests.world import running_world
from tests.world_settings import HOST

YES, NO = "\u2705", "\u274c"
CHOICES = (
    Choice(name="approve", emoji="white_check_mark", label="yes, do it"),
    Choice(name="deny", emoji="x", label="no"),
    Choice(name="veto-1", emoji="one", label="not this one"),
)


@dataclass(frozen=True)
class Site:
    """One room with two responders and the bot, which has no power of its own there."""

    server: SynapseServer
    lead: User
    alice: User
    bot: User
    room: str

    @property
    def chat(self) -> Matrix:
        return client(self.bot, self.room)

    def card(self, **more: Any) -> Card:
        parts: dict[str, Any] = {
            "key": f"approval-of-{self.room}",
            "fallback": "ISOLATE WS-042? by 12:30 UTC",
            "body": Document((Heading("ISOLATE WS-042? by 12:30 UTC"), Code("wmic /format:x.xsl"))),
            "choices": CHOICES,
        }
        return Card(**{**parts, **more})


@pytest.fixture
def site(synapse_server: SynapseServer) -> Site:
    server = synapse_server
    lead, alice, bot = server.user("lead"), server.user("alice"), server.user("stockade")
    return Site(server, lead, alice, bot, lead.create_room([alice, bot]))


def client(bot: User, room: str, transport: Callable[[], HTTPAdapter] | None = None) -> Matrix:
    return Matrix(
        name="soc-matrix",
        tenant="tenant-1",
        settings=HttpSettings(base_url=bot.base_url),
        credentials={"token": Secret(bot.token)},
        options=Matrix.Options(room=room),
        runtime=Runtime(clock=FakeClock(datetime.now(UTC)), emulated=True, transport=transport),
    )


def missing_of(chat: Matrix) -> list[str]:
    return [f"{result.what}: {result.mend}" for result in chat.check() if not result.ok]


# -- permissions -----------------------------------------------------------------------------------


def test_check_when_all_is_granted_then_all_is_ok(site: Site) -> None:
    assert missing_of(site.chat) == []
    assert len(site.chat.check()) == 6


def test_check_when_the_bot_made_the_room_itself_then_all_is_ok(site: Site) -> None:
    assert missing_of(client(site.bot, site.bot.create_room([site.alice]))) == []


@pytest.mark.parametrize("version", ["11", "12"])
@pytest.mark.parametrize("kind", ["m.room.message", "m.reaction"])
def test_check_when_a_power_is_missing_then_it_is_named_and_really_missing(
    site: Site, kind: str, version: str
) -> None:
    levels = {"events": {kind: 50}}
    room = site.lead.create_room(
        [site.bot], power_level_content_override=levels, room_version=version
    )
    (said,) = missing_of(client(site.bot, room))
    assert f"{kind} needs power level 50, and {site.bot.id} has 0" in said
    with pytest.raises(AuthFailed):
        ask(client(site.bot, room), site.card())


def ask(chat: Matrix, card: Card) -> None:
    chat.seed_choices(chat.post_card(card), CHOICES)


def test_check_when_the_room_is_encrypted_then_it_is_refused(site: Site) -> None:
    algorithm = {"algorithm": "m.megolm.v1.aes-sha2"}
    state = [{"type": "m.room.encryption", "state_key": "", "content": algorithm}]
    room = site.lead.create_room([site.bot], initial_state=state)
    (said,) = missing_of(client(site.bot, room))
    assert said.startswith("the room is not encrypted: encryption cannot be turned off again")


def test_check_when_the_room_was_upgraded_then_the_new_one_is_named(site: Site) -> None:
    new = site.lead.in_room("POST", site.room, "upgrade", {"new_version": "12"})
    said = missing_of(site.chat)
    assert f"name the room that replaced it: {new['replacement_room']}" in said[0]


def test_check_when_the_bot_is_outside_then_it_is_named(site: Site) -> None:
    (said,) = missing_of(client(site.bot, site.lead.create_room([])))
    assert f"invite {site.bot.id} to the room, and let it join" in said


def test_check_when_the_token_is_wrong_then_it_is_said(site: Site) -> None:
    stranger = User(site.bot.base_url, site.bot.id, "syt_made_up")
    (said,) = missing_of(client(stranger, site.room))
    assert "M_UNKNOWN_TOKEN" in said
    assert "syt_made_up" not in said


# -- a card's life ---------------------------------------------------------------------------------


def test_card_when_posted_then_found_by_its_key_and_read_back_as_sent(site: Site) -> None:
    card = site.card(mentions=(site.alice.id,))
    ref = site.chat.post_card(card)
    assert site.chat.find_message(card.key) == ref
    assert site.chat.find_message("another") is None
    reading = site.chat.read_card(ref)
    assert reading.sha256 == ref.sha256 == site.chat.card_sha256(card)
    assert reading.answers == ()


def test_card_when_posted_twice_under_its_key_then_the_server_takes_it_once(site: Site) -> None:
    first, second = site.chat.post_card(site.card()), site.chat.post_card(site.card())
    assert first == second


class Losing(HTTPAdapter):
    """Delivers each request that writes, and loses its answer."""

    def send(self, request: requests.PreparedRequest, *args: Any, **named: Any) -> Any:
        answer = super().send(request, *args, **named)
        if request.method == "PUT":
            answer.close()
            raise requests.ConnectionError("lost")
        return answer


def test_card_when_the_answer_is_lost_then_it_is_found_and_taken_once(site: Site) -> None:
    losing = client(site.bot, site.room, Losing)
    with pytest.raises(OutcomeUnknown):
        losing.post_card(site.card())
    found = site.chat.find_message(site.card().key)
    assert found is not None
    assert site.chat.is_card(site.card(), found.sha256)
    assert site.chat.post_card(site.card()) == found
    with pytest.raises(OutcomeUnknown):
        losing.post_reply(found, "reply-1", "Still open.")
    assert site.chat.find_message("reply-1", found) is not None


def test_answers_when_a_person_reacts_then_counted_until_taken_back(site: Site) -> None:
    ref = site.chat.post_card(site.card())
    site.chat.seed_choices(ref, CHOICES)
    client(site.bot, site.room).seed_choices(ref, CHOICES)
    assert site.chat.read_card(ref).answers == ()
    yes = site.alice.react(site.room, ref.id, YES)
    variant = site.alice.react(site.room, ref.id, f"{YES}\ufe0f")
    site.lead.react(site.room, ref.id, "1\ufe0f\u20e3")
    assert set(site.chat.read_card(ref).answers) == {
        Answer(account=site.alice.id, choice="white_check_mark"),
        Answer(account=site.lead.id, choice="one"),
    }
    site.alice.redact(site.room, yes)
    site.alice.redact(site.room, variant)
    assert site.chat.read_card(ref).answers == (Answer(account=site.lead.id, choice="one"),)


def test_answers_when_there_is_more_than_a_page_then_the_oldest_no_is_read(site: Site) -> None:
    ref = site.chat.post_card(site.card())
    site.lead.react(site.room, ref.id, NO)
    for number in range(110):
        site.alice.react(site.room, ref.id, f"key {number}")
    site.alice.react(site.room, ref.id, YES)
    assert set(site.chat.read_card(ref).answers) == {
        Answer(account=site.lead.id, choice="x"),
        Answer(account=site.alice.id, choice="white_check_mark"),
    }


def written(user: User, room: str, card: str, text: str, **more: Any) -> str:
    """A message in the card's thread, as clients write it."""
    relation = {
        "rel_type": "m.thread",
        "event_id": card,
        "is_falling_back": True,
        "m.in_reply_to": {"event_id": card},
    }
    content = {"msgtype": "m.text", "body": text, "m.relates_to": relation, **more}
    return user.send(room, "m.room.message", content)


def test_replies_when_people_write_in_the_thread_then_only_plain_ones_have_no_fault(
    site: Site,
) -> None:
    ref = site.chat.post_card(site.card())
    site.chat.post_reply(ref, "reply-1", "Still open.")
    written(site.alice, site.room, ref.id, "approve BCDFG")
    changed = written(site.lead, site.room, ref.id, "deny BCDFG")
    edit = {**edit_of(changed), "m.new_content": {"msgtype": "m.text", "body": "approve BCDFG"}}
    site.lead.send(site.room, "m.room.message", edit)
    gone = written(site.alice, site.room, ref.id, "deny BCDFG")
    site.alice.redact(site.room, gone)
    written(site.lead, site.room, ref.id, "approve BCDFG", msgtype="m.notice")
    site.alice.send(site.room, "m.room.message", {"msgtype": "m.text", "body": "approve BCDFG"})
    found = site.chat.read_replies(ref)
    assert [(one.account, one.text, one.fault is None) for one in found if not one.is_ours] == [
        (site.alice.id, "approve BCDFG", True),
        (site.lead.id, "deny BCDFG", False),
        (site.lead.id, "approve BCDFG", False),
    ]
    assert [one.is_ours for one in found].count(True) == 1
    assert "edited" in str(found[2].fault)


def test_replies_when_there_is_more_than_a_page_then_the_oldest_is_read(site: Site) -> None:
    ref = site.chat.post_card(site.card())
    written(site.lead, site.room, ref.id, "deny BCDFG")
    for number in range(110):
        written(site.alice, site.room, ref.id, f"talk {number}")
    assert site.chat.read_replies(ref)[0].text == "deny BCDFG"


def test_place_when_asked_then_it_is_the_servers_own_answer(site: Site) -> None:
    place = site.chat.read_place()
    assert (place.workspace, place.channel, place.account) == (
        "example.test",
        site.room,
        site.bot.id,
    )


def test_edit_when_anybody_else_sends_it_then_the_card_is_as_it_was(site: Site) -> None:
    ref = site.chat.post_card(site.card())
    site.alice.send(site.room, "m.room.message", edit_of(ref.id))
    assert site.chat.read_card(ref).sha256 == ref.sha256


def test_edit_when_made_under_our_name_then_the_card_is_none(site: Site) -> None:
    ref = site.chat.post_card(site.card())
    edit = site.bot.send(site.room, "m.room.message", edit_of(ref.id))
    assert not site.chat.is_card(site.card(), site.chat.read_card(ref).sha256)
    found = site.chat.find_message(site.card().key)
    assert found is not None
    assert (found.id, site.chat.is_card(site.card(), found.sha256)) == (ref.id, False)
    site.bot.redact(site.room, edit)
    assert site.chat.read_card(ref).sha256 == ref.sha256


def edit_of(event: str) -> dict[str, Any]:
    return {
        "msgtype": "m.text",
        "body": "* Isolate nothing?",
        "m.new_content": {"msgtype": "m.text", "body": "Isolate nothing?"},
        "m.relates_to": {"rel_type": "m.replace", "event_id": event},
    }


def test_update_when_locked_and_shown_again_then_it_reads_back_as_last_shown(site: Site) -> None:
    card = site.card()
    locked = site.card(fallback="DENIED by alice", choices=(), locked=True)
    ref = site.chat.post_card(card)
    for shown in (locked, locked, card, locked):
        updated = site.chat.update_card(ref, shown)
        assert updated.id == ref.id
        assert site.chat.read_card(ref).sha256 == updated.sha256 == site.chat.card_sha256(shown)


def test_card_when_deleted_then_not_found(site: Site) -> None:
    ref = site.chat.post_card(site.card())
    site.lead.redact(site.room, ref.id)
    with pytest.raises(NotFound):
        site.chat.read_card(ref)
    assert site.chat.find_message(site.card().key) is None


def test_card_when_it_is_as_large_as_it_gets_then_the_server_takes_it_and_its_edit(
    site: Site,
) -> None:
    huge = Document(tuple(Code('"\\<&\U0001d400' * 3000) for _ in range(60)))
    ref = site.chat.post_card(site.card(body=huge))
    assert ref.sha256 == site.chat.card_sha256(site.card(body=huge))
    locked = site.card(body=huge, fallback="EXPIRED", locked=True)
    site.chat.update_card(ref, locked)
    assert site.chat.read_card(ref).sha256 == site.chat.card_sha256(locked)


def test_thread_when_replied_then_found_there_and_nowhere_else(site: Site) -> None:
    ref = site.chat.post_card(site.card())
    reply = site.chat.post_reply(ref, "reply-1", "Still open.", [site.alice.id])
    assert site.chat.find_message("reply-1", ref) == reply
    assert site.chat.find_message("reply-1") is None
    assert site.chat.find_message("reply-2", ref) is None
    forged = {"msgtype": "m.text", "body": "x", "com.stockade.key": "reply-2"}
    thread = {"rel_type": "m.thread", "event_id": ref.id}
    site.alice.send(site.room, "m.room.message", {**forged, "m.relates_to": thread})
    assert site.chat.find_message("reply-2", ref) is None


def test_mentions_when_evidence_names_people_then_only_who_is_meant_is_called(site: Site) -> None:
    text = f"@room {site.lead.id} {site.lead.id[1:].partition(':')[0]}"
    evidence = Document((Paragraph(text), Code(text)))
    site.chat.post_card(site.card(fallback=text, body=evidence, mentions=(site.alice.id,)))
    site.chat.post_message("message-1", evidence)
    assert site.alice.highlights(site.room) == 1
    assert site.lead.highlights(site.room) == 0
    # The same words from a client that says nothing of mentions do call the lead.
    site.alice.send(site.room, "m.room.message", {"msgtype": "m.text", "body": text})
    assert site.lead.highlights(site.room) == 1


# -- people ----------------------------------------------------------------------------------------


def test_account_when_no_member_then_it_cannot_react_and_may_not_answer(site: Site) -> None:
    outsider = site.server.user("outsider")
    ref = site.chat.post_card(site.card())
    with pytest.raises(requests.HTTPError):
        outsider.react(site.room, ref.id, YES)
    with pytest.raises(NotFound):
        site.chat.read_account(outsider.id)


def test_account_when_read_then_only_a_member_is_active(site: Site) -> None:
    alice = site.chat.read_account(site.alice.id)
    assert (alice.is_active, alice.is_full_member, alice.is_bot) == (True, True, False)
    assert site.chat.read_account(site.bot.id).is_bot
    site.alice.in_room("POST", site.room, "leave", {})
    assert not site.chat.read_account(site.alice.id).is_active


def test_account_when_deactivated_after_its_yes_then_it_may_not_answer(site: Site) -> None:
    ref = site.chat.post_card(site.card())
    site.alice.react(site.room, ref.id, YES)
    site.server.deactivate(site.alice)
    until = time.monotonic() + 20
    while site.chat.read_account(site.alice.id).is_active and time.monotonic() < until:
        time.sleep(0.1)
    assert not site.chat.read_account(site.alice.id).is_active


# -- limits ----------------------------------------------------------------------------------------


def test_limit_when_synapse_says_429_then_nothing_happened_and_the_wait_is_told(
    site: Site,
) -> None:
    site.server.limit(site.bot)
    body = Document((Paragraph("Hello."),))
    with suppress(Unavailable):  # what it may still send, it has sent
        site.chat.post_message("message-1", body)
    with pytest.raises(Unavailable) as caught:
        site.chat.post_message("message-2", body)
    assert caught.value.status == 429
    assert caught.value.retry_after_s is not None
    assert 0 < caught.value.retry_after_s <= 60
    assert site.chat.find_message("message-2") is None
    site.server.unlimit(site.bot)
    assert site.chat.post_message("message-2", body) == site.chat.find_message("message-2")


# -- a whole case ----------------------------------------------------------------------------------


def bound(site: Site, folder: Path) -> dict[str, Any]:
    """A configuration's changes under which this room is the chat."""
    return with_matrix(folder, site.bot, site.room, site.lead, site.alice)


@pytest.mark.parametrize("answer", [YES, NO])
def test_case_when_matrix_is_the_chat_then_a_person_there_decides(
    site: Site, tmp_path: Path, answer: str
) -> None:
    stranger = site.server.user("member")
    site.lead.in_room("POST", site.room, "invite", {"user_id": stranger.id})
    stranger.join(site.room)
    with running_world(tmp_path, bound(site, tmp_path)) as world:
        world.arm()
        world.hit()
        world.tick()
        question = world.question()
        assert question.message is not None
        assert site.lead.highlights(site.room) == 1
        stranger.react(site.room, question.message.id, YES)
        world.ticks(2, 10)
        assert world.again(question).state is ApprovalState.OPEN
        assert world.contains() == []
        site.lead.react(site.room, question.message.id, answer)
        world.ticks(2, 10)
        decided = world.again(question)
        is_yes = answer == YES
        assert decided.state is (ApprovalState.APPROVED if is_yes else ApprovalState.DENIED)
        assert decided.decided_by == ("responder-a",)
        assert world.contains() == ([HOST] if is_yes else [])
        assert world.slack.messages() == []
        thread = said_in_thread(site, question.message.id)
        assert any("does not count: you are not on the list" in text for text in thread)
        assert any(text.startswith(decided.state.name) for text in thread)
        shown = site.chat.read_card(question.message)
        assert shown.sha256 != question.message.sha256


def said_in_thread(site: Site, event: str) -> list[str]:
    path = f"/_matrix/client/v1/rooms/{site.room}/relations/{event}/m.thread"
    return [found["content"]["body"] for found in site.lead.do("GET", path)["chunk"]]


def test_serve_when_somebody_answers_then_it_is_heard_before_the_next_look(
    site: Site, tmp_path: Path
) -> None:
    with running_world(tmp_path, bound(site, tmp_path)) as world:
        world.arm()
        world.hit()
        world.tick()
        question = world.question()
        acting = Acting(world)
        due_at: list[datetime] = []

        def answer_after_a_look() -> bool:
            since_s = world.clock.monotonic() - (world.service._cards_read_at or 0)
            if not 1.6 <= since_s <= 2.0 or not world.service.hearing.is_listening():
                return False
            site.lead.react(site.room, world.message_id(question), YES)
            wait_for(world.service.hearing.is_any)
            due_at.append(world.clock.now() + timedelta(seconds=CARDS_EVERY_S - since_s))
            return True

        acting.then(answer_after_a_look)
        acting.then(lambda: world.again(question).state is ApprovalState.APPROVED)
        acting.run()
        decided = world.again(question)
        assert decided.decided_by == ("responder-a",)
        assert decided.decided_at is not None
        assert decided.decided_at < due_at[0], "the next regular look was still to come"
        assert world.contains() == [HOST]
