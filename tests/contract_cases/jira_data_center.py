"""Jira Data Center, for the contract suite: the same calls, with the answers of REST v2."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from connectors.errors import AuthFailed, OutcomeUnknown, Unavailable
from tests.contract_cases import jira
from tests.contract_cases.case import only
from tests.fake_product import Reply, Request, json_reply


def _page(key: str, entries: list[Any]) -> dict[str, Any]:
    return {key: entries, "startAt": 0, "maxResults": 50, "total": len(entries)}


def _issue(**other: str) -> dict[str, Any]:
    issue = jira.issue()
    text = "The host is contained.\n\n&#91;stockade&#58;key&#45;1&#93;"
    fields = {**issue["fields"], "comment": _page("comments", [{"id": "1", "body": text}])}
    return {**issue, "fields": fields, **other}


def _answer(request: Request) -> Reply:
    path = request.path.removeprefix("/rest/api/2")
    said: dict[str, Any] = {
        "/myself": {"key": "JIRAUSER10100", "name": "stockade", "active": True},
        "/search": _page("issues", [_issue()]),
        f"/issue/{jira.TICKET.id}": _issue(),
    }
    if path in said:
        return json_reply(said[path])
    if path.endswith("/issuetypes"):
        return json_reply(_page("values", [{"id": "3", "name": "Task"}]))
    if path.endswith("/issuetypes/3"):
        return json_reply(_page("values", [{"fieldId": "labels"}, {"fieldId": "description"}]))
    return jira.answer_at(path, request.method == "GET")


_CAPTCHA = Reply(
    403,
    b"<html>Forbidden</html>",
    {
        "Content-Type": "text/html;charset=UTF-8",
        "X-Seraph-LoginReason": "AUTHENTICATION_DENIED",
        "X-Authentication-Denied-Reason": "CAPTCHA_CHALLENGE; login-url=https://x.test/login.jsp",
    },
)

CASE = replace(
    jira.CASE,
    credentials={"token": "made-up-personal-access-token-5ec2e75ec2e7"},
    more_secrets=(),
    options={**jira.CASE.options, "deployment": "data_center"},
    answer=_answer,
    is_read=lambda request: request.method == "GET" or request.path.endswith("/search"),
    no_permission=(
        jira.CASE.no_permission[0],
        (only("/myself", json_reply({}, 401)), "token"),
        (only("/myself", _CAPTCHA), "CAPTCHA"),
    ),
    hidden_errors=(
        ("create_ticket", json_reply({"errorMessages": ["no"], "errors": {}}, 201), OutcomeUnknown),
        ("comment_ticket", json_reply({}, 201), OutcomeUnknown),
        ("attach_file", json_reply([{"filename": "other.json"}]), OutcomeUnknown),
        ("find_ticket", json_reply({"errorMessages": ["no"]}), Unavailable),
        ("find_ticket", json_reply({"issues": []}), Unavailable),
        ("find_ticket", json_reply({"issues": [], "total": 3}), Unavailable),
        (
            "find_ticket",
            json_reply({"issues": [], "total": 0}, X_Seraph_LoginReason="AUTHENTICATED_FAILED"),
            AuthFailed,
        ),
        ("read_ticket", json_reply({"id": "10042", "fields": {}}), Unavailable),
        ("find_comment", json_reply({"fields": {}}), Unavailable),
    ),
    twins=(
        (
            only(
                "/search",
                json_reply(_page("issues", [_issue(), _issue(id="10099", key="SEC-99")])),
            ),
            lambda tickets: tickets.find_ticket("case-1").key,
            "SEC-42",
        ),
    ),
)
