"""The command `erase`: what a finished case said goes, and the proof that it was there stays.

Which cases may be forgotten is retention's own answer; this adds who asked for it and why, and
takes care that the text is gone from the files, too.
"""

from __future__ import annotations

from datetime import datetime

from runner.journal import Journal, JournalError, Tx, approvals, cases, ledger, retention, runs
from runner.journal.records import LIVE, STANDING, Case, LedgerState, StepStatus
from runner.journal.traces import older_copies
from runner.result import Result
from runner.wording import clock_text


def erase_case(journal: Journal, case_id: str, actor: str, reason: str) -> Result:
    """Erase one case. Repeat: only the files are cleaned again. Exit code 2 while something of it
    is under way, or may still be isolated; 1 when its text may still lie in a file."""
    with journal.write(actor) as tx:
        case = cases.find(tx, case_id)
        if case is None:
            text = absence(tx, case_id)
            if not was_erased(tx, case_id):
                return Result(code=2, data={"error": text}, text=text)
            ticket = ""
        else:
            count = retention.erase_case(tx, case_id, reason)
            if count is None:
                text = f"{case_id} is not erased: {_why_not(tx, case)}"
                return Result(code=2, data={"error": text}, text=text)
            text = f"{case_id} is erased: {count} entries keep their hashes, not what they said"
            ticket = case.ticket.key if case.ticket else ""
    return _cleaned(journal, text, ticket)


def erase_before(journal: Journal, before: datetime, actor: str, reason: str) -> Result:
    """Erase all that finished before a time, as retention does. Repeat: what is left of it."""
    if before > _now(journal):
        text = f"{clock_text(before)} is not over yet; name a day that is"
        return Result(code=2, data={"error": text}, text=text)
    with journal.write(actor) as tx:
        tx.entry("erase_asked", {}, {"before": before, "reason": reason})
    count = 0
    while True:
        with journal.write(actor) as tx:
            taken = retention.erase(tx, before, is_whole=True)
        count += taken.cases
        if not (taken.cases or taken.payloads or taken.polls):
            break
    return _cleaned(journal, f"{count} case(s) that finished before {clock_text(before)}: erased")


def _now(journal: Journal) -> datetime:
    with journal.read() as tx:
        return tx.clock.now()


def _cleaned(journal: Journal, text: str, ticket: str = "") -> Result:
    copies = older_copies(journal.path)
    data = {"said": text, "ticket": ticket or None, "copies": copies}
    try:
        journal.note_head()
        journal.rewrite()
    except JournalError as fault:
        text += f"; but it may still lie in the file's free pages or its log: {fault}. Repeat this"
        return Result(code=1, data=data | {"error": str(fault)}, text=text)
    kept = [*copies, "backups", f"the ticket {ticket}" if ticket else "tickets", "the chat"]
    return Result(code=0, data=data, text=f"{text}\nNot touched: {', '.join(kept)}")


# -- why not ---------------------------------------------------------------------------------------


def _why_not(tx: Tx, case: Case) -> str:
    """What keeps a case, and what to do about it. Retention has ruled: this only explains."""
    for row in ledger.of_case(tx, case.id):
        if row.state in (*STANDING, LedgerState.RELEASE_REQUESTED, LedgerState.FOREIGN):
            name = row.device.hostname
            return f"{name} is, or may be, isolated for it; stockade release {name} --reason …"
        if ledger.is_counted(tx, row.subject):
            return f"{row.device.hostname} was isolated within the hour, which the budget counts"
    its_runs = runs.of_case(tx, case.id)
    for run in its_runs:
        if any(step.status is StepStatus.UNKNOWN for step in runs.steps_of(tx, run.id)):
            return "nobody knows yet what became of a call; stockade status says which"
        for asked in approvals.of_run(tx, run.id):
            if not asked.closed or asked.due_at is not None:
                return f"its question {asked.code} is {asked.state}; let it come to its end"
    if any(run.status in LIVE for run in its_runs):
        return "it is under way; let its run end"
    if tx.one("select 1 from cases where id = ? and revision > reported", case.id):
        return "its ticket is not told all yet; let stockade run do that"
    return "a person opened it for a device that may be taken up again, or it never had a run"


# -- what is left ----------------------------------------------------------------------------------


def was_erased(tx: Tx, case_id: str) -> bool:
    """Was there a case of this name? An alert keeps its number and its case's name for good."""
    is_known = tx.one("select 1 from alert where case_id = ? limit 1", case_id) is not None
    return is_known and cases.find(tx, case_id) is None


def absence(tx: Tx, case_id: str) -> str:
    """Why a case cannot be shown: it never was, or it was erased, when, by whom and why."""
    if not was_erased(tx, case_id):
        return f"there is no case {case_id}; stockade cases lists them"
    by = retention.erasure_of(tx, case_id)
    if by is None:
        return f"{case_id} was erased by retention; its entries stand in the chain"
    return (
        f"{case_id} was erased at {clock_text(by.at)} by {by.actor}: {by.reason}. "
        f"{len(by.entries)} entries stand in the chain, without what they said"
    )
