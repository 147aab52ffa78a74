"""What the contract suite must know of each connector: its fake product and how it is called.

One entry a connector. It holds a product that answers well, the calls of its role, which requests
are reads, and how that product says no. The suite does the rest; without an entry it fails with a
sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from connectors.document import Code, Document, Paragraph
from connectors.errors import (
    AuthFailed,
    ConnectorError,
    NotFound,
    OutcomeUnknown,
    Rejected,
    Unavailable,
)
from connectors.model import (
    Card,
    Choice,
    EventQuery,
    MessageRef,
    Operator,
    SavedSearch,
    SearchJob,
    Term,
    TicketDraft,
    TicketRef,
    Window,
)
from tests.fake_product import Answer, Fault, Reply, Request, json_reply

Call = Callable[[Any], object]


def _never(_request: Request) -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
class Case:
    """`once`: calls whose request is never repeated when its answer was lost; `reads`: the others.
    `told`: what a call does with a status that the product means otherwise than the rule says: an
    error class, or None for an ordinary answer. `bodyless`: calls that no body is due for.
    `waits_on_503`: the calls that wait as a 503 tells (None: all); a product may mean something of
    its own by it. `no_permission`: a fault, and the word that `check` must then say."""

    credentials: Mapping[str, str]
    answer: Answer
    reads: Mapping[str, Call]
    once: Mapping[str, Call]
    is_read: Callable[[Request], bool]
    refusal: Callable[[str], Any]
    no_permission: Sequence[tuple[Fault, str]]
    hidden_errors: Sequence[tuple[str, Reply, type[ConnectorError]]]
    empty_selectors: Mapping[str, Call]
    options: Mapping[str, Any] = field(default_factory=dict)
    more_secrets: tuple[str, ...] = ()
    is_session: Callable[[Request], bool] = _never
    told: Mapping[tuple[str, int], type[ConnectorError] | None] = field(default_factory=dict)
    bodyless: frozenset[str] = frozenset()
    says_otherwise: frozenset[str] = frozenset()
    waits_on_503: frozenset[str] | None = None

    def calls(self) -> dict[str, Call]:
        return {**self.reads, **self.once}


# -- Slack -----------------------------------------------------------------------------------------

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


def _slack_message() -> dict[str, Any]:
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


def _slack_answer(request: Request) -> Reply:
    method = request.path.removeprefix("/api/")
    answers: dict[str, dict[str, Any]] = {
        "auth.test": {
            "user_id": "U0000000APP",
            "bot_id": "B0000000APP",
            "team_id": "T0123456789",
            "team": "example",
        },
        "chat.postMessage": {"channel": _CHANNEL, "ts": _TS, "message": _slack_message()},
        "chat.update": {"channel": _CHANNEL, "ts": _TS, "text": "x"},
        "reactions.add": {},
        "reactions.get": {"type": "message", "channel": _CHANNEL, "message": _slack_message()},
        "conversations.history": {
            "messages": [_slack_message()],
            "has_more": False,
            "response_metadata": {"next_cursor": ""},
        },
        "conversations.replies": {"messages": [_slack_message()], "has_more": False},
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
        return _slack_says("unknown_method")
    return json_reply({"ok": True, **answers[method]}, X_OAuth_Scopes=_SCOPES)


def _slack_says(error: str, **more: Any) -> Reply:
    return json_reply({"ok": False, "error": error, **more})


def _only(path: str, reply: Reply) -> Fault:
    """Answer one path with this reply, the others well."""
    return lambda request, good: reply if request.path.endswith(path) else good


SLACK = Case(
    credentials={"token": "xoxb-made-up-secret"},
    options={"channel": _CHANNEL, "team": "T0123456789"},
    answer=_slack_answer,
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
            _only("history", _slack_says("missing_scope", needed="groups:history")),
            "groups:history",
        ),
        (_only("history", _slack_says("not_in_channel")), "invite"),
        (_only("auth.test", _slack_says("invalid_auth")), "invalid_auth"),
    ),
    hidden_errors=(
        ("post_card", _slack_says("fatal_error"), OutcomeUnknown),
        ("post_card", _slack_says("not_in_channel"), Rejected),
        ("post_card", _slack_says("a_code_of_tomorrow"), Rejected),
        ("post_card", json_reply({"channel": _CHANNEL, "ts": _TS}), OutcomeUnknown),
        ("update_card", _slack_says("message_not_found"), NotFound),
        ("read_card", _slack_says("message_not_found"), NotFound),
        ("read_card", _slack_says("ratelimited"), Unavailable),
        ("read_card", json_reply({"ok": "true", "message": _slack_message()}), Unavailable),
        ("read_account", _slack_says("token_revoked"), AuthFailed),
        ("read_account", _slack_says("a_code_of_tomorrow"), Rejected),
    ),
    empty_selectors={
        "find_message": lambda chat: chat.find_message(""),
        "read_account": lambda chat: chat.read_account(""),
        "read_card": lambda chat: chat.read_card(MessageRef(channel="", id="", sha256="")),
        "post_message": lambda chat: chat.post_message("", Document(())),
    },
)


# -- Falcon ----------------------------------------------------------------------------------------

_DEVICE = "0123456789abcdef0123456789abcdef"


def _falcon_said(resources: list[Any], **meta: Any) -> dict[str, Any]:
    return {"meta": {"trace_id": "t", **meta}, "resources": resources, "errors": []}


def _falcon_answer(request: Request) -> Reply:
    match request.path:
        case "/oauth2/token":
            token = {"access_token": "made-up-session-token", "expires_in": 1799}
            return json_reply({**token, "token_type": "bearer"}, 201)
        case "/devices/queries/devices/v1":
            page = {"total": 1, "offset": 0, "limit": 500}
            return json_reply(_falcon_said([_DEVICE], pagination=page))
        case "/devices/entities/devices/v2":
            record = {
                "device_id": _DEVICE,
                "cid": "0" * 32,
                "hostname": "WS-042",
                "machine_domain": "corp.example.test",
                "product_type_desc": "Workstation",
                "platform_name": "Windows",
                "status": "normal",
                "last_seen": "2026-11-25T11:59:00Z",
                "local_ip": "192.0.2.42",
                "tags": ["FalconGroupingTags/lab"],
            }
            return json_reply(_falcon_said([record]))
        case "/devices/entities/devices-actions/v2":
            if request.json["ids"] != [_DEVICE]:
                return json_reply(_falcon_error(404, "no such device"), 404)
            return json_reply(_falcon_said([{"id": _DEVICE, "path": "/x"}]), 202)
    return json_reply(_falcon_error(404, "no such path"), 404)


def _falcon_error(code: int, text: str) -> dict[str, Any]:
    return {"meta": {}, "resources": [], "errors": [{"code": code, "message": text}]}


_FALCON_DENIES = json_reply(_falcon_error(403, "denied"), 403)

FALCON = Case(
    credentials={"client_id": "made-up-client-id", "client_secret": "made-up-client-secret"},
    answer=_falcon_answer,
    reads={
        "find_devices": lambda edr: edr.find_devices(hostname="WS-042"),
        "find_devices by id": lambda edr: edr.find_devices(device_id=_DEVICE),
        "read_device": lambda edr: edr.read_device(_DEVICE),
        "count_devices": lambda edr: edr.count_devices("WS-*"),
    },
    once={
        "isolate_host": lambda edr: edr.isolate_host(_DEVICE, "case 1"),
        "release_host": lambda edr: edr.release_host(_DEVICE, "case 1"),
    },
    is_read=lambda request: (
        request.method == "GET" or request.path in ("/devices/entities/devices/v2",)
    ),
    is_session=lambda request: request.path == "/oauth2/token",
    refusal=lambda text: {"errors": [{"code": 400, "message": text}], "resources": []},
    no_permission=(
        (_only("/queries/devices/v1", _FALCON_DENIES), "Hosts: Read"),
        (_only("-actions/v2", _FALCON_DENIES), "Hosts: Write"),
        (_only("/oauth2/token", json_reply(_falcon_error(401, "access denied"), 401)), "denied"),
    ),
    hidden_errors=(
        ("isolate_host", json_reply(_falcon_error(409, "already contained"), 202), Rejected),
        ("isolate_host", json_reply(_falcon_error(500, "broken"), 202), OutcomeUnknown),
        ("isolate_host", json_reply(_falcon_said([]), 202), OutcomeUnknown),
        ("release_host", json_reply(_falcon_said([{"id": "f" * 32}]), 202), OutcomeUnknown),
        ("find_devices", json_reply(_falcon_error(403, "denied")), AuthFailed),
        ("find_devices", json_reply(_falcon_error(500, "broken")), Unavailable),
        ("read_device", json_reply(_falcon_said([])), NotFound),
        ("count_devices", json_reply(_falcon_error(500, "broken")), Unavailable),
    ),
    empty_selectors={
        "find_devices": lambda edr: edr.find_devices(hostname=""),
        "find_devices by nothing": lambda edr: edr.find_devices(),
        "read_device": lambda edr: edr.read_device(""),
        "isolate_host": lambda edr: edr.isolate_host("", "case 1"),
        "release_host": lambda edr: edr.release_host("", "case 1"),
    },
    told={
        # An id that Falcon does not know is an ordinary answer of a search: nobody has it.
        ("find_devices by id", 404): None,
    },
    # An empty 202 is taken as "accepted"; that it holds is read from the device afterwards.
    bodyless=frozenset({"isolate_host", "release_host"}),
)


# -- Splunk ----------------------------------------------------------------------------------------

_JOB = SearchJob(sid="scheduler__nobody__search__1", started_at=datetime(2026, 11, 25, tzinfo=UTC))
_WINDOW = Window(start=1764068400, end=1764072000, event_start=1763463600, event_end=1764158400)
_QUERY = EventQuery(
    index="main",
    start=datetime(2026, 11, 24, tzinfo=UTC),
    end=datetime(2026, 11, 25, tzinfo=UTC),
    terms=(Term(fields=("process",), operator=Operator.CONTAINS, values=("x.xsl",)),),
    fields=("host", "process"),
)
_JOBS = "/services/search/v2/jobs"


def _splunk_answer(request: Request) -> Reply:
    path = request.path
    if path == "/services/server/info":
        return json_reply({"generator": {"version": "9.3.1"}, "entry": [{"content": {}}]})
    if path == "/services/authentication/current-context":
        content = {"username": "stockade", "roles": ["stockade"], "capabilities": ["search"]}
        return json_reply({"entry": [{"content": content}], "messages": []})
    if path == "/servicesNS/-/-/saved/searches":
        return json_reply({"entry": [{"name": "wmic", "content": {}}], "messages": []})
    if path.endswith(("/dispatch", "/search/v2/jobs")):
        return json_reply({"sid": _JOB.sid}, 201)
    if path.endswith("/control"):
        return json_reply({"messages": [{"type": "INFO", "text": "Search job cancelled."}]})
    if path.endswith("/results"):
        rows = [{"host": "WS-042", "process": ["a", "b"]}, {"host": "WS-043"}]
        found = {"preview": False, "init_offset": 0, "messages": [], "results": rows}
        return json_reply(found)
    if path == f"{_JOBS}/{_JOB.sid}":
        status = {
            "dispatchState": "DONE",
            "isDone": True,
            "isFailed": False,
            "isFinalized": False,
            "isZombie": False,
            "resultCount": 2,
            "messages": [],
        }
        return json_reply({"entry": [{"content": status}], "messages": []})
    return json_reply(_splunk_error("no such path"), 404)


def _splunk_error(text: str, kind: str = "ERROR") -> dict[str, Any]:
    return {"messages": [{"type": kind, "text": text}]}


def _is_splunk_job(request: Request) -> bool:
    return request.path.endswith(("/dispatch", "/search/v2/jobs"))


_HIDDEN_FATAL = json_reply({"results": [{"host": "a"}], **_splunk_error("x", "FATAL")})

SPLUNK = Case(
    credentials={"token": "made-up-splunk-token"},
    answer=_splunk_answer,
    reads={
        "server_time": lambda siem: siem.server_time(),
        "search_status": lambda siem: siem.search_status(_JOB),
        "fetch_rows": lambda siem: list(siem.fetch_rows(_JOB, 2)),
        "cancel_search": lambda siem: siem.cancel_search(_JOB),
    },
    once={
        "start_saved_search": lambda siem: siem.start_saved_search(
            SavedSearch(name="wmic"), _WINDOW
        ),
        "start_event_query": lambda siem: siem.start_event_query(_QUERY),
    },
    is_read=lambda request: not _is_splunk_job(request),
    refusal=_splunk_error,
    no_permission=(
        (
            _only(
                "/current-context",
                json_reply({"entry": [{"content": {"username": "u", "capabilities": []}}]}),
            ),
            "search",
        ),
        (_only("/v2/jobs", json_reply(_splunk_error("denied"), 403)), "permission"),
        (_only("/current-context", json_reply(_splunk_error("not authed"), 401)), "token"),
    ),
    hidden_errors=(
        ("start_saved_search", json_reply({"messages": []}, 201), OutcomeUnknown),
        ("fetch_rows", _HIDDEN_FATAL, Unavailable),
        ("fetch_rows", json_reply({"results": [], "messages": []}), Unavailable),
    ),
    told={
        # Not known to the search head any more: a value that a poll goes on from.
        ("search_status", 404): None,
        ("fetch_rows", 404): Unavailable,
        ("cancel_search", 404): None,
    },
    # A busy search head says nothing at all, and that is "running".
    bodyless=frozenset({"search_status", "cancel_search"}),
    # No rows where rows were promised is an error by its own words.
    says_otherwise=frozenset({"fetch_rows"}),
    waits_on_503=frozenset({"server_time", "search_status", "fetch_rows", "cancel_search"}),
    empty_selectors={
        "start_saved_search": lambda siem: siem.start_saved_search(SavedSearch(name=""), _WINDOW),
        "start_event_query": lambda siem: siem.start_event_query(
            EventQuery(index="main", start=_QUERY.start, end=_QUERY.end, terms=(), fields=("host",))
        ),
    },
)

# -- Jira ------------------------------------------------------------------------------------------

_TICKET = TicketRef(id="10042", key="SEC-42", url="https://jira.example.test/browse/SEC-42")
_DRAFT = TicketDraft(correlation="case-1", title="WS-042", body=Document((Paragraph("Isolated."),)))
_LABEL = f"stockade-{sha256(b'case-1').hexdigest()[:16]}"


def _jira_page(key: str, entries: list[Any]) -> dict[str, Any]:
    return {key: entries, "startAt": 0, "maxResults": 50, "total": len(entries)}


def _jira_issue() -> dict[str, Any]:
    marker = {"type": "paragraph", "content": [{"type": "text", "text": "[stockade:key-1]"}]}
    comment = {"id": "1", "body": {"type": "doc", "version": 1, "content": [marker]}}
    return {
        "id": _TICKET.id,
        "key": _TICKET.key,
        "fields": {
            "status": {"name": "Open", "statusCategory": {"key": "new"}},
            "comment": _jira_page("comments", [comment]),
            "attachment": [{"id": "7", "filename": "report.json"}],
            "labels": [_LABEL],
        },
    }


def _jira_answer(request: Request) -> Reply:
    path = request.path.removeprefix("/rest/api/3")
    if path.endswith("/attachments"):
        return json_reply([{"id": "7", "filename": "report.json"}])
    if path.endswith("/comment"):
        return json_reply({"id": "1"}, 201)
    if path.endswith("/issuetypes"):
        return json_reply(_jira_page("issueTypes", [{"id": "3", "name": "Task"}]))
    if path.endswith("/issuetypes/3"):
        fields = [{"fieldId": "labels"}, {"fieldId": "description"}]
        return json_reply(_jira_page("fields", fields))
    said: dict[str, Any] = {
        "/myself": {"accountId": "1", "active": True},
        "/mypermissions": {"permissions": {key: {"havePermission": True} for key in _JIRA_NEEDS}},
        "/search/jql": {"issues": [_jira_issue()], "isLast": True},
        "/issue": {"id": _TICKET.id, "key": _TICKET.key},
        f"/issue/{_TICKET.id}": _jira_issue(),
    }
    if path not in said:
        return json_reply(_jira_error("no such path"), 404)
    return json_reply(said[path], 201 if path == "/issue" else 200)


_JIRA_NEEDS = ("BROWSE_PROJECTS", "CREATE_ISSUES", "ADD_COMMENTS", "CREATE_ATTACHMENTS")


def _jira_error(text: str) -> dict[str, Any]:
    return {"errorMessages": [text], "errors": {}}


JIRA = Case(
    credentials={"email": "runner@jira.example.test", "api_token": "made-up-api-token"},
    more_secrets=("cnVubmVyQGppcmEuZXhhbXBsZS50ZXN0Om1hZGUtdXAtYXBpLXRva2Vu",),
    options={"project": "SEC"},
    answer=_jira_answer,
    reads={
        "find_ticket": lambda tickets: tickets.find_ticket("case-1"),
        "read_ticket": lambda tickets: tickets.read_ticket(_TICKET),
        "find_comment": lambda tickets: tickets.find_comment(_TICKET, "key-1"),
        "find_attachment": lambda tickets: tickets.find_attachment(_TICKET, "report.json"),
    },
    once={
        "create_ticket": lambda tickets: tickets.create_ticket(_DRAFT),
        "comment_ticket": lambda tickets: tickets.comment_ticket(_TICKET, "k", _DRAFT.body),
        "attach_file": lambda tickets: tickets.attach_file(_TICKET, "report.json", b"{}"),
    },
    is_read=lambda request: request.method == "GET" or request.path.endswith("/search/jql"),
    refusal=_jira_error,
    no_permission=(
        (
            _only(
                "/mypermissions",
                json_reply({"permissions": {"BROWSE_PROJECTS": {"havePermission": True}}}),
            ),
            "Create Issues",
        ),
        (_only("/myself", json_reply({}, 401)), "API token"),
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
    empty_selectors={
        "find_ticket": lambda tickets: tickets.find_ticket(""),
        "read_ticket": lambda tickets: tickets.read_ticket(TicketRef(id="", key="", url="")),
        "comment_ticket": lambda tickets: tickets.comment_ticket(
            TicketRef(id="", key="", url=""), "k", _DRAFT.body
        ),
        "attach_file": lambda tickets: tickets.attach_file(_TICKET, "", b""),
        "create_ticket": lambda tickets: tickets.create_ticket(
            TicketDraft(correlation="", title="x", body=_DRAFT.body)
        ),
        "comment_ticket without a key": lambda tickets: tickets.comment_ticket(
            _TICKET, "", _DRAFT.body
        ),
        "find_comment": lambda tickets: tickets.find_comment(_TICKET, ""),
    },
)

CASES: dict[str, Case] = {"slack": SLACK, "falcon": FALCON, "splunk": SPLUNK, "jira": JIRA}
"""A connector's type → its case."""
