"""After the run: the ledger against the EDR, isolated hosts listened to, tickets kept up.

Rows, each an intent and an outcome of its own; nothing here needs a run to be alive.
"""

from __future__ import annotations

from datetime import datetime

from runner.case_reports import CaseReports
from runner.config import Config
from runner.context import Carry
from runner.effects import Effects
from runner.journal import Journal, ledger
from runner.ledger_watch import LedgerWatch
from runner.roles import Roles
from runner.talk_watch import TalkWatch


class FollowUp:
    """Watches isolations and reports cases. `trouble`: what could not be done, by row."""

    def __init__(
        self, journal: Journal, config: Config, roles: Roles, effects: Effects, carry: Carry
    ) -> None:
        self._journal = journal
        self.trouble: dict[str, str] = {}
        self._ledger = LedgerWatch(journal, roles, carry, self.trouble)
        self._talk = TalkWatch(journal, config, roles, carry)
        self._reports = CaseReports(journal, config, roles, effects, carry, self.trouble)

    def watch_ledger(self) -> None:
        """Compare the ledger with the EDR, where that is due."""
        self._ledger.watch()

    def listen(self) -> None:
        """Ask the SIEM whether what is isolated still talks, where that is configured and due."""
        self._talk.watch()

    def report_cases(self) -> None:
        """Tell each ticket what changed since it was last told."""
        self._reports.report_cases()

    def next_due_at(self) -> datetime | None:
        with self._journal.read() as tx:
            return ledger.next_due_at(tx)
