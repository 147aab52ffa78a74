"""Which votes count, and what they amount to: nothing but a plain yes of enough people is a yes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from connectors.base import Effect
from connectors.model import Account, Answer, Device
from runner.choices import NUMBERS, choices_for
from runner.config import Mode, Person
from runner.journal.pressed import Pressed
from runner.journal.records import Approval, ApprovalItem, ApprovalState, ChoiceRole, Vote
from runner.votes import Electorate, Outcome, tally, votes_of

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
YES, NO = "white_check_mark", "x"
PEOPLE = {
    "ada": Person(name="ada", account="U1", os_user="ada", windows_user=(r"CORP\ada", "ada-adm")),
    "bo": Person(name="bo", account="U2"),
    "cy": Person(name="cy", account="U3"),
    "dee": Person(name="dee", account="U4"),
}
APPROVERS = ("ada", "bo", "cy")
FULL = {
    account: Account(id=account, is_active=True, is_full_member=True, is_bot=False)
    for account in ("U1", "U2", "U3", "U4")
}
ELECTORATE = Electorate(
    people=PEOPLE, approvers=APPROVERS, accounts=FULL, affected_users=frozenset(), requested_by=None
)


def device(number: int) -> Device:
    return Device(instance="f", tenant="t", device_id=f"{number:032x}", hostname=f"WS-{number}")


def question(devices: int = 1, *, pick: bool = False, quorum: int = 1) -> Approval:
    found = [device(number) for number in range(devices)]
    return Approval(
        id="ask-1",
        code="BCDFG",
        run_id="run-1",
        case_id="case-1",
        key="/isolate#ask.0",
        n=0,
        action="edr.isolate_host",
        effect=Effect.CONTAIN,
        items=tuple(ApprovalItem(subject=one.subject, device=one, proof="p") for one in found),
        choices=choices_for(found, pick=pick),
        plan_sha256="0" * 64,
        quorum=quorum,
        reason="r",
        rank=3,
        mode=Mode.ACT,
        expires_s=1800,
        created_at=NOW,
    )


def outcome_of(
    approval: Approval, *answers: tuple[str, str], electorate: Electorate = ELECTORATE
) -> Outcome | None:
    given = [Answer(account=account, choice=choice) for account, choice in answers]
    return tally(approval, votes_of(approval, given, electorate, NOW))


def why_not(electorate: Electorate, account: str) -> str | None:
    (vote,) = votes_of(question(), [Answer(account=account, choice=YES)], electorate, NOW)
    assert vote.counted is (vote.why_not is None)
    assert vote.seen_at == NOW
    return vote.why_not


# -- whose vote counts -----------------------------------------------------------------------------


def test_vote_when_an_active_full_member_and_approver_then_counts() -> None:
    assert why_not(ELECTORATE, "U1") is None


@pytest.mark.parametrize(
    ("account", "reason"),
    [
        (Account(id="U1", is_active=False, is_full_member=True, is_bot=False), "deactivated"),
        (Account(id="U1", is_active=True, is_full_member=False, is_bot=False), "guests"),
        (Account(id="U1", is_active=True, is_full_member=True, is_bot=True), "a bot"),
        (None, "could not be looked up"),
    ],
)
def test_vote_when_the_approvers_account_is_not_plainly_good_then_does_not_count(
    account: Account | None, reason: str
) -> None:
    electorate = replace(ELECTORATE, accounts={"U1": account})
    assert reason in str(why_not(electorate, "U1"))


def test_vote_when_the_account_was_never_looked_up_then_does_not_count() -> None:
    assert "looked up" in str(why_not(replace(ELECTORATE, accounts={}), "U1"))


@pytest.mark.parametrize("account", ["U4", "U9", "u1", "U1 ", ""])
def test_vote_when_the_account_is_no_approvers_then_does_not_count(account: str) -> None:
    assert "not on the list of approvers" in str(why_not(ELECTORATE, account))


def test_vote_when_nobody_may_approve_then_nobody_counts() -> None:
    electorate = replace(ELECTORATE, approvers=())
    assert all(why_not(electorate, account) for account in FULL)


@pytest.mark.parametrize(
    "user", [r"CORP\ada", "ada", "ADA", "ada@corp.example.test", r"OTHER\Ada", "ada-adm"]
)
def test_vote_when_it_concerns_the_persons_own_account_then_does_not_count(user: str) -> None:
    electorate = replace(ELECTORATE, affected_users=frozenset({user}))
    assert "your own account" in str(why_not(electorate, "U1"))
    assert why_not(electorate, "U2") is None


def test_vote_when_the_person_started_it_by_hand_then_does_not_count() -> None:
    electorate = replace(ELECTORATE, requested_by="ada")
    assert "you started this" in str(why_not(electorate, "U1"))
    assert why_not(electorate, "U2") is None


def test_vote_when_withdrawn_then_kept_and_no_longer_counted() -> None:
    approval = question()
    first = votes_of(approval, [Answer(account="U1", choice=YES)], ELECTORATE, NOW)
    voted = replace(approval, votes=first)
    (vote,) = votes_of(voted, [], ELECTORATE, NOW + timedelta(minutes=1))
    assert (vote.withdrawn, vote.counted, vote.why_not) == (True, False, "withdrawn")
    assert tally(voted, [vote]) is None
    again = votes_of(
        replace(voted, votes=(vote,)), [Answer(account="U1", choice=YES)], ELECTORATE, NOW
    )
    assert [(one.counted, one.withdrawn) for one in again] == [(True, False)]


def test_vote_when_the_emoji_is_not_offered_then_it_is_no_vote() -> None:
    answers = [Answer(account="U1", choice=emoji) for emoji in ("thumbsup", "heavy_check_mark")]
    assert votes_of(question(), answers, ELECTORATE, NOW) == ()


def kept(choice: str, later_on: Electorate, approval: Approval) -> Vote:
    """What a vote that counted becomes once chat cannot be read."""
    first = votes_of(approval, [Answer(account="U1", choice=choice)], ELECTORATE, NOW)
    assert [one.counted for one in first] == [True]
    (vote,) = votes_of(replace(approval, votes=first), None, later_on, NOW)
    return vote


def test_vote_when_kept_and_the_persons_account_became_affected_then_the_yes_counts_no_more() -> (
    None
):
    affected = replace(ELECTORATE, affected_users=frozenset({r"CORP\ada"}))
    assert "your own account" in str(kept(YES, affected, question()).why_not)
    assert kept(NO, affected, question()).counted
    assert "somebody else" in str(
        kept(YES, replace(ELECTORATE, requested_by="ada"), question()).why_not
    )


@pytest.mark.parametrize("choice", [NO, NUMBERS[1], YES])
def test_vote_when_kept_and_a_group_cannot_be_read_then_only_a_no_or_veto_stands(
    choice: str,
) -> None:
    unread = replace(ELECTORATE, approvers=("bo",), unread=("S0G",), perhaps=("ada", "bo"))
    vote = kept(choice, unread, question(2))
    assert vote.counted is (choice != YES)


def test_vote_when_a_group_cannot_be_read_then_who_cannot_be_in_it_may_not_say_no() -> None:
    unread = replace(ELECTORATE, approvers=("bo",), unread=("S0G",), perhaps=("ada", "bo"))
    assert outcome_of(question(), ("U3", NO), electorate=unread) is None
    denied = outcome_of(question(), ("U1", NO), electorate=unread)
    assert denied == Outcome(state=ApprovalState.DENIED, by=("ada",))


def test_vote_when_the_account_of_a_no_cannot_be_looked_up_then_it_counts() -> None:
    unknown = replace(ELECTORATE, accounts={"U1": None})
    denied = outcome_of(question(), ("U1", NO), electorate=unknown)
    assert denied == Outcome(state=ApprovalState.DENIED, by=("ada",))


def test_press_when_its_chat_cannot_be_read_then_only_a_no_counts() -> None:
    approval = replace(question(2), pressed=(pressed(YES), pressed(NUMBERS[1])))
    (vote,) = votes_of(approval, None, ELECTORATE, NOW)
    assert (vote.choice, vote.counted) == (NUMBERS[1], True)
    shown = votes_of(approval, [], ELECTORATE, NOW)
    assert {one.choice for one in shown if one.counted} == {YES, NUMBERS[1]}


def pressed(choice: str) -> Pressed:
    return Pressed(
        account="U1",
        choice=choice,
        at=NOW,
        team="T",
        channel="C",
        message_id="1",
        pressed_at="1",
        envelope="e",
    )


# -- what votes amount to --------------------------------------------------------------------------


def test_tally_when_nobody_answered_then_undecided() -> None:
    assert outcome_of(question()) is None


def test_tally_when_one_yes_is_enough_then_approved_for_the_device() -> None:
    outcome = outcome_of(question(), ("U1", YES))
    assert outcome == Outcome(
        state=ApprovalState.APPROVED, by=("ada",), chosen=(device(0).device_id,)
    )


@pytest.mark.parametrize("answers", list(permutations([("U1", YES), ("U2", YES), ("U3", NO)])))
def test_tally_when_one_says_no_then_denied_in_any_order(
    answers: tuple[tuple[str, str], ...],
) -> None:
    outcome = outcome_of(question(quorum=2), *answers)
    assert outcome == Outcome(state=ApprovalState.DENIED, by=("cy",))


def test_tally_when_one_person_says_yes_and_no_then_denied() -> None:
    outcome = outcome_of(question(), ("U1", YES), ("U1", NO))
    assert outcome is not None
    assert outcome.state is ApprovalState.DENIED


def test_tally_when_a_no_does_not_count_then_it_stops_nothing() -> None:
    outcome = outcome_of(question(), ("U9", NO), ("U1", YES))
    assert outcome is not None
    assert outcome.state is ApprovalState.APPROVED


def test_tally_when_the_quorum_is_not_reached_then_undecided() -> None:
    assert outcome_of(question(quorum=2), ("U1", YES)) is None
    assert outcome_of(question(quorum=2), ("U1", YES), ("U4", YES), ("U9", YES)) is None
    outcome = outcome_of(question(quorum=2), ("U1", YES), ("U2", YES))
    assert outcome is not None
    assert outcome.by == ("ada", "bo")


def test_tally_when_one_person_votes_through_two_accounts_then_one_vote() -> None:
    votes = [
        Vote(account=account, person="ada", choice=YES, seen_at=NOW, counted=True)
        for account in ("U1", "U1-second")
    ]
    assert tally(question(quorum=2), votes) is None


def test_tally_when_a_vote_is_of_no_person_then_it_decides_nothing() -> None:
    vote = Vote(account="U9", person=None, choice=YES, seen_at=NOW, counted=True)
    assert tally(question(), [vote]) is None


def test_tally_when_a_device_is_vetoed_then_the_others_go_on() -> None:
    outcome = outcome_of(question(3), ("U1", YES), ("U2", NUMBERS[1]))
    assert outcome is not None
    assert outcome.chosen == (device(0).device_id, device(2).device_id)
    assert outcome.vetoed == {device(1).device_id: "bo"}


def test_tally_when_every_device_is_vetoed_then_denied() -> None:
    outcome = outcome_of(question(2), ("U1", YES), ("U2", NUMBERS[0]), ("U3", NUMBERS[1]))
    assert outcome is not None
    assert outcome.state is ApprovalState.DENIED
    assert outcome.chosen == ()


def test_tally_when_there_are_only_vetoes_then_undecided() -> None:
    assert outcome_of(question(2), ("U2", NUMBERS[0])) is None


# -- picking a candidate ---------------------------------------------------------------------------


def test_choices_when_the_identity_is_open_then_there_is_no_plain_yes() -> None:
    roles = [asked.role for asked in question(2, pick=True).choices]
    assert roles == [ChoiceRole.PICK, ChoiceRole.PICK, ChoiceRole.DENY]
    assert outcome_of(question(2, pick=True), ("U1", YES)) is None


def test_tally_when_one_candidate_is_picked_then_only_that_one() -> None:
    outcome = outcome_of(question(2, pick=True), ("U1", NUMBERS[1]))
    assert outcome is not None
    assert outcome.chosen == (device(1).device_id,)


def test_tally_when_a_person_picks_two_then_none_is_picked() -> None:
    assert outcome_of(question(2, pick=True), ("U1", NUMBERS[0]), ("U1", NUMBERS[1])) is None


def test_tally_when_two_people_pick_two_then_none_is_picked() -> None:
    assert outcome_of(question(2, pick=True), ("U1", NUMBERS[0]), ("U2", NUMBERS[1])) is None


def test_tally_when_the_quorum_picks_the_same_then_that_one() -> None:
    asked = question(2, pick=True, quorum=2)
    assert outcome_of(asked, ("U1", NUMBERS[0])) is None
    assert outcome_of(asked, ("U1", NUMBERS[0]), ("U2", NUMBERS[1])) is None
    outcome = outcome_of(asked, ("U1", NUMBERS[0]), ("U2", NUMBERS[0]))
    assert outcome is not None
    assert outcome.chosen == (device(0).device_id,)


def test_tally_when_somebody_says_no_to_a_pick_then_denied() -> None:
    outcome = outcome_of(question(2, pick=True), ("U1", NUMBERS[0]), ("U2", NO))
    assert outcome is not None
    assert outcome.state is ApprovalState.DENIED


# -- whatever people do ----------------------------------------------------------------------------

ACCOUNTS = st.sampled_from(["U1", "U2", "U3", "U4", "U9"])
EMOJI = st.sampled_from([YES, NO, *NUMBERS[:3], "tada"])
ANSWERS = st.lists(st.tuples(ACCOUNTS, EMOJI), max_size=8)


@given(answers=ANSWERS, quorum=st.integers(1, 3), devices=st.integers(1, 3), pick=st.booleans())
def test_tally_whatever_is_answered_then_a_yes_has_enough_approvers_and_no_counted_no(
    answers: list[tuple[str, str]], quorum: int, devices: int, pick: bool
) -> None:
    approval = question(devices, pick=pick, quorum=quorum)
    outcome = outcome_of(approval, *answers)
    if outcome is None or outcome.state is not ApprovalState.APPROVED:
        return
    assert not any(choice == NO and account in ("U1", "U2", "U3") for account, choice in answers)
    assert len(outcome.by) >= quorum
    assert set(outcome.by) <= set(APPROVERS)
    assert set(outcome.chosen) <= {item.device.device_id for item in approval.items}
    assert len(outcome.chosen) == 1 or not pick
    voters = {account for account, choice in answers if choice == YES or pick}
    assert {PEOPLE[name].account for name in outcome.by} <= voters
