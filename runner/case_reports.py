"""The tickets kept up: what changed is told once, and what was seen is attached.

Rows, each an intent and an outcome of its own; nothing here needs a run to be alive.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from connectors.base import Tickets, action_of
from connectors.document import Document, Paragraph
from connectors.errors import ConnectorError, Rejected
from connectors.model import TicketRef
from runner import report
from runner.config import Config, Mode
from runner.context import Call, Carry, StepFailed, Suspended
from runner.effects import Effects
from runner.evidence import case_files, state_sha256
from runner.journal import Journal, Tx, cases, runs
from runner.journal.records import LIVE, Case, StepResult, StepStatus
from runner.roles import Roles
from runner.ticket_news import TicketNews
from runner.ticket_state import TicketState
from runner.ticket_trouble import doubts, scope_of

log = logging.getLogger(__name__)

AT_ONCE = 50
"""So many cases are held in memory, of thousands that may have news."""
REPORTS_FOR_S = 5.0
"""How long news are told before decisions and runs get their turn."""
DOUBT_REST_S = 600.0
"""How long a ticket is not asked again where only a person can go on, unless something changed."""


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
        self._news = TicketNews(journal, config, roles, effects, self._state)
        self._told: set[str] = set()
        self._after = ""
        self._resting: dict[str, tuple[_Doubt, float]] = {}

    def report_cases(self) -> None:
        """Tell each ticket what changed since it was last told; one comment for all of it. After a
        few seconds others have their turn, and the next call goes on from there."""
        while self._told:
            self.trouble.pop(self._told.pop(), None)
        with self._journal.read() as tx:
            clock = tx.clock
            is_news = cases.has_unreported(tx)
        if is_news:
            with self._journal.write() as tx:
                cases.pass_over_unticketed(tx)
        until = clock.monotonic() + REPORTS_FOR_S
        while waiting := self._next():
            for case in waiting:
                fault = self._carry(f"report case={case.id}", partial(self._keep_up, case))
                if fault is not None:
                    self.trouble[case.id] = fault
                self._after = case.id
                if clock.monotonic() >= until:
                    return
        self._after = ""

    def _next(self) -> list[Case]:
        with self._journal.read() as tx:
            return cases.unreported(tx, self._after, AT_ONCE)

    def _keep_up(self, case: Case) -> None:
        try:
            self._report_or_tell(case)
        except Suspended:
            return
        except (ConnectorError, StepFailed) as fault:
            self.trouble[case.id] = str(fault)
            log.warning("ticket case=%s not kept up: %s", case.id, fault)
        else:
            if case.id not in self._told:
                self.trouble.pop(case.id, None)

    def _report_or_tell(self, case: Case) -> None:
        try:
            self._report(case)
        except (ConnectorError, StepFailed):
            if case.ticket is None or not self._news.is_gone(case.ticket):
                raise
            self._tell_once(case, self._news.tell_gone(case, case.ticket))

    def _report(self, case: Case) -> None:
        with self._journal.read() as tx:
            is_over = all(run.status not in LIVE for run in runs.of_case(tx, case.id))
            under_way = _under_way_until(tx, case)
            doubt = _doubt(tx, case, is_over=is_over)
            clock = tx.clock
        if case.ticket is None:
            return
        rested, until = self._resting.pop(case.id, (None, 0.0))
        if rested == doubt and clock.monotonic() < until:
            self._resting[case.id] = doubt, until
            raise Suspended("person")
        if under_way is not None:
            # An older comment that may still arrive must not come after this one.
            raise Suspended("time", under_way)
        left = self._keep_parts(case, case.ticket, is_over=is_over)
        if left.refused and self._news.is_gone(case.ticket):
            self._tell_once(case, self._news.tell_gone(case, case.ticket))
            return
        for part, why in left.refused.items():
            self._news.tell_refused(case, case.ticket, part, why)
        if left.fault is not None:
            raise left.fault
        if left.is_in_doubt:
            self._news.tell_doubts(case, case.ticket)
            with self._journal.read() as tx:
                doubt = _doubt(tx, case, is_over=is_over)
            self._resting[case.id] = doubt, clock.monotonic() + DOUBT_REST_S
            raise Suspended("person")
        self._set_reported(case)

    def _tell_once(self, case: Case, text: str) -> None:
        """Shown in this round; the channel and the journal keep it."""
        self._told.add(case.id)
        self.trouble[case.id] = text

    def _keep_parts(self, case: Case, ticket: TicketRef, *, is_over: bool) -> _Left:
        """Each part for itself: what the product refuses, or nobody knows, stops no other one. The
        status comes first: a comment that is refused must not leave it saying what is past."""
        scope = scope_of(case.id)
        parts: dict[str, Callable[[], None]] = {
            "status": lambda: self._state.keep_up(
                case, ticket, scope, partial(self._say, case, ticket)
            ),
            "comment": lambda: self._comment(case, ticket),
            "closed": lambda: self._news.tell_closed(case, ticket),
        }
        left = _Left()
        for part, keep_up in parts.items():
            left.do(part, keep_up)
        if is_over:
            for attach in self._evidence(case, ticket):
                left.do("evidence", attach)
        return left

    def _comment(self, case: Case, ticket: TicketRef) -> None:
        tickets = self._roles.tickets
        key = hashlib.sha256(f"{case.id}:{case.revision}".encode()).hexdigest()[:24]
        with self._journal.read() as tx:
            document = report.case_document(tx, case, self._config.mode)
        self._perform(
            case,
            f"comment.{case.revision}",
            "comment_ticket",
            lambda: tickets.comment_ticket(ticket, key, document),
            lambda: tickets.find_comment(ticket, key) or None,
        )

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

    def _evidence(self, case: Case, ticket: TicketRef) -> Iterator[Callable[[], None]]:
        """A call for each file: when the runs have ended, and once more for each state that came
        later. What is in doubt comes first: no intent is overtaken by the next state."""
        with self._journal.read() as tx:
            state = state_sha256(tx, case)[:16]
            sent = [
                _Sent(step) for step in runs.steps_of(tx, scope_of(case.id)) if _is_attach(step)
            ]
            edition = _edition(sent, state)
            files = case_files(tx, case, edition)
            older = [(one, case_files(tx, case, one.edition)) for one in sent if one.is_open]
        for one, its_files in older:
            # A graph whose hunts were erased since cannot be sent again.
            if one.name in its_files:
                yield partial(self._attach, case, ticket, one.key, one.name, its_files[one.name])
        for name, content in files.items():
            key = f"attach.{edition}.{state}.{name}"
            yield partial(self._attach, case, ticket, key, name, content)

    def _attach(self, case: Case, ticket: TicketRef, key: str, name: str, content: bytes) -> None:
        tickets = self._roles.tickets
        self._perform(
            case,
            key,
            "attach_file",
            lambda: tickets.attach_file(ticket, name, content),
            lambda: tickets.find_attachment(ticket, name) or None,
        )

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
            outlasts_sign_in=True,
        )
        # A ticket that was opened is kept up, whatever the mode is by then.
        self._effects.perform(scope_of(case.id), key, call, Mode.ACT)


class _Left:
    """What a report could not do: parts that were refused, a failed look, and whether a person
    must say what happened."""

    def __init__(self) -> None:
        self.refused: dict[str, str] = {}
        self.fault: Rejected | None = None
        self.is_in_doubt = False

    def do(self, part: str, keep_up: Callable[[], None]) -> None:
        try:
            keep_up()
        except StepFailed as fault:
            self.refused.setdefault(part, fault.text)
        except Rejected as fault:
            self.fault = self.fault or fault
        except Suspended as suspended:
            if suspended.wait_on != "person":
                raise
            self.is_in_doubt = True


_Doubt = tuple[int, bool, tuple[str, ...]]


def _doubt(tx: Tx, case: Case, *, is_over: bool) -> _Doubt:
    """All that a case waits with for a person; with any other, its ticket is looked at again."""
    return case.revision, is_over, tuple(step.key for step in doubts(tx, case.id))


def _under_way_until(tx: Tx, case: Case) -> datetime | None:
    """Until when a comment of an earlier revision may still land; None when none may."""
    own = f"comment.{case.revision}"
    older = (
        step.settle_until
        for step in runs.steps_of(tx, scope_of(case.id))
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
