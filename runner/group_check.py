"""Are there enough people in the groups that approve? The live part of what a configuration is
held to."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.model import CheckResult
from runner.config import FALLBACK, Approvals
from runner.electing import with_members
from runner.service import Service
from runner.user_groups import UserGroups


def check_groups(service: Service) -> Sequence[CheckResult]:
    """Each group read as the runner reads it, and each quorum against the people in them now."""
    approvals = service.config.approvals
    if not approvals.groups or not service.roles.has("chat"):
        return []
    groups = UserGroups(service.config, service.roles, service.clock)
    policy = groups.policy()
    found = [_group(groups, name) for name in approvals.groups]
    return [*found, *_quorums(policy), *_without_chat(service)]


def _without_chat(service: Service) -> list[CheckResult]:
    """A group is read in its chat: where people may answer elsewhere, somebody is to be named."""
    approvals = service.config.approvals
    named = with_members(approvals, {}).approvers
    is_elsewhere = approvals.cli or service.roles.has(FALLBACK)
    if not is_elsewhere or len(named) >= approvals.quorum:
        return []
    what = f"while the user groups' chat is down, {len(named)} may answer elsewhere"
    mend = f"{approvals.quorum} must agree: name people beside the groups, or nobody can then"
    return [CheckResult(what=what, ok=True, mend=mend)]


def _group(groups: UserGroups, name: str) -> CheckResult:
    if (fault := groups.faults.get(name)) is not None:
        return CheckResult(
            what=f"user group {name}", ok=False, mend=f"{fault}: it approves nothing"
        )
    members, strangers = groups.members[name], groups.strangers[name]
    what = f"user group {name}: {', '.join(members) or 'nobody'}"
    if not strangers:
        return CheckResult(what=what, ok=True)
    mend = f"{strangers} more in it may not answer: nobody under people has their account"
    return CheckResult(what=what, ok=bool(members), mend=mend)


def _quorums(policy: Approvals) -> list[CheckResult]:
    rules = {"approvals": (policy.approvers, policy.quorum)}
    for kind, tier in policy.tiers.items():
        rules[f"approvals.tiers.{kind}"] = (tier.approvers, tier.quorum)
    if len(policy.tiers) == 3:
        # Each kind has a tier: the general rule is left for questions about no device.
        rules["approvals"] = (policy.approvers, min(policy.quorum, 1))
    if len(rules) > 1:
        common = set.intersection(*(set(people) for people, _ in rules.values()))
        needed = max(quorum for _, quorum in rules.values())
        rules["approvals, for devices of every kind"] = (tuple(common), needed)
    return [
        CheckResult(
            what=f"{name}: enough people",
            ok=False,
            mend=f"{quorum} must agree, and {len(set(people))} may answer now",
        )
        for name, (people, quorum) in rules.items()
        if len(set(people)) < quorum
    ]
