"""The tickets kept up: what changed is told once, and what was seen is attached.

Rows, each an intent and an outcome of its own; nothing here needs a run to be alive.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from connectors.base import Chat, Tickets, action_of
from connectors.document import Document, Paragraph
from connectors.errors import ConnectorError, NotFound
from connectors.model import CaseStage, TicketRef
from runner import report, wording
from runner.case_stage import stage_of
from runner.config import Config, Mode
from runner.context import Call, Carry, StepFailed, Suspended
from runner.effects import Effects
from runner.evidence import case_files, state_sha256
from runner.journal import Journal, Tx, cases, runs
from runner.journal.records import LIVE, Case, StepResult, StepStatus
from runner.roles import Roles
from runner.ticket_state import TicketState

log = logging.getLogger(__name__)


class CaseReports:
    """Tells each ticket what changed. `trouble`: what could not be done, by case."""

    def __init__(
        self,
        journal: Journal,
        config: Config,
        roles: Roles,
        effects: Effects,
        carry: Carry,
        trouble: dict[str, str],
    ) -> None:
        self._journal = journal
        self._config = config
        self._roles = roles
        self._effects = effects
        self._carry = carry
        self.trouble = trouble
        self._state = TicketState(journal, roles, effects)
        self._gone: set[str] = set()

    def report_cases(self) -> None:
        """Tell each ticket what changed since it was last told; one comment for all of it."""
        while self._gone:
            self.trouble.pop(self._gone.pop(), None)
        with self._journal.read() as tx:
            waiting = cases.unreported(tx)
        for case in waiting:
            fault = self._carry(f"report case={case.id}", partial(self._keep_up, case))
            if fault is not None:
                self.trouble[case.id] = fault

    def _keep_up(self, case: Case) -> None:
        try:
            self._report_or_tell(case)
        except Suspended:
            return
        except (ConnectorError, StepFailed) as fault:
            self.trouble[case.id] = str(fault)
            log.warning("ticket case=%s not kept up: %s", case.id, fault)
        else:
            if case.id not in self._gone:
                self.trouble.pop(case.id, None)

    def _report_or_tell(self, case: Case) -> None:
        try:
            self._report(case)
        except (ConnectorError, StepFailed):
            if case.ticket is None or not self._is_gone(case.ticket):
                raise
            self._tell_gone(case, case.ticket)

    def _report(self, case: Case) -> None:
        with self._journal.read() as tx:
            is_over = all(run.status not in LIVE for run in runs.of_case(tx, case.id))
            document = report.case_document(tx, case, self._config.mode)
            under_way = _under_way_until(tx, case)
        if case.ticket is None:
            if is_over:
                self._set_reported(case)
            return
        if under_way is not None:
            # An older comment that may still arrive must not come after this one.
            raise Suspended("time", under_way)
        ticket = case.ticket
        tickets = self._roles.tickets
        key = hashlib.sha256(f"{case.id}:{case.revision}".encode()).hexdigest()[:24]
        # The status first: a comment that is refused must not leave it saying what is past.
        self._state.keep_up(case, ticket, _scope(case), partial(self._say, case, ticket))
        self._perform(
            case,
            f"comment.{case.revision}",
            "comment_ticket",
            lambda: tickets.comment_ticket(ticket, key, document),
            lambda: tickets.find_comment(ticket, key) or None,
        )
        self._tell_closed(case, ticket)
        if is_over:
            self._attach_evidence(case, ticket)
        self._set_reported(case)

    def _say(self, case: Case, ticket: TicketRef, key: str, text: str) -> None:
        """Say a sentence in the ticket, once for its key."""
        tickets = self._roles.tickets
        own = hashlib.sha256(f"{case.id}:said:{key}".encode()).hexdigest()[:24]
        body = Document(blocks=(Paragraph(text=text),))
        self._perform(
            case,
            f"said.{own}",
            "comment_ticket",
            lambda: tickets.comment_ticket(ticket, own, body),
            lambda: tickets.find_comment(ticket, own) or None,
        )

    # -- evidence ----------------------------------------------------------------------------------

    def _attach_evidence(self, case: Case, ticket: TicketRef) -> None:
        """The evidence when the runs have ended, and once more for each state that came later. What
        is in doubt comes first: no intent is overtaken by the next state."""
        with self._journal.read() as tx:
            state = state_sha256(tx, case)[:16]
            sent = [_Sent(step) for step in runs.steps_of(tx, _scope(case)) if _is_attach(step)]
            edition = _edition(sent, state)
            files = case_files(tx, case, edition)
            doubts = [(one, case_files(tx, case, one.edition)) for one in sent if one.is_open]
        for doubt, its_files in doubts:
            # A graph whose hunts were erased since cannot be sent again.
            if doubt.name in its_files:
                self._attach(case, ticket, doubt.key, doubt.name, its_files[doubt.name])
        for name, content in files.items():
            self._attach(case, ticket, f"attach.{edition}.{state}.{name}", name, content)

    def _attach(self, case: Case, ticket: TicketRef, key: str, name: str, content: bytes) -> None:
        tickets = self._roles.tickets
        self._perform(
            case,
            key,
            "attach_file",
            lambda: tickets.attach_file(ticket, name, content),
            lambda: tickets.find_attachment(ticket, name) or None,
        )

    # -- a ticket that is closed or gone -----------------------------------------------------------

    def _tell_closed(self, case: Case, ticket: TicketRef) -> None:
        """Say in the channel, once a case, that news went to a closed ticket; not where we closed
        it and the case is over."""
        if not self._roles.has("chat") or not self._roles.tickets.read_ticket(ticket).is_closed:
            return
        with self._journal.read() as tx:
            is_ours = self._state.is_closed_by_us(tx, _scope(case))
            if is_ours and stage_of(tx, case) is CaseStage.CLOSED:
                return
        text = (
            f"Ticket {ticket.key} is closed, and its case {case.id} has news. Stockade tells it"
            " there, and opens no other ticket."
        )
        self._post(case, ticket, "closed", text)

    def _is_gone(self, ticket: TicketRef) -> bool:
        """Only the ticket's own record says so: a refused comment may have another reason."""
        try:
            self._roles.tickets.read_ticket(ticket)
        except NotFound:
            return True
        except ConnectorError as fault:
            log.warning("ticket=%s cannot be read: %s", ticket.key, fault)
        return False

    def _tell_gone(self, case: Case, ticket: TicketRef) -> None:
        """Say in the channel, once a ticket, that it tells no more; no other is opened, for people
        may have had their reasons. Should it come back, the case's next news are told there."""
        text = (
            f"Ticket {ticket.key} of this case was deleted, or may no longer be seen by Stockade."
            f" What happens to the case is told by `stockade show {case.id}`."
        )
        log.warning("ticket=%s of case=%s is gone or hidden", ticket.key, case.id)
        self._gone.add(case.id)
        self.trouble[case.id] = text
        if self._roles.has("chat"):
            self._post(case, ticket, "gone", text)
        with self._journal.write() as tx:
            tx.entry("ticket_gone", {"case": case.id}, ticket)
            cases.set_reported(tx, case.id, case.revision)

    def _post(self, case: Case, ticket: TicketRef, what: str, text: str) -> None:
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
            self._effects.begin(_scope(case), f"{what}.{ticket.id}", call, self._config.mode)
        except StepFailed as fault:
            self.trouble[case.id] = f"{text} The channel could not be told: {fault}"

    # -- rows --------------------------------------------------------------------------------------

    def _set_reported(self, case: Case) -> None:
        with self._journal.write() as tx:
            cases.set_reported(tx, case.id, case.revision)

    def _perform(
        self,
        case: Case,
        key: str,
        verb: str,
        send: Callable[[], Any],
        look: Callable[[], Any],
    ) -> None:
        action = action_of(getattr(Tickets, verb))
        call = Call(
            name=verb,
            send=lambda _elapsed_s: send(),
            action=action,
            look=lambda _at: look(),
            settle_s=self._roles.settle_s("tickets", action),
            again_s=86400.0,
        )
        # A ticket that was opened is kept up, whatever the mode is by then.
        self._effects.perform(_scope(case), key, call, Mode.ACT)


