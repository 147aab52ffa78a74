"""How a ticket is opened: its fields, and what is left out when Jira refuses them.

It never leaves out the label by which the ticket is found again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from hashlib import sha256

from connectors.errors import Rejected
from connectors.http import Repeat, Reply
from connectors.model import JsonObject, TicketDraft
from connectors.tickets.jira_dialect import Dialect
from connectors.tickets.jira_product import JiraProduct, label_of
from connectors.tickets.jira_session import PRODUCT, JiraSession, explain, refused_fields
from connectors.tickets.jira_text import summary_of

log = logging.getLogger(__name__)

_OPTIONAL = frozenset({"priority", "labels"})


def open_ticket(
    session: JiraSession,
    dialect: Dialect,
    options: JiraProduct.Options,
    draft: TicketDraft,
    custom: JsonObject,
) -> Reply:
    """Send the draft, with the `custom` fields by id; when Jira refuses it for a priority or a
    label that is not needed, once more without them, and the text says so. Errors: `Rejected`
    naming the fields. Source: `POST /rest/api/3/issue`, `POST /rest/api/2/issue`."""
    priority = options.priorities.get(draft.severity)
    wanted = (label_of(label) for label in (*options.labels, *draft.labels))
    labels = [label for label in dict.fromkeys(wanted) if label]

    def send(priority: str | None, labels: Sequence[str], *notes: str) -> Reply:
        fields: JsonObject = {
            **custom,
            "project": {"key": options.project},
            "issuetype": {"name": options.issue_type},
            "summary": summary_of(draft.title),
            "description": dialect.text_of(draft.body, notes),
            "labels": [correlation_label(draft.correlation), *labels],
        }
        if priority:
            fields["priority"] = {"name": priority}
        return _sent(session, fields)

    reply = send(priority, labels)
    refused = refused_fields(reply.body) if reply.status == 400 else {}
    if reply.status == 400 and (priority or labels) and (not refused or _OPTIONAL & {*refused}):
        left_out = ", ".join([*([f"priority {priority}"] if priority else []), *labels])
        log.warning("jira refused optional fields project=%s", options.project)
        reply = send(None, [], f"Left out, because Jira refused the ticket with it: {left_out}")
    if reply.status == 400:
        raise _refused(session, reply)
    return reply


def correlation_label(correlation: str) -> str:
    """Hexadecimal, so that nothing needs escaping in JQL, and nothing of the case shows.
    Errors: `Rejected`, before any call, for an empty key, which every case would share."""
    if not correlation:
        raise Rejected(PRODUCT, "a ticket without a correlation key could not be told apart")
    return f"stockade-{sha256(correlation.encode()).hexdigest()[:16]}"


def _sent(session: JiraSession, fields: JsonObject) -> Reply:
    return session.send(
        "POST",
        session.path("issue"),
        repeat=Repeat.ONCE,
        json={"fields": fields},
        accept=(201, 400),
    )


def _refused(session: JiraSession, reply: Reply) -> Rejected:
    said = session.http.redact(explain(400, reply.body) or "no reason is given")
    text = f"HTTP 400, no ticket was opened: {said}"
    if "labels" in refused_fields(reply.body):
        text += "; put the field Labels on the project's create screen"
    return Rejected(PRODUCT, text, status=400)
