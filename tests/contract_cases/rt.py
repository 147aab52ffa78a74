"""Request Tracker, for the contract suite. The replies are those of a real RT 5.0.3
(`tests/real/test_real_rt.py`), shortened."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from connectors.document import Document, Paragraph
from connectors.errors import NotFound, OutcomeUnknown, Unavailable
from connectors.model import TicketDraft, TicketRef
from connectors.tickets.rt_draft import comment_marker, correlation_key
from tests.contract_cases.case import Case, only
from tests.fake_product import Reply, Request, json_reply

_TICKET = TicketRef(
    id="42", key="RT#42", url="https://product.example.test/Ticket/Display.html?id=42"
)
_NOBODY = TicketRef(id="", key="", url="")
_DRAFT = TicketDraft(correlation="case-1", title="WS-042", body=Document((Paragraph("Isolated."),)))
_CONTENT = b"{}"


def _ticket(number: str = "42", **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "Subject": "WS-042",
        "Status": "open",
        "CustomFields": [{"name": "Stockade Key", "values": [correlation_key("case-1")]}],
        "_hyperlinks": [{"ref": "self"}, {"ref": "comment"}],
        **more,
    }


def _queue(*fields: str, may: str = "create") -> dict[str, Any]:
    return {
        "id": 3,
        "Name": "Incidents",
        "Disabled": "0",
        "TicketCustomFields": [{"name": name} for name in fields],
        "_hyperlinks": [{"ref": "self"}, {"ref": may}],
    }


def _page(*items: dict[str, Any]) -> dict[str, Any]:
    return {"items": list(items), "count": len(items), "page": 1, "total": None, "pages": None}


_COMMENT = {"id": "72", "Type": "Comment", "Data": comment_marker("key-1") + "\n"}
_PARTS = (
    {"Subject": comment_marker("k"), "Filename": ""},
    {"id": "9", "Subject": "", "Filename": "report.json", "ContentLength": "2"},
)


def _answer(request: Request) -> Reply:
    path = request.path.removeprefix("/REST/2.0")
    if path.endswith("/comment"):
        return json_reply(["Comments added"], 201, Location="/REST/2.0/transaction/72")
    if path in ("/ticket/42/history", "/ticket/42/attachments") and request.query["page"] != "1":
        return json_reply(_page())
    said: dict[str, Any] = {
        "/rt": {"Version": "5.0.3"},
        "/queue/Incidents": _queue("Stockade Key"),
        "/tickets": _page(_ticket()),
        "/ticket": {"id": "42", "type": "ticket"},
        "/ticket/42": _ticket(),
        "/ticket/42/history": _page({"Type": "Create", "Data": ""}, _COMMENT),
        "/ticket/42/attachments": _page(*_PARTS),
        "/transaction/72/attachments": _page(*_PARTS),
        "/attachment/9": {"id": 9, "Content": b64encode(_CONTENT).decode()},
    }
    if path not in said:
        return json_reply(_error("Not Found"), 404)
    return json_reply(said[path], 201 if path == "/ticket" else 200)


def _error(text: str) -> dict[str, Any]:
    return {"message": text}


CASE = Case(
    credentials={"token": "1-14-made-up-token-5ec2e75ec2e7"},
    options={"queue": "Incidents"},
    answer=_answer,
    reads={
        "find_ticket": lambda tickets: tickets.find_ticket("case-1"),
        "read_ticket": lambda tickets: tickets.read_ticket(_TICKET),
        "find_comment": lambda tickets: tickets.find_comment(_TICKET, "key-1"),
        "find_attachment": lambda tickets: tickets.find_attachment(_TICKET, "report.json"),
    },
    once={
        "create_ticket": lambda tickets: tickets.create_ticket(_DRAFT),
        "comment_ticket": lambda tickets: tickets.comment_ticket(_TICKET, "k", _DRAFT.body),
        "attach_file": lambda tickets: tickets.attach_file(_TICKET, "report.json", _CONTENT),
    },
    is_read=lambda request: request.method == "GET",
    refusal=_error,
    no_permission=(
        (only("/queue/Incidents", json_reply(_error("Forbidden"), 403)), "SeeQueue"),
        (only("/queue/Incidents", json_reply(_queue("Stockade Key", may="x"))), "CreateTicket"),
        (only("/queue/Incidents", json_reply(_queue())), "SeeCustomField"),
        (only("/tickets", json_reply(_page())), "ShowTicket"),
        (only("/tickets", json_reply(_page(_ticket(_hyperlinks=[])))), "CommentOnTicket"),
        (
            only("/history", json_reply(_page())),
            "ShowTicketComments",
        ),
        (
            only("/tickets", json_reply(_page(_ticket(CustomFields=[{"name": "Stockade Key"}])))),
            "ModifyCustomField",
        ),
        (only("/rt", json_reply(_error("Unauthorized"), 401)), "token"),
        (only("/rt", json_reply({"Version": "4.4.6"})), "RT 5 is needed"),
    ),
    hidden_errors=(
        ("create_ticket", json_reply(_error("no"), 201), OutcomeUnknown),
        # The ticket is read before a comment is sent: nothing has happened yet.
        ("comment_ticket", json_reply(_error("no")), Unavailable),
        ("attach_file", json_reply({**_ticket(), "Status": "deleted"}), NotFound),
        ("find_ticket", json_reply(_error("no")), Unavailable),
        ("find_ticket", json_reply(_page({"id": "42"})), Unavailable),
        ("find_ticket", json_reply(_page({"id": "42", "CustomFields": []})), Unavailable),
        # Nothing found, in a queue that does not say which fields it has: it cannot be told.
        ("find_ticket", json_reply(_page()), Unavailable),
        ("read_ticket", json_reply({"id": "42"}), Unavailable),
        ("read_ticket", json_reply({"id": "42", "Status": "deleted"}), NotFound),
        ("read_ticket", json_reply({"id": "42", "Status": "odd", "items": []}), Unavailable),
        ("find_comment", json_reply(_page()), Unavailable),
        ("find_attachment", json_reply({"items": None}), Unavailable),
    ),
    # Two tickets of one key: the older one, which the search lists first.
    twins=(
        (
            only("/tickets", json_reply(_page(_ticket(), _ticket("99")))),
            lambda tickets: tickets.find_ticket("case-1").key,
            "RT#42",
        ),
    ),
    empty_selectors={
        "find_ticket": lambda tickets: tickets.find_ticket(""),
        "read_ticket": lambda tickets: tickets.read_ticket(_NOBODY),
        "find_comment of nothing": lambda tickets: tickets.find_comment(_NOBODY, "k"),
        "comment_ticket": lambda tickets: tickets.comment_ticket(_NOBODY, "k", _DRAFT.body),
        "attach_file": lambda tickets: tickets.attach_file(_TICKET, "", b"x"),
        "attach_file without content": lambda tickets: tickets.attach_file(_TICKET, "a.json", b""),
        "create_ticket": lambda tickets: tickets.create_ticket(
            TicketDraft(correlation="", title="x", body=_DRAFT.body)
        ),
        "comment_ticket without a key": lambda tickets: tickets.comment_ticket(
            _TICKET, "", _DRAFT.body
        ),
        "find_comment": lambda tickets: tickets.find_comment(_TICKET, ""),
    },
)
