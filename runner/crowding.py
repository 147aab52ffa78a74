"""How many questions are put at once: nobody reads the hundredth card, and everybody clicks it.

A question that is held back costs nothing but time, and only until one before it is decided: its
device is neither cut off nor called clean. What is graver than all that is open is never held back.
"""

from __future__ import annotations

from datetime import timedelta

from connectors.base import Effect
from runner.choices import is_pick
from runner.context import Question
from runner.journal import Tx, approvals, cases, runs
from runner.journal.records import Approval, ApprovalState, Run

CROWD = "crowd"
"""What a run waits on whose question is held back."""
MOST_OPEN = 10
"""So many devices people are asked about at once."""
MOST_OF_ONE_CAMPAIGN = 3
"""So many of them that show the same address or file."""
AGAIN = timedelta(minutes=15)
"""When a question that is held back is tried again, if nothing was decided until then."""
NEXT = 3
"""How many are let on when one is decided: the worst first."""
TOLD_AT = (1, 10, 100, 1000, 10_000)


def hold_back(tx: Tx, run: Run, question: Question) -> bool:
    """Must this question wait for those that are open? People are told in the thread of the oldest
    of them, each time that the waiting are ten times as many. Repeat: harmless."""
    if question.effect is not Effect.CONTAIN or _is_claimed(tx, question):
        return False
    mine = _gravity(tx, question.rank, run.case_id)
    ahead = [
        one
        for one in approvals.unclosed(tx)
        if _is_open_elsewhere(one, run) and _gravity(tx, one.rank, one.case_id) >= mine
    ]
    campaign = _shown(tx, run.case_id)
    same = [one for one in ahead if campaign & _shown(tx, one.case_id)]
    is_crowded = _devices(ahead) >= MOST_OPEN or _devices(same) >= MOST_OF_ONE_CAMPAIGN
    if not is_crowded:
        return False
    _tell(tx, min(same or ahead, key=lambda one: one.created_at))
    return True


def let_on(tx: Tx) -> None:
    """A question was decided: those whose questions are held back try again, the worst first."""
    for run_id in runs.worst_waiting_on(tx, CROWD, NEXT):
        runs.wake(tx, run_id)


def _is_open_elsewhere(one: Approval, run: Run) -> bool:
    is_open = one.state in (ApprovalState.POSTING, ApprovalState.OPEN)
    return is_open and one.effect is Effect.CONTAIN and one.run_id != run.id


def _gravity(tx: Tx, rank: int, case_id: str) -> tuple[int, int]:
    assessment = cases.read(tx, case_id).assessment
    return rank, assessment.score if assessment else 0


def _is_claimed(tx: Tx, question: Question) -> bool:
    """Is each device asked about, or decided about, already? Then this puts no card."""
    devices = [device for target in question.targets for device in target.devices]
    return all(approvals.subject(tx, device.subject) is not None for device in devices)


def _devices(open_ones: list[Approval]) -> int:
    return sum(1 if is_pick(one) else len(one.items) for one in open_ones)


def _shown(tx: Tx, case_id: str) -> set[tuple[str, str]]:
    """What a case's judgement rests on that another case may show as well."""
    assessment = cases.read(tx, case_id).assessment
    return {(one.type, one.value) for one in assessment.indicators} if assessment else set()


def _tell(tx: Tx, oldest: Approval) -> None:
    waiting = 1 + runs.count_waiting_on(tx, CROWD)
    if waiting in TOLD_AT:
        text = (
            f"{waiting} more case{'s wait' if waiting > 1 else ' waits'} to be asked about until"
            " questions that are open now are decided; the worst are put first."
        )
        approvals.add_note(tx, oldest.id, text)
