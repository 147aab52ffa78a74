"""Slack, for the contract suite."""

from __future__ import annotations

from typing import Any

from connectors.document import Code, Document, Paragraph
from connectors.errors import (
    AuthFailed,
    NotFound,
    OutcomeUnknown,
    Rejected,
    Unavailable,
)
from connectors.model import (
    Card,
    Choice,
    MessageRef,
)
from tests.contract_cases.case import Case, only
from tests.fake_product import Reply, Request, json_reply

_CHANNEL, _TS = "C0123456789", "1764072000.000100"
_REF = MessageRef(channel=_CHANNEL, id=_TS, sha256="0" * 64)
_APPROVE = Choice(name="approve", emoji="white_check_mark", label="Isolate")
_CARD = Card(
    key="run-1/isolate#ask.1",
    fallback="Isolate WS-042? Code KRTMB",
    body=Document((Paragraph("WS-042 ran wmic."), Code("wmic process list /format:x.xsl"))),
    choices=(_APPROVE,),
    mentions=("U0123456789",),
)
_SCOPES = "chat:write,reactions:read,reactions:write,users:read,channels:history"


def _message() -> dict[str, Any]:
    return {
        "type": "message",
        "user": "U0000000APP",
        "bot_id": "B0000000APP",
        "ts": _TS,
        "text": "Isolate WS-042?",
        "blocks": [
            {
                "type": "rich_text",
                "block_id": "abc",
                "elements": [
                    {"type": "rich_text_section", "elements": [{"type": "text", "text": "x"}]}
                ],
            }
        ],
        "metadata": {"event_type": "stockade_card", "event_payload": {"key": _CARD.key}},
        "reactions": [
            {"name": "white_check_mark", "users": ["U0000000APP", "U0123456789"], "count": 2}
        ],
    }


def _answer(request: Request) -> Reply:
    method = request.path.removeprefix("/api/")
    answers: dict[str, dict[str, Any]] = {
        "auth.test": {
            "user_id": "U0000000APP",
            "bot_id": "B0000000APP",
            "team_id": "T0123456789",
            "team": "example",
        },
        "chat.postMessage": {"channel": _CHANNEL, "ts": _TS, "message": _message()},
        "chat.update": {"channel": _CHANNEL, "ts": _TS, "text": "x"},
        "reactions.add": {},
        "reactions.get": {"type": "message", "channel": _CHANNEL, "message": _message()},
        "conversations.history": {
            "messages": [_message()],
            "has_more": False,
            "response_metadata": {"next_cursor": ""},
        },
        "conversations.replies": {"messages": [_message()], "has_more": False},
        "users.info": {
            "user": {
                "id": "U0123456789",
                "team_id": "T0123456789",
                "deleted": False,
                "is_bot": False,
                "is_restricted": False,
                "is_ultra_restricted": False,
                "profile": {"email": "person@example.test"},
            }
        },
    }
    if method not in answers:
        return _says("unknown_method")
    return json_reply({"ok": True, **answers[method]}, X_OAuth_Scopes=_SCOPES)


def _says(error: str, **more: Any) -> Reply:
    return json_reply({"ok": False, "error": error, **more})


CASE = Case(
    credentials={"token": "xoxb-made-up-secret-5ec2e75ec2e7"},
    options={"channel": _CHANNEL, "team": "T0123456789"},
    answer=_answer,
    reads={
        "find_message": lambda chat: chat.find_message(_CARD.key),
        "find_message in a thread": lambda chat: chat.find_message(_CARD.key, _REF),
        "read_card": lambda chat: chat.read_card(_REF),
        "read_account": lambda chat: chat.read_account("U0123456789"),
    },
    once={
        "post_card": lambda chat: chat.post_card(_CARD),
        "update_card": lambda chat: chat.update_card(_REF, _CARD),
        "seed_choices": lambda chat: chat.seed_choices(_REF, [_APPROVE]),
        "post_reply": lambda chat: chat.post_reply(_REF, "k", "Isolated.", ["U0123456789"]),
        "post_message": lambda chat: chat.post_message("k", Document((Paragraph("Hello."),))),
    },
    is_read=lambda request: request.method == "GET",
    refusal=lambda text: {"ok": False, "error": text},
    no_permission=(
        (
            lambda _request, good: Reply(
                good.status,
                good.body,
                {**good.headers, "X-OAuth-Scopes": _SCOPES.replace("users:read,", "")},
            ),
            "users:read",
        ),
        (
            only("history", _says("missing_scope", needed="groups:history")),
            "groups:history",
        ),
        (only("history", _says("not_in_channel")), "invite"),
        (only("auth.test", _says("invalid_auth")), "invalid_auth"),
    ),
    hidden_errors=(
        ("post_card", _says("fatal_error"), OutcomeUnknown),
        ("post_card", _says("not_in_channel"), Rejected),
        ("post_card", _says("a_code_of_tomorrow"), Rejected),
        ("post_card", json_reply({"channel": _CHANNEL, "ts": _TS}), OutcomeUnknown),
        ("update_card", _says("message_not_found"), NotFound),
        ("read_card", _says("message_not_found"), NotFound),
        ("read_card", _says("ratelimited"), Unavailable),
        ("read_card", json_reply({"ok": "true", "message": _message()}), Unavailable),
        ("read_account", _says("token_revoked"), AuthFailed),
        ("read_account", _says("a_code_of_tomorrow"), Rejected),
    ),
    # A post that was made twice: the one that people saw first.
    twins=(
        (
            only(
                "history",
                json_reply(
                    {"ok": True, "messages": [{**_message(), "ts": "1764072009.0001"}, _message()]}
                ),
            ),
            lambda chat: chat.find_message(_CARD.key).id,
            _TS,
        ),
    ),
    empty_selectors={
        "find_message": lambda chat: chat.find_message(""),
        "read_account": lambda chat: chat.read_account(""),
        "read_card": lambda chat: chat.read_card(MessageRef(channel="", id="", sha256="")),
        "post_message": lambda chat: chat.post_message("", Document(())),
    },
)
