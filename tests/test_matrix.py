"""Matrix's client: which calls it makes, and what it makes of the answers."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
import requests
from responses import RequestsMock
from responses.matchers import query_param_matcher

from connectors.chat.matrix import Matrix
from connectors.chat.matrix_html import LEFT_OUT, card_message, minimal_card
from connectors.document import Bullets, Code, Document, Heading, Paragraph, Table
from connectors.errors import ConnectorError, NotFound, OutcomeUnknown, Rejected, Unavailable
from connectors.http import HttpSettings, Runtime
from connectors.model import Account, Answer, Card, Choice, MessageRef, Secret
from tests.fake_clock import FakeClock
from tests.strict_responses import strict_responses

__all__ = ["strict_responses"]

HOST = "https://matrix.example.test"
ROOM, EVENT, ME = "!room:example.test", "$card", "@stockade:example.test"
ALICE, BOB = "@alice:example.test", "@bob:example.test"
REF = MessageRef(channel=ROOM, id=EVENT, sha256="")
CHOICES = (
    Choice(name="approve", emoji="white_check_mark", label="Isolate"),
    Choice(name="deny", emoji="x", label="Leave it"),
)
CARD = Card(
    key="approval-1",
    fallback="Isolate WS-042?",
    body=Document((Heading("Isolate WS-042?"), Code("wmic process /format:x.xsl"))),
    choices=CHOICES,
    mentions=(ALICE,),
)
ROOMS = f"{HOST}/_matrix/client/v3/rooms/{quote(ROOM, safe='')}"
RELATIONS = f"{HOST}/_matrix/client/v1/rooms/{quote(ROOM, safe='')}/relations/{quote(EVENT)}"
SENDS = re.compile(re.escape(f"{ROOMS}/send/m.room.message/"))


def matrix() -> Matrix:
    return Matrix(
        name="soc-matrix",
        tenant="tenant-1",
        settings=HttpSettings(base_url=HOST),
        credentials={"token": Secret("syt_made_up_5ec2e75ec2e7")},
        options=Matrix.Options(room=ROOM),
        runtime=Runtime(clock=FakeClock()),
    )


def says(code: str, **more: Any) -> dict[str, Any]:
    return {"errcode": code, "error": "no", **more}


def event(content: dict[str, Any], *, sender: str = ME, **more: Any) -> dict[str, Any]:
    return {
        "type": "m.room.message",
        "event_id": EVENT,
        "sender": sender,
        "content": content,
        **more,
    }


def reaction(sender: str, key: str, **more: Any) -> dict[str, Any]:
    relation = {"rel_type": "m.annotation", "event_id": EVENT, "key": key}
    return {
        "type": "m.reaction",
        "sender": sender,
        "content": {"m.relates_to": relation},
        **more,
    }


def reading(mock: RequestsMock, card: dict[str, Any], *pages: dict[str, Any]) -> Matrix:
    """A client whose server has this event and these pages of reactions."""
    mock.get(f"{HOST}/_matrix/client/v3/account/whoami", json={"user_id": ME})
    for page in pages:
        mock.get(f"{RELATIONS}/m.annotation/m.reaction", json=page)
    mock.get(f"{ROOMS}/event/{quote(EVENT)}", json=card)
    return matrix()


# -- posting ---------------------------------------------------------------------------------------


def test_post_when_it_is_the_same_card_then_it_is_the_same_transaction(
    strict_responses: RequestsMock,
) -> None:
    for _ in range(2):
        strict_responses.put(SENDS, json={"event_id": EVENT})
    client = matrix()
    assert client.post_card(CARD) == client.post_card(CARD)
    urls = {call.request.url for call in strict_responses.calls}
    assert len(urls) == 1


def test_post_when_sent_then_it_has_its_key_and_calls_only_whom_it_names(
    strict_responses: RequestsMock,
) -> None:
    strict_responses.put(SENDS, json={"event_id": EVENT})
    ref = matrix().post_card(CARD)
    sent = json.loads(strict_responses.calls[0].request.body or "")
    assert sent["com.stockade.key"] == CARD.key
    assert sent["m.mentions"] == {"user_ids": [ALICE]}
    assert sent["msgtype"] == "m.text"
    assert ref.sha256 == matrix().card_sha256(CARD)


def test_post_when_the_body_only_names_the_room_then_nobody_is_called() -> None:
    hostile = Document((Paragraph("@room @alice:example.test come here"),))
    shown = card_message(Card(key="k", fallback="@room", body=hostile, choices=()))
    content = shown.content()
    assert content["m.mentions"] == {}
    assert "@" not in content["body"] + content["formatted_body"]


def test_post_when_refused_as_too_large_then_the_minimal_form_is_sent_once(
    strict_responses: RequestsMock,
) -> None:
    strict_responses.put(SENDS, json=says("M_TOO_LARGE"), status=413)
    strict_responses.put(SENDS, json={"event_id": EVENT})
    ref = matrix().post_card(CARD)
    assert ref.sha256 == minimal_card(CARD).sha256
    assert matrix().is_card(CARD, ref.sha256)
    first, second = (call.request.url for call in strict_responses.calls)
    assert first != second


def test_post_when_too_large_and_many_devices_then_nobody_is_asked(
    strict_responses: RequestsMock,
) -> None:
    strict_responses.put(SENDS, json=says("M_TOO_LARGE"), status=413)
    more = (*CHOICES, Choice(name="veto-1", emoji="one", label="not this one"))
    with pytest.raises(Rejected):
        matrix().post_card(Card(key="k", fallback="f", body=CARD.body, choices=more))
    assert len(strict_responses.calls) == 1


def test_post_when_the_answer_is_lost_then_unknown_and_never_sent_again(
    strict_responses: RequestsMock,
) -> None:
    strict_responses.put(SENDS, body=requests.ConnectionError("reset"))
    with pytest.raises(OutcomeUnknown):
        matrix().post_card(CARD)
    assert len(strict_responses.calls) == 1


def test_limit_when_only_the_body_tells_then_it_waits_as_told(
    strict_responses: RequestsMock,
) -> None:
    limited = says("M_LIMIT_EXCEEDED", retry_after_ms=2500)
    strict_responses.put(SENDS, json=limited, status=429)
    strict_responses.put(SENDS, json={"event_id": EVENT})
    client = matrix()
    clock = client.runtime.clock
    before = clock.monotonic()
    client.post_card(CARD)
    assert clock.monotonic() - before == pytest.approx(2.5)


@pytest.mark.parametrize("told", [None, "5", True, [], float("nan")])
def test_limit_when_the_body_tells_nonsense_then_it_waits_a_moment(
    strict_responses: RequestsMock, told: object
) -> None:
    strict_responses.put(SENDS, json=says("M_LIMIT_EXCEEDED", retry_after_ms=told), status=429)
    strict_responses.put(SENDS, json={"event_id": EVENT})
    assert matrix().post_card(CARD).id == EVENT


def test_seed_when_it_stands_there_already_then_it_is_no_fault(
    strict_responses: RequestsMock,
) -> None:
    seeds = re.compile(re.escape(f"{ROOMS}/send/m.reaction/"))
    strict_responses.put(seeds, json=says("M_DUPLICATE_ANNOTATION"), status=400)
    strict_responses.put(seeds, json={"event_id": "$r"})
    matrix().seed_choices(REF, CHOICES)
    keys = [json.loads(c.request.body or "")["m.relates_to"]["key"] for c in strict_responses.calls]
    assert keys == ["\u2705", "\u274c"]


def test_seed_when_refused_otherwise_then_it_is_a_fault(strict_responses: RequestsMock) -> None:
    seeds = re.compile(re.escape(f"{ROOMS}/send/m.reaction/"))
    strict_responses.put(seeds, json=says("M_UNKNOWN"), status=400)
    with pytest.raises(Rejected) as caught:
        matrix().seed_choices(REF, CHOICES)
    assert caught.value.code == "M_UNKNOWN"


# -- reading ---------------------------------------------------------------------------------------


def test_read_when_people_reacted_then_each_choice_once_and_not_our_own(
    strict_responses: RequestsMock,
) -> None:
    first = {
        "chunk": [
            reaction(ALICE, "\u2705\ufe0f"),
            reaction(ME, "\u2705"),
            reaction(BOB, "1\u20e3"),
            reaction(BOB, "\U0001f44d"),
        ],
        "next_batch": "more",
    }
    taken_back = {"type": "m.reaction", "sender": BOB, "content": {}}
    redacted = reaction(BOB, "\u2705", unsigned={"redacted_because": {}})
    elsewhere = reaction(BOB, "\u2705")
    elsewhere["content"]["m.relates_to"]["event_id"] = "$other"
    second = {"chunk": [taken_back, redacted, elsewhere, reaction(BOB, "\u274c")]}
    content = card_message(CARD).content()
    found = reading(strict_responses, event(content), first, second).read_card(REF)
    assert found.sha256 == matrix().card_sha256(CARD)
    assert found.answers == (
        Answer(account=ALICE, choice="white_check_mark"),
        Answer(account=BOB, choice="one"),
        Answer(account=BOB, choice="x"),
    )
    asked = [call.request.url or "" for call in strict_responses.calls]
    assert "from=more" in next(url for url in reversed(asked) if "m.annotation" in url)


def test_read_when_the_pages_do_not_end_then_unavailable(strict_responses: RequestsMock) -> None:
    strict_responses.get(f"{HOST}/_matrix/client/v3/account/whoami", json={"user_id": ME})
    strict_responses.get(
        f"{RELATIONS}/m.annotation/m.reaction", json={"chunk": [], "next_batch": "more"}
    )
    with pytest.raises(Unavailable):
        matrix().read_card(REF)


def test_read_when_our_card_was_edited_then_it_shows_something_else(
    strict_responses: RequestsMock,
) -> None:
    edit = {"event_id": "$edit", "content": {"m.new_content": {"body": "harmless"}}}
    edited = event(card_message(CARD).content(), unsigned={"m.relations": {"m.replace": edit}})
    found = reading(strict_responses, edited, {"chunk": []}).read_card(REF)
    assert not matrix().is_card(CARD, found.sha256)


def test_read_when_an_edit_does_not_say_what_it_shows_then_it_is_no_card(
    strict_responses: RequestsMock,
) -> None:
    edited = event(
        card_message(CARD).content(), unsigned={"m.relations": {"m.replace": {"event_id": "$e"}}}
    )
    found = reading(strict_responses, edited, {"chunk": []}).read_card(REF)
    assert not matrix().is_card(CARD, found.sha256)


@pytest.mark.parametrize(
    ("card", "fault"),
    [
        (event({}), NotFound),
        (event({}, unsigned={"redacted_because": {}}), NotFound),
        (event({"body": "x"}, sender=ALICE), Unavailable),
        ({**event({"body": "x"}), "type": "m.room.encrypted"}, Unavailable),
        ({**event({"body": "x"}), "event_id": "$other"}, Unavailable),
    ],
)
def test_read_when_the_card_is_gone_or_none_of_ours_then_it_raises(
    strict_responses: RequestsMock, card: dict[str, Any], fault: type[ConnectorError]
) -> None:
    with pytest.raises(fault):
        reading(strict_responses, card, {"chunk": []}).read_card(REF)


def test_update_when_it_shows_that_already_then_nothing_is_sent(
    strict_responses: RequestsMock,
) -> None:
    strict_responses.get(f"{HOST}/_matrix/client/v3/account/whoami", json={"user_id": ME})
    strict_responses.get(f"{ROOMS}/event/{quote(EVENT)}", json=event(card_message(CARD).content()))
    assert matrix().update_card(REF, CARD).sha256 == matrix().card_sha256(CARD)


def test_find_when_others_wrote_our_key_then_only_our_oldest_is_found(
    strict_responses: RequestsMock,
) -> None:
    content = {**card_message(CARD).content(), "com.stockade.key": CARD.key}
    now = int(FakeClock().now().timestamp() * 1000)
    edit = {**content, "m.relates_to": {"rel_type": "m.replace", "event_id": EVENT}}
    chunk = [
        event(edit, origin_server_ts=now - 20),
        event(content, sender=ALICE, origin_server_ts=now - 9),
        event(content, origin_server_ts=now - 5),
    ]
    chunk[0]["event_id"], chunk[1]["event_id"] = "$edit", "$theirs"
    strict_responses.get(f"{HOST}/_matrix/client/v3/account/whoami", json={"user_id": ME})
    wanted = json.dumps({"types": ["m.room.message"], "senders": [ME]})
    strict_responses.get(
        f"{ROOMS}/messages",
        json={"chunk": chunk},
        match=[query_param_matcher({"dir": "b", "filter": wanted, "limit": 100})],
    )
    assert matrix().find_message(CARD.key) == MessageRef(
        channel=ROOM, id=EVENT, sha256=matrix().card_sha256(CARD)
    )


def test_find_message_when_it_was_sent_long_ago_then_it_is_looked_for_since_then(
    strict_responses: RequestsMock,
) -> None:
    sent_at = FakeClock().now() - timedelta(days=9)
    sent_ms = int(sent_at.timestamp() * 1000)
    content = {**card_message(CARD).content(), "com.stockade.key": CARD.key}
    strict_responses.get(f"{HOST}/_matrix/client/v3/account/whoami", json={"user_id": ME})
    chunk = [event(content, origin_server_ts=sent_ms)]
    strict_responses.get(f"{ROOMS}/messages", json={"chunk": chunk})
    client = matrix()
    assert client.find_message(CARD.key) is None
    assert client.find_message(CARD.key, sent_at=sent_at) is not None


# -- people ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("account", "membership", "expected"),
    [
        (ALICE, "join", (True, True, False)),
        (ALICE, "leave", (False, True, False)),
        (ALICE, "invite", (False, True, False)),
        (ME, "join", (True, True, True)),
        ("@eve:elsewhere.test", "join", (True, False, False)),
    ],
)
def test_account_when_read_then_only_a_member_of_our_server_may_answer(
    strict_responses: RequestsMock,
    account: str,
    membership: str,
    expected: tuple[bool, bool, bool],
) -> None:
    strict_responses.get(f"{HOST}/_matrix/client/v3/account/whoami", json={"user_id": ME})
    strict_responses.get(
        f"{ROOMS}/state/m.room.member/{quote(account, safe='')}", json={"membership": membership}
    )
    active, full, bot = expected
    assert matrix().read_account(account) == Account(
        id=account, is_active=active, is_full_member=full, is_bot=bot
    )


# -- what is shown ---------------------------------------------------------------------------------


HOSTILE = [
    "<script>alert(1)</script><img src=x onerror=y>",
    '"><a href="https://evil.example.test">click</a>',
    "&lt;b&gt; &#64;room",
    "@room @alice:example.test",
    "https://evil.example.test/x www.evil.test",
    "\u2705 approved \u202e gnp.exe \x1b[2J",
    "line\nAPPROVED by lead",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_html_when_evidence_is_hostile_then_only_our_own_tags_stand(text: str) -> None:
    blocks = (Heading(text), Paragraph(text), Bullets((text,)), Table((text,), ((text,),)))
    card = Card(
        key="k",
        fallback=text,
        body=Document((*blocks, Code(text))),
        choices=(Choice(name="n", emoji="one", label=text),),
    )
    for message in (card_message(card), minimal_card(card)):
        tags = set(re.findall(r"<[^>]*>", message.formatted))
        assert tags <= {
            *("<p>", "</p>", "<strong>", "</strong>", "<ul>", "</ul>", "<li>", "</li>"),
            *("<pre>", "</pre>", "<code>", "</code>", "<br>"),
        }
        for shown in (message.body, message.formatted):
            assert "://" not in shown.replace("hxxps://evil[.]example[.]test", "")
            assert not set(shown) & set("@\u2705\u202e\x1b")
    assert [line for line in minimal_card(card).body.split("\n") if line.startswith("APPR")] == []


def test_html_when_evidence_is_huge_then_what_asks_stays_and_the_event_fits() -> None:
    huge = tuple(Paragraph('"\\\U0001d400' * 4000) for _ in range(60))
    card = Card(key="k", fallback="Isolate?", body=Document(huge), choices=CHOICES)
    message = card_message(card)
    assert len(json.dumps(message.content(), ensure_ascii=False).encode()) < 60_000
    assert LEFT_OUT in message.body
    assert message.body.startswith("Isolate?")
    assert message.body.endswith("\u274c Leave it")
