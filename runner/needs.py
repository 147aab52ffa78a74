"""What only a person can resolve, as the journal has it."""

from __future__ import annotations

from datetime import timedelta

from runner import ticket_trouble
from runner.journal import Journal, approvals, ledger, runs
from runner.refused_sign_ins import refused

FAILURE_SHOWN = timedelta(hours=24)
"""How long a failed run, and what a ticket refused, is shown as something that needs a person."""


def needs_of(journal: Journal) -> list[str]:
    """What only a person can resolve, a sentence each with the command that does it."""
    with journal.read() as tx:
        since = tx.clock.now() - FAILURE_SHOWN
        parked = runs.parked_steps(tx)
        talking = [row for row in ledger.standing(tx) if ledger.is_contradicted(row)]
        found = [
            f"{run.playbook} failed for {run.case_id} ({run.error}): "
            f"look at stockade show {run.case_id}"
            for run in runs.failed_since(tx, since)
        ]
        found += [refusal.sentence() for refusal in refused(tx)]
        found += [one.sentence() for one in ticket_trouble.refused_since(tx, since)]
        for step in parked:
            code = approvals.code_of(step.scope, step.key)
            found.append(
                f"nobody knows whether {step.key} of {step.scope} happened: look at the product, "
                f"then run stockade resolve {code} happened|not|stop"
            )
        for row in talking:
            found.append(
                f"{row.device.hostname} is isolated, says the EDR, and talks with "
                f"{', '.join(row.talk.foreign[:3] if row.talk else ())}: look at it, and at "
                f"stockade isolations"
            )
    return found
