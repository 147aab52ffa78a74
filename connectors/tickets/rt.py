"""Request Tracker 5 (REST 2.0): one ticket a correlation key, its comments and attachments.

RT has no idempotent create, so a hash in a custom field finds a ticket again, and a hash in a
comment's subject finds a comment. RT answers well to what it did not do: each write is read back.
"""

from __future__ import annotations

import logging
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence

from connectors.base import Connector
from connectors.document import Document, Paragraph, visible
from connectors.errors import (
    AuthFailed,
    ConnectorError,
    NotFound,
    OutcomeUnknown,
    Rejected,
    Unavailable,
)
from connectors.http import HttpSettings, Repeat, Runtime, path_of
from connectors.model import CheckResult, JsonObject, Secret, TicketDraft, TicketRef, TicketStatus
from connectors.tickets.rt_check import (
    check_queue,
    require_comments,
    require_key_field,
    require_tickets,
)
from connectors.tickets.rt_draft import (
    comment_marker,
    correlation_key,
    is_marked,
    line_of,
    lost_of,
    ticket_of,
)
from connectors.tickets.rt_files import decoded, is_whole, require_file
from connectors.tickets.rt_product import RtProduct
from connectors.tickets.rt_session import (
    PRODUCT,
    RtSession,
    api_path,
    field_values,
    links_of,
    object_of,
)
from connectors.tickets.rt_text import text_of

log = logging.getLogger(__name__)

_MAX_TITLE_BYTES = 100  # leaves room for a mark in the 255 characters that RT keeps
_TRANSACTION = re.compile(r"/transaction/(\d+)/?$")


