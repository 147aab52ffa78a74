"""Which votes count, and what they amount to.

Pure judgement over what was read from chat: it reads no product and writes nothing. There is no
path from silence, doubt or a failed look-up to a yes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct

from connectors.model import Account, Answer
from runner.choices import is_no_of, noes_of
from runner.config import Person
from runner.journal.records import Approval, ApprovalState, ChoiceRole, LocalAnswer, Vote
from runner.pressing import with_presses

CLOCK_SLACK = timedelta(minutes=2)
"""How far a clock may be corrected backwards before what it measured counts no more."""

UNLISTED = "you are not on the list of approvers"
UNREAD = "what was typed here cannot be read again just now; react on the card instead"
APP = "app:"
"""What the account of a message begins with that names an app and no account."""
LOGIN = "login:"
"""What the account of a vote begins with that was not given in chat."""


class Outcome(Struct, frozen=True, kw_only=True):
    """What the votes of one reading amount to."""

    state: ApprovalState
    by: tuple[str, ...]
    chosen: tuple[str, ...] = ()
    vetoed: dict[str, str] = {}
    why: str | None = None


class Typed(Struct, frozen=True, kw_only=True):
    """What people typed in a card's thread. `is_read`: it was read just now, whole; `fault`: why it
    cannot be read, which makes what was typed before unknown."""

    answers: tuple[Answer, ...] = ()
    is_read: bool = True
    fault: str | None = None


NOTHING_TYPED = Typed()


class Electorate(Struct, frozen=True, kw_only=True):
    """Who may answer one question. `accounts` maps an account id to what chat said of it just now;
    None where the look-up failed. In doubt a person may say no, and nothing else."""

    people: Mapping[str, Person]
    approvers: tuple[str, ...]
    accounts: Mapping[str, Account | None]
    affected_users: frozenset[str]
    requested_by: str | None
    unread: tuple[str, ...] = ()
    """The groups that could not be read just now: nobody may say yes because of one."""
    perhaps: tuple[str, ...] = ()
    """Who may be in such a group: each may say no, because a no does less harm."""
    takes_logins: bool = False
    """May people answer on the runner's machine?"""

    def person_of(self, account: str, *, is_second: bool = False) -> Person | None:
        """Whose account that is. `is_second`: in the fall-back chat."""
        for person in self.people.values():
            if account == (person.fallback_account if is_second else person.account):
                return person
        return None

    def why_not(self, account: str, *, is_second: bool = False, is_no: bool = False) -> str | None:
        """Why this account's answer does not count; None when it does."""
        person = self.person_of(account, is_second=is_second)
        if person is None or not self._is_listed(person, is_no=is_no):
            return self._unlisted(person)
        found = self.accounts.get(account)
        if found is None and is_no:
            return left_out(person, self.requested_by, self.affected_users)
        if found is None:
            return "your account could not be looked up just now; it is tried again"
        if found.is_bot:
            return "a bot may not answer"
        if not found.is_active:
            return "your account is deactivated"
        if not found.is_full_member:
            return "guests and people of other workspaces may not answer"
        return left_out(person, self.requested_by, self.affected_users)

    def why_not_here(self, answer: LocalAnswer, *, is_no: bool = False) -> str | None:
        """Why an answer that was given on the runner's machine does not count."""
        if not self.takes_logins:
            return "answers are taken in chat only"
        person = self.people.get(answer.person)
        if person is None or person.os_user != answer.login:
            return UNLISTED
        if not self._is_listed(person, is_no=is_no):
            return self._unlisted(person)
        return left_out(person, self.requested_by, self.affected_users)

    def kept(self, vote: Vote, *, is_no: bool) -> Vote:
        """A vote that chat showed before, while chat cannot be read: it stands only as long as the
        list still has the person, and a yes only as long as the question is not about them."""
        if not vote.counted:
            return vote
        person = self.person_of(vote.account, is_second=vote.is_second)
        if person is None or not self._is_listed(person, is_no=is_no):
            return _uncounted(vote, self._unlisted(person))
        why_not = left_out(person, self.requested_by, self.affected_users)
        return vote if is_no or why_not is None else _uncounted(vote, why_not)

    def _is_listed(self, person: Person, *, is_no: bool) -> bool:
        return person.name in self.approvers or (is_no and person.name in self.perhaps)

    def _unlisted(self, person: Person | None) -> str:
        if person is None or not self.unread:
            return UNLISTED
        names = ", ".join(self.unread)
        return f"who is in the user group {names} could not be read just now; it is tried again"


