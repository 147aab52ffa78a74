"""Matrix, for the contract suite."""

from __future__ import annotations

from typing import Any

from connectors.document import Code, Document, Paragraph
from connectors.errors import AuthFailed, NotFound, OutcomeUnknown, Rejected, Unavailable
from connectors.model import Card, Choice, MessageRef
from tests.contract_cases.case import Case, only
from tests.fake_product import Reply, Request, json_reply

_ROOM, _EVENT, _ME = "!room:example.test", "$card", "@stockade:example.test"
_ALICE = "@alice:example.test"
_REF = MessageRef(channel=_ROOM, id=_EVENT, sha256="0" * 64)
_APPROVE = Choice(name="approve", emoji="white_check_mark", label="Isolate")
_CARD = Card(
    key="run-1/isolate#ask.1",
    fallback="Isolate WS-042? Code KRTMB",
    body=Document((Paragraph("WS-042 ran wmic."), Code("wmic process list /format:x.xsl"))),
    choices=(_APPROVE,),
    mentions=(_ALICE,),
)
_NOW_MS = 1_893_456_000_000


def _message(event: str = _EVENT, sent: int = _NOW_MS, thread: bool = False) -> dict[str, Any]:
    relation = {"m.relates_to": {"rel_type": "m.thread", "event_id": _EVENT}} if thread else {}
    return {
        "type": "m.room.message",
        "sender": _ME,
        "event_id": event,
        "origin_server_ts": sent,
        "content": {
            "msgtype": "m.text",
            "body": "Isolate WS-042?",
            "com.stockade.key": _CARD.key,
            **relation,
        },
    }


_REACTION = {
    "type": "m.reaction",
    "sender": _ALICE,
    "event_id": "$yes",
    "content": {
        "m.relates_to": {"rel_type": "m.annotation", "event_id": _EVENT, "key": "\u2705\ufe0f"}
    },
}
_STATE: dict[str, dict[str, Any]] = {
    f"m.room.member/{_ME}": {"membership": "join"},
    f"m.room.member/{_ALICE}": {"membership": "join"},
    "m.room.power_levels/": {"users_default": 0, "events_default": 0},
    "m.room.create/": {"sender": _ALICE, "content": {"room_version": "12"}},
}


def _says(status: int, code: str) -> Reply:
    return json_reply({"errcode": code, "error": "no"}, status)


def _answer(request: Request) -> Reply:
    path = request.path.removeprefix("/_matrix/client/")
    room = f"rooms/{_ROOM}/"
    if path.startswith(f"v3/{room}send/"):
        return json_reply({"event_id": _EVENT})
    if path.startswith(f"v3/{room}state/"):
        found = _STATE.get(path.removeprefix(f"v3/{room}state/"))
        return _says(404, "M_NOT_FOUND") if found is None else json_reply(found)
    answers: dict[str, dict[str, Any]] = {
        "v3/account/whoami": {"user_id": _ME},
        f"v3/{room}event/{_EVENT}": _message(),
        f"v3/{room}messages": {"chunk": [_message()], "start": "a"},
        f"v1/{room}relations/{_EVENT}/m.annotation/m.reaction": {"chunk": [_REACTION]},
        f"v1/{room}relations/{_EVENT}/m.thread/m.room.message": {"chunk": [_message(thread=True)]},
    }
    return json_reply(answers[path]) if path in answers else _says(404, "M_UNRECOGNIZED")


CASE = Case(
    credentials={"token": "syt_made_up_secret_5ec2e75ec2e7"},
    options={"room": _ROOM},
    answer=_answer,
    reads={
        "find_message": lambda chat: chat.find_message(_CARD.key),
        "find_message in a thread": lambda chat: chat.find_message(_CARD.key, _REF),
        "read_card": lambda chat: chat.read_card(_REF),
        "read_account": lambda chat: chat.read_account(_ALICE),
    },
    once={
        "post_card": lambda chat: chat.post_card(_CARD),
        "update_card": lambda chat: chat.update_card(_REF, _CARD),
        "seed_choices": lambda chat: chat.seed_choices(_REF, [_APPROVE]),
        "post_reply": lambda chat: chat.post_reply(_REF, "k", "Isolated.", [_ALICE]),
        "post_message": lambda chat: chat.post_message("k", Document((Paragraph("Hello."),))),
    },
    is_read=lambda request: request.method == "GET",
    refusal=lambda text: {"errcode": "M_UNKNOWN", "error": text},
    no_permission=(
        (only("whoami", _says(401, "M_UNKNOWN_TOKEN")), "M_UNKNOWN_TOKEN"),
        (only(f"member/{_ME}", json_reply({"membership": "leave"})), "invite"),
        (only("m.room.tombstone/", json_reply({"replacement_room": "!new"})), "!new"),
        (only("m.room.encryption/", json_reply({"algorithm": "m.megolm"})), "encrypted"),
        (
            only("power_levels/", json_reply({"events": {"m.reaction": 50}})),
            "m.reaction needs power level 50",
        ),
    ),
    hidden_errors=(
        ("post_card", json_reply({}), OutcomeUnknown),
        ("post_card", _says(403, "M_FORBIDDEN"), AuthFailed),
        ("post_card", _says(400, "M_A_CODE_OF_TOMORROW"), Rejected),
        ("read_card", json_reply({"chunk": "x"}), Unavailable),
        ("read_card", _says(404, "M_NOT_FOUND"), NotFound),
        ("read_card", _says(404, "M_UNRECOGNIZED"), Rejected),
        ("read_card", _says(429, "M_LIMIT_EXCEEDED"), Unavailable),
        ("read_account", json_reply({}), Unavailable),
    ),
    # A post that was made twice: the one that people saw first.
    twins=(
        (
            only(
                "messages",
                json_reply({"chunk": [_message("$late", _NOW_MS + 9), _message()]}),
            ),
            lambda chat: chat.find_message(_CARD.key).id,
            _EVENT,
        ),
    ),
    empty_selectors={
        "find_message": lambda chat: chat.find_message(""),
        "read_account": lambda chat: chat.read_account(""),
        "read_card": lambda chat: chat.read_card(MessageRef(channel="", id="", sha256="")),
        "post_message": lambda chat: chat.post_message("", Document(())),
    },
)