def _scope(case: Case) -> str:
    return f"case:{case.id}"


def _under_way_until(tx: Tx, case: Case) -> datetime | None:
    """Until when a comment of an earlier revision may still land; None when none may."""
    own = f"comment.{case.revision}"
    older = (
        step.settle_until
        for step in runs.steps_of(tx, _scope(case))
        if step.key.startswith("comment.") and step.key != own and step.ended_at is None
    )
    now = tx.clock.now()
    return max((at for at in older if at is not None and at > now), default=None)


def _is_attach(step: StepResult) -> bool:
    return step.key.startswith("attach.")


class _Sent:
    """One file that was meant to be attached, as its intent names it:
    `attach.<edition>.<state>.<name>`; in journals of before, `attach.<name>`, the first edition."""

    def __init__(self, step: StepResult) -> None:
        self.key = step.key
        self.is_open = step.status in (StepStatus.INTENDED, StepStatus.PENDING)
        edition, _, rest = step.key.removeprefix("attach.").partition(".")
        is_numbered = edition.isdecimal()
        self.edition = int(edition) if is_numbered else 1
        self.state, _, name = rest.partition(".")
        self.name = name if is_numbered else step.key.removeprefix("attach.")


def _edition(sent: Sequence[_Sent], state: str) -> int:
    """Which edition of the evidence tells this state: the one that already did, or the next."""
    for one in sent:
        if one.state == state:
            return one.edition
    return 1 + max((one.edition for one in sent), default=0)
