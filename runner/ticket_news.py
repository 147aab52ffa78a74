"""What the channel is told of a case's ticket: that it is closed, gone, refused something, or that
nobody knows what it shows. Each once."""

from __future__ import annotations

import hashlib
import logging

from connectors.base import Chat, action_of
from connectors.errors import ConnectorError, NotFound
from connectors.model import CaseStage, TicketRef
from runner import wording
from runner.case_stage import stage_of
from runner.config import Config
from runner.context import Call, StepFailed, Suspended
from runner.effects import Effects
from runner.journal import Journal, cases
from runner.journal.records import Case
from runner.roles import Roles
from runner.ticket_state import TicketState
from runner.ticket_trouble import WORDS, doubt_text, doubts, note_refusal, scope_of

log = logging.getLogger(__name__)


class TicketNews:
    """Speaks in the channel, never in the ticket."""

    def __init__(
        self,
        journal: Journal,
        config: Config,
        roles: Roles,
        effects: Effects,
        state: TicketState,
    ) -> None:
        self._journal = journal
        self._config = config
        self._roles = roles
        self._effects = effects
        self._state = state

    def tell_closed(self, case: Case, ticket: TicketRef) -> None:
        """Say in the channel, once a case, that news went to a closed ticket; not where we closed
        it and the case is over."""
        if not self._roles.has("chat") or not self._roles.tickets.read_ticket(ticket).is_closed:
            return
        with self._journal.read() as tx:
            is_ours = self._state.is_closed_by_us(tx, scope_of(case.id))
            if is_ours and stage_of(tx, case) is CaseStage.CLOSED:
                return
        text = (
            f"Ticket {ticket.key} is closed, and its case {case.id} has news. Stockade tells it"
            " there, and opens no other ticket."
        )
        self._post(case, ticket, "closed", text)

    def is_gone(self, ticket: TicketRef) -> bool:
        """Only the ticket's own record says so: a refused comment may have another reason."""
        try:
            self._roles.tickets.read_ticket(ticket)
        except NotFound:
            return True
        except ConnectorError as fault:
            log.warning("ticket=%s cannot be read: %s", ticket.key, fault)
        return False

    def tell_gone(self, case: Case, ticket: TicketRef) -> str:
        """Say in the channel, once a ticket, that it tells no more; no other is opened, for people
        may have had their reasons. Should it come back, the case's next news are told there."""
        text = (
            f"Ticket {ticket.key} of this case was deleted, or may no longer be seen by Stockade."
            f" What happens to the case is told by `stockade show {case.id}`."
        )
        log.warning("ticket=%s of case=%s is gone or hidden", ticket.key, case.id)
        text = self._post(case, ticket, "gone", text)
        with self._journal.write() as tx:
            tx.entry("ticket_gone", {"case": case.id}, ticket)
            cases.set_reported(tx, case.id, case.revision)
        return text

    def tell_refused(self, case: Case, ticket: TicketRef, part: str, why: str) -> None:
        """Say in the channel, once a ticket and part, what it refused; each revision is noted."""
        text = (
            f"Ticket {ticket.key} of this case refused {WORDS[part]}: {why}. What it does not tell,"
            f" `stockade show {case.id}` does."
        )
        log.warning("ticket=%s of case=%s refused part=%s: %s", ticket.key, case.id, part, why)
        with self._journal.write() as tx:
            note_refusal(tx, case, ticket, part, why)
        self._post(case, ticket, f"refused.{part}", text)

    def tell_doubts(self, case: Case, ticket: TicketRef) -> None:
        """Say in the channel, once each, what nobody knows of a ticket, and how that is ended."""
        with self._journal.read() as tx:
            found = doubts(tx, case.id)
        for step in found:
            self._post(case, ticket, f"doubt.{step.key}", f"{doubt_text(step, ticket)}.")

    def _post(self, case: Case, ticket: TicketRef, what: str, text: str) -> str:
        """Say it once; the text, with what stood against it."""
        if not self._roles.has("chat"):
            return text
        chat = self._roles.chat
        action = action_of(Chat.post_message)
        key = hashlib.sha256(f"{case.id}:{what}:{ticket.id}".encode()).hexdigest()[:24]
        body = wording.message_document(text, case.id, self._config.mode)
        call = Call(
            name="post_message",
            send=lambda _elapsed_s: chat.post_message(key, body),
            action=action,
            look=lambda at: chat.find_message(key, sent_at=at),
            settle_s=self._roles.settle_s("chat", action),
            again_s=86400.0,
        )
        try:
            self._effects.begin(scope_of(case.id), f"{what}.{ticket.id}", call, self._config.mode)
        except StepFailed as fault:
            return f"{text} The channel could not be told: {fault}"
        except Suspended as suspended:
            # Whether the channel knows it is a person's to find out; the ticket does not wait.
            if suspended.wait_on != "person":
                raise
        return text
