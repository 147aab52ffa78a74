"""Whom a question is put to: which people, how many of them, and who comes next.

Pure. A card with several kinds of device is under the strictest rule: the largest quorum, and only
people who may answer for each kind.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct

from connectors.model import Device, DeviceKind
from runner.config import Approvals, Person, Tier
from runner.journal.records import Approval
from runner.votes import left_out


def rule_for(policy: Approvals, devices: Sequence[Device]) -> Tier:
    """The rule for these devices; without a device, or without its tier, the general one."""
    general = Tier(approvers=policy.approvers, quorum=policy.quorum)
    rules = [policy.tiers.get(_tier_of(device), general) for device in devices] or [general]
    common = [name for name in rules[0].approvers if all(name in one.approvers for one in rules)]
    return Tier(approvers=tuple(common), quorum=max(one.quorum for one in rules))


def _tier_of(device: Device) -> str:
    kind = DeviceKind.SERVER if device.kind is DeviceKind.UNKNOWN else device.kind
    return kind.value


def approvers_of(policy: Approvals, approval: Approval) -> tuple[str, ...]:
    """Who may answer now."""
    first = rule_for(policy, [item.device for item in approval.items]).approvers
    if approval.escalated_at is None:
        return first
    return tuple(dict.fromkeys((*first, *policy.escalate_to)))


def with_members(policy: Approvals, members: Mapping[str, Sequence[str]]) -> Approvals:
    """The policy with the people who are in its groups in place of these. `members`: their names,
    by group; a group that is not in it is nobody."""
    if not policy.groups:
        return policy

    def people(names: Sequence[str]) -> tuple[str, ...]:
        found = (members.get(name, ()) if name in policy.groups else (name,) for name in names)
        return tuple(dict.fromkeys(name for several in found for name in several))

    return msgspec.structs.replace(
        policy,
        approvers=people(policy.approvers),
        escalate_to=people(policy.escalate_to),
        tiers={
            kind: Tier(approvers=people(tier.approvers), quorum=tier.quorum)
            for kind, tier in policy.tiers.items()
        },
        groups=(),
    )


def with_anybody(policy: Approvals, people: Mapping[str, Person]) -> Approvals:
    """The policy as if everybody with an account were in each group: for what is judged later, or
    played."""
    return with_members(policy, dict.fromkeys(policy.groups, with_accounts(people)))


def with_accounts(people: Mapping[str, Person]) -> tuple[str, ...]:
    """Who could be in a group at all."""
    return tuple(
        name for name, person in people.items() if person.account or person.fallback_account
    )


class Voters(Struct, frozen=True, kw_only=True):
    """Who may answer one question: now, and once it was escalated; and who is left out, and why."""

    now: tuple[str, ...]
    later: tuple[str, ...]
    left_out: Mapping[str, str]

    def are_enough(self, quorum: int) -> bool:
        """Can the people of now say yes?"""
        return len(self.now) >= quorum


def voters_of(
    policy: Approvals, people: Mapping[str, Person], approval: Approval, affected: Collection[str]
) -> Voters:
    """`affected`: the user names that the question concerns. Chat may know more that speaks against
    an account; that is looked up when somebody answers."""
    listed = dict.fromkeys((*approvers_of(policy, approval), *policy.escalate_to))
    why = {name: left_out(people[name], approval.requested_by, affected) for name in listed}
    now = tuple(name for name in approvers_of(policy, approval) if why[name] is None)
    return Voters(
        now=now,
        later=tuple(name for name in listed if why[name] is None and name not in now),
        left_out={name: text for name, text in why.items() if text is not None},
    )


def escalates_at(policy: Approvals, approval: Approval, voters: Voters) -> datetime | None:
    """When the next people are called; None when there are none. Never before the card stood for
    as long as the first ones have; at once when those cannot be enough."""
    if not policy.escalate_to or approval.opened_at is None:
        return None
    if approval.escalated_at is None and not voters.are_enough(approval.quorum):
        return approval.opened_at
    return approval.opened_at + timedelta(seconds=escalates_after_s(policy, approval))


def escalates_after_s(policy: Approvals, approval: Approval) -> int:
    """How long a card stands before it calls the next people, in seconds."""
    after_s = policy.escalate_after_s
    if after_s is None or after_s >= approval.expires_s:
        after_s = approval.expires_s * 2 // 3
    return after_s
