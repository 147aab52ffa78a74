"""Jira Cloud (REST API v3): one ticket a correlation key, its comments and attachments.

Jira has no idempotent create, so a hashed label finds a ticket again, and a last paragraph finds a
comment. It refuses to drop that label, and to read a failed look-up as "no ticket".
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any

from connectors.base import Connector
from connectors.document import Document, shorten
from connectors.errors import OutcomeUnknown, Rejected, Unavailable
from connectors.http import HttpSettings, Repeat, Reply, Runtime, path_of
from connectors.model import CheckResult, JsonObject, Secret, TicketDraft, TicketRef, TicketStatus
from connectors.tickets.adf import adf_of, last_paragraph, shown, units
from connectors.tickets.jira_check import check_project
from connectors.tickets.jira_product import JiraProduct, label_of
from connectors.tickets.jira_session import (
    PRODUCT,
    JiraSession,
    api_path,
    explain,
    object_of,
    refused_fields,
)

log = logging.getLogger(__name__)

_MAX_SUMMARY = 255
_OPTIONAL = frozenset({"priority", "labels"})
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,98}[A-Za-z0-9]")
_DEVICE_NAMES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_SEARCH_PAGE = 50


class Jira(JiraProduct, Connector):
    """One project of one site. The promise: each write is sent once, and can be found again."""

    def __init__(
        self,
        *,
        name: str,
        tenant: str,
        settings: HttpSettings,
        credentials: dict[str, Secret],
        options: JiraProduct.Options,
        runtime: Runtime,
    ) -> None:
        super().__init__(
            name=name,
            tenant=tenant,
            settings=settings,
            credentials=credentials,
            options=options,
            runtime=runtime,
        )
        self._options = options
        self._site = (options.site_url or settings.base_url).rstrip("/")
        self._session = JiraSession(
            settings, runtime, email=credentials["email"], api_token=credentials["api_token"]
        )

    # -- tickets -----------------------------------------------------------------------------------

    def create_ticket(self, draft: TicketDraft) -> TicketRef:
        """Open the ticket. When Jira refuses it for a priority or a label that is not needed, it is
        opened once more without them, and the text says so; a 400 has created nothing.

        Repeat: makes a second ticket; `find_ticket` comes first. Errors: `Rejected` naming the
        fields; `OutcomeUnknown` when the answer was lost or is not Jira's.
        Source of this and of each call below: the vendor's OpenAPI document (Jira Cloud platform
        REST API, v3), read 2026-11-25; here `POST /rest/api/3/issue`.
        """
        priority = self._options.priorities.get(draft.severity)
        wanted = (label_of(label) for label in (*self._options.labels, *draft.labels))
        labels = [label for label in dict.fromkeys(wanted) if label]
        reply = self._create(draft, priority, labels)
        refused = refused_fields(reply.body) if reply.status == 400 else {}
        if reply.status == 400 and (priority or labels) and (not refused or _OPTIONAL & {*refused}):
            left_out = ", ".join([*([f"priority {priority}"] if priority else []), *labels])
            log.warning("jira refused optional fields project=%s", self._options.project)
            note = f"Left out, because Jira refused the ticket with it: {left_out}"
            reply = self._create(draft, None, [], note)
        if reply.status == 400:
            raise self._refused(reply)
        return self._ref(object_of(reply), OutcomeUnknown)

    def find_ticket(self, correlation: str) -> TicketRef | None:
        """The oldest ticket that really carries the label; in any project, for people move tickets.

        Jira's search lags behind its writes: right after a create, None is no proof. Errors: every
        failure of the look-up, and a result that is not whole, never None.
        Source: `POST /rest/api/3/search/jql`.
        """
        label = correlation_label(correlation)
        for issue in self._search(f'labels = "{label}" ORDER BY created ASC'):
            fields = issue.get("fields") if isinstance(issue, dict) else None
            found = fields.get("labels") if isinstance(fields, dict) else None
            if not isinstance(found, list):
                raise Unavailable(PRODUCT, "the search does not show the labels that were asked")
            if label in found:
                return self._ref(issue, Unavailable)
        return None

    def read_ticket(self, ticket: TicketRef) -> TicketStatus:
        """Closed is what Jira files under the status category *done*, whatever its name."""
        status = self._field(ticket, "status")
        category = status.get("statusCategory") if isinstance(status, dict) else None
        if not isinstance(category, dict) or not isinstance(category.get("key"), str):
            raise Unavailable(PRODUCT, "does not say the category of the ticket's status")
        return TicketStatus(name=str(status.get("name", "")), is_closed=category["key"] == "done")

    # -- comments ----------------------------------------------------------------------------------

    def comment_ticket(self, ticket: TicketRef, key: str, body: Document) -> None:
        """Add a comment whose last paragraph carries `key`. Repeat: adds a second one.
        Source: `POST /rest/api/3/issue/{issueIdOrKey}/comment`."""
        path = _issue_path(ticket, "comment")
        comment = {"body": adf_of(body, tail=(_marker(key),))}
        reply = self._session.send("POST", path, repeat=Repeat.ONCE, json=comment, accept=(201,))
        if not object_of(reply).get("id"):
            raise OutcomeUnknown(PRODUCT, "names no comment in its answer", status=reply.status)

    def find_comment(self, ticket: TicketRef, key: str) -> bool:
        """Errors: `Unavailable` when Jira shows fewer comments than it says there are."""
        marker = shown(_marker(key))
        for comment in self._comments(ticket):
            if isinstance(comment, dict) and last_paragraph(comment.get("body")) == marker:
                return True
        return False

    # -- attachments -------------------------------------------------------------------------------

    def attach_file(self, ticket: TicketRef, name: str, content: bytes) -> None:
        """Attach a file. Repeat: adds a second one of the same name. Errors: `Rejected` before any
        call for a name that could leave its folder or mean a device on some system.

        Source: `POST /rest/api/3/issue/{issueIdOrKey}/attachments`.
        """
        if not _FILE_NAME.fullmatch(name) or _DEVICE_NAMES.fullmatch(name):
            raise Rejected(PRODUCT, f"not a safe file name: {shown(shorten(name, 80))!r}")
        reply = self._session.send(
            "POST",
            _issue_path(ticket, "attachments"),
            repeat=Repeat.ONCE,
            # Never a type that a browser would show: the content is evidence.
            files={"file": (name, content, "application/octet-stream")},
            headers={"X-Atlassian-Token": "no-check"},
        )
        if name not in _file_names(reply.json()):
            raise OutcomeUnknown(PRODUCT, "does not name the file in its answer")

    def find_attachment(self, ticket: TicketRef, name: str) -> bool:
        attached = self._field(ticket, "attachment")
        if not isinstance(attached, list):
            raise Unavailable(PRODUCT, "does not show the ticket's attachments")
        return name in _file_names(attached)

    # -- checks ------------------------------------------------------------------------------------

    def check(self) -> Sequence[CheckResult]:
        """Who we are, the four project permissions, the issue type and its create screen."""
        needed = {"labels", "description", *(["priority"] if self._options.priorities else [])}
        return check_project(
            self._session,
            self._options.project,
            self._options.issue_type,
            frozenset(needed | self._options.fields.keys()),
        )

    # -- calls -------------------------------------------------------------------------------------

    def _create(
        self, draft: TicketDraft, priority: str | None, labels: Sequence[str], *notes: str
    ) -> Reply:
        fields: JsonObject = {
            **self._options.fields,
            "project": {"key": self._options.project},
            "issuetype": {"name": self._options.issue_type},
            "summary": _summary(draft.title),
            "description": adf_of(draft.body, tail=notes),
            "labels": [correlation_label(draft.correlation), *labels],
        }
        if priority:
            fields["priority"] = {"name": priority}
        return self._session.send(
            "POST",
            api_path("issue"),
            repeat=Repeat.ONCE,
            json={"fields": fields},
            accept=(201, 400),
        )

    def _refused(self, reply: Reply) -> Rejected:
        said = self._session.http.redact(explain(400, reply.body) or "no reason is given")
        text = f"HTTP 400, no ticket was opened: {said}"
        if "labels" in refused_fields(reply.body):
            text += "; put the field Labels on the project's create screen"
        return Rejected(PRODUCT, text, status=400)

    def _search(self, jql: str) -> Iterator[Any]:
        """A short page is not the last one: only a missing token ends the list."""
        query: JsonObject = {"jql": jql, "fields": ["key", "labels"], "maxResults": _SEARCH_PAGE}
        seen: set[str] = set()
        while True:
            page = self._session.read(api_path("search", "jql"), query=query)
            issues = page.get("issues")
            if not isinstance(issues, list):
                raise Unavailable(PRODUCT, "the search gave no list of issues")
            yield from issues
            token = page.get("nextPageToken")
            if not token and page.get("isLast") is not False:
                return
            if not isinstance(token, str) or token in seen:
                raise Unavailable(PRODUCT, "the search does not lead to its next page")
            seen.add(token)
            query = {**query, "nextPageToken": token}

    def _comments(self, ticket: TicketRef) -> Iterator[Any]:
        """The comments that come with the issue, then those that Jira left out of it."""
        found = self._field(ticket, "comment")
        comments = found.get("comments") if isinstance(found, dict) else None
        if not isinstance(comments, list):
            raise Unavailable(PRODUCT, "does not show the ticket's comments")
        total = found.get("total", len(comments))
        if not isinstance(total, int) or total <= len(comments):
            yield from comments
            return
        # From the beginning: which part came with the issue is not documented.
        yield from self._session.pages(_issue_path(ticket, "comment"), ("comments",))

    def _field(self, ticket: TicketRef, name: str) -> Any:
        issue = self._session.read(_issue_path(ticket), {"fields": name})
        fields = issue.get("fields")
        return fields.get(name) if isinstance(fields, dict) else None

    def _ref(self, issue: JsonObject, fault: type[OutcomeUnknown | Unavailable]) -> TicketRef:
        issue_id, key = issue.get("id"), issue.get("key")
        if not isinstance(issue_id, str) or not isinstance(key, str) or not (issue_id and key):
            raise fault(PRODUCT, "does not name the ticket in its answer")
        return TicketRef(id=issue_id, key=key, url=self._site + path_of("browse", key))


def correlation_label(correlation: str) -> str:
    """Hexadecimal, so that nothing needs escaping in JQL, and nothing of the case shows.
    Errors: `Rejected`, before any call, for an empty key, which every case would share."""
    if not correlation:
        raise Rejected(PRODUCT, "a ticket without a correlation key could not be told apart")
    return f"stockade-{sha256(correlation.encode()).hexdigest()[:16]}"


def _marker(key: str) -> str:
    if not key:
        raise Rejected(PRODUCT, "a comment without a key could not be found again")
    return f"[stockade:{key}]"


def _summary(title: str) -> str:
    """One line of at most 255 UTF-16 units, never empty."""
    text = shown(title.strip()) or "(no title)"
    limit = _MAX_SUMMARY
    while units(short := shorten(text, limit)) > _MAX_SUMMARY:
        limit -= (units(short) - _MAX_SUMMARY + 1) // 2
    return short


def _issue_path(ticket: TicketRef, *more: str) -> str:
    if not ticket.id:
        raise Rejected(PRODUCT, "a ticket without an id cannot be asked for")
    return api_path("issue", ticket.id, *more)


def _file_names(entries: Any) -> set[str]:
    listed = entries if isinstance(entries, list) else []
    return {str(entry.get("filename")) for entry in listed if isinstance(entry, dict)}
