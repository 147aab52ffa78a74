"""Jira, for the contract suite."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from connectors.document import Document, Paragraph
from connectors.errors import (
    AuthFailed,
    OutcomeUnknown,
    Unavailable,
)
from connectors.model import (
    CaseStage,
    TicketDraft,
    TicketMove,
    TicketRef,
)
from tests.contract_cases.case import Case, only
from tests.fake_product import Reply, Request, json_reply

TICKET = TicketRef(id="10042", key="SEC-42", url="https://jira.example.test/browse/SEC-42")
_DRAFT = TicketDraft(correlation="case-1", title="WS-042", body=Document((Paragraph("Isolated."),)))
_LABEL = f"stockade-{sha256(b'case-1').hexdigest()[:16]}"


_MOVE = TicketMove(from_status="Open", to_status="Done", transition="31", is_untouched=True)


_SINCE = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
_CHANGE = {
    "id": "9",
    "created": "2026-11-25T12:00:00.000+0000",
    "items": [{"field": "status", "fromString": "Open", "toString": "Done"}],
}


def _page(key: str, entries: list[Any]) -> dict[str, Any]:
    return {key: entries, "startAt": 0, "maxResults": 50, "total": len(entries)}


def issue() -> dict[str, Any]:
    marker = {"type": "paragraph", "content": [{"type": "text", "text": "[stockade:key-1]"}]}
    comment = {"id": "1", "body": {"type": "doc", "version": 1, "content": [marker]}}
    return {
        "id": TICKET.id,
        "key": TICKET.key,
        "changelog": _page("histories", [_CHANGE]),
        "fields": {
            "status": {"name": "Open", "statusCategory": {"key": "new"}},
            "comment": _page("comments", [comment]),
            "attachment": [{"id": "7", "filename": "report.json"}],
            "labels": [_LABEL],
        },
    }


def _answer(request: Request) -> Reply:
    return answer_at(request.path.removeprefix("/rest/api/3"), request.method == "GET")


def answer_at(path: str, is_get: bool) -> Reply:
    if path.endswith("/attachments"):
        return json_reply([{"id": "7", "filename": "report.json"}])
    if path.endswith("/transitions"):
        ways = [{"id": "31", "name": "Close", "to": {"name": "Done"}, "fields": {}}]
        return json_reply({"transitions": ways}) if is_get else Reply(204)
    if path.endswith("/comment"):
        return json_reply({"id": "1"}, 201)
    if path.endswith("/issuetypes"):
        return json_reply(_page("issueTypes", [{"id": "3", "name": "Task"}]))
    if path.endswith("/issuetypes/3"):
        fields = [{"fieldId": "labels"}, {"fieldId": "description"}]
        return json_reply(_page("fields", fields))
    said: dict[str, Any] = {
        "/myself": {"accountId": "1", "active": True},
        "/mypermissions": {"permissions": {key: {"havePermission": True} for key in _NEEDS}},
        "/search/jql": {"issues": [issue()], "isLast": True},
        "/issue": {"id": TICKET.id, "key": TICKET.key},
        f"/issue/{TICKET.id}": issue(),
    }
    if path not in said:
        return json_reply(_error("no such path"), 404)
    return json_reply(said[path], 201 if path == "/issue" else 200)


_NEEDS = (
    *("BROWSE_PROJECTS", "CREATE_ISSUES", "ADD_COMMENTS", "CREATE_ATTACHMENTS"),
    "TRANSITION_ISSUES",
)


def _error(text: str) -> dict[str, Any]:
    return {"errorMessages": [text], "errors": {}}


CASE = Case(
    credentials={
        "email": "runner@jira.example.test",
        "api_token": "made-up-api-token-5ec2e75ec2e7",
    },
    more_secrets=("cnVubmVyQGppcmEuZXhhbXBsZS50ZXN0Om1hZGUtdXAtYXBpLXRva2VuLTVlYzJlNzVlYzJlNw==",),
    options={"project": "SEC", "transitions": {"closed": "Done"}},
    answer=_answer,
    reads={
        "find_ticket": lambda tickets: tickets.find_ticket("case-1"),
        "read_ticket": lambda tickets: tickets.read_ticket(TICKET),
        "plan_move": lambda tickets: tickets.plan_move(TICKET, CaseStage.CLOSED),
        "was_moved": lambda tickets: tickets.was_moved(TICKET, _MOVE, _SINCE),
        "find_comment": lambda tickets: tickets.find_comment(TICKET, "key-1"),
        "find_attachment": lambda tickets: tickets.find_attachment(TICKET, "report.json"),
    },
    once={
        "create_ticket": lambda tickets: tickets.create_ticket(_DRAFT),
        "comment_ticket": lambda tickets: tickets.comment_ticket(TICKET, "k", _DRAFT.body),
        "attach_file": lambda tickets: tickets.attach_file(TICKET, "report.json", b"{}"),
        "move_ticket": lambda tickets: tickets.move_ticket(TICKET, _MOVE),
    },
    bodyless=frozenset({"move_ticket"}),
    unread=frozenset({"move_ticket"}),
    is_read=lambda request: request.method == "GET" or request.path.endswith("/search/jql"),
    refusal=_error,
    no_permission=(
        (
            only(
                "/mypermissions",
                json_reply({"permissions": {"BROWSE_PROJECTS": {"havePermission": True}}}),
            ),
            "Create Issues",
        ),
        (only("/myself", json_reply({}, 401)), "API token"),
    ),
    hidden_errors=(
        ("create_ticket", json_reply({"errorMessages": ["no"], "errors": {}}, 201), OutcomeUnknown),
        ("comment_ticket", json_reply({}, 201), OutcomeUnknown),
        ("attach_file", json_reply([{"filename": "other.json"}]), OutcomeUnknown),
        ("find_ticket", json_reply({"errorMessages": ["no"]}), Unavailable),
        ("find_ticket", json_reply({"issues": [], "isLast": False}), Unavailable),
        (
            "find_ticket",
            json_reply({"issues": []}, X_Seraph_LoginReason="AUTHENTICATED_FAILED"),
            AuthFailed,
        ),
        ("read_ticket", json_reply({"id": "10042", "fields": {}}), Unavailable),
        ("find_comment", json_reply({"fields": {}}), Unavailable),
    ),
    # Two tickets of one key: the older one, which the search lists first.
    twins=(
        (
            only(
                "/search/jql",
                json_reply({"issues": [issue(), {**issue(), "id": "10099", "key": "SEC-99"}]}),
            ),
            lambda tickets: tickets.find_ticket("case-1").key,
            "SEC-42",
        ),
    ),
    empty_selectors={
        "find_ticket": lambda tickets: tickets.find_ticket(""),
        "read_ticket": lambda tickets: tickets.read_ticket(TicketRef(id="", key="", url="")),
        "comment_ticket": lambda tickets: tickets.comment_ticket(
            TicketRef(id="", key="", url=""), "k", _DRAFT.body
        ),
        "attach_file": lambda tickets: tickets.attach_file(TICKET, "", b""),
        "create_ticket": lambda tickets: tickets.create_ticket(
            TicketDraft(correlation="", title="x", body=_DRAFT.body)
        ),
        "comment_ticket without a key": lambda tickets: tickets.comment_ticket(
            TICKET, "", _DRAFT.body
        ),
        "find_comment": lambda tickets: tickets.find_comment(TICKET, ""),
    },
)