def left_out(person: Person, requested_by: str | None, affected: Collection[str]) -> str | None:
    """Why somebody on the list may not answer this one question; None when they may."""
    if requested_by is not None and person.name == requested_by:
        return "you started this by hand, so somebody else must answer"
    if any(_is_account_of(person, user) for user in affected):
        return "it concerns your own account, so somebody else must answer"
    return None


def _is_account_of(person: Person, user: str) -> bool:
    r"""Does a Windows user name (`DOMAIN\name` or `name@domain`) belong to this person?"""
    bare = user.rsplit("\\", 1)[-1].split("@", 1)[0].casefold()
    known = {name.rsplit("\\", 1)[-1].split("@", 1)[0].casefold() for name in person.windows_user}
    if person.os_user:
        known.add(person.os_user.casefold())
    return bare in known


def votes_of(
    approval: Approval,
    answers: Sequence[Answer] | None,
    electorate: Electorate,
    now: datetime,
    second: Sequence[Answer] | None = None,
    typed: Mapping[bool, Typed] = {},
) -> tuple[Vote, ...]:
    """The votes of one reading, each with why it does not count; a vote keeps the time when it was
    first seen, and one that is gone is kept as withdrawn. `second`: what the fall-back chat shows.
    None for a chat that was not read: what it showed before stands, and a no that was pressed there
    counts. `typed`: what stands in the threads, by chat; nothing where it is not given."""
    before = {_key_of(vote): vote for vote in approval.votes}
    shown = {False: answers, True: second}
    found = {_key_of(vote): vote for vote in votes_given_here(approval, electorate)}
    for is_second, answers_there in shown.items():
        given = with_presses(approval, answers_there or (), is_second=is_second)
        if answers_there is None:
            # What is pressed is known without chat; a yes is only ever counted under a card that
            # still reads as it was posted.
            given = tuple(one for one in given if is_no_of(approval, one.choice))
        given = (*given, *typed.get(is_second, NOTHING_TYPED).answers)
        for vote in _given(approval, given, electorate, now, is_second=is_second):
            key = _key_of(vote)
            if answers_there is None and key in before and before[key].counted:
                continue
            seen_at = before[key].seen_at if key in before else now
            found[key] = msgspec.structs.replace(vote, seen_at=seen_at)
    missing = [vote for key, vote in before.items() if key not in found]
    gone = [
        electorate.kept(vote, is_no=is_no_of(approval, vote.choice))
        if shown[vote.is_second] is None
        else _not_seen(approval, vote, electorate, typed.get(vote.is_second, NOTHING_TYPED))
        for vote in missing
    ]
    return (*found.values(), *gone)


def _not_seen(approval: Approval, vote: Vote, electorate: Electorate, typed: Typed) -> Vote:
    """A vote that a chat which was read does not show. What was typed may still stand where the
    thread was not read; where it cannot be read, only a no stands."""
    if not vote.is_typed or typed.is_read:
        return msgspec.structs.replace(vote, withdrawn=True, counted=False, why_not="withdrawn")
    is_no = is_no_of(approval, vote.choice)
    kept = electorate.kept(vote, is_no=is_no)
    if typed.fault is None or not kept.counted or is_no:
        return kept
    return _uncounted(kept, UNREAD)


def _uncounted(vote: Vote, why_not: str) -> Vote:
    return msgspec.structs.replace(vote, counted=False, why_not=why_not)


def _key_of(vote: Vote) -> tuple[bool, str, str, bool]:
    return vote.is_second, vote.account, vote.choice, vote.is_typed


