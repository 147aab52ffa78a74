"""The tickets kept up: what changed is told once, and what was seen is attached.

Rows, each an intent and an outcome of its own; nothing here needs a run to be alive.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from connectors.base import Tickets, action_of
from connectors.errors import ConnectorError
from connectors.model import TicketRef
from runner import report
from runner.config import Config, Mode
from runner.context import Call, Carry, StepFailed, Suspended
from runner.effects import Effects
from runner.evidence import case_files
from runner.journal import Journal, cases, runs
from runner.journal.records import LIVE, Case
from runner.roles import Roles

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

    def report_cases(self) -> None:
        """Tell each ticket what changed since it was last told; one comment for all of it."""
        with self._journal.read() as tx:
            waiting = cases.unreported(tx)
        for case in waiting:
            fault = self._carry(f"report case={case.id}", partial(self._keep_up, case))
            if fault is not None:
                self.trouble[case.id] = fault

    def _keep_up(self, case: Case) -> None:
        try:
            self._report(case)
        except Suspended:
            return
        except (ConnectorError, StepFailed) as fault:
            self.trouble[case.id] = str(fault)
            log.warning("ticket case=%s not kept up: %s", case.id, fault)
        else:
            self.trouble.pop(case.id, None)

    def _report(self, case: Case) -> None:
        with self._journal.read() as tx:
            is_over = all(run.status not in LIVE for run in runs.of_case(tx, case.id))
            document = report.case_document(tx, case, self._config.mode)
            files = case_files(tx, case) if is_over and case.ticket else {}
        if case.ticket is None:
            if is_over:
                self._set_reported(case)
            return
        ticket = case.ticket
        tickets = self._roles.tickets
        key = hashlib.sha256(f"{case.id}:{case.revision}".encode()).hexdigest()[:24]
        self._perform(
            case,
            f"comment.{case.revision}",
            "comment_ticket",
            lambda: tickets.comment_ticket(ticket, key, document),
            lambda: tickets.find_comment(ticket, key) or None,
        )
        for name, content in files.items():
            self._attach(case, ticket, name, content)
        self._set_reported(case)

    def _attach(self, case: Case, ticket: TicketRef, name: str, content: bytes) -> None:
        """One file of the evidence, once when the case's runs have ended."""
        tickets = self._roles.tickets
        self._perform(
            case,
            f"attach.{name}",
            "attach_file",
            lambda: tickets.attach_file(ticket, name, content),
            lambda: tickets.find_attachment(ticket, name) or None,
        )

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
            look=look,
            settle_s=self._roles.settle_s("tickets", action),
            again_s=86400.0,
        )
        # A ticket that was opened is kept up, whatever the mode is by then.
        self._effects.perform(f"case:{case.id}", key, call, Mode.ACT)
