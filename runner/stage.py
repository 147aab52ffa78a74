"""Where a playbook is rehearsed: the real engine, guards and questions on a throw-away journal.

Time is set by hand: to the moment of each hit, and on to whatever is due next. So budgets, shared
questions and refusals come out as they would have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from connectors.model import Answer, Device, Row
from runner import arming
from runner.alerts import case_key, make_alert
from runner.bundle import Bundle
from runner.config import Config, SearchConfig
from runner.crew import Crew
from runner.hostname import normalise_host
from runner.journal import Journal, approvals, cases, ledger, runs
from runner.journal.records import (
    Approval,
    ApprovalState,
    ChoiceRole,
    LedgerRow,
    LedgerState,
    Subject,
    SubjectState,
)
from runner.routing import Admission, Routing, start_run
from runner.stage_memory import Memory
from runner.staged import about
from runner.stand_in_talk import StandInChat, StandInTickets
from runner.stand_ins import Deed, EdrMemory, EdrOverlay, StandInRoles

MOST_TURNS = 20_000
"""How often one hit may go on before the rehearsal says that it does not end."""


class Endless(Exception):
    """A run goes on and on; the text says which."""


class PlayClock:
    """Time that only the rehearsal moves, and never back."""

    def __init__(self, start: datetime, now: datetime | None = None) -> None:
        self.began_at = start
        self._now = start if now is None else now

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return (self._now - self.began_at).total_seconds()

    def sleep(self, seconds: float) -> None:
        self.go_to(self._now + timedelta(seconds=seconds))

    def go_to(self, moment: datetime) -> None:
        self._now = max(self._now, moment)


def assumed(people: Config, says: str) -> Callable[[Approval], tuple[Answer, ...]]:
    """Every question is answered alike: yes (the first candidate where one is to be picked), no, or
    by nobody."""

    def answer(asked: Approval) -> tuple[Answer, ...]:
        wanted = {
            "yes": (ChoiceRole.APPROVE, ChoiceRole.PICK, ChoiceRole.ANSWER),
            "no": (ChoiceRole.DENY,),
        }.get(says, ())
        choices = [one.choice.emoji for one in asked.choices if one.role in wanted]
        names = people.approvals.approvers[: max(asked.quorum, 1)]
        accounts = [people.people[name].account for name in names]
        return tuple(
            Answer(account=account, choice=choices[0])
            for account in accounts
            if account is not None and choices
        )

    return answer


class Stage:
    """One rehearsal. `products`: the reading stand-ins, by role; chat and tickets are added for
    roles in `spoken`. Nothing outside of `folder` is written."""

    def __init__(
        self,
        folder: Path,
        config: Config,
        clock: PlayClock,
        products: Mapping[str, object],
        deeds: list[Deed],
        answer: Callable[[Approval], tuple[Answer, ...]],
        bundles: Mapping[str, Bundle],
        spoken: tuple[str, ...] = ("chat", "tickets"),
    ) -> None:
        self.config = config
        self.clock = clock
        self.deeds = deeds
        self.journal = Journal(folder, clock, actor="rehearsal")
        self._chat = StandInChat(
            clock,
            deeds,
            lambda key: ", ".join(about(self._approval(key))),
            lambda key: answer(self._approval(key)),
        )
        self._edr = products.get("edr")
        self._tickets = StandInTickets(deeds)
        ours = {"chat": self._chat, "tickets": self._tickets}
        self.roles = StandInRoles(config, {**products, **{name: ours[name] for name in spoken}})
        self._routing = Routing(config, bundles)
        self.crew = Crew(self.journal, config, self.roles, clock, self._look, _carry)

    def open(self, stopped: Memory | None = None) -> tuple[str, ...]:
        """Arm the throw-away journal, or go on where a rehearsal was stopped; why it only observes
        all the same, a sentence each."""
        self.journal.own()
        arming.refresh_proof(self.journal, self.config, lambda: self.roles.edr)
        if stopped is not None:
            self._recall(stopped)
        with self.journal.write() as tx:
            if stopped is None:
                # Once: arming anew would only observe the hits before.
                arming.arm(tx, "rehearsal", "a rehearsal")
            return arming.standing(tx, self.config).why

    def memory(self, digest: str, done: int) -> Memory:
        """What going on later needs beside the journal."""
        edr = self._edr.memory() if isinstance(self._edr, EdrOverlay) else EdrMemory()
        return Memory(
            digest=digest,
            done=done,
            began_at=self.clock.began_at,
            now=self.clock.now(),
            edr=edr,
            chat=self._chat.memory(),
            tickets=self._tickets.memory(),
        )

    def _recall(self, stopped: Memory) -> None:
        if isinstance(self._edr, EdrOverlay):
            self._edr.recall(stopped.edr)
        self._chat.recall(stopped.chat)
        self._tickets.recall(stopped.tickets)

    def close(self) -> None:
        self.journal.close()

    def admit(self, search: SearchConfig, row: Row, siem: str) -> Admission:
        """Take one hit in. Errors: `Unrouted`."""
        alert = make_alert(
            row, siem=siem, search=search.name, identity=search.identity, fields=search.fields
        )
        with self.journal.write() as tx:
            return self._routing.admit(tx, search, alert)

    def begin(
        self, search: SearchConfig, row: Row, siem: str, bundle: Bundle, inputs: dict[str, Any]
    ) -> str:
        """Start one playbook with inputs, for a case of its own; gives the case's id."""
        alert = make_alert(
            row, siem=siem, search=search.name, identity=search.identity, fields=search.fields
        )
        host = None if alert.host is None else normalise_host(alert.host)
        with self.journal.write() as tx:
            case = cases.new_case(tx, alert, case_key(alert), host)
            cases.add_alert(tx, alert, case.id)
            start_run(tx, case.id, alert.id, bundle, inputs=inputs)
        return case.id

    def hold(self, device: Device, case_id: str) -> None:
        """A device that was isolated for a case before the rehearsal begins."""
        row = LedgerRow(
            subject=device.subject,
            device=device,
            state=LedgerState.CONFIRMED,
            holders=(case_id,),
        )
        claimed = Subject(name=device.subject, state=SubjectState.HELD, case_id=case_id)
        with self.journal.write() as tx:
            ledger.save(tx, row)
            approvals.claim(tx, claimed)

    def settle(self, until: datetime | None = None) -> None:
        """Do what is due by `until`, or until nothing waits. Errors: `Endless`."""
        for _ in range(MOST_TURNS):
            self._look()
            with self.journal.read() as tx:
                run = runs.next_due(tx)
            if run is not None:
                self.crew.engine.advance(run)
                continue
            due = self._next_at()
            if due is None or (until is not None and due > until):
                return
            self.clock.go_to(max(due, self.clock.now() + timedelta(milliseconds=1)))
        raise Endless(f"after {MOST_TURNS} turns it still goes on")

    def _look(self) -> None:
        self.crew.cards.advance()

    def _next_at(self) -> datetime | None:
        now = self.clock.now()
        with self.journal.read() as tx:
            waiting = [one for one in approvals.unclosed(tx) if one.state is ApprovalState.OPEN]
            wake_at = runs.next_wake_at(tx)
        times = [wake_at, *(one.expires_at for one in waiting)]
        if waiting:
            times.append(self._chat.next_answer_at(now))
        return min((at for at in times if at is not None), default=None)

    def _approval(self, key: str) -> Approval:
        with self.journal.read() as tx:
            return approvals.read(tx, key)


def _carry(_what: str, work: Callable[[], None]) -> str | None:
    """A fault of the program ends a rehearsal; it has no other work to protect."""
    work()
    return None
