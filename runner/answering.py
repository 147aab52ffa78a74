"""Answers that people give on the runner's machine: the way that is left when chat is down.

The answer is only noted here. It is judged with those in chat, by the same rules, at the runner's
next look; there is one decision, whichever answers come first.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from connectors.base import Effect
from connectors.document import visible
from runner.approvals import affected_users
from runner.card_text import question_text
from runner.choices import NO_ROLES, meant_by, number_of, offered_for
from runner.config import Config
from runner.effects import plain
from runner.electing import voters_of, with_anybody
from runner.journal import Journal, Tx, approvals
from runner.journal.records import Approval, ApprovalState, AskedChoice, LocalAnswer
from runner.masking import mask_secrets
from runner.result import Result
from runner.wording import marked


class Refused(Exception):
    """Why the answer is not taken: one sentence."""


class Plan(Struct, frozen=True, kw_only=True):
    """What an answer would say, to be shown before it is given."""

    approval: Approval
    asked: AskedChoice
    person: str

    def text(self) -> str:
        lines = [
            marked(question_text(self.approval), self.approval.mode),
            f"Question {self.approval.code}, {self.approval.case_id}. {self.approval.reason}",
            *(
                f"  {item.device.hostname}, id {item.device.device_id}: {item.proof}"
                for item in self.approval.items
            ),
            f"{self.person} answers: {self.asked.choice.label}",
        ]
        return visible(mask_secrets("\n".join(lines)), keep_newlines=True)

    def announcement(self, login: str) -> str:
        """What the thread is told: nobody in chat could see this answer."""
        label = self.asked.choice.label
        return f"{self.person} answered «{label}» on the runner's machine (login {login})."


def plan_answer(
    journal: Journal, config: Config, code: str, word: str, which: str | None, login: str
) -> Plan:
    """What `word` (approve, deny) to the question with this code would say. `which`: the number of
    a device or answer on the card, or an answer's name. Errors: `Refused`."""
    with journal.read() as tx:
        return _plan(tx, config, code, word, which, login)


def give_answer(journal: Journal, plan: Plan, login: str) -> Result:
    """Note the answer. Repeat: it is noted once."""
    with journal.write() as tx:
        current = approvals.read(tx, plan.approval.id)
        if not _takes(current, plan.asked):
            return refusal(_too_late(current))
        choice = plan.asked.choice.emoji
        said = LocalAnswer(person=plan.person, login=login, choice=choice, at=tx.clock.now())
        if not any((one.login, one.choice) == (login, choice) for one in current.local):
            approvals.save(tx, msgspec.structs.replace(current, local=(*current.local, said)))
            # Told in the card's thread, also when chat comes back only after the decision.
            approvals.add_note(tx, current.id, plan.announcement(login))
            refs = {"case": current.case_id, "approval": current.id}
            tx.entry("answered_here", refs, said)
    when = "the runner judges it at its next look"
    if not _is_open(current):
        when = "people had agreed, and it stops what is not sent yet; what was, stockade show says"
    answered = f"{plan.person} answers «{plan.asked.choice.label}» to question {current.code}"
    text = f"noted: {answered}; {when}"
    return Result(code=0, data=plain(said), text=text)


def refusal(text: str) -> Result:
    return Result(code=2, data={"error": text}, text=text)


def _is_open(approval: Approval) -> bool:
    return approval.state in (ApprovalState.POSTING, ApprovalState.OPEN)


def _takes(approval: Approval, asked: AskedChoice) -> bool:
    """A no counts as long as something that people agreed to is still to be sent."""
    return _is_open(approval) or (asked.role in NO_ROLES and _is_unsent(approval))


def _is_unsent(approval: Approval) -> bool:
    is_agreed = approval.state is ApprovalState.APPROVED and bool(approval.items)
    return is_agreed and approval.due_at is not None


def _too_late(approval: Approval) -> str:
    """Why a decided question takes this answer no more, and what can be done instead."""
    text = f"question {approval.code} is {approval.state} by now"
    if approval.state is not ApprovalState.APPROVED or approval.effect is not Effect.CONTAIN:
        return text
    host = approval.items[0].device.hostname if len(approval.items) == 1 else "HOST"
    return f"{text}, and too late to be stopped: stockade release {host} --reason …"


def _plan(tx: Tx, config: Config, code: str, word: str, which: str | None, login: str) -> Plan:
    if not config.approvals.cli:
        raise Refused("approvals.cli is off: questions are answered in chat only")
    unclosed = approvals.unclosed(tx)
    waiting = [one for one in unclosed if _is_open(one) or (word == "deny" and _is_unsent(one))]
    approval = next((one for one in waiting if one.code == code.upper()), None)
    if approval is None:
        decided = approvals.with_code(tx, code.upper())
        if word == "deny" and decided is not None and not _is_open(decided):
            raise Refused(_too_late(decided))
        codes = ", ".join(one.code for one in waiting) or "none"
        raise Refused(f"no open question has the code {code}; open are: {codes}")
    if approval.expires_at is None:
        raise Refused(f"question {code} was not put yet: let stockade run try to ask first")
    asked = _meant(approval.choices, word, which)
    return Plan(approval=approval, asked=asked, person=_voter(tx, config, approval, login))


def _voter(tx: Tx, config: Config, approval: Approval, login: str) -> str:
    person = next((one for one in config.people.values() if one.os_user == login), None)
    if person is None:
        raise Refused(f"the login {login} is nobody's os_user under people")
    affected = affected_users(tx, approval)
    # Who is in a group is known to chat alone: the runner judges that when it counts the answer.
    policy = with_anybody(config.approvals, config.people)
    voters = voters_of(policy, config.people, approval, affected)
    if person.name not in voters.now:
        why = voters.left_out.get(person.name, "not among those who may answer it now")
        raise Refused(f"{person.name} may not answer question {approval.code}: {why}")
    return person.name


def _meant(choices: Sequence[AskedChoice], word: str, which: str | None) -> AskedChoice:
    """Which of the card's choices the words stand for."""
    if (found := meant_by(choices, word, which)) is not None:
        return found
    offered = offered_for(choices, word)
    known = "; ".join(f"{word} CODE{_suffix(one)}: {one.choice.label}" for one in offered)
    raise Refused(f"say which: {known or f'this question cannot be answered with {word}'}")


def _suffix(asked: AskedChoice) -> str:
    number = number_of(asked)
    return "" if number is None else f" {number}"
