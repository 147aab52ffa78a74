"""What a reply in a Matrix thread is: a plain message of a person's own, or why not."""

from __future__ import annotations

import re
from typing import Any

import pytest
from responses import RequestsMock

from connectors.errors import Rejected, Unavailable
from connectors.model import ChatPlace, ThreadReply
from tests.strict_responses import strict_responses
from tests.test_matrix import ALICE, BOB, EVENT, HOST, ME, REF, RELATIONS, ROOM, matrix

__all__ = ["strict_responses"]

THREAD = re.compile(re.escape(f"{RELATIONS}/m.thread/m.room.message"))


def reply(text: str, sender: str = ALICE, **content: Any) -> dict[str, Any]:
    relation = {
        "rel_type": "m.thread",
        "event_id": EVENT,
        "is_falling_back": True,
        "m.in_reply_to": {"event_id": "$other"},
    }
    said = {"msgtype": "m.text", "body": text, "m.relates_to": relation, **content}
    return {"type": "m.room.message", "event_id": "$reply", "sender": sender, "content": said}


def read(mock: RequestsMock, *events: dict[str, Any]) -> list[ThreadReply]:
    mock.get(f"{HOST}/_matrix/client/v3/account/whoami", json={"user_id": ME})
    mock.get(THREAD, json={"chunk": list(events)})
    return list(matrix().read_replies(REF))


def test_read_when_people_wrote_then_oldest_first_and_ours_is_known(
    strict_responses: RequestsMock,
) -> None:
    found = read(strict_responses, reply("**deny ABCDE**", BOB), reply("hello", ME), reply("`x`"))
    assert found == [
        ThreadReply(account=ALICE, text="x"),
        ThreadReply(account=ME, text="hello", is_ours=True),
        ThreadReply(account=BOB, text="deny ABCDE"),
    ]


EDIT = {"m.relations": {"m.replace": {"event_id": "$edit", "sender": ALICE, "content": {}}}}
THREADED = {"rel_type": "m.thread", "event_id": EVENT}


@pytest.mark.parametrize(
    ("event", "why"),
    [
        ({**reply("approve ABCDE"), "unsigned": EDIT}, "edited"),
        (reply("approve ABCDE", **{"m.new_content": {"body": "approve ABCDE"}}), "edited"),
        (reply("approve ABCDE", msgtype="m.notice"), "bots"),
        (reply("approve ABCDE", msgtype="m.emote"), "plain text"),
        (reply("approve ABCDE", msgtype="m.file"), "plain text"),
        (
            reply(
                "approve ABCDE",
                **{"m.relates_to": {**THREADED, "m.in_reply_to": {"event_id": "$x"}}},
            ),
            "quotes",
        ),
        (reply("approve ABCDE", formatted_body="<del>approve ABCDE</del>"), "plain text"),
        (reply("approve ABCDE", formatted_body="<p>deny ABCDE</p>"), "plain text"),
        (
            reply("approve ABCDE", formatted_body="<blockquote>approve ABCDE</blockquote>"),
            "plain text",
        ),
    ],
)
def test_read_when_it_is_no_plain_message_then_it_has_a_fault(
    strict_responses: RequestsMock, event: dict[str, Any], why: str
) -> None:
    (found,) = read(strict_responses, event)
    assert why in str(found.fault)


@pytest.mark.parametrize(
    "shown", ["<code>approve ABCDE</code>", "<p><strong>approve</strong> ABCDE</p>"]
)
def test_read_when_it_is_code_or_bold_then_it_is_plain(
    strict_responses: RequestsMock, shown: str
) -> None:
    (found,) = read(strict_responses, reply("approve ABCDE", formatted_body=shown))
    assert found.fault is None


@pytest.mark.parametrize(
    "event",
    [
        {**reply("approve ABCDE"), "unsigned": {"redacted_because": {}}},
        reply("approve ABCDE", **{"m.relates_to": {**THREADED, "event_id": "$another"}}),
        reply("approve ABCDE", **{"m.relates_to": {"rel_type": "m.replace", "event_id": EVENT}}),
        {**reply("approve ABCDE"), "type": "m.sticker"},
        {**reply("approve ABCDE"), "sender": None},
        {**reply("approve ABCDE"), "sender": "@\ud800:example.test"},
        {},
    ],
)
def test_read_when_it_is_redacted_or_of_no_such_thread_then_it_is_not_there(
    strict_responses: RequestsMock, event: dict[str, Any]
) -> None:
    assert read(strict_responses, event) == []


def test_read_when_a_page_has_no_list_then_unavailable(strict_responses: RequestsMock) -> None:
    strict_responses.get(THREAD, json={})
    with pytest.raises(Unavailable):
        matrix().read_replies(REF)


def test_place_when_asked_then_it_names_server_room_and_account(
    strict_responses: RequestsMock,
) -> None:
    strict_responses.get(f"{HOST}/_matrix/client/v3/account/whoami", json={"user_id": ME})
    place = ChatPlace(workspace="example.test", channel=ROOM, account=ME)
    assert matrix().read_place() == place


def test_group_when_asked_for_then_there_are_none() -> None:
    with pytest.raises(Rejected):
        matrix().read_group("S0ABCDE")
