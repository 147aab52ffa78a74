"""Whom a question is put to: which people, how many of them, and who comes next.

Pure. A card with several kinds of device is under the strictest rule: the largest quorum, and only
people who may answer for each kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from connectors.model import Device, DeviceKind
from runner.config import Approvals, Tier
from runner.journal.records import Approval


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


def escalates_at(policy: Approvals, approval: Approval) -> datetime | None:
    """When the next people are called; None when there are none. Never before the card stood for
    as long as the first ones have."""
    if not policy.escalate_to or approval.opened_at is None:
        return None
    after_s = policy.escalate_after_s
    if after_s is None or after_s >= approval.expires_s:
        after_s = approval.expires_s * 2 // 3
    return approval.opened_at + timedelta(seconds=after_s)
