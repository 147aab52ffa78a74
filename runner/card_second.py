"""What is said where a question has a card in the fall-back chat, too: why it stands there, where
people decided, and what could not be seen.

Pure: it reads records and makes sentences.
"""

from __future__ import annotations

from datetime import datetime

from runner.journal.records import Approval, ApprovalState
from runner.votes import LOGIN
from runner.wording import clock_text

HERE = "on the runner's machine"


def stands_in(first: str, since: datetime | None, refusal: str | None) -> str:
    """What the card in the fall-back chat says of the first. `refusal`: why the first chat did not
    take the card at all."""
    if refusal is not None:
        return (
            f"This card stands in for one in {first}, which did not take it ({refusal}). It is the "
            "only card of this question."
        )
    return (
        f"This card stands in for {first}, which could not be reached since {clock_text(since)}. "
        f"As long as that lasts, an answer there is not seen: a yes here counts at once, and a no "
        f"there would come too late. Once {first} is back, the answers in both are one set, and a "
        "no in either beats a yes."
    )


def is_also_in(second: str) -> str:
    """What the card in the first chat says that is posted after the one that stands in for it."""
    return (
        f"This question stands in {second}, too, because this chat could not be reached. The "
        "answers in both are one set: one person has one vote, and a no in either beats a yes."
    )


def not_reached(other: str, since: datetime) -> str:
    """What a thread is told when the chat of the other card falls silent."""
    return (
        f"{other} could not be reached since {clock_text(since)}: answers to this question there "
        "are not seen. As long as that lasts a yes here counts, and a no there would come too late."
    )


def where_decided(approval: Approval) -> str:
    """In which chats those who decided had answered; nothing where there is one card only."""
    second = approval.second
    if second is None or not approval.decided_by:
        return ""
    places = {
        HERE
        if vote.account.startswith(LOGIN)
        else f"in {second.name if vote.is_second else second.first}"
        for vote in approval.votes
        if vote.counted and vote.person in approval.decided_by
    }
    return f" {' and '.join(sorted(places))}" if places else ""


def not_seen(approval: Approval) -> str:
    """Which chats nobody could see into when people decided; nothing where there are none."""
    if approval.state is not ApprovalState.APPROVED or not approval.unread:
        return ""
    gone = ", ".join(f"{name} since {clock_text(at)}" for name, at in approval.unread.items())
    return f" (not reached: {gone}; a no there was not seen)"


def late_no(approval: Approval, by: tuple[str, ...], chat: str) -> str:
    """How the threads are told of a no that nobody can act on by itself any more. One in a chat
    that could not be read may well have been there in time."""
    said = f"The no of {', '.join(by)}"
    if chat in approval.unread:
        return f"{said} in {chat}, which could not be read when this was decided, was seen too late"
    return f"{said} came too late"
