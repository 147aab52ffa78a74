"""Jira, Cloud and Data Center: one ticket a correlation key, its comments and attachments.

Jira has no idempotent create, so a hashed label finds a ticket again, and a last paragraph finds a
comment. It refuses to drop that label, and to read a failed look-up as "no ticket".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from connectors.base import Connector
from connectors.document import Document, shorten
from connectors.errors import OutcomeUnknown, Rejected, Unavailable
from connectors.http import HttpSettings, Repeat, Runtime, path_of
from connectors.model import (
    CaseStage,
    CheckResult,
    JsonObject,
    Secret,
    TicketDraft,
    TicketMove,
    TicketRef,
    TicketStatus,
)
from connectors.tickets import jira_moves
from connectors.tickets.jira_check import check_project, require_browse
from connectors.tickets.jira_create import correlation_label, open_ticket
from connectors.tickets.jira_dialect import dialect_of
from connectors.tickets.jira_fields import (
    create_screen,
    field_ids,
    filled_fields,
    needs_screen,
)
from connectors.tickets.jira_product import JiraProduct
from connectors.tickets.jira_session import PRODUCT, JiraSession, object_of
from connectors.tickets.jira_text import shown

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,98}[A-Za-z0-9]")
_DEVICE_NAMES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


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
        self._ids: dict[str, str] | None = None
        self._site = (options.site_url or settings.base_url).rstrip("/")
        self._dialect = dialect_of(options, credentials)
        secrets = self._dialect.credentials(credentials)
        self._session = JiraSession(
            settings,
            runtime,
            api=self._dialect.api,
            secrets=secrets,
            authorization=lambda: self._dialect.signs_in(secrets),
        )

    # -- tickets -----------------------------------------------------------------------------------

    def create_ticket(self, draft: TicketDraft) -> TicketRef:
        """Open the ticket. When Jira refuses it for a priority or a label that is not needed, it is
        opened once more without them, and the text says so; a 400 has created nothing.

        Repeat: makes a second ticket; `find_ticket` comes first. Errors: `Rejected` naming the
        fields; `OutcomeUnknown` when the answer was lost or is not Jira's.
        Source of this and of each call below, where none is named: the vendor's OpenAPI document
        (Jira Cloud platform REST API, v3), read 2026-11-25; v2 names the same paths.
        """
        fields = filled_fields(self._options, self._field_ids(), draft.values)
        reply = open_ticket(self._session, self._dialect, self._options, draft, fields)
        return self._ref(object_of(reply), OutcomeUnknown)

    def find_ticket(self, correlation: str) -> TicketRef | None:
        """The oldest ticket that really carries the label; in any project, for people move tickets.

        Jira's search lags behind its writes: right after a create, None is no proof. Errors: every
        failure of the look-up, and a result that is not whole, never None.
        """
        label = correlation_label(correlation)
        jql = f'labels = "{label}" ORDER BY created ASC'
        for issue in self._dialect.search(self._session, jql, ("key", "labels")):
            fields = issue.get("fields") if isinstance(issue, dict) else None
            found = fields.get("labels") if isinstance(fields, dict) else None
            if not isinstance(found, list):
                raise Unavailable(PRODUCT, "the search does not show the labels that were asked")
            if label in found:
                return self._ref(issue, Unavailable)
        # Jira leaves out what the account may not browse: without that right nothing is missing.
        require_browse(self._session, self._options.project)
        return None

    def read_ticket(self, ticket: TicketRef) -> TicketStatus:
        """Closed is what Jira files under the status category *done*, whatever its name."""
        name, category = jira_moves.status_of(self._session, self._issue_path(ticket))
        return TicketStatus(name=name, is_closed=category == "done")

    def plan_move(self, ticket: TicketRef, stage: CaseStage) -> TicketMove | None:
        """A transition to the status that `options.transitions` names, or of that name."""
        wanted = self._options.transitions.get(stage.value)
        if wanted is None:
            return None
        return jira_moves.planned(self._session, self._issue_path(ticket), wanted)

    def move_ticket(self, ticket: TicketRef, move: TicketMove) -> None:
        """Repeat: done already is no error."""
        jira_moves.move(self._session, self._issue_path(ticket), move)

    def was_moved(self, ticket: TicketRef, move: TicketMove, since: datetime) -> bool:
        """Read off the ticket's own changes."""
        return jira_moves.was_taken(self._session, self._issue_path(ticket), move, since)

    # -- comments ----------------------------------------------------------------------------------

    def comment_ticket(self, ticket: TicketRef, key: str, body: Document) -> None:
        """Add a comment whose last paragraph carries `key`. Repeat: adds a second one.
        Source: `POST /rest/api/3/issue/{issueIdOrKey}/comment`."""
        path = self._issue_path(ticket, "comment")
        comment = {"body": self._dialect.text_of(body, (_marker(key),))}
        reply = self._session.send("POST", path, repeat=Repeat.ONCE, json=comment, accept=(201,))
        if not object_of(reply).get("id"):
            raise OutcomeUnknown(PRODUCT, "names no comment in its answer", status=reply.status)

    def find_comment(self, ticket: TicketRef, key: str) -> bool:
        """Errors: `Unavailable` when Jira shows fewer comments than it says there are."""
        marker, ends_with = _marker(key), self._dialect.ends_with
        return any(
            isinstance(comment, dict) and ends_with(comment.get("body"), marker)
            for comment in self._comments(ticket)
        )

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
            self._issue_path(ticket, "attachments"),
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
        """Who we are, the project permissions, the issue type and its create screen."""
        return check_project(self._session, self._dialect, self._options)

    # -- calls -------------------------------------------------------------------------------------

    def _field_ids(self) -> dict[str, str]:
        """Looked up once in a process's life. Errors: as of the look; nothing was opened."""
        if self._ids is None:
            options, session = self._options, self._session
            screen = (
                create_screen(session, options.project, options.issue_type)
                if needs_screen(options)
                else {}
            )
            self._ids = field_ids(session, options, screen)
        return self._ids

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
        yield from self._session.pages(self._issue_path(ticket, "comment"), ("comments",))

    def _field(self, ticket: TicketRef, name: str) -> Any:
        issue = self._session.read(self._issue_path(ticket), {"fields": name})
        fields = issue.get("fields")
        return fields.get(name) if isinstance(fields, dict) else None

    def _issue_path(self, ticket: TicketRef, *more: str) -> str:
        if not ticket.id:
            raise Rejected(PRODUCT, "a ticket without an id cannot be asked for")
        return self._session.path("issue", ticket.id, *more)

    def _ref(self, issue: JsonObject, fault: type[OutcomeUnknown | Unavailable]) -> TicketRef:
        issue_id, key = issue.get("id"), issue.get("key")
        if not isinstance(issue_id, str) or not isinstance(key, str) or not (issue_id and key):
            raise fault(PRODUCT, "does not name the ticket in its answer")
        return TicketRef(id=issue_id, key=key, url=self._site + path_of("browse", key))


def _marker(key: str) -> str:
    if not key:
        raise Rejected(PRODUCT, "a comment without a key could not be found again")
    return f"[stockade:{key}]"


def _file_names(entries: Any) -> set[str]:
    listed = entries if isinstance(entries, list) else []
    return {str(entry.get("filename")) for entry in listed if isinstance(entry, dict)}