def _given(
    approval: Approval,
    answers: Sequence[Answer],
    electorate: Electorate,
    now: datetime,
    *,
    is_second: bool,
) -> Iterator[Vote]:
    """The answers of one chat, as votes first seen now; emoji that were not offered are none. What
    was typed wrongly is one that does not count."""
    offered = {asked.choice.emoji for asked in approval.choices}
    for answer in answers:
        if answer.choice in offered or answer.fault is not None:
            person = electorate.person_of(answer.account, is_second=is_second)
            is_no = is_no_of(approval, answer.choice)
            why_not = answer.fault or electorate.why_not(
                answer.account, is_second=is_second, is_no=is_no
            )
            yield Vote(
                account=answer.account,
                person=None if person is None else person.name,
                choice=answer.choice,
                seen_at=now,
                counted=why_not is None,
                why_not=why_not,
                is_typed=answer.is_typed,
                is_second=is_second,
            )


def votes_given_here(approval: Approval, electorate: Electorate) -> tuple[Vote, ...]:
    """The votes of those who answered on the runner's machine. None is ever withdrawn."""
    judged = [
        (answer, electorate.why_not_here(answer, is_no=is_no_of(approval, answer.choice)))
        for answer in approval.local
    ]
    return tuple(
        Vote(
            account=f"{LOGIN}{answer.login}",
            person=answer.person,
            choice=answer.choice,
            seen_at=answer.at,
            counted=why_not is None,
            why_not=why_not,
        )
        for answer, why_not in judged
    )


def tally(approval: Approval, votes: Sequence[Vote]) -> Outcome | None:
    """What the votes amount to: a no beats a yes; None while nothing is decided."""
    by_role: dict[ChoiceRole, dict[str | None, set[str]]] = {role: {} for role in ChoiceRole}
    roles = {asked.choice.emoji: asked for asked in approval.choices}
    for vote in votes:
        if vote.counted and vote.person is not None:
            asked = roles[vote.choice]
            meant = asked.choice.name if asked.role is ChoiceRole.ANSWER else asked.device_id
            by_role[asked.role].setdefault(meant, set()).add(vote.person)
    denied = by_role[ChoiceRole.DENY].get(None, set())
    if denied:
        return Outcome(state=ApprovalState.DENIED, by=tuple(sorted(denied)))
    for role in (ChoiceRole.PICK, ChoiceRole.ANSWER):
        if by_role[role]:
            return _picked(approval, by_role[role])
    yes = by_role[ChoiceRole.APPROVE].get(None, set())
    if len(yes) < approval.quorum:
        return None
    vetoed = {
        str(device_id): ", ".join(sorted(by)) for device_id, by in by_role[ChoiceRole.VETO].items()
    }
    chosen = tuple(
        item.device.device_id for item in approval.items if item.device.device_id not in vetoed
    )
    if not chosen:
        return Outcome(state=ApprovalState.DENIED, by=tuple(sorted(yes)), vetoed=vetoed)
    return Outcome(
        state=ApprovalState.APPROVED, by=tuple(sorted(yes)), chosen=chosen, vetoed=vetoed
    )


def objectors(approval: Approval, votes: Sequence[Vote], device_id: str) -> tuple[str, ...]:
    """Who says no to this device: to the whole question, or by the device's own veto."""
    noes = noes_of(approval, device_id)
    found = {vote.person for vote in votes if vote.counted and vote.choice in noes}
    return tuple(sorted(person for person in found if person is not None))


def _picked(approval: Approval, picks: Mapping[str | None, set[str]]) -> Outcome | None:
    """A person who picked two has picked none; two with a quorum are none. Devices or answers."""
    often = [person for by in picks.values() for person in by]
    clear = {
        str(device_id): {person for person in by if often.count(person) == 1}
        for device_id, by in picks.items()
    }
    winners = [device_id for device_id, by in clear.items() if len(by) >= approval.quorum]
    if len(winners) != 1:
        return None
    by = tuple(sorted(clear[winners[0]]))
    return Outcome(state=ApprovalState.APPROVED, by=by, chosen=(winners[0],))


def in_time(current: Approval, outcome: Outcome, now: datetime) -> Outcome:
    """A yes as it stands at this moment; a clock that was set back proves no time at all."""
    if current.expires_at is None or now >= current.expires_at:
        return Outcome(state=ApprovalState.EXPIRED, by=())
    if current.opened_at is not None and now < current.opened_at - CLOCK_SLACK:
        why = "the clock went back behind the question"
        return Outcome(state=ApprovalState.VOID, by=(), why=why)
    return outcome