class Rt(RtProduct, Connector):
    """One queue of one RT. The promise: each write is sent once, is read back, and can be found
    again."""

    def __init__(
        self,
        *,
        name: str,
        tenant: str,
        settings: HttpSettings,
        credentials: dict[str, Secret],
        options: RtProduct.Options,
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
        self._session = RtSession(settings, runtime, token=credentials["token"])

    # -- tickets -----------------------------------------------------------------------------------

    def create_ticket(self, draft: TicketDraft) -> TicketRef:
        """Open the ticket and read it back. What RT dropped of it is said in the ticket itself, in
        the log, and as a fault of the product.

        Repeat: makes a second ticket; `find_ticket` comes first. Errors: `Rejected` when RT dropped
        the key, for such a ticket could not be found again: the text names it, for a person to
        close; `OutcomeUnknown` when the ticket could not be read back.
        Source of this and of each call below: the vendor's REST 2.0 documentation (RT 5.0, `docs.
        bestpractical.com/rt/5.0.3/RT/REST2.html`) and a real RT 5.0.3, 2026-11-25; here
        `POST /REST/2.0/ticket`.
        """
        wanted = ticket_of(draft, self._options)
        reply = self._session.send(
            "POST", api_path("ticket"), repeat=Repeat.ONCE, json=wanted, accept=(201,)
        )
        ref = self._ref(object_of(reply), OutcomeUnknown)
        lost = self._lost(ref, wanted)
        if self._options.key_field in lost:
            raise self._keyless(ref)
        if lost:
            self._tell_lost(ref, lost)
        return ref

    def find_ticket(self, correlation: str) -> TicketRef | None:
        """The oldest ticket that really carries the key; in any queue, for people move tickets.

        Errors: every failure of the look-up, never None; `Rejected` when the account does not see
        the key's field, or no ticket at all in the queue: then RT finds nothing whatever there is.
        Source: `GET /REST/2.0/tickets` (TicketSQL).
        """
        key, name = correlation_key(correlation), self._options.key_field
        found = self._session.search(f"'CF.{{{name}}}' = '{key}'", fields="CustomFields")
        for ticket in found:
            values = field_values(ticket).get(name)
            if values is None:
                raise Unavailable(PRODUCT, f"found a ticket but does not show its field {name}")
            if key in values:
                return self._ref(ticket, Unavailable)
        require_key_field(self._session, self._options)
        require_tickets(self._session, self._options)
        return None

    def read_ticket(self, ticket: TicketRef) -> TicketStatus:
        """Closed is what the queue's lifecycle counts as inactive, whatever its name. A ticket that
        was merged into another is that other one. Errors: `NotFound`, for a deleted one, too."""
        said = self._read(ticket)
        number, status = said.get("id"), said.get("Status")
        if not isinstance(status, str) or not str(number).isdigit():
            raise Unavailable(PRODUCT, "does not say the ticket's status")
        _require_not_deleted(ticket, said)
        for word, is_closed in (("__Active__", False), ("__Inactive__", True)):
            if self._session.search(f"id = {number} AND Status = '{word}'"):
                return TicketStatus(name=status, is_closed=is_closed)
        raise Unavailable(PRODUCT, f"does not say whether the status {visible(status)} is inactive")

    # -- comments ----------------------------------------------------------------------------------

    def comment_ticket(self, ticket: TicketRef, key: str, body: Document) -> None:
        """Add a comment (never a reply, which would be mailed to the requestor) whose subject
        carries `key`. Repeat: adds a second one.
        Source: `POST /REST/2.0/ticket/{id}/comment`."""
        marker = comment_marker(key)
        parts = self._add(ticket, marker, {"Content": text_of(body) or "(no text)"})
        if not any(is_marked(part.get("Subject"), marker) for part in parts):
            raise OutcomeUnknown(PRODUCT, "shows the comment without its subject")

    def find_comment(self, ticket: TicketRef, key: str) -> bool:
        """Reads the ticket's transactions. Errors: `NotFound`, `AuthFailed` as for the ticket."""
        marker = comment_marker(key)
        types: set[str] = set()
        params: dict[str, str | int] = {"fields": "Type,Data"}
        for entry in self._session.pages(_ticket_path(ticket, "history"), params):
            types.add(str(entry.get("Type")))
            if entry.get("Type") == "Comment" and is_marked(entry.get("Data"), marker):
                return True
        if "Create" not in types:
            # Each ticket has a first transaction: without it, the list was not shown to its end.
            self._read(ticket)
            raise Unavailable(PRODUCT, "does not show the ticket's transactions")
        if "Comment" not in types:
            require_comments(self._session, self._options)
        return False

    # -- attachments -------------------------------------------------------------------------------

    def attach_file(self, ticket: TicketRef, name: str, content: bytes) -> None:
        """Attach a file to a comment of its own. Repeat: adds a second one of the same name.
        Errors: `Rejected` before any call for a name that could leave its folder or mean a device
        on some system, and for an empty file, which RT does not take; `Rejected` when RT cut it."""
        require_file(name, content)
        attached = {
            "FileName": name,
            # Never a type that a browser would show: the content is evidence.
            "FileType": "application/octet-stream",
            "FileContent": b64encode(content).decode("ascii"),
        }
        said = {"Content": f"Attached: {name}", "Attachments": [attached]}
        parts = self._add(ticket, name, said)
        numbers = [str(part.get("id")) for part in parts if part.get("Filename") == name]
        if not numbers:
            raise Rejected(PRODUCT, f"took the comment and dropped the file {name}")
        kept = self._content(numbers[0])
        if kept != content:
            text = f"kept {len(kept)} bytes of {name}, which has {len(content)}"
            raise Rejected(PRODUCT, f"{text}: raise RT's MaxAttachmentSize")

    def find_attachment(self, ticket: TicketRef, name: str) -> bool:
        """A file that RT cut short is none: sent again, `attach_file` says what is wrong with it.
        Errors: `NotFound`, `AuthFailed` as for the ticket, and where no comment is shown."""
        path = _ticket_path(ticket, "attachments")
        for entry in self._session.pages(path, {"fields": "Filename,ContentLength"}):
            if entry.get("Filename") == name and is_whole(self._session, entry):
                return True
        # RT leaves out what may not be seen: it is not there only if comments are shown at all.
        self._read(ticket)
        require_comments(self._session, self._options)
        return False

    # -- checks ------------------------------------------------------------------------------------

    def check(self) -> Sequence[CheckResult]:
        """The token, the queue and its custom fields, and, by the newest ticket that the account
        opened there, each right on a ticket."""
        return check_queue(self._session, self._options)

    # -- calls -------------------------------------------------------------------------------------

    def _lost(self, ref: TicketRef, wanted: JsonObject) -> list[str]:
        """Read the new ticket back: what does it not hold?"""
        try:
            return lost_of(wanted, self._read(ref))
        except AuthFailed as fault:
            text = f"{ref.key} was opened, and the account may not read it: give it ShowTicket"
            raise AuthFailed(PRODUCT, text, status=fault.status) from None
        except ConnectorError as fault:
            text = f"{ref.key} could not be read back: {fault.text}"
            raise OutcomeUnknown(PRODUCT, text, status=fault.status) from None

    def _keyless(self, ref: TicketRef) -> Rejected:
        name, queue = self._options.key_field, self._options.queue
        fault = Rejected(
            PRODUCT,
            f"{ref.key} was opened, but RT dropped the field {name}, by which it would be found "
            f"again: give the account SeeCustomField and ModifyCustomField in queue {queue}, and "
            f"close {ref.key} by hand",
            code="key_dropped",
        )
        self._session.http.note_fault(fault)
        return fault

    def _tell_lost(self, ref: TicketRef, lost: Sequence[str]) -> None:
        """The ticket stands and is of use: nobody is served by an error, nor by silence."""
        text = f"RT did not keep what was sent for: {', '.join(lost)}"
        mend = "look at the values that the field takes, and at ModifyCustomField"
        log.warning("rt ticket=%s: %s; %s", ref.key, text, mend)
        self._session.http.note_fault(
            Rejected(PRODUCT, f"{ref.key} was opened, but {text}", code="field_dropped")
        )
        try:
            self.comment_ticket(ref, "lost", Document((Paragraph(f"{text}; {mend}."),)))
        except ConnectorError as fault:
            log.warning("rt ticket=%s: that could not be said in it: %s", ref.key, fault.text)

    def _add(self, ticket: TicketRef, mark: str, comment: JsonObject) -> list[JsonObject]:
        """Send a comment whose subject ends with `mark`, and read its parts back."""
        title = self._title_of_commentable(ticket)
        subject = f"{line_of(title, _MAX_TITLE_BYTES)} {mark}"
        reply = self._session.send(
            "POST",
            _ticket_path(ticket, "comment"),
            repeat=Repeat.ONCE,
            json={**comment, "Subject": subject, "ContentType": "text/plain"},
            accept=(201,),
        )
        made = _TRANSACTION.search(reply.headers.get("Location", ""))
        if not isinstance(reply.json(), list) or not made:
            raise OutcomeUnknown(PRODUCT, "names no comment in its answer", status=reply.status)
        path = api_path("transaction", made[1], "attachments")
        parts = self._after_write(path, {"fields": "Subject,Filename"}).get("items")
        if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
            raise OutcomeUnknown(PRODUCT, "does not show the parts of the comment")
        if not parts:
            text = "the comment was added, and the account may not see it: give ShowTicketComments"
            raise AuthFailed(PRODUCT, text)
        return parts

    def _content(self, number: str) -> bytes:
        """A file as RT stored it. The length that RT tells is the one that was sent, cut or not."""
        return decoded(self._after_write(api_path("attachment", number)), OutcomeUnknown)

    def _after_write(self, path: str, params: Mapping[str, str | int] | None = None) -> JsonObject:
        try:
            return self._session.read(path, params)
        except ConnectorError as fault:
            text = f"the comment could not be read back: {fault.text}"
            raise OutcomeUnknown(PRODUCT, text, status=fault.status) from None

    def _title_of_commentable(self, ticket: TicketRef) -> str:
        """The ticket's subject, which RT's mails to watchers are to show.

        RT takes a comment on a deleted ticket, where nobody reads it; and it says 400 both to a
        ticket that is not there and to a missing right. So the ticket is asked first."""
        said = self._read(ticket)
        _require_not_deleted(ticket, said)
        if "comment" not in links_of(said):
            raise AuthFailed(PRODUCT, "give the account the right CommentOnTicket")
        return str(said.get("Subject") or "")

    def _read(self, ticket: TicketRef) -> JsonObject:
        return self._session.read(_ticket_path(ticket))

    def _ref(self, said: JsonObject, fault: type[OutcomeUnknown | Unavailable]) -> TicketRef:
        number = str(said.get("id", ""))
        if not (number.isascii() and number.isdigit()):
            raise fault(PRODUCT, "does not name the ticket in its answer")
        url = f"{self._site}{path_of('Ticket', 'Display.html')}?id={number}"
        return TicketRef(id=number, key=f"RT#{number}", url=url)


def _ticket_path(ticket: TicketRef, *more: str) -> str:
    if not ticket.id:
        raise Rejected(PRODUCT, "a ticket without an id cannot be asked for")
    return api_path("ticket", ticket.id, *more)


def _require_not_deleted(ticket: TicketRef, said: JsonObject) -> None:
    if said.get("Status") == "deleted":
        raise NotFound(PRODUCT, f"ticket {ticket.key} was deleted")
